"""Made-up images with known detail, for tests of covering and of measuring."""

from __future__ import annotations

from functools import cache

import numpy as np

from sfumato.types import Pixels


def noise(height: int, width: int, channels: int, *, seed: int) -> Pixels:
    """White noise: all frequencies alike, every pixel and channel on its own."""
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (height, width, channels), dtype=np.uint8)


def checkerboard(height: int, width: int, channels: int) -> Pixels:
    """Pixels that alternate between 30 and 225: the highest frequency there is."""
    odd = (np.arange(height)[:, None] + np.arange(width)) % 2
    board = np.where(odd == 1, 225, 30).astype(np.uint8)
    return np.repeat(board[..., None], channels, axis=2)


def face(size: int, *, seed: int) -> Pixels:
    """A portrait, 3 `size` pixels square, whose face is the `size` pixels in the middle.

    Amplitudes fall with frequency as in photographs, over an ellipse of skin with eyes, brows, nose
    and mouth at sharp edges, rendered at four times the size and averaged.
    """
    return _face(size, seed).copy()


@cache
def _face(size: int, seed: int) -> Pixels:
    generator = np.random.default_rng(seed)
    step = 4 if size < 100 else 1
    side = 3 * size * step
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)) * side
    spectrum = np.fft.rfft2(generator.standard_normal((side, side))) / np.maximum(frequency, 2)
    detail = np.fft.irfft2(spectrum, (side, side))
    y, x = (np.mgrid[0:side, 0:side] + 0.5) / side * 3 - 1  # the face is 0..1
    image = np.multiply.outer(110 + 40 * detail / detail.std(), np.ones(3))
    skin = 95 + 14 * detail / detail.std() + 50 * x  # light comes from one side
    tone = np.stack([skin * 1.35, skin, skin * 0.8], axis=2)
    inside = ((x - 0.5) / 0.42) ** 2 + ((y - 0.5) / 0.55) ** 2 < 1
    image[inside] = tone[inside]
    for centre_x, centre_y, half_x, half_y, colour in (
        (0.32, 0.38, 0.10, 0.045, (235, 235, 235)),  # eyes
        (0.68, 0.38, 0.10, 0.045, (235, 235, 235)),
        (0.32, 0.38, 0.045, 0.045, (30, 25, 20)),
        (0.68, 0.38, 0.045, 0.045, (30, 25, 20)),
        (0.31, 0.28, 0.13, 0.025, (45, 30, 20)),  # brows
        (0.69, 0.28, 0.13, 0.025, (45, 30, 20)),
        (0.50, 0.62, 0.08, 0.030, (70, 40, 35)),  # nose
        (0.50, 0.78, 0.17, 0.050, (150, 40, 45)),  # mouth
    ):
        part = (np.abs(x - centre_x) < half_x) & (np.abs(y - centre_y) < half_y)
        image[part] = colour
    cells = image.reshape(3 * size, step, 3 * size, step, 3).mean(axis=(1, 3))
    pixels: Pixels = np.clip(np.rint(cells), 0, 255).astype(np.uint8)
    return pixels
