"""Search what programs put beside an image: Photoshop's resources, IPTC, profiles, JFIF."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Final

from sfumato.imaging.codec import chunks
from sfumato.imaging.codec.inside.found import Embedded
from sfumato.imaging.codec.inside.search import Search, Where

_RESOURCE: Final = (b"8BIM", b"MeSa", b"AgHg", b"PHUT", b"DCSR")
_IPTC, _EXIF, _XMP, _ICC = 1028, 1058, 1060, 1039
_EXIF_TOO: Final = 1059
_PATH_RECORD, _SPARE = 26, 3  # bytes; padding
_DRAWN: Final = range(2000, 3000)  # paths of vectors
# Settings, in layouts of their own: printing, guides, slices, layers' states, timelines.
_SETTINGS: Final = frozenset(
    (*range(1000, 1028), 1029, 1030, 1032, 1034, 1035, 1037, *range(1040, 1058), 1061, 1062, 1064)
) | frozenset((1065, *range(1067, 1089), 2999, 3000, *range(4000, 4005), 7000, 7001, 10000))

# The tags of a colour profile (ICC.1:2022, ICC.2, and those of every Apple display).
_PROFILE_TAGS: Final = frozenset(
    b"A2B0 A2B1 A2B2 A2B3 B2A0 B2A1 B2A2 B2A3 B2D0 B2D1 B2D2 B2D3 D2B0 D2B1 D2B2 D2B3 bXYZ bTRC "
    b"bkpt calt chad chrm ciis cicp clot cloo clro clrt cprt crdi desc devs dmdd dmnd gTRC "
    b"gXYZ gamt gbd0 gbd1 gbd2 gbd3 kTRC lumi meas meta mmod ncl2 ncol pre0 pre1 pre2 ps2i ps2s "
    b"psd0 psd1 psd2 psd3 pseq psid psvm rTRC rXYZ resp rig0 rig2 scrd scrn targ tech vcgt view "
    b"vued wtpt aabg aagg aarg dscm ndin vcgp".split()
)
_HEAD_OF_PROFILE: Final = 128


def search_photoshop(search: Search, data: bytes, where: Where, offset: int) -> Iterator[Embedded]:
    """Yield the images in Photoshop's resources (its file format, "Image Resource Blocks")."""
    from sfumato.imaging.codec.inside import tags  # the two call each other

    at = 0
    while data.startswith(_RESOURCE, at) and at + 12 <= len(data):
        (number,) = struct.unpack_from(">H", data, at + 4)
        start = at + 6 + (data[at + 6] + 2) // 2 * 2  # behind a name of even length
        size = int.from_bytes(data[start : start + 4], "big")
        end = start + 4 + size
        if end > len(data):
            break
        value, place = data[start + 4 : end], offset + start + 4
        if number == _IPTC:
            yield from search_iptc(search, value, where, place)
        elif number in (_EXIF, _EXIF_TOO):
            yield from tags.search_tags(search, value, where, place, pixels=False)
        elif number == _ICC:
            yield from search_profile(search, value, where, place)
        else:
            known = where.known or number in _SETTINGS or (number in _DRAWN and _is_path(value))
            yield from search.data(value, replace(where, known=known), place)
        at = end + size % 2
    yield from search.data(data[at:], where, offset + at)


def _is_path(value: bytes) -> bool:
    """Tell whether a resource is a path: records of 26 bytes that begin with their kind."""
    kinds = (value[at : at + 2] for at in range(0, len(value), _PATH_RECORD))
    rest = len(value) % _PATH_RECORD
    return rest <= _SPARE and all(
        kind[:1] == b"\x00" and kind[1:] <= b"\x08"
        for kind in islice(kinds, len(value) // _PATH_RECORD)
    )


def search_iptc(search: Search, data: bytes, where: Where, offset: int) -> Iterator[Embedded]:
    """Yield the images in the records of IPTC-IIM; dataset 2:202 is a preview."""
    at = 0
    while at + 5 <= len(data) and data[at] == 0x1C:
        size = int.from_bytes(data[at + 3 : at + 5], "big")
        start = at + 5
        if size & 0x8000:  # the size of the size
            width = size & 0x7FFF
            size = int.from_bytes(data[start : start + width], "big")
            start += width
        if start + size > len(data):
            break
        yield from search.data(data[start : start + size], where, offset + start)
        at = start + size
    yield from search.data(data[at:], where, offset + at)


def search_profile(search: Search, data: bytes, where: Where, offset: int) -> Iterator[Embedded]:
    """Yield the images in a colour profile: in private tags, in gaps, and by magics anywhere."""
    try:
        told, unknown = _profile_parts(data)
    except chunks.MALFORMED:
        yield from search.data(data, where, offset)
        return
    yield from search.data(data, replace(where, known=True), offset)
    behind = 0
    for start, end in [*sorted(told), (len(data), len(data))]:
        if start > behind:
            unknown.append((behind, start))
        behind = max(behind, end)
    for start, end in unknown:
        found = search.data(data[start:end], where, offset + start)
        yield from (one for one in found if one.data is None)  # the others were seen above


def _profile_parts(
    data: bytes,
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return the stretches of a profile that its tags tell of, and those that nobody knows."""
    if data[36:40] != b"acsp":
        raise ValueError("no profile")
    (count,) = struct.unpack_from(">I", data, _HEAD_OF_PROFILE)
    first = _HEAD_OF_PROFILE + 4
    if count > 1000 or first + 12 * count > len(data):
        raise ValueError("a table that reaches past the end")
    told, unknown = [(0, first + 12 * count)], list[tuple[int, int]]()
    for entry in range(first, first + 12 * count, 12):
        name, at, size = struct.unpack_from(">4sII", data, entry)
        span = (at, min(at + size, len(data)))
        told.append(span)
        if name not in _PROFILE_TAGS:
            unknown.append(span)
    return told, unknown


def search_jfif(search: Search, payload: bytes, where: Where) -> Iterator[Embedded]:
    """Yield the thumbnails of JFIF's first segment and of its extension, whatever their coding."""
    if payload.startswith(b"JFIF\x00") and len(payload) >= 14:
        size, first, palette = (payload[12], payload[13]), 14, b""
    elif payload.startswith(b"JFXX\x00") and payload[5:6] in (b"\x11", b"\x13") and payload[7:]:
        size, first, palette = (payload[6], payload[7]), 8, b""
        if payload[5] == 0x11:
            first, palette = 8 + 768, payload[8 : 8 + 768]
    else:
        yield from search.data(payload, where)
        return
    behind = first + size[0] * size[1] * (1 if palette else 3)
    pixels = payload[first:behind]
    if pixels.strip(b"\x00"):
        search.budget.image()
        image = _bitmap(pixels, size, palette) if len(payload) >= behind else None
        yield Embedded(f"uncoded thumbnail {where.name}", image, where.part)
    yield from search.data(payload[behind:], where, behind)


def _bitmap(pixels: bytes, size: tuple[int, int], palette: bytes) -> bytes:
    """Return pixels that lie in a file uncoded as a PNG, which can be decoded."""
    width, height = size
    row = width if palette else 3 * width
    head = struct.pack(">IIBBBBB", width, height, 8, 3 if palette else 2, 0, 0, 0)
    rows = b"".join(b"\x00" + pixels[at : at + row] for at in range(0, len(pixels), row))
    parts = [(b"IHDR", head), (b"PLTE", palette), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunks.png_chunk(name, payload) for name, payload in parts if payload or name == b"IEND"
    )
