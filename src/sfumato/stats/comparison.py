"""Whether a group is missed more often than the rest, or could be so by chance.

Faces of one image are missed together: with one dark choir in it, a group isn't as many
observations as it has faces. So whole images are shuffled, and in each image its own faces.
Where no two faces share an image, this is Fisher's exact test by drawing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

SHUFFLES: Final = 9999
_SAME: Final = 1e-9  # of what is equal but for rounding
_CHUNK: Final = 2_000_000  # numbers shuffled at a time: 16 MB


def permutation(
    inside: NDArray[np.bool_],
    missed: NDArray[np.bool_],
    images: NDArray[np.intp],
    rng: np.random.Generator,
    shuffles: int = SHUFFLES,
) -> float:
    """Return the two-sided p that being missed has nothing to do with being in the group.

    All three follow the faces: whether one is in the group, whether it is missed, and the number
    of its image. The statistic is their covariance, which falls into a part between images
    and one within them. Between: the images' shares of missed faces are dealt out anew, while
    each keeps its faces and their groups. Within: which of an image's missed faces are in the
    group is drawn anew (hypergeometric). The observed case counts among the drawn ones (Phipson
    and Smyth 2010), so the smallest possible p is 1 / (shuffles + 1).
    """
    _, number = np.unique(images, return_inverse=True)
    faces = np.bincount(number)
    group, misses = np.bincount(number, inside), np.bincount(number, missed)
    both = np.bincount(number, inside & missed)
    weights = group - faces * inside.mean()
    rates = misses / faces
    expected = (group * rates).sum()
    seen = abs(weights @ rates + both.sum() - expected)
    mixed = (group > 0) & (group < faces) & (misses > 0) & (misses < faces)
    fixed = both[~mixed].sum() - expected
    good, bad, drawn = (c[mixed].astype(np.int64) for c in (group, faces - group, misses))
    as_large = 0
    step = max(1, _CHUNK // len(faces))
    for start in range(0, shuffles, step):
        rows = min(step, shuffles - start)
        between = rng.permuted(np.broadcast_to(rates, (rows, len(rates))), axis=1) @ weights
        within = rng.hypergeometric(good, bad, drawn, (rows, len(good))).sum(axis=1) + fixed
        as_large += int((np.abs(between + within) >= seen * (1 - _SAME) - _SAME).sum())
    return (as_large + 1) / (shuffles + 1)


def holm(values: Sequence[float]) -> list[float]:
    """Return p values corrected for their number (Holm 1979), in their order."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    corrected = [0.0] * len(values)
    highest = 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(values) - rank) * values[i]))
        corrected[i] = highest
    return corrected
