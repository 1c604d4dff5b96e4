"""From the pixels of an image to what a network takes: shorter side, centre, mean, deviation.

With Pillow and NumPy alone; the same numbers as torchvision's Resize, CenterCrop and Normalize on
Pillow images (a test compares them where torchvision can be imported).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.errors import UsageError
from sfumato.types import Box, Pixels

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION: Final = (0.229, 0.224, 0.225)
_FILTERS: Final = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}


@dataclass(frozen=True, slots=True)
class Preparation:
    """The shorter side becomes `resize`, the `size` by `size` centre is kept; values as 0..1.

    Then `mean` is taken away and what is left divided by `deviation`, for each of R, G and B.
    """

    size: int = 224
    resize: int = 256
    mean: tuple[float, float, float] = IMAGENET_MEAN
    deviation: tuple[float, float, float] = IMAGENET_DEVIATION
    filter: str = "bilinear"

    def __post_init__(self) -> None:
        if not 0 < self.size <= self.resize:
            raise UsageError(f"size {self.size} must be above 0 and at most resize {self.resize}.")
        if self.filter not in _FILTERS:
            raise UsageError(f"unknown filter {self.filter!r}: choose from {', '.join(_FILTERS)}.")

    def window(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Return the resized width and height, and the left and top of the part that is kept.

        As torchvision has them: the longer side is cut off to a whole number, the corner rounded.
        """
        short, long = min(width, height), max(width, height)
        longer = int(self.resize * long / short)
        wide, tall = (longer, self.resize) if width >= height else (self.resize, longer)
        return wide, tall, round((wide - self.size) / 2.0), round((tall - self.size) / 2.0)

    def cut(self, pixels: Pixels) -> Pixels:
        """Return the (size, size, 3) part of (h, w, 3) pixels that the network sees."""
        wide, tall, left, top = self.window(pixels.shape[1], pixels.shape[0])
        image = Image.fromarray(np.ascontiguousarray(pixels))
        image = image.resize((wide, tall), _FILTERS[self.filter])
        return np.asarray(image.crop((left, top, left + self.size, top + self.size)))

    def numbers(self, pixels: Pixels) -> NDArray[np.float32]:
        """Return (3, h, w) float32 of (h, w, 3) pixels that have been cut."""
        mean = np.asarray(self.mean, dtype=np.float32) * 255
        deviation = np.asarray(self.deviation, dtype=np.float32) * 255
        scaled = (pixels.astype(np.float32) - mean) / deviation
        return np.ascontiguousarray(scaled.transpose(2, 0, 1))

    def prepare(self, pixels: Pixels) -> NDArray[np.float32]:
        """Return the (3, size, size) input for (h, w, 3) pixels."""
        return self.numbers(self.cut(pixels))

    def moved(self, box: Box, width: int, height: int) -> Box:
        """Return where a box of an image of this size lies in the cut part; may lie outside."""
        wide, tall, left, top = self.window(width, height)
        x, y = wide / width, tall / height
        return (box[0] * x - left, box[1] * y - top, box[2] * x - left, box[3] * y - top)


def random_cut(
    pixels: Pixels, size: int, smallest: float, rng: np.random.Generator, *, flip: bool
) -> Pixels:
    """Return a random part of (h, w, 3) pixels, resized to (size, size, 3), mirrored half the time.

    As RandomResizedCrop (Szegedy et al. 2015, Going deeper with convolutions, section 6): of the
    area a uniform share from `smallest` to 1, the logarithm of the sides' ratio uniform between
    3:4 and 4:3; ten tries, then the largest part at the centre that has such a ratio.
    """
    left, top, wide, tall = _random_window(pixels.shape[1], pixels.shape[0], smallest, rng)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    part = image.resize(
        (size, size), Image.Resampling.BILINEAR, box=(left, top, left + wide, top + tall)
    )
    result = np.asarray(part)
    return result[:, ::-1] if flip and rng.random() < 0.5 else result


def _random_window(
    width: int, height: int, smallest: float, rng: np.random.Generator
) -> tuple[int, int, int, int]:
    low, high = np.log(3 / 4), np.log(4 / 3)
    for _ in range(10):
        area = width * height * rng.uniform(smallest, 1.0)
        ratio = float(np.exp(rng.uniform(low, high)))
        wide, tall = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
        if 0 < wide <= width and 0 < tall <= height:
            left = int(rng.integers(width - wide + 1))
            return left, int(rng.integers(height - tall + 1)), int(wide), int(tall)
    wide, tall = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
    return (width - wide) // 2, (height - tall) // 2, wide, tall
