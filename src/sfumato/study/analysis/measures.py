"""What is measured of one run, as values of single images wherever the measure isn't a mean.

Average precision and calibration error are no means over images, but close to their value each
behaves like one: `…_values` return the terms of that mean (the influence function), whose mean is
the measure itself. So all measures share one way to an interval, `estimates`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

from sfumato.study.analysis.estimates import Values
from sfumato.types import JSON

BINS: Final = 15  # of equal width, as in Guo et al. 2017


@dataclass(frozen=True, slots=True, eq=False)
class _Ranked:
    """Images by falling score, tied ones as one step."""

    order: NDArray[np.intp]
    step: NDArray[np.intp]  # of each image in order
    hits: Values  # positives within each step
    precision: Values  # after each step
    seen: Values  # images up to and with each step


def average_precision_values(positive: NDArray[np.bool_], scores: NDArray[Any]) -> Values:
    """Return for each of n images the term whose mean is the average precision, NaN without any.

    That is the sum of precision times the step in recall, over distinct scores: scikit-learn's
    `average_precision_score`, without interpolation; tied scores are one step.

    AP + n dAP/dw[i], w[i] the weight of image i: with weights, precision is a ratio of two sums
    and recall's steps are shares of all positives, so the derivative has a closed form:

        P dAP/dw[i] = positive[i] (precision(i) - AP + A(i)) - B(i),

    A and B the sums over steps from image i's on of hits/seen and hits·precision/seen.
    """
    total = int(np.count_nonzero(positive))
    if not total:
        return np.full(len(positive), np.nan)
    ranked = _rank(positive, scores)
    whole = float(ranked.hits @ ranked.precision / total)
    later = np.cumsum((ranked.hits / ranked.seen)[::-1])[::-1]
    weighed = np.cumsum((ranked.hits * ranked.precision / ranked.seen)[::-1])[::-1]
    is_hit = positive[ranked.order]
    at = ranked.step
    slope = (is_hit * (ranked.precision[at] - whole + later[at]) - weighed[at]) / total
    values = np.empty(len(positive))
    values[ranked.order] = whole + len(positive) * slope
    return values


def calibration_values(correct: NDArray[np.bool_], confidence: NDArray[Any]) -> Values:
    """Return for each image the term whose mean is the expected calibration error.

    ECE = sum over bins of |sum in bin of (correct - confidence)| / n (Guo et al. 2017), with
    15 bins of equal width, closed above. Each image's term is its own gap with the sign of its
    bin's. Few images a bin make the ECE of even a calibrated model large.
    """
    gap = correct.astype(np.float64) - np.asarray(confidence, dtype=np.float64)
    place = bins_of(confidence)
    signs = np.sign(np.bincount(place, gap, minlength=BINS))
    terms: Values = signs[place] * gap
    return terms


def bins_of(confidence: NDArray[Any]) -> NDArray[np.intp]:
    """Return the bin of each confidence: 0 holds (0, 1/15], 14 holds (14/15, 1]."""
    edges = np.ceil(np.asarray(confidence, dtype=np.float64) * BINS) - 1
    places: NDArray[np.intp] = np.clip(edges, 0, BINS - 1).astype(np.intp)
    return places


def _rank(positive: NDArray[np.bool_], scores: NDArray[Any]) -> _Ranked:
    # How ties are sorted makes no difference: they are one step.
    order = np.argsort(-np.asarray(scores))
    step = np.zeros(len(order), dtype=np.intp)
    np.cumsum(np.diff(np.asarray(scores)[order]) != 0, out=step[1:])
    hits = np.bincount(step, positive[order]).astype(np.float64)
    seen = np.cumsum(np.bincount(step)).astype(np.float64)
    return _Ranked(order, step, hits, np.cumsum(hits) / seen, seen)


# McNemar's test: two models on the same images, judged by the images on which they differ. It takes
# both models as they are. That one training differs from another is no surprise: two trainings on
# the *same* images do as well. So it stands beside the interval over seeds, never in its place.


@dataclass(frozen=True, slots=True)
class McNemar:
    """The images that only one of two models gets right, and two p values for equal chances.

    `exact` is the binomial test; `mid_p` counts the observed case half, which brings its error
    close to what it promises (Fagerland, Lydersen and Laake 2013).
    """

    lost: int
    gained: int
    n: int
    exact: float
    mid_p: float

    def summary(self) -> JSON:
        """Return the test for `study.json`."""
        return {
            "lost": self.lost,
            "gained": self.gained,
            "n": self.n,
            "p_exact": self.exact,
            "p_mid": self.mid_p,
        }


def mcnemar(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> McNemar:
    """Compare two models: whether each gets each of n images right."""
    lost = int(np.count_nonzero(before & ~after))
    gained = int(np.count_nonzero(after & ~before))
    differ = lost + gained
    if not differ:
        return McNemar(0, 0, len(before), 1.0, 1.0)
    fewer = min(lost, gained)
    tail = float(special.bdtr(fewer, differ, 0.5))
    observed = tail - (float(special.bdtr(fewer - 1, differ, 0.5)) if fewer else 0.0)
    exact = min(1.0, 2 * tail)
    mid = 1 - observed if lost == gained else exact - observed
    return McNemar(lost, gained, len(before), exact, mid)
