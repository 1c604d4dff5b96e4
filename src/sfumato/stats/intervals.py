"""How sure a figure is: 95 % intervals of shares, counts and sums of rare events, by formula.

Those of figures whose images depend on each other are drawn: `bootstrap`. What is exact and
needs more than arithmetic needs SciPy (`sfumato[review]`). All are two-sided; `level` is what they
cover at least (exact) or about (Wilson, gamma).

- E. B. Wilson, Journal of the American Statistical Association 22 (1927), 209-212: score interval
  of a share.
- C. J. Clopper and E. S. Pearson, Biometrika 26 (1934), 404-413: exact for a share.
- The same tails, of the hypergeometric distribution, where the population is finite. There is no
  closed form, so the limits are searched for.
- M. P. Fay and E. J. Feuer, Statistics in Medicine 16 (1997), 791-801: gamma interval for a
  weighted sum of Poisson counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, log, sqrt
from statistics import NormalDist
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sfumato.errors import MissingExtra

LEVEL: Final = 0.95
_ASKED: Final = 16
_Counts: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A ratio of two sums with its 95 % interval; `value` is NaN if there is nothing to count."""

    part: float
    whole: float
    value: float
    low: float
    high: float


def wilson(hits: float, trials: float) -> tuple[float, float]:
    """Return Wilson's 95 % score interval of a share of independent trials; (0, 1) without one.

    Neither need be whole.
    """
    if not trials:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + LEVEL / 2)
    share = hits / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * sqrt(share * (1 - share) / trials + z * z / (4 * trials**2))
    low = 0.0 if hits == 0 else middle - half
    high = 1.0 if hits == trials else middle + half
    return low, high


def difference(one: Estimate, other: Estimate) -> tuple[float, float]:
    """Return an interval of one share minus another from the intervals of both.

    Newcombe's hybrid score method (1998, method 10), for any two intervals (Zou and Donner 2008).
    It takes the shares for independent; where images add to both it is too wide.
    """
    gap = one.value - other.value
    below = sqrt((one.value - one.low) ** 2 + (other.high - other.value) ** 2)
    above = sqrt((one.high - one.value) ** 2 + (other.value - other.low) ** 2)
    return gap - below, gap + above


def least(trials: int) -> float:
    """Return the lower end of the exact (Clopper-Pearson) 95 % interval where all trials are hits.

    1 minus it is the upper end where none is.
    """
    return float(((1 - LEVEL) / 2) ** (1 / trials))


def trials_needed(share: float) -> int:
    """Return how many independent trials, all of them hits, put the exact interval above a share.

    With fewer, even a sample without a single miss can't tell that the share is reached.
    """
    return ceil(log((1 - LEVEL) / 2) / log(share))


def clopper_pearson(hits: float, trials: float, level: float = LEVEL) -> tuple[float, float]:
    """Return the exact interval of a share; (0, 1) without a trial. Neither need be whole."""
    if not trials:
        return 0.0, 1.0
    beta, tail = _scipy_stats().beta, (1 - level) / 2
    low = float(beta.ppf(tail, hits, trials - hits + 1)) if hits > 0 else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, trials - hits)) if hits < trials else 1.0
    return low, high


def hypergeometric(hits: int, drawn: int, population: int, level: float = LEVEL) -> tuple[int, int]:
    """Return the exact interval of how many of a population are hits, from those drawn of it.

    The smallest and the largest number under which neither tail of what was seen is rarer than
    half of what `level` leaves: Clopper and Pearson's rule without replacement.

    Raises:
        ValueError: more hits than drawn, or more drawn than there are.
    """
    if not 0 <= hits <= drawn <= population:
        raise ValueError(f"{hits} hits of {drawn} drawn of {population} can't be")
    chance, tail = _scipy_stats().hypergeom, (1 - level) / 2
    lowest, highest = hits, population - drawn + hits
    if drawn == 0 or lowest == highest:
        return lowest, highest
    low = _first(lowest, highest, lambda k: chance.sf(hits - 1, population, k, drawn) > tail)
    beyond = _first(low, highest + 1, lambda k: chance.cdf(hits, population, k, drawn) <= tail)
    return low, max(low, beyond - 1)


def _first(low: int, high: int, holds: Callable[[_Counts], NDArray[np.bool_]]) -> int:
    """Return the first number from which on something holds, `high` if it does nowhere before.

    Many are asked at a time: a call of SciPy costs more than the numbers in it.
    """
    while low < high:
        asked = np.unique(np.linspace(low, high - 1, _ASKED).astype(np.int64))
        answers = holds(asked)
        first = int(np.argmax(answers)) if answers.any() else len(asked)
        low = int(asked[first - 1]) + 1 if first else low
        high = int(asked[first]) if first < len(asked) else high
    return low


def gamma(
    total: float, variance: float, heaviest: tuple[float, float], level: float = LEVEL
) -> tuple[float, float]:
    """Return the interval of a weighted sum of rare events: Fay and Feuer 1997, equations 4 and 5.

    `total` is the sum y of the weights of the events seen and `variance` v the sum of what each
    adds to its variance. Below, the quantile of the gamma distribution with mean y and variance v;
    above, of the one that has seen one event more, the `heaviest` there may be (weight, variance).
    With equal weights these are the exact Poisson limits.
    """
    quantile, tail = _scipy_stats().gamma.ppf, (1 - level) / 2
    low = 0.0
    if total > 0:
        low = float(quantile(tail, total * total / variance, scale=variance / total))
    mean, spread = total + heaviest[0], variance + heaviest[1]
    if mean <= 0:
        return low, low
    return low, float(quantile(1 - tail, mean * mean / spread, scale=spread / mean))


def _scipy_stats() -> Any:
    """Return `scipy.stats`.

    Raises:
        MissingExtra: SciPy isn't installed.
    """
    try:
        from scipy import stats
    except ImportError as missing:
        raise MissingExtra("the estimate needs SciPy: pip install 'sfumato[review]'") from missing
    return stats
