"""Small files that cost much: told by their outside, refused before anything works on them.

An image may be large, and a file may have many parts, but not out of all proportion: 35 bytes of
GIF make 169 million pixels, and a JPEG of 12 MB has room for 3 million empty segments, each of
which costs its readers more than a thousand pixels do. No camera and no program writes such files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from PIL import Image

from sfumato.errors import Code, SampleError
from sfumato.imaging.codec import chunks

# Up to here an image may be as empty as it likes: 2 s and half a gigabyte.
FREE_PIXELS: Final = 64_000_000
# Photographs have 2 to 20 pixels a byte, a white page as JPEG has 256.
PIXELS_A_BYTE: Final = 64

SEGMENTS: Final = 10_000  # of a JPEG before its first scan; of 64 KiB each they are 650 MB
# Of a PNG or WebP: writers cut their data into chunks of 8 KiB and more.
CHUNKS: Final = 20_000
BYTES_A_CHUNK: Final = 1024
BYTES_A_SUB_BLOCK: Final = 16  # of a GIF; they have 255
STRIPS: Final = 100_000  # of a page of TIFF; the tallest have a strip for each of 65,536 rows
EXIF_BYTES: Final = 1 << 21  # blocks have 64 KiB; readers join them again and again
STRAY_BYTES: Final = 1 << 20  # between them; readers step over these one at a time
# Pixels of a progressive JPEG, times its scans (usually 10): a scan over all of them may take
# a hundred bytes.
SCANNED_PIXELS: Final = 10_000_000_000


def refuse_costly(image: Image.Image, kind: str, data: bytes) -> None:
    """Raise for an image, opened but not decoded, that is hollow or has too many scans."""
    pixels = image.width * image.height
    refuse_hollow(pixels * 2 if kind == "WEBP" else pixels, len(data))  # its decoder holds two
    # Some of the scans may be those of previews.
    scans = data.count(b"\xff\xda") if image.info.get("progressive") else 0
    if scans * pixels > SCANNED_PIXELS:
        raise SampleError(Code.IMAGE_TOO_LARGE, f"JPEG of {scans} scans over {pixels} pixels each")


def refuse_hollow(pixels: int, size: int) -> None:
    """Raise IMAGE_TOO_LARGE for an image of far more pixels than so many bytes draw."""
    if pixels > FREE_PIXELS and pixels > PIXELS_A_BYTE * size:
        words = f"{pixels} pixels in {size} bytes: more than {PIXELS_A_BYTE} a byte"
        raise SampleError(Code.IMAGE_TOO_LARGE, f"{words} is believed up to {FREE_PIXELS} only")


def refuse_segments(data: bytes) -> None:
    """Raise IMAGE_UNSUPPORTED for a JPEG of too many parts before its first scan."""
    stray = at = 2
    exif = 0
    with suppress(*chunks.MALFORMED):  # whoever reads it says what is wrong with it
        for count, (marker, start, end) in enumerate(chunks.jpeg_segments(data)):
            stray += end - start if marker == chunks.STRAY else max(0, start - at - 4)
            at = end
            if marker == 0xE1 and data.startswith(b"Exif", start):
                exif += end - start
            if exif > EXIF_BYTES:
                words = f"JPEG with more than {EXIF_BYTES} bytes of EXIF"
                raise SampleError(Code.IMAGE_UNSUPPORTED, words)
            if count > SEGMENTS:
                raise SampleError(Code.IMAGE_UNSUPPORTED, f"JPEG of more than {SEGMENTS} segments")
            if stray > STRAY_BYTES:
                words = f"JPEG with more than {STRAY_BYTES} bytes between its segments"
                raise SampleError(Code.IMAGE_UNSUPPORTED, words)
            if marker in (chunks.SOS, chunks.EOI):
                return


def refuse_crumbs(kind: str, data: bytes) -> None:
    """Raise IMAGE_UNSUPPORTED for a PNG, WebP or GIF of very many parts with nothing in them."""
    walks = {"PNG": chunks.png_chunks, "WEBP": chunks.riff_chunks, "GIF": _sub_blocks}
    if kind not in walks:
        return
    least = BYTES_A_SUB_BLOCK if kind == "GIF" else BYTES_A_CHUNK
    with suppress(*chunks.MALFORMED):  # whoever reads it says what is wrong with it
        for count, (_, _, end) in enumerate(walks[kind](data)):
            if count > CHUNKS and end < count * least:
                words = f"{kind} of more than {CHUNKS} parts with next to nothing in them"
                raise SampleError(Code.IMAGE_UNSUPPORTED, words)


def _sub_blocks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield (b"", start, end) of each sub-block of a GIF."""
    for kind, _, start, _ in chunks.gif_blocks(data):
        at = chunks.gif_coded(data, start) if kind == 0x2C else start + 2
        while kind != 0x3B and (size := data[at]):
            yield b"", at + 1, at + 1 + size
            at += 1 + size


def refuse_strips(tiff: chunks.Tiff) -> None:
    """Raise IMAGE_UNSUPPORTED for a TIFF page of too many strips or tiles."""
    for page in tiff.pages:
        if any(page.tags[tag].count > STRIPS for tag in (273, 324) if tag in page.tags):
            words = f"TIFF page of more than {STRIPS} strips or tiles"
            raise SampleError(Code.IMAGE_UNSUPPORTED, words)
