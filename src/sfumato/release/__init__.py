"""The end of a run: account, manifest and reports."""
