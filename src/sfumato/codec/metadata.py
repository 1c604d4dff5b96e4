"""Name what is private in a written picture, by a walk over its bytes.

An independent judge: it shares the byte walks of `chunks` with the reader, but nothing with
the writers, and it works by allow-lists, so what it doesn't know is named.
"""

from __future__ import annotations

import re
import zlib
from bisect import bisect_right
from collections.abc import Iterator

from sfumato.codec import chunks
from sfumato.codec.signatures import HEAD, sniff
from sfumato.errors import Code, SampleError

_PICTURE_START = re.compile(rb"\xff\xd8\xff[\xc0-\xcf\xdb\xdd\xe0-\xef\xfe]")
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# DHT, DAC, RSTn, EOI, SOS, DQT, DNL, DRI and fill: what decoding needs
_JPEG_DECODING = _FRAME_HEADERS | {0xC4, 0xCC, *range(0xD0, 0xD8), 0xD9, 0xDA, 0xDB, 0xDC, 0xDD}

_JPEG_NAMES = {chunks.STRAY: "stray bytes", chunks.SOI: "second start of image", 0xFE: "comment"}
_PNG_KNOWN = frozenset(
    b"IHDR PLTE IDAT IEND tRNS cHRM gAMA iCCP sBIT sRGB cICP bKGD hIST pHYs acTL fcTL".split()
)
_TIFF_KNOWN = frozenset(
    (254, *range(256, 260), 262, 266, 273, 274, *range(277, 280), 282, 283, 284)
)
_TIFF_KNOWN |= frozenset((292, 293, 296, 297, 317, 320, *range(322, 326), 338, 339, 347))
_TIFF_KNOWN |= frozenset((529, 530, 531, 532, 34675))
_TIFF_NAMES = {
    700: "xmp",
    33723: "iptc",
    34377: "photoshop resources",
    37724: "photoshop layers",
    34665: "exif:tags",
    34853: "exif:gps",
    330: "second picture",
}
_EXIF_IFD, _GPS_IFD, _MAKER_NOTE = 34665, 34853, 37500
_SMALL_EXIF = 32  # bytes of a block with one tag, and some room for alignment
_TIFF_SLACK = 64  # bytes that alignment may leave between the parts of a TIFF


def private_metadata(data: bytes) -> tuple[str, ...]:
    """Name everything in a picture that an obfuscated one must not hold; empty if clean.

    Allowed are pixels and what decoding needs, a colour profile, resolution, and the
    orientation. Everything else has a name here, in order of appearance and each once:

    - "exif:thumbnail", "exif:gps", "exif:makernote", "exif:tags", "exif:unused bytes",
      "exif:unreadable"
    - "jfif:thumbnail", "jfif:unused bytes", "app0" to "app15", "mpf", "xmp", "comment",
      "profile:unreadable", "stray bytes", "second start of image"
    - "text chunk tEXt" (zTXt, iTXt), "time", "chunk NAME", "animation frames"
    - "iptc", "photoshop resources", "photoshop layers", "tag NUMBER", "second picture",
      "unreferenced bytes"
    - "application extension", "plain text"
    - "trailing data"

    Raises:
        SampleError: IMAGE_EMPTY, IMAGE_UNRECOGNISED, or IMAGE_DECODE where the bytes can't be
            walked to their end.
    """
    if not data:
        raise SampleError(Code.IMAGE_EMPTY, "the file is empty")
    kind = sniff(data[:HEAD])
    if kind is None:
        raise SampleError(Code.IMAGE_UNRECOGNISED, "the bytes are not those of a picture")
    walks = {"JPEG": _jpeg, "PNG": _png, "WEBP": _webp, "BMP": _bmp, "TIFF": _tiff, "GIF": _gif}
    try:
        return tuple(dict.fromkeys(walks[kind](data)))
    except chunks.MALFORMED as error:
        reason = f"its parts can't be walked to the end ({type(error).__name__})"
        raise SampleError(Code.IMAGE_DECODE, reason) from error


def _jpeg(data: bytes) -> Iterator[str]:
    end = 0
    profile: list[bytes] = []
    tables: list[tuple[int, int]] = []
    for marker, start, end in chunks.jpeg_segments(data):
        if marker in (0xC4, 0xDB):
            tables.append((start, end))
        if marker == 0xE2 and data.startswith(b"ICC_PROFILE\x00", start):
            profile.append(data[start + 12 : end])
        elif 0xE0 <= marker <= 0xEF:
            yield from _jpeg_application(marker, data[start:end])
        elif marker not in _JPEG_DECODING:
            yield _JPEG_NAMES.get(marker, f"marker {marker:02X}")
    if profile:
        yield from _profile(b"".join(part[2:] for part in sorted(profile)))
    if end < len(data):
        yield "trailing data"
    for found in _PICTURE_START.finditer(data, 2):
        at = found.start()
        before = bisect_right(tables, at, key=lambda table: table[0]) - 1  # in order, no overlap
        if not (before >= 0 and at < tables[before][1]) and _leads_on(data, at + 2):
            yield "second start of image"


def _jpeg_application(marker: int, payload: bytes) -> Iterator[str]:
    if payload.startswith(b"JFIF\x00") and len(payload) >= 14:
        thumbnail = 3 * payload[12] * payload[13]
        if thumbnail:
            yield "jfif:thumbnail"
        if len(payload) > 14 + thumbnail:
            yield "jfif:unused bytes"
    elif payload.startswith(b"JFXX\x00"):
        yield "jfif:thumbnail"
    elif payload.startswith(b"Exif\x00"):
        yield from _exif(payload)
    elif payload.startswith((b"http://ns.adobe.com/xap/", b"http://ns.adobe.com/xmp/")):
        yield "xmp"
    elif payload.startswith(b"MPF\x00"):
        yield "mpf"
    elif not (marker == 0xEE and payload.startswith(b"Adobe") and len(payload) == 12):
        yield f"app{marker & 15}"


def _leads_on(data: bytes, at: int) -> bool:
    """Tell whether a marker segment at this offset is followed by another marker.

    Three bytes look like the start of a picture by chance in large colour profiles.
    """
    behind = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return data[behind : behind + 1] == b"\xff"


def _exif(block: bytes) -> Iterator[str]:
    block = block.removeprefix(b"Exif\x00\x00")
    try:
        tiff = chunks.parse_tiff(block)
        tags = tiff.pages[0].tags
        if tags.keys() - {chunks.ORIENTATION}:
            yield "exif:tags"
        if len(tiff.pages) > 1:
            yield "exif:thumbnail"
        elif tags.keys() <= {chunks.ORIENTATION} and len(block) > _SMALL_EXIF:
            yield "exif:unused bytes"
        if _GPS_IFD in tags:
            yield "exif:gps"
        if _EXIF_IFD in tags:
            inner, _ = tiff.directory(tiff.number(0, _EXIF_IFD, 0))
            if _MAKER_NOTE in inner.tags:
                yield "exif:makernote"
    except chunks.MALFORMED:
        yield "exif:unreadable"


def _profile(profile: bytes) -> Iterator[str]:
    if profile[36:40] != b"acsp" or int.from_bytes(profile[:4], "big") != len(profile):
        yield "profile:unreadable"


def _png(data: bytes) -> Iterator[str]:
    end = 0
    for name, start, end in chunks.png_chunks(data):
        if name == b"eXIf":
            yield from _exif(data[start:end])
        elif name == b"iCCP":
            yield from _png_profile(data[start:end])
        elif name == b"iTXt" and data.startswith(b"XML:com.adobe.xmp", start):
            yield "xmp"
        elif name in (b"tEXt", b"zTXt", b"iTXt"):
            yield f"text chunk {name.decode()}"
        elif name == b"tIME":
            yield "time"
        elif name == b"fdAT":
            yield "animation frames"
        elif name not in _PNG_KNOWN:
            yield f"chunk {name.decode() if name.isalpha() else '?'}"
    if end + 4 < len(data):
        yield "trailing data"


def _png_profile(chunk: bytes) -> Iterator[str]:
    inflate = zlib.decompressobj()
    try:
        profile = inflate.decompress(chunk.partition(b"\x00")[2][1:], 1 << 24)
    except zlib.error:
        yield "profile:unreadable"
        return
    yield from _profile(profile)
    if inflate.unused_data or inflate.unconsumed_tail:
        yield "profile:unreadable"


def _webp(data: bytes) -> Iterator[str]:
    for name, start, end in chunks.riff_chunks(data):
        if name == b"EXIF":
            yield from _exif(data[start:end])
        elif name == b"ICCP":
            yield from _profile(data[start:end])
        elif name == b"XMP ":
            yield "xmp"
        elif name == b"ANMF":
            yield "animation frames"
        elif name not in (b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM"):
            yield f"chunk {name.decode().strip() if name.strip().isalnum() else '?'}"
    if chunks.riff_end(data) < len(data):
        yield "trailing data"


def _bmp(data: bytes) -> Iterator[str]:
    number = int.from_bytes
    pixels, header = number(data[10:14], "little"), number(data[14:18], "little")
    end = pixels
    if header == 12:
        width, height = number(data[18:20], "little"), number(data[20:22], "little")
        bits, coding, size = number(data[24:26], "little"), 0, 0
    else:
        width = number(data[18:22], "little")
        height = abs(number(data[22:26], "little", signed=True))
        bits, coding = number(data[28:30], "little"), number(data[30:34], "little")
        size = number(data[34:38], "little")
    end += size if coding in (1, 2) else (width * bits + 31) // 32 * 4 * height
    if header == 124 and number(data[126:130], "little"):  # a profile, or a path to one
        yield "profile:unreadable"
    colours = number(data[46:50], "little") if header >= 40 else 0
    table = (colours or 1 << bits if bits <= 8 else colours) * (3 if header == 12 else 4)
    if pixels > 14 + header + table + (16 if coding == 3 else 0):
        yield "unreferenced bytes"
    if end < len(data):
        yield "trailing data"


def _tiff(data: bytes) -> Iterator[str]:
    tiff = chunks.parse_tiff(data)
    referenced = 16 if tiff.big else 8
    for index, page in enumerate(tiff.pages):
        referenced += page.size + sum(tag.size for tag in page.tags.values() if tag.size > 4)
        if index:
            yield "second picture"
        for number, tag in page.tags.items():
            if number == 34675:
                yield from _profile(data[tag.at : tag.at + tag.size])
            elif number in (279, 325):  # bytes of strips, of tiles
                referenced += sum(tiff.numbers(tag))
            elif number not in _TIFF_KNOWN:
                yield _TIFF_NAMES.get(number, f"tag {number}")
        parts = sum(page.tags[t].count for t in (273, 324) if t in page.tags)
        referenced += parts + len(page.tags)  # a byte of alignment for each
    if len(data) > referenced + _TIFF_SLACK:
        yield "unreferenced bytes"


def _gif(data: bytes) -> Iterator[str]:
    pictures, behind = 0, 0
    for kind, label, start, end in chunks.gif_blocks(data):
        behind = end
        if kind == 0x2C:
            pictures += 1
        elif kind == 0x21 and label == 0xFF:
            yield from _gif_application(data[start + 3 : start + 14])
        elif kind == 0x21 and label != 0xF9:
            yield {0xFE: "comment", 0x01: "plain text"}.get(label, "application extension")
    if pictures > 1:
        yield "animation frames"
    if behind < len(data):
        yield "trailing data"


def _gif_application(name: bytes) -> Iterator[str]:
    if name == b"XMP DataXMP":
        yield "xmp"
    elif name not in (b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012"):
        yield "application extension"
