"""Where patches lie that cover no face: the same shapes, drawn at random, at places without one.

The control for "something was lost" against "the face was lost". Places depend on the seed and
the image's key alone, so they are the same for all methods, runs and machines.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sfumato.obfuscation import Gaussian
from sfumato.types import Box

_CELLS: Final = 512  # along the longer side of an image, at most


def draws(seed: int, *words: object) -> np.random.Generator:
    """Return a generator that depends on a seed and some words alone."""
    digest = hashlib.sha256("\0".join(map(str, (seed, *words))).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))


def elsewhere(
    shapes: Sequence[Box],
    avoid: Sequence[Box],
    size: tuple[int, int],
    rng: np.random.Generator,
) -> list[Box]:
    """Move boxes to random places of an image of `size` (width, height) and return them.

    Each lies inside the image; what is covered for it (the grown box and its soft edge, as the
    methods have them by default) touches no box to `avoid`, and no other patch. Every place that
    fits is equally likely, on a grid of at most 512 cells a side. A shape that fits nowhere is
    left out, so the result may be shorter.
    """
    width, height = size
    cell = max(1, math.ceil(max(width, height) / _CELLS))
    taken = np.zeros((math.ceil(height / cell), math.ceil(width / cell)), dtype=np.int32)
    for box in avoid:
        _take(taken, box, cell)
    placed: list[Box] = []
    for shape in sorted(shapes, key=lambda box: -(box[2] - box[0]) * (box[3] - box[1])):
        moved = _place(shape, taken, cell, size, rng)
        if moved is not None:
            placed.append(moved)
            _take(taken, Gaussian().reaches([moved])[0], cell)
    return placed


def _take(taken: NDArray[np.int32], box: Box, cell: int) -> None:
    left, top = (max(0, math.floor(side / cell)) for side in box[:2])
    right, bottom = (max(0, math.ceil(side / cell)) for side in box[2:])
    taken[top:bottom, left:right] = 1


def _place(
    shape: Box,
    taken: NDArray[np.int32],
    cell: int,
    size: tuple[int, int],
    rng: np.random.Generator,
) -> Box | None:
    width, height = shape[2] - shape[0], shape[3] - shape[1]
    # The box at the origin of its cell, and how many cells its cover reaches on each side.
    x0, y0, x1, y1 = Gaussian().reaches([(0.0, 0.0, width, height)])[0]
    before = (math.ceil(-y0 / cell), math.ceil(-x0 / cell))
    after = (math.ceil(y1 / cell), math.ceil(x1 / cell))
    rows = math.floor((size[1] - height) / cell) + 1  # the box itself stays inside
    columns = math.floor((size[0] - width) / cell) + 1
    if rows < 1 or columns < 1:
        return None
    grid = np.pad(taken, ((before[0], after[0]), (before[1], after[1])))
    sums = np.pad(grid.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    tall, wide = before[0] + after[0], before[1] + after[1]
    inside = (
        sums[tall : tall + rows, wide : wide + columns]
        - sums[:rows, wide : wide + columns]
        - sums[tall : tall + rows, :columns]
        + sums[:rows, :columns]
    )
    free = np.flatnonzero(inside == 0)
    if not free.size:
        return None
    row, column = divmod(int(free[rng.integers(free.size)]), inside.shape[1])
    left, top = float(column * cell), float(row * cell)
    return (left, top, left + width, top + height)
