"""Where a difference comes from: by class, super-category, obfuscated area and overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sfumato.stats.bootstrap import Group
from sfumato.stats.comparison import holm
from sfumato.study.analysis.estimates import FEWEST, Estimate, contrast, contrasts
from sfumato.types import JSON

# Shares of the image's area, or of the object's box: the first bin is nothing at all.
AREA_EDGES: Final = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 1.0)
OVERLAP_EDGES: Final = (0.0, 0.1, 0.3, 0.6, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Difference:
    """The groups whose sum is a difference, and each image's mean (n,) before and after it."""

    groups: Sequence[Group]
    before: NDArray[np.float64]
    after: NDArray[np.float64]

    def levels(self, inside: NDArray[np.bool_]) -> tuple[float, float]:
        """Return the two means over some images, NaN without one."""
        if not inside.any():
            return float("nan"), float("nan")
        return float(self.before[inside].mean()), float(self.after[inside].mean())

    def levels_by(self, parts: NDArray[Any], number: int) -> list[tuple[float, float]]:
        """Return the two means in each part, NaN in an empty one."""
        inside = parts >= 0
        n = np.bincount(parts[inside], minlength=number)
        with np.errstate(invalid="ignore"):
            before, after = (
                np.bincount(parts[inside], side[inside], minlength=number) / n
                for side in (self.before, self.after)
            )
        return [(float(a), float(b)) for a, b in zip(before, after, strict=True)]


@dataclass(frozen=True, slots=True)
class Subset:
    """The difference on some of the images; `p_holm` is corrected for all subsets beside it.

    `before` and `after` are the two accuracies.
    """

    name: str
    found: Estimate
    before: float
    after: float
    p_holm: float

    @property
    def is_small(self) -> bool:
        """Tell whether there are too few images for its figures to say much."""
        return self.found.n < FEWEST

    def summary(self) -> JSON:
        """Return the subset for `study.json`."""
        made: JSON = {"name": self.name, **self.found.summary()}
        made["p_holm"] = self.p_holm if np.isfinite(self.p_holm) else None
        for name, value in (("before", self.before), ("after", self.after)):
            made[name] = 100 * value if np.isfinite(value) else None
        if self.is_small:
            made["note"] = f"fewer than {FEWEST} images"
        return made


def by_part(whole: Difference, parts: NDArray[Any], names: Sequence[str]) -> list[Subset]:
    """Return the difference in each part that has an image; parts (n,) index the names."""
    found = contrasts(whole.groups, parts, len(names))
    levels = whole.levels_by(parts, len(names))
    used = [k for k in range(len(names)) if found[k].n]
    corrected = _corrected([found[k] for k in used])
    return [Subset(names[k], found[k], *levels[k], p) for k, p in zip(used, corrected, strict=True)]


def by_membership(
    whole: Difference, members: Mapping[str, NDArray[np.bool_]], strata: NDArray[Any]
) -> list[Subset]:
    """Return the difference in subsets that may share images; empty ones are left out.

    Subsets hold whole strata (n,), the classes.
    """
    used = {name: inside for name, inside in members.items() if inside.any()}
    found = [
        contrast(
            [Group(g.weight, g.values[:, inside], g.fixed) for g in whole.groups], strata[inside]
        )
        for inside in used.values()
    ]
    return [
        Subset(name, estimate, *whole.levels(inside), p)
        for (name, inside), estimate, p in zip(used.items(), found, _corrected(found), strict=True)
    ]


def by_share(whole: Difference, shares: NDArray[Any], edges: Sequence[float]) -> list[Subset]:
    """Return the difference by a share in [0, 1]: none, then bins closed above; NaN is left out."""
    names = ["none", *(f"{100 * a:g}–{100 * b:g} %" for a, b in pairwise(edges))]
    parts = np.searchsorted(np.asarray(edges), np.nan_to_num(shares, nan=-1), side="left")
    return by_part(whole, np.where(np.isnan(shares), -1, parts), names)


def by_affected(whole: Difference, affected: NDArray[np.bool_]) -> list[Subset]:
    """Return the difference on images with an obfuscated region and on those without."""
    names = ("with an obfuscated region", "without")
    return by_part(whole, np.where(affected, 0, 1), names)


def _corrected(found: Sequence[Estimate]) -> list[float]:
    """Return Holm's p over those that have one; the others stay NaN."""
    tested = [k for k, estimate in enumerate(found) if estimate.is_estimable]
    corrected = [float("nan")] * len(found)
    for k, p in zip(tested, holm([found[k].cautious_p for k in tested]), strict=True):
        corrected[k] = p
    return corrected
