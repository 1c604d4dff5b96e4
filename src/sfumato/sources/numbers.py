"""Whether the numbers in a text are an image: rows of pixels, bytes, or a person's embedding.

What annotations consist of passes: boxes, polygons, masks as run lengths, keypoints, classes and
ids. What tells them apart is how the numbers follow each other. Neighbours in an image are
alike; in a polygon (x, y, x, y, …) and in run lengths (outside, inside, …) every *second* one is;
classes and ids are like nothing beside them. Where that leaves doubt, there is an objection.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import groupby
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[np.float64]
Places: TypeAlias = NDArray[np.int64]

PIXELS: Final = "rows of numbers such as pixels"
EMBEDDING: Final = "long rows of numbers, such as an embedding or pixels"
AS_BYTES: Final = "bytes written as numbers"

_WIDE: Final = 64  # numbers in one row; CelebA has 40 attributes, a COCO person 51 of keypoints
_NARROW: Final = 13  # numbers in a row that may each mean something else
_TALL: Final = 256  # numbers in narrow rows: 16 × 16
_OF_A_PIXEL: Final = 6  # numbers of a pixel that stands by itself: x, y and four channels
_ALIKE: Final = 0.7  # correlation of the channels of an image
_GRID_ROWS: Final = 16
_LARGEST: Final = 1e12  # what is larger is no value but an identifier
_RUN: Final = 128  # bytes of nothing but numbers that are looked at
_RUN_OF_CORNERS: Final = 1 << 14  # bytes: some 3,000 corners
_LINE: Final = 1024  # bytes of less than `_WIDE` numbers
_AT_ONCE: Final = 1 << 16  # bytes of one run

# Smooth: neighbours differ this much less than any two. Faces of 48 × 48 have 0.2 to 0.4.
_SMOOTH: Final = 0.6
_PAIRED: Final = 0.65
_ONE_WAY: Final = 0.9
_LEVELS: Final = 32  # fewer different values are classes rather than grey levels
_CHANGING: Final = 0.05  # share of neighbours that differ: classes in order change less often

_NUMERIC: Final = bytes(
    byte in b"0123456789abcdefABCDEFxX.+-,;:|[](){}\"'#&\\/* \t\r\n" for byte in range(256)
)
_PLAIN: Final = bytes(byte for byte in range(256) if _NUMERIC[byte])
_HEX = re.compile(rb"(?:0[xX]|#)?[0-9a-fA-F]+")
_MARKED_HEX = re.compile(rb"(?:0[xX]|#)[0-9a-fA-F]+")
_COLOUR = re.compile(rb"#(?:[0-9a-fA-F]{6}|[0-9a-fA-F]{3})\b")
_VALUE = re.compile(rb"#[0-9a-fA-F]{6}\b|[-+]?\d+(?:\.\d+)?")
_ONLY_HEX = re.compile(rb"[a-dfA-DF]|[eE][a-fA-F]")
_TIME = re.compile(rb"\b\d\d:[0-5]\d:[0-5]\d(?:[.,]\d+)?\b")
_BRACKETS: Final = bytes(byte in b"[](){}" for byte in range(256))
_OF_NUMBERS: Final = bytes(byte in b"0123456789.+-eE" for byte in range(256))
_SPACED: Final = bytes(byte if _OF_NUMBERS[byte] else ord(" ") for byte in range(256))
_LINES: Final = bytes(byte == ord("\n") for byte in range(256))
# What stands before the run lengths of a mask, and before the corners of VIA, all x, then all y.
_COUNTS = re.compile(rb"counts\s*[\"']?\s*[:=]?[\s\[\"']*$")
_CORNERS = re.compile(rb"all_points_(?:y[\s\"':=\[]*)?$")


def runs(window: bytes, table: bytes, minimum: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of each stretch of at least `minimum` bytes that `table` marks by 1."""
    marked = np.frombuffer(window.translate(table), np.uint8)
    borders = np.flatnonzero(np.diff(marked, prepend=0, append=0))
    starts, ends = borders[::2], borders[1::2]
    for at in np.flatnonzero(ends - starts >= minimum):
        yield int(starts[at]), int(ends[at])


def objection(window: bytes) -> str | None:
    """Say what in a piece of text may be an image in numbers, in words; None: nothing."""
    between: list[bytes] = []
    rows: list[bytes] = []
    last = 0
    for start, end in runs(window, _NUMERIC, _RUN):
        between.append(window[last:start])
        last = end
        before = window[max(start - 40, 0) : start]
        counts = _COUNTS.search(before) is not None
        if _CORNERS.search(before) and end - start < _RUN_OF_CORNERS:
            continue
        rows.append(window[start:end] if end - start < _LINE else b"")
        for at in range(start, end, _AT_ONCE):
            found = _in_run(window[at : min(at + _AT_ONCE, end)], counts=counts)
            if found:
                return found
    return _in_lines(rows) or _in_records(b"\n".join([*between, window[last:]]))


def _in_lines(rows: list[bytes]) -> str | None:
    """Object to rows of an image with words between them: stretches of as many numbers."""
    for width, group in groupby((row.translate(_SPACED).split() for row in rows), len):
        if _NARROW <= width < _WIDE:
            table = np.array([[_value(token) for token in row] for row in group])
            if not np.isfinite(table).all():
                continue
            told = [column for column in table.T if not _in_order(column)]  # not their numbers
            if len(told) >= _NARROW and _is_smooth(np.stack(told)):
                return PIXELS
    return None


def _in_run(text: bytes, *, counts: bool) -> str | None:
    if _ONLY_HEX.search(text) and (objected := _in_hex(text)):
        return objected
    inside = np.frombuffer(b"\0" + text.translate(_OF_NUMBERS), np.uint8)
    places = np.flatnonzero(inside[1:] > inside[:-1])
    signs = np.frombuffer(text.translate(_BRACKETS), np.uint8)
    if not signs.any():
        signs = np.frombuffer(text.translate(_LINES), np.uint8)
    pieces = np.cumsum(signs, dtype=np.int64)[places]
    if len(places) < _TALL and (not len(places) or np.bincount(pieces).max() < _WIDE):
        return None
    values = np.array([_value(token) for token in text.translate(_SPACED).split()])
    whole = b"." not in text and b"e" not in text and b"E" not in text
    sound = np.abs(values) < _LARGEST
    values, pieces = values[sound], pieces[sound]
    starts = np.flatnonzero(np.diff(pieces, prepend=-1))
    lengths = np.diff(starts, append=len(values))
    return _in_pieces(values, starts, lengths, whole=whole, counts=counts)


def _value(token: bytes) -> float:
    try:
        return float(token)
    except ValueError:  # a date, say
        return math.inf


def _in_pieces(
    values: Numbers, starts: Places, lengths: Places, *, whole: bool, counts: bool
) -> str | None:
    """Look at rows of numbers; row i has lengths[i] of the values from starts[i] on."""
    wide = np.flatnonzero(lengths >= _WIDE)
    rows = [values[starts[n] : starts[n] + lengths[n]] for n in wide]
    for row in rows:
        if objected := _in_row(row, whole=whole, counts=counts):
            return objected
    if len({len(row) for row in rows}) == 1 and _is_grid(np.stack(rows)):
        return PIXELS
    narrow = lengths < _WIDE
    flat = values[np.repeat(narrow, lengths)]
    if len(flat) < _TALL:
        return None
    widths = set(lengths[narrow].tolist())
    return _in_table(flat, widths.pop() if len(widths) == 1 else 1, whole=whole)


def _in_hex(text: bytes) -> str | None:
    """Object to bytes, words or colours in hexadecimal: ``ff d8 …``, ``0xff, …``, ``#ffd8ff …``."""
    marked = _MARKED_HEX.findall(text)
    if len(marked) >= 2 * _WIDE:
        return AS_BYTES
    tokens = _HEX.findall(text)
    alike = max(sum(len(token) == size for token in tokens) for size in (2, 4, 6, 8))
    return AS_BYTES if alike >= 2 * _WIDE and alike > 0.8 * len(tokens) else None


def _in_row(row: Numbers, *, whole: bool, counts: bool) -> str | None:
    """Object to one long row unless it is a polygon, run lengths, keypoints, classes or ids."""
    row = row[1:-1] if counts else row  # what lies before and behind the object is long
    if _is_paired(row) and not any(_tells_nothing(row[n::2], flags=False) for n in (0, 1)):
        return None
    row = _varying(row)
    if len(row) < _WIDE // 2 or _in_order(row) or _is_paired(row):
        return None
    if not whole:
        return EMBEDDING if len(np.unique(row)) >= 8 else None
    if _is_bytes(row) or row.min() < -(2**16):  # or words of 32 bits
        return AS_BYTES
    if counts:  # ragged masks have run lengths like nothing beside them
        return PIXELS if _likeness(row, 1) < _SMOOTH / 2 else None
    return PIXELS if _is_image(row, levels=8) else None


def _in_table(flat: Numbers, width: int, *, whole: bool) -> str | None:
    """Object to many short rows that hold an image: one pixel a row, or a few."""
    if width > 1:
        table = flat[: len(flat) // width * width].reshape(-1, width)
        if _is_raster(table) or _has_colours(table) or (width >= _NARROW and _is_grid(table)):
            return PIXELS
        told = [n for n in range(width) if not (_in_order(table[:, n]) or _is_curve(table[:, n]))]
        table = table[:, told]
        if not told or (len(told) == 4 and _are_boxes(table)):
            return None
        if width < _NARROW and np.std(table.mean(axis=0)) > 0.3 * (table.std() or 1):
            return None  # columns of different meaning
        flat = table.ravel()
    if len(flat) < _TALL or _is_paired(flat):
        return None
    if whole and _is_bytes(flat):
        return AS_BYTES
    return PIXELS if _is_image(flat, levels=_LEVELS) else None


def _in_records(window: bytes) -> str | None:
    """Object to pixels that stand in the same words again and again: records, cells, colours."""
    shades = [
        int(one[3:5] if len(one) == 7 else one[2:3] * 2, 16) for one in _COLOUR.findall(window)
    ]
    if len(shades) >= _TALL and _is_image(np.array(shades, dtype=np.float64), levels=8):
        return PIXELS
    window = _TIME.sub(b"t", window)  # else seconds are a column of numbers that rise and rise
    digits = len(window) - len(window.translate(None, b"0123456789"))
    if digits < 0.05 * len(window):
        return None
    words = _VALUE.split(window)[:-1]  # what stands before each number
    if len(words) < _TALL:
        return None
    names: dict[bytes, int] = {}
    skeleton = np.array([names.setdefault(word, len(names)) for word in words])
    found: list[bytes] = []
    for period in range(1, _NARROW):
        same = np.r_[0, skeleton[period:] == skeleton[:-period], 0]
        borders = np.flatnonzero(np.diff(same))
        for start, end in zip(borders[::2], borders[1::2], strict=True):
            if end - start < max(_TALL, _TALL * period // 2):
                continue
            found = found or _VALUE.findall(window)
            rows = _as_numbers(found[start : start + (end - start) // period * period])
            if objected := _in_table(rows, period, whole=not (rows % 1).any()):
                return objected
    return None


def _as_numbers(texts: list[bytes]) -> Numbers:
    """Return values, a colour's as its green: what is seen of it in grey."""
    values = [float(int(t[3:5], 16)) if t.startswith(b"#") else float(t) for t in texts]
    numbers: Numbers = np.clip(np.array(values), -_LARGEST, _LARGEST)
    return numbers


def _varying(row: Numbers) -> Numbers:
    """Leave out every second to fourth number where it tells nothing: alpha, visibility, index."""
    large = np.abs(row).max() > 2
    for step in (2, 3, 4):
        if len(row) > 4 * step:
            columns = row[: len(row) // step * step].reshape(-1, step)
            keep = [
                n
                for n in range(step)
                if not _tells_nothing(columns[:, n], flags=step == 3 and large)
            ]
            if 0 < len(keep) < step:
                return columns[:, keep].ravel()
    return row


def _tells_nothing(column: Numbers, *, flags: bool) -> bool:
    """Say whether a column is constant, an index, or (`flags`) visibility or a score."""
    steps = np.diff(column)
    return bool((steps == steps[0]).all() or (flags and column.min() >= 0 and column.max() <= 2))


def _spread(row: Numbers) -> float:
    """Return by how much two numbers of a row differ on average, wherever they stand."""
    ordered, count = np.sort(row), len(row)
    weights = 2 * np.arange(1, count + 1) - count - 1
    return float(2 * (weights * ordered).sum() / (count * count))


def _likeness(row: Numbers, step: int) -> float:
    """Return how much numbers `step` apart differ, against any two: 1 for no order at all."""
    spread = _spread(row)
    return float(np.abs(row[step:] - row[:-step]).mean()) / spread if spread else 1.0


def _is_paired(row: Numbers) -> bool:
    one, two, three = (np.abs(row[step:] - row[:-step]).mean() for step in (1, 2, 3))
    return bool(two < _PAIRED * min(one, three))


def _is_image(row: Numbers, *, levels: int) -> bool:
    smooth = min(_likeness(row, 1), _likeness(row, 3)) < _SMOOTH
    changing = (row[1:] != row[:-1]).mean() >= _CHANGING
    return bool(smooth and changing and len(np.unique(row)) >= levels and not _in_order(row))


def _is_bytes(row: Numbers) -> bool:
    """Say whether these may be the bytes of a file, compressed ones included."""
    low, high = row.min(), row.max()
    if not ((low >= 0 and 250 <= high <= 255) or (-128 <= low <= -100 and 100 <= high <= 127)):
        return False
    return len(np.unique(row)) >= min(180, 0.45 * len(row))


def _in_order(row: Numbers) -> bool:
    steps = np.diff(row)
    return bool((steps >= 0).all() or (steps <= 0).all())


def _is_curve(column: Numbers) -> bool:
    """Say whether a column goes one way on the whole, as a loss does over epochs.

    By the correlation of ranks with places: a curve of training has 0.95 and more, the pixels of
    an image one below another under 0.8.
    """
    ranks = np.argsort(np.argsort(column, kind="stable"))
    return abs(float(np.corrcoef(ranks, np.arange(len(column)))[0, 1])) > _ONE_WAY


def _is_raster(table: Numbers) -> bool:
    """Say whether two columns go through the places of a grid, row by row, beside grey levels."""
    ranges = np.ptp(table, axis=0)
    if table.shape[1] > _OF_A_PIXEL or (ranges > 255).all() or table.shape[1] < 3:
        return False
    for fast in range(table.shape[1]):
        steps = np.diff(table[:, fast])
        back = steps < 0
        if 0.5 < back.sum() < len(steps) / 8 and (steps[~back] == max(steps[~back][0], 1e-9)).all():
            for slow in range(table.shape[1]):
                moved = np.diff(table[:, slow]) != 0
                # Or one row apart, where the rows were cut between the two columns.
                alike = (moved == back).all() or (moved[:-1] == back[1:]).all()
                if slow != fast and (alike or (moved[1:] == back[:-1]).all()):
                    return True
    return False


def _has_colours(table: Numbers) -> bool:
    """Say whether three columns side by side are the colours of an image: alike, and smooth."""
    for at in range(min(table.shape[1], _NARROW) - 2):
        three = table[:, at : at + 3]
        if three.min() < -255 or three.max() > 255 or any(map(_in_order, three.T)):
            continue
        smooth = all(_likeness(column, 1) < _SMOOTH for column in three.T)
        if smooth and np.corrcoef(three.T).min() > _ALIKE and len(np.unique(three)) >= _LEVELS:
            return True
    return False


def _are_boxes(table: Numbers) -> bool:
    return bool(((table[:, 2] > table[:, 0]) & (table[:, 3] > table[:, 1])).mean() > 0.95)


def _is_grid(table: Numbers) -> bool:
    """Say whether rows lie below one another like the rows of an image."""
    if len(table) < _GRID_ROWS or not np.ptp(table):
        return False
    if _is_smooth(table):
        return True
    # Black and white dots have neighbours that differ; labels are one in a row, mostly.
    low, high = table.min(), table.max()
    dots = table.shape[1] >= _WIDE // 2 and len(np.unique(table)) == 2
    return bool(dots and 0.15 < (table.mean() - low) / (high - low) < 0.85)


def _is_smooth(table: Numbers) -> bool:
    """Say whether numbers are like their neighbours, across as well as down."""
    spread = _spread(table.ravel())
    if len(table) < _GRID_ROWS or not spread:
        return False
    across, down = (np.abs(np.diff(table, axis=axis)).mean() for axis in (1, 0))
    return bool(max(across, down) < _SMOOTH * spread)
