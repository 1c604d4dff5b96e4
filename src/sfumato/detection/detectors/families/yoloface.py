"""YOLOv5-face, YOLOv8-face and their kin: one tensor whose rows are finished boxes.

Each row is ``x y w h`` (centre and sides in pixels of the network image) and then confidences,
landmarks and classes in an order that differs: YOLOv5-face (Qi, Tan, Yao, Liu, arXiv:2105.12931)
gives 16 numbers, objectness at 4, ten landmark coordinates, class at 15, and the score is
objectness times class (`non_max_suppression_face` in utils/general.py of
deepcam-cn/yolov5-face). YOLOv8-face gives 5 or more with the confidence at 4, laid out as columns
(derronqi/yolov8-face; `non_max_suppression` in utils/ops.py of Ultralytics). Many of these
networks come under the AGPL: say so under `licence`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sfumato.detection.detectors.families.grids import around, positive, share
from sfumato.detection.detectors.session import Scores, Tensor
from sfumato.types import Boxes


@dataclass(frozen=True, slots=True)
class YoloFace:
    """`scores` are the places in a row whose numbers, multiplied, are the score: [4] or [4, 15].

    With `columns`, the tensor has the rows as its columns. `strides` only say what the sides of
    the network image are a multiple of.
    """

    scores: tuple[int, ...] = (4,)
    columns: bool = False
    strides: tuple[int, ...] = (8, 16, 32)
    overlap: float = 0.45
    roles: ClassVar[tuple[str, ...]] = ("rows",)

    def __post_init__(self) -> None:
        positive(strides=self.strides)
        share(self.overlap)
        if not self.scores or min(self.scores) < 4:
            raise ValueError(f"scores must be places from 4 on, after the box, got {self.scores}")

    @property
    def multiple(self) -> int:
        """Return the coarsest stride."""
        return max(self.strides)

    def decode(
        self, outputs: Sequence[Tensor], padded: tuple[int, int], threshold: float
    ) -> tuple[Boxes, Scores]:
        """Decode (1, rows, numbers), or with `columns` (1, numbers, rows)."""
        del padded  # the boxes are finished
        (output,) = outputs
        table = output[0] if output.ndim == 3 and output.shape[0] == 1 else output
        table = table.T if self.columns and table.ndim == 2 else table
        if table.ndim != 2 or table.shape[1] <= max(self.scores):
            raise ValueError(
                f"the output for 'rows' has the shape {output.shape}, where rows of at least "
                f"{max(self.scores) + 1} numbers were expected (`columns` turns it)"
            )
        scores = np.prod(table[:, self.scores], axis=1, dtype=np.float32)
        index = np.flatnonzero(scores >= threshold)
        return around(table[index, :2], table[index, 2:4]), scores[index]
