"""`sfumato report OUT`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from sfumato.cli import options
from sfumato.cli.outcome import conclude
from sfumato.cli.run import absolute
from sfumato.pipeline.driver import write_report
from sfumato.pipeline.job import private_of
from sfumato.sources.private import private_folder


@click.command()
@options.release
@options.ledger
@options.output
@options.config
def report(out: Path, **values: Any) -> int:
    """Write manifest, tables and both reports of the release OUT again, from its ledger.

    Names, numbers and bytes of files are compared once more; images aren't searched (`sfumato
    verify` does that). Where a file isn't the one that was written, there is no manifest.
    """
    began = time.monotonic()
    out = absolute(out)
    ledger = options.ledger_of(values, out)
    made = write_report(out, ledger)
    return conclude(made, out, private_of(ledger, private_folder(out)), values, began)
