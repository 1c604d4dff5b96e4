"""Which groups a labelled face belongs to: from a table that people bring, or from its image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato import boxes
from sfumato.annotations.groups_csv import GroupFile, GroupRow
from sfumato.annotations.name_match import pair
from sfumato.errors import UsageError
from sfumato.imaging import codec
from sfumato.sources import Source, open_source
from sfumato.stats.matching import SIZES, size_of
from sfumato.types import Box, Pixels

COMPUTED: Final = ("size", "class", "brightness", "blur")
FROM_PIXELS: Final = frozenset({"brightness", "blur"})
_SAME_FACE: Final = 0.5  # IoU of a row's box and a label
_SCALED: Final = (64, 64)
_BILINEAR: Final = Image.Resampling.BILINEAR
_MOST_VALUES: Final = 10  # a column of more different numbers is cut into thirds

# For each face of each image: column to value; "" or no entry: not known.
Values: TypeAlias = dict[str, list[dict[str, str]]]


@dataclass(frozen=True, slots=True)
class Assigned:
    """The groups of every labelled face, and the lines of the table that fit none of them."""

    values: Values
    unmatched: tuple[int, ...]


def boxes_of(groups: GroupFile, keys: Sequence[str]) -> dict[str, tuple[Box, ...]]:
    """Return the faces that a table with boxes names itself, by the keys of a source.

    Raises:
        UsageError: it has no boxes, or names no image of the source.
    """
    if not groups.has_boxes:
        raise UsageError(f"{groups.path} says in no column where the faces are: give --boxes too.")
    found: dict[str, list[Box]] = {}
    for key, row in _paired(groups, keys):
        if row.box is not None:
            found.setdefault(key, []).append(row.box)
    return {key: tuple(places) for key, places in sorted(found.items())}


def wanted(groups: GroupFile | None, by: str | None) -> list[str]:
    """Return the columns to compare: those of `by`, "size,class", else all of the table.

    Raises:
        UsageError: there is no such column, or none at all.
    """
    known = () if groups is None else groups.columns
    columns = [name.strip() for name in by.split(",")] if by else list(known)
    unknown = [name for name in columns if name not in (*known, *COMPUTED)]
    if unknown or not columns:
        what = f"no column {unknown[0]!r}" if unknown else "nothing to compare by"
        raise UsageError(
            f"There is {what}: choose from {', '.join((*known, *COMPUTED))} with --by."
        )
    return columns


def assign(groups: GroupFile, faces: Mapping[str, Sequence[Box]]) -> Assigned:
    """Give each labelled face the values of the rows that speak of it.

    A row with a box means the label that it overlaps most, from an IoU of 0.5 on; one with a
    number the label of that place; one with neither all faces of its image.

    Raises:
        UsageError: the table names no image, gives a face two values, or a number there is no
            face for.
    """
    values: Values = {key: [{} for _ in places] for key, places in faces.items()}
    matched: set[int] = set()
    for key, row in _paired(groups, list(faces)):
        places = _places(row, faces[key], groups)
        if places or not faces[key]:
            matched.add(row.line)
        for place in places:
            for column, value in row.values.items():
                if values[key][place].setdefault(column, value) != value:
                    raise UsageError(
                        f"{groups.path}: row {row.line}: {column} is {value!r}, but another row "
                        f"says {values[key][place][column]!r} of the same face."
                    )
    return Assigned(values, tuple(row.line for row in groups.rows if row.line not in matched))


def _paired(groups: GroupFile, keys: Sequence[str]) -> Iterable[tuple[str, GroupRow]]:
    """Return the rows with the key of the image that each speaks of."""
    names = dict.fromkeys(row.name for row in groups.rows)
    key_of = {name: key for key, name in pair(names, keys).names.items()}
    if not key_of:
        raise UsageError(f"{groups.path} names none of the labelled images: correct its paths.")
    return [(key_of[row.name], row) for row in groups.rows if row.name in key_of]


def _places(row: GroupRow, faces: Sequence[Box], groups: GroupFile) -> Sequence[int]:
    if row.faulty:
        return ()
    if row.box is not None:
        overlap = boxes.iou(boxes.as_boxes([row.box]), boxes.as_boxes(faces))[0]
        best = int(overlap.argmax()) if overlap.size else -1
        return (best,) if best >= 0 and overlap[best] >= _SAME_FACE else ()
    if row.index is None:
        return range(len(faces))
    if row.index >= len(faces):
        raise UsageError(
            f"{groups.path}: row {row.line}: face {row.index} of {row.name!r}, which has "
            f"{len(faces)} labelled faces, counted from 0."
        )
    return (row.index,)


def add_columns(
    values: Values, faces: Mapping[str, Sequence[Box]], columns: Iterable[str], source: Path
) -> None:
    """Add the columns that are computed, from the labels or from the images of a source."""
    columns, images = set(columns), open_source(source)
    for name in sorted(columns - FROM_PIXELS):
        add_computed(values, faces, name, images)
    measured = FROM_PIXELS & columns
    for key, places in faces.items() if measured else ():
        pixels = codec.decode(images.sample(key).data).frames[0]
        for face, box in zip(values[key], places, strict=True):
            add_measured(face, pixels, box, measured)


def add_computed(
    values: Values, faces: Mapping[str, Sequence[Box]], column: str, images: Source
) -> None:
    """Add the size of each face, or the class of its image, as a column."""
    for key, places in faces.items():
        for face, box in zip(values[key], places, strict=True):
            face[column] = SIZES[size_of(box)] if column == "size" else images.label(key)


def add_measured(face: dict[str, str], pixels: Pixels, box: Box, columns: Iterable[str]) -> None:
    """Add what the pixels of a face say: `brightness` and `blur`.

    Brightness is the mean luma of the labelled box (ITU-R BT.601, 0 to 255): skin and light
    together. Blur is the variance of the Laplacian of its luma (Pech-Pacheco et al. 2000) at
    64×64 pixels, whatever its size: the smaller, the more blurred. Small faces are, and dark ones
    have less of it too.
    """
    height, width = pixels.shape[:2]
    inside = boxes.clip(box, width, height)
    if inside is None:
        return
    x0, y0, x1, y1 = (round(edge) for edge in inside)
    part = pixels[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1), :3]
    if "brightness" in columns:
        face["brightness"] = f"{_luma(part).mean():.4g}"
    if "blur" in columns:
        scaled = Image.fromarray(np.ascontiguousarray(part)).resize(_SCALED, _BILINEAR)
        luma = _luma(np.asarray(scaled))
        around = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
        face["blur"] = f"{(around - 4 * luma[1:-1, 1:-1]).var():.4g}"


def _luma(pixels: Pixels) -> NDArray[np.float64]:
    luma: NDArray[np.float64] = pixels.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    return luma


def cut(values: Sequence[str]) -> list[str]:
    """Return the values as names of groups: numbers of many kinds become thirds of equal size."""
    known = [value for value in values if value]
    try:
        numbers = np.array([float(value) for value in known])
    except ValueError:
        return list(values)
    if len(set(known)) <= _MOST_VALUES or not np.isfinite(numbers).all():
        return list(values)
    low, high = np.quantile(numbers, [1 / 3, 2 / 3])
    first, last = (f"{edge:,.0f}" if edge >= 100 else f"{edge:.3g}" for edge in (low, high))
    names = (f"up to {first}", f"{first} to {last}", f"above {last}")
    return [names[int(np.searchsorted([low, high], float(v)))] if v else "" for v in values]
