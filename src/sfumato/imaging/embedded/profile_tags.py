"""Which tags of a colour profile colour management defines, and how many bytes each takes.

ICC.1:2022 (version 4.4) and ICC.1:2001-04 (version 2.4). A tag that isn't here, or isn't of a kind
that the standard allows it, can hold anything and goes.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_PARAMETERS: Final = (1, 3, 4, 5, 7)  # of a parametric curve, by its function type
_CURVE, _LUT = (b"curv", b"para"), (b"mft1", b"mft2", b"mAB ", b"mBA ")
_MOST_ENTRIES: Final = 1 << 16  # of a curve
_ROUGHEST: Final = 4  # a curve's whole way up and down against its range; an image has far more

_SMALL: Final = 2000  # numbers of a table; fewer make no image in which somebody is known
_STEEPEST: Final = 0.7  # from cell to cell, in standard deviations; far pixels differ by about 1.1

TEXTS: Final = frozenset((b"desc", b"cprt", b"dmnd", b"dmdd", b"vued"))
_KINDS: Final[dict[bytes, tuple[bytes, ...]]] = {
    **dict.fromkeys((b"wtpt", b"bkpt", b"rXYZ", b"gXYZ", b"bXYZ", b"lumi"), (b"XYZ ",)),
    **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC", b"kTRC"), _CURVE),
    **dict.fromkeys((b"A2B0", b"A2B1", b"A2B2", b"B2A0", b"B2A1", b"B2A2"), _LUT),
    **dict.fromkeys((b"gamt", b"pre0", b"pre1", b"pre2"), _LUT),
    **dict.fromkeys((b"tech", b"ciis", b"rig0", b"rig2"), (b"sig ",)),
    b"chad": (b"sf32",),
    b"arts": (b"sf32",),
    b"chrm": (b"chrm",),
    b"cicp": (b"cicp",),
    b"meas": (b"meas",),
    b"view": (b"view",),
    b"vcgt": (b"vcgt",),
}
_SIZES: Final = {b"XYZ ": 20, b"sig ": 12, b"sf32": 44, b"cicp": 12, b"meas": 36, b"view": 36}

# SHA-256 of tags outside of the standard that come with every copy of a profile: the names of
# Apple's Camera RGB, Generic RGB and sRGB profiles in many languages, and Generic RGB's `ndin`.
_KNOWN: Final = frozenset(
    (
        "f6961f2354c37e6b7d4d4b4c765bbeb9d323e857c9a48b0bf9d90e3ad1ba617a",
        "321698a451fbf4845ff4c227e1e10c121758e441d0257ed7e44ff8b38764671d",
        "aa5145aa83aae532dba3fefd7fe7c2850e69134937cf88bfac1677a55576f36f",
        "cd501a8051c7eb1d208a9d82d89eb40417a948f83538a85e1bbd3029ff656187",
        "e6f9c24e63a6c2ba2808be899279ba62b99c4a8f389eda6ff1aeecaf5dfc45ee",
    )
)


def size_of(name: bytes, data: bytes) -> int | None:
    """Return how many bytes a tag takes by what it says; None for what may not stay.

    Args:
        name: the signature of the tag.
        data: its bytes, with any that follow.

    Raises:
        struct.error, IndexError: it is cut off.
    """
    if name in (b"dscm", b"ndin"):  # of Apple
        return len(data) if hashlib.sha256(data).hexdigest() in _KNOWN else None
    kind = data[:4]
    if kind not in _KINDS.get(name, ()) or any(data[4:8]):
        return None
    size = _SIZES[kind] if kind in _SIZES else _MEASURES[kind](data)
    if kind == b"XYZ " and not _plausible(name, data):
        return None
    return size if size is not None and size <= len(data) else None


def _plausible(name: bytes, data: bytes) -> bool:
    """Tell whether a white or black point is one, and not the place on earth that it could be."""
    x, y, z = (value / 65536 for value in struct.unpack_from(">3i", data, 8))
    if name == b"bkpt":
        return all(-0.01 <= value <= 0.2 for value in (x, y, z))
    if name in (b"wtpt", b"lumi"):
        alone = name == b"lumi" and x == z == 0
        return y >= 0 and (alone or all(0.3 * y <= value <= 2 * y for value in (x, z)))
    return True


def _curve(data: bytes) -> int | None:
    (count,) = struct.unpack_from(">I", data, 8)
    size = 12 + 2 * int(count)
    if count > _MOST_ENTRIES or size > len(data):
        return None
    return size if _straight(np.frombuffer(data, ">u2", count, 12)) else None


def _straight(levels: NDArray[np.integer]) -> bool:
    """Tell whether levels go up or down as those of a curve do; those of an image go to and fro.

    Takes (..., levels): several curves.
    """
    if levels.shape[-1] <= 2:
        return True
    wide = levels.astype(np.int64)
    way = np.abs(np.diff(wide)).sum(axis=-1)
    return bool((way <= _ROUGHEST * np.ptp(wide, axis=-1)).all())


def _smooth(cells: NDArray[np.integer]) -> bool:
    """Tell whether a table changes little from each cell to the next, in every direction.

    Takes (inputs..., outputs). The pixels of an image, put into a table, are next to each other
    in one direction alone. Tables too small for an image pass.
    """
    if cells.size < _SMALL:
        return True
    wide = cells.astype(np.float32)
    spread = wide.std(axis=tuple(range(wide.ndim - 1)))
    for axis in range(wide.ndim - 1):
        step = np.abs(np.diff(wide, axis=axis)).mean(axis=tuple(range(wide.ndim - 1)))
        if (step > _STEEPEST * spread).any():
            return False
    return True


def _parametric(data: bytes) -> int | None:
    kind, reserved = struct.unpack_from(">HH", data, 8)
    return 12 + 4 * _PARAMETERS[kind] if kind < len(_PARAMETERS) and not reserved else None


def _chromaticity(data: bytes) -> int | None:
    (channels,) = struct.unpack_from(">H", data, 8)
    return 12 + 8 * int(channels) if channels <= 4 else None


def _calibration(data: bytes) -> int | None:
    """Allow a formula that treats all channels alike; a table tells one screen from others."""
    (kind,) = struct.unpack_from(">I", data, 8)
    alike = data[12:24] == data[24:36] == data[36:48] and data[16:24] == b"\0\0\0\0\0\1\0\0"
    return 48 if kind == 1 and alike else None


def _old_lut(data: bytes) -> int | None:
    """Measure a tag of kind mft1 or mft2: a matrix, curves, a table, and curves again."""
    inputs, outputs, grid, pad = data[8:12]
    if pad or not (1 <= inputs <= 4 and 1 <= outputs <= 4 and grid >= 2):
        return None
    number: np.dtype[Any]
    before, behind, at, number = 256, 256, 48, np.dtype("u1")
    if data[:4] == b"mft2":
        before, behind = struct.unpack_from(">HH", data, 48)
        at, number = 52, np.dtype(">u2")
    parts = (before * inputs, grid**inputs * outputs, behind * outputs)
    size = at + number.itemsize * sum(parts)
    if size > len(data) or not (before and behind):
        return None
    numbers = np.frombuffer(data, number, sum(parts), at)
    first, table, last = np.split(numbers, np.cumsum(parts)[:2])
    curves = _straight(first.reshape(inputs, -1)) and _straight(last.reshape(outputs, -1))
    return size if curves and _smooth(table.reshape(*[grid] * inputs, outputs)) else None


def _new_lut(data: bytes) -> int | None:
    """Measure a tag of kind mAB or mBA; its parts must fill it, but for zeros between them."""
    inputs, outputs, *pad = data[8:12]
    places = struct.unpack_from(">5I", data, 12)
    if any(pad) or not (1 <= inputs <= 4 and 1 <= outputs <= 4):
        return None
    ends = [32]
    rest = bytearray(data)
    rest[:32] = bytes(32)
    inner, outer = (outputs, inputs) if data[:4] == b"mAB " else (inputs, outputs)
    spans = [
        _curves(data, places[0], inner),
        (places[1], 48) if places[1] else None,
        _curves(data, places[2], inner),
        _cells(data, places[3], inputs, outputs),
        _curves(data, places[4], outer),
    ]
    for span in spans:
        if span is None:
            continue
        start, size = span
        if start < 32 or start + size > len(data):
            return None
        rest[start : start + size] = bytes(size)
        ends.append(start + size)
    return None if any(rest[: max(ends)]) else max(ends)


def _curves(data: bytes, start: int, count: int) -> tuple[int, int] | None:
    """Return where some curves lie; each begins at a multiple of 4."""
    if not start:
        return None
    at = start
    for _ in range(count):
        part = data[at:]
        measure = _MEASURES.get(part[:4]) if part[:4] in _CURVE else None
        size = measure(part) if measure and not any(part[4:8]) else None
        if size is None or size > len(part) or any(part[size : size + -size % 4]):
            raise IndexError("a curve that can't be")
        at += size + -size % 4
    return start, min(at, len(data)) - start


def _cells(data: bytes, start: int, inputs: int, outputs: int) -> tuple[int, int] | None:
    if not start:
        return None
    grid, width, pad = data[start : start + 16], data[start + 16], data[start + 17 : start + 20]
    if any(grid[inputs:]) or any(pad) or width not in (1, 2) or not all(grid[:inputs]):
        raise IndexError("a table that can't be")
    count = outputs
    for points in grid[:inputs]:
        count *= points
    if start + 20 + count * width > len(data):
        raise IndexError("a table that is cut off")
    cells = np.frombuffer(data, ">u2" if width == 2 else np.uint8, count, start + 20)
    if not _smooth(cells.reshape(*grid[:inputs], outputs)):
        raise IndexError("a table that is no transform")
    return start, 20 + count * width


_MEASURES: Final[dict[bytes, Callable[[bytes], int | None]]] = {
    b"curv": _curve,
    b"para": _parametric,
    b"chrm": _chromaticity,
    b"vcgt": _calibration,
    b"mft1": _old_lut,
    b"mft2": _old_lut,
    b"mAB ": _new_lut,
    b"mBA ": _new_lut,
}
