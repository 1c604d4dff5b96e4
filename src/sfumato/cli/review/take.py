"""`sfumato review import SRC FILE`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import click

from sfumato.annotations.annotations import TOOLS, Empty, load
from sfumato.cli import options
from sfumato.cli.review.desk import common, opened
from sfumato.review.exchange import Taken, incoming
from sfumato.types import Kind

_NAMED = 10


def _labels(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, Kind]:
    labels: dict[str, Kind] = {}
    for value in values:
        name, _sign, kind = value.rpartition("=")
        if not name or kind not in get_args(Kind):
            raise click.BadParameter(f"{value!r} is not NAME=face or NAME=private")
        labels[name] = "private" if kind == "private" else "face"
    return labels


@click.command("import")
@common
@options.path("file")
@click.option(
    "--format", "tool", type=click.Choice(list(TOOLS)), required=True, help="From which tool."
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    callback=_labels,
    metavar="NAME=KIND",
    help="What a label of the file is, face or private; may be repeated.",
)
@click.option(
    "--empty",
    type=click.Choice(get_args(Empty)),
    default="skip",
    help="How to treat images without a box in CVAT's and COCO's files, which don't tell "
    "whether anybody looked: skip them, or take them for images without a face.",
)
def take(src: Path, file: Path, **values: Any) -> int:
    """Take over what annotators said in FILE; each of them counts as a person of the review.

    The same file again changes nothing. Leaves with exit code 1 if something wasn't taken.
    """
    with opened(src, values) as campaign:
        campaign.must_be_set_up()
        sheets = load(file, values["tool"], labels=values["labels"], empty=values["empty"])
        taken = incoming(campaign.database, sheets, values["tool"])
    if values["as_json"]:
        problems = [{"name": name, "reason": reason} for name, reason in taken.problems]
        told = {**asdict(taken), "people": len(taken.people), "problems": problems}
        click.echo(json.dumps(told))
    else:
        _say(taken)
    return int(bool(taken.unknown or taken.conflicting or taken.problems))


def _say(taken: Taken) -> None:
    click.echo(f"{taken.answers:,} answers of {len(taken.people)} people; {taken.again:,} known")
    listed = [(name, "no image of the review") for name in taken.unknown]
    listed += [(name, "answered before, and differently") for name in taken.conflicting]
    listed += taken.problems
    for name, reason in listed[:_NAMED]:
        click.echo(f"not taken: {name}: {reason}", err=True)
    if len(listed) > _NAMED:
        click.echo(f"and {len(listed) - _NAMED:,} more: see --json", err=True)
