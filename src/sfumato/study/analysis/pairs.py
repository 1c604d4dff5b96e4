"""Pairs of classes that are taken for each other: do they swap, or does one lose?

Near-identical classes (eskimo dog and husky) trade predictions from training to training. A class
then "loses" thirteen points and its twin gains seventeen, while the pair as a whole loses next
to nothing, and so does the average precision of either. Such pairs are found by how often they
are confused on both arms together, which says nothing of the direction; then the direction is
tested, corrected by Holm for all pairs that were looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sfumato.stats.bootstrap import Group
from sfumato.stats.comparison import holm
from sfumato.study.analysis.comparisons import Measure, Question, groups_of, top1
from sfumato.study.analysis.estimates import Estimate, contrasts
from sfumato.study.analysis.matrix import Cell, Matrix
from sfumato.types import JSON

GroupsOf: TypeAlias = Callable[[Measure], Sequence[Group]]
_SHARE: Final = 0.02  # of a pair's images that must be taken for each other, on average


@dataclass(frozen=True, slots=True)
class ClassPair:
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


def pairs(matrix: Matrix, question: Question, models: Sequence[str]) -> list[ClassPair]:
    """Return the confused pairs, at most one for two classes, the clearest swaps first."""
    which = candidates(confusions(matrix, question, models), matrix.labels)
    found = _found(matrix, partial(groups_of, matrix, question, models=models), which)
    tested = [k for k, pair in enumerate(found) if pair.swap.is_estimable]
    for k, p in zip(tested, holm([found[k].swap.cautious_p for k in tested]), strict=True):
        found[k] = replace(found[k], p_holm=p)
    return sorted(found, key=lambda pair: (-abs(pair.swap.value), pair.first))


def confusions(matrix: Matrix, question: Question, models: Sequence[str]) -> NDArray[np.float64]:
    """Return (K, K) the mean number of images of class j taken for k, over both arms and models."""
    classes = len(matrix.classes)
    total = np.zeros(classes * classes)
    runs = 0
    for model in models:
        for train, test in question.arms:
            cell = matrix.cell(model, train, test)
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


def _found(
    matrix: Matrix, groups_of_measure: GroupsOf, which: list[tuple[int, int, float]]
) -> list[ClassPair]:
    """Return every pair's changes; pairs share no class, so each is a part of the images."""
    twin = np.full(len(matrix.classes), -1)
    place = np.full(len(matrix.classes), -1)
    is_second = np.zeros(len(matrix.classes), dtype=bool)
    for number, (j, k, _) in enumerate(which):
        twin[[j, k]], place[[j, k]], is_second[k] = (k, j), number, True
    label = matrix.labels
    pair, second, other = place[label], is_second[label], twin[label]
    forward = np.where(second, 1.0, -1.0)  # towards the second class

    def turned(cell: Cell, seed: int) -> NDArray[np.float64]:
        said = cell.predicted[cell.seeds.index(seed)]
        return np.asarray(forward * ((said == label) * 1.0 - (said == other)) / 2)

    def either(cell: Cell, seed: int) -> NDArray[np.float64]:
        said = cell.predicted[cell.seeds.index(seed)]
        return np.asarray((said == label) | (said == other), dtype=np.float64)

    def changes(measure: Measure, parts: NDArray[Any], number: int) -> list[Estimate]:
        return contrasts(groups_of_measure(measure), parts, number, label)

    halves = np.where(pair < 0, -1, 2 * pair + second)
    swaps, merged = (changes(measure, pair, len(which)) for measure in (turned, either))
    together, alone = changes(top1, pair, len(which)), changes(top1, halves, 2 * len(which))
    return [
        ClassPair(
            matrix.classes[j],
            matrix.classes[k],
            share,
            swaps[i],
            together[i],
            merged[i],
            (alone[2 * i], alone[2 * i + 1]),
            float("nan"),
        )
        for i, (j, k, share) in enumerate(which)
    ]
