"""YuNet: class, objectness and box on grids of three cell sizes.

Wu, Peng, Yu: "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 20
(2023) 656-665, doi:10.1007/s11633-023-1423-y. The score is ``sqrt(class * objectness)``; with a
cell of s pixels and a box b, the centre is ``s (cell + b[:2])`` and the sides are ``s exp(b[2:])``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import ClassVar, Final

import numpy as np

from sfumato.detection.detectors.families.grids import around, cells, corners, rows, share
from sfumato.detection.detectors.session import Scores, Tensor
from sfumato.types import Boxes

_CELLS: Final = (8, 16, 32)  # pixels between neighbouring cells of each grid
_WIDTHS: Final = {"cls": 1, "obj": 1, "bbox": 4}


@dataclass(frozen=True, slots=True)
class YuNet:
    """Grids of 8, 16 and 32 pixels; class and objectness are sigmoids already."""

    overlap: float = 0.45
    multiple: ClassVar[int] = 32  # it halves five times
    # All classes, then all objectnesses, then all boxes.
    roles: ClassVar[tuple[str, ...]] = tuple(f"{k}_{c}" for k, c in product(_WIDTHS, _CELLS))

    def __post_init__(self) -> None:
        share(self.overlap)

    def decode(
        self, outputs: Sequence[Tensor], padded: tuple[int, int], threshold: float
    ) -> tuple[Boxes, Scores]:
        """Decode outputs (cells, 1 or 4), batched or not; cells go row by row."""
        named = dict(zip(self.roles, outputs, strict=True))
        boxes, kept = [], []
        for cell in _CELLS:
            grid = cells(padded, cell)
            classes, objects, shapes = (
                rows(named[role], math.prod(grid), width, role)
                for role, width in ((f"{kind}_{cell}", width) for kind, width in _WIDTHS.items())
            )
            scores = np.sqrt(np.clip(classes[:, 0], 0.0, 1.0) * np.clip(objects[:, 0], 0.0, 1.0))
            index = np.flatnonzero(scores >= threshold)
            centre = cell * (corners(index, grid[1]) + shapes[index, :2])
            boxes.append(around(centre, cell * np.exp(shapes[index, 2:])))
            kept.append(scores[index])
        return np.concatenate(boxes), np.concatenate(kept)
