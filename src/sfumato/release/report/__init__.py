"""The report: a run's records in, `summary.json` and two HTML pages out."""
