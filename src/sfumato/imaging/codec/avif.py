"""What an AVIF file says of its image before it is decoded, and which way it was coded."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from sfumato.imaging.codec import av1, chunks
from sfumato.imaging.codec.isobmff import Avif, Item, parse_avif

_NCLX = b"nclx"
_GAIN_MAP = b"tmap"
_NOT_TOLD = 2


@dataclass(frozen=True, slots=True)
class Facts:
    """What guards and writers need to know of an AVIF file.

    `pixels` is the most that any of its items claims, by its box or its coded data. `sampling` is
    Pillow's word; `colours` are primaries and transfer by ITU-T H.273, None where not told.
    `finest` is the smallest quantiser index (0 to 255) of any frame or segment, colour and alpha;
    None where that can't be read. `varies` says that blocks have finer or coarser ones of their
    own, which only decoding would tell.
    """

    pixels: int
    bits: int
    sampling: str
    colours: tuple[int, int] | None
    full_range: bool
    finest: int | None
    varies: bool
    cropped: bool
    moving: bool


def facts_of(data: bytes) -> Facts:
    """Read the boxes of an AVIF file and the headers of its coded items.

    Raises:
        chunks.MALFORMED: they can't be followed.
    """
    avif = parse_avif(data)
    shown = avif.shown()
    if not shown:
        raise ValueError("no coded image")
    heads = {item.id: av1.sequences(avif.bytes_of(item)) for item in shown}
    alpha = {source for kind, source, _ in avif.references if kind == b"auxl"}
    first = next((heads[i.id] for i in shown if i.id not in alpha), heads[shown[0].id])[0]
    every = [head for several in heads.values() for head in several]
    sizes = [avif.size(item) for item in avif.items.values() if item.property(b"ispe")]
    sizes += [(head.width, head.height) for head in every]
    main = avif.items[avif.primary]
    nclx = _nclx(data, main)
    quantisers = _quantisers(avif, shown)
    told = nclx[:2] if nclx else first.colours[:2]
    return Facts(
        pixels=max(width * height for width, height in sizes),
        bits=max(head.bits for head in every),
        sampling=_sampling(first),
        colours=None if _NOT_TOLD in told else told,
        full_range=nclx[2] if nclx else first.full_range,
        finest=None if quantisers is None else min(one.finest for one in quantisers),
        varies=quantisers is not None and any(one.varies for one in quantisers),
        cropped=main.property(b"clap") is not None,
        moving=avif.moving,
    )


def coarsest(data: bytes) -> int | None:
    """Return the largest quantiser index of any coded item; None where blocks may exceed it."""
    avif = parse_avif(data)
    found = [av1.quantiser(avif.bytes_of(item)) for item in avif.shown()]
    return None if any(one.varies for one in found) else max(one.coarsest for one in found)


def with_colours(data: bytes, colours: tuple[int, int]) -> bytes:
    """Return a file that names other primaries and another transfer; its samples stay."""
    avif = parse_avif(data)
    patched = bytearray(data)
    for part in avif.items[avif.primary].properties:
        if part.name == b"colr" and data[part.start : part.start + 4] == _NCLX:
            struct.pack_into(">HH", patched, part.start + 4, *colours)
    return bytes(patched)


def without_false_brand(data: bytes) -> bytes:
    """Return a file that doesn't call itself "tmap" (with a gain map) if it holds none.

    libavif refuses those; another brand of the file takes the place of the false one, so that
    nothing moves.
    """
    front = data[: int.from_bytes(data[:4], "big")]
    if _GAIN_MAP not in front:
        return data
    avif = parse_avif(data)
    head = next(part for part in avif.top if part.name == b"ftyp")
    if any(item.kind == _GAIN_MAP for item in avif.items.values()):
        return data
    patched = bytearray(data)
    for at in range(head.start + 8, head.end, 4):
        if patched[at : at + 4] == _GAIN_MAP:
            patched[at : at + 4] = b"mif1"
    return bytes(patched)


def _nclx(data: bytes, item: Item) -> tuple[int, int, bool] | None:
    for part in item.properties:
        if part.name == b"colr" and data[part.start : part.start + 4] == _NCLX:
            primaries, transfer, _, flags = struct.unpack_from(">HHHB", data, part.start + 4)
            return primaries, transfer, bool(flags & 0x80)
    return None


def _sampling(head: av1.Sequence) -> str:
    if head.monochrome:
        return "4:0:0"
    return {(1, 1): "4:2:0", (1, 0): "4:2:2"}.get(head.subsampling, "4:4:4")


def _quantisers(avif: Avif, shown: tuple[Item, ...]) -> list[av1.Quantiser] | None:
    try:
        return [av1.quantiser(avif.bytes_of(item)) for item in shown]
    except chunks.MALFORMED:  # layers, or something newer: nothing is known then
        return None
