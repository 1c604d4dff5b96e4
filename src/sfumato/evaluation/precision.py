"""Many pictures: how well scores rank the boxes, as COCO's average precision says it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sfumato.evaluation.matching import Truth, match
from sfumato.types import Face

_RECALLS: Final = np.linspace(0.0, 1.0, 101)


def average_precision(
    pictures: Iterable[tuple[Truth, Sequence[Face]]], *, iou: float = 0.5
) -> float:
    """Return the average precision at one IoU; NaN if no face is labelled.

    As pycocotools (`COCOeval`) defines it: all boxes of all pictures by descending score,
    precision made monotone, averaged at the recalls 0, 0.01, …, 1. Ignored regions are its
    crowds. There is no limit to the boxes of a picture (there: 100).
    """
    scores: list[NDArray[np.float64]] = []
    right: list[NDArray[np.bool_]] = []
    faces = 0
    for truth, found in pictures:
        faces += len(truth.faces)
        fits = match(truth, found, iou)
        kept = ~fits.ignored
        scores.append(np.asarray([face.score for face in found], dtype=np.float64)[kept])
        right.append((fits.face >= 0)[kept])
    if not faces:
        return float("nan")
    return _area_under(np.concatenate(scores), np.concatenate(right), faces)


def _area_under(scores: NDArray[np.float64], right: NDArray[np.bool_], faces: int) -> float:
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(right[order])
    recall = hits / faces
    precision = hits / np.arange(1, len(order) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, _RECALLS, side="left")
    reached = places < len(envelope)
    return float(envelope[places[reached]].sum() / len(_RECALLS))
