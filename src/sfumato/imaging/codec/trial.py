"""Decode a file on trial: what it shows, or that it shows nothing."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfumato.errors import Code, SampleError
from sfumato.imaging.codec.reading import MAX_PIXELS, guarded, open_image

_MOST_PIXELS = 1 << 28


def pixels_of(data: bytes) -> bytes | None:
    """Return a digest of the stored pixels of every frame; None where they can't be decoded.

    Raises:
        SampleError: IMAGE_TOO_LARGE.
    """
    told = hashlib.sha256()
    try:
        with guarded(MAX_PIXELS):
            opened = open_image(data, MAX_PIXELS)
            for index in range(opened.header.frames):
                if opened.header.frames > 1:
                    opened.image.seek(index)
                opened.image.load()
                told.update(f"{opened.image.mode} {opened.image.size}".encode())
                told.update(opened.image.tobytes())
    except SampleError as error:
        if error.code is Code.IMAGE_TOO_LARGE:
            raise
        return None
    return told.digest()


def first_pixels(data: bytes, index: int) -> NDArray[Any] | None:
    """Return the stored pixels of one frame, (h, w, …); None where they can't be decoded."""
    try:
        with guarded(_MOST_PIXELS):
            opened = open_image(data, _MOST_PIXELS)
            if index:
                opened.image.seek(index)
            opened.image.load()
            return np.array(opened.image)
    except SampleError:
        return None
