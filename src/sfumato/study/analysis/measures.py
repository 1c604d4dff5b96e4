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

from sfumato.study.analysis.estimates import Values

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
