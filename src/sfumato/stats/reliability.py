"""Whether a score of 0.8 means a face in eight boxes of ten: calibration of scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sfumato import boxes
from sfumato.stats.matching import Truth
from sfumato.types import Face


@dataclass(frozen=True, slots=True)
class Bin:
    """Some boxes of neighbouring scores: how many, their mean score, how many are faces."""

    low: float
    high: float
    count: int
    score: float
    faces: int

    @property
    def share(self) -> float:
        """The share of the boxes that are faces."""
        return self.faces / self.count


def is_face(truth: Truth, found: Sequence[Face], iou: float) -> NDArray[np.float64]:
    """Return for each box 1 if it shows a face, 0 if not, NaN where nobody can say.

    It does if it fits a labelled face by its IoU, whether or not another box fits that face
    better: a probability speaks of what the box shows. One that touches an ignored region, or a
    face without fitting it, is neither: a badly placed box is a question of recall, and counts
    there.
    """
    places = boxes.as_boxes([face.box for face in found])
    faces = boxes.iou(places, boxes.as_boxes(truth.faces))
    ignored = boxes.iou(places, boxes.as_boxes(truth.ignored))
    answers = np.zeros(len(found), dtype=np.float64)
    answers[(faces > 0).any(axis=1) | (ignored > 0).any(axis=1)] = np.nan
    answers[(faces >= iou).any(axis=1)] = 1.0
    return answers


def reliability(
    scores: NDArray[np.float64], faces: NDArray[np.float64], bins: int = 10
) -> tuple[Bin, ...]:
    """Cut boxes by their score into bins of equal numbers; equal scores are never parted.

    `faces` holds 1 and 0, no NaN. Bins are fewer where there are too few different scores.
    """
    order = np.argsort(scores, kind="stable")
    ranked, right = scores[order], faces[order]
    # A border moves up behind all that have the score at which it would fall.
    marks = (np.arange(1, bins) * len(ranked)) // bins
    ends: list[int] = []
    if len(ranked) >= bins:
        ends = np.searchsorted(ranked, ranked[marks - 1], side="right").tolist()
    borders = sorted({0, *ends, len(ranked)})
    return tuple(
        Bin(
            float(ranked[a]),
            float(ranked[b - 1]),
            b - a,
            float(ranked[a:b].mean()),
            int(right[a:b].sum()),
        )
        for a, b in pairwise(borders)
    )


def calibration_error(bins: Sequence[Bin]) -> float:
    """Return the expected calibration error: |mean score - share of faces|, weighted by counts.

    With bins of equal numbers, as in Nixon et al., "Measuring Calibration in Deep Learning"
    (CVPR workshops 2019). It is biased upwards where bins are small: a perfect score with 20 boxes
    a bin has some 0.08. NaN without a box.
    """
    total = sum(one.count for one in bins)
    if not total:
        return float("nan")
    return sum(one.count * abs(one.score - one.share) for one in bins) / total
