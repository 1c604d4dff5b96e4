"""CenterFace: heat, scale and offset on one grid; the formula is `sfumato.detectors.centerface`'s.

Xu, Yan, Yang, Luo, Wang: "CenterFace: Joint Face Detection and Alignment Using Face as Point",
arXiv:1911.03599 (2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sfumato.detectors import centerface
from sfumato.detectors.families.grids import cells, share
from sfumato.detectors.session import Scores, Tensor
from sfumato.types import Boxes

_PLANES = (1, 2, 2)


@dataclass(frozen=True, slots=True)
class CenterFace:
    """One grid of 4 pixels; heat is a sigmoid already, scale and offset have y before x."""

    overlap: float = 0.3

    def __post_init__(self) -> None:
        share(self.overlap)

    @property
    def multiple(self) -> int:
        """Return 32: it halves five times."""
        return 32

    @property
    def roles(self) -> tuple[str, ...]:
        """Return the outputs."""
        return ("heat", "scale", "offset")

    def decode(
        self, outputs: Sequence[Tensor], padded: tuple[int, int], threshold: float
    ) -> tuple[Boxes, Scores]:
        """Decode planes (1, 1 or 2, rows, columns)."""
        grid = cells(padded, centerface.CELL)
        for role, output, planes in zip(self.roles, outputs, _PLANES, strict=True):
            if output.shape != (1, planes, *grid):
                raise ValueError(
                    f"the output for {role!r} has the shape {output.shape}, where "
                    f"{(1, planes, *grid)} was expected"
                )
        return centerface.decode(outputs, padded, threshold)
