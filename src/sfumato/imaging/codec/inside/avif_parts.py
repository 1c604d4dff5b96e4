"""The parts of an AVIF that its image doesn't need: boxes, items, gaps between coded data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from sfumato.imaging.codec import av1, chunks, isobmff
from sfumato.imaging.codec.avif_rebuilding import rebuilt_avif_of
from sfumato.imaging.codec.inside.found import Part, Span
from sfumato.imaging.codec.inside.tracks import shown_samples
from sfumato.imaging.codec.isobmff import Avif, Item

_TABLES: Final = frozenset(b"ftyp pitm iloc iinf iprp iref meta grpl dinf".split())
_LONGEST_HANDLER: Final = 64
_LONGEST_PROPERTY: Final = 128
_ALPHA: Final = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
_PROFILES: Final = (b"prof", b"rICC")


def cut(data: bytes, _: list[int]) -> Iterator[Part]:
    """Yield what the image of an AVIF doesn't need; see `parts`."""
    avif = isobmff.parse_avif(data)
    seen = set[bytes]()
    heads = [box.start - 8 for box in avif.top if box.name == b"ftyp"][1:]
    end = min(heads, default=len(data))
    if heads:
        yield Part("behind the end", "data", data[end:], ((end, len(data)),))
    for box in (*(box for box in avif.top if box.start < end), *avif.meta):
        payload = data[box.start : box.end]
        first = box.name not in seen
        seen.add(box.name)
        if box.name in (b"mdat", b"idat") or (box.name == b"meta" and first):
            continue
        if box.name == b"hdlr" and box.end - box.start <= _LONGEST_HANDLER:
            continue
        # What a sequence shows is told by its box; its frames are searched as the file's.
        known = (box.name in _TABLES and first) or box.name == b"moov"
        spans = () if known else ((box.start, box.end),)
        yield Part(_words("box", box.name), "known" if known else "data", payload, spans)
    shown = _shown(avif)
    for item in avif.items.values():
        if item.id in shown:
            yield from _extras(avif, item) if item.kind == b"av01" else ()
        else:
            yield from _item(avif, item)
        yield from _properties(data, item)
    for start, stop in _gaps(avif, end):
        yield Part("between coded data", "data", data[start:stop], ((start, stop),))


def _shown(avif: Avif) -> set[int]:
    """Return the items that a viewer shows: the primary one, its tiles, and its transparency.

    Maps of depth and of light refer to the primary item as its transparency does.
    """
    found = {avif.primary}
    for _ in range(3):  # tiles of a grid, transparency, tiles of that
        for kind, source, to in avif.references:
            if kind == b"dimg" and source in found:
                found.add(to)
            elif kind == b"auxl" and to in found and _is_alpha(avif, avif.items[source]):
                found.add(source)
    return found


def _is_alpha(avif: Avif, item: Item) -> bool:
    kind = item.property(b"auxC")
    return kind is not None and avif.data[kind.start + 4 : kind.end].startswith(_ALPHA)


def _words(what: str, name: bytes) -> str:
    return f"in {what} {name.decode('ascii').strip() if name.strip().isalnum() else '?'}"


def _item(avif: Avif, item: Item) -> Iterator[Part]:
    payload = avif.bytes_of(item)
    if item.kind == b"Exif":
        behind = 4 + int.from_bytes(payload[:4], "big")
        yield Part("in EXIF", "exif", payload[behind:], ())
        yield Part("before EXIF", "data", payload[4:behind], ())
    elif item.kind in (b"av01", b"grid"):
        try:
            image = rebuilt_avif_of(replace(avif, primary=item.id))
        except chunks.MALFORMED:
            image = payload
        yield Part("as another item", "data", image, ())
    else:
        words = "in XMP" if item.kind == b"mime" else _words("item", item.kind)
        yield Part(words, "data", payload, ())


def _extras(avif: Avif, item: Item) -> Iterator[Part]:
    """Yield messages and padding inside AV1 data."""
    data = avif.bytes_of(item)
    for kind, start, end in av1.obus(data):
        if kind in (av1.METADATA, av1.PADDING):
            yield Part("in a message of coded data", "data", data[start:end], ())


def _properties(data: bytes, item: Item) -> Iterator[Part]:
    for part in item.properties:
        payload = data[part.start : part.end]
        if part.name == b"colr" and payload[:4] in _PROFILES:
            yield Part("in the colour profile", "profile", payload[4:], ())
        elif len(payload) > _LONGEST_PROPERTY:
            yield Part(_words("property", part.name), "data", payload, ())


def _gaps(avif: Avif, end: int) -> Iterator[Span]:
    """Yield the bytes of the data boxes before `end` that belong to no item."""
    extents = [extent for item in avif.items.values() for extent in item.extents]
    for box in avif.top:
        if box.name == b"moov":
            samples = shown_samples(avif.data, box)  # frames of the file, searched as that
            extents += [(start, stop - start) for start, stop in samples]
    extents.sort()
    for box in (*avif.top, *avif.meta):
        if box.name not in (b"mdat", b"idat") or box.start >= end:
            continue
        behind = box.start
        for at, size in extents:
            if at + size <= box.start or at >= box.end:
                continue
            if at > behind:
                yield behind, at
            behind = max(behind, at + size)
        if behind < box.end:
            yield behind, box.end
