"""What the strips and tiles of a TIFF hold that no viewer shows.

A strip may be longer than its rows take, coded or not; there may be more strips than rows; the
tiles at the right and at the bottom reach beyond the image by design.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from sfumato.errors import SampleError
from sfumato.imaging.codec import chunks
from sfumato.imaging.codec._extents import packbits, tiff_lzw
from sfumato.imaging.codec.behind import CODED, PIXELS, UNKNOWN, holds, needed
from sfumato.imaging.codec.concealed_png import inflate
from sfumato.imaging.codec.trial import first_pixels, pixels_of
from sfumato.imaging.jpeg.extent import extents, left_over

_FAX = (2, 3, 4)
_NONE, _LZW, _OLD_JPEG, _JPEG, _PACKBITS, _DEFLATE = 1, 5, 6, 7, 32773, (8, 32946)
# Of a coding that is only known by decoding it: strips, and bytes copied for that.
_MOST_TRIALS, _MOST_COPIED = 4096, 1 << 30
_MARGIN = 64  # pixels that tiles may reach beyond the image unseen
_NEAR = 12  # grey levels: padding that repeats the edge, or one colour, and was coded with loss
_MOST_PIXELS = 1 << 28


@dataclass(frozen=True, slots=True)
class _Part:
    """A strip or tile: its place in the file, its rows, and the bytes that its pixels take."""

    at: int
    size: int
    rows: int
    wanted: int


@dataclass(frozen=True, slots=True)
class _Page:
    """A page: its coding, how wide its parts are, and the parts it shows; `surplus` the others."""

    coding: int
    columns: int
    parts: tuple[_Part, ...]
    surplus: tuple[tuple[int, int], ...]
    overhang: tuple[int, int]


def find_tiff(data: bytes) -> Iterator[str]:
    """Name what the strips and tiles of any page of a TIFF hold beyond its pixels."""
    tiff = chunks.parse_tiff(data)
    for index in range(len(tiff.pages)):
        page = _page(tiff, index)
        rests = [data[at : at + size] for at, size in page.surplus]
        for part in page.parts:
            used, excess = _used(tiff, index, page, part)
            if used < 0:
                yield UNKNOWN
            else:
                rests += [data[part.at + used : part.at + part.size], excess]
        if holds(rests):
            yield CODED
        if max(page.overhang) > _MARGIN and not _plain(tiff, index, page):
            yield PIXELS


def _page(tiff: chunks.Tiff, index: int) -> _Page:
    def number(tag: int, default: int) -> int:
        return tiff.number(index, tag, default)

    tags = tiff.pages[index].tags
    width, height, coding = number(256, 0), number(257, 0), number(259, _NONE)
    bits = tiff.numbers(tags[258]) if 258 in tags else (1,)
    samples = number(277, 1)
    planes = samples if number(284, 1) == 2 else 1
    depth = sum(bits) * (samples if len(bits) == 1 else 1) // planes
    tiled = 324 in tags
    columns, rows = (number(322, 0), number(323, 0)) if tiled else (width, number(278, height))
    rows = rows if tiled else min(rows, height)
    if not columns or not rows:
        raise ValueError("a page without pixels")
    across, down = -(-width // columns), -(-height // rows)
    places = _places(tiff, index)
    parts = []
    for number_of, (at, size) in enumerate(places[: across * down * planes]):
        row = number_of % (across * down) // across
        shown = rows if tiled else min(rows, height - row * rows)
        wanted = _bytes(tiff, index, columns, shown, depth)
        parts.append(_Part(at, wanted if size < 0 else size, shown, wanted))
    overhang = (across * columns - width, down * rows - height) if tiled else (0, 0)
    surplus = tuple(place for place in places[across * down * planes :] if place[1] > 0)
    return _Page(coding, columns, tuple(parts), surplus, overhang)


def _places(tiff: chunks.Tiff, index: int) -> list[tuple[int, int]]:
    """Return (offset, size) of each part; size -1 where the file doesn't say."""
    tags = tiff.pages[index].tags
    offsets, sizes = (324, 325) if 324 in tags else (273, 279)
    if sizes not in tags:
        return [(at, -1) for at in tiff.numbers(tags[offsets])] if offsets in tags else []
    return chunks.tiff_parts(tiff, index)


def _bytes(tiff: chunks.Tiff, index: int, columns: int, rows: int, depth: int) -> int:
    """Return the bytes of a part without coding."""
    tags = tiff.pages[index].tags
    if tiff.number(index, 262, 1) == 6 and tiff.number(index, 284, 1) == 1:
        across, down = (*tiff.numbers(tags[530]), 2, 2)[:2] if 530 in tags else (2, 2)
        units = -(-columns // max(across, 1)) * -(-rows // max(down, 1))
        return units * (across * down + 2) * depth // 24
    return rows * -(-columns * depth // 8)


def _used(tiff: chunks.Tiff, index: int, page: _Page, part: _Part) -> tuple[int, bytes]:
    """Return how many bytes of a part its pixels take, -1 if unknown, and what they exceed."""
    coded = tiff.data[part.at : part.at + part.size]
    if page.coding in _DEFLATE:
        found = inflate(coded, part.wanted)
        return found.used if found.whole else -1, found.excess
    return _length(tiff, index, page, part, coded), b""


def _length(tiff: chunks.Tiff, index: int, page: _Page, part: _Part, coded: bytes) -> int:
    if page.coding == _NONE:
        return min(part.wanted, len(coded))
    if page.coding == _PACKBITS:
        return packbits(coded, part.wanted)
    if page.coding == _LZW and not (coded[:1] == b"\x00" and coded[1] & 1):  # not the old kind
        return tiff_lzw(coded, part.wanted)
    if page.coding == _JPEG:
        return _used_of_jpeg(tiff, index, page, part)
    count = len(page.parts)
    many = count > _MOST_TRIALS or count * len(tiff.data) > _MOST_COPIED
    if page.coding == _OLD_JPEG or many:
        return -1
    return _by_trial(tiff, index, part)


def _used_of_jpeg(tiff: chunks.Tiff, index: int, page: _Page, part: _Part) -> int:
    """Return the size of a JPEG stream that shows its strip and nothing else; -1 for others."""
    tags = tiff.pages[index].tags
    stream = tiff.data[part.at : part.at + part.size]
    tables = tiff.data[tags[347].at : tags[347].at + tags[347].size] if 347 in tags else b""
    whole = tables[:-2] + stream[2:] if tables else stream
    try:
        scans = extents(whole)
    except SampleError:
        return -1
    for marker, start, end in chunks.jpeg_segments(stream):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", stream, start + 1)
            if height > part.rows + 32 or width > page.columns + 32:
                return -1
        if marker == chunks.EOI:
            return -1 if holds(left_over(whole, scan) for scan in scans) else end
    return -1


def _by_trial(tiff: chunks.Tiff, index: int, part: _Part) -> int:
    """Return how many bytes of a strip are needed to show it, by decoding it alone."""
    whole = pixels_of(_alone(tiff, index, part, part.size))
    longer = replace(part, rows=part.rows + 1)
    if whole is None or (
        tiff.number(index, 259, 1) not in _FAX  # which goes on with white
        and pixels_of(_alone(tiff, index, longer, part.size)) is not None
    ):
        return -1
    return needed(part.size, lambda size: pixels_of(_alone(tiff, index, part, size)) == whole)


def _alone(tiff: chunks.Tiff, index: int, part: _Part, size: int) -> bytes:
    """Return a file that shows one strip of a page, or one tile."""
    tags = tiff.pages[index].tags
    told = {257: part.rows, 278: part.rows, 273: part.at, 279: size, 324: part.at, 325: size}
    if 322 in tags:
        told[256] = tiff.number(index, 322, 0)
    out = bytearray(tiff.data)
    for tag in told.keys() & tags.keys():
        tiff.put(out, index, tag, told[tag])
    head, width = (8, 20) if tiff.big else (2, 12)
    first = min(tag.entry for tag in tags.values()) - head
    struct.pack_into(tiff.wide, out, tiff.link, first)
    behind = first + head + width * len(tags)
    if behind + struct.calcsize(tiff.wide) <= len(out):
        struct.pack_into(tiff.wide, out, behind, 0)
    return bytes(out)


def _plain(tiff: chunks.Tiff, index: int, page: _Page) -> bool:
    """Tell whether tiles show nothing beyond the image but its repeated edge, or one colour."""
    width, height = tiff.number(index, 256, 0), tiff.number(index, 257, 0)
    right, below = width + page.overhang[0], height + page.overhang[1]
    if right * below > _MOST_PIXELS:
        return False
    out = bytearray(tiff.data)
    for tag, value in ((256, right), (257, below)):
        tiff.put(out, index, tag, value)
    shown = first_pixels(bytes(out), index)
    if shown is None:
        return False
    beside, under = shown[:height, width:], shown[height:]
    return _flat(beside, shown[:height, width - 1 : width]) and _flat(
        under, shown[height - 1 : height]
    )


def _flat(area: np.ndarray, edge: np.ndarray) -> bool:
    if not area.size:
        return True
    wide = area.astype(np.int64)
    return bool(
        np.abs(wide - edge.astype(np.int64)).max() <= _NEAR
        or (wide.max(axis=(0, 1)) - wide.min(axis=(0, 1))).max() <= _NEAR
    )


def cut_tiff(data: bytes) -> bytes:
    """Return a TIFF whose strips end with their pixels; what lay behind is zero.

    Everything stays where it is.

    Raises:
        ValueError: a coding that can't be cut without writing its pixels anew.
    """
    tiff = chunks.parse_tiff(data)
    out = bytearray(data)
    for index in range(len(tiff.pages)):
        page = _page(tiff, index)
        sizes = []
        for part in page.parts:
            used, excess = _used(tiff, index, page, part)
            coded = data[part.at : part.at + part.size]
            if used < 0 or page.coding in (_JPEG, _OLD_JPEG):
                raise ValueError("a strip that can't be cut")
            kept = coded[:used]
            if excess:
                rows = zlib.decompressobj(-15).decompress(coded[2:], part.wanted)
                kept = zlib.compress(rows, 9)
            if len(kept) > part.size:
                raise ValueError("a strip that grows")
            out[part.at : part.at + part.size] = kept.ljust(part.size, b"\x00")
            sizes.append(len(kept))
        for at, size in page.surplus:
            out[at : at + size] = bytes(len(out[at : at + size]))
        _note(out, tiff, index, [*sizes, *(0 for _ in page.surplus)])
    return bytes(out)


def _note(out: bytearray, tiff: chunks.Tiff, index: int, sizes: list[int]) -> None:
    """Write the sizes of the parts into their tag."""
    tags = tiff.pages[index].tags
    tag = tags.get(325 if 324 in tags else 279)
    if tag is not None:
        if tag.count != len(sizes):
            raise ValueError("strips without a size")
        letter = {1: "B", 3: "H", 4: "I", 16: "Q"}[tag.type]
        struct.pack_into(f"{tiff.order}{len(sizes)}{letter}", out, tag.at, *sizes)
