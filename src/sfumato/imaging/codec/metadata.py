"""Name what is private in a written image, by a walk over its bytes.

An independent judge: it shares the byte walks of `chunks` with the reader, but nothing with
the writers, and it works by allow-lists, so what it doesn't know is named.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sfumato.errors import Code, SampleError
from sfumato.imaging.codec import av1, chunks, isobmff
from sfumato.imaging.codec.concealed import concealed
from sfumato.imaging.codec.profile import joined, said_of, said_of_pages, said_of_png, said_of_xmp
from sfumato.imaging.codec.signatures import stored_as

_IMAGE_START = re.compile(rb"\xff\xd8\xff[\xc0-\xcf\xdb\xdd\xe0-\xef\xfe]")
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# DHT, DAC, RSTn, EOI, SOS, DQT, DNL, DRI and fill: what decoding needs
_JPEG_DECODING = _FRAME_HEADERS | {0xC4, 0xCC, *range(0xD0, 0xD8), 0xD9, 0xDA, 0xDB, 0xDC, 0xDD}

_JPEG_NAMES = {chunks.STRAY: "stray bytes", chunks.SOI: "second start of image", 0xFE: "comment"}
_PNG_KNOWN = frozenset(
    b"IHDR PLTE IDAT IEND tRNS cHRM gAMA iCCP sBIT sRGB cICP bKGD hIST pHYs acTL fcTL".split()
)
_WEBP_PIXELS = frozenset((b"VP8 ", b"VP8L", b"ALPH"))
_AVIF_BOXES = frozenset(
    b"ftyp meta mdat hdlr pitm iloc iinf iprp iref idat".split()  # files, and what tells of items
)
_AVIF_PROPERTIES = frozenset(
    b"ispe pixi av1C colr irot imir clap pasp auxC a1op a1lx lsel clli mdcv cclv amve".split()
)
_LONGEST_HANDLER = 64  # bytes: it may hold a name
_TIFF_KNOWN = frozenset(
    (254, *range(256, 260), 262, 266, 273, 274, *range(277, 280), 282, 283, 284)
)
_TIFF_KNOWN |= frozenset((292, 293, 296, 297, 317, 320, *range(322, 326), 338, 339, 347))
_TIFF_KNOWN |= frozenset((529, 530, 531, 532, 700, 34675))  # the last two: `said_of_pages`
_TIFF_NAMES = {
    33723: "iptc",
    34377: "photoshop resources",
    37724: "photoshop layers",
    34665: "exif:tags",
    34853: "exif:gps",
    330: "second image",
}
_EXIF_IFD, _GPS_IFD, _MAKER_NOTE, _DATE_TAKEN = 34665, 34853, 37500, 36867
_JPEG_CODING, _JPEG_TABLES = 7, 347  # of TIFF: a compression, and the tag with its tables
_SAFE_TEXTS = frozenset((271, 272, 306, 33432))  # make, model, date changed, copyright
_SAFE_WORDS = (b"Copyright", b"Creation Time")  # keywords of PNG
_TEXT_TAGS = _SAFE_TEXTS | {_DATE_TAKEN}
_LONGEST_TEXT = 256
_SMALL_EXIF = 32  # bytes of a block with one tag, and some room for alignment
_TIFF_SLACK = 64  # bytes that alignment may leave between the parts of a TIFF


@dataclass(frozen=True, slots=True)
class _Allowed:
    """What is allowed besides the pixels of one image and what decoding needs."""

    safe_texts: bool
    frames: bool


def private_metadata(
    data: bytes, *, keep_safe: bool = False, frames: bool = False, whole: bool = False
) -> tuple[str, ...]:
    """Name everything in an image that an obfuscated one must not hold; empty if clean.

    Allowed are pixels and what decoding needs, a colour profile of nothing but what a transform
    needs, resolution, the orientation, and the fields of a panorama as `embedded` writes them;
    with `keep_safe` also the maker and model of the camera, dates and copyright, as short printable
    ASCII; with `frames` also the frames of animations and the pages of a TIFF
    (never the second image of an MPO). `whole`: decoding took its coded data to their end
    (`DecodedImage.whole`), so that they needn't be followed again. Everything else has a name
    here, in order of appearance and each once:

    - "exif:thumbnail", "exif:gps", "exif:makernote", "exif:tags", "exif:unused bytes",
      "exif:unreadable"
    - "jfif:thumbnail", "jfif:unused bytes", "app0" to "app15", "mpf", "xmp", "comment",
      "profile:unreadable", "profile:private tags", "stray bytes", "second start of image"
    - "text chunk tEXt" (zTXt, iTXt), "time", "chunk NAME", "animation frames"
    - "iptc", "photoshop resources", "photoshop layers", "tag NUMBER", "second image",
      "unreferenced bytes"
    - "application extension", "plain text"
    - "sequence", "box NAME", "item NAME", "property NAME", "message in coded data"
    - "trailing data"
    - what `concealed` names: bytes, pixels and frames outside the visible frame

    Raises:
        SampleError: IMAGE_EMPTY, IMAGE_UNRECOGNISED, or IMAGE_DECODE where the bytes can't be
            walked to their end.
    """
    kind = stored_as(data)
    allowed = _Allowed(keep_safe, frames)
    try:
        outside = () if whole else concealed(data)
        return tuple(dict.fromkeys((*WALKS[kind](data, allowed), *outside)))
    except chunks.MALFORMED as error:
        reason = f"its parts can't be walked to the end ({type(error).__name__})"
        raise SampleError(Code.IMAGE_DECODE, reason) from error


def _jpeg(data: bytes, allowed: _Allowed) -> Iterator[str]:
    end = 0
    profile: list[bytes] = []
    tables: list[tuple[int, int]] = []
    for marker, start, end in chunks.jpeg_segments(data):
        if marker in (0xC4, 0xDB):
            tables.append((start, end))
        if marker == 0xE2 and data.startswith(b"ICC_PROFILE\x00", start):
            profile.append(data[start + 12 : end])
        elif 0xE0 <= marker <= 0xEF:
            yield from _jpeg_application(marker, data[start:end], allowed)
        elif marker not in _JPEG_DECODING:
            yield _JPEG_NAMES.get(marker, f"marker {marker:02X}")
    if profile:
        yield from said_of(joined(profile))
    if end < len(data):
        yield "trailing data"
    for found in _IMAGE_START.finditer(data, 2):
        at = found.start()
        before = bisect_right(tables, at, key=lambda table: table[0]) - 1  # in order, no overlap
        if not (before >= 0 and at < tables[before][1]) and _leads_on(data, at + 2):
            yield "second start of image"


def _jpeg_application(marker: int, payload: bytes, allowed: _Allowed) -> Iterator[str]:
    if payload.startswith(b"JFIF\x00") and len(payload) >= 14:
        thumbnail = 3 * payload[12] * payload[13]
        if thumbnail:
            yield "jfif:thumbnail"
        if len(payload) > 14 + thumbnail:
            yield "jfif:unused bytes"
    elif payload.startswith(b"JFXX\x00"):
        yield "jfif:thumbnail"
    elif payload.startswith(b"Exif\x00"):
        yield from _exif(payload, allowed)
    elif payload.startswith((b"http://ns.adobe.com/xap/", b"http://ns.adobe.com/xmp/")):
        yield from said_of_xmp(payload.partition(b"\x00")[2])
    elif payload.startswith(b"MPF\x00"):
        yield "mpf"
    elif not (marker == 0xEE and payload.startswith(b"Adobe") and len(payload) == 12):
        yield f"app{marker & 15}"


def _leads_on(data: bytes, at: int) -> bool:
    """Tell whether a marker segment at this offset is followed by another marker.

    Three bytes look like the start of an image by chance in large colour profiles.
    """
    behind = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return data[behind : behind + 1] == b"\xff"


def _exif(block: bytes, allowed: _Allowed) -> Iterator[str]:
    block = block.removeprefix(b"Exif\x00\x00")
    try:
        tiff = chunks.parse_tiff(block)
        tags = tiff.pages[0].tags
        inner: dict[int, chunks.Tag] = {}
        if _EXIF_IFD in tags:
            inner = tiff.directory(tiff.number(0, _EXIF_IFD, 0))[0].tags
        safe = _safe_exif(block, tags, inner) if allowed.safe_texts else 0
        plain = tags.keys() <= {chunks.ORIENTATION}
        if not plain and not safe:
            yield "exif:tags"
        if len(tiff.pages) > 1:
            yield "exif:thumbnail"
        elif (plain or safe) and len(block) > _SMALL_EXIF + safe:
            yield "exif:unused bytes"
        if _GPS_IFD in tags:
            yield "exif:gps"
        if _MAKER_NOTE in inner:
            yield "exif:makernote"
    except chunks.MALFORMED:
        yield "exif:unreadable"


def _safe_exif(block: bytes, tags: dict[int, chunks.Tag], inner: dict[int, chunks.Tag]) -> int:
    """Return how many bytes the safe texts of an EXIF block take; 0 where anything else is there.

    Safe are maker, model and dates of the camera and the copyright line, nothing but text.
    """
    if tags.keys() - _SAFE_TEXTS - {chunks.ORIENTATION, _EXIF_IFD} or inner.keys() - {_DATE_TAKEN}:
        return 0
    texts = [tag for number, tag in (*tags.items(), *inner.items()) if number in _TEXT_TAGS]
    if not all(_plain_text(block, tag) for tag in texts):
        return 0
    directories = 12 + 6 if _EXIF_IFD in tags else 0
    return directories + sum(12 + tag.size + 1 for tag in texts)


def _plain_text(data: bytes, tag: chunks.Tag) -> bool:
    """Tell whether a tag is a short line of printable ASCII that one zero byte ends."""
    value = data[tag.at : tag.at + tag.size]
    text, end, rest = value.partition(b"\x00")
    return tag.type == 2 and end == b"\x00" and not rest and _printable(text)


def _printable(text: bytes) -> bool:
    return len(text) <= _LONGEST_TEXT and all(32 <= byte < 127 for byte in text)


def _png(data: bytes, allowed: _Allowed) -> Iterator[str]:
    end = 0
    for name, start, end in chunks.png_chunks(data):
        if name == b"eXIf":
            yield from _exif(data[start:end], allowed)
        elif name == b"iCCP":
            yield from said_of_png(data[start:end])
        elif name in (b"tEXt", b"zTXt", b"iTXt"):
            yield from _png_text(name, data[start:end], allowed)
        elif name not in _PNG_KNOWN and not (name == b"fdAT" and allowed.frames):
            unknown = f"chunk {name.decode() if name.isalpha() else '?'}"
            yield {b"tIME": "time", b"fdAT": "animation frames"}.get(name, unknown)
    if end + 4 < len(data):
        yield "trailing data"


def _png_text(name: bytes, payload: bytes, allowed: _Allowed) -> Iterator[str]:
    if payload.startswith(b"XML:com.adobe.xmp"):
        yield from said_of_xmp(payload.removeprefix(chunks.PNG_XMP) if name == b"iTXt" else b"")
    elif not (allowed.safe_texts and _safe_words(name, payload)):
        yield f"text chunk {name.decode()}"


def _safe_words(name: bytes, payload: bytes) -> bool:
    """Tell whether a text chunk of PNG holds nothing but a date or a copyright line."""
    keyword, _, text = payload.partition(b"\x00")
    return name == b"tEXt" and keyword in _SAFE_WORDS and _printable(text)


def _webp(data: bytes, allowed: _Allowed) -> Iterator[str]:
    for name, start, end in chunks.riff_chunks(data):
        if name == b"EXIF":
            yield from _exif(data[start:end], allowed)
        elif name == b"ICCP":
            yield from said_of(data[start:end])
        elif name == b"XMP ":
            yield from said_of_xmp(data[start:end])
        elif name == b"ANMF":
            inside = {part for part, _, _ in chunks.riff_chunks(data, start + 16, end)}
            if not allowed.frames:
                yield "animation frames"
            elif not inside <= _WEBP_PIXELS:
                yield "chunk ?"
        elif name not in _WEBP_PIXELS | {b"VP8X", b"ANIM"}:
            yield f"chunk {name.decode().strip() if name.strip().isalnum() else '?'}"
    if chunks.riff_end(data) < len(data):
        yield "trailing data"


def _bmp(data: bytes, _: _Allowed) -> Iterator[str]:
    head, pixels, end = chunks.bmp_parts(data)
    if chunks.bmp_profile(data):  # a profile, or a path to one
        yield "profile:unreadable"
    if pixels > head:
        yield "unreferenced bytes"
    if end < len(data):
        yield "trailing data"


def _tiff(data: bytes, allowed: _Allowed) -> Iterator[str]:
    tiff = chunks.parse_tiff(data)
    referenced = tiff.head
    yield from said_of_pages(tiff)
    for index, page in enumerate(tiff.pages):
        referenced += page.size + sum(tag.size for tag in page.tags.values() if tag.size > 4)
        if index and not allowed.frames:
            yield "second image"
        for number, tag in page.tags.items():
            if number in (279, 325):  # bytes of strips, of tiles
                referenced += sum(tiff.numbers(tag))
            elif number in _SAFE_TEXTS and allowed.safe_texts and _plain_text(data, tag):
                continue
            elif number not in _TIFF_KNOWN:
                yield _TIFF_NAMES.get(number, f"tag {number}")
        if tiff.number(index, 259, 1) == _JPEG_CODING:
            yield from _jpeg_in_tiff(tiff, index)
        parts = sum(page.tags[t].count for t in (273, 324) if t in page.tags)
        referenced += parts + len(page.tags)  # a byte of alignment for each
    if len(data) > referenced + _TIFF_SLACK:
        yield "unreferenced bytes"


def _jpeg_in_tiff(tiff: chunks.Tiff, index: int) -> Iterator[str]:
    """Name what JPEG files inside a TIFF hold besides what decoding needs."""
    tags = tiff.pages[index].tags
    parts = chunks.tiff_parts(tiff, index)
    if _JPEG_TABLES in tags:
        tables = tags[_JPEG_TABLES]
        parts = [(tables.at, tables.size), *parts]
    for at, size in parts:
        for marker, start, end in chunks.jpeg_segments(tiff.data[at : at + size]):
            stream = tiff.data[at + start : at + end]
            if 0xE0 <= marker <= 0xEF:
                yield from _jpeg_application(marker, stream, _Allowed(False, False))
            elif marker not in _JPEG_DECODING:
                yield _JPEG_NAMES.get(marker, f"marker {marker:02X}")


def _gif(data: bytes, allowed: _Allowed) -> Iterator[str]:
    images, behind = 0, 0
    for kind, label, start, end in chunks.gif_blocks(data):
        behind = end
        if kind == 0x2C:
            images += 1
        elif kind == 0x21 and label == 0xFF:
            yield from _gif_application(data[start + 3 : start + 14], data[start + 14 : end])
        elif kind == 0x21 and label != 0xF9:
            yield {0xFE: "comment", 0x01: "plain text"}.get(label, "application extension")
    if images > 1 and not allowed.frames:
        yield "animation frames"
    if behind < len(data):
        yield "trailing data"


def _gif_application(name: bytes, blocks: bytes) -> Iterator[str]:
    if name == b"ICCRGBG1012":
        yield from said_of(chunks.gif_payload(blocks))
    elif name == b"XMP DataXMP":
        yield "xmp"
    elif name not in (b"NETSCAPE2.0", b"ANIMEXTS1.0"):
        yield "application extension"


def _avif(data: bytes, allowed: _Allowed) -> Iterator[str]:
    avif = isobmff.parse_avif(data)
    for part in (*avif.top, *avif.meta):
        yield from _avif_box(data, part)
    shown = avif.shown()
    for item in avif.items.values():
        if item in shown:
            yield from _av1_extras(avif.bytes_of(item))
        else:
            yield from _avif_item(avif, item, allowed)
        for part in item.properties:
            if part.name == b"colr" and data[part.start : part.start + 4] in (b"prof", b"rICC"):
                yield from said_of(data[part.start + 4 : part.end])
            elif part.name not in _AVIF_PROPERTIES:
                yield _named("property", part.name)
    if isobmff.unreferenced(avif) > 0:
        yield "unreferenced bytes"


def _avif_box(data: bytes, part: isobmff.Part) -> Iterator[str]:
    if part.name not in _AVIF_BOXES:
        yield "sequence" if part.name == b"moov" else _named("box", part.name)
    elif part.name == b"ftyp" and not isobmff.brands(data, part) <= isobmff.KNOWN_BRANDS:
        yield "box ftyp"
    elif part.name == b"hdlr" and part.end - part.start > _LONGEST_HANDLER:
        yield "box hdlr"


def _avif_item(avif: isobmff.Avif, item: isobmff.Item, allowed: _Allowed) -> Iterator[str]:
    if item.kind == b"Exif":
        block = avif.bytes_of(item)
        yield from _exif(block[4 + int.from_bytes(block[:4], "big") :], allowed)
    elif item.kind == b"mime":
        yield from said_of_xmp(avif.bytes_of(item))
    elif item.kind != b"grid":
        yield "second image" if item.kind == b"av01" else _named("item", item.kind)


def _av1_extras(data: bytes) -> Iterator[str]:
    """Name what AV1 data hold besides pixels: messages to the user, padding."""
    for kind, start, end in av1.obus(data):
        light = end > start and data[start] in (1, 2)  # of HDR screens
        if (kind == av1.METADATA and not light) or kind == av1.PADDING:
            yield "message in coded data"


def _named(what: str, name: bytes) -> str:
    return f"{what} {name.decode().strip() if name.strip().isalnum() else '?'}"


WALKS: dict[str, Callable[[bytes, _Allowed], Iterator[str]]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WEBP": _webp,
    "BMP": _bmp,
    "TIFF": _tiff,
    "GIF": _gif,
    "AVIF": _avif,
}
