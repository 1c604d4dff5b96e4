"""Crops around boxes, enlarged or shrunk until what is in the box has a wanted size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from sfumato.types import Box, Boxes, Pixels


@dataclass(frozen=True, slots=True)
class View:
    """How to look at a box: a square of `side` pixels in which it measures `face` pixels.

    The size of a box is the square root of its area. `turns` are quarter turns anticlockwise.
    """

    side: int
    face: float
    turns: int = 0


@dataclass(frozen=True, slots=True)
class Crop:
    """A square (side, side, 3) of an image, and where it lies: corner and pixels a pixel."""

    pixels: Pixels
    x: float
    y: float
    scale: float
    turns: int

    def outward(self, boxes: Boxes) -> Boxes:
        """Map boxes (n, 4) from the crop, turned as it is, into the image."""
        straight = unturned(boxes, self.turns, len(self.pixels))
        corner = np.array([self.x, self.y] * 2, dtype=np.float32)
        return straight / np.float32(self.scale) + corner


def crop(image: Pixels, box: Box, view: View) -> Crop:
    """Cut the view of a box out of an RGB image; what lies outside the image is black."""
    side = view.side
    scale = view.face / math.sqrt(max((box[2] - box[0]) * (box[3] - box[1]), 1.0))
    half = side / 2 / scale
    x, y = (box[0] + box[2]) / 2 - half, (box[1] + box[3]) / 2 - half
    filled = np.zeros((side, side, 3), dtype=np.uint8)
    across = _inside(x, scale, side, image.shape[1])
    down = _inside(y, scale, side, image.shape[0])
    if across and down:
        part = filled[down.first : down.last, across.first : across.last]
        seen = np.ascontiguousarray(
            image[down.pixels[0] : down.pixels[1], across.pixels[0] : across.pixels[1]]
        )
        how = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
        region = (across.exact[0], down.exact[0], across.exact[1], down.exact[1])
        size = (part.shape[1], part.shape[0])
        part[...] = np.asarray(Image.fromarray(seen).resize(size, how, box=region))
    turned = np.ascontiguousarray(np.rot90(filled, view.turns)) if view.turns else filled
    return Crop(turned, x, y, scale, view.turns)


def stretched(pixels: Pixels) -> Pixels:
    """Return a crop with its contrast stretched and its shadows lifted a little.

    The grey levels between which 96 % of the values lie come to fill the range; then a gamma of
    0.8. Black borders beyond the image stay black.
    """
    counts = np.bincount(pixels.reshape(-1), minlength=256)
    counts[0] = 0  # what is beyond the image, and what is as black
    share = np.cumsum(counts) / max(int(counts.sum()), 1)
    low, high = np.searchsorted(share, (0.02, 0.98))
    levels = (np.arange(256, dtype=np.float32) - low) / max(int(high - low), 8)
    table = (255 * levels.clip(0, 1) ** np.float32(0.8)).astype(np.uint8)
    bright: Pixels = table[pixels]
    return bright


@dataclass(frozen=True, slots=True)
class _Span:
    """Along one axis: pixels of the crop that show the image, and which of it they show."""

    first: int
    last: int
    pixels: tuple[int, int]  # of the image
    exact: tuple[float, float]  # counted from the first of these


def _inside(start: float, scale: float, side: int, length: int) -> _Span | None:
    first = max(0, math.ceil(-start * scale))
    last = min(side, math.floor((length - start) * scale))
    if last <= first:
        return None
    low, high = max(start + first / scale, 0.0), min(start + last / scale, float(length))
    whole = (math.floor(low), math.ceil(high))
    return _Span(first, last, whole, (low - whole[0], high - whole[0]))


def unturned(boxes: Boxes, turns: int, side: int) -> Boxes:
    """Turn boxes (n, 4) of a square back by quarter turns clockwise."""
    for _ in range(turns % 4):
        x0, y0, x1, y1 = boxes.T
        boxes = np.stack((side - y1, x0, side - y0, x1), axis=1)
    return boxes
