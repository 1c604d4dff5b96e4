"""The edge of an edited region can't be seen: no step, no colour cast."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sfumato.imaging import jpeg
from sfumato.imaging.jpeg.header import read_header
from sfumato.imaging.jpeg.markers import walk
from sfumato.obfuscation import Fill, Gaussian, Method
from sfumato.types import Box
from tests.jpeg_images import MAX_PIXELS, pixels

BOX: Box = (81.3, 77.7, 150.2, 160.9)
Y, X = np.mgrid[0:240, 0:240]
NOISE = np.random.default_rng(0).normal(0, 10, X.shape)
PLANES = {
    "flat": np.full((240, 240), 131.0),
    "gradient": 40 + X * 0.5 + Y * 0.25,
    "texture": 127 + 40 * np.sin(X / 3) * np.cos(Y / 4) + NOISE,
}  # fmt: skip


def saved(plane: NDArray[np.float64], quality: int, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.clip(plane, 0, 255).astype(np.uint8)).save(
        stream, "JPEG", quality=quality, **options
    )
    return stream.getvalue()


def steps(
    error: NDArray[np.int64], touched: NDArray[np.bool_], summary: Callable[..., Any] = np.mean
) -> NDArray[np.float64]:
    """Return the mean step of the error across each edge between a touched and another block.

    Or with `np.max` the largest step of a single pixel there.
    """
    found = []
    for axis in (0, 1):
        error, touched = (error, touched) if axis == 0 else (error.T, touched.T)
        for row, column in np.argwhere(touched[1:] != touched[:-1]):
            across = slice(8 * column, 8 * column + 8)
            step = error[8 * row + 8, across] - error[8 * row + 7, across]
            found.append(summary(step if summary is np.mean else np.abs(step)))
    return np.abs(found)


@pytest.mark.parametrize("quality", [50, 75, 90, 95, 100])
@pytest.mark.parametrize("method", [Gaussian(), Fill()])
@pytest.mark.parametrize("name", ["gradient", "texture"])
def test_no_step_over_one_grey_level_at_the_border(name: str, method: Method, quality: int) -> None:
    """Against the ideal: the method's soft mask on the decoded image, without JPEG.

    Steps are means over the 8 pixels of a block's edge, which is what the eye sees as a seam.
    Single pixels carry the file's own quantisation noise as well, and both roundings.
    """
    data = saved(PLANES[name], quality)
    ideal = method(pixels(data)[:, :, None], [BOX])[:, :, 0].astype(np.int64)
    result = jpeg.edit(data, [BOX], method, max_pixels=MAX_PIXELS)
    error = pixels(result.data) - ideal
    assert result.touched[0].any()
    assert not result.touched[0].all()
    found = steps(error, result.touched[0])
    assert found.max() <= 1
    assert found.mean() < 0.25
    assert steps(error, result.touched[0], np.max).max() <= 2
    # A flat colour can be off by half a step of the file's own DC coefficients.
    step = read_header(walk(data)[0], max_pixels=MAX_PIXELS).quantisation[0][0] / 8
    inside = np.kron(result.touched[0], np.ones((8, 8), dtype=bool))
    assert abs(error[inside].mean()) < max(0.2, step / 2)


def test_flat_planes_stay_as_they_are() -> None:
    data = saved(PLANES["flat"], 90)
    result = jpeg.edit(data, [BOX], Gaussian(), max_pixels=MAX_PIXELS)
    assert not result.touched[0].any()


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("name", ["flat", "gradient", "texture"])
def test_no_colour_cast(name: str, subsampling: int) -> None:
    plane = PLANES[name]
    colours = np.stack([plane, 255 - plane, 0.5 * plane + 60], axis=2)
    data = saved(colours, 92, subsampling=subsampling)
    ideal = Gaussian()(pixels(data), [BOX]).astype(np.int64)
    result = jpeg.edit(data, [BOX], Gaussian(), max_pixels=MAX_PIXELS)
    error = (pixels(result.data) - ideal)[80:160, 85:148]
    assert (np.abs(error.mean(axis=(0, 1))) < 1).all()
