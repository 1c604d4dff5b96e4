"""Boxes as a table: ``path,x0,y0,x1,y1`` and, if there, ``score``, ``origin`` and ``kind``.

UTF-8, comma, a header, RFC 4180 quoting; pixels, right and bottom exclusive. One row for each
face; a row with empty coordinates says that the image was looked at and has no face. Names that a
spreadsheet or a terminal would obey are written as `sfumato.annotations.cells` says.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from sfumato.annotations import cells
from sfumato.annotations.entries import Entry, image_name, reading, shown, wrong
from sfumato.types import Box, Detection, Kind

REQUIRED = ("path", "x0", "y0", "x1", "y1")
OPTIONAL = ("score", "origin", "kind")
# What `kind` may say of a box that is no face which must be found.
UNCOUNTED = frozenset({"art", "unclear", "crowd", "ignore"})


def read(path: Path) -> Iterator[Entry]:
    """Yield the entries of a table row by row; columns of other names are ignored.

    `kind` is "private", or one of `UNCOUNTED`; anything else, also nothing, is a face.

    Raises `UsageError` for a missing column, a row of another length, a quote that doesn't
    close, a cell that is no number, or a row with only some of the four coordinates.
    """
    with reading(path), path.open(encoding="utf-8-sig", newline="") as stream:
        yield from _entries(stream, path)


def write(stream: TextIO, detections: Iterable[Detection]) -> None:
    """Print the images in the order given, one row for each face, in lines that end in LF.

    The column `kind` is there only if a box holds something else than a face.
    """
    detections = list(detections)
    kinds = any(face.kind != "face" for one in detections for face in one.faces)
    columns = (*REQUIRED, *OPTIONAL) if kinds else (*REQUIRED, *OPTIONAL[:-1])
    stream.write(",".join(columns) + "\n")
    for detection in detections:
        name = _quoted(cells.cell(detection.key))
        for face in detection.faces:
            origin = _quoted(cells.cell(face.origin))
            row = [name, *map(repr, face.box), repr(face.score), origin]
            stream.write(",".join([*row, face.kind] if kinds else row) + "\n")
        if not detection.faces:
            stream.write(name + "," * (len(columns) - 1) + "\n")


def _entries(stream: TextIO, path: Path) -> Iterator[Entry]:
    # strict: a stray quote would otherwise swallow all rows up to the next one
    reader = csv.reader(stream, strict=True)
    header: list[str] = []
    places: dict[str, int] = {}
    try:
        for row in reader:
            if not row:
                continue
            where = f"line {reader.line_num}"
            if not header:
                header = row
                places = _places(header, path, where)
            elif len(row) != len(header):
                raise wrong(path, where, f"{len(header)} cells as in the header, got {len(row)}")
            else:
                yield _entry({column: row[i] for column, i in places.items()}, path, where)
    except csv.Error as error:
        raise wrong(path, f"line {reader.line_num}", f"a row of CSV ({error})") from error
    if not header:
        raise wrong(path, "line 1", f"a header with {','.join(REQUIRED)}, got an empty file")


def _places(header: Sequence[str], path: Path, where: str) -> dict[str, int]:
    """Return the column number of each column that is read."""
    columns = [column.strip() for column in header]
    for column in (*REQUIRED, *OPTIONAL):
        if columns.count(column) > 1:
            raise wrong(path, where, f"one column {column}, got {columns.count(column)}")
    missing = [column for column in REQUIRED if column not in columns]
    if missing:
        raise wrong(
            path,
            where,
            f"a header with {','.join(REQUIRED)}: no column {', '.join(missing)} "
            f"in {shown(','.join(columns))}",
        )
    return {c: columns.index(c) for c in (*REQUIRED, *OPTIONAL) if c in columns}


def _entry(row: dict[str, str], path: Path, where: str) -> Entry:
    name = image_name(cells.name_from(row["path"]), path, f"{where}, path")
    corners = [row[corner] for corner in REQUIRED[1:]]
    if not any(corner.strip() for corner in corners):
        return Entry(name, None)
    x0, y0, x1, y1 = (_number(corner, path, where) for corner in corners)
    box: Box = (x0, y0, x1, y1)
    score = row.get("score", "").strip()
    origin = cells.name_from(row.get("origin", "").strip())
    said = row.get("kind", "").strip().lower()
    kind: Kind = "private" if said == "private" else "face"
    confidence = _number(score, path, where) if score else 1.0
    return Entry(name, box, confidence, origin or "file", None, kind, said in UNCOUNTED)


def _number(cell: str, path: Path, where: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise wrong(path, where, f"four numbers (or four empty cells), got {shown(cell)}") from None


def _quoted(cell: str) -> str:
    """Quote where needed; also a lone CR, which Python's csv writer leaves bare."""
    if any(c in cell for c in ',"\r\n') or cell != cell.strip():
        return '"' + cell.replace('"', '""') + '"'
    return cell
