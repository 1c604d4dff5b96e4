"""Groups of faces or images in a table: a path, perhaps which face, and columns of any name.

A face is named by its number among the labelled ones of its image (`face` or `face_index`, from
0) or by its box (`x0,y0,x1,y1`, or `x_min,y_min,width,height`); without either, a row speaks of
all faces of its image. The path may be called `path`, `file`, `filename` or `image`. This is
also the layout of WIDER FACE's demographic annotations (`demographics_val.csv` of
amazon-science/widerface-demographics: an unnamed row number, `file`, `perceived_gender`,
`perceived_age`, `perceived_skin`, `face`, a box and WIDER FACE's own attributes).
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Final

from sfumato.annotations.cells import name_from
from sfumato.annotations.entries import image_name, reading, shown, wrong
from sfumato.types import Box

_PATHS: Final = ("path", "file", "filename", "image")
_INDICES: Final = ("face", "face_index")
_CORNERS: Final = ("x0", "y0", "x1", "y1")
_SIDES: Final = ("x_min", "y_min", "width", "height")


@dataclass(frozen=True, slots=True)
class GroupRow:
    """What one line says: of which image, of which face (None, None: of all), and its groups.

    `box` is None too where it is empty or inverted; `faulty` tells these two apart.
    """

    line: int
    name: str
    index: int | None
    box: Box | None
    faulty: bool
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class GroupFile:
    """A table of groups: the names of its columns, and its rows in their order."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[GroupRow, ...]

    @property
    def has_boxes(self) -> bool:
        """Whether its rows say themselves where the faces are."""
        return any(row.box is not None or row.faulty for row in self.rows)


@dataclass(frozen=True, slots=True)
class _Places:
    """The numbers of the columns."""

    path: int
    index: int | None
    box: tuple[int, ...]
    corners: bool
    groups: Mapping[str, int]


def read(path: Path) -> GroupFile:
    """Read a table of groups (UTF-8, comma, a header).

    Raises `UsageError` for a missing or doubled column, a row of another length, or a cell that
    is no number where one is needed.
    """
    try:
        with reading(path), path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            header = next(reader, [])
            places = _places([column.strip() for column in header], path)
            rows = tuple(_rows(reader, places, len(header), path))
    except csv.Error as error:
        raise wrong(path, "start", f"CSV ({error})") from error
    return GroupFile(path, tuple(places.groups), rows)


def _places(header: Sequence[str], path: Path) -> _Places:
    named = [column for column in header if column]  # pandas writes its row numbers without a name
    counts = Counter(named)
    twice = sorted(column for column, count in counts.items() if count > 1)
    if twice:
        raise wrong(path, "line 1", f"one column {twice[0][:40]}, got {counts[twice[0]]}")
    paths = [column for column in _PATHS if column in named]
    if not paths:
        raise wrong(path, "line 1", f"a column {' or '.join(_PATHS)} in {shown(','.join(header))}")
    indices = [column for column in _INDICES if column in named]
    corners = all(column in named for column in _CORNERS)
    box = _CORNERS if corners else _SIDES if all(c in named for c in _SIDES) else ()
    spoken_for = {paths[0], *indices[:1], *box}
    return _Places(
        header.index(paths[0]),
        header.index(indices[0]) if indices else None,
        tuple(header.index(column) for column in box),
        corners,
        {column: header.index(column) for column in named if column not in spoken_for},
    )


def _rows(
    reader: Iterator[list[str]], places: _Places, length: int, path: Path
) -> Iterator[GroupRow]:
    for line, cells in enumerate(reader, start=2):
        if not cells:
            continue
        where = f"row {line}"
        if len(cells) != length:
            raise wrong(path, where, f"{length} cells as in the header, got {len(cells)}")
        name = image_name(name_from(cells[places.path].strip()), path, where)
        box, faulty = _box([cells[i].strip() for i in places.box], places, path, where)
        values = {column: cells[i].strip() for column, i in places.groups.items()}
        yield GroupRow(line, name, _index(cells, places, path, where), box, faulty, values)


def _index(cells: Sequence[str], places: _Places, path: Path, where: str) -> int | None:
    cell = "" if places.index is None else cells[places.index].strip()
    if not cell:
        return None
    if not cell.isdecimal():
        raise wrong(path, where, f"the number of a face, from 0, got {shown(cell)}")
    return int(cell)


def _box(cells: Sequence[str], places: _Places, path: Path, where: str) -> tuple[Box | None, bool]:
    if not any(cells):
        return None, False
    try:
        a, b, c, d = map(float, cells)
    except ValueError:
        raise wrong(path, where, f"four numbers, got {shown(','.join(cells))}") from None
    box = (a, b, c, d) if places.corners else (a, b, a + c, b + d)
    right = all(map(isfinite, box)) and box[2] > box[0] and box[3] > box[1]
    return (box, False) if right else (None, True)
