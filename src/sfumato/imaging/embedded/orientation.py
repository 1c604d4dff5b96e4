"""How an image is to be turned: by EXIF, else by what XMP says of TIFF's tag 274.

As Pillow's `ImageOps.exif_transpose` does it, for every format: a value in EXIF counts even where
it makes no sense, XMP only where EXIF says nothing.
"""

from __future__ import annotations

import re
import struct
from typing import Final

_TAG: Final = 274
_HEADS: Final = re.compile(rb"^(?:Exif\x00\x00){1,2}")
_IN_XMP: Final = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')
_ORDERS: Final = {b"II*\x00": "<", b"MM\x00*": ">", b"II+\x00": "<", b"MM\x00+": ">"}
_LETTERS: Final = dict(zip((3, 4, 6, 8, 9, 11, 12, 13, 16), "HIbhifdIQ", strict=True))
_RATIOS: Final = {5: "II", 10: "ii"}
_RAW_PROFILE_HEAD: Final = 3  # lines before the hexadecimal ones
_MOST_ENTRIES: Final = 65_535


def orientation(exif: bytes, xmp: bytes = b"") -> int:
    """Return how an image is to be turned, 1 to 8; 1 where nothing is said, or nonsense."""
    told = told_by_exif(exif) if exif else None
    if told is None and (found := _IN_XMP.search(xmp)):
        told = int(found.group(1))
    return told if told is not None and 1 <= told <= 8 else 1


def told_by_exif(block: bytes) -> int | None:
    """Return tag 274 of an EXIF block, with or without its head, whatever its value.

    0 for what is no whole number; None where the tag is missing or nothing can be read.
    """
    try:
        return _tag(_HEADS.sub(b"", block))
    except (struct.error, KeyError, IndexError, OverflowError, MemoryError):
        return None


def from_raw_profile(text: bytes) -> bytes:
    """Return the EXIF block in ImageMagick's text "Raw profile type exif"; nothing if broken."""
    lines = text.split(b"\n")[_RAW_PROFILE_HEAD:]
    try:
        return bytes.fromhex(b"".join(lines).decode("ascii"))
    except ValueError:
        return b""


def _tag(tiff: bytes) -> int | None:
    order = _ORDERS[tiff[:4]]
    big = 43 in (tiff[2], tiff[3])
    (at,) = struct.unpack_from(order + ("Q" if big else "I"), tiff, 8 if big else 4)
    head, entry, width, inline = ("Q", "HHQ", 20, 8) if big else ("H", "HHI", 12, 4)
    (count,) = struct.unpack_from(order + head, tiff, at)
    first = at + struct.calcsize(head)
    told = None
    for where in range(first, first + min(count, _MOST_ENTRIES) * width, width):
        if where + width > len(tiff):
            break
        tag, kind, values = struct.unpack_from(order + entry, tiff, where)
        if tag == _TAG:  # the last one counts
            told = entry_value(tiff, order, kind, values, where + width - inline, inline)
    return told


def entry_value(tiff: bytes, order: str, kind: int, count: int, at: int, inline: int) -> int:
    """Return the first number that an entry of a directory holds; 0 if it is no whole one.

    `at` is where its value field of `inline` bytes lies.
    """
    letters = _LETTERS.get(kind) or _RATIOS.get(kind)
    if not count or letters is None:
        return 0
    if struct.calcsize(f"={letters}") * count > inline:
        (at,) = struct.unpack_from(order + ("I" if inline == 4 else "Q"), tiff, at)
    numbers = struct.unpack_from(order + letters, tiff, at)
    below = numbers[1] if len(numbers) == 2 else 1
    if not below or not 0 <= numbers[0] < 1 << 31 or numbers[0] % below:
        return 0
    return int(numbers[0] // below) if numbers[0] == int(numbers[0]) else 0
