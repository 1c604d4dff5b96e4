"""RetinaFace with the priors of its MobileNet0.25: boxes relative to squares of fixed sizes.

Deng, Guo, Zhou, Yu, Kotsia, Zafeiriou: "RetinaFace: Single-stage Dense Face Localisation in the
Wild", arXiv:1905.00641 (2019), as biubug6/Pytorch_Retinaface has it. Each cell (row, column) of a
grid of s pixels has two priors, squares of side m around ``p = s (column + 0.5, row + 0.5)``. With
variances v = (0.1, 0.2) and l an output of four numbers the centre is ``p + v[0] m l[:2]`` and the
sides are ``m exp(v[1] l[2:])`` (`PriorBox` in layers/functions/prior_box.py and `decode` in
utils/box_utils.py there). The score is the second of two numbers that a softmax has made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sfumato.detection.detectors.families.grids import around, cells, corners, positive, rows, share
from sfumato.detection.detectors.session import Scores, Tensor
from sfumato.types import Boxes


@dataclass(frozen=True, slots=True)
class RetinaFace:
    """Grids of `strides`; `sizes` are the sides of the priors, as many for each grid."""

    strides: tuple[int, ...] = (8, 16, 32)
    sizes: tuple[int, ...] = (16, 32, 64, 128, 256, 512)
    variances: tuple[float, ...] = (0.1, 0.2)
    overlap: float = 0.4
    roles: ClassVar[tuple[str, ...]] = ("loc", "conf")

    def __post_init__(self) -> None:
        positive(strides=self.strides, sizes=self.sizes, variances=self.variances)
        share(self.overlap)
        if len(self.sizes) % len(self.strides) or len(self.variances) != 2:
            raise ValueError("there must be as many sizes for each stride, and two variances")

    @property
    def multiple(self) -> int:
        """Return the coarsest stride."""
        return max(self.strides)

    def priors(self, padded: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return centres (n, 2) and sides (n,) of all priors, in pixels, as the outputs go."""
        each = len(self.sizes) // len(self.strides)
        centres, sides = [], []
        for i, stride in enumerate(self.strides):
            rows_, columns = cells(padded, stride)
            centre = stride * (corners(np.arange(rows_ * columns), columns) + np.float32(0.5))
            centres.append(np.repeat(centre, each, axis=0))
            sides.append(np.tile(self.sizes[i * each : (i + 1) * each], rows_ * columns))
        return np.concatenate(centres), np.concatenate(sides).astype(np.float32)

    def decode(
        self, outputs: Sequence[Tensor], padded: tuple[int, int], threshold: float
    ) -> tuple[Boxes, Scores]:
        """Decode boxes (priors, 4) and scores (priors, 2), batched or not."""
        each = len(self.sizes) // len(self.strides)
        count = each * sum(math.prod(cells(padded, stride)) for stride in self.strides)
        loc, conf = rows(outputs[0], count, 4, "loc"), rows(outputs[1], count, 2, "conf")
        index = np.flatnonzero(conf[:, 1] >= threshold)
        centres, sides = self.priors(padded)
        centre, side, offset = centres[index], sides[index, None], loc[index]
        near, far = (np.float32(v) for v in self.variances)
        boxes = around(centre + near * side * offset[:, :2], side * np.exp(far * offset[:, 2:]))
        return boxes, conf[index, 1]
