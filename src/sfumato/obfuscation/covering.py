"""Where a cover lies and how it is laid on: geometry, soft edges, blurring.

Several faces are covered one after another on the current result, in descending order of their
longer side, whatever order they come in. Each step blends the image with a smoothing of
itself. So a trace of a pixel in a face's grown box, wherever it ends up, has been smoothed at
least as that face asks: steps before its own were wider, its own leaves nothing else of it, and
later ones only smooth further. In ascending order, a small face that overlaps a large one would
carry pixels of the large one out of its grown box with the small one's strength.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageFilter

from sfumato.boxes import clip
from sfumato.obfuscation._blend import blend, fill_weights
from sfumato.types import Box, Pixels

# Coordinates go onto this grid first. Then all geometry is exact in floating point, and an image
# and its boxes moved by whole pixels give the same weights.
_SUBPIXELS = 256
_SMALL_SIGMA = 2.5  # px; blurring starts from here after the image was reduced
_ROWS_AT_ONCE = 256  # of a large image, so that little is held twice
_MODES: Mapping[int, str] = {1: "L", 2: "RGB", 3: "RGB", 4: "CMYK"}


@dataclass(frozen=True, slots=True)
class Face:
    """Geometry of one face: longer side as found, grown box, feather, and whole-pixel reach."""

    box: Box
    size: float
    grown: Box
    feather: float
    reach: Box


@lru_cache(maxsize=1024)  # asked for at every step, and for each plane of a JPEG
def face_of(box: Box, expand: float, feather: float) -> Face:
    """Work out the geometry of a face on the grid of sub-pixels, always outwards."""
    box = floats(box)
    x0, y0 = (math.floor(side * _SUBPIXELS) / _SUBPIXELS for side in box[:2])
    x1, y1 = (math.ceil(side * _SUBPIXELS) / _SUBPIXELS for side in box[2:])
    size = max(x1 - x0, y1 - y0, 0.0)
    margins = (expand * (x1 - x0), expand * (y1 - y0), feather * size)
    dx, dy, edge = (math.ceil(margin * _SUBPIXELS) / _SUBPIXELS for margin in margins)
    grown = (x0 - dx, y0 - dy, x1 + dx, y1 + dy)
    return Face((x0, y0, x1, y1), size, grown, edge, outwards(grown, edge))


def outwards(box: Box, margin: float) -> Box:
    """Return the whole pixels that a box with a margin on all sides touches."""
    x0, y0 = (float(math.floor(side - margin)) for side in box[:2])
    x1, y1 = (float(math.ceil(side + margin)) for side in box[2:])
    return (x0, y0, x1, y1)


def floats(box: Box) -> Box:
    """Return a box as Python's floats, which Pillow wants; `ValueError` if one isn't finite."""
    if not all(math.isfinite(side) for side in box):
        raise ValueError(f"box must be finite, got {box}")
    return (float(box[0]), float(box[1]), float(box[2]), float(box[3]))


def faces_of(boxes: Sequence[Box], expand: float, feather: float) -> list[Face]:
    """Return the faces, largest first; equal ones by position, so that their order is fixed."""
    faces = (face_of(box, expand, feather) for box in boxes)
    return sorted(faces, key=lambda face: (-face.size, face.box))


def cover(image: Pixels, faces: Sequence[Face], smooth: Callable[[Pixels, Face], Pixels]) -> Pixels:
    """Blend each face with what `smooth` makes of its reach, one after another."""
    check_image(image)
    height, width, _ = image.shape
    result = image.copy()
    for face in faces:
        inside = clip(face.reach, width, height)
        if clip(face.box, width, height) is None or inside is None:
            continue
        x0, y0, x1, y1 = (int(side) for side in inside)
        covered = smooth(result[y0:y1, x0:x1], face)
        for top in range(y0, y1, _ROWS_AT_ONCE):
            bottom = min(top + _ROWS_AT_ONCE, y1)
            weights = _weights(face, (x0, top, x1, bottom))
            blend(result[top:bottom, x0:x1], covered[top - y0 : bottom - y0], weights)
    return result


def _weights(face: Face, window: tuple[int, int, int, int]) -> Pixels:
    """Return the weight of the cover in a window of pixels, (h, w), 0..255.

    255 for every pixel that the grown box touches; then a raised cosine of the pixel's distance
    to the box, so that corners are round; 0 from the feather's width on.
    """
    x0, y0, x1, y1 = window
    left, top, right, bottom = face.grown
    xs, ys = np.arange(x0, x1, dtype=np.float64), np.arange(y0, y1, dtype=np.float64)
    feather = max(face.feather, 1 / _SUBPIXELS)  # no pixel is nearer without touching
    dx = np.maximum(np.maximum(left - (xs + 1), xs - right), 0) / feather
    dy = np.maximum(np.maximum(top - (ys + 1), ys - bottom), 0) / feather
    weights = np.empty((y1 - y0, x1 - x0), dtype=np.uint8)
    fill_weights(weights, dx, dy)
    return weights


def gaussian_blur(crop: Pixels, sigma: float) -> Pixels:
    """Blur an array with a Gaussian of this standard deviation; its borders are replicated.

    Wide blurs run on an image reduced by k. The variances add up: the box average has
    (k^2 - 1) / 12, the bilinear enlargement k^2 / 6, and the blur between gets what is missing.
    """
    image = as_image(crop)
    k = int(sigma / _SMALL_SIGMA)
    if k < 2:
        return as_pixels(image.filter(ImageFilter.GaussianBlur(sigma)), crop.shape[2])
    rest = math.sqrt(sigma**2 - (k**2 - 1) / 12 - k**2 / 6) / k
    small = image.reduce(k).filter(ImageFilter.GaussianBlur(rest))
    size = image.size
    del image  # large images are not kept twice
    extent = (0.0, 0.0, size[0] / k, size[1] / k)
    return as_pixels(small.resize(size, Image.Resampling.BILINEAR, box=extent), crop.shape[2])


def check_image(image: Pixels) -> None:
    """Raise `ValueError` for an array that is no image of 1 to 4 channels."""
    if image.dtype != np.uint8 or image.ndim != 3 or not 1 <= image.shape[2] <= 4:
        raise ValueError(
            f"image must be uint8 (h, w, 1 to 4), got {image.dtype} with shape {image.shape}"
        )


def as_image(image: Pixels) -> Image.Image:
    """Wrap pixels for Pillow, which weighs RGBA and LA by alpha: as CMYK, and RGB with a spare."""
    height, width, channels = image.shape
    if channels == 2:
        image = np.concatenate([image, np.zeros_like(image[..., :1])], axis=2)
    mode, pixels = _MODES[channels], np.ascontiguousarray(image)
    return Image.frombuffer(mode, (width, height), pixels, "raw", mode, 0, 1)


def as_pixels(image: Image.Image, channels: int) -> Pixels:
    """Return the (h, w, channels) pixels of what `as_image` wrapped."""
    width, height = image.size
    if height <= _ROWS_AT_ONCE:
        return np.asarray(image).reshape(height, width, -1)[..., :channels]
    pixels = np.empty((height, width, channels), dtype=np.uint8)
    for top in range(0, height, _ROWS_AT_ONCE):  # Pillow holds what it hands out twice
        band = image.crop((0, top, width, min(top + _ROWS_AT_ONCE, height)))
        pixels[top : top + band.height] = as_pixels(band, channels)
    return pixels
