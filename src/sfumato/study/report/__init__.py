"""The report of a study: answers in, `study.json` and `study.html` out."""
