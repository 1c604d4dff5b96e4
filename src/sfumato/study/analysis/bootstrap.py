"""A second opinion on intervals: images and seeds drawn anew, with nothing assumed of normality.

With three seeds a percentile interval is too narrow, whoever draws: s² of three drawn with
replacement is 2/3 of what it should be. docs/study.md has how often each covers the truth; the
report's intervals are those of `estimates`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sfumato.study.analysis.estimates import LEVEL, Group

ROUNDS: Final = 2000
_CHUNK: Final = 8_000_000  # weights drawn at a time: 32 MB


def bootstrap(
    groups: Sequence[Group],
    rng: np.random.Generator,
    *,
    rounds: int = ROUNDS,
    nested: bool = False,
) -> tuple[float, float]:
    """Return the 95 % percentile interval of the weighted sum of the groups' means.

    Each round draws seeds within each group and images. By default all drawn seeds see the same
    drawn images, as all models are tested on the same ones (Owen 2007, "The pigeonhole
    bootstrap"). `nested` draws images anew within each drawn seed, as if no image were hard for
    two models; it is for comparison. (NaN, NaN) if a group has one seed and isn't fixed.
    """
    if any(len(group.values) < 2 and not group.fixed for group in groups):
        return float("nan"), float("nan")
    n = groups[0].values.shape[1]
    step = max(1, _CHUNK // n)
    found = [
        _round(groups, rng, min(step, rounds - start), n, nested=nested)
        for start in range(0, rounds, step)
    ]
    low, high = np.percentile(np.concatenate(found), [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)


def _round(
    groups: Sequence[Group], rng: np.random.Generator, rounds: int, n: int, *, nested: bool
) -> NDArray[Any]:
    shared = None if nested else _weights(rng, rounds, n)
    total = np.zeros(rounds)
    for group in groups:
        values = np.asarray(group.values, dtype=np.float32)
        picked = rng.integers(0, len(values), size=(rounds, len(values)))
        if shared is not None:
            means = shared @ values.T
            drawn = np.take_along_axis(means, picked, axis=1)
        else:
            own = [_weights(rng, rounds, n) for _ in values]
            drawn = np.stack(
                [
                    np.einsum("rn,rn->r", own[slot], values[picked[:, slot]])
                    for slot in range(len(values))
                ],
                axis=1,
            )
        total += group.weight * drawn.mean(axis=1)
    return total


def _weights(rng: np.random.Generator, rounds: int, n: int) -> NDArray[np.float32]:
    """Return (rounds, n) shares of each image in as many draws of n with replacement."""
    counts = [np.bincount(rng.integers(0, n, size=n), minlength=n) for _ in range(rounds)]
    return (np.stack(counts) / n).astype(np.float32)
