"""Write an AVIF anew around its own coded data: the items of its image, and nothing else."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from sfumato.imaging.codec.isobmff import KNOWN_BRANDS, Avif, Item, parse_avif
from sfumato.imaging.codec.orientation import Told
from sfumato.imaging.codec.profile import published_profile
from sfumato.imaging.embedded import orientation as turns
from sfumato.imaging.embedded.panorama import panorama_packet

# What a reader needs (ISO/IEC 23008-12, AV1 Image File Format), and of it what it must not pass
# over: configuration, turns and choices of layers.
_KEPT = frozenset(
    b"ispe pixi av1C colr irot imir clap pasp auxC a1op a1lx lsel clli mdcv cclv amve".split()
)
_ESSENTIAL = frozenset(b"av1C irot imir clap a1op lsel".split())
_MOST_COLOURS = 16  # that differ; tiles share them, and a profile costs a proof
_XMP_TYPE = b"application/rdf+xml\x00"
_REFERENCES = frozenset((b"dimg", b"auxl", b"prem"))
# (irot, imir) by orientation: quarter turns anticlockwise, then 0 for upside down, 1 for mirrored
_TURNS: dict[int, tuple[int | None, int | None]] = {
    2: (None, 1),
    3: (2, None),
    4: (None, 0),
    5: (1, 0),
    6: (3, None),
    7: (3, 0),
    8: (1, None),
}


@dataclass(frozen=True, slots=True)
class _Written:
    """An item as it is written: its bytes, and its properties by name and payload."""

    id: int
    kind: bytes
    data: bytes
    properties: tuple[tuple[bytes, bytes], ...] = ()


def rebuilt_avif(data: bytes) -> bytes:
    """Return the primary image of an AVIF (tiles and alpha with it) in a new file.

    A panorama's fields come with it as an item of XMP, and a turn that XMP alone tells as the
    properties `irot` and `imir`.

    Raises:
        ValueError: a sequence beside it, or items of other kinds that it needs.
        LookupError, struct.error: boxes that can't be followed.
    """
    return rebuilt_avif_of(parse_avif(data))


def rebuilt_avif_of(avif: Avif) -> bytes:
    """Return the image that is primary in these boxes, as `rebuilt_avif` does."""
    data = avif.data
    items = [avif.items[number] for number in sorted(avif.parts())]
    if avif.moving or any(item.kind not in (b"av01", b"grid") for item in items):
        raise ValueError("not a still image of AV1 items")
    colours = {part for item in items for part in item.properties if part.name == b"colr"}
    if len(colours) > _MOST_COLOURS:
        raise ValueError("many colour profiles")
    told = _told(avif)
    written = [
        _Written(item.id, item.kind, avif.bytes_of(item), _properties(avif, item, told))
        for item in items
    ]
    references = _references(avif, {item.id for item in items})
    if packet := panorama_packet(told.xmp):
        written.append(_Written(written[-1].id + 1, b"mime", packet))
        references[b"cdsc", written[-1].id] = [avif.primary]
    head = next(part for part in avif.top if part.name == b"ftyp")
    front = _box(b"ftyp", _brands(data[head.start : head.end]))
    # Laid out once to learn where the coded data begin, then with the offsets.
    length = len(front) + len(_meta(avif.primary, written, references, 0))
    body = b"".join(item.data for item in written)
    return front + _meta(avif.primary, written, references, length + 8) + _box(b"mdat", body)


def _told(avif: Avif) -> Told:
    """Return the first EXIF and XMP item, as libavif does."""
    found: dict[bytes, bytes] = {}
    for item in avif.items.values():
        if item.kind == b"Exif":
            block = avif.bytes_of(item)
            found.setdefault(b"Exif", block[4 + int.from_bytes(block[:4], "big") :])
        elif item.kind == b"mime":
            found.setdefault(b"mime", avif.bytes_of(item))
    return Told(found.get(b"Exif", b""), found.get(b"mime", b""))


def _brands(payload: bytes) -> bytes:
    """Return the payload of ftyp without brands that promise what isn't there, such as "tmap"."""
    kept = [payload[at : at + 4] for at in range(8, len(payload), 4)]
    return payload[:4] + bytes(4) + b"".join(one for one in kept if one in KNOWN_BRANDS)


def _meta(
    primary: int,
    items: list[_Written],
    references: dict[tuple[bytes, int], list[int]],
    offset: int,
) -> bytes:
    locations, entries = b"", b""
    for item in items:
        locations += struct.pack(">HHHII", item.id, 0, 1, offset, len(item.data))
        entry = struct.pack(">IHH4sB", 2 << 24, item.id, 0, item.kind, 0)
        entries += _box(b"infe", entry + (_XMP_TYPE if item.kind == b"mime" else b""))
        offset += len(item.data)
    count = struct.pack(">H", len(items))
    told = b"".join(
        _box(
            kind,
            struct.pack(">HH", source, len(targets)) + struct.pack(f">{len(targets)}H", *targets),
        )
        for (kind, source), targets in references.items()
    )
    parts = (
        _box(b"hdlr", bytes(8) + b"pict" + bytes(13)),
        _box(b"pitm", bytes(4) + struct.pack(">H", primary)),
        _box(b"iloc", bytes(4) + b"\x44\x00" + count + locations),
        _box(b"iinf", bytes(4) + count + entries),
        _tables(items),
        _box(b"iref", bytes(4) + told) if told else b"",
    )
    return _box(b"meta", bytes(4) + b"".join(parts))


def _references(avif: Avif, kept: set[int]) -> dict[tuple[bytes, int], list[int]]:
    """Return the items that each kept item refers to, in their order, by kind and source."""
    found: dict[tuple[bytes, int], list[int]] = {}
    for kind, source, target in avif.references:
        if kind in _REFERENCES and source in kept and target in kept:
            found.setdefault((kind, source), []).append(target)
    return found


def _tables(items: list[_Written]) -> bytes:
    """Write the properties of all items, each that several share once."""
    places: dict[tuple[bytes, bytes], int] = {}
    boxes, rows, count = b"", b"", 0
    for item in items:
        indices = b""
        for name, payload in item.properties:
            if (name, payload) not in places:
                places[name, payload] = len(places) + 1
                boxes += _box(name, payload)
            indices += struct.pack(">H", places[name, payload] | (name in _ESSENTIAL) << 15)
        if indices:
            rows += struct.pack(">HB", item.id, len(indices) // 2) + indices
            count += 1
    table = _box(b"ipma", struct.pack(">II", 1, count) + rows)
    return _box(b"iprp", _box(b"ipco", boxes) + table)


def _properties(avif: Avif, item: Item, told: Told) -> tuple[tuple[bytes, bytes], ...]:
    """Return the properties of an item that stay, by name and payload."""
    kept: list[tuple[bytes, bytes]] = []
    for part in item.properties:
        payload = avif.data[part.start : part.end]
        if part.name == b"colr" and payload[:4] != b"nclx":
            profile = published_profile(payload[4:])
            kept += [(b"colr", payload[:4] + profile)] if profile else []
        elif part.name in _KEPT:
            kept.append((part.name, payload))
    turned = item.id == avif.primary and {name for name, _ in kept}.isdisjoint((b"irot", b"imir"))
    # Pillow lets XMP turn an AVIF where neither its boxes nor its EXIF say anything.
    if turned and turns.told_by_exif(told.exif) is None:
        quarters, axis = _TURNS.get(told.orientation, (None, None))
        kept += [] if quarters is None else [(b"irot", bytes([quarters]))]
        kept += [] if axis is None else [(b"imir", bytes([axis]))]
    return tuple(kept)


def _box(name: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", len(payload) + 8, name) + payload
