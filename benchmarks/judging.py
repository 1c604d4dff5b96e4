"""Images judged against labels: each by itself, how well scores rank, and what they mean.

`sfumato.stats.matching` says when a face is covered or matched and a box false.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sfumato import boxes
from sfumato.stats.bootstrap import times_drawn
from sfumato.stats.intervals import Estimate
from sfumato.stats.matching import Truth, area_share, match, shares, size_of, touches_nothing
from sfumato.stats.precision import rank
from sfumato.types import Face


@dataclass(frozen=True, slots=True)
class Outcome:
    """One image judged. `matched` and `covered` (a share in [0, 1]) follow the labelled faces.

    `false_pixels` is the share of the image under the grown false boxes, `needless` the share
    under all grown boxes that lies in no labelled face: false boxes, and the margin around right
    ones.
    """

    sizes: tuple[int, ...]
    matched: tuple[bool, ...]
    covered: tuple[float, ...]
    boxes: int
    false_boxes: int
    false_pixels: float
    needless: float
    ignorable: bool

    @property
    def shows(self) -> bool:
        """Whether the image shows a face that counts."""
        return bool(self.sizes)


def judge(truth: Truth, found: Sequence[Face], *, expand: float, iou: float) -> Outcome:
    """Judge what was found in an image; boxes are grown by `expand`, matched at this IoU."""
    grown = [boxes.grow(face.box, expand) for face in found]
    false = touches_nothing(truth, found)
    fits = match(truth, found, iou)
    taken = set(fits.face[~fits.ignored].tolist())
    return Outcome(
        sizes=tuple(size_of(box) for box in truth.faces),
        matched=tuple(i in taken for i in range(len(truth.faces))),
        covered=tuple(shares(truth.faces, grown)),
        boxes=len(found),
        false_boxes=int(false.sum()),
        false_pixels=area_share(truth, [g for g, wrong in zip(grown, false, strict=True) if wrong]),
        needless=area_share(truth, [*grown, *truth.faces]) - area_share(truth, truth.faces),
        ignorable=bool(truth.ignored),
    )


def estimated_precision(
    images: Iterable[tuple[Truth, Sequence[Face]]],
    rng: np.random.Generator,
    *,
    iou: float = 0.5,
    rounds: int = 500,
) -> Estimate:
    """Return the average precision with a percentile interval over images drawn anew.

    `part` and `whole` are boxes that fit a face, and labelled faces.
    """
    ranking = rank(images, iou=iou)
    n = len(ranking.faces)
    value = ranking.precision()
    drawn = [ranking.precision(times_drawn(rng, 1, n)[0]) for _ in range(rounds)]
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    right, faces = float(ranking.right.sum()), float(ranking.faces.sum())
    return Estimate(right, faces, value, float(low), float(high))


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
