"""`sfumato review export SRC`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from sfumato.annotations.annotations import TOOLS
from sfumato.annotations.annotations import export as write
from sfumato.cli import options
from sfumato.cli.review.desk import common, opened
from sfumato.review.exchange import outgoing
from sfumato.types import Detection


@click.command()
@common
@click.option(
    "--format", "tool", type=click.Choice(list(TOOLS)), required=True, help="For which tool."
)
@options.file(
    "-o",
    "--output",
    required=True,
    help="Where to write.",
)
@click.option(
    "--first",
    type=click.IntRange(1),
    metavar="N",
    help="Only the N most urgent images.  [default: all that want answers]",
)
@click.option(
    "--prefix",
    default="",
    show_default=False,
    help="What goes before the names, such as /data/local-files/?d= for Label Studio.",
)
def export(src: Path, output: Path, **values: Any) -> int:
    """Write the images that still want answers, with their proposed boxes, for another tool.

    The names of the images are in the file: give it to people who may know them.
    """
    with opened(src, values) as campaign:
        campaign.must_be_set_up()
        images: list[Detection] = list(outgoing(campaign.database, values["first"]))
        write(output, images, values["tool"], prefix=values["prefix"])
    boxes = sum(len(one.faces) for one in images)
    if values["as_json"]:
        click.echo(json.dumps({"images": len(images), "boxes": boxes}))
    else:
        click.echo(f"{len(images):,} images with {boxes:,} boxes in {output}")
    return 0
