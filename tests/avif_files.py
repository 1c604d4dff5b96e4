"""AVIF files made and changed on the spot: Pillow writes them, boxes are changed by hand."""

from __future__ import annotations

import io
import struct
from typing import Any

from PIL import Image


def avif(image: Image.Image, **settings: Any) -> bytes:
    """Write a picture with one thread and one quantiser for all of it, unless told otherwise."""
    out = io.BytesIO()
    settings = {"advanced": {"tune": "ssim"}, "speed": 9, "max_threads": 1, **settings}
    image.save(out, "AVIF", **settings)
    return out.getvalue()


def without_property(data: bytes, name: bytes) -> bytes:
    """Rename a property, so that readers pass it over (none of them is marked as essential)."""
    assert data.count(name) == 1
    return data.replace(name, b"free")


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
