"""From an image to the input of a described network, and the way back for boxes.

The image keeps its proportions: its longer side gets a fixed length, or it is made to fit into
the one size that a network takes. What is left of the network image is filled.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from sfumato.detection.detectors.description import Input
from sfumato.detection.detectors.session import Tensor, scaled_size, tensor
from sfumato.types import Boxes, Pixels


@dataclass(frozen=True, slots=True)
class Canvas:
    """Where an image lies in a network image: all in pixels, (width, height) or (x, y)."""

    image: tuple[int, int]
    scaled: tuple[int, int]
    padded: tuple[int, int]
    offset: tuple[int, int]

    def back(self, boxes: Boxes) -> Boxes:
        """Map boxes of the network image to the image, by the exact ratios."""
        ratio = np.array(
            [self.image[0] / self.scaled[0], self.image[1] / self.scaled[1]] * 2,
            dtype=np.float32,
        )
        mapped: Boxes = (boxes - np.array(self.offset * 2, dtype=np.float32)) * ratio
        return mapped


def lay(image: tuple[int, int], long_side: int, shape: Input, multiple: int) -> Canvas:
    """Return where an image of (width, height) goes; a fixed size goes before `long_side`."""
    side = long_side if shape.size is None else _fitting(image, shape.size)
    scaled = scaled_size(*image, side)
    padded = shape.size or (
        -(-scaled[0] // multiple) * multiple,
        -(-scaled[1] // multiple) * multiple,
    )
    if shape.align == "centre":
        offset = ((padded[0] - scaled[0]) // 2, (padded[1] - scaled[1]) // 2)
    else:
        offset = (0, 0)
    return Canvas(image, scaled, padded, offset)


def _fitting(image: tuple[int, int], size: tuple[int, int]) -> int:
    """Return the longer side that an image may have to lie inside a size, at least 1."""
    width, height = image
    if width >= height:
        return max(1, min(size[0], size[1] * width // height))
    return max(1, min(size[1], size[0] * height // width))


def fill(image: Pixels, canvas: Canvas, shape: Input) -> Tensor:
    """Return the input for one RGB image: (1, 3, height, width), or (1, height, width, 3)."""
    width, height = canvas.scaled
    x, y = canvas.offset
    plain = shape.fill == x == y == 0
    window = (0, 0, *(canvas.padded if plain else canvas.scaled))
    filled = tensor(image, max(canvas.scaled), order=shape.order, window=window)
    if not plain:
        part, filled = filled, np.full((1, 3, *canvas.padded[::-1]), shape.fill, dtype=np.float32)
        filled[:, :, y : y + height, x : x + width] = part
    mean, scale = _channelwise(shape.mean), _channelwise(shape.scale)
    if shape.mean != (0.0, 0.0, 0.0):
        filled -= mean
    if shape.scale != (1.0, 1.0, 1.0):
        filled *= scale
    if shape.layout == "NHWC":
        return np.ascontiguousarray(filled.transpose(0, 2, 3, 1))
    return filled


@cache
def _channelwise(numbers: tuple[float, float, float]) -> NDArray[np.float32]:
    return np.array(numbers, dtype=np.float32).reshape(1, 3, 1, 1)
