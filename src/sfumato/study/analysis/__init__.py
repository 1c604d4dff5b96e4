"""From predictions alone to answers: measures, paired differences, tests, and what they mean.

Pure functions of arrays (NumPy, SciPy); torch is never needed. docs/study.md has the formulae
with their sources, and what can and can't be shown.
"""
