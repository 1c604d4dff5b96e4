"""Open JPEG files, and those that hold further pictures by an index (MPO, CIPA DC-007)."""

from __future__ import annotations

import io

from PIL import Image, ImageFile, JpegImagePlugin

from sfumato.codec.chunks import MAX_PAGES
from sfumato.codec.hostile import HOSTILE


def open_jpeg(data: bytes) -> ImageFile.ImageFile:
    """Open a JPEG, or an MPO whose index leads to pictures; with a broken one its first alone."""
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
