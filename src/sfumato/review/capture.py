"""How many faces there are if two people looked: capture and recapture.

Faces that one has found and the other hasn't say how many both have missed, *if* each finds what
the other misses as often as what the other finds (independence), and if every face is as easy as
any other. Neither is so here: what is small or turned away is missed by everybody. Then both find
the same, and the estimate is too low. It stands beside the sample's, never in its place.

- D. G. Chapman, University of California Publications in Statistics 1 (1951), 131-160: estimator.
- M. Sadinle, Communications in Statistics 38 (2009), 1909-1924: transformed logit interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, sqrt
from statistics import NormalDist
from typing import Final

from sfumato.stats.intervals import LEVEL
from sfumato.types import JSON

INDEPENDENCE: Final = (
    "both find a face independently of each other, each face as easily as any other; faces that "
    "are hard for both make this figure too low"
)


@dataclass(frozen=True, slots=True)
class Recapture:
    """How many faces there are in all, and how many of them nobody found, with intervals.

    `seen` is how many at least one has found.
    """

    seen: int
    total: float
    low: float
    high: float

    @property
    def unseen(self) -> float:
        """How many faces nobody found."""
        return self.total - self.seen

    def as_json(self) -> JSON:
        """Return how many nobody found, with its interval and what it assumes."""
        low, high = self.low - self.seen, self.high - self.seen
        figures = {"seen": self.seen, "unseen": self.unseen, "low": low, "high": high}
        return {"method": "Chapman", **figures, "assumption": INDEPENDENCE}


def chapman(both: int, first: int, second: int, level: float = LEVEL) -> Recapture:
    """Return Chapman's estimate with Sadinle's interval.

    `both` faces were found by both, `first` by the first only, `second` by the second only. The
    total is (n1 + 1) (n2 + 1) / (m + 1) - 1; the interval is that of the unseen count, on the
    scale of the log odds with a half added to each count: it never lies below what was seen.

    Raises:
        ValueError: a count is negative.
    """
    if min(both, first, second) < 0:
        raise ValueError("counts of faces can't be negative")
    n1, n2 = both + first, both + second
    seen = both + first + second
    total = (n1 + 1) * (n2 + 1) / (both + 1) - 1
    a, b, c = both + 0.5, first + 0.5, second + 0.5
    unseen = b * c / a
    spread = sqrt(1 / a + 1 / b + 1 / c + a / (b * c))
    z = NormalDist().inv_cdf((1 + level) / 2)
    low, high = (seen - 0.5 + unseen * exp(sign * z * spread) for sign in (-1, 1))
    # Where one of both found nothing, the estimate may lie outside its own interval.
    low, high = min(max(low, seen), total), max(high, total)
    return Recapture(seen, total, low, high)
