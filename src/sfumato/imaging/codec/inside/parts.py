"""Cut a file into its visible pixels, which are left alone, and all other bytes: its parts.

What decoding needs is told by an allow-list with sizes; whatever is left over is a part. So a kind
of chunk that nobody has heard of is searched as well.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from sfumato.imaging.codec import chunks
from sfumato.imaging.codec.inside import avif_parts, resources, tags
from sfumato.imaging.codec.inside.found import (
    DEEPEST,
    SMALLEST,
    Embedded,
    Part,
    Reading,
    Span,
    TooMuch,
    bounded,
)
from sfumato.imaging.codec.inside.magics import whole_images
from sfumato.imaging.codec.inside.search import Search, Where
from sfumato.imaging.codec.signatures import HEAD, sniff

# JPEG: what libjpeg reads, and refuses or passes over where its length is wrong.
_CODED: Final = frozenset((*range(0xC0, 0xD0), 0x01, *range(0xD0, 0xD8), 0xD9, 0xDA, 0xDB))
_LENGTHS: Final = {0xDC: 2, 0xDD: 2}  # DNL, DRI
_NAMES: Final = {chunks.STRAY: "between segments", 0xFE: "in a comment"}
_EXIF_HEAD: Final = b"Exif\x00\x00"
_IDENTIFIED: Final = 48  # bytes in which the name of an application segment ends

_PNG_SIZES: Final = {
    b"IHDR": 13,
    b"PLTE": 768,
    b"tRNS": 256,
    b"IEND": 0,
    b"acTL": 8,
    b"fcTL": 26,
    b"cHRM": 32,
    b"gAMA": 4,
    b"sBIT": 4,
    b"sRGB": 1,
    b"cICP": 4,
    b"bKGD": 6,
    b"hIST": 512,
    b"pHYs": 9,
    b"tIME": 7,
    b"mDCV": 24,
    b"cLLI": 8,
}
_PNG_READINGS: Final = frozenset((b"eXIf", b"iCCP", b"tEXt", b"zTXt", b"iTXt"))
_PNG_TEXTS: Final = frozenset((b"tEXt", b"iTXt"))
_WEBP_SIZES: Final = {b"VP8X": 10, b"ANIM": 6}
_WEBP_PIXELS: Final = frozenset((b"VP8 ", b"VP8L", b"ALPH"))
_ANIMATED: Final = 0x02  # flag of VP8X
_GIF_TRAILER: Final = b"\x01" + bytes(range(255, -1, -1)) + b"\x00"
_GIF_SIZES: Final = {b"NETSCAPE2.0": 16, b"ANIMEXTS1.0": 16}


def parts_of(data: bytes) -> list[Part]:
    """Return the parts of a file that its visible pixels don't need; none of an unknown kind.

    What can't be walked to its end is one part from there on.
    """
    kind = sniff(data[:HEAD])
    found: list[Part] = []
    if kind is None:
        return found
    behind = [0]  # how far the walk came
    try:
        for part in CUTTERS[kind](data, behind):
            found.append(part)  # noqa: PERF402 - what comes before the damage counts
    except chunks.MALFORMED:
        rest = data[behind[0] :]
        # A JPEG without its last marker may end in coded pixels.
        if not (kind == "JPEG" and rest.startswith(b"\xff\xda")):
            found.append(Part("where its structure ends", "data", rest, ((behind[0], len(data)),)))
    return found


def search_parts(search: Search, data: bytes, where: Where) -> Iterator[Embedded]:
    """Yield the images in every part of an image that lies inside another."""
    if where.depth > DEEPEST:
        raise TooMuch
    for part in parts_of(data):
        yield from search_part(search, part, where.inside(f"{part.name}, {where.name}"))


def search_part(search: Search, part: Part, where: Where) -> Iterator[Embedded]:
    """Yield the images in a part, read as what it is."""
    payload = part.payload
    match part.reading:
        case "exif":
            start = len(_EXIF_HEAD) if payload.startswith(_EXIF_HEAD) else 0
            yield from tags.search_tags(search, payload[start:], where, start, pixels=False)
        case "tiff":
            yield from tags.search_tags(search, payload, where, 0, pixels=True)
        case "photoshop":
            yield from resources.search_photoshop(search, payload, where, 0)
        case "profile":
            yield from resources.search_profile(search, payload, where, 0)
        case "jfif":
            yield from resources.search_jfif(search, payload, where)
        case "pixels":
            for hit in whole_images(payload):
                yield Embedded(f"{hit.kind} {where.name}", payload[hit.start : hit.end], where.part)
        case _:
            known = where.known or part.reading == "known"
            yield from search.data(payload, replace(where, known=known))


def _jpeg(data: bytes, behind: list[int]) -> Iterator[Part]:
    groups: dict[tuple[int, bytes], list[Span]] = {}
    end = 0
    for marker, start, stop in bounded(chunks.jpeg_segments(data)):
        end = stop
        if marker == chunks.SOI:  # the next image, behind one without an end
            end -= 2
            break
        behind[0] = start - 4 if marker == 0xDA else end
        if marker in _CODED or _LENGTHS.get(marker) == end - start:
            continue
        head = data[start : min(end, start + _IDENTIFIED)].partition(b"\x00")
        name = head[0] if head[1] and 0xE0 <= marker <= 0xEF else b""
        groups.setdefault((marker, name), []).append((start, end))
    for (marker, name), spans in groups.items():
        yield from _segments(data, marker, name, spans)
    if end < len(data):
        yield Part("behind the end", "data", data[end:], ((end, len(data)),))


def _segments(data: bytes, marker: int, name: bytes, spans: list[Span]) -> Iterator[Part]:
    """Yield the segments of one application, joined: what is too large for one is split."""
    whole = tuple((start - 4 if marker else start, end) for start, end in spans)
    bodies = [data[start:end] for start, end in spans]
    match name:
        case b"Exif" | b"JFIF" | b"JFXX":
            reading: Reading = "exif" if name == b"Exif" else "jfif"
            if name == b"Exif" and not all(body[6:8] in (b"II", b"MM") for body in bodies):
                # One block that is too large for a segment.
                joined = bodies[0] + b"".join(body[6:] for body in bodies[1:])
                yield Part("in Exif", reading, joined, whole)
                return
            for body, span in zip(bodies, whole, strict=True):
                yield Part(f"in {name.decode()}", reading, body, (span,))
        case b"ICC_PROFILE":
            profile = b"".join(body[14:] for body in sorted(bodies, key=lambda body: body[12:13]))
            yield Part("in the colour profile", "profile", profile, whole)
        case b"Photoshop 3.0":
            joined = b"".join(body[14:] for body in bodies)
            yield Part("in Photoshop's resources", "photoshop", joined, whole)
        case b"http://ns.adobe.com/xmp/extension/":
            bodies.sort(key=lambda body: body[35:67] + body[71:75])  # identifier, offset
            yield Part("in XMP", "data", b"".join(body[75:] for body in bodies), whole)
        case _:
            words = _NAMES.get(marker, f"in APP{marker & 15}" if marker >= 0xE0 else "in a segment")
            skipped = len(name) + 1 if name else 0
            joined = bodies[0] + b"".join(body[skipped:] for body in bodies[1:])
            yield Part("in XMP" if name.startswith(b"http:") else words, "data", joined, whole)


def _png(data: bytes, behind: list[int]) -> Iterator[Part]:
    end, animated, seen = 4, False, set[bytes]()
    split: dict[bytes, list[Span]] = {}
    for name, start, end in bounded(chunks.png_chunks(data)):
        behind[0] = end + 4
        whole = ((start - 8, end + 4),)
        animated = animated or name == b"acTL"
        sound = end - start <= _PNG_SIZES.get(name, -1)
        repeated = name in seen and name != b"fcTL"
        seen.add(name)
        if name == b"IDAT" or (animated and name == b"fdAT"):
            continue
        if sound and not repeated and (animated or name != b"fcTL"):
            continue
        if name in _PNG_TEXTS and end - start < 2 * SMALLEST:
            split.setdefault(b"text", []).extend(whole)
        if name in _PNG_READINGS:
            yield from _png_part(name, data[start:end], whole)
        else:
            split.setdefault(name, []).extend(whole)
    for name, spans in split.items():  # what is too large for a buffer comes in several
        if name == b"text":  # letters that are too few for an image in each
            if len(spans) > 1:
                yield Part("in chunks of text", "known", _values(data, spans), tuple(spans))
            continue
        joined = b"".join(data[start + 8 : stop - 4] for start, stop in spans)
        yield Part(f"in chunk {_shown(name)}", "data", joined, tuple(spans))
    if end + 4 < len(data):
        yield Part("behind the end", "data", data[end + 4 :], ((end + 4, len(data)),))


def _values(data: bytes, spans: list[Span]) -> bytes:
    """Return what text chunks say behind their keywords, joined."""
    bodies = (data[start + 8 : stop - 4] for start, stop in spans)
    return b"".join(body.partition(b"\x00")[2] for body in bodies)


def _png_part(name: bytes, payload: bytes, whole: tuple[Span, ...]) -> Iterator[Part]:
    if name == b"eXIf":
        yield Part("in EXIF", "exif", payload, whole)
    elif name == b"iCCP":
        profile, rest = _inflated_profile(payload)
        yield Part("in the colour profile", "profile", profile, whole)
        yield Part("in the colour profile", "data", rest, whole)
    else:
        yield Part(f"in chunk {_shown(name)}", "data", payload, whole)


def _inflated_profile(chunk: bytes) -> tuple[bytes, bytes]:
    """Return the profile of a PNG, and all else that is in its chunk."""
    name, _, packed = chunk.partition(b"\x00")
    inflate = zlib.decompressobj()
    try:
        profile = inflate.decompress(packed[1:], 1 << 24)
    except zlib.error:
        return b"", chunk
    return profile, name + inflate.unused_data + inflate.unconsumed_tail


def _webp(data: bytes, behind: list[int]) -> Iterator[Part]:
    moving, pixels = False, set[bytes]()
    for name, start, end in bounded(chunks.riff_chunks(data)):
        behind[0] = end
        whole = ((start - 8, end + (end - start) % 2),)
        if name == b"VP8X":
            moving = bool(data[start] & _ANIMATED)
        if name in _WEBP_PIXELS and not moving and name not in pixels:
            pixels |= {b"VP8 ", b"VP8L"} if name != b"ALPH" else {name}
        elif name == b"ANMF" and moving:
            for inner, first, last in bounded(chunks.riff_chunks(data, start + 16, end)):
                if inner not in _WEBP_PIXELS:
                    yield Part(f"in chunk {_shown(inner)}", "data", data[first:last], ())
        elif end - start > _WEBP_SIZES.get(name, -1):
            yield Part(*_webp_part(name), data[start:end], whole)
    end = chunks.riff_end(data)
    if behind[0] < min(end, len(data)) - 1:
        yield Part("where its structure ends", "data", data[behind[0] : end], ())
    if end < len(data):
        yield Part("behind the end", "data", data[end:], ((end, len(data)),))


def _webp_part(name: bytes) -> tuple[str, Reading]:
    match name:
        case b"EXIF":
            return "in EXIF", "exif"
        case b"ICCP":
            return "in the colour profile", "profile"
        case b"XMP ":
            return "in XMP", "data"
    return f"in chunk {_shown(name)}", "data"


def _gif(data: bytes, behind: list[int]) -> Iterator[Part]:
    end = 0
    joined: dict[tuple[str, int], tuple[list[bytes], list[Span]]] = {}
    for kind, label, start, end in bounded(chunks.gif_blocks(data)):
        behind[0] = end
        if kind == 0x2C:
            coded = chunks.gif_payload(data, chunks.gif_coded(data, start))
            yield Part("among pixels", "pixels", coded, ())
        if kind != 0x21 or (label == 0xF9 and end - start == 8):
            continue
        name = data[start + 3 : start + 14] if label == 0xFF else b""
        body = chunks.gif_payload(data, start + 2)
        if len(body) <= 11 + _GIF_SIZES.get(name, -12):
            continue
        if name == b"XMP DataXMP":
            raw = data[start + 14 : end]  # without lengths, before a trailer that ends the block
            packet = raw.removesuffix(_GIF_TRAILER) if raw.endswith(_GIF_TRAILER) else body[11:]
            yield Part("in XMP", "data", packet, ((start, end),))
        elif name == b"ICCRGBG1012":
            yield Part("in the colour profile", "profile", body[11:], ((start, end),))
        else:
            words = {0xFE: "in a comment", 0x01: "in plain text"}.get(label, "in an extension")
            bodies, spans = joined.setdefault((words, hash(name)), ([], []))
            bodies.append(body)
            spans.append((start, end))
    for (words, _), (bodies, spans) in joined.items():
        yield Part(words, "data", b"".join(bodies), tuple(spans))
    if end < len(data):
        yield Part("behind the end", "data", data[end:], ((end, len(data)),))


def _bmp(data: bytes, _: list[int]) -> Iterator[Part]:
    head, pixels, end = chunks.bmp_parts(data)
    header, bits = (int.from_bytes(data[at : at + 2], "little") for at in (14, 28))
    if header == 12:
        bits = int.from_bytes(data[24:26], "little")
    # A palette is needed up to 8 bits; of others it is room for anything.
    most = 14 + header + 16 + (4 << bits if bits <= 8 else 0)
    told = [(0, min(head, pixels, most)), (pixels, end)]
    if chunks.bmp_profile(data) and data[70:74] == b"DEBM":  # a profile, not the path of one
        at, size = (int.from_bytes(data[i : i + 4], "little") for i in (126, 130))
        told.append((14 + at, 14 + at + size))
        yield Part("in the colour profile", "profile", data[14 + at : 14 + at + size], ())
    behind_told = 0
    for start, stop in [*sorted(told), (len(data), len(data))]:
        if start > behind_told:
            words = "behind the end" if behind_told >= end else "between its parts"
            span = (behind_told, start)
            yield Part(words, "data", data[slice(*span)], (span,))
        behind_told = max(behind_told, stop)


def _tiff(data: bytes, _: list[int]) -> Iterator[Part]:
    yield Part("in a tag or a gap", "tiff", data, ())


def _shown(name: bytes) -> str:
    return name.decode("ascii").strip() if name.strip().isalnum() else "?"


CUTTERS: Final[dict[str, Callable[[bytes, list[int]], Iterator[Part]]]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WEBP": _webp,
    "GIF": _gif,
    "BMP": _bmp,
    "TIFF": _tiff,
    "AVIF": avif_parts.cut,
}
