"""What a verb prints at its end, and the exit code that says the same."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sfumato.errors import Code
from sfumato.release.report.data import Report, account_line
from sfumato.release.report.tally import ROWS_SHOWN
from sfumato.sources.names import shown

EXIT_CODES = {"passed": 0, "unverified": 0, "failed": 1, "refused": 3, "unfinished": 1}
_SHOWN = 10
_MADE_AGAIN = {Code.VERIFY_BYTES_CHANGED, Code.VERIFY_UNREADABLE, Code.VERIFY_FILE_MISSING}


def conclude(
    report: Report, out: Path, private: Path, values: Mapping[str, Any], began: float
) -> int:
    """Print the account of a release and where its reports are; return the exit code.

    `values` are a verb's parameters, `began` the monotonic clock when it began.
    """
    summary = report.summary()
    if not values["quiet"]:
        _explain(report, out, private, rows=ROWS_SHOWN if values.get("verbose") else _SHOWN)
    if values["as_json"]:
        print(json.dumps(summary))
    else:
        print(f"{account_line(summary)}, {clock(time.monotonic() - began)}")
    return EXIT_CODES[report.verdict]


def clock(seconds: float) -> str:
    """Return a time as MM:SS, from an hour on as HH:MM:SS; a day has no place of its own."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def _explain(report: Report, out: Path, private: Path, *, rows: int) -> None:
    failed = sum(check.failed for check in report.checks)
    for finding in report.failed[:rows]:
        words = f" {finding.detail}" if finding.detail else ""
        _say(
            f"{finding.code} {finding.key}: {finding.value:.3g}, limit {finding.limit:.3g}.{words}"
        )
    for failure in report.refused[:rows]:
        _say(f"refused, {failure.code} {failure.key}: {failure.reason}")
    if failed > rows or report.account.refused + report.others.refused > rows:
        _say("… the reports have the rest.")
    if report.others.unchecked:
        _say(
            f"{report.others.unchecked} other files were copied that nobody looked "
            "through, because --copy-other named them."
        )
    if failed:
        _say(f"{failed} checks failed: look at the private report before you publish.")
    for sentence in _ways_out(report):
        _say(sentence)
    _say(f"Report to publish: {out / 'report.html'}")
    _say(f"Report to keep, with originals: {private / 'report.html'}")


def _ways_out(report: Report) -> Iterator[str]:
    """Yield what can be done about checks that failed."""
    failed = {check.code: check.failed for check in report.checks if check.failed}
    if Code.VERIFY_FACE_FOUND in failed:
        yield (
            "Faces were seen in OUT: `sfumato run` with the same options and --cover-findings "
            f"covers them ({failed[Code.VERIFY_FACE_FOUND]} images). If nothing changes, run "
            "`sfumato verify` before it."
        )
    if failed.keys() & _MADE_AGAIN:
        yield "What isn't in OUT as it was written, the same `sfumato run` makes again."
    if Code.VERIFY_FILE_UNEXPECTED in failed:
        yield "What sfumato didn't put into OUT it doesn't remove: do so, then go on."
    if report.account.unfinished:
        yield "OUT is not finished: the same `sfumato run` goes on."


def _say(text: str) -> None:
    """Print a line; a name in it can't end it."""
    print(shown(text), file=sys.stderr)
