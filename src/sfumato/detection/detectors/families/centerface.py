"""CenterFace: an anchor-free detector that marks the centres of faces on one fine grid.

Xu, Yan, Yang, Luo, Wang: "CenterFace: Joint Face Detection and Alignment Using Face as Point",
arXiv:1911.03599 (2019). With a cell (column, row), sides are ``4 exp(scale)`` and the centre is
``4 (cell + offset + 0.5)`` (section 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from sfumato.detection.detectors.families.grids import cells, share
from sfumato.detection.detectors.session import Scores, Tensor
from sfumato.types import Boxes

_CELL: Final = 4  # pixels between neighbouring cells of the grid
_PLANES: Final = (1, 2, 2)


@dataclass(frozen=True, slots=True)
class CenterFace:
    """One grid of 4 pixels; heat is a sigmoid already, scale and offset have y before x."""

    overlap: float = 0.3
    multiple: ClassVar[int] = 32  # it halves five times
    roles: ClassVar[tuple[str, ...]] = ("heat", "scale", "offset")

    def __post_init__(self) -> None:
        share(self.overlap)

    def decode(
        self, outputs: Sequence[Tensor], padded: tuple[int, int], threshold: float
    ) -> tuple[Boxes, Scores]:
        """Decode planes (1, 1 or 2, rows, columns); cells of this heat and above are kept."""
        grid = cells(padded, _CELL)
        for role, output, planes in zip(self.roles, outputs, _PLANES, strict=True):
            if output.shape != (1, planes, *grid):
                raise ValueError(
                    f"the output for {role!r} has the shape {output.shape}, where "
                    f"{(1, planes, *grid)} was expected"
                )
        heat, scale, offset = (output[0] for output in outputs)
        rows, columns = np.nonzero(heat[0] >= threshold)
        heights, widths = _CELL * np.exp(scale[:, rows, columns])
        down, right = _CELL * (offset[:, rows, columns] + np.float32(0.5))
        x, y = _CELL * columns + right, _CELL * rows + down
        half_width, half_height = widths / 2, heights / 2
        sides = (x - half_width, y - half_height, x + half_width, y + half_height)
        return np.stack(sides, axis=1).astype(np.float32), heat[0, rows, columns]
