"""Which cells of the matrix are set against which, and the groups of trainings that this means.

Every question is a weighted sum of accuracies. Terms of the same training arm come from the same
models, so they are added up model by model before seeds are looked at: a model tested on two arms
is paired with itself. Linear probes of the same seed learn from the same draw of images, whatever
the arm and the architecture: they count as one training. Other trainings are taken as independent,
whatever their seeds' numbers; where the same number gives two arms something in common, the
interval is too wide, never too narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sfumato.errors import UsageError
from sfumato.stats.bootstrap import Group
from sfumato.study.analysis.matrix import Cell, Matrix

ORIGINAL: Final = "original"
REENCODED: Final = "reencoded"
RANDOM: Final = "random-"
REMEDY: Final = "remedy-"
PAIRED: Final = ("probe",)  # protocols whose seeds draw the same for every arm

Measure: TypeAlias = Callable[[Cell, int], NDArray[Any]]


class Term(NamedTuple):
    """One cell of a question: its weight and its arms."""

    weight: float
    train: str
    test: str


@dataclass(frozen=True, slots=True)
class Question:
    """A contrast of cells with a name; `arm` is what it asks about, `kind` which question it is.

    Kinds: "cost" (trained and tested on the arm), "beyond-reencoding" and "faces" (the same
    against another baseline), "shift" (only tested on it), "shift-faces", "deployment" (trained
    on it, tested on clear images), "interaction" and "remedy".
    """

    kind: str
    arm: str
    terms: tuple[Term, ...]
    title: str

    @property
    def arms(self) -> list[tuple[str, str]]:
        """Return the (train, test) arms that it needs."""
        return [(term.train, term.test) for term in self.terms]


def difference(
    kind: str, arm: str, before: tuple[str, str], after: tuple[str, str], title: str
) -> Question:
    """Return the question what changes from one (train, test) to another."""
    return Question(kind, arm, (Term(-1, *before), Term(1, *after)), title)


def questions(matrix: Matrix) -> list[Question]:
    """Return the questions that its cells can answer, the plain ones first."""
    there = {(k.train_arm, k.test_arm) for k in matrix.cells}
    candidates = [q for make in (_costs, _shifts, _gaps) for q in make(there)]
    return [
        question
        for question in candidates
        if set(question.arms) <= there and matrix.architectures(question.arms)
    ]


def groups_of(
    matrix: Matrix, question: Question, measure: Measure, models: Sequence[str]
) -> list[Group]:
    """Return the groups whose sum answers the question, the mean over these architectures.

    Raises:
        UsageError: two cells of the same models have no seed in common.
    """
    groups = []
    for together in trainings(matrix, question, models):
        seeds = common_seeds([cell for _, cell in together])
        values = np.zeros((len(seeds), 1))
        for weight, cell in together:
            values = values + weight * np.stack([measure(cell, seed) for seed in seeds])
        groups.append(Group(1, values, together[0][1].fixed))
    return groups


def trainings(
    matrix: Matrix, question: Question, models: Sequence[str]
) -> list[list[tuple[float, Cell]]]:
    """Return weighted cells, those whose seeds are the same trainings in one list.

    The weights are the question's, shared out among the architectures.
    """
    cells = [
        (term.weight / len(models), matrix.cell(model, term.train, term.test))
        for model in models
        for term in question.terms
    ]
    if matrix.protocol in PAIRED and len({cell.seeds for _, cell in cells}) == 1:
        return [cells]
    found: dict[tuple[str, str], list[tuple[float, Cell]]] = {}
    for weight, cell in cells:
        found.setdefault((cell.key.architecture, cell.key.train_arm), []).append((weight, cell))
    return list(found.values())


def common_seeds(cells: Sequence[Cell]) -> list[int]:
    """Return the seeds that all cells have.

    Raises:
        UsageError: there is none.
    """
    shared = sorted(set(cells[0].seeds).intersection(*(cell.seeds for cell in cells[1:])))
    if not shared:
        key = cells[0].key
        raise UsageError(
            f"{key.architecture}, trained on {key.train_arm}, was tested with other seeds on each "
            "arm: no model was tested on both."
        )
    return shared


def top1(cell: Cell, seed: int) -> NDArray[np.float64]:
    """Return 1 where the best class is the label."""
    return np.asarray(cell.rank[cell.seeds.index(seed)] == 0, dtype=np.float64)


def top5(cell: Cell, seed: int) -> NDArray[np.float64]:
    """Return 1 where the label is among the five best classes."""
    return np.asarray(cell.rank[cell.seeds.index(seed)] < 5, dtype=np.float64)


def _costs(there: set[tuple[str, str]]) -> Iterator[Question]:
    clear = (ORIGINAL, ORIGINAL)
    matched = sorted(train for train, test in there if train == test != ORIGINAL)
    for arm in matched:
        words = f"Trained and tested on {arm}, against original"
        yield difference("cost", arm, clear, (arm, arm), words)
    for arm in matched:
        if arm == REENCODED or arm.startswith((RANDOM, REMEDY)):
            continue
        baseline = (REENCODED, REENCODED)
        words = f"Trained and tested on {arm}, against re-encoded"
        yield difference("beyond-reencoding", arm, baseline, (arm, arm), words)
        control = RANDOM + arm
        words = f"Trained and tested on {arm}, against the same shapes where no face is"
        yield difference("faces", arm, (control, control), (arm, arm), words)


def _shifts(there: set[tuple[str, str]]) -> Iterator[Question]:
    tests = sorted({test for _, test in there} - {ORIGINAL})
    for arm in tests:
        words = f"Trained on original, tested on {arm}, against tested on original"
        yield difference("shift", arm, (ORIGINAL, ORIGINAL), (ORIGINAL, arm), words)
    for arm in tests:
        words = f"Trained on original, tested on {arm}, against the same shapes where no face is"
        yield difference("shift-faces", arm, (ORIGINAL, RANDOM + arm), (ORIGINAL, arm), words)


def _gaps(there: set[tuple[str, str]]) -> Iterator[Question]:
    clear = (ORIGINAL, ORIGINAL)
    trained = sorted({train for train, _ in there} - {ORIGINAL})
    for arm in (arm for arm in trained if not arm.startswith(REMEDY)):
        words = f"Trained on {arm}, tested on original, against trained on original"
        yield difference("deployment", arm, clear, (arm, ORIGINAL), words)
        terms = (
            Term(1, arm, ORIGINAL),
            Term(-1, ORIGINAL, ORIGINAL),
            Term(-1, arm, arm),
            Term(1, ORIGINAL, arm),
        )
        words = f"(trained on {arm} - trained on original), on original less on {arm}"
        yield Question("interaction", arm, terms, words)
    for arm in (arm for arm in trained if arm.startswith(REMEDY)):
        words = f"Trained with {arm}, tested on original, against trained on original"
        yield difference("remedy", arm, clear, (arm, ORIGINAL), words)
