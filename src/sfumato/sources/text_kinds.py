"""Kinds of text that are, or may hold, an image or what is private: told by names and words.

Each is a magic at the file's beginning, a word anywhere, or a word at the start of a line.
"""

from __future__ import annotations

import codecs
import re
from typing import Final

from sfumato.imaging.codec import may_hold_images

_PRIVATE_ENDINGS: Final = {
    "xmp": "a sidecar of a photo program, which may hold previews, names and places",
    "aae": "a sidecar of a photo program",
    "pp3": "a sidecar of a photo program",
    "dop": "a sidecar of a photo program",
    "vcf": "contacts",
    "ics": "a calendar",
    "gpx": "a track of places",
    "kml": "places",
    "tcx": "a track of places",
    "nmea": "a track of places",
    "geojson": "places",
    "eml": "mail",
    "mbox": "mail",
    "mht": "mail or a web page with its images",
    "mhtml": "mail or a web page with its images",
}
_PRIVATE_NAMES: Final = {
    ".picasa.ini": "a sidecar of a photo program, which holds names",
    "picasa.ini": "a sidecar of a photo program, which holds names",
}

# Words that stand at the very beginning (after a byte order mark and white space).
_BEGINNINGS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), kind)
    for pattern, kind in (
        (rb"P[1-7]\s|P[fF]4?\s", "Netpbm"),
        (rb"(SDPX|XPDS|DKIF|YUV4MPEG2|\.RMF)", "an image or video"),
        (rb"(RDX|RDA|RDB)[23]\n", "data of R"),
        (rb"ply\s|solid\s|(ST)?C?N?OFF\s|#VRML|#X3D|\{\s*\"asset\"\s*:", "a model in 3D"),
        (rb"id=(ImageMagick|MagickCache)", "an image"),
        (rb"# ImageMagick pixel enumeration", "pixels"),
        (rb"#FIG 3|#! ?/usr/bin/env xfig", "a drawing"),
        (rb"ncols\s+\d+\s+nrows\s", "a grid of values"),
        (rb"%%MatrixMarket", "a matrix"),
    )
)
_AT_LINE: Final = tuple(
    (re.compile(pattern, re.MULTILINE), word, kind)
    for pattern, word, kind in (
        (rb"^[\x04 ]*%!PS", b"%!ps", "PostScript"),
        (rb"^.{0,8}%PDF-\d", b"%pdf-", "PDF"),
        (rb"^begin(-base64)? [0-7]{3,4} \S", b"\nbegin", "uuencoded data"),
        (rb"^=ybegin ", b"=ybegin", "yEnc data"),
        (rb"(?i)^MIME-Version\s*:", b"mime-version", "mail"),
        (rb"(?i)^Content-Transfer-Encoding\s*:", b"content-transfer-encoding", "mail"),
        (rb"^-----BEGIN [A-Z0-9 ]+-----", b"-----begin", "keys or signatures"),
        (rb"(?i)^BEGIN:VCARD", b"begin:vcard", "contacts"),
        (rb"(?i)^BEGIN:VCALENDAR", b"begin:vcalendar", "a calendar"),
        (rb"^#define\s+\w*_?(width|height)\s+\d+\s[\s\S]{0,400}?_bits\s*\[", b"_bits", "XBM"),
        (rb"/\*\s*XPM\s*\*/|^! XPM2", b"xpm", "XPM"),
        (rb"static\s+(const\s+)?char\s*\*\s*(const\s+)?\w*\s*\[\s*\]\s*=", b"static", "XPM"),
        (rb"(^v[ \t]+-?[\d.]+[^\n]*\n){8}", b"\nv ", "a model in 3D"),
        (rb"(?i)^# \.PCD", b".pcd", "a cloud of points"),
        (rb"<~[!-u\s]{64,}", b"<~", "base85"),
    )
)
# Words that no label has, anywhere, in lower case.
_ANYWHERE: Final = (
    (b"<svg", "a drawing (SVG)"),
    (b"<svg:", "a drawing (SVG)"),
    (b"android:pathdata", "a drawing"),
    (b"<mxgraphmodel", "a drawing"),
    (b"<mxfile", "a drawing"),
    (b"{\\rtf", "a document (RTF)"),
    (b"x:xmpmeta", "metadata of a photo (XMP)"),
    (b"<?xpacket", "metadata of a photo (XMP)"),
    (b"xmpgimg:", "metadata of a photo (XMP)"),
    (b"ns.adobe.com/xap/", "metadata of a photo (XMP)"),
    (b"mwg-rs:", "names of people (XMP)"),
    (b"iptc4xmp", "metadata of a photo (XMP)"),
    (b"=rect64(", "names of people (Picasa)"),
    (b"<gpx", "a track of places"),
    (b"opengis.net/kml", "places"),
    (b"jpegphoto:", "contacts with photos"),
)
_DATA_URI = re.compile(
    rb"data(?::|%3a|&colon;|&#58;|\\u003a)(?:[\w.+-]+(?:\\*/|%2f|&sol;|\\u002f)[\w.+*-]+)?"
    rb"(?:[;,]|%2c|%3b|\\u002c|\\u003b)",
    re.IGNORECASE,
)
_PLACES: Final = tuple(
    (re.compile(pattern, re.IGNORECASE | re.MULTILINE), word)
    for pattern, word in (
        (rb"\bGPS[ \w]{0,16}(?:Latitude|Longitude|Position|Coordinates)[\"']?\s*[:=,;\t]", b"gps"),
        (rb"[\"']geoData(?:Exif)?[\"']\s*:", b"geodata"),
        (rb"[\"'](?:latitude|longitude)[\"']\s*:", b"itude"),
        (
            rb"^(?:[^\n,;\t]{0,80}[,;\t]){0,80}[\"']?(?:latitude|longitude)[\"']?[,;\t\r\n]",
            b"itude",
        ),
        (rb"[\"']type[\"']\s*:\s*[\"']Feature(?:Collection)?[\"']", b"feature"),
    )
)


def by_name(name: str) -> str | None:
    """Name the kind of a file by its name alone, where that is enough."""
    base = name.rpartition("/")[2].lower()
    return _PRIVATE_NAMES.get(base) or _PRIVATE_ENDINGS.get(base.rpartition(".")[2])


def at_the_beginning(head: bytes) -> str | None:
    """Name the kind of a file by its first bytes."""
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    for pattern, kind in _BEGINNINGS:
        if pattern.match(text):
            return kind
    known = may_hold_images(text[: 2**16])
    # Video is told by four letters in a place, between bytes that no text has.
    return None if known == "video" else known


def anywhere(window: bytes) -> str | None:
    """Name what a piece of a file holds, by words."""
    lower = window.lower()
    for word, kind in _ANYWHERE:
        if word in lower:
            return kind
    for pattern, word, kind in _AT_LINE:
        if word in lower and pattern.search(window):
            return kind
    if b"data" in lower and _DATA_URI.search(window):
        return "a data URI"
    if any(word in lower and pattern.search(window) for pattern, word in _PLACES):
        return "places"
    return None
