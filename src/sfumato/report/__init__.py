"""The report: a run's records in, `summary.json` and two HTML pages out."""

from __future__ import annotations

from sfumato.report.data import About, Report, account_line
from sfumato.report.page import render
from sfumato.report.pairs import Choice, Pair
from sfumato.report.tally import Tally, choose_pairs

__all__ = [
    "About",
    "Choice",
    "Pair",
    "Report",
    "Tally",
    "account_line",
    "choose_pairs",
    "render",
]
