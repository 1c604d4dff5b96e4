"""Where an image or a film may begin in any bytes, by the magics that files begin with.

Only what is long enough not to come up by chance counts; `signatures` tells whole files, by
less. What slips through for want of a magic is caught as bytes that nobody can name.
"""

from __future__ import annotations

import re
import struct
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeAlias

from sfumato.imaging.codec import chunks
from sfumato.imaging.codec.inside.found import SMALLEST, Budget, TooMuch, bounded
from sfumato.imaging.codec.signatures import BMP_HEADERS, LONG

# A start of image and a marker; the same with its first byte overwritten, as some cameras do;
# and tables or a scan without a beginning.
_JPEG: Final = re.compile(rb"\xff\xd8\xff+[\xc0-\xfe]")
_FILMS: Final = (b"\x00\x00\x00\x01\x67", b"OggS\x00", b"DKIF\x00\x00")
_NAMED: Final[tuple[tuple[bytes, int, str], ...]] = (  # magic, where in the file, what it is
    *((magic, 0, kind) for kind, magics in LONG.items() for magic in magics if kind != "video"),
    *((magic, 0, "film") for magic in (*LONG["video"], *_FILMS)),
    *((magic, 4, "film") for magic in (b"moov", b"mdat", b"moof")),
    (b"1AY&SY", 4, "archive"),
    (b"\xff\x4f\xff\x51\x00", 0, "JPEG 2000"),
    (b"II\xbc\x01", 0, "JPEG XR"),
    (b"8BPS\x00", 0, "Photoshop"),
    (b"gimp xcf ", 0, "GIMP"),
    (b"DDS |\x00\x00\x00", 0, "DDS"),
    (b"\x8aMNG\r\n\x1a\n", 0, "MNG"),
    (b"\x8bJNG\r\n\x1a\n", 0, "JNG"),
    (b"/* XPM */", 0, "XPM"),
    (b"%!PS-Adobe", 0, "PostScript"),
)
_HEADLESS: Final = "JPEG without its beginning"
_PATTERNS: Final = tuple(
    (kind, re.compile(pattern, re.DOTALL))
    for kind, pattern in (
        (_HEADLESS, rb"\xd8\xff[\xdb\xe0\xe1\xee](?<!\xff\xd8\xff.)"),
        (_HEADLESS, rb"\xff\xdb\x00[\x43\x84][\x00-\x03]"),
        (_HEADLESS, rb"\xff\xda\x00[\x08\x0a\x0c][\x01\x03\x04]"),
        ("drawing", rb"<[sS][vV][gG][\s>]"),
        ("Netpbm", rb"P[1-7fF]\s+(?:#|[0-9]+\s+[0-9]+\s|WIDTH)"),
    )
)
# By the fourth byte of a start code: a pack, a sequence, the parameters of H.264.
_FOLLOWING: Final = {
    0xBA: re.compile(
        rb"[\x21\x23\x25\x27\x29\x2b\x2d\x2f\x40-\x7f].{6,64}?\x00\x00\x01[\xbb-\xef]", re.DOTALL
    ),
    0xB3: re.compile(rb".{8,300}?\x00\x00\x01[\xb5\xb8]", re.DOTALL),
    0x01: re.compile(rb"\x67.{3,128}?\x00\x00\x01\x68", re.DOTALL),
}
_MOST_TAGS: Final = 1000  # in one directory

# Where an image may begin: the first byte, what it is, how to find its end, whether it begins
# there at all.
_Start: TypeAlias = tuple[int, str, Callable[[bytes], int] | None]
_MOST_STARTS: Final = 2000
_MOST_WALKS: Final = 64


@dataclass(frozen=True, slots=True)
class Hit:
    """An image that seems to lie in some bytes: from where to where, and what it is.

    Kinds that sfumato reads are named as `signatures.Stored` names them.
    """

    start: int
    end: int
    kind: str


def hits(data: bytes, budget: Budget, *, tables: bool = False) -> list[Hit]:
    """Return the images and films that seem to lie in any bytes, in order, none in another.

    One whose end can't be found takes all that follows. In `tables` of numbers a start of image
    may come up by chance, and counts with a sound segment behind it.

    Raises:
        TooMuch: there are more of them than are looked at.
    """
    starts = sorted(islice(_starts(data), _MOST_STARTS + 1), key=lambda start: start[0])
    if len(starts) > _MOST_STARTS:
        raise TooMuch
    found: list[Hit] = []
    behind = 0
    for at, kind, walk in starts:
        if at < behind or len(data) - at < SMALLEST:
            continue
        if kind == "TIFF" and not is_tiff(data, at):
            continue
        if kind == "JPEG" and tables and not _leads_on(data, at):
            continue
        budget.image()
        behind = len(data) if walk is None else _end(data, at, walk)
        found.append(Hit(at, behind, kind))
    return found


def whole_images(data: bytes) -> Iterator[Hit]:
    """Yield the images that lie whole in coded data, by what can't come up in them by chance."""
    for kind, pattern, walk in _SURE:
        for match in islice(pattern.finditer(data), _MOST_WALKS):
            at = match.start()
            try:
                end = at + walk(data[at:]) if at else 0
            except chunks.MALFORMED:
                continue
            if end - at >= SMALLEST and end <= len(data):
                yield Hit(at, end, kind)


def _starts(data: bytes) -> Iterator[_Start]:
    for match in _JPEG.finditer(data):
        yield match.start(), "JPEG", _jpeg_end
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(data):
            yield match.start(), kind, None
    for magic, walk, kind in READ:
        for at in _places(data, magic):
            yield at, kind, walk
    for magic, offset, kind in _NAMED:
        check = _CHECKS.get(magic)
        for at in _places(data, magic):
            if at >= offset and (check is None or check(data, at)):
                yield at - offset, kind, None
    yield from _containers(data)


def _containers(data: bytes) -> Iterator[_Start]:
    """Yield what says its kind behind its size."""
    for at in _places(data, b"RIFF"):
        name = data[at + 8 : at + 12]
        if name in (b"WEBP", b"AVI ", b"AVIX", b"ACON", b"CDR9"):
            yield at, "WEBP" if name == b"WEBP" else "film", chunks.riff_end
    for at in _places(data, b"ftyp"):
        if at >= 4 and 8 <= int.from_bytes(data[at - 4 : at], "big") <= 1024:
            still = any(brand in data[at + 4 : at + 40] for brand in (b"avif", b"avis"))
            yield at - 4, "AVIF" if still else "film", None
    for at in _places(data, b"BM"):
        size = int.from_bytes(data[at + 2 : at + 6], "little")
        if int.from_bytes(data[at + 14 : at + 18], "little") in BMP_HEADERS and size > SMALLEST:
            yield at, "BMP", None


def _places(data: bytes, magic: bytes) -> Iterator[int]:
    at = data.find(magic)
    while at >= 0:
        yield at
        at = data.find(magic, at + 1)


def _box(data: bytes, at: int) -> bool:
    """Tell whether the four bytes before a box's name can be its size."""
    size = int.from_bytes(data[at - 4 : at], "big")
    return size in (0, 1) or 8 <= size <= len(data) - at + 4


def _leads_on(data: bytes, at: int) -> bool:
    """Tell whether the first segment of a JPEG is followed by another marker."""
    while data[at + 2 : at + 3] == b"\xff":
        at += 1
    behind = at + 3 + int.from_bytes(data[at + 3 : at + 5], "big")
    return data[behind : behind + 1] == b"\xff"


def _end(data: bytes, start: int, walk: Callable[[bytes], int]) -> int:
    """Return where an image that begins at `start` ends; the end of the bytes if it doesn't."""
    try:
        return min(start + walk(data[start:]), len(data))
    except chunks.MALFORMED:  # cut off or damaged
        return len(data)


def _jpeg_end(data: bytes) -> int:
    return deque(bounded(chunks.jpeg_segments(data)), 1)[0][2]


def _png_end(data: bytes) -> int:
    return deque(bounded(chunks.png_chunks(data)), 1)[0][2] + 4


def _gif_end(data: bytes) -> int:
    return deque(bounded(chunks.gif_blocks(data)), 1)[0][3]


def is_tiff(data: bytes, at: int = 0) -> bool:
    """Tell whether a directory of TIFF belongs to the four letters at an offset."""
    order = {b"II": "<", b"MM": ">"}.get(data[at : at + 2])
    first: int
    count: int
    kind: int
    if order is None:
        return False
    big = data[at + 2 : at + 4] in (b"+\x00", b"\x00+")
    link, head = ("Q", "Q") if big else ("I", "H")
    try:
        (first,) = struct.unpack_from(order + link, data, at + (8 if big else 4))
        (count,) = struct.unpack_from(order + head, data, at + first)
        _, kind = struct.unpack_from(order + "HH", data, at + first + struct.calcsize(head))
    except (struct.error, OverflowError):
        return False
    return 1 <= count <= _MOST_TAGS and 1 <= kind <= 18


def _coded_film(data: bytes, at: int) -> bool:
    """Tell whether more of an MPEG stream follows a start code: numbers look like one alone."""
    return _FOLLOWING[data[at + 3]].match(data, at + 4, at + 400) is not None


READ: Final[tuple[tuple[bytes, Callable[[bytes], int] | None, str], ...]] = (
    (b"\x89PNG\r\n\x1a\n", _png_end, "PNG"),
    (b"GIF87a", _gif_end, "GIF"),
    (b"GIF89a", _gif_end, "GIF"),
    (b"II*\x00", None, "TIFF"),
    (b"MM\x00*", None, "TIFF"),
    (b"II+\x00\x08\x00", None, "TIFF"),
    (b"MM\x00+\x00\x08", None, "TIFF"),
)
_SURE: Final[tuple[tuple[str, re.Pattern[bytes], Callable[[bytes], int]], ...]] = (
    (
        "JPEG",
        re.compile(
            rb"\xff\xd8\xff(?:[\xe0\xe1]..(?:JFIF|Exif)|\xdb\x00[\x43\x84][\x00-\x03]"
            rb"|\xee\x00\x0eAdobe)",
            re.DOTALL,
        ),
        _jpeg_end,
    ),
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR"), _png_end),
    ("GIF", re.compile(rb"GIF89a"), _gif_end),
)
_CHECKS: Final[dict[bytes, Callable[[bytes, int], bool]]] = {
    **dict.fromkeys((b"moov", b"mdat", b"moof"), _box),
    **dict.fromkeys(
        (b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3", b"\x00\x00\x00\x01\x67"), _coded_film
    ),
}
