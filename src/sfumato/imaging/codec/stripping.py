"""Take the private metadata out of an image without decoding and encoding it again.

For the policy "all". The coded pixels are copied as they lie there, the parts around them by an
allow-list, and nothing is returned that wasn't proved: the stripped file, decoded, shows the same
stored pixels with the same colour profile and orientation as the source, and `private_metadata`
names nothing in it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfumato.errors import Code, SampleError
from sfumato.imaging import jpeg
from sfumato.imaging.codec import chunks
from sfumato.imaging.codec.avif_rebuilding import rebuilt_avif
from sfumato.imaging.codec.concealed import concealed, cut
from sfumato.imaging.codec.inside import embedded_images
from sfumato.imaging.codec.metadata import private_metadata
from sfumato.imaging.codec.orientation import Told, told_by_png
from sfumato.imaging.codec.profile import (
    inflated_profile,
    png_profile_chunk,
    published_profile,
    said_of,
)
from sfumato.imaging.codec.reading import MAX_PIXELS, Opened, guarded, open_image
from sfumato.imaging.codec.rebuilding import rebuilt_tiff
from sfumato.imaging.codec.signatures import HEAD, sniff
from sfumato.imaging.codec.stills import webp_frame
from sfumato.imaging.embedded.panorama import panorama_packet
from sfumato.imaging.jpeg.exif import orientation_exif

_PNG_KEPT = frozenset(
    b"IHDR PLTE IDAT IEND tRNS cHRM gAMA sBIT sRGB cICP bKGD hIST pHYs acTL fcTL fdAT".split()
)
_WEBP_PIXELS = frozenset((b"VP8 ", b"VP8L", b"ALPH"))
_EXIF_FLAG, _XMP_FLAG, _ICC_FLAG, _KNOWN_FLAGS = 0x08, 0x04, 0x20, 0x3E  # of VP8X
_GIF_KEPT = (b"NETSCAPE2.0", b"ANIMEXTS1.0")


def strip(data: bytes, *, max_pixels: int = MAX_PIXELS) -> bytes:
    """Return an image without its private metadata, and the same bytes if it has none.

    Kept are the coded pixels of every frame as they are, what decoding needs, the colour profile,
    the resolution and the orientation. What stands behind the end of the image goes, and with
    it the further images of an MPO.

    Raises:
        SampleError: IMAGE_UNSUPPORTED where that can't be done, or can't be proved; as `inspect`
            for what is no sound image.
    """
    with suppress(SampleError):  # what can't be walked is perhaps mended below
        if not private_metadata(data, frames=True) and not embedded_images(data):
            return data
    kind = sniff(data[:HEAD])
    try:
        clean = STRIPPERS[kind](cut(data) if concealed(data) else data)
        left = private_metadata(clean, frames=True)
        left += tuple(one.kind for one in embedded_images(clean))
    except chunks.MALFORMED as error:
        raise _kept_in(f"its parts can't be told apart ({type(error).__name__})") from error
    except SampleError as error:
        raise _kept_in(error.reason) from error
    if left:
        raise _kept_in(f"{', '.join(left)} would stay")
    moved = difference(data, clean, max_pixels=max_pixels)
    if moved is None or moved > 0:
        raise _kept_in("the image would change")
    return clean


def _kept_in(why: str) -> SampleError:
    return SampleError(Code.IMAGE_UNSUPPORTED, f"its metadata can't be removed safely: {why}")


def difference(before: bytes, after: bytes, *, max_pixels: int = MAX_PIXELS) -> float | None:
    """Return by how much the stored pixels of two files of one kind differ, 0 to 255 levels.

    Every channel of every frame counts, also alpha and the low bits of 16. None where the files
    can't be compared at all: another size, mode, orientation, number of frames, palette or colour
    profile. Of an MPO only the first image is looked at.

    Raises:
        SampleError: one of them can't be decoded.
    """
    with guarded(max_pixels):
        old, new = open_image(before, max_pixels), open_image(after, max_pixels)
        if _profile_of(old) != _profile_of(new) or old.orientations != new.orientations:
            return None
        if old.header.format != "MPO" and old.header.frames != new.header.frames:
            return None
        largest = 0.0
        for index in range(new.header.frames):
            told, telling = _stored(old, index), _stored(new, index)
            if told[0] != telling[0] or told[1].shape != telling[1].shape:
                return None
            if not np.array_equal(told[1], telling[1]):
                rows = zip(told[1], telling[1], strict=True)  # no large copies of wide numbers
                moved = max(int(np.abs(a.astype(np.int32) - b).max()) for a, b in rows)
                largest = max(largest, float(moved))
        return min(largest, 255.0)


def _stored(opened: Opened, index: int) -> tuple[object, NDArray[Any]]:
    """Return what a frame's pixels mean (mode, palette, transparency) and the pixels as stored."""
    image = opened.image
    if opened.header.frames > 1:
        image.seek(index)
    image.load()
    palette = image.palette.tobytes() if image.palette is not None else b""
    told = ("transparency", "duration", "loop") if opened.header.frames > 1 else ("transparency",)
    shown = {name: image.info.get(name) for name in told}
    return (image.mode, palette, shown), np.array(image)


def _profile_of(opened: Opened) -> bytes | None:
    if opened.header.format == "PNG":  # whose profile isn't shown to Pillow
        for name, start, end in chunks.png_chunks(opened.data):
            if name == b"iCCP":
                return inflated_profile(opened.data[start:end])
        return None
    return published_profile(opened.image.info.get("icc_profile"))


# One function for each format: the file -> the file without its metadata.


def _strip_png(data: bytes) -> bytes:
    told = told_by_png(data)
    parts = []
    for name, start, end in chunks.png_chunks(data):
        if name in _PNG_KEPT:
            parts.append(data[start - 8 : end + 4])
        elif name == b"iCCP":
            parts.append(png_profile_chunk(data[start:end]))
    if block := orientation_exif(told.orientation):
        parts.insert(1, chunks.png_chunk(b"eXIf", block.removeprefix(b"Exif\x00\x00")))
    if packet := panorama_packet(told.xmp):
        parts.insert(1, chunks.png_chunk(b"iTXt", chunks.PNG_XMP + packet))
    return data[:8] + b"".join(parts)


def _strip_webp(data: bytes) -> bytes:
    told = _told_by_webp(data)
    block, packet = orientation_exif(told.orientation), panorama_packet(told.xmp)
    flags = (_EXIF_FLAG if block else 0) | (_XMP_FLAG if packet else 0)
    parts: list[tuple[bytes, bytes]] = []
    for name, start, end in chunks.riff_chunks(data):
        payload = data[start:end]
        if name == b"ICCP":
            profile = None if flags & _ICC_FLAG else published_profile(payload)
            if profile is None:
                continue
            flags, payload = flags | _ICC_FLAG, profile
        elif name == b"ANMF":
            inner = [one for one in webp_frame(payload) if one[0] in _WEBP_PIXELS]
            payload = payload[:16] + chunks.riff_written(inner)
        elif name not in _WEBP_PIXELS | {b"VP8X", b"ANIM"}:
            continue
        parts.append((name, payload))
    parts += [(name, part) for name, part in ((b"EXIF", block), (b"XMP ", packet)) if part]
    if parts and parts[0][0] == b"VP8X":
        head = parts[0][1]
        kept = head[0] & _KNOWN_FLAGS & ~(_EXIF_FLAG | _XMP_FLAG | _ICC_FLAG)
        parts[0] = (b"VP8X", bytes([kept | flags, 0, 0, 0]) + head[4:10])
    return chunks.webp_written(parts)


def _told_by_webp(data: bytes) -> Told:
    """Return the first EXIF and XMP chunk of a WebP, as libwebp does."""
    found: dict[bytes, bytes] = {}
    for name, start, end in chunks.riff_chunks(data):
        if name in (b"EXIF", b"XMP "):
            found.setdefault(name, data[start:end])
    return Told(found.get(b"EXIF", b""), found.get(b"XMP ", b""))


def _strip_gif(data: bytes) -> bytes:
    blocks = list(chunks.gif_blocks(data))
    parts = [data[: blocks[0][2]]]
    for kind, label, start, end in blocks:
        name = data[start + 3 : start + 14] if label == 0xFF else b""
        named = name in _GIF_KEPT or (
            name == b"ICCRGBG1012" and not said_of(chunks.gif_payload(data[start + 14 : end]))
        )
        if kind != 0x21 or label == 0xF9 or named:
            parts.append(data[start:end])
    return b"".join(parts)


def _strip_bmp(data: bytes) -> bytes:
    if chunks.bmp_profile(data):
        raise ValueError("a profile inside")
    head, pixels, end = chunks.bmp_parts(data)
    head = min(head, pixels)
    clean = bytearray(data[:head] + data[pixels:end])
    struct.pack_into("<I", clean, 2, len(clean))
    struct.pack_into("<I", clean, 10, head)
    return bytes(clean)


STRIPPERS: dict[str | None, Callable[[bytes], bytes]] = {
    "JPEG": partial(jpeg.strip, policy="all"),
    "PNG": _strip_png,
    "WEBP": _strip_webp,
    "GIF": _strip_gif,
    "BMP": _strip_bmp,
    "TIFF": rebuilt_tiff,
    "AVIF": rebuilt_avif,
}
