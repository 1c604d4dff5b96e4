"""Colour profiles taken apart and put together again, to hide things in them."""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SECRET = b"Jane Roe 47.3769N"

Tags = Sequence[tuple[bytes, bytes]]


def tags_of(profile: bytes) -> list[tuple[bytes, bytes]]:
    (count,) = struct.unpack_from(">I", profile, 128)
    entries = (struct.unpack_from(">4sII", profile, 132 + 12 * i) for i in range(count))
    return [(name, profile[at : at + size]) for name, at, size in entries]


def built(tags: Tags, *, gap: bytes = b"", behind: bytes = b"", head: bytes = SRGB[:128]) -> bytes:
    """A profile of these tags, with bytes between every two of them and behind the last."""
    table, body = struct.pack(">I", len(tags)), gap
    first = 132 + 12 * len(tags)
    for name, data in tags:
        body += bytes(-(first + len(body)) % 4)
        table += struct.pack(">4sII", name, first + len(body), len(data))
        body += data + gap
    out = bytearray(head + table + body + behind)
    struct.pack_into(">I", out, 0, len(out))
    return bytes(out)


def with_tag(name: bytes, data: bytes, profile: bytes = SRGB) -> bytes:
    """Put a tag into a profile, in the place of its namesake if there is one."""
    kept = [tag for tag in tags_of(profile) if tag[0] != name]
    return built([*kept, (name, data)], head=profile[:128])


def with_header(at: int, part: bytes, profile: bytes = SRGB) -> bytes:
    return profile[:at] + part + profile[at + len(part) :]


def identified(profile: bytes) -> bytes:
    blank = bytearray(profile)
    blank[44:48] = blank[64:68] = bytes(4)
    blank[84:100] = bytes(16)
    return with_header(84, hashlib.md5(blank).digest(), profile)


def shown(profile: bytes, intent: int = 0) -> NDArray[np.uint8]:
    """What littleCMS makes of some colours, in sRGB."""
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    image = Image.fromarray(np.ascontiguousarray(cube))
    target = ImageCms.createProfile("sRGB")
    exact = ImageCms.Flags.NOOPTIMIZE
    transform = ImageCms.buildTransform(
        source, target, "RGB", "RGB", ImageCms.Intent(intent), exact
    )
    after = ImageCms.applyTransform(image, transform)
    assert after is not None
    return np.asarray(after)


def text(words: bytes) -> bytes:
    return b"text" + bytes(4) + words + b"\0"


def description(words: bytes, *, mac: bytes = b"", wide: str = "") -> bytes:
    unicode = struct.pack(">II", 0, len(wide)) + wide.encode("utf-16-be")
    local = struct.pack(">HB", 0, len(mac)) + mac.ljust(67, b"\0")
    return struct.pack(">4sII", b"desc", 0, len(words) + 1) + words + b"\0" + unicode + local


def localised(*words: str, gap: bytes = b"") -> bytes:
    at = 16 + 12 * len(words) + len(gap)
    records, strings = b"", gap
    for one in words:
        wide = one.encode("utf-16-be")
        records += struct.pack(">4sII", b"enUS", len(wide), at)
        strings, at = strings + wide, at + len(wide)
    return struct.pack(">4sIII", b"mluc", 0, len(words), 12) + records + strings


def gamma(value: float = 2.2) -> bytes:
    return struct.pack(">4sIIH", b"curv", 0, 1, round(256 * value))


def lut(values: NDArray[np.uint8] | None = None, grid: int = 3) -> bytes:
    """An 8-bit table from RGB to the connection space (mft1)."""
    levels = np.linspace(0, 255, grid).astype(np.uint8)
    even = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1)
    matrix = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    straight = bytes(range(256)) * 3
    head = struct.pack(">4sI4B", b"mft1", 0, 3, 3, grid, 0)
    return head + matrix + straight + (even if values is None else values).tobytes() + straight
