"""Ask littleCMS whether two colour profiles make the same colours."""

from __future__ import annotations

import io
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

_MODES: Final = {b"RGB ": ("RGB", 3, 17), b"GRAY": ("L", 1, 256), b"CMYK": ("CMYK", 4, 7)}
_INTENTS: Final = tuple(ImageCms.Intent)


def same_transform(before: bytes, after: bytes) -> bool:
    """Tell whether two profiles turn a grid of colours into the same sRGB colours.

    Compared are all rendering intents that the first profile has. False where it has none, and
    for spaces of which images have no pixels here (Lab).
    """
    if before[16:20] not in _MODES or before[16:20] != after[16:20]:
        return False
    mode, channels, steps = _MODES[before[16:20]]
    grid = _grid(mode, channels, steps)
    compared = 0
    for intent in _INTENTS:
        old = _shown(before, grid, intent)
        if old is None:
            continue
        new = _shown(after, grid, intent)
        if new is None or not np.array_equal(old, new):
            return False
        compared += 1
    return compared > 0


@cache
def _grid(mode: str, channels: int, steps: int) -> Image.Image:
    """Return an image of every combination of some levels, from 0 to 255."""
    levels = np.linspace(0, 255, steps).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(*[levels] * channels, indexing="ij"), axis=-1)
    flat = np.ascontiguousarray(colours.reshape(1, -1, channels))
    return Image.frombytes(mode, (flat.shape[1], 1), flat.tobytes())


def _shown(profile: bytes, grid: Image.Image, intent: ImageCms.Intent) -> NDArray[np.uint8] | None:
    """Return the grid in sRGB; None where littleCMS can't do it."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(
            source, target, grid.mode, "RGB", intent, ImageCms.Flags.NOOPTIMIZE
        )
        shown = ImageCms.applyTransform(grid, transform)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, MemoryError):
        return None
    return None if shown is None else np.asarray(shown)
