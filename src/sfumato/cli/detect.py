"""`sfumato detect SRC`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from sfumato.cli import options
from sfumato.cli.preview import preview
from sfumato.cli.progress import progress
from sfumato.cli.run import absolute
from sfumato.cli.uploads import uploads
from sfumato.ledger.ledger import Ledger
from sfumato.pipeline.driver import Job, search
from sfumato.recipe import Recipe
from sfumato.sources import open_source
from sfumato.types import Detection, Failure


@click.command()
@options.source
@options.selecting
@options.detection
@options.sending
@options.running
@options.ledger
@options.output
@options.config
def detect(src: Path, **values: Any) -> int:
    """Find the faces of the images below SRC and keep them in the ledger.

    Boxes are kept as found; they are grown when faces are covered. `sfumato obfuscate SRC OUT`
    goes on from there.
    """
    settings = options.settings(values)
    job = Job(
        source=open_source(src),
        recipe=settings.recipe(),
        ledger=options.ledger_of(values, absolute(src)),
        resume=values["resume"],
        boxes=settings.boxes,
        selection=settings.selection(),
    )
    if values["dry_run"]:
        return preview(job, ("detect",), values)
    with (
        uploads(job, ("detect",), values),
        progress("detect", quiet=values["quiet"]) as shown,
    ):
        search(job, options.executor(values), progress=shown)
    with Ledger(job.ledger, read_only=True) as ledger:
        numbers = count(ledger, job.recipe)
    if values["as_json"]:
        print(json.dumps(numbers))
    else:
        print(
            f"{numbers['images']} images: {numbers['faces']} faces in "
            f"{numbers['images_with_faces']}, {numbers['candidates']} candidates, "
            f"{numbers['refused']} refused"
        )
    return 3 if numbers["refused"] else 0


def count(ledger: Ledger, recipe: Recipe) -> dict[str, int]:
    """Count images, faces and refusals of what the source holds now."""
    there = {key for key, kind in ledger.listing() if kind in ("image", "refused")}
    numbers = dict.fromkeys(("images", "faces", "images_with_faces", "candidates", "refused"), 0)
    for record in ledger.latest(recipe.fingerprint("detect"), ("detection", "failure")):
        if record.key not in there:
            continue
        numbers["images"] += 1
        if isinstance(record, Detection):
            numbers["faces"] += len(record.faces)
            numbers["candidates"] += len(record.candidates)
            numbers["images_with_faces"] += bool(record.faces)
        numbers["refused"] += isinstance(record, Failure)
    return numbers
