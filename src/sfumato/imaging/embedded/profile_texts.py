"""Which texts of a colour profile name a colour space and its maker, and nothing else.

The texts of standard profiles are built of few words. A text made of other words may hold the
name of a person, a computer or a place, and goes: an allow-list of words and forms of numbers.
"""

from __future__ import annotations

import re
import struct
from typing import Final

_LONGEST: Final = 300  # characters of a text
_MOST_NUMBERS: Final = 3  # and as many years, and single letters
_MOST_RECORDS: Final = 60  # languages of one text
_TOKENS: Final = re.compile(r"[^\W\d_]+|\d+(?:\.\d+)*")
_LANGUAGE: Final = re.compile(rb"[a-z]{2}(?:[A-Z]{2}|\x00\x00)|\x00{4}")
_PUNCTUATION: Final = frozenset(" \t\r\n\u00a0,.;:()[]/&'\"+-–_*%©®™")
# Years, small numbers, gammas, versions such as 4.0.0.3001, and the names of norms.
_YEAR: Final = re.compile(r"(?:19[89]|20[0-4])\d")
_NUMBER: Final = re.compile(
    r"\d{1,2}|[0-4]\.\d{1,2}|\d\.\d\.\d\.\d{4}|61966|12647|15076|9300|6500|5500|5000"
    r"|170|240|428|431|432|470|601|709|2020|2084|2100"
)
_WORDS: Final = frozenset(
    # colour spaces and what is said of them
    """
    a abstract absolute adobergb apple appearance argb b base based best beta bit black bruce bt
    built c calibrated camera cci chromaticities cie cielab ciergb cmy cmyk coated color
    colorimetric colormatch colorspace colour compact compatible compensation condition conversion
    corrected curve d data dci default desktop device digital display displayp dot e ebu ec eci
    ecirgb ek ektaspace enhanced eurostandard euroscale extended f film fogra free from full
    function g gain gamma gamut generic gimp gracol graphics gray grayscale grey half hd hdr hdtv
    high hlg icc image in ink input inverse iso itu iec japan kcgcolorspacedisplayp kcgcolorspace
    kcgcolorspacesrgb kodak l lab lcd lcms led linear lut lwc magazine matrix max medium melissa
    micro mini monitor native neutral newsprint no normal ntsc of offset output p pal paper
    parametric perceptual photo photography photoshop plates point positive power pq preference
    preview primaries print printer pro profile projector prophoto r raw rec ref reference relative
    removed rendering rgb rimm rom romm s sc scaled scale scanner scrgb screen secam sheetfed
    simplified smpte snap space specification spot srgb st standard sunlight swop system target text
    theater tiny toppan trc transfer tv type u ucmy uncoated uncompensated universal unknown urgb
    use v viewing w web white wide widegamut with working x xyz y ycc ycbcr
    """.split()
    # makers of devices and of profiles
    + """
    acer adobe ag agfa agfagevaert argyllcms artifex asus basiccolor barco benq canon cinema co
    company computer consortium corp corporation corel dainippon darktable dell eastman eizo
    electronics epson european facebook fb fuji fujifilm ghostscript gmbh google gopro gretagmacbeth
    hasselblad heidelberg hewlett hp huawei imac inc incorporated initiative inkscape
    international ipad iphone konica leica lenovo lg limited linotype little littlecms ltd
    macbook microsoft minolta motorola msft nec nikon nokia olympus oneplus oppo packard panasonic
    pentax phase phone polaroid quark ricoh samsung seiko sharp sigma software solutions sony
    systems technologies technology thunderbolt viewsonic xerox xiaomi xrite
    """.split()
    # copyright lines
    + """
    all and are as at attribution be bsd by can cc com commercial copyright creative commons
    details domain en found freely gill graeme http https icc is elle stone ninedegreesbelow
    license licence licensed limitation may modification modified mit net not notice on or org
    otherwise own permission php public redistribution released reserved restriction rights risk
    royalty sa see ch shareware the this to under unported unrestricted used without warranty
    www your zlib into for
    """.split()
)


def is_plain(text: str) -> bool:
    """Tell whether a text holds only words of colour management, few numbers, and years."""
    if len(text) > _LONGEST:
        return False
    numbers = years = letters = 0
    for found in _TOKENS.finditer(text):
        token = found.group().lower()
        if token[0].isdigit():
            if _YEAR.fullmatch(token):
                years += 1
                continue
            numbers += 1
            if not _NUMBER.fullmatch(token):
                return False
        elif token not in _WORDS:
            return False
        else:
            letters += len(token) == 1
    between = _TOKENS.sub("", text)
    return max(numbers, years, letters) <= _MOST_NUMBERS and set(between) <= _PUNCTUATION


def texts_in(data: bytes) -> tuple[list[str], int] | None:
    """Return the texts of a tag of kind text, desc or mluc, and how many bytes they take.

    ICC.1:2001-04 6.5.17 and 6.5.18, ICC.1:2022 10.15. The description of version 2 is often cut
    off behind its ASCII text; then only that counts. None for any other kind of tag.
    """
    if len(data) < 12 or any(data[4:8]):
        return None
    readers = {b"text": _text, b"desc": _description, b"mluc": _localised}
    reader = readers.get(data[:4])
    try:
        return reader(data) if reader else None
    except (struct.error, UnicodeError):
        return None


def _text(data: bytes) -> tuple[list[str], int]:
    text = data[8:].partition(b"\x00")[0]
    return [text.decode("latin-1")], 9 + len(text)


def _description(data: bytes) -> tuple[list[str], int] | None:
    (count,) = struct.unpack_from(">I", data, 8)
    text, _, rest = data[12 : 12 + count].partition(b"\x00")
    if any(rest) or 12 + count > len(data):
        return None
    texts = [text.decode("latin-1")]
    try:
        more = _further(data[12 + count :])
    except (struct.error, UnicodeError):
        more = None
    return (texts, 12 + count) if more is None else (texts + more, len(data))


def _further(data: bytes) -> list[str] | None:
    """Return a description in Unicode and as a Macintosh had it; None with any other byte."""
    language, count = struct.unpack_from(">4sI", data)
    if any(language) and language != b"enUS":
        return None
    texts = [data[8 : 8 + 2 * count].decode("utf-16-be").rstrip("\x00")]
    data = data[8 + 2 * count :]
    if len(data) >= 3:
        if any(data[:2]):
            return None
        local, _, rest = data[3 : 3 + data[2]].partition(b"\x00")
        texts.append(local.decode("mac-roman"))
        data = rest + data[3 + data[2] :]
    return None if any(data) else texts


def _localised(data: bytes) -> tuple[list[str], int] | None:
    count, size = struct.unpack_from(">II", data, 8)
    if count > _MOST_RECORDS or size != 12:
        return None
    texts, languages, end = list[str](), set[bytes](), 16 + 12 * count
    seen = bytearray(data)
    seen[:end] = bytes(end)
    for at in range(16, 16 + 12 * count, 12):
        language, length, start = struct.unpack_from(">4sII", data, at)
        part = data[start : start + length]
        if len(part) < length or start < 16 or not _LANGUAGE.fullmatch(language):
            return None
        if language in languages:
            return None
        languages.add(language)
        texts.append(part.decode("utf-16-be").rstrip("\x00"))
        seen[start : start + length] = bytes(length)
        end = max(end, start + length)
    return None if any(seen[:end]) else (texts, end)


def finished(data: bytes) -> bytes:
    """Return a text tag with the empty fields that a description of version 2 ends with."""
    cut = data[:4] == b"desc" and len(data) == 12 + struct.unpack_from(">I", data, 8)[0]
    return data + bytes(78) if cut else data


def neutral(kind: bytes, version: int) -> bytes:
    """Return a tag that says nothing, for the two texts that a profile must have."""
    words = "Colour profile" if kind == b"desc" else "Text removed"
    if version >= 4:
        wide = words.encode("utf-16-be")
        return struct.pack(">4sIII4sII", b"mluc", 0, 1, 12, b"enUS", len(wide), 28) + wide
    plain = words.encode() + b"\x00"
    if kind == b"cprt":
        return b"text" + bytes(4) + plain
    return struct.pack(">4sII", b"desc", 0, len(plain)) + plain + bytes(78)
