"""Write a TIFF anew around its own strips and tiles: a directory of allow-listed tags alone."""

from __future__ import annotations

import struct
from typing import TypeAlias

from sfumato.imaging.codec import chunks
from sfumato.imaging.codec.orientation import page_orientations, page_xmp
from sfumato.imaging.codec.profile import published_profile
from sfumato.imaging.embedded.panorama import panorama_packet

_OLD_JPEG = 6  # a compression whose streams lie wherever further tags point to
_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES, _PROFILE = 273, 279, 324, 325, 34675
_XMP, _BYTE, _SHORT = 700, 1, 3
_MOST_PROFILES = 16  # that differ; pages share one, and each costs a proof
Entry: TypeAlias = tuple[int, int, int, bytes]  # of a directory: tag, type, count, value

_PLACES = frozenset((_STRIPS, _TILES))
# What a reader needs, by TIFF 6.0: sizes, coding, colours, resolution, orientation, sampling.
_KEPT = frozenset(
    (254, *range(256, 260), 262, 266, 274, 277, 278, 279, 282, 283, 284, 292, 293, 296, 297)
)
_KEPT |= frozenset((317, 320, 322, 323, 325, 338, 339, 347, 529, 530, 531, 532))


def rebuilt_tiff(data: bytes) -> bytes:
    """Return the pages of a TIFF in a new one, with the tags that decoding and colours need.

    Strips and tiles are copied as they are, in the byte order of the file.

    Raises:
        ValueError: a page of old-style JPEG, strips that overlap, or many profiles.
        KeyError, IndexError, struct.error: a directory that doesn't say where its pixels are.
    """
    tiff = chunks.parse_tiff(data)
    out = bytearray(data[: tiff.head])
    link = tiff.link  # where the offset of the next directory goes
    chunks.check_apart(tiff, _PROFILE, _MOST_PROFILES)
    orientations = page_orientations(tiff)
    copied = 0
    for index in range(len(tiff.pages)):
        if tiff.number(index, 259, 1) == _OLD_JPEG:
            raise ValueError("old-style JPEG in TIFF")
        copied += sum(size for _, size in chunks.tiff_parts(tiff, index))
        if copied > len(data):
            raise ValueError("strips lie on top of each other")
        link = _append_page(out, tiff, index, orientations[index], link)
    struct.pack_into(tiff.wide, out, link, 0)
    return bytes(out)


def _append_page(out: bytearray, tiff: chunks.Tiff, index: int, turned: int, link: int) -> int:
    """Append the pixels, the values and the directory of a page; return where the next link is."""
    data, tags = tiff.data, tiff.pages[index].tags
    places = []
    for at, size in chunks.tiff_parts(tiff, index):
        if at + size > len(data):
            raise ValueError("a strip reaches past the end of the file")
        places.append(append_part(out, data[at : at + size]))
    entries: list[Entry] = []
    for number, tag in tags.items():
        value = data[tag.at : tag.at + tag.size]
        if len(value) < tag.size:
            raise ValueError("a value reaches past the end of the file")
        if number in _PLACES:
            packed = b"".join(struct.pack(tiff.wide, place) for place in places)
            entries.append((number, 16 if tiff.big else 4, len(places), packed))
        elif number == _PROFILE:
            profile = published_profile(value)
            entries += [(number, tag.type, len(profile), profile)] if profile else []
        elif number in _KEPT:
            entries.append((number, tag.type, tag.count, value))
    if index == 0 and (packet := panorama_packet(page_xmp(tiff, index))):
        entries.append((_XMP, _BYTE, len(packet), packet))
    if chunks.ORIENTATION not in tags and turned > 1:  # by its XMP
        entries.append((chunks.ORIENTATION, _SHORT, 1, struct.pack(tiff.order + "H", turned)))
    return append_directory(out, tiff, sorted(entries), link)


def append_directory(out: bytearray, tiff: chunks.Tiff, entries: list[Entry], link: int) -> int:
    """Append a directory and what its (tag, type, count, value) hold; return where its link is.

    `link` is where the offset of this directory goes.
    """
    order = tiff.order
    inline, head, entry = (8, "Q", "HHQ") if tiff.big else (4, "H", "HHI")
    rows = b""
    for number, kind, count, value in entries:
        short = len(value) <= inline
        field = value if short else struct.pack(tiff.wide, append_part(out, value))
        rows += struct.pack(order + entry, number, kind, count) + field.ljust(inline, b"\x00")
    at = append_part(out, struct.pack(order + head, len(entries)) + rows + bytes(inline))
    struct.pack_into(tiff.wide, out, link, at)
    return len(out) - inline


def one_page(out: bytearray, tiff: chunks.Tiff, entries: list[Entry]) -> bytes:
    """Return a file of one directory behind what has been appended, in the form of another."""
    link = append_directory(out, tiff, sorted(entries), tiff.link)
    struct.pack_into(tiff.wide, out, link, 0)
    return bytes(out)


def append_part(out: bytearray, part: bytes) -> int:
    """Append at an even offset, as TIFF wants it, and return that."""
    out += b"\x00" * (len(out) % 2)
    at = len(out)
    out += part
    return at
