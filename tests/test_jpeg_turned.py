"""Boxes of the upright image cover the right region for all eight EXIF orientations."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from sfumato.imaging import codec
from sfumato.obfuscation import Fill
from tests.jpeg_images import pixels, saved

BOX = (21.0, 64.0, 74.0, 101.0)  # far from every axis of symmetry


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_region_is_the_right_one(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(quality=95, subsampling=0, exif=exif)
    result = codec.edit(data, [BOX], Fill(colour=(255, 0, 0))).data
    assert Image.open(io.BytesIO(result)).getexif()[0x0112] == orientation
    before, after = (
        np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(d)))).astype(int)
        for d in (data, result)
    )
    assert before.shape == ((141, 173, 3) if orientation < 5 else (173, 141, 3))
    x0, y0, x1, y1 = (int(side) for side in BOX)
    red = np.abs(after - (255, 0, 0)).max(axis=2) < 12
    # Where the fill fades out, and up to the edges of the blocks it lies in.
    assert red[y0 + 4 : y1 - 4, x0 + 4 : x1 - 4].all()
    changed = np.argwhere((before != after).any(axis=2))
    grown = Fill().reaches([BOX])[0]
    assert (changed.min(axis=0) >= (grown[1] - 8, grown[0] - 8)).all()
    assert (changed.max(axis=0) < (grown[3] + 8, grown[2] + 8)).all()
    assert not np.array_equal(pixels(data), pixels(result))
