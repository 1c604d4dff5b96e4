"""Open JPEG files that others made carelessly: without an end, or with a broken index."""

from __future__ import annotations

import io

from PIL import Image, ImageFile, JpegImagePlugin

from sfumato import jpeg
from sfumato.codec import chunks
from sfumato.codec.chunks import MAX_PAGES
from sfumato.codec.hostile import HOSTILE
from sfumato.errors import SampleError

_END = b"\xff\xd9"


def open_jpeg(data: bytes) -> ImageFile.ImageFile:
    """Open a JPEG, or an MPO (CIPA DC-007); where its index is broken, its first picture alone."""
    try:
        image = Image.open(io.BytesIO(data), formats=["JPEG"])
        if image.format == "MPO":
            with Image.open(io.BytesIO(data), formats=["JPEG"]) as pictures:
                for index in range(min(getattr(image, "n_frames", 1), MAX_PAGES)):
                    pictures.seek(index)
        return image
    except HOSTILE:
        if b"MPF\x00" not in data:
            raise
        return JpegImagePlugin.JpegImageFile(io.BytesIO(data))


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
