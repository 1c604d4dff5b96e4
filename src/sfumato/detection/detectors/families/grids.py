"""Grids of cells over a network image, and outputs that have as many rows as such a grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sfumato.detection.detectors.session import Tensor


def rows(output: Tensor, count: int, width: int, role: str) -> NDArray[np.float32]:
    """Return an output as (count, width), whether or not it has an axis for the batch.

    Raises `ValueError` if it has another number of rows or columns, naming its role.
    """
    shape = output.shape[1:] if output.ndim == 3 and output.shape[0] == 1 else output.shape
    if shape != (count, width):
        raise ValueError(
            f"the output for {role!r} has the shape {output.shape}, where {count} rows of {width} "
            "were expected"
        )
    return output.reshape(count, width)


def cells(padded: tuple[int, int], stride: int) -> tuple[int, int]:
    """Return rows and columns of cells of `stride` pixels in a padded (height, width)."""
    return -(-padded[0] // stride), -(-padded[1] // stride)


def corners(index: NDArray[np.intp], columns: int) -> NDArray[np.float32]:
    """Return (column, row) of cells that are counted row by row, as (n, 2)."""
    return np.stack((index % columns, index // columns), axis=1).astype(np.float32)


def around(centre: NDArray[np.float32], sides: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return boxes (n, 4) from centres and sides (n, 2), x before y."""
    return np.concatenate((centre - sides / 2, centre + sides / 2), axis=1, dtype=np.float32)


def positive(**settings: tuple[float, ...]) -> None:
    """Raise `ValueError` unless every number of these settings is above zero."""
    for name, numbers in settings.items():
        if not numbers or not all(number > 0 for number in numbers):
            raise ValueError(f"{name} must be above zero, got {numbers}")


def share(overlap: float) -> None:
    """Raise `ValueError` unless an IoU above which boxes are doubles lies in (0, 1)."""
    if not 0 < overlap < 1:
        raise ValueError(f"overlap must lie between 0 and 1, got {overlap}")
