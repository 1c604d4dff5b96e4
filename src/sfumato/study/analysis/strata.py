"""Which part of the images each image is in, and which stratum of that part.

Images of a test set come class by class: new ones would be as many of each class, so what lies
between classes is no chance. Parts are what is estimated, strata what is taken as given in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

FEW: Final = 5  # images, below which a stratum isn't one of its own


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Parts of the images, each cut by strata into cells.

    `inside` picks the images that are in a part; `part` and `cell` (n,) are theirs. `images` and
    `free` (parts,) are the images of each part, and those less its cells: the degrees of freedom
    within cells, 1 at least. `cell_part` and `cell_images` (cells,) say what a cell is.
    """

    inside: Any
    number: int
    part: NDArray[np.intp]
    images: NDArray[np.intp]
    free: NDArray[np.intp]
    cell: NDArray[np.intp]
    cell_part: NDArray[np.intp]
    cell_images: NDArray[np.intp]

    @classmethod
    def of(cls, parts: NDArray[Any], number: int, strata: NDArray[Any] | None = None) -> Layout:
        """Cut `number` parts by strata; parts (n,) has -1 for images in none.

        `strata` (n,) are whole numbers from 0. Those of fewer than FEW of a part's images are one
        stratum together: what varies within them can't be told well, and what lies between them
        then counts as chance, which errs towards too wide (Cochran 1977, Sampling Techniques,
        section 5A.12, collapsed strata).
        """
        within = np.asarray(parts) >= 0
        # All images of a thousand classes needn't be copied a thousand times.
        inside: Any = slice(None) if within.all() else within
        part = np.asarray(parts)[inside].astype(np.intp, copy=False)
        images = np.bincount(part, minlength=number)
        stratum = np.zeros_like(part) if strata is None else np.asarray(strata)[inside]
        width = int(stratum.max(initial=0)) + 2
        cell = part * width + stratum + 1
        _, place, sizes = np.unique(cell, return_inverse=True, return_counts=True)
        cell = np.where(sizes[place] < FEW, part * width, cell)
        used, place, sizes = np.unique(cell, return_inverse=True, return_counts=True)
        owner = used // width
        free = np.maximum(images - np.bincount(owner, minlength=number), 1)
        return cls(inside, number, part, images, free, place, owner, sizes)

    def sums(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return each part's sum of values (n,)."""
        weights = np.asarray(values, dtype=np.float64)
        return np.bincount(self.part, weights, minlength=self.number).astype(np.float64)

    def by_cell(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return each cell's sum of values (n,)."""
        return np.bincount(self.cell, values, minlength=len(self.cell_part)).astype(np.float64)

    def joined(self, cells: NDArray[Any]) -> NDArray[np.float64]:
        """Return each part's sum over its cells (cells,)."""
        found = np.bincount(self.cell_part, cells, minlength=self.number)
        return found.astype(np.float64)

    def scatter(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return each cell's sum of squares of values (n,) about its mean."""
        squares = np.square(self.by_cell(values)) / self.cell_images
        return np.maximum(self.by_cell(np.square(values)) - squares, 0)

    def spread(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return each part's variance of values (n,) over all of its images, whatever the cell."""
        n = np.maximum(self.images, 1)
        squares = self.sums(np.square(values)) - np.square(self.sums(values)) / n
        found: NDArray[np.float64] = np.maximum(squares, 0) / np.maximum(n - 1, 1)
        return found

    def variance(self, scatter: NDArray[Any]) -> NDArray[np.float64]:
        """Return each part's variance within cells, of the cells' sums of squares (cells,).

        sum(n s²)/sum(n) over cells of two images or more: a cell counts as its images do, and one
        image, of which no variance is known, has that of the others.
        """
        several = self.cell_images > 1
        weights = np.where(several, self.cell_images / np.maximum(self.cell_images - 1, 1), 0)
        known = np.maximum(self.joined(self.cell_images * several), 1)
        return np.asarray(self.joined(weights * scatter) / known)
