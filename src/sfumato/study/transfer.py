"""Do features learnt on each arm serve other tasks? Probed on other labelled folders.

Each picture of the folder is tested by a linear probe that hasn't seen it (five folds). The same
network with random weights is the baseline: what is above it was learnt. One class a folder gives
top-1; yes-or-no columns give the mean average precision over them. Intervals are bootstraps over
the folder's pictures, which take the probes as they are.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sfumato.errors import UsageError
from sfumato.study import probing
from sfumato.study.analysis.measures import average_precision_values
from sfumato.study.arms import Stored
from sfumato.study.configuration import Data, Transfer
from sfumato.study.features import Floats, Seen
from sfumato.study.pictures import collect, label

_FOLDS: Final = 5
_DRAWS: Final = 1000


@dataclass(frozen=True, slots=True)
class Task:
    """Another labelled folder: its pictures, and either a class or answers (n, questions)."""

    name: str
    files: tuple[Stored, ...]
    names: tuple[str, ...]
    classes: NDArray[np.int64] | None
    answers: NDArray[np.bool_] | None


@dataclass(frozen=True, slots=True)
class Score:
    """Top-1 or mean average precision, as shares, with a 95 % interval over n pictures."""

    measure: str
    value: float
    low: float
    high: float
    n: int


def read(transfer: Transfer) -> Task:
    """Return a folder with its labels.

    Raises:
        UsageError: pictures or labels are missing, or a question has the same answer everywhere.
    """
    collection = collect(transfer.pictures, Data(pictures=transfer.pictures))
    if transfer.labels is None:
        labelling = label(collection, None)
        classes = [labelling.labels[one.key] for one in collection.pictures]
        files = [Stored(collection.root / one.key, one.digest) for one in collection.pictures]
        truth = np.asarray(classes, dtype=np.int64)
        return Task(transfer.name, tuple(files), labelling.classes, truth, None)
    names, rows = _read_answers(transfer.labels)
    kept = [one for one in collection.pictures if one.key in rows]
    if not kept:
        raise UsageError(f"{transfer.labels} names none of the pictures of {transfer.pictures}.")
    answers = np.asarray([rows[one.key] for one in kept], dtype=bool)
    flat = [name for name, column in zip(names, answers.T, strict=True) if len(set(column)) < 2]
    if flat:
        raise UsageError(f"{transfer.labels}: every picture has the same answer to {flat[0]!r}.")
    files = [Stored(collection.root / one.key, one.digest) for one in kept]
    return Task(transfer.name, tuple(files), tuple(names), None, answers)


def score(task: Task, seen: Seen, l2: float) -> Score:
    """Return how well a probe on what a network has seen solves a task."""
    features = seen.features[[seen.place[one.id] for one in task.files]]
    if task.classes is not None:
        logits = _tested(features, task.classes, len(task.names), l2)
        return _interval("top-1", (logits.argmax(axis=1) == task.classes).astype(np.float64))
    if task.answers is None:
        raise ValueError("a task needs classes or answers")
    values = []
    for column in task.answers.T:
        logits = _tested(features, column.astype(np.int64), 2, l2)
        values.append(average_precision_values(column, logits[:, 1] - logits[:, 0]))
    return _interval("mean AP", np.mean(values, axis=0))


def _read_answers(path: Path) -> tuple[list[str], Mapping[str, list[bool]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = list(csv.reader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} can't be read: {error}.") from error
    if len(lines) < 2 or len(lines[0]) < 2:
        raise UsageError(f"{path} needs a column of paths and one for each question at least.")
    head, *rows = lines
    for number, row in enumerate(rows, start=2):
        if len(row) != len(head) or not set(row[1:]) <= {"0", "1"}:
            raise UsageError(f"{path}, line {number}: each answer must be 0 or 1.")
    return head[1:], {row[0]: [answer == "1" for answer in row[1:]] for row in rows}


def _tested(
    features: Floats, truth: NDArray[np.int64], classes: int, l2: float
) -> NDArray[np.float64]:
    labels = {f"{i:09}": int(place) for i, place in enumerate(truth)}
    logits = np.zeros((len(truth), classes))
    for part in probing.folds(labels, _FOLDS, seed=0):
        tested = np.asarray([int(key) for key in part], dtype=np.intp)
        learnt = np.delete(np.arange(len(truth)), tested)
        fitted = probing.fit(features[learnt], truth[learnt], classes, l2)
        logits[tested] = fitted.logits(features[tested])
    return logits


def _interval(measure: str, values: NDArray[np.float64]) -> Score:
    """Return the mean of what each picture adds, with a bootstrap over the pictures."""
    rng = np.random.default_rng(0)
    n = len(values)
    means = [values[rng.integers(n, size=n)].mean() for _ in range(_DRAWS)]
    low, high = np.quantile(means, (0.025, 0.975))
    return Score(measure, float(values.mean()), float(low), float(high), n)
