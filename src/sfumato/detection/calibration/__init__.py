"""Choosing thresholds and growth on labelled images, and saying what they promise."""
