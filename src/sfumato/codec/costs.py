"""Small files that cost much: told by their outside, refused before anything works on them.

A picture may be large, and a file may have many parts, but not out of all proportion: 35 bytes of
GIF make 169 million pixels, and a JPEG of 12 MB has room for 3 million empty segments, each of
which costs its readers more than a thousand pixels do. No camera and no program writes such files.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from PIL import Image

from sfumato.codec import chunks
from sfumato.errors import Code, SampleError

# Up to here a picture may be as empty as it likes: 2 s and half a gigabyte.
FREE_PIXELS: Final = 64_000_000
# Photographs have 2 to 20 pixels a byte, a white page as JPEG has 256.
PIXELS_A_BYTE: Final = 64

SEGMENTS: Final = 10_000  # of a JPEG before its first scan; of 64 KiB each they are 650 MB
STRAY_BYTES: Final = 1 << 20  # between them; readers step over these one at a time
# Pixels of a progressive JPEG, times its scans (usually 10): a scan over all of them may take
# a hundred bytes.
SCANNED_PIXELS: Final = 10_000_000_000


def refuse_costly(image: Image.Image, kind: str, data: bytes) -> None:
    """Raise for a picture, opened but not decoded, that is hollow or has too many scans."""
    pixels = image.width * image.height
    refuse_hollow(pixels * 2 if kind == "WEBP" else pixels, len(data))  # its decoder holds two
    if image.info.get("progressive"):
        refuse_scans(data, pixels)


def refuse_hollow(pixels: int, size: int) -> None:
    """Raise IMAGE_TOO_LARGE for a picture of far more pixels than so many bytes draw."""
    if pixels > FREE_PIXELS and pixels > PIXELS_A_BYTE * size:
        words = f"{pixels} pixels in {size} bytes: more than {PIXELS_A_BYTE} a byte"
        raise SampleError(Code.IMAGE_TOO_LARGE, f"{words} is believed up to {FREE_PIXELS} only")


def refuse_segments(data: bytes) -> None:
    """Raise IMAGE_UNSUPPORTED for a JPEG of too many parts before its first scan."""
    stray = at = 2
    with suppress(*chunks.MALFORMED):  # whoever reads it says what is wrong with it
        for count, (marker, start, end) in enumerate(chunks.jpeg_segments(data)):
            stray += end - start if marker == chunks.STRAY else max(0, start - at - 4)
            at = end
            if count > SEGMENTS:
                raise SampleError(Code.IMAGE_UNSUPPORTED, f"JPEG of more than {SEGMENTS} segments")
            if stray > STRAY_BYTES:
                words = f"JPEG with more than {STRAY_BYTES} bytes between its segments"
                raise SampleError(Code.IMAGE_UNSUPPORTED, words)
            if marker in (chunks.SOS, chunks.EOI):
                return


def refuse_scans(data: bytes, pixels: int) -> None:
    """Raise IMAGE_TOO_LARGE for a JPEG whose scans together go over too many pixels."""
    scans = data.count(b"\xff\xda")  # some of them may be those of previews
    if scans * pixels > SCANNED_PIXELS:
        raise SampleError(Code.IMAGE_TOO_LARGE, f"JPEG of {scans} scans over {pixels} pixels each")
