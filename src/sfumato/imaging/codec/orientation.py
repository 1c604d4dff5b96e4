"""Where each format says how its images are to be turned, and what its XMP is.

What the words mean is told in `sfumato.imaging.embedded.orientation`, alike for all of them.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from PIL import Image

from sfumato.imaging.codec import chunks
from sfumato.imaging.embedded import orientation as turns

_XMP = 700  # of TIFF
_RAW_PROFILE, _XMP_KEY = b"Raw profile type exif", b"XML:com.adobe.xmp"
_MOST_TEXT = 1 << 20  # bytes of a packed text, as Pillow has it


@dataclass(frozen=True, slots=True)
class Told:
    """The EXIF block and the XMP packet of a file, empty where it has none."""

    exif: bytes = b""
    xmp: bytes = b""

    @property
    def orientation(self) -> int:
        """How the image is to be turned, 1 to 8."""
        return turns.orientation(self.exif, self.xmp)


def told_by_pillow(image: Image.Image) -> Told:
    """Return what Pillow has read of a JPEG, WebP or AVIF (whose irot and imir come as EXIF)."""
    exif, xmp = image.info.get("exif"), image.info.get("xmp")
    return Told(*(part if isinstance(part, bytes) else b"" for part in (exif, xmp)))


def told_by_png(data: bytes) -> Told:
    """Return EXIF from eXIf or else ImageMagick's raw profile, and XMP; of each the last one."""
    found: dict[bytes, bytes] = {}
    for name, start, end in chunks.png_chunks(data):
        if name == b"eXIf":
            found[b"exif"] = data[start:end]
        elif name in (b"tEXt", b"zTXt", b"iTXt"):
            key = data[start : min(end, start + 80)].partition(b"\x00")[0]
            if key in (_RAW_PROFILE, _XMP_KEY):
                text = _png_text(name, data[start + len(key) + 1 : end])
                found.update({key: text} if text is not None else {})
    exif = found.get(b"exif") or turns.from_raw_profile(found.get(_RAW_PROFILE, b""))
    return Told(exif, found.get(_XMP_KEY, b""))


def _png_text(name: bytes, rest: bytes) -> bytes | None:
    """Return the text of a chunk, given what follows its key; None if it is broken or too long."""
    packed = name == b"zTXt"
    if name == b"zTXt":
        rest = rest[1:]
    elif name == b"iTXt":
        packed = rest[:1] == b"\x01"
        rest = b"".join(rest[2:].split(b"\x00", 2)[2:])  # behind language and translated key
    if not packed:
        return rest
    inflate = zlib.decompressobj()
    try:
        text = inflate.decompress(rest, _MOST_TEXT)
    except zlib.error:
        return None
    return None if inflate.unconsumed_tail else text


def page_orientations(tiff: chunks.Tiff) -> tuple[int, ...]:
    """Return how each page of a TIFF is to be turned.

    Raises:
        ValueError: the packets of XMP lie on top of each other, to be read again and again.
    """
    chunks.check_apart(tiff, _XMP)
    told: list[int] = []
    known: dict[tuple[int, int], int] = {}
    for index, page in enumerate(tiff.pages):
        tag = page.tags.get(_XMP)
        if chunks.ORIENTATION in page.tags or tag is None:
            told.append(_page_orientation(tiff, index))
            continue
        place = (tag.at, tag.size)
        if place not in known:
            known[place] = _page_orientation(tiff, index)
        told.append(known[place])
    return tuple(told)


def _page_orientation(tiff: chunks.Tiff, index: int) -> int:
    """Return how a page of a TIFF is to be turned: by its tag 274, else by its XMP."""
    tag = tiff.pages[index].tags.get(chunks.ORIENTATION)
    if tag is None:
        return turns.orientation(b"", page_xmp(tiff, index))
    width, inline = (20, 8) if tiff.big else (12, 4)
    try:
        told = turns.entry_value(
            tiff.data, tiff.order, tag.type, tag.count, tag.entry + width - inline, inline
        )
    except struct.error:
        return 1
    return told if 1 <= told <= 8 else 1


def page_xmp(tiff: chunks.Tiff, index: int) -> bytes:
    """Return the XMP packet of a page of a TIFF; nothing where it has none."""
    tag = tiff.pages[index].tags.get(_XMP)
    return tiff.data[tag.at : tag.at + tag.size] if tag is not None else b""
