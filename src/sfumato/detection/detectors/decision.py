"""The decision: from scores of the first and the second look to the probability of a face.

A logistic function of the scores' log odds, two for each profile: one of what is known after the
first crop, and one of everything. Its weights are never negative, so that a higher score never
makes a face less probable. `benchmarks/fit_decision.py` fitted them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]  # (n, scores), 0..1
Probabilities = NDArray[np.float64]  # (n,), 0..1

SOFT = 0.02  # added to both sides of the odds, so that a score of 0 or 1 stays finite


@dataclass(frozen=True, slots=True)
class Model:
    """A logistic function of scores: one weight for each, and a bias."""

    weights: tuple[float, ...]
    bias: float

    def __post_init__(self) -> None:
        if min(self.weights) < 0:
            raise ValueError(f"a weight must not be negative, got {self.weights}")

    def probability(self, scores: Scores) -> Probabilities:
        """Return the probability (n,) that each row of scores (n, weights) is of a face."""
        sums = evidence(scores) @ np.asarray(self.weights, dtype=np.float64) + self.bias
        chances: Probabilities = 1 / (1 + np.exp(-sums))
        return chances


def evidence(scores: Scores) -> NDArray[np.float64]:
    """Return the softened log odds of scores; from -3.93 for 0 to 3.93 for 1."""
    soft = np.asarray(scores, dtype=np.float64)
    odds: NDArray[np.float64] = np.log((soft + SOFT) / (1 + SOFT - soft))
    return odds


@dataclass(frozen=True, slots=True)
class Trust:
    """No veto: what the first source scores this high has at least that chance, whatever crops say.

    A logistic function can't say so by itself: one network that is sure beside another that sees
    nothing is its blind corner.
    """

    score: float
    chance: float


@dataclass(frozen=True, slots=True)
class Decision:
    """How one profile decides.

    `early` knows the first look and one crop, `late` all looks. Between the two probabilities of
    `doubt`, inclusive, a proposal is worth the other looks; outside `early` has the last word, but
    for `trust`.
    """

    early: Model
    late: Model
    doubt: tuple[float, float]
    trust: Trust

    def undecided(self, early: Probabilities) -> NDArray[np.intp]:
        """Return the indices of the proposals that need the other looks."""
        low, high = self.doubt
        return np.flatnonzero((early >= low) & (early <= high))

    def settled(self, chances: Probabilities, first: NDArray[np.float32]) -> Probabilities:
        """Return the final probabilities (n,); `first` are the scores of the first source."""
        trusted = first >= np.float32(self.trust.score)
        return np.where(trusted, np.maximum(chances, self.trust.chance), chances)
