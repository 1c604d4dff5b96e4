"""Write an AVIF anew around its own coded data: the items of its picture, and nothing else."""

from __future__ import annotations

import struct

from sfumato.codec.exif import valid_profile
from sfumato.codec.isobmff import Avif, Item, Part, parse_avif

# What a reader needs (ISO/IEC 23008-12, AV1 Image File Format), and of it what it must not pass
# over: configuration, turns and choices of layers.
_KEPT = frozenset(
    b"ispe pixi av1C colr irot imir clap pasp auxC a1op a1lx lsel clli mdcv cclv amve".split()
)
_ESSENTIAL = frozenset(b"av1C irot imir clap a1op lsel".split())
_REFERENCES = frozenset((b"dimg", b"auxl", b"prem"))


def rebuilt_avif(data: bytes) -> bytes:
    """Return the primary picture of an AVIF (tiles and alpha with it) in a new file.

    Raises:
        ValueError: a sequence beside it, or items of other kinds that it needs.
        LookupError, struct.error: boxes that can't be followed.
    """
    return rebuilt_avif_of(parse_avif(data))


def rebuilt_avif_of(avif: Avif) -> bytes:
    """Return the picture that is primary in these boxes, as `rebuilt_avif` does."""
    data = avif.data
    items = [avif.items[number] for number in sorted(avif.parts())]
    if avif.moving or any(item.kind not in (b"av01", b"grid") for item in items):
        raise ValueError("not a still picture of AV1 items")
    head = next(part for part in avif.top if part.name == b"ftyp")
    front = _box(b"ftyp", data[head.start : head.end])
    # Laid out once to learn where the coded data begin, then with the offsets.
    length = len(front) + len(_meta(avif, items, 0))
    body = b"".join(avif.bytes_of(item) for item in items)
    return front + _meta(avif, items, length + 8) + _box(b"mdat", body)


def _meta(avif: Avif, items: list[Item], offset: int) -> bytes:
    kept = {item.id for item in items}
    locations, entries = b"", b""
    for item in items:
        size = sum(count for _, count in item.extents)
        locations += struct.pack(">HHHII", item.id, 0, 1, offset, size)
        entries += _box(b"infe", struct.pack(">IHH4sB", 2 << 24, item.id, 0, item.kind, 0))
        offset += size
    count = struct.pack(">H", len(items))
    references = b"".join(
        _box(
            kind,
            struct.pack(">HH", source, len(targets)) + struct.pack(f">{len(targets)}H", *targets),
        )
        for (kind, source), targets in _references(avif, kept).items()
    )
    parts = (
        _box(b"hdlr", bytes(8) + b"pict" + bytes(13)),
        _box(b"pitm", bytes(4) + struct.pack(">H", avif.primary)),
        _box(b"iloc", bytes(4) + b"\x44\x00" + count + locations),
        _box(b"iinf", bytes(4) + count + entries),
        _properties(avif, items),
        _box(b"iref", bytes(4) + references) if references else b"",
    )
    return _box(b"meta", bytes(4) + b"".join(parts))


def _references(avif: Avif, kept: set[int]) -> dict[tuple[bytes, int], list[int]]:
    """Return the items that each kept item refers to, in their order, by kind and source."""
    found: dict[tuple[bytes, int], list[int]] = {}
    for kind, source, target in avif.references:
        if kind in _REFERENCES and source in kept and target in kept:
            found.setdefault((kind, source), []).append(target)
    return found


def _properties(avif: Avif, items: list[Item]) -> bytes:
    places: dict[Part, int] = {}
    boxes, rows = b"", b""
    for item in items:
        indices = b""
        for part in item.properties:
            if not _stays(avif.data, part):
                continue
            if part not in places:
                places[part] = len(places) + 1
                boxes += _box(part.name, avif.data[part.start : part.end])
            indices += struct.pack(">H", places[part] | (part.name in _ESSENTIAL) << 15)
        rows += struct.pack(">HB", item.id, len(indices) // 2) + indices
    table = _box(b"ipma", struct.pack(">II", 1, len(items)) + rows)
    return _box(b"iprp", _box(b"ipco", boxes) + table)


def _stays(data: bytes, part: Part) -> bool:
    if part.name == b"colr" and data[part.start : part.start + 4] != b"nclx":
        profile = data[part.start + 4 : part.end]
        return valid_profile(profile) == profile
    return part.name in _KEPT


def _box(name: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", len(payload) + 8, name) + payload
