"""What a verb prints at its end, and the exit code that says the same."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from sfumato.ledger import Ledger, is_there
from sfumato.names import shown
from sfumato.pipeline import Job, make_plan
from sfumato.report.data import Report, account_line
from sfumato.report.tally import ROWS_SHOWN

EXIT_CODES = {"passed": 0, "unverified": 0, "failed": 1, "refused": 3, "unfinished": 1}
_SHOWN = 10


def conclude(
    report: Report,
    out: Path,
    private: Path,
    *,
    seconds: float,
    as_json: bool,
    quiet: bool,
    verbose: bool = False,
) -> int:
    """Print the account of a release and where its reports are; return the exit code."""
    summary = report.summary()
    if not quiet:
        _explain(report, out, private, rows=ROWS_SHOWN if verbose else _SHOWN)
    if as_json:
        print(json.dumps(summary))
    else:
        print(f"{account_line(summary)}, {clock(seconds)}")
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
    if failed > rows or report.account.refused > rows:
        _say("… the reports have the rest.")
    if failed:
        _say(f"{failed} checks failed: look at the private report before you publish.")
    _say(f"Report to publish: {out / 'report.html'}")
    _say(f"Report to keep, with originals: {private / 'report.html'}")


def _say(text: str) -> None:
    """Print a line; a name in it can't end it."""
    print(shown(text), file=sys.stderr)


def preview(job: Job, stages: tuple[str, ...], *, as_json: bool) -> int:
    """Print what a job would do; nothing is written."""
    if is_there(job.ledger):
        with Ledger(job.ledger, read_only=True) as ledger:
            plan = make_plan(job, stages, ledger)
    else:
        plan = make_plan(job, stages, None)
    total = sum(len(shard.keys) for shard in plan.shards)
    numbers = {
        "pictures": total,
        "done": total - plan.pictures_left,
        "left": plan.pictures_left,
        "refused": len(plan.listing.failures),
        "other_files": len(plan.listing.others),
    }
    if as_json:
        print(json.dumps(numbers))
    else:
        print(", ".join(f"{number} {name.replace('_', ' ')}" for name, number in numbers.items()))
    return 0
