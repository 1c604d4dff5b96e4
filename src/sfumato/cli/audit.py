"""`sfumato audit detection SRC [OUT]`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np

from sfumato import boxes as geometry
from sfumato import codec, obfuscation
from sfumato.audit.chart import chart
from sfumato.audit.groups import (
    COMPUTED,
    FROM_PIXELS,
    Values,
    add_computed,
    add_measured,
    assign,
    boxes_of,
    cut,
)
from sfumato.audit.rates import Column, Group, compare
from sfumato.cli import options
from sfumato.cli.faces import detections
from sfumato.cli.progress import progress
from sfumato.cli.run import absolute
from sfumato.database import named
from sfumato.detection import SAME_FACE_IOU
from sfumato.errors import OutputError, UsageError
from sfumato.formats.groups_csv import GroupFile
from sfumato.formats.groups_csv import read as read_groups
from sfumato.formats.imagefolder import ImageFolder
from sfumato.settings import Settings, last_recipe
from sfumato.stats.matching import shares
from sfumato.survey import Labels, Survey, fits_labels, look, read_labels
from sfumato.types import JSON, Box, Face

_NAMED = 10
_STAR = (
    "* differs from the rest: the corrected p is below 0.05, the interval leaves out 0, and both "
    "sides lie in at least ten pictures."
)
SAYS_NOT = (
    "What these numbers don't say: groups are as somebody perceived or labelled them, not what "
    "people are. Skin, light, size, pose and picture quality go together here; a difference isn't "
    "a cause. 'No difference found' is not 'no difference': look at the intervals. Other pictures "
    "and other detectors may differ otherwise, and nobody counted faces that have no label."
)


@click.group()
def audit() -> None:
    """Ask what is wrong with a data set, or with what was done to it."""


@audit.command()
@options.source
@click.argument("out", required=False, type=click.Path(path_type=Path))
@click.option(
    "--groups",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="CSV with a path, perhaps the face (number or box), and columns of groups.",
)
@click.option(
    "--boxes",
    type=click.Path(path_type=Path),
    metavar="FILE",
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
    show_default=True,
    metavar="N",
    help="Don't test groups of fewer faces.",
)
@click.option(
    "--expand",
    type=click.FloatRange(0, 1),
    default=Settings.__dataclass_fields__["expand"].default,
    show_default=True,
    metavar="FRACTION",
    help="Growth of boxes on each side; with OUT, that of its release counts.",
)
@options.labels
@options.searching
@options.workers
@click.option("--ledger", type=options.where, metavar="FILE|URL", help="That of OUT.")
@click.option(
    "--plot", type=click.Path(path_type=Path), metavar="FILE", help="Also draw an SVG file."
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@options.config
def detection(src: Path, out: Path | None, **values: Any) -> int:
    """Compare how often the labelled faces of groups are missed.

    SRC holds pictures in which people have labelled every face. Faces found come from the
    release OUT (or from `sfumato detect`, with --ledger), else SRC is searched. For each group:
    faces, missed ones, their share with a 95 % interval, and whether it differs from all others,
    by permutation of whole pictures, corrected for the number of tests (Holm).
    """
    source = absolute(src)
    groups = None if values["groups"] is None else read_groups(values["groups"])
    labels = _labels(source, values["boxes"], groups)
    found, expand = _found(source, out, labels, values)
    faces = {key: labels.faces[key] for key in labels.faces if key in found}
    _say_left_out(labels, found)
    if not any(faces.values()):
        raise UsageError("No picture with a labelled face was searched: nothing to compare.")
    assigned = _values(source, faces, groups, values["by"])
    columns = _columns(groups, values["by"])
    plain, made = _compared(faces, assigned, columns, _missed(faces, found, expand, values), values)
    plain["expand"] = expand
    print(json.dumps(plain) if values["as_json"] else as_text(plain, made))
    if values["plot"] is not None:
        _write(values["plot"], chart(made, plain["rate"]))
    return 0


def _compared(
    faces: Mapping[str, tuple[Box, ...]],
    assigned: Values,
    columns: Sequence[str],
    missed: Mapping[str, Sequence[bool]],
    values: Mapping[str, Any],
) -> tuple[JSON, list[Group]]:
    """Line all faces up, compare their groups, and return that as plain data too."""
    order = [(key, i) for key, places in faces.items() for i in range(len(places))]
    numbers = {key: number for number, key in enumerate(faces)}
    flags = np.array([missed[key][i] for key, i in order])
    made = compare(
        [
            Column(name, cut([assigned[key][i].get(name, "") for key, i in order]))
            for name in columns
        ],
        flags,
        np.array([numbers[key] for key, _ in order]),
        seed=values["seed"],
        min_faces=values["min_faces"],
    )
    plain: JSON = {
        "covered_share": values["share"],
        "pictures": len(faces),
        "faces": len(order),
        "missed": int(flags.sum()),
        "rate": float(flags.mean()),
        "groups": [{**asdict(group), "differs": group.differs} for group in made],
        "says_not": SAYS_NOT,
    }
    return plain, made


def _labels(source: Path, boxes: Path | None, groups: GroupFile | None) -> Labels:
    if boxes is not None:
        return read_labels(source, boxes)
    if groups is None:
        raise UsageError("Give the labelled faces with --boxes, or in the columns of --groups.")
    return Labels(boxes_of(groups, ImageFolder(source).scan().pictures), {}, {}, ())


def _found(
    source: Path, out: Path | None, labels: Labels, values: Mapping[str, Any]
) -> tuple[dict[str, tuple[Face, ...]], float]:
    """Return the faces found in each picture, and by how much their boxes are grown."""
    if out is not None or values["ledger"] is not None:
        path = options.ledger_of(values, absolute(out or source))
        recipe = last_recipe([path], "%", f"{named(path)} knows of no searched pictures.")
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


def _missed(
    faces: Mapping[str, tuple[Box, ...]],
    found: Mapping[str, tuple[Face, ...]],
    expand: float,
    values: Mapping[str, Any],
) -> dict[str, list[bool]]:
    grown = {key: [geometry.grow(face.box, expand) for face in found[key]] for key in faces}
    return {
        key: [part < values["share"] for part in shares(places, grown[key])]
        for key, places in faces.items()
    }


def _say_left_out(labels: Labels, found: Mapping[str, tuple[Face, ...]]) -> None:
    lost = [
        f"{key}: labelled, but not searched, or of another size, or with a box outside it"
        for key in labels.faces
        if key not in found
    ]
    lost += [f"{name}: labelled, but not in SRC" for name in labels.unused]
    for one in lost[:_NAMED]:
        print(f"left out: {one}", file=sys.stderr)
    if len(lost) > _NAMED:
        print(f"left out: {len(lost) - _NAMED} more", file=sys.stderr)


def _columns(groups: GroupFile | None, by: str | None) -> list[str]:
    known = () if groups is None else groups.columns
    wanted = [name.strip() for name in by.split(",")] if by else list(known)
    unknown = [name for name in wanted if name not in (*known, *COMPUTED)]
    if unknown or not wanted:
        what = f"no column {unknown[0]!r}" if unknown else "nothing to compare by"
        raise UsageError(
            f"There is {what}: choose from {', '.join((*known, *COMPUTED))} with --by."
        )
    return wanted


def _values(
    source: Path,
    faces: Mapping[str, tuple[Box, ...]],
    groups: GroupFile | None,
    by: str | None,
) -> Values:
    """Return the value of every wanted column for every face; a user's column goes first."""
    values: Values = {key: [{} for _ in places] for key, places in faces.items()}
    computed = _columns(groups, by)
    if groups is not None:
        assigned = assign(groups, faces)
        values = assigned.values
        computed = [name for name in computed if name not in groups.columns]
        if assigned.unmatched:
            print(
                f"{len(assigned.unmatched)} rows of {groups.path.name} fit no labelled face, the "
                f"first in row {assigned.unmatched[0]}.",
                file=sys.stderr,
            )
    for name in sorted(set(computed) - FROM_PIXELS):
        add_computed(values, faces, name)
    measured = FROM_PIXELS.intersection(computed)
    for key, places in faces.items() if measured else ():
        pixels = codec.decode(ImageFolder(source).sample(key).data).frames[0]
        for face, box in zip(values[key], places, strict=True):
            add_measured(face, pixels, box, measured)
    return values


def as_text(plain: JSON, groups: list[Group]) -> str:
    """Return the table and the sentences that are printed."""
    about = (
        f"{plain['missed']:,} of {plain['faces']:,} labelled faces in {plain['pictures']:,} "
        f"pictures are missed, {plain['rate']:.1%}: less than {plain['covered_share']:.0%} of each "
        "is covered."
    )
    lines = [about]
    column = ""
    for group in groups:
        if group.column != column:
            column = group.column
            head = f"{'missed':<14}{'share (95 % interval)':<24}{'against the rest':<26}p (Holm)"
            lines += ["", f"{column[:27]:<28}{head}"]
        lines.append(_line(group))
    boot = any(group.interval == "bootstrap" for group in groups)
    kind = "Wilson's"
    if boot:
        kind += " where no two faces share a picture, else a bootstrap over pictures (of fewer "
        kind += "than ten: Wilson's, each picture a trial)"
    lines += ["", f"Intervals: {kind}. {_STAR}", SAYS_NOT]
    return "\n".join(lines)


def _line(group: Group) -> str:
    count = f"{group.missed:,}/{group.faces:,}"
    rate = f"{group.rate:.1%} ({100 * group.low:.1f}-{100 * group.high:.1f})"
    against = p = ""
    if group.difference is not None:
        low, high = group.difference_low or 0.0, group.difference_high or 0.0
        against = f"{100 * group.difference:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
    if group.p is not None and group.corrected is not None:
        p = f"{group.p:.4f} ({group.corrected:.4f}){' *' if group.differs else ''}"
    return f"  {group.value[:25]:<26}{count:<14}{rate:<24}{against:<26}{p}".rstrip()


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path} can't be written: {error.strerror}.") from error
