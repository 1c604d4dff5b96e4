"""What a file is, told by its first bytes, never by its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, get_args

from sfumato.errors import Code, SampleError

Stored: TypeAlias = Literal["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF"]
FORMATS: Final[frozenset[str]] = frozenset(get_args(Stored))

HEAD = 512  # bytes that `sniff` and `may_hold_images` want to see, fewer if the file is shorter

MAGICS: dict[bytes, Stored] = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"II+\x00": "TIFF",
    b"MM\x00+": "TIFF",
}
# What their names end with: a file of such a name is taken for an image; which, its bytes tell.
ENDINGS: Final[dict[str, str]] = {
    ending: kind
    for kind, endings in (
        ("JPEG", "jpg jpeg jpe jfif mpo"),
        ("PNG", "png apng"),
        ("WEBP", "webp"),
        ("BMP", "bmp dib"),
        ("TIFF", "tif tiff"),
        ("GIF", "gif"),
        ("AVIF", "avif avifs"),
    )
    for ending in endings.split()
}
BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # sizes of the second header, OS/2 to version 5

# What files begin with, by kind (words for a person). Those of the first table hardly come up by
# chance: `inside.magics` looks for them anywhere.
LONG: Mapping[str, tuple[bytes, ...]] = {
    "JPEG XL": (b"\x00\x00\x00\x0cJXL \r\n\x87\n",),
    "JPEG 2000": (b"\x00\x00\x00\x0cjP  \r\n\x87\n",),
    "FLIF": (b"FLIF",),
    "BPG": (b"BPG\xfb",),
    "farbfeld": (b"farbfeld",),
    "OpenEXR": (b"\x76\x2f\x31\x01",),
    "Radiance": (b"#?RADIANCE",),
    "DjVu": (b"AT&TFORM",),
    "camera raw": (b"FUJIFILMCCD-RAW",),
    "video": (
        *(b"\x1a\x45\xdf\xa3", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3", b"FLV\x01"),
        *(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", b"YUV4MPEG2"),
    ),
    "PDF": (b"%PDF-",),
    "document": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",),
    "archive": (
        *(b"PK\x03\x04", b"7z\xbc\xaf\x27\x1c", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"),
        *(b"\x04\x22\x4d\x18", b"Rar!\x1a\x07"),
    ),
    "table of data": (b"\x93NUMPY", b"\x89HDF\r\n\x1a\n"),
}
_SHORT: Mapping[str, tuple[bytes, ...]] = {
    "JPEG XL": (b"\xff\x0a",),
    "JPEG 2000": (b"\xff\x4f\xff\x51",),
    "JPEG XR": (b"II\xbc",),
    "Photoshop": (b"8BPS",),
    "GIMP": (b"gimp xcf",),
    "icon": (b"\x00\x00\x01\x00", b"\x00\x00\x02\x00", b"icns"),
    "QOI": (b"qoif",),
    "DDS": (b"DDS ",),
    "FITS": (b"SIMPLE  =",),
    "SGI image": (b"\x01\xda",),
    "camera raw": (
        *(b"IIU\x00", b"IIRO", b"IIRS", b"MMOR", b"FOVb", b"\x00MRM"),
        b"II\x1a\x00\x00\x00HEAPCCDR",
    ),
    "video": (b"OggS", b".RMF"),
    "Flash": (b"CWS", b"FWS", b"ZWS"),
    "PostScript": (b"%!PS", b"\xc5\xd0\xd3\xc6"),
    "document": (b"{\\rtf",),
    "archive": (
        *(b"PK\x05\x06", b"PK\x07\x08", b"\x1f\x8b", b"\x1f\x9d", b"BZh", b"\x5d\x00\x00"),
        *(b"MSCF", b"!<arch>\n"),
    ),
    "table of data": (b"PAR1", b"ARROW1", b"SQLite format 3\x00"),
}
# Those that don't begin the file: by their offset.
_FURTHER_IN: Mapping[int, Mapping[bytes, str]] = {
    4: dict.fromkeys((b"moov", b"mdat", b"wide", b"skip"), "video"),
    128: {b"DICM": "DICOM"},
    257: {b"ustar": "archive"},
}
_BRANDS = {  # ISO base media: the brand after "ftyp"; any other brand is a video
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1"), "HEIC"),
    b"msf1": "HEIC",
    b"crx ": "camera raw",
    b"jxl ": "JPEG XL",
}
_NETPBM = re.compile(rb"P[1-7fF]\s+(#|\d|WIDTH)")
_MARKUP = re.compile(rb"<svg|data:image/", re.IGNORECASE)


# Major brands under which an AVIF may come; the others need "avif" or "avis" behind them.
_AVIF = (b"avif", b"avis")
_CONTAINERS = (*_AVIF, b"mif1", b"msf1")


def sniff(head: bytes) -> Stored | None:
    """Tell which of the formats that sfumato reads and writes a file has; None for any other.

    Args:
        head: the first `HEAD` bytes of the file or more; 18 are enough for all but some AVIF.
    """
    for magic, kind in MAGICS.items():
        if head.startswith(magic):
            return kind
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp" and head[8:12] in _CONTAINERS:
        brands = head[8 : int.from_bytes(head[:4], "big")]
        if any(brands[at : at + 4] in _AVIF for at in range(0, len(brands), 4)):
            return "AVIF"
    # Two letters are too little: text may begin with them.
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in BMP_HEADERS:
        return "BMP"
    return None


def stored_as(data: bytes) -> Stored:
    """Return the format of a whole file.

    Raises:
        SampleError: IMAGE_EMPTY, or IMAGE_UNRECOGNISED for any that sfumato doesn't write.
    """
    if not data:
        raise SampleError(Code.IMAGE_EMPTY, "the file is empty")
    kind = sniff(data[:HEAD])
    if kind is None:
        raise SampleError(Code.IMAGE_UNRECOGNISED, "the bytes are not those of an image")
    return kind


def may_hold_images(head: bytes) -> str | None:
    """Name the kind of a file that is or may hold images; None where nothing hints at any.

    Knows images of every common kind, video, PDF and documents, archives, and tables of data.
    Used to refuse files that would otherwise be copied unseen (`OTHER_MAY_HOLD_FACES`), so a
    wrong alarm is the lesser harm.

    Args:
        head: the first `HEAD` bytes of the file or more, fewer if it is shorter.
    """
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video")
    for table in (LONG, _SHORT):
        for kind, magics in table.items():
            if head.startswith(magics):
                return kind
    for offset, kinds in _FURTHER_IN.items():
        for magic, kind in kinds.items():
            if head.startswith(magic, offset):
                return kind
    riff = head.startswith(b"RIFF") and head[8:12] in (b"AVI ", b"AVIX")
    if riff or (head.startswith(b"\x47") and head[188:189] == b"\x47"):  # MPEG transport stream
        return "video"
    if _NETPBM.match(head):
        return "Netpbm"
    return "SVG or markup with images" if _MARKUP.search(head) else sniff(head)
