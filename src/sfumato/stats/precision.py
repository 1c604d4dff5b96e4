"""Many images: how well scores rank the boxes, as COCO's average precision says it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sfumato.stats.bootstrap import Numbers
from sfumato.stats.matching import Truth, match
from sfumato.types import Face

_RECALLS: Final = np.linspace(0.0, 1.0, 101)


def pseudo_values(ranking: Ranking, group: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return (G,) jackknife pseudo-values of the average precision: G·AP − (G − 1)·AP without g.

    `group` (n,) gives each image one of the groups 0 … G − 1. The variance of the pseudo-values
    over G is that of the average precision, so what holds for means over images holds for it
    (Tukey 1958; Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 11). They are
    shifted so that their mean is the average precision itself, not the jackknife's correction of
    it. A group that holds every labelled face tells nothing: it counts as no change.
    """
    groups = int(group.max()) + 1
    whole = ranking.precision()
    without = np.full(groups, whole)
    touched = np.unique(group[np.concatenate([ranking.image, np.flatnonzero(ranking.faces)])])
    for number in touched:
        left = ranking.precision((group != number).astype(np.float64))
        without[number] = whole if np.isnan(left) else left
    values: NDArray[np.float64] = whole + (groups - 1) * (without.mean() - without)
    return values


@dataclass(frozen=True, slots=True)
class Ranking:
    """All boxes by descending score: whether each fits a face, and the number of its image.

    `faces` are the labelled faces of each image.
    """

    right: NDArray[np.bool_]
    image: NDArray[np.intp]
    faces: NDArray[np.int64]

    def precision(self, times: Numbers | None = None) -> float:
        """Return the average precision, each image counted so many times; NaN without a face.

        As pycocotools (`COCOeval`) defines it: all boxes of all images by descending score,
        precision made monotone, averaged at the recalls 0, 0.01, …, 1. Ignored regions are its
        crowds. There is no limit to the boxes of an image (there: 100).
        """
        times = np.ones(len(self.faces)) if times is None else times
        faces = float(self.faces @ times)
        if not faces:
            return float("nan")
        weights = times[self.image]
        counted = weights > 0
        weights, right = weights[counted], self.right[counted]
        hits = np.cumsum(weights * right)
        recall, precision = hits / faces, hits / np.cumsum(weights)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        places = np.searchsorted(recall, _RECALLS, side="left")
        reached = places < len(envelope)
        return float(envelope[places[reached]].sum() / len(_RECALLS))


def rank(images: Iterable[tuple[Truth, Sequence[Face]]], *, iou: float) -> Ranking:
    """Match boxes to faces image by image, leave ignored ones out, and rank them all."""
    boxes: list[int] = []
    scores: list[NDArray[np.float64]] = [np.empty(0)]
    right: list[NDArray[np.bool_]] = [np.empty(0, dtype=bool)]
    faces: list[int] = []
    for truth, found in images:
        faces.append(len(truth.faces))
        boxes.append(0)
        if not found:  # as in most images, of one class among many
            continue
        fits = match(truth, found, iou)
        kept = ~fits.ignored
        scores.append(np.asarray([face.score for face in found], dtype=np.float64)[kept])
        right.append((fits.face >= 0)[kept])
        boxes[-1] = int(kept.sum())
    order = np.argsort(-np.concatenate(scores), kind="stable")
    image = np.repeat(np.arange(len(faces)), boxes)
    return Ranking(np.concatenate(right)[order], image[order], np.asarray(faces, dtype=np.int64))
