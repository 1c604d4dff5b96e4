"""How sure a figure is: 95 % intervals of shares and ratios.

Faces of one picture are found and missed together, so pictures are what is drawn: `ratio` is a
bootstrap over pictures. `wilson` is for faces that share no picture. Checked against scipy.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log, sqrt
from statistics import NormalDist
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[np.int64] | NDArray[np.float64]

LEVEL: Final = 0.95
ROUNDS: Final = 2000
FEWEST: Final = 10  # pictures from which on drawing them anew says something
_CHUNK: Final = 4_000_000  # indices drawn at a time: 32 MB


@dataclass(frozen=True, slots=True)
class Estimate:
    """A ratio of two sums with its 95 % interval; `value` is NaN if there is nothing to count."""

    part: float
    whole: float
    value: float
    low: float
    high: float


def ratio(
    part: Numbers,
    whole: Numbers,
    rng: np.random.Generator,
    *,
    share: bool = True,
    rounds: int = ROUNDS,
) -> Estimate:
    """Return the ratio of two sums over n pictures, with a percentile interval.

    Pictures are drawn with replacement `rounds` times. Where a share is 0 or 1, every draw is the
    same; then the open end is the exact one (Clopper-Pearson) with the pictures that count as
    trials. Of fewer than ten such pictures, drawing says too little (of one: nothing); then the
    interval of a share is Wilson's, each picture a trial (Kish's number of them, which is smaller
    where one picture holds most of the faces). Set `share` to False for ratios that
    aren't shares, such as boxes a picture.
    """
    parts, wholes = (sums[0] for sums in resampled([part, whole], rng, rounds))
    return from_draws(part, whole, parts, wholes, share=share)


def from_draws(
    part: Numbers,
    whole: Numbers,
    parts: NDArray[np.float64],
    wholes: NDArray[np.float64],
    *,
    share: bool = True,
) -> Estimate:
    """Return what `ratio` does from sums that `resampled` has drawn."""
    total = float(whole.sum())
    if not total:
        return Estimate(0, 0, float("nan"), float("nan"), float("nan"))
    filled = wholes > 0
    tails = [50 * (1 - LEVEL), 50 * (1 + LEVEL)]
    low, high = np.percentile(parts[filled] / wholes[filled], tails)
    value = float(part.sum() / total)
    pictures = int(np.count_nonzero(whole))
    if share and value in {0.0, 1.0}:
        bound = least(pictures)
        low, high = (bound, 1.0) if value else (0.0, 1 - bound)
    elif share and pictures < FEWEST:
        trials = total**2 / float(np.square(np.asarray(whole, dtype=np.float64)).sum())
        low, high = wilson(value * trials, trials)
    return Estimate(float(part.sum()), total, value, float(low), float(high))


def resampled(
    columns: list[Numbers], rng: np.random.Generator, rounds: int = ROUNDS
) -> list[NDArray[np.float64]]:
    """Return for each column (..., n) its (..., rounds) sums over pictures that are drawn anew.

    The same pictures are drawn for every column. A column of shape (n,) becomes (1, rounds).
    """
    stacked = [np.atleast_2d(np.asarray(column, dtype=np.float64)) for column in columns]
    n = stacked[0].shape[-1]
    sums: list[list[NDArray[np.float64]]] = [[] for _ in stacked]
    step = max(1, _CHUNK // max(n, 1))
    for start in range(0, rounds, step):
        drawn = rng.integers(0, n, size=(min(step, rounds - start), n))
        times = np.stack([np.bincount(picked, minlength=n) for picked in drawn])
        for i, column in enumerate(stacked):
            sums[i].append(column @ times.T)
    return [np.concatenate(found, axis=-1) for found in sums]


def wilson(hits: float, trials: float) -> tuple[float, float]:
    """Return Wilson's 95 % score interval of a share of independent trials; (0, 1) without one.

    Both may be broken numbers.
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
    It takes the shares for independent; where pictures add to both it is too wide.
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
