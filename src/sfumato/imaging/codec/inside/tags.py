"""Search the tags of TIFF and EXIF: previews, further pages, and what values and gaps hold."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from sfumato.imaging.codec import chunks
from sfumato.imaging.codec.chunks import Page, Tag, Tiff
from sfumato.imaging.codec.inside.found import DEEPEST, SMALLEST, Embedded, Span, TooMuch
from sfumato.imaging.codec.inside.search import Search, Where

_WIDTH, _COMPRESSION, _STRIPS, _TILES = 256, 259, 273, 324
_JPEG_AT, _JPEG_SIZE, _JPEG_CODED = 513, 514, (6, 7)
_XMP, _IPTC, _PHOTOSHOP, _PROFILE = 700, 33723, 34377, 34675
_MAKER_NOTE, _JPEG_TABLES = 37500, 347
_POINTERS: Final = frozenset((330, 400, 34665, 34853, 40965))
_POINTER_TYPES: Final = (4, 13, 16, 18)
_IFD_TYPES: Final = (13, 18)
_NUMBERS: Final = (3, 4, 5, 8, 9, 10, 11, 12, 13, 16, 17, 18)
_SHORT: Final = 32  # bytes of a few numbers
_MOST_TAGS: Final = 500  # in one directory
_MOST_DIRECTORIES: Final = 200
# Tables of numbers that decoders, measuring software and cameras need, and that may be large:
# places and sizes of strips, curves, palettes, JPEG tables, positions on the earth, conversion
# factors, and notes of the maker.
_TABLES: Final = frozenset(
    (273, 279, 288, 289, 291, 301, 320, 324, 325, 330, 347, *range(512, 522), 532, 33550, 33922)
) | frozenset((34264, 34735, 34736, 34856, _MAKER_NOTE, 41484, 41730, 50341))


@dataclass(slots=True)
class _Walk:
    """The walk through one block: which bytes are told for, and the images met on the way."""

    tiff: Tiff
    pixels: bool  # whether the pages of the first chain are what is shown
    told: list[Span] = field(default_factory=list)
    values: list[Tag] = field(default_factory=list)
    numbers: dict[int, int] = field(default_factory=dict)  # of a value's place: its tag
    previews: list[tuple[bytes, Span, str]] = field(default_factory=list)
    streams: list[Span] = field(default_factory=list)  # JPEG-coded strips of what is shown


def search_tags(
    search: Search, data: bytes, where: Where, offset: int, *, pixels: bool
) -> Iterator[Embedded]:
    """Yield the images in a TIFF besides the pages that it shows (`pixels`), if any."""
    search.budget.look(len(data))
    if where.depth > DEEPEST:
        raise TooMuch
    walk = _walked(data, pixels=pixels)
    if walk is None:
        yield from search.data(data, where, offset)
        return
    for image, (start, end), kind in walk.previews:
        search.budget.image()
        if not image.strip(b"\x00"):
            continue
        place = (offset + start, offset + end) if where.direct else None
        yield Embedded(f"{kind} {where.name}", image, where.part, place)
        if kind == "JPEG":
            yield from _inside(search, image, where)
    for start, end in walk.streams:
        yield from _inside(search, data[start:end], where)
    for tag in walk.values:
        number = walk.numbers[tag.entry]
        value = data[tag.at : tag.at + tag.size]
        table = number in _TABLES and is_table(number, tag.type, value, walk.tiff.order, len(data))
        inner = replace(where, known=True) if table else where
        yield from _value(search, value, tag, number, inner, offset)
    for start, end in _gaps(walk.told, len(data)):
        yield from search.data(data[start:end], where, offset + start)


def jpeg_strips(data: bytes) -> frozenset[int]:
    """Return where the JPEG-coded strips and the tables of a TIFF's pages begin; else nothing."""
    try:
        walk = _walked(data, pixels=True) if data[:2] in (b"II", b"MM") else None
    except TooMuch:
        walk = None  # the parts say so
    if walk is None:
        return frozenset()
    tables = (tag.at for tag in walk.values if walk.numbers[tag.entry] == _JPEG_TABLES)
    return frozenset((*(start for start, _ in walk.streams), *tables))


def _inside(search: Search, image: bytes, where: Where) -> Iterator[Embedded]:
    from sfumato.imaging.codec.inside.parts import search_parts  # the two call each other

    yield from search_parts(search, image, where.inside())


def _value(
    search: Search, value: bytes, tag: Tag, number: int, where: Where, offset: int
) -> Iterator[Embedded]:
    from sfumato.imaging.codec.inside import resources

    at = offset + tag.at
    match number:
        case 34377:
            yield from resources.search_photoshop(search, value, where, at)
        case 34675:
            yield from resources.search_profile(search, value, where, at)
        case 33723:
            yield from resources.search_iptc(search, value, where, at)
        case 347 if b"\xff\xda" not in value:  # tables, and no scan
            yield from _inside(search, value, where)
        case _:
            short = tag.size <= _SHORT and tag.type in _NUMBERS
            known = where.known or short
            yield from search.data(value, replace(where, known=known), at)


def _walked(data: bytes, *, pixels: bool) -> _Walk | None:
    """Follow every directory that can be reached; None where not even the first can be read."""
    try:
        first = chunks.parse_tiff(data, first_only=True)
        (link,) = struct.unpack_from(first.wide, data, first.link)
    except chunks.MALFORMED:
        return None
    walk = _Walk(Tiff(data, first.order, first.big, ()), pixels)
    walk.told.append((0, first.head))
    waiting = [(link, True)]
    seen: set[int] = set()
    while waiting:
        at, shown = waiting.pop()
        if not at or at in seen:
            continue
        seen.add(at)
        if len(seen) > _MOST_DIRECTORIES and not shown:
            raise TooMuch
        try:
            page, following = walk.tiff.directory(at)
            waiting += _page(walk, page, at, shown=shown)
        except chunks.MALFORMED:
            continue  # its bytes are a gap, and searched as that
        waiting.append((following, shown))
    return walk


def _page(walk: _Walk, page: Page, at: int, *, shown: bool) -> list[tuple[int, bool]]:
    """Note what a directory tells of; return the directories that its tags point to."""
    tiff = replace(walk.tiff, pages=(page,))
    walk.told.append((at, at + page.size))
    if len(page.tags) > _MOST_TAGS:
        raise TooMuch
    pointers: list[tuple[int, bool]] = []
    inline = 8 if tiff.big else 4
    for number, tag in page.tags.items():
        if tag.size > inline and tag.at + tag.size <= len(tiff.data):
            walk.told.append((tag.at, tag.at + tag.size))
            walk.values.append(tag)
            walk.numbers[tag.entry] = number
        if (number in _POINTERS and tag.type in _POINTER_TYPES) or tag.type in _IFD_TYPES:
            pointers += [(place, False) for place in tiff.numbers(tag)[:_MOST_DIRECTORIES]]
    if page.tags.keys() & {_JPEG_AT, _STRIPS, _TILES}:
        _pixels(walk, tiff, at, shown=shown and walk.pixels)
    return pointers


def _pixels(walk: _Walk, tiff: Tiff, at: int, *, shown: bool) -> None:
    """Note where the pixels of a directory lie, and the preview that they are if not shown."""
    data, tags = tiff.data, tiff.pages[0].tags
    parts = chunks.tiff_parts(tiff, 0) if tags.keys() & {_STRIPS, _TILES} else []
    told = [(start, start + size) for start, size in parts if start + size <= len(data)]
    start = tiff.number(0, _JPEG_AT, 0)
    size = tiff.number(0, _JPEG_SIZE, len(data) - start)
    stream = (start, min(start + size, len(data)))
    jpeg = start > 0 and start < len(data)
    if jpeg:
        told.append(stream)
    walk.told += told
    if shown:
        if tiff.number(0, _COMPRESSION, 1) in _JPEG_CODED:
            walk.streams += told
    elif jpeg:
        walk.previews.append((data[slice(*stream)], stream, "JPEG"))
    elif sum(end - begin for begin, end in told) >= SMALLEST or parts:
        # The same bytes, read from this directory on.
        link, head = struct.pack(tiff.wide, at), data[: tiff.link]
        where = (min(told)[0], max(told)[1]) if told else (at, at)
        walk.previews.append((head + link + data[len(head) + len(link) :], where, "page"))


def _gaps(told: list[Span], size: int) -> Iterator[Span]:
    """Yield the bytes that nothing tells of."""
    behind = 0
    for start, end in sorted(told):
        if start > behind:
            yield behind, start
        behind = max(behind, end)
    if behind < size:
        yield behind, size


# The large tables of TIFF that decoders need, told from pixels under the number of one.

_SMALL: Final = 1536  # bytes: three curves of 256 values, two each; most tables are smaller
_OFFSETS: Final = frozenset((288, 289, 330))
_CURVES: Final = frozenset((291, 301, 320))
_CURVE_SIZES: Final = (131072, 393216)  # one or three of 65536 values
_DOUBLES: Final = frozenset((33550, 33922, 34264, 34736))  # positions on the earth
_FEW: Final = frozenset((532, 34856, 41484, 41730))  # a few numbers
_DOUBLE: Final = 12  # a type
_TINY, _HUGE = 1e-15, 1e15


def is_table(number: int, kind: int, value: bytes, order: str, size: int) -> bool:
    """Tell whether the value of a tag of tables can be one, in a file of so many bytes.

    Only large ones are doubted, and only where pixels would look different.
    """
    if len(value) <= _SMALL:
        return True
    if number in _OFFSETS:
        places = np.frombuffer(value[: len(value) // 4 * 4], order + "u4")
        return kind == 16 or bool((places <= size).all())
    if number in _CURVES:
        return len(value) in _CURVE_SIZES
    if number in _DOUBLES:
        numbers = np.abs(np.frombuffer(value[: len(value) // 8 * 8], order + "f8"))
        sound = (numbers == 0) | ((numbers > _TINY) & (numbers < _HUGE))
        return kind == _DOUBLE and bool(sound.all())
    return number not in _FEW
