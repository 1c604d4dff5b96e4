"""Checks of what was written."""
