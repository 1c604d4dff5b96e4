"""The parts of image files: JPEG segments, PNG and WebP chunks, TIFF tags, GIF blocks.

Reading only, on untrusted bytes. Every walk moves forward or raises one of `MALFORMED`; none
copies pixel data.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

# OverflowError: an offset of 64 bits that no file can have
MALFORMED = (ValueError, IndexError, KeyError, OverflowError, struct.error)

SOI, EOI, SOS = 0xD8, 0xD9, 0xDA
STRAY = 0  # bytes between two segments that belong to none

# In coded data FF 00 is a stuffed FF, FF D0..D7 restart and FF FF fill: all else is a marker.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_behind = re.compile(rb"\xff*+")
_ALONE = frozenset((STRAY, 0x01, SOI, *range(0xD0, 0xD8)))  # markers without a length

MOST_SEGMENTS = 20_000  # of a JPEG, with what comes between them
MAX_PAGES = 2_000  # of one TIFF; more is an attack on whoever walks them

# The head of an iTXt chunk of PNG that holds XMP: neither packed nor in a language
PNG_XMP = b"XML:com.adobe.xmp\x00\x00\x00\x00\x00"

ORIENTATION = 274  # TIFF and EXIF tag 0x0112
_TYPE_SIZES = {
    **dict.fromkeys((1, 2, 6, 7), 1),
    **dict.fromkeys((3, 8), 2),
    **dict.fromkeys((4, 9, 11, 13), 4),
    **dict.fromkeys((5, 10, 12, 16, 17, 18), 8),
}


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start, end) for the payload of each segment of the first image.

    The last one is `EOI` with both offsets behind it. Coded data is passed over; bytes that
    belong to no segment come as `STRAY`.
    """
    at = 2
    for _ in range(MOST_SEGMENTS):
        start = data.index(b"\xff", at)
        if start > at:
            yield STRAY, at, start
        at = start
        at += 1
        fill = _behind.match(data, at)  # any number of bytes may come before a marker
        at = fill.end() if fill else at
        marker, at = data[at], at + 1
        if marker == EOI:
            yield EOI, at, at
            return
        if marker in _ALONE:
            yield marker, at, at
            continue
        end = at + int.from_bytes(data[at : at + 2], "big")
        if end < at + 2 or end > len(data):
            raise ValueError("a segment reaches past the end of the file")
        yield marker, at + 2, end
        at = end
        if marker == SOS:
            found = _NEXT_MARKER.search(data, at)
            if found is None:
                raise ValueError("no end of image")
            at = found.start()
    raise ValueError("too many segments")


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, start, end) for the payload of each chunk, up to and with IEND."""
    at = 8
    name = b""
    while name != b"IEND":
        length, name = struct.unpack_from(">I4s", data, at)
        start, end = at + 8, at + 8 + length
        if end + 4 > len(data):
            raise ValueError("a chunk reaches past the end of the file")
        yield name, start, end
        at = end + 4  # the checksum


def png_chunk(name: bytes, payload: bytes) -> bytes:
    """Write a chunk of PNG with its checksum."""
    check = struct.pack(">I", zlib.crc32(name + payload))
    return struct.pack(">I", len(payload)) + name + payload + check


def riff_chunks(
    data: bytes, start: int = 12, stop: int | None = None
) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, start, end) for the payload of each chunk of a WebP file, or of a part of it."""
    limit = len(data) if stop is None else stop
    at, stop = start, riff_end(data) if stop is None else stop
    while at + 8 <= stop:
        name, length = struct.unpack_from("<4sI", data, at)
        start, end = at + 8, at + 8 + length
        if end > limit:
            raise ValueError("a chunk reaches past the end of the file")
        yield name, start, end
        at = end + (length & 1)


def riff_written(parts: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Write chunks, (name, payload) each, as RIFF has them."""
    return b"".join(n + struct.pack("<I", len(p)) + p + bytes(len(p) % 2) for n, p in parts)


def webp_written(parts: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Write a WebP file of chunks."""
    body = b"WEBP" + riff_written(parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def riff_end(data: bytes) -> int:
    """Return the offset behind a RIFF file by its own word."""
    size: int = struct.unpack_from("<I", data, 4)[0]
    return 8 + size + (size & 1)


def gif_blocks(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield (kind, label, start, end) for each block behind the global colour table.

    `kind` is 0x21 (extension, with its label), 0x2C (image) or 0x3B (the end).
    """
    at = 13 + _colours_size(data[10])
    while True:
        kind, start = data[at], at
        if kind == 0x3B:
            yield kind, 0, start, start + 1
            return
        if kind == 0x21:
            label, at = data[at + 1], at + 2
        elif kind == 0x2C:
            label, at = 0, gif_coded(data, at)
        else:
            raise ValueError("unknown GIF block")
        while size := data[at]:
            at += 1 + size
        at += 1
        yield kind, label, start, at


def _colours_size(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def gif_coded(data: bytes, start: int) -> int:
    """Return where the coded data of a GIF's image begin, behind its colours and code size."""
    return start + 11 + _colours_size(data[start + 9])


def gif_payload(data: bytes, at: int = 0) -> bytes:
    """Return what the sub-blocks of a GIF from an offset on hold, up to the empty one."""
    parts = []
    while size := data[at]:
        parts.append(data[at + 1 : at + 1 + size])
        at += 1 + size
    return b"".join(parts)


def bmp_parts(data: bytes) -> tuple[int, int, int]:
    """Return where a BMP's headers and palette end, where its pixels begin, and where they end."""
    number = int.from_bytes
    pixels, header = number(data[10:14], "little"), number(data[14:18], "little")
    end = pixels
    if header == 12:
        width, height = number(data[18:20], "little"), number(data[20:22], "little")
        bits, coding, size = number(data[24:26], "little"), 0, 0
    else:
        width = number(data[18:22], "little")
        height = abs(number(data[22:26], "little", signed=True))
        bits, coding = number(data[28:30], "little"), number(data[30:34], "little")
        size = number(data[34:38], "little")
    end += size if coding in (1, 2) else (width * bits + 31) // 32 * 4 * height
    colours = number(data[46:50], "little") if header >= 40 else 0
    table = (colours or 1 << bits if bits <= 8 else colours) * (3 if header == 12 else 4)
    return 14 + header + table + (16 if coding == 3 else 0), pixels, end


def bmp_profile(data: bytes) -> bool:
    """Tell whether a BMP (version 5) holds a colour profile or the path of one."""
    return int.from_bytes(data[14:18], "little") == 124 and any(data[126:130])


@dataclass(frozen=True, slots=True)
class Tag:
    """One TIFF tag: where its entry and its value lie, in bytes from the start of the file."""

    entry: int
    type: int
    count: int
    at: int
    size: int


@dataclass(frozen=True, slots=True)
class Page:
    """One TIFF directory: its tags, and the bytes that the directory itself takes."""

    tags: dict[int, Tag]
    size: int


@dataclass(frozen=True, slots=True)
class Tiff:
    """The directories of a TIFF file or an EXIF block, in the order of their chain."""

    data: bytes
    order: str  # "<" or ">"
    big: bool
    pages: tuple[Page, ...]

    @property
    def head(self) -> int:
        """How many bytes the head takes; it ends with the offset of the first directory."""
        return 16 if self.big else 8

    @property
    def wide(self) -> str:
        """How an offset is written, in the byte order."""
        return self.order + ("Q" if self.big else "I")

    @property
    def link(self) -> int:
        """Where the offset of the first directory stands."""
        return 8 if self.big else 4

    def put(self, out: bytearray, page: int, number: int, value: int) -> None:
        """Write a tag of one number anew into a copy of the file."""
        kind, layout = (16, "HHQQ") if self.big else (4, "HHII")
        entry = self.pages[page].tags[number].entry
        struct.pack_into(self.order + layout, out, entry, number, kind, 1, value)

    def numbers(self, tag: Tag) -> tuple[int, ...]:
        """Return the values of a tag of whole numbers (BYTE, SHORT, LONG, IFD, LONG8)."""
        letter = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}[tag.type]
        return struct.unpack_from(f"{self.order}{tag.count}{letter}", self.data, tag.at)

    def number(self, page: int, tag: int, default: int) -> int:
        """Return the first value of a tag of whole numbers, or the default."""
        entry = self.pages[page].tags.get(tag)
        if entry is None or entry.type not in (1, 3, 4, 13, 16, 18) or entry.count < 1:
            return default
        return self.numbers(entry)[0]

    def directory(self, at: int) -> tuple[Page, int]:
        """Return the directory at an offset and the offset of the next one (0: none)."""
        return _directory(self.data, self.order, at, big=self.big)


def tiff_parts(tiff: Tiff, index: int) -> list[tuple[int, int]]:
    """Return (offset, size) of each strip or tile of a page, in their order."""
    tags = tiff.pages[index].tags
    at, size = (324, 325) if 324 in tags else (273, 279)
    return list(zip(tiff.numbers(tags[at]), tiff.numbers(tags[size]), strict=True))


def check_apart(tiff: Tiff, number: int, most: int = MAX_PAGES) -> None:
    """Make sure that reading a tag of every page costs no more than reading the file.

    Raises:
        ValueError: its values lie on top of each other, or there are more than `most` of them.
    """
    tags = [page.tags[number] for page in tiff.pages if number in page.tags]
    places = {(tag.at, tag.size) for tag in tags}
    if len(places) > most or sum(size for _, size in places) > len(tiff.data):
        raise ValueError(f"too many values of tag {number}")


def parse_tiff(data: bytes, *, first_only: bool = False) -> Tiff:
    """Read the directories of a TIFF, BigTIFF or EXIF block (without its "Exif" prefix)."""
    order = {b"II": "<", b"MM": ">"}[data[:2]]
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    at = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
    pages: list[Page] = []
    seen: set[int] = set()
    while at and at not in seen:
        if len(pages) == MAX_PAGES:
            raise ValueError("too many pages")
        seen.add(at)
        page, at = _directory(data, order, at, big=big)
        pages.append(page)
        if first_only:
            break
    return Tiff(data, order, big, tuple(pages))


def _directory(data: bytes, order: str, at: int, *, big: bool) -> tuple[Page, int]:
    head, entry, link = ("Q", "HHQ", "Q") if big else ("H", "HHI", "I")
    inline, width = (8, 20) if big else (4, 12)
    (count,) = struct.unpack_from(order + head, data, at)
    first = at + struct.calcsize(order + head)
    if first + count * width > len(data):
        raise ValueError("a directory reaches past the end of the file")
    tags: dict[int, Tag] = {}
    for where in range(first, first + count * width, width):
        number, kind, values = struct.unpack_from(order + entry, data, where)
        size = _TYPE_SIZES.get(kind, 1) * values
        at = where + width - inline
        if size > inline:  # may point anywhere: checked when the value is read
            (at,) = struct.unpack_from(order + link, data, at)
        tags[number] = Tag(where, kind, values, at, size)
    behind = first + count * width
    # Some writers leave out the last link.
    (following,) = (
        struct.unpack_from(order + link, data, behind) if (behind + inline <= len(data)) else (0,)
    )
    return Page(tags, behind + inline - first + struct.calcsize(order + head)), following
