"""`sfumato obfuscate SRC OUT`."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from sfumato.cli import options
from sfumato.cli.run import absolute, carry_out, writing
from sfumato.errors import UsageError
from sfumato.ledger.database import Where, named
from sfumato.ledger.ledger import is_there
from sfumato.pipeline.driver import Job
from sfumato.pipeline.settings import last_recipe, last_selection
from sfumato.sources import open_sink, open_source
from sfumato.sources.selection import Selection


@click.command()
@options.source
@options.release
@options.selecting
@options.obfuscation
@options.review
@options.sending
@options.writing
@options.running
@options.ledger
@click.option(
    "--detections",
    type=options.where,
    metavar="FILE|URL",
    help="The ledger that holds the faces.  [default: OUT's own, else SRC.sfumato/ledger.sqlite]",
)
@options.output
@options.config
def obfuscate(src: Path, out: Path, detections: Where | None, **values: Any) -> int:
    """Cover the faces that `sfumato detect SRC` found, and write the release to OUT.

    An image whose bytes changed since then is refused. Nothing is verified yet: that is
    `sfumato verify SRC OUT`.
    """
    began = time.monotonic()
    source = open_source(src)
    ledger = options.ledger_of(values, absolute(out))
    if detections is not None and not is_there(detections):
        raise UsageError(
            f"There is no ledger {named(detections)}: --detections names an older one."
        )
    origins = [detections] if detections else [ledger, source.beside / "ledger.sqlite"]
    url = source.url
    missing = f"No faces were searched in {url}: run `sfumato detect {url}` first."
    found = last_recipe(origins, "detect", missing)
    settings = options.settings(values)
    said = settings.selection()
    job = Job(
        source=source,
        recipe=replace(found, obfuscate=settings.cover()),
        ledger=ledger,
        out=open_sink(out, like=source, link=values["link"]),
        # As faces were searched, unless it is said anew.
        selection=said if said != Selection() else last_selection(origins, "detect"),
        detections=tuple(origins),
        **writing(values),
    )
    return carry_out(job, ("obfuscate",), options.executor(values), values, began)
