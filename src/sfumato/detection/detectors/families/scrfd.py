"""SCRFD (InsightFace): distances from the corner of a cell to the four sides of a box.

Guo, Deng, Lattas, Zafeiriou: "Sample and Computation Redistribution for Efficient Face
Detection", arXiv:2105.04714 (2021). With a cell at (column, row) of a grid of s pixels, distances
d = (left, top, right, bottom) and the point p = s (column, row), the box is
``p - s d[:2] … p + s d[2:]``: `distance2bbox` and `SCRFD.forward` in the file
detection/scrfd/tools/scrfd.py of deepinsight/insightface. Scores are sigmoids already.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sfumato.detection.detectors.families.grids import cells, corners, positive, rows, share
from sfumato.detection.detectors.session import Scores, Tensor
from sfumato.types import Boxes


@dataclass(frozen=True, slots=True)
class Scrfd:
    """One grid for each stride; the `anchors` of a cell follow one another."""

    strides: tuple[int, ...] = (8, 16, 32)
    anchors: int = 2
    overlap: float = 0.4

    def __post_init__(self) -> None:
        positive(strides=self.strides, anchors=(self.anchors,))
        share(self.overlap)

    @property
    def multiple(self) -> int:
        """Return the coarsest stride."""
        return max(self.strides)

    @property
    def roles(self) -> tuple[str, ...]:
        """Return the outputs: scores of each stride, then boxes of each stride."""
        return tuple(f"{kind}_{stride}" for kind in ("score", "bbox") for stride in self.strides)

    def decode(
        self, outputs: Sequence[Tensor], padded: tuple[int, int], threshold: float
    ) -> tuple[Boxes, Scores]:
        """Decode scores (cells x anchors, 1) and distances (cells x anchors, 4), batched or not."""
        boxes, kept = [], []
        for i, stride in enumerate(self.strides):
            grid = cells(padded, stride)
            count = math.prod(grid) * self.anchors
            scores = rows(outputs[i], count, 1, self.roles[i])[:, 0]
            place = i + len(self.strides)
            distances = rows(outputs[place], count, 4, self.roles[place])
            index = np.flatnonzero(scores >= threshold)
            point = stride * corners(index // self.anchors, grid[1])
            d = stride * distances[index]
            boxes.append(np.concatenate((point - d[:, :2], point + d[:, 2:]), axis=1))
            kept.append(scores[index])
        return np.concatenate(boxes, dtype=np.float32), np.concatenate(kept)
