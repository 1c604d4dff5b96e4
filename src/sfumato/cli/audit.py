"""`sfumato audit detection SRC [OUT]`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from sfumato import boxes as geometry
from sfumato import obfuscation
from sfumato.annotations.groups_csv import GroupFile
from sfumato.annotations.groups_csv import read as read_groups
from sfumato.audit.groups import COMPUTED, Values, add_columns, assign, boxes_of, wanted
from sfumato.audit.missed import Asked, compared
from sfumato.audit.table import as_text, chart
from sfumato.cli import options, told
from sfumato.cli.faces import detections
from sfumato.cli.progress import progress
from sfumato.cli.run import absolute
from sfumato.detection.detect import SAME_FACE_IOU
from sfumato.errors import UsageError
from sfumato.ledger.database import named
from sfumato.pipeline.settings import Settings, last_recipe
from sfumato.pipeline.survey import Labels, Survey, fits_labels, look, read_labels
from sfumato.sources import open_source
from sfumato.types import Box, Face

_NOT_SEARCHED = "labelled, but not searched, or of another size, or with a box outside it"


@click.group()
def audit() -> None:
    """Ask what is wrong with a data set, or with what was done to it."""


@audit.command()
@options.source
@options.path("out", required=False)
@options.file(
    "--groups", help="CSV with a path, perhaps the face (number or box), and columns of groups."
)
@options.file(
    "--boxes",
    help="The labelled faces (COCO, Princeton JSON or CSV).  [default: the boxes in --groups]",
)
@click.option(
    "--by",
    metavar="COLUMN,…",
    help=f"Columns of --groups to compare, or what is computed: {', '.join(COMPUTED)}.  "
    "[default: all of --groups]",
)
@click.option(
    "--min-faces",
    type=click.IntRange(min=1),
    default=10,
    metavar="N",
    help="Don't test groups of fewer faces.",
)
@click.option(
    "--expand",
    type=click.FloatRange(0, 1),
    default=Settings.__dataclass_fields__["expand"].default,
    metavar="FRACTION",
    help="Growth of boxes on each side; with OUT, that of its release counts.",
)
@options.labels
@options.searching
@options.workers
@click.option("--ledger", type=options.where, metavar="FILE|URL", help="That of OUT.")
@options.file("--plot", help="Also draw an SVG file.")
@options.as_json
@options.quiet
@options.config
def detection(src: Path, out: Path | None, **values: Any) -> int:
    """Compare how often the labelled faces of groups are missed.

    SRC holds images in which people have labelled every face. Faces found come from the
    release OUT (or from `sfumato detect`, with --ledger), else SRC is searched. For each group:
    faces, missed ones, their share with a 95 % interval, and whether it differs from all others,
    by permutation of whole images, corrected for the number of tests (Holm).
    """
    source = absolute(src)
    groups = None if values["groups"] is None else read_groups(values["groups"])
    labels = _labels(source, values["boxes"], groups)
    found, expand = _found(source, out, labels, values)
    faces = {key: labels.faces[key] for key in labels.faces if key in found}
    told.left_out(
        *(f"{key}: {_NOT_SEARCHED}" for key in labels.faces if key not in found),
        *(f"{name}: labelled, but not in SRC" for name in labels.unused),
    )
    if not any(faces.values()):
        raise UsageError("No image with a labelled face was searched: nothing to compare.")
    columns = wanted(groups, values["by"])
    asked = Asked(expand, values["share"], values["seed"], values["min_faces"])
    assigned = _values(source, faces, groups, columns)
    plain, made = compared(faces, found, assigned, columns, asked)
    print(json.dumps(plain) if values["as_json"] else as_text(plain, made))
    if values["plot"] is not None:
        told.write(values["plot"], chart(made, plain["rate"]))
    return 0


def _labels(source: Path, boxes: Path | None, groups: GroupFile | None) -> Labels:
    if boxes is not None:
        return read_labels(source, boxes)
    if groups is None:
        raise UsageError("Give the labelled faces with --boxes, or in the columns of --groups.")
    return Labels(boxes_of(groups, open_source(source).scan().images), {}, {}, ())


def _found(
    source: Path, out: Path | None, labels: Labels, values: Mapping[str, Any]
) -> tuple[dict[str, tuple[Face, ...]], float]:
    """Return the faces found in each image, and by how much their boxes are grown."""
    if out is not None or values["ledger"] is not None:
        path = options.ledger_of(values, absolute(out or source))
        recipe = last_recipe([path], "%", f"{named(path)} knows of no searched images.")
        step = recipe.obfuscate
        if step.method == obfuscation.ImageNet.name:
            raise UsageError("The growth of --method imagenet isn't known here: leave OUT away.")
        known = {
            record.key: record.faces
            for record in detections(path)
            if fits_labels(labels, record.key, record)
        }
        return known, step.expand if out is not None else values["expand"]
    recipe = options.search_settings(values).recipe()
    survey = Survey(source, recipe.detect.detectors)
    with progress("audit", quiet=values["quiet"]) as shown:
        surveyed = look(survey, list(labels.faces), options.executor(dict(values)), progress=shown)
    joined = {
        key: tuple(geometry.union([one.faces for one in each], SAME_FACE_IOU))
        for key, each in surveyed.found.items()
        if fits_labels(labels, key, each[0])
    }
    return joined, values["expand"]


def _values(
    source: Path,
    faces: Mapping[str, tuple[Box, ...]],
    groups: GroupFile | None,
    columns: Sequence[str],
) -> Values:
    """Return the value of every wanted column for every face; a user's column goes first."""
    values: Values = {key: [{} for _ in places] for key, places in faces.items()}
    known: Sequence[str] = ()
    if groups is not None:
        assigned = assign(groups, faces)
        values, known = assigned.values, groups.columns
        if assigned.unmatched:
            print(
                f"{len(assigned.unmatched)} rows of {groups.path.name} fit no labelled face, the "
                f"first in row {assigned.unmatched[0]}.",
                file=sys.stderr,
            )
    add_columns(values, faces, (name for name in columns if name not in known), source)
    return values
