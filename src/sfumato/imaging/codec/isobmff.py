"""The boxes of an AVIF file: which items it holds, where their bytes lie, and how they are shown.

ISO/IEC 14496-12 (boxes) and 23008-12 (items). Reading only, on untrusted bytes: every walk moves
forward or raises one of `chunks.MALFORMED`, and no pixel is decoded.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

# What an AVIF of one still image may call itself, besides what its major brand says. "tmap" is
# none: it promises a gain map.
KNOWN_BRANDS = frozenset(
    (
        *(b"avif", b"avis", b"avio", b"mif1", b"mif2", b"msf1", b"miaf", b"MA1A", b"MA1B"),
        *(b"1pic", b"iso4", b"iso8", b"isom"),
    )
)

_MOST_ITEMS = 10_000
_MOST_EXTENTS = 100_000


@dataclass(frozen=True, slots=True)
class Part:
    """A box or a property: its name, and where its payload begins and ends."""

    name: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Item:
    """An item: its kind ("av01", "grid", "Exif", "mime", …), its bytes and its properties.

    `extents` are (offset, size) in the file, in their order.
    """

    id: int
    kind: bytes
    extents: tuple[tuple[int, int], ...]
    properties: tuple[Part, ...]

    def property(self, name: bytes) -> Part | None:
        """Return the first property of this name."""
        return next((part for part in self.properties if part.name == name), None)


@dataclass(frozen=True, slots=True)
class Avif:
    """What the boxes of an AVIF file say.

    `top` and `meta` are the boxes on these two levels; `references` are (kind, from, to).
    """

    data: bytes
    top: tuple[Part, ...]
    meta: tuple[Part, ...]
    primary: int
    items: dict[int, Item]
    references: tuple[tuple[bytes, int, int], ...]

    @property
    def moving(self) -> bool:
        """Say whether the file holds a sequence of images besides its items."""
        return any(part.name == b"moov" for part in self.top)

    def bytes_of(self, item: Item) -> bytes:
        """Return the bytes of an item."""
        return b"".join(self.data[at : at + size] for at, size in item.extents)

    def parts(self) -> set[int]:
        """Return the items that make the primary image: itself, its tiles, and its alpha."""
        found = {self.primary}
        for _ in range(3):  # tiles of a grid, alpha of the primary item, tiles of that
            for kind, source, to in self.references:
                if kind == b"dimg" and source in found:
                    found.add(to)
                elif kind == b"auxl" and to in found:
                    found.add(source)
        return found

    def shown(self) -> tuple[Item, ...]:
        """Return those of `parts` that hold coded pixels."""
        items = (self.items[number] for number in sorted(self.parts()))
        return tuple(item for item in items if item.kind == b"av01")

    def size(self, item: Item) -> tuple[int, int]:
        """Return width and height by the item's property `ispe`."""
        part = item.property(b"ispe")
        if part is None:
            raise ValueError("an item without a size")
        width, height = struct.unpack_from(">II", self.data, part.start + 4)
        return width, height


def parse_avif(data: bytes) -> Avif:
    """Read the boxes of an AVIF file.

    Raises:
        chunks.MALFORMED: the boxes can't be followed.
    """
    top = tuple(boxes(data, 0, len(data)))
    holder = next(part for part in (*top, None) if part is None or part.name == b"meta")
    if holder is None:
        raise ValueError("no meta box")
    meta = tuple(boxes(data, holder.start + 4, holder.end))
    named = {part.name: part for part in meta}
    kinds = _kinds(data, named[b"iinf"])
    places = _places(data, named)
    properties = _properties(data, named[b"iprp"])
    items = {
        i: Item(i, kind, places.get(i, ()), properties.get(i, ())) for i, kind in kinds.items()
    }
    at = named[b"pitm"].start
    primary = _number(data, at + 4, 4 if data[at] else 2)
    references = tuple(_references(data, named[b"iref"])) if b"iref" in named else ()
    if primary not in items or any(a not in items or b not in items for _, a, b in references):
        raise ValueError("an item that isn't there")
    return Avif(data, top, meta, primary, items, references)


def boxes(data: bytes, at: int, stop: int) -> Iterator[Part]:
    """Yield the boxes between two offsets."""
    while at < stop:
        size, name = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start)
            start += 8
        elif size == 0:
            size = stop - at
        if size < start - at or at + size > stop:
            raise ValueError("a box reaches past the end")
        yield Part(name, start, at + size)
        at += size


def brands(data: bytes, part: Part) -> set[bytes]:
    """Return the brands that a box ftyp names: the major one and those that it is like."""
    named = data[part.start : part.start + 4] + data[part.start + 8 : part.end]
    return {named[at : at + 4] for at in range(0, len(named), 4)}


def _number(data: bytes, at: int, size: int) -> int:
    if at + size > len(data):
        raise ValueError("a box is cut off")
    return int.from_bytes(data[at : at + size], "big")


def _kinds(data: bytes, part: Part) -> dict[int, bytes]:
    """Read the kind of each item (boxes iinf and infe)."""
    wide = data[part.start] > 0
    kinds: dict[int, bytes] = {}
    for entry in boxes(data, part.start + (8 if wide else 6), part.end):
        version = data[entry.start]
        if entry.name != b"infe" or version not in (2, 3) or len(kinds) == _MOST_ITEMS:
            raise ValueError("an item of an unknown layout")
        size = 2 if version == 2 else 4
        at = entry.start + 4 + size + 2  # behind the number and a protection index
        kinds[_number(data, entry.start + 4, size)] = data[at : at + 4]
    return kinds


def _places(data: bytes, named: dict[bytes, Part]) -> dict[int, tuple[tuple[int, int], ...]]:
    """Read where the bytes of each item lie (box iloc)."""
    part = named[b"iloc"]
    version = data[part.start]
    sizes = _number(data, part.start + 4, 2)
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version in (1, 2) else 0
    wide = 4 if version == 2 else 2
    reader = _Reader(data, part.start + 6, part.end)
    places: dict[int, tuple[tuple[int, int], ...]] = {}
    total = 0
    for _ in range(reader.number(wide)):
        number = reader.number(wide)
        inside = reader.number(2) & 15 if version in (1, 2) else 0
        reader.number(2)
        base = reader.number(base_size)
        if inside > 1:
            raise ValueError("an item made of another")
        base += named[b"idat"].start if inside else 0
        limit = named[b"idat"].end if inside else len(data)
        extents = []
        for _ in range(reader.number(2)):
            reader.number(index_size)
            at, size = base + reader.number(offset_size), reader.number(length_size)
            total += 1
            if at + size > limit or total > _MOST_EXTENTS:
                raise ValueError("an item reaches past the end")
            extents.append((at, size))
        places[number] = tuple(extents)
    return places


class _Reader:
    """A place in a box; reading past its end raises `ValueError`."""

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self._data = data
        self._at = at
        self._end = end

    def number(self, size: int) -> int:
        """Return a number of this many bytes; 0 for none."""
        if self._at + size > self._end:
            raise ValueError("a box is cut off")
        self._at += size
        return int.from_bytes(self._data[self._at - size : self._at], "big")


def _properties(data: bytes, part: Part) -> dict[int, tuple[Part, ...]]:
    """Read the properties of each item (boxes iprp, ipco, ipma)."""
    inner = tuple(boxes(data, part.start, part.end))
    known = next((tuple(boxes(data, p.start, p.end)) for p in inner if p.name == b"ipco"), ())
    found: dict[int, tuple[Part, ...]] = {}
    for table in (p for p in inner if p.name == b"ipma"):
        version, wide = data[table.start], data[table.start + 3] & 1
        reader = _Reader(data, table.start + 4, table.end)
        for _ in range(reader.number(4)):
            number = reader.number(4 if version else 2)
            indices = [reader.number(2 if wide else 1) for _ in range(reader.number(1))]
            mask = 0x7FFF if wide else 0x7F
            parts = tuple(known[(i & mask) - 1] for i in indices if i & mask)
            found[number] = found.get(number, ()) + parts
    return found


def _references(data: bytes, part: Part) -> Iterator[tuple[bytes, int, int]]:
    size = 4 if data[part.start] else 2
    for entry in boxes(data, part.start + 4, part.end):
        reader = _Reader(data, entry.start, entry.end)
        source = reader.number(size)
        for _ in range(reader.number(2)):
            yield entry.name, source, reader.number(size)


def unreferenced(avif: Avif) -> int:
    """Return how many bytes of the file's data boxes belong to no item."""
    held = sum(p.end - p.start for p in (*avif.top, *avif.meta) if p.name in (b"mdat", b"idat"))
    spans = sorted(extent for item in avif.items.values() for extent in item.extents)
    told = sum(size for _, size in spans)
    overlap = sum(max(a + n - b, 0) for (a, n), (b, _) in pairwise(spans))
    return held - told + overlap
