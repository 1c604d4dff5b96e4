"""Intervals by drawing anew: of ratios over images, and of contrasts over images and seeds.

Faces of one image are found and missed together, so images are what is drawn. Checked against
scipy.

Images and seeds (`bootstrap`) are a second opinion beside `study.analysis.estimates`, with nothing
assumed of normality. With three seeds a percentile interval is too narrow, whoever draws: s² of
three drawn with replacement is 2/3 of what it should be. docs/study.md has how often each covers
the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sfumato.stats.intervals import LEVEL, Estimate, least, wilson

Numbers: TypeAlias = NDArray[np.int64] | NDArray[np.float64]

ROUNDS: Final = 2000
FEWEST: Final = 10  # images from which on drawing them anew says something
_INDICES: Final = 4_000_000  # indices drawn at a time: 32 MB
_WEIGHTS: Final = 8_000_000  # weights drawn at a time: 32 MB


def times_drawn(rng: np.random.Generator, rounds: int, n: int) -> NDArray[np.int64]:
    """Return (rounds, n): how often each of n is in n draws with replacement."""
    return np.stack([np.bincount(rng.integers(0, n, size=n), minlength=n) for _ in range(rounds)])


def _middle(drawn: NDArray[Any]) -> tuple[float, float]:
    """Return the percentiles between which the middle 95 % of what was drawn lie."""
    low, high = np.percentile(drawn, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)


def ratio(
    part: Numbers,
    whole: Numbers,
    rng: np.random.Generator,
    *,
    share: bool = True,
    rounds: int = ROUNDS,
) -> Estimate:
    """Return the ratio of two sums over n images, with a percentile interval.

    Images are drawn with replacement `rounds` times. Where a share is 0 or 1, every draw is the
    same; then the open end is the exact one (Clopper-Pearson) with the images that count as
    trials. Of fewer than ten such images, drawing says too little (of one: nothing); then the
    interval of a share is Wilson's, each image a trial (Kish's number of them, which is smaller
    where one image holds most of the faces). Set `share` to False for ratios that
    aren't shares, such as boxes an image.
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
    low, high = _middle(parts[filled] / wholes[filled])
    value = float(part.sum() / total)
    images = int(np.count_nonzero(whole))
    if share and value in {0.0, 1.0}:
        bound = least(images)
        low, high = (bound, 1.0) if value else (0.0, 1 - bound)
    elif share and images < FEWEST:
        trials = total**2 / float(np.square(np.asarray(whole, dtype=np.float64)).sum())
        low, high = wilson(value * trials, trials)
    return Estimate(float(part.sum()), total, value, float(low), float(high))


def resampled(
    columns: list[Numbers], rng: np.random.Generator, rounds: int = ROUNDS
) -> list[NDArray[np.float64]]:
    """Return for each column (..., n) its (..., rounds) sums over images that are drawn anew.

    The same images are drawn for every column. A column of shape (n,) becomes (1, rounds).
    """
    stacked = [np.atleast_2d(np.asarray(column, dtype=np.float64)) for column in columns]
    n = stacked[0].shape[-1]
    sums: list[list[NDArray[np.float64]]] = [[] for _ in stacked]
    step = max(1, _INDICES // max(n, 1))
    for start in range(0, rounds, step):
        times = times_drawn(rng, min(step, rounds - start), n)
        for i, column in enumerate(stacked):
            sums[i].append(column @ times.T)
    return [np.concatenate(found, axis=-1) for found in sums]


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Trainings that are replicates of one another, with what each gives for every image.

    `values` (S, n) float. A `fixed` group is one model that isn't trained anew: its seed is no
    sample of anything, and only images vary.
    """

    weight: float
    values: NDArray[Any]
    fixed: bool = False


def bootstrap(
    groups: Sequence[Group], rng: np.random.Generator, *, rounds: int = ROUNDS
) -> tuple[float, float]:
    """Return the 95 % percentile interval of the weighted sum of the groups' means.

    Each round draws seeds within each group, and images: all drawn seeds see the same ones, as
    all models are tested on the same (Owen 2007, "The pigeonhole bootstrap"). (NaN, NaN) if a
    group has one seed and isn't fixed.
    """
    if any(len(group.values) < 2 and not group.fixed for group in groups):
        return float("nan"), float("nan")
    n = groups[0].values.shape[1]
    step = max(1, _WEIGHTS // n)
    found = [_round(groups, rng, min(step, rounds - start), n) for start in range(0, rounds, step)]
    return _middle(np.concatenate(found))


def _round(groups: Sequence[Group], rng: np.random.Generator, rounds: int, n: int) -> NDArray[Any]:
    shares = (times_drawn(rng, rounds, n) / n).astype(np.float32)
    total = np.zeros(rounds)
    for group in groups:
        values = np.asarray(group.values, dtype=np.float32)
        picked = rng.integers(0, len(values), size=(rounds, len(values)))
        drawn = np.take_along_axis(shares @ values.T, picked, axis=1)
        total += group.weight * drawn.mean(axis=1)
    return total
