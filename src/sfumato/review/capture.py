"""How many faces there are if two or more looked: capture and recapture.

Faces that one has found and the other hasn't say how many both have missed, *if* each finds what
the other misses as often as what the other finds (independence), and if every face is as easy as
any other. Neither is so here: what is small or turned away is missed by everybody. Then both find
the same, and the estimate is too low. It stands beside the sample's, never in its place.

- D. G. Chapman, University of California Publications in Statistics 1 (1951), 131-160: estimator.
- M. Sadinle, Communications in Statistics 38 (2009), 1909-1924: transformed logit interval.
- A. Chao, Biometrics 43 (1987), 783-791: lower bound for unequal faces and several that looked, in
  the bias-corrected form that ecologists know as Chao2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import NormalDist
from typing import Final

from sfumato.review import limits
from sfumato.review.limits import LEVEL

INDEPENDENCE: Final = (
    "both find a face independently of each other, each face as easily as any other; faces that "
    "are hard for both make this figure too low"
)
LOWER: Final = (
    "a lower bound: faces may be of unequal difficulty; those that nobody could find aren't in it, "
    "and if those who looked agree more than chance has it, it is too low even as a bound"
)


@dataclass(frozen=True, slots=True)
class Recapture:
    """How many faces there are in all, and how many of them nobody found, with intervals.

    `seen` is how many at least one has found. `bias` says what the figure assumes, and where it
    goes wrong if that isn't so.
    """

    method: str
    seen: int
    total: float
    low: float
    high: float
    bias: str

    @property
    def unseen(self) -> float:
        """How many faces nobody found."""
        return self.total - self.seen


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
    return Recapture("Chapman", seen, total, max(low, seen), max(high, total), INDEPENDENCE)


def chao(times: Sequence[int], level: float = LEVEL) -> Recapture:
    """Return Chao's lower bound from how many faces were found by 1, 2, … of those who looked.

    `times[k]` faces were found by k + 1 of them; `len(times)` looked, three at least (of two, the
    bound is near Chapman's estimate). The unseen count is at least (t - 1) / t f1 (f1 - 1) /
    (2 (f2 + 1)); the interval is log-normal. Where f1 is 0 or 1, its upper end takes the exact
    Poisson limit of f1.

    Raises:
        ValueError: fewer than three looked, or a count is negative.
        MissingExtra: SciPy isn't installed.
    """
    if len(times) < 3 or min(times) < 0:
        raise ValueError("Chao's bound needs the counts of three or more, none of them negative")
    looked, once, twice = len(times), times[0], times[1]
    seen = sum(times)
    factor = (looked - 1) / looked
    unseen = factor * once * (once - 1) / (2 * (twice + 1))
    variance = (
        factor * once * (once - 1) / (2 * (twice + 1))
        + factor**2 * once * (2 * once - 1) ** 2 / (4 * (twice + 1) ** 2)
        + factor**2 * once**2 * twice * (once - 1) ** 2 / (4 * (twice + 1) ** 4)
    )
    if unseen > 0:
        z = NormalDist().inv_cdf((1 + level) / 2)
        wide = exp(z * sqrt(log(1 + variance / unseen**2)))
        low, high = seen + unseen / wide, seen + unseen * wide
    else:  # none or one was found once: as many as may have been by chance
        most = limits.gamma(once, once, (1.0, 1.0), level)[1]
        low, high = float(seen), seen + factor * most * (most - 1) / (2 * (twice + 1))
    return Recapture("Chao", seen, seen + unseen, low, high, LOWER)
