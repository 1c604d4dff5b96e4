"""`sfumato verify SRC OUT`."""

from __future__ import annotations

import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from sfumato.cli import options
from sfumato.cli.run import absolute, carry_out
from sfumato.errors import MissingExtra
from sfumato.ledger.database import named
from sfumato.pipeline.driver import Job
from sfumato.pipeline.settings import last_recipe, last_selection, observed_by, verify_step
from sfumato.sources import open_sink, open_source


@click.command()
@options.source
@options.release
@options.verification
@options.sending
@options.workers
@click.option(
    "--second-reader",
    is_flag=True,
    help="Also compare the coefficients of edited JPEG files as libjpeg reads them "
    "(pip install 'sfumato[verify]').",
)
@options.ledger
@options.output
@options.config
def verify(src: Path, out: Path, **values: Any) -> int:
    """Check the release OUT against its source SRC, as it lies there now.

    Names and numbers for each class, the bytes of untouched images, pixels away from the
    faces, metadata, how much is left of each face, and whether detectors still find one. Leaves
    with exit code 1 if a check fails.
    """
    began = time.monotonic()
    src, out = absolute(src), absolute(out)
    source = open_source(src)
    ledger = options.ledger_of(values, out)
    make = f"make one with `sfumato run {src} {out}`."
    missing = f"{named(ledger)} knows of no release in {out}: {make}"
    recipe = last_recipe([ledger], "obfuscate", missing)
    if values["verify_detectors"]:
        recipe = replace(recipe, verify=verify_step(values["verify_detectors"]))
    recipe = replace(recipe, observe=observed_by(values["observe"], recipe.observe))
    if values["second_reader"] and find_spec("jpeglib") is None:
        raise MissingExtra("--second-reader needs jpeglib: pip install 'sfumato[verify]'")
    job = Job(
        source,
        recipe,
        ledger,
        open_sink(out, like=source),
        second_reader=values["second_reader"],
        selection=last_selection([ledger], "obfuscate"),
    )
    return carry_out(job, ("verify",), options.executor(values), values, began)
