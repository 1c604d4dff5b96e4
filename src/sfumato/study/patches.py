"""Changes of pixels that are made when an image is read and never stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from sfumato import obfuscation
from sfumato.obfuscation import Gaussian
from sfumato.obfuscation.covering import cover, faces_of
from sfumato.study.placement import draws, elsewhere
from sfumato.study.transforms import RandomFaceObfuscation
from sfumato.types import Box, Pixels

# The longer side of a patch as a share of the image's shorter side, and its shape: a face's.
_SIDE: Final = (0.15, 0.35)
_NARROW: Final = 0.8


class Change(Protocol):
    """Returns (h, w, 3) pixels changed; the input stays."""

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return the changed pixels."""
        ...


@dataclass(frozen=True, slots=True)
class Remedied:
    """An image changed once by `RandomFaceObfuscation`, as the seed and the key draw."""

    p: float
    elsewhere: float
    methods: tuple[str, ...]
    faces: tuple[Box, ...]
    seed: int
    key: str

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return the changed pixels."""
        change = RandomFaceObfuscation(self.p, self.methods, elsewhere=self.elsewhere)
        return change.apply(pixels, self.faces, draws(self.seed, "remedy", self.key))


@dataclass(frozen=True, slots=True)
class Patch:
    """A place without a face, obfuscated; or with `method` "", the control: pasted over.

    The control takes as large a part of the same image, whose corner is at `taken` (shares of
    what there is to choose from), and lays it on with the same soft edge.
    """

    method: str
    box: Box
    taken: tuple[float, float]

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return the pixels with the patch."""
        if self.method:
            return obfuscation.make(self.method)(pixels, [self.box])
        standard = Gaussian()
        faces = faces_of([self.box], standard.expand, standard.feather)
        return cover(pixels, faces, lambda crop, _: self._part(pixels, crop))

    def _part(self, pixels: Pixels, crop: Pixels) -> Pixels:
        height, width = crop.shape[:2]
        left = int(self.taken[0] * (pixels.shape[1] - width))
        top = int(self.taken[1] * (pixels.shape[0] - height))
        return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def patch_of(
    method: str, key: str, size: tuple[int, int], faces: Sequence[Box], seed: int
) -> Patch | None:
    """Return the patch of an image of `size` (width, height), None if none fits beside its faces.

    Seed and key draw the place, which is the same for all methods and the control.
    """
    rng = draws(seed, "patch", key)
    side = float(rng.uniform(*_SIDE)) * min(size)
    taken = (float(rng.random()), float(rng.random()))
    placed = elsewhere([(0.0, 0.0, _NARROW * side, side)], faces, size, rng)
    return Patch(method, placed[0], taken) if placed else None
