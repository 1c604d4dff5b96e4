"""AVIF files made and changed on the spot: Pillow writes them, boxes are changed by hand."""

from __future__ import annotations

import io
import struct
from typing import Any

from PIL import Image


def avif(image: Image.Image, **settings: Any) -> bytes:
    """Write an image with one thread and one quantiser for all of it, unless told otherwise."""
    out = io.BytesIO()
    settings = {"advanced": {"tune": "ssim"}, "speed": 9, "max_threads": 1, **settings}
    image.save(out, "AVIF", **settings)
    return out.getvalue()


def resized(data: bytes, width: int, height: int) -> bytes:
    """Claim another size in the box, not in the coded data."""
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", width, height) + data[at + 8 :]


def with_colours(data: bytes, primaries: int, transfer: int) -> bytes:
    at = data.index(b"nclx") + 4
    return data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :]


def colours_of(data: bytes) -> tuple[int, int, int, int]:
    """Primaries, transfer, matrix and range by the box `colr`."""
    found: tuple[int, int, int, int] = struct.unpack_from(">HHHB", data, data.index(b"nclx") + 4)
    return found


def grid(left: Image.Image, right: Image.Image, *, more: bytes = b"") -> bytes:
    """Two tiles side by side as one image, the way large images and phones' are stored."""
    tiles = [avif(image, quality=60, subsampling="4:4:4") for image in (left, right)]
    width, height = left.size
    coded = [data[data.index(b"mdat") + 4 :] for data in tiles]
    config = tiles[0][tiles[0].index(b"av1C") - 4 :][:12]
    pixi = tiles[0][tiles[0].index(b"pixi") - 4 :][:16]
    colours = tiles[0][tiles[0].index(b"colr") - 4 :][:19]
    sizes = [_size(width, height), _size(2 * width, height)]
    whole = struct.pack(">BBBBHH", 0, 0, 0, 1, 2 * width, height)
    kinds = (b"grid", b"av01", b"av01")
    entries = [
        _box(b"infe", struct.pack(">IHH4sB", 2 << 24, number, 0, kind, 0))
        for number, kind in enumerate(kinds, start=1)
    ]
    table = struct.pack(">II", 0, 3) + bytes((0, 1, 3, 2, 3, 4))
    table += b"".join(bytes((0, number, 4, 1, 3, 0x85, 4)) for number in (2, 3))
    properties = _box(b"ipco", b"".join((*sizes, pixi, colours, config)))
    properties = _box(b"iprp", properties + _box(b"ipma", table))

    def meta(at: int) -> bytes:
        places = b""
        for number, part in enumerate((whole, *coded), start=1):
            places += struct.pack(">HHHII", number, 0, 1, at, len(part))
            at += len(part)
        parts = (
            _box(b"hdlr", bytes(8) + b"pict" + bytes(13)),
            _box(b"pitm", struct.pack(">IH", 0, 1)),
            _box(b"iloc", struct.pack(">IHH", 0, 0x4400, 3) + places),
            _box(b"iinf", struct.pack(">IH", 0, 3) + b"".join(entries)),
            properties,
            _box(b"iref", bytes(4) + _box(b"dimg", struct.pack(">HHHH", 1, 2, 2, 3))),
        )
        return _box(b"meta", bytes(4) + b"".join(parts))

    front = _box(b"ftyp", b"avif" + bytes(4) + b"avifmif1miaf")
    at = len(front) + len(meta(0)) + 8
    return front + meta(at) + _box(b"mdat", whole + b"".join(coded)) + more


def with_gain_map(image: Image.Image, gain: Image.Image) -> bytes:
    """An image and how much brighter each of its parts is on an HDR screen (ISO 21496-1)."""
    tiles = [avif(one, quality=60, subsampling="4:4:4") for one in (image, gain)]
    coded = [data[data.index(b"mdat") + 4 :] for data in tiles]
    boxes = [
        tiles[0][tiles[0].index(name) - 4 :][:size]
        for name, size in ((b"av1C", 12), (b"pixi", 16), (b"colr", 19))
    ]
    one = struct.pack(">II", 1, 1)
    told = struct.pack(">BHHB", 0, 0, 0, 0x40) + one + struct.pack(">II", 2, 1)
    told += struct.pack(">iI", 0, 1) + one + one + struct.pack(">iIiI", 0, 1, 0, 1)
    kinds = ((b"av01", b""), (b"av01", b""), (b"tmap", told))
    entries = [
        _box(b"infe", struct.pack(">IHH4sB", 2 << 24, number, 0, kind, 0))
        for number, (kind, _) in enumerate(kinds, start=1)
    ]
    sizes = [_size(*one.size) for one in (image, gain)]
    table = struct.pack(">II", 0, 3)
    table += bytes((0, 1, 4, 1, 0x83, 4, 5, 0, 2, 4, 2, 0x83, 4, 5, 0, 3, 3, 1, 4, 5))
    properties = _box(b"ipco", b"".join((*sizes, *boxes)))
    properties = _box(b"iprp", properties + _box(b"ipma", table))
    held = (*coded, told)

    def meta(at: int) -> bytes:
        places = b""
        for number, part in enumerate(held, start=1):
            places += struct.pack(">HHHII", number, 0, 1, at, len(part))
            at += len(part)
        parts = (
            _box(b"hdlr", bytes(8) + b"pict" + bytes(13)),
            _box(b"pitm", struct.pack(">IH", 0, 1)),
            _box(b"iloc", struct.pack(">IHH", 0, 0x4400, 3) + places),
            _box(b"iinf", struct.pack(">IH", 0, 3) + b"".join(entries)),
            properties,
            _box(b"iref", bytes(4) + _box(b"dimg", struct.pack(">HHHH", 3, 2, 1, 2))),
            _box(b"grpl", _box(b"altr", struct.pack(">IIIII", 0, 9, 2, 3, 1))),
        )
        return _box(b"meta", bytes(4) + b"".join(parts))

    front = _box(b"ftyp", b"avif" + bytes(4) + b"avifmif1miaftmap")
    at = len(front) + len(meta(0)) + 8
    return front + meta(at) + _box(b"mdat", b"".join(held))


def _size(width: int, height: int) -> bytes:
    return _box(b"ispe", struct.pack(">III", 0, width, height))


def _box(name: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", len(payload) + 8, name) + payload
