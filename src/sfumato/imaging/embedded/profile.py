"""Take out of a colour profile what no colour transform needs, and prove that it stays the same.

A profile (ICC.1:2022) is a header of 128 bytes, a table of tags, and their data. Private tags,
gaps between tags and free texts can hold an image, a name or a place. What stays are the tags
that colour management defines, each of a kind and a size that the standard gives it, and texts
made of the words of standard profiles. A profile that holds nothing else stays as it is, byte for
byte; that is so for the standard ones.
"""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from sfumato.imaging.embedded.profile_tags import TEXTS, size_of
from sfumato.imaging.embedded.profile_texts import finished, is_plain, neutral, texts_in

_T = TypeVar("_T")

UNREADABLE: Final = "unreadable"

_MOST_BYTES: Final = 1 << 22  # the largest standard ones, of printing inks, take under 3 MB
_MOST_TAGS: Final = 100
_CLASSES: Final = (b"mntr", b"scnr", b"prtr", b"spac")  # of images; the others are links
_SPACES: Final = (b"RGB ", b"GRAY", b"CMYK", b"Lab ")
_REQUIRED: Final = (b"desc", b"cprt")
_ID: Final = slice(84, 100)
_KEPT_RESULTS: Final = 64  # profiles whose outcome is remembered: a data set has few

_extras_of: dict[bytes, tuple[str, ...]] = {}
_clean_of: dict[bytes, bytes | None] = {}


@dataclass(frozen=True, slots=True)
class _Tag:
    name: bytes
    at: int
    size: int


def clean_profile(profile: bytes) -> bytes | None:
    """Return a colour profile without what no transform needs; the same bytes if that is nothing.

    None for what can't be read as the profile of an image, and where it can't be proved that
    littleCMS makes the same colours of both.
    """
    extras = profile_extras(profile)
    if not extras or UNREADABLE in extras:
        return None if extras else profile
    return _remembered(_clean_of, profile, _proved)


def profile_extras(profile: bytes) -> tuple[str, ...]:
    """Name what a colour profile holds besides what a transform needs; empty if nothing.

    "tag NAME", "text NAME", "unused bytes", "header", or "unreadable" alone.
    """
    if not 132 <= len(profile) <= _MOST_BYTES or int.from_bytes(profile[:4], "big") != len(profile):
        return (UNREADABLE,)
    return _remembered(_extras_of, profile, _named)


def _remembered(known: dict[bytes, _T], profile: bytes, ask: Callable[[bytes], _T]) -> _T:
    digest = hashlib.sha256(profile).digest()
    if digest not in known:
        if len(known) >= _KEPT_RESULTS:
            known.clear()
        known[digest] = ask(profile)
    return known[digest]


def _named(profile: bytes) -> tuple[str, ...]:
    try:
        return tuple(dict.fromkeys(_extras(profile, _tags(profile))))
    except (struct.error, IndexError, ValueError):
        return (UNREADABLE,)


def _proved(profile: bytes) -> bytes | None:
    """Return what stays of a profile that can be read, if it is proved to do the same."""
    clean = _rebuilt(profile, _tags(profile))
    left = _named(clean)
    return (
        clean
        if not left and _same_tags(profile, clean) and same_transform(profile, clean)
        else None
    )


def _tags(profile: bytes) -> list[_Tag]:
    """Return the table of tags.

    Raises:
        ValueError: it isn't the profile of an image, or a tag lies outside.
    """
    (length,) = struct.unpack_from(">I", profile)
    (count,) = struct.unpack_from(">I", profile, 128)
    if profile[36:40] != b"acsp" or length != len(profile) or not 1 <= count <= _MOST_TAGS:
        raise ValueError("no profile")
    if profile[12:16] not in _CLASSES or profile[16:20] not in _SPACES:
        raise ValueError("not of an image")
    tags = [_Tag(*struct.unpack_from(">4sII", profile, 132 + 12 * i)) for i in range(count)]
    if any(t.at < 132 + 12 * count or t.size < 8 or t.at + t.size > length for t in tags):
        raise ValueError("a tag outside")
    if len({tag.name for tag in tags}) < count:
        raise ValueError("a tag twice")
    return tags


def _extras(profile: bytes, tags: list[_Tag]) -> Iterator[str]:
    if _header(profile, profile[_ID]) != profile[:128]:
        yield "header"
    if any(profile[_ID]) and _identity(profile) != profile[_ID]:
        yield "header"
    lost = False
    rest = bytearray(profile)
    rest[: 132 + 12 * len(tags)] = bytes(132 + 12 * len(tags))
    for tag in tags:
        kept = _kept(profile, tag)
        if kept is None:
            lost = True
            name = "".join(chr(byte) if 33 <= byte < 127 else "?" for byte in tag.name)
            yield f"{'text' if tag.name in TEXTS else 'tag'} {name}"
            continue
        rest[tag.at : tag.at + len(kept)] = bytes(len(kept))
    if not lost and any(rest):
        yield "unused bytes"


def _kept(profile: bytes, tag: _Tag) -> bytes | None:
    """Return the bytes of a tag that stay as they are; None if it may not stay."""
    data = profile[tag.at : tag.at + tag.size]
    if tag.name in TEXTS:
        found = texts_in(data)
        return data[: found[1]] if found and all(map(is_plain, found[0])) else None
    try:
        size = size_of(tag.name, data)
    except (struct.error, IndexError):
        return None
    return None if size is None else data[:size]


def _header(profile: bytes, identity: bytes) -> bytes:
    """Return the header with zeros where the standard has no use for a bit, and this identity."""
    head = bytearray(profile[:128])
    year, month, day, hour, minute, second = struct.unpack_from(">6H", head, 24)
    dated = 1970 <= year < 2100 and 1 <= month <= 12 and 1 <= day <= 31
    if not (dated and hour < 24 and minute < 60 and second < 61):
        head[24:36] = bytes(12)
    flags, bits = struct.unpack_from(">I", head, 44)[0], struct.unpack_from(">Q", head, 56)[0]
    (intent,) = struct.unpack_from(">I", head, 64)
    struct.pack_into(">I", head, 44, flags & 0b111)
    struct.pack_into(">Q", head, 56, bits & 0xFF000000FF)
    if intent not in (*range(4), *(n << 24 for n in range(1, 4))):  # some turn it round
        head[64:68] = bytes(4)
    head[10:12] = bytes(2)
    head[_ID] = identity
    head[100:128] = bytes(28)
    return bytes(head)


def _identity(profile: bytes) -> bytes:
    """Return the identity of a profile: an MD5 without three of its fields (ICC.1, 7.2.18)."""
    blank = bytearray(profile)
    blank[44:48] = blank[64:68] = bytes(4)
    blank[_ID] = bytes(16)
    return hashlib.md5(blank, usedforsecurity=False).digest()


def _rebuilt(profile: bytes, tags: list[_Tag]) -> bytes:
    """Write a profile of the tags that stay, in their order; equal ones are shared as before."""
    stay: list[tuple[bytes, bytes]] = []
    for tag in tags:
        kept = _kept(profile, tag)
        if kept is None and tag.name in _REQUIRED:
            kept = neutral(tag.name, profile[8])
        if kept is not None:
            stay.append((tag.name, finished(kept) if tag.name in TEXTS else kept))
    table, body, places = struct.pack(">I", len(stay)), b"", dict[bytes, int]()
    first = 132 + 12 * len(stay)
    for name, data in stay:
        if data not in places:
            places[data] = first + len(body)
            body += data + bytes(-len(data) % 4)
        table += struct.pack(">4sII", name, places[data], len(data))
    clean = bytearray(_header(profile, bytes(16)) + table + body)
    struct.pack_into(">I", clean, 0, len(clean))
    if any(profile[_ID]):
        clean[_ID] = _identity(bytes(clean))
    return bytes(clean)


def _same_tags(before: bytes, after: bytes) -> bool:
    """Tell whether every tag of the new profile, but for texts, begins the old one of its name."""
    old = {tag.name: before[tag.at : tag.at + tag.size] for tag in _tags(before)}
    return all(
        tag.name in TEXTS or old[tag.name].startswith(after[tag.at : tag.at + tag.size])
        for tag in _tags(after)
    )


# Asking littleCMS whether two profiles make the same colours.

_MODES: Final = {b"RGB ": ("RGB", 3, 17), b"GRAY": ("L", 1, 256), b"CMYK": ("CMYK", 4, 7)}
_INTENTS: Final = tuple(ImageCms.Intent)


def same_transform(before: bytes, after: bytes) -> bool:
    """Tell whether two profiles turn a grid of colours into the same sRGB colours.

    Compared are all rendering intents that the first profile has. False where it has none, and
    for spaces of which images have no pixels here (Lab).
    """
    if before[16:20] not in _MODES or before[16:20] != after[16:20]:
        return False
    mode, channels, steps = _MODES[before[16:20]]
    grid = _grid(mode, channels, steps)
    compared = 0
    for intent in _INTENTS:
        old = _in_srgb(before, grid, intent)
        if old is None:
            continue
        new = _in_srgb(after, grid, intent)
        if new is None or not np.array_equal(old, new):
            return False
        compared += 1
    return compared > 0


@cache
def _grid(mode: str, channels: int, steps: int) -> Image.Image:
    """Return an image of every combination of some levels, from 0 to 255."""
    levels = np.linspace(0, 255, steps).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(*[levels] * channels, indexing="ij"), axis=-1)
    flat = np.ascontiguousarray(colours.reshape(1, -1, channels))
    return Image.frombytes(mode, (flat.shape[1], 1), flat.tobytes())


def _in_srgb(
    profile: bytes, grid: Image.Image, intent: ImageCms.Intent
) -> NDArray[np.uint8] | None:
    """Return the grid in sRGB; None where littleCMS can't do it."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(
            source, target, grid.mode, "RGB", intent, ImageCms.Flags.NOOPTIMIZE
        )
        shown = ImageCms.applyTransform(grid, transform)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, MemoryError):
        return None
    return None if shown is None else np.asarray(shown)
