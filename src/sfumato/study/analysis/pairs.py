"""Pairs of classes that are taken for each other: do they swap, or does one lose?

Near-identical classes (eskimo dog and husky) trade predictions from training to training. A class
then "loses" thirteen points and its twin gains seventeen, while the pair as a whole loses next
to nothing, and so does the average precision of either. Such pairs are found by how often they
are confused on both arms together, which says nothing of the direction; then the direction is
tested, corrected by Holm for all pairs that were looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sfumato.evaluation.comparison import holm
from sfumato.study.analysis.comparisons import Measure, Question, groups_of
from sfumato.study.analysis.estimates import Estimate, contrasts
from sfumato.study.analysis.matrix import Cell, Key, Matrix
from sfumato.types import JSON

_SHARE: Final = 0.02  # of a pair's images that must be taken for each other, on average


@dataclass(frozen=True, slots=True)
class Pair:
    """Two classes that are confused, and what becomes of their images (points times 100).

    `swap` is the change in (predicted as `second`) - (predicted as `first`) over the images of
    both, halved: its sign says which way predictions go. `together` is the change of their
    accuracy over the images of both, `merged` that of "predicted as either".
    """

    first: str
    second: str
    confused: float
    swap: Estimate
    together: Estimate
    merged: Estimate
    changes: tuple[Estimate, Estimate]
    p_holm: float

    def summary(self) -> JSON:
        """Return the pair for `study.json`."""
        return {
            "classes": [self.first, self.second],
            "confused": 100 * self.confused,
            "swap": self.swap.summary(),
            "together": self.together.summary(),
            "merged": self.merged.summary(),
            "changes": [change.summary() for change in self.changes],
            "p_holm": self.p_holm if np.isfinite(self.p_holm) else None,
        }


def pairs(matrix: Matrix, protocol: str, question: Question, models: Sequence[str]) -> list[Pair]:
    """Return the confused pairs, at most one for two classes, the clearest swaps first."""
    found = [
        _pair(matrix, protocol, question, models, which)
        for which in candidates(confusions(matrix, protocol, question, models), matrix.labels)
    ]
    tested = [k for k, pair in enumerate(found) if pair.swap.is_estimable]
    for k, p in zip(tested, holm([found[k].swap.cautious_p for k in tested]), strict=True):
        found[k] = replace(found[k], p_holm=p)
    return sorted(found, key=lambda pair: (-abs(pair.swap.value), pair.first))


def confusions(
    matrix: Matrix, protocol: str, question: Question, models: Sequence[str]
) -> NDArray[np.float64]:
    """Return (K, K) the mean number of images of class j taken for k, over both arms and models."""
    classes = len(matrix.classes)
    total = np.zeros(classes * classes)
    runs = 0
    for model in models:
        for train, test in question.arms:
            cell = matrix.cells[Key(protocol, model, train, test)]
            for predicted in cell.predicted:
                flows = matrix.labels.astype(np.int64) * classes + predicted
                total += np.bincount(flows, minlength=classes * classes)
                runs += 1
    return (total / max(runs, 1)).reshape(classes, classes)


def candidates(flows: NDArray[np.float64], labels: NDArray[Any]) -> list[tuple[int, int, float]]:
    """Return disjoint pairs by the share of their images that is taken for the other's class.

    Greedy from the most confused on; a class is in one pair only, so that no image is tested
    twice. Pairs below 2 % are left out.
    """
    images = np.bincount(labels, minlength=len(flows))
    both = images[:, None] + images[None, :]
    shares = np.triu((flows + flows.T) / np.maximum(both, 1), k=1)
    order = np.argsort(-shares, axis=None, kind="stable")
    taken: set[int] = set()
    found: list[tuple[int, int, float]] = []
    for flat in order[: 50 * len(flows)]:
        j, k = (int(index) for index in np.unravel_index(flat, shares.shape))
        if shares[j, k] < _SHARE:
            break
        if not {j, k} & taken:
            taken |= {j, k}
            found.append((j, k, float(shares[j, k])))
    return found


def _pair(
    matrix: Matrix,
    protocol: str,
    question: Question,
    models: Sequence[str],
    which: tuple[int, int, float],
) -> Pair:
    j, k, share = which
    inside = np.flatnonzero(np.isin(matrix.labels, (j, k)))
    label = matrix.labels[inside]

    def change(measure: Measure, parts: NDArray[np.intp], number: int = 1) -> list[Estimate]:
        return contrasts(groups_of(matrix, protocol, question, measure, models), parts, number)

    def said(cell: Cell, seed: int) -> NDArray[np.int32]:
        found: NDArray[np.int32] = cell.predicted[cell.seeds.index(seed), inside]
        return found

    whole, halves = np.zeros(len(inside), dtype=np.intp), (label == k).astype(np.intp)
    first, second = change(lambda cell, seed: said(cell, seed) == label, halves, 2)
    return Pair(
        matrix.classes[j],
        matrix.classes[k],
        share,
        change(lambda cell, seed: _direction(said(cell, seed), j, k), whole)[0],
        change(lambda cell, seed: said(cell, seed) == label, whole)[0],
        change(lambda cell, seed: np.isin(said(cell, seed), (j, k)), whole)[0],
        (first, second),
        float("nan"),
    )


def _direction(said: NDArray[np.int32], j: int, k: int) -> NDArray[np.float64]:
    turned: NDArray[np.float64] = ((said == k) * 1.0 - (said == j)) / 2
    return turned
