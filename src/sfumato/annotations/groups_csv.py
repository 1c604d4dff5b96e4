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
class _Columns:
    """Which columns say what; no `index` or `box` where there is none."""

    path: str
    index: str
    box: tuple[str, ...]
    groups: tuple[str, ...]


def read(path: Path) -> GroupFile:
    """Read a table of groups (UTF-8, comma, a header).

    Raises `UsageError` for a missing or doubled column, a row of another length, or a cell that
    is no number where one is needed.
    """
    try:
        with reading(path), path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            header = [column.strip() for column in next(reader, [])]
            columns = _columns(header, path)
            rows = tuple(_rows(reader, header, columns, path))
    except csv.Error as error:
        raise wrong(path, "start", f"CSV ({error})") from error
    return GroupFile(path, columns.groups, rows)


def _columns(header: Sequence[str], path: Path) -> _Columns:
    named = [column for column in header if column]  # pandas writes its row numbers without a name
    counts = Counter(named)
    twice = sorted(column for column, count in counts.items() if count > 1)
    if twice:
        raise wrong(path, "line 1", f"one column {twice[0][:40]}, got {counts[twice[0]]}")
    paths = [column for column in _PATHS if column in named]
    if not paths:
        raise wrong(path, "line 1", f"a column {' or '.join(_PATHS)} in {shown(','.join(header))}")
    indices = [column for column in _INDICES if column in named]
    box = next((some for some in (_CORNERS, _SIDES) if all(one in named for one in some)), ())
    spoken_for = {paths[0], *indices[:1], *box}
    groups = tuple(column for column in named if column not in spoken_for)
    return _Columns(paths[0], indices[0] if indices else "", box, groups)


def _rows(
    reader: Iterator[list[str]], header: Sequence[str], columns: _Columns, path: Path
) -> Iterator[GroupRow]:
    for line, cells in enumerate(reader, start=2):
        if not cells:
            continue
        where = f"row {line}"
        if len(cells) != len(header):
            raise wrong(path, where, f"{len(header)} cells as in the header, got {len(cells)}")
        row = {column: cell.strip() for column, cell in zip(header, cells, strict=True)}
        name = image_name(name_from(row[columns.path]), path, where)
        index = row[columns.index] if columns.index else ""
        # By length too: Python reads no number of thousands of digits.
        if index and (not index.isdecimal() or len(index) > 10):
            raise wrong(path, where, f"the number of a face, from 0, got {shown(index)}")
        box, faulty = _box([row[column] for column in columns.box], columns, path, where)
        values = {column: row[column] for column in columns.groups}
        yield GroupRow(line, name, int(index) if index else None, box, faulty, values)


def _box(
    cells: Sequence[str], columns: _Columns, path: Path, where: str
) -> tuple[Box | None, bool]:
    if not any(cells):
        return None, False
    try:
        a, b, c, d = map(float, cells)
    except ValueError:
        raise wrong(path, where, f"four numbers, got {shown(','.join(cells))}") from None
    box = (a, b, c, d) if columns.box == _CORNERS else (a, b, a + c, b + d)
    right = all(map(isfinite, box)) and box[2] > box[0] and box[3] > box[1]
    return (box, False) if right else (None, True)
