"""BlazeFace (MediaPipe): boxes in pixels around the centres of cells, several for each cell.

Bazarevsky, Kartynnik, Vakunov, Raveendran, Grundmann: "BlazeFace: Sub-millisecond Neural Face
Detection on Mobile GPUs", arXiv:1907.05047 (2019). With a cell (column, row) of a grid of s pixels
and an output r of 16 numbers, the centre is ``s (column + 0.5, row + 0.5) + r[:2]`` and the sides
are ``r[2:4]``, since all anchors have the side 1 (`fixed_anchor_size`): ssd_anchors_calculator.cc
and tensors_to_detections_calculator.cc of google-ai-edge/mediapipe, with the settings of
modules/face_detection. The score is the sigmoid of the other output, cut to ±100.

| range | network image | grids of pixels: anchors a cell |
|---|---|---|
| short | 128 | 8: 2, 16: 6 |
| back | 256 | 16: 2, 32: 6 |
| full | 192 | 4: 1 |
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from sfumato.detection.detectors.families.grids import around, cells, corners, rows, share
from sfumato.detection.detectors.session import Scores, Tensor
from sfumato.types import Boxes

# Pixels a cell, and anchors of each.
RANGES: Final[Mapping[str, Mapping[int, int]]] = MappingProxyType(
    {"short": {8: 2, 16: 6}, "back": {16: 2, 32: 6}, "full": {4: 1}}
)
_LARGEST: Final = 100.0  # score_clipping_thresh


@dataclass(frozen=True, slots=True)
class BlazeFace:
    """`range` names the grids; with `joined`, all of them are in one output, finest first."""

    range: str = "back"
    joined: bool = False
    overlap: float = 0.3
    multiple: ClassVar[int] = 32  # the network of the full range halves five times as well

    def __post_init__(self) -> None:
        share(self.overlap)
        if self.range not in RANGES:
            raise ValueError(f"range must be one of {', '.join(RANGES)}, got {self.range!r}")

    @property
    def roles(self) -> tuple[str, ...]:
        """Return the outputs: scores, then boxes; of each grid unless they are joined."""
        if self.joined:
            return ("score", "box")
        return tuple(f"{kind}_{cell}" for kind in ("score", "box") for cell in RANGES[self.range])

    def centres(self, padded: tuple[int, int]) -> list[NDArray[np.float32]]:
        """Return the centres (n, 2) of the anchors of each grid, in pixels, as the outputs go."""
        found = []
        for cell, anchors in RANGES[self.range].items():
            grid = cells(padded, cell)
            centre = cell * (corners(np.arange(math.prod(grid)), grid[1]) + np.float32(0.5))
            found.append(np.repeat(centre, anchors, axis=0))
        return found

    def decode(
        self, outputs: Sequence[Tensor], padded: tuple[int, int], threshold: float
    ) -> tuple[Boxes, Scores]:
        """Decode scores (anchors, 1) and boxes (anchors, 16), batched or not."""
        grids = self.centres(padded)
        if self.joined:
            grids = [np.concatenate(grids)]
        boxes, kept = [], []
        for i, centres in enumerate(grids):
            place = i + len(grids)
            raw = rows(outputs[i], len(centres), 1, self.roles[i])[:, 0]
            shape = rows(outputs[place], len(centres), 16, self.roles[place])
            logits = np.clip(raw.astype(np.float64), -_LARGEST, _LARGEST)  # e^100 is no float32
            scores = 1 / (1 + np.exp(-logits))
            index = np.flatnonzero(scores >= threshold)
            boxes.append(around(centres[index] + shape[index, :2], shape[index, 2:4]))
            kept.append(scores[index])
        return np.concatenate(boxes), np.concatenate(kept, dtype=np.float32)
