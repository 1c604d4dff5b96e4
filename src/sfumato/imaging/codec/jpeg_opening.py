"""Open JPEG files that others made carelessly: without an end, or with a broken index."""

from __future__ import annotations

import io
import struct
import zlib
from contextlib import suppress

from PIL import Image, ImageFile, JpegImagePlugin

from sfumato.errors import Code, SampleError
from sfumato.imaging import jpeg
from sfumato.imaging.codec import chunks

_LOSSLESS, _HIERARCHICAL = (0xC3, 0xCB), (0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF)  # frame headers
_END = b"\xff\xd9"


def open_jpeg(data: bytes) -> ImageFile.ImageFile:
    """Open a JPEG, or an MPO (CIPA DC-007); where its index is broken, its first image alone."""
    try:
        image = Image.open(io.BytesIO(data), formats=["JPEG"])
        if image.format == "MPO":
            with Image.open(io.BytesIO(data), formats=["JPEG"]) as images:
                for index in range(min(getattr(image, "n_frames", 1), chunks.MAX_PAGES)):
                    images.seek(index)
        return image
    except HOSTILE:
        if b"MPF\x00" not in data:
            raise
        return JpegImagePlugin.JpegImageFile(io.BytesIO(data))


def refuse_coding(data: bytes) -> None:
    """Raise for a JPEG that no reader here can decode, by the name of its coding (T.81, B.1)."""
    with suppress(*chunks.MALFORMED):  # Pillow shall say what is wrong with it
        for marker, start, _ in chunks.jpeg_segments(data):
            if marker in _LOSSLESS or marker in _HIERARCHICAL:
                name = "lossless" if marker in _LOSSLESS else "hierarchical"
                raise SampleError(Code.IMAGE_UNSUPPORTED, f"JPEG: {name}")
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
                if data[start] in (12, 16):
                    raise SampleError(Code.IMAGE_UNSUPPORTED, f"JPEG of {data[start]} bits")
                return


def with_end(data: bytes, max_pixels: int) -> bytes:
    """Return a JPEG with an end of image, if that is all it lacks; else as it is.

    Without one Pillow takes a file for cut off. That no coded data is missing is found by
    decoding it, which only such files cost.
    """
    if data.endswith(_END):
        return data
    try:
        for _ in chunks.jpeg_segments(data):
            pass
        return data
    except chunks.MALFORMED:
        pass
    try:
        jpeg.check_whole(data, max_pixels=max_pixels)
    except SampleError:
        return data  # Pillow shall say what is wrong with it
    return data + (_END[1:] if data.endswith(b"\xff") else _END)


# What Pillow was seen to raise, or may raise by its source, on bytes that are no sound image.
# Not a plain `Exception`: a mistake of ours in a caller's code shall not look like a bad file.
HOSTILE = (
    OSError,  # truncated, unidentified, "decoder error -2"
    SyntaxError,  # broken headers, by Pillow's convention
    EOFError,  # fewer frames than announced
    ValueError,  # sizes, tags, Unicode
    TypeError,  # tags of another type than expected
    AttributeError,  # a header that left something unset
    LookupError,  # IndexError, KeyError: offsets, unknown modes and compressions
    ArithmeticError,  # ZeroDivisionError, OverflowError: rationals, offsets
    RuntimeError,  # and NotImplementedError, RecursionError
    AssertionError,  # Pillow asserts that a header set what it needs
    BufferError,
    MemoryError,
    struct.error,
    zlib.error,
)
