"""YuNet: class, objectness and box on three grids; the formula is `sfumato.detectors.yunet`'s.

Wu, Peng, Yu: "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 20
(2023) 656-665, doi:10.1007/s11633-023-1423-y.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sfumato.detectors import yunet
from sfumato.detectors.families.grids import cells, rows, share
from sfumato.detectors.session import Scores, Tensor
from sfumato.types import Boxes

_WIDTHS = {"cls": 1, "obj": 1, "bbox": 4}


@dataclass(frozen=True, slots=True)
class YuNet:
    """Grids of 8, 16 and 32 pixels; class and objectness are sigmoids already."""

    overlap: float = 0.45

    def __post_init__(self) -> None:
        share(self.overlap)

    @property
    def multiple(self) -> int:
        """Return 32: it halves five times."""
        return 32

    @property
    def roles(self) -> tuple[str, ...]:
        """Return the outputs: all classes, then all objectnesses, then all boxes."""
        return tuple(f"{kind}_{cell}" for kind in _WIDTHS for cell in yunet.CELLS)

    def decode(
        self, outputs: Sequence[Tensor], padded: tuple[int, int], threshold: float
    ) -> tuple[Boxes, Scores]:
        """Decode outputs (1, cells, 1 or 4)."""
        shaped = []
        for role, output in zip(self.roles, outputs, strict=True):
            kind, _, cell = role.partition("_")
            count = math.prod(cells(padded, int(cell)))
            shaped.append(rows(output, count, _WIDTHS[kind], role)[None])
        return yunet.decode(shaped, padded, threshold)
