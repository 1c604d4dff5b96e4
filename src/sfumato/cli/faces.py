"""`sfumato faces export OUT`."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import click

from sfumato.annotations.box_files import LAYOUTS, Layout, save
from sfumato.boxes import apart
from sfumato.cli import options
from sfumato.cli.run import absolute
from sfumato.detection.detect import SAME_FACE_IOU
from sfumato.errors import UsageError
from sfumato.ledger.database import Where, named
from sfumato.ledger.ledger import Ledger, is_there
from sfumato.pipeline.settings import last_recipe
from sfumato.types import Detection, Output


@click.group()
def faces() -> None:
    """Write the boxes of a release, or of a source that was searched, to a file."""


@faces.command()
@options.path("folder")
@click.option(
    "--format",
    "layout",
    type=click.Choice(list(LAYOUTS)),
    default="coco",
    help="COCO, the layout of ImageNet's face annotations, or CSV.",
)
@options.file("-o", "--output", help="Where to write.  [default: standard output]")
@click.option("--ledger", type=options.where, metavar="FILE|URL", help="The records.")
@click.option(
    "--candidates", is_flag=True, help="Write what may be a face and wasn't covered, instead."
)
def export(
    folder: Path,
    layout: Layout,
    output: Path | None,
    ledger: Where | None,
    candidates: bool,
) -> int:
    """Write the final boxes as found or decided, not grown.

    FOLDER is the OUT of a release, or a SRC that `sfumato detect` has searched. docs/formats.md
    describes the layouts.
    """
    where = options.ledger_of({"ledger": ledger}, absolute(folder))
    if not is_there(where):
        raise UsageError(
            f"There is no ledger {named(where)}: give an OUT or a searched SRC, or --ledger."
        )
    found = detections(where)
    if candidates:
        # Those that no final box covers by now.
        found = [
            replace(one, faces=tuple(apart(one.candidates, one.faces, SAME_FACE_IOU)))
            for one in found
        ]
    if output is not None:
        save(output, found, layout=layout)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        written = Path(scratch) / "faces"
        save(written, found, layout=layout)
        sys.stdout.buffer.write(written.read_bytes())
    return 0


def detections(where: Where) -> list[Detection]:
    """Return the final boxes of every image that the source still holds."""
    recipe = last_recipe([where], "%", f"{named(where)} knows of no searched images.")
    with Ledger(where, read_only=True) as ledger:
        there = {key for key, kind in ledger.listing() if kind == "image"}
        # What the look at the covered image found as well is only in the output.
        final = {
            output.key: output.faces
            for output in ledger.latest(recipe.fingerprint("obfuscate"), ("output",))
            if isinstance(output, Output)
        }
        found = ledger.latest(recipe.fingerprint("detect"), ("detection",))
        return [
            replace(record, faces=final.get(record.key, record.faces))
            for record in found
            if isinstance(record, Detection) and record.key in there
        ]
