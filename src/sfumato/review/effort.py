"""How many more images people have to check until the answer is as narrow as wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Final

from sfumato.errors import UsageError
from sfumato.review.estimation import Stratum
from sfumato.stats import intervals

FLOOR: Final = 20  # images of each stratum at least
UNKNOWN: Final = 0.01  # share of images with missed faces before anything is known
_STEPS: Final = 60  # halvings of the search


@dataclass(frozen=True, slots=True)
class Allocation:
    """How many images of a stratum are to be checked in all, and how many more these are."""

    stratum: str
    size: int
    more: int


@dataclass(frozen=True, slots=True)
class Effort:
    """What to check. `half_width` is what to expect: half the interval, as a share of images."""

    strata: tuple[Allocation, ...]
    more: int
    half_width: float


@dataclass(frozen=True, slots=True)
class _Known:
    """A stratum as planned for: its guessed rate and the bounds of its sample."""

    population: int
    least: int
    rate: float

    def size(self, density: float) -> float:
        """Neyman's share: in proportion to the population and the deviation of one image."""
        wanted = density * self.population * sqrt(self.rate * (1 - self.rate))
        return min(max(wanted, self.least), self.population)


def plan(strata: Sequence[Stratum], half_width: float, *, least: int = FLOOR) -> Effort:
    """Return what to check so that the interval of images with missed faces is narrow enough.

    `half_width` is half the length of the overall 95 % interval as a share of all images (0.002:
    plus or minus 0.2 %). Images are shared out as by J. Neyman (1934), at least `least` a
    stratum and never fewer than are checked already. The rate of each stratum is guessed from its
    own sample, (x + 1/2) / (n + 1), that of an unsampled one from all (or 1 %); the more it is
    wrong, the more the width differs from what was wanted. A width is reached at the
    latest when all are checked.

    Raises:
        UsageError: the wanted width isn't in (0, 0.5], or there is no image.
    """
    population = sum(stratum.population for stratum in strata)
    if not 0 < half_width <= 0.5 or not population:
        raise UsageError("a half width lies above 0 and at most at 50 %, of at least one image.")
    known = [_known(stratum, _rate(strata), least) for stratum in strata]
    low, high = 0.0, 1.0
    while _width(known, [k.size(high) for k in known]) > half_width * population:
        high *= 2
    for _ in range(_STEPS):
        middle = (low + high) / 2
        wide = _width(known, [k.size(middle) for k in known]) > half_width * population
        low, high = (middle, high) if wide else (low, middle)
    sizes = [ceil(k.size(high) - 1e-6) for k in known]
    allocations = tuple(
        Allocation(s.name, size, max(size - s.checked, 0))
        for s, size in zip(strata, sizes, strict=True)
    )
    expected = _width(known, [float(size) for size in sizes]) / population
    return Effort(allocations, sum(a.more for a in allocations), expected)


def _rate(strata: Sequence[Stratum]) -> float:
    checked = sum(stratum.checked for stratum in strata)
    if not checked:
        return UNKNOWN
    return (sum(stratum.with_missed for stratum in strata) + 0.5) / (checked + 1)


def _known(stratum: Stratum, overall: float, least: int) -> _Known:
    own = (stratum.with_missed + 0.5) / (stratum.checked + 1) if stratum.checked else overall
    sampled = min(max(least, stratum.checked, 1), stratum.population)
    return _Known(stratum.population, sampled, own)


def _width(known: Sequence[_Known], sizes: Sequence[float]) -> float:
    """Return half the width to expect, in images: the gamma interval of what is to be found."""
    total = variance = stands = 0.0
    for stratum, size in zip(known, sizes, strict=True):
        if size >= stratum.population:
            continue
        weight = (stratum.population - size) / size
        total += weight * size * stratum.rate
        variance += weight * (weight + 1) * size * stratum.rate
        stands = max(stands, weight)
    low, high = intervals.gamma(total, variance, (stands, stands * (stands + 1)))
    return (high - low) / 2
