"""Intervals of what was counted in a sample drawn without replacement from a known population.

All are two-sided; `level` is what they cover at least (exact) or about (gamma). They need SciPy
(`sfumato[review]`).

- C. J. Clopper and E. S. Pearson, Biometrika 26 (1934), 404-413: exact for a share.
- The same tails, of the hypergeometric distribution, where the population is finite. There is no
  closed form, so the limits are searched for.
- M. P. Fay and E. J. Feuer, Statistics in Medicine 16 (1997), 791-801: gamma interval for a
  weighted sum of Poisson counts.
- E. L. Korn and B. I. Graubard, Survey Methodology 24 (1998), 193-201: Clopper and Pearson's with
  the effective size of the sample, to compare with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sfumato.errors import MissingExtra

LEVEL: Final = 0.95
_ASKED: Final = 16
Counts: TypeAlias = NDArray[np.int64]


def scipy_stats() -> Any:
    """Return `scipy.stats`.

    Raises:
        MissingExtra: SciPy isn't installed.
    """
    try:
        from scipy import stats
    except ImportError as missing:
        raise MissingExtra("the estimate needs SciPy: pip install 'sfumato[review]'") from missing
    return stats


def clopper_pearson(hits: float, trials: float, level: float = LEVEL) -> tuple[float, float]:
    """Return the exact interval of a share; (0, 1) without a trial. Both may be broken numbers."""
    if not trials:
        return 0.0, 1.0
    beta, tail = scipy_stats().beta, (1 - level) / 2
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
    chance, tail = scipy_stats().hypergeom, (1 - level) / 2
    lowest, highest = hits, population - drawn + hits
    if drawn == 0 or lowest == highest:
        return lowest, highest
    low = _first(lowest, highest, lambda k: chance.sf(hits - 1, population, k, drawn) > tail)
    beyond = _first(low, highest + 1, lambda k: chance.cdf(hits, population, k, drawn) <= tail)
    return low, max(low, beyond - 1)


def _first(low: int, high: int, holds: Callable[[Counts], NDArray[np.bool_]]) -> int:
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
    quantile, tail = scipy_stats().gamma.ppf, (1 - level) / 2
    low = 0.0
    if total > 0:
        low = float(quantile(tail, total * total / variance, scale=variance / total))
    mean, spread = total + heaviest[0], variance + heaviest[1]
    if mean <= 0:
        return low, low
    return low, float(quantile(1 - tail, mean * mean / spread, scale=spread / mean))


def korn_graubard(
    strata: Sequence[tuple[int, int, int]], level: float = LEVEL
) -> tuple[float, float]:
    """Return the interval of a stratified share from (population, drawn, hits) of each stratum.

    Clopper and Pearson's with n* = p (1 - p) / v trials and n* p hits, v the design's variance of
    p; n* is at most what was drawn, and just that where v is 0. If strata of large weight had few
    drawn and no hit, it is too narrow: v doesn't know of them. Nothing here rests on it.
    """
    size = sum(population for population, _, _ in strata)
    trials = float(sum(drawn for _, drawn, _ in strata))
    share = sum(population * hits / drawn for population, drawn, hits in strata) / size
    variance = sum(
        (population / size) ** 2
        * (1 - drawn / population)
        * (hits / drawn * (1 - hits / drawn))
        / max(drawn - 1, 1)
        for population, drawn, hits in strata
    )
    if variance > 0:
        trials = min(trials, share * (1 - share) / variance)
    return clopper_pearson(share * trials, trials, level)
