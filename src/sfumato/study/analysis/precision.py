"""The change in each class's average precision, with the interval of `estimates`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfumato.stats.bootstrap import Group
from sfumato.study.analysis.comparisons import Question, common_seeds, trainings
from sfumato.study.analysis.estimates import ContrastTally, Estimate
from sfumato.study.analysis.matrix import Cell, Matrix
from sfumato.study.analysis.measures import average_precision_values
from sfumato.study.analysis.strata import Layout
from sfumato.types import JSON


@dataclass(frozen=True, slots=True)
class ClassPrecision:
    """A class's average precision before and after, in [0, 1], and the change."""

    name: str
    before: float
    after: float
    change: Estimate

    def summary(self) -> JSON:
        """Return it for `study.json`, in points."""
        levels = {"ap_before": self.before, "ap_after": self.after}
        made: JSON = {name: 100 * value for name, value in levels.items()}
        return {"name": self.name, **made, "ap": self.change.summary()}


def precisions(
    matrix: Matrix, question: Question, models: Sequence[str]
) -> tuple[list[ClassPrecision], Estimate] | None:
    """Return the change for each class that has an image, and that of their mean.

    None where a run has no logits: then it is not measured. The logits of one training's cells
    are in memory at a time.
    """
    cells = [matrix.cell(model, *arms) for arms in question.arms for model in models]
    if not all(cell.has_logits for cell in cells):
        return None
    used = [int(k) for k in np.unique(matrix.labels)]
    every = np.zeros(len(matrix.images), dtype=np.intp)
    layout = Layout.of(every, 1, matrix.labels)
    levels = np.zeros((2, len(matrix.classes)))
    sums = _Sums({k: ContrastTally(layout) for k in used}, ContrastTally(layout), levels)
    for together in trainings(matrix, question, models):
        _add(matrix, together, sums)
    found = [
        ClassPrecision(
            matrix.classes[k],
            float(sums.levels[0, k]),
            float(sums.levels[1, k]),
            sums.tallies[k].estimates()[0],
        )
        for k in used
    ]
    return found, sums.mean.estimates()[0]


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """What is added up: a tally for each class, one for their mean, and the levels (2, K)."""

    tallies: dict[int, ContrastTally]
    mean: ContrastTally
    levels: NDArray[np.float64]


def _add(matrix: Matrix, together: list[tuple[float, Cell]], sums: _Sums) -> None:
    """Add weighted cells whose seeds are the same trainings to the sums."""
    seeds = common_seeds([cell for _, cell in together])
    scores = {
        (place, seed): cell.scores(seed)
        for place, (_, cell) in enumerate(together)
        for seed in seeds
    }
    fixed = together[0][1].fixed
    whole = np.zeros((len(seeds), len(matrix.images)))
    for k, tally in sums.tallies.items():
        positive = matrix.labels == k
        values = np.zeros_like(whole)
        for place, (weight, _) in enumerate(together):
            terms = np.stack(
                [average_precision_values(positive, scores[place, s][:, k]) for s in seeds]
            )
            values += weight * terms
            sums.levels[int(weight > 0), k] += abs(weight) * float(terms.mean())
        tally.add(Group(1, values, fixed))
        whole += values / len(sums.tallies)
    sums.mean.add(Group(1, whole, fixed))
