"""Do features learnt on each arm serve other tasks? Probed on other labelled folders.

Each image of the folder is tested by a linear probe that hasn't seen it (five folds). The same
network with random weights is the baseline: what is above it was learnt. One class a folder gives
top-1; yes-or-no columns give the mean average precision over them. A model's interval is over the
folder's images and takes the model as it is; that of a change is over trainings as well
(`analysis.estimates`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sfumato.errors import UsageError
from sfumato.stats.bootstrap import Group
from sfumato.study import probing
from sfumato.study.analysis.estimates import Estimate, Values, contrast
from sfumato.study.analysis.measures import average_precision_values
from sfumato.study.arms import Stored
from sfumato.study.configuration import Data, DetectionSettings, Study, Transfer
from sfumato.study.detection import objects
from sfumato.study.detection.objects import Scenes
from sfumato.study.detection.training import need_maps, need_operators
from sfumato.study.features import Floats, Seen
from sfumato.study.files import digest, read_csv
from sfumato.study.images import collect, label
from sfumato.study.looking import ModelLook
from sfumato.study.networks import NetworkSource
from sfumato.types import JSON

ORIGINAL: Final = "original"
PRETRAINED: Final = "as pretrained"
RANDOM: Final = "random weights"
KINDS: Final = ("transfer", "detection")
_FOLDS: Final = 5


@dataclass(frozen=True, slots=True)
class LabelledFolder:
    """Another labelled folder: its images, and either a class or answers (n, questions)."""

    name: str
    files: tuple[Stored, ...]
    names: tuple[str, ...]
    classes: NDArray[np.int64] | None
    answers: NDArray[np.bool_] | None

    def fingerprint(self) -> str:
        """Return the SHA-256 of images and labels."""
        truth = self.classes if self.answers is None else self.answers
        rows = [] if truth is None else truth.tolist()
        parts = [self.name, self.names, [one.id for one in self.files], rows]
        return digest(parts)


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """One model's top-1 or mean average precision on `n` images, as a share.

    `values` (n,) float64, or fewer for groups of images, have it as their mean; their spread is
    what other images would change.
    """

    measure: str
    values: Values
    n: int

    def interval(self) -> tuple[float, float, float]:
        """Return the value with its 95 % interval over images, the model taken as it is."""
        found = contrast([Group(1.0, self.values[None], fixed=True)])
        return found.value, max(found.low, 0.0), min(found.high, 1.0)


# Of each model its scores, by the name of the task and what its features were learnt from.
Models: TypeAlias = Mapping[tuple[str, str], Sequence[Sequence[Score]]]


@dataclass(frozen=True, slots=True)
class Tried:
    """The other tasks of a study, read once: that takes minutes where images are many."""

    folders: tuple[LabelledFolder, ...] = ()
    objects: tuple[tuple[DetectionSettings, Scenes, Scenes], ...] = ()

    def digests(self) -> list[str]:
        """Return the SHA-256 of the images and labels of every task, for fingerprints."""
        digests = [one.fingerprint() for one in self.folders]
        for _, *sides in self.objects:
            # What is left out is told, but is nothing that a detector depends on.
            digests += [f"{side.digest} {len(side.left_out)}" for side in sides]
        return digests


def check(study: Study) -> Tried:
    """Refuse what could only fail hours later, when the study's models are trained.

    Raises:
        UsageError: a file or folder isn't there or isn't what it should be, or no detector can be
            built on a network.
        MissingExtra: detectors need operators that don't work here.
    """
    for probe in study.transfer:
        _there(f"transfer {probe.name!r}", probe.images, probe.labels)
    for one in study.detection:
        _there(f"detection {one.name!r}", one.images, one.test, one.boxes, one.test_boxes)
    if study.detection:
        need_operators(study.device)
        for architecture in study.architectures:
            if set(architecture.protocols) != {"as-is"}:
                need_maps(architecture.name)
    return read(study)


def read(study: Study) -> Tried:
    """Return the tasks, none where no network is tried on them.

    Raises:
        UsageError: images, labels or boxes are missing or aren't what they should be.
    """
    if all(set(one.protocols) == {"as-is"} for one in study.architectures):
        return Tried()
    return Tried(
        tuple(_read(one) for one in study.transfer),
        tuple((one, *objects.read(one)) for one in study.detection),
    )


def _there(what: str, *paths: Path | None) -> None:
    for path in paths:
        if path is not None and not path.exists():
            raise UsageError(f"{what}: {path} doesn't exist.")


def probed(tried: Tried, into: ModelLook, protocol: str, _: Path) -> JSON:
    """Return how well features of each arm serve other folders, and random weights."""
    plan = into.plan
    found: dict[tuple[str, str], list[list[Score]]] = {}
    for task in tried.folders:
        for name, several in sources(into, protocol).items():
            seen = [into.see(task.files, source) for source in several]
            models = [[score(task, one, plan.study.probe.l2)] for one in seen]
            found[task.name, name] = models
    return {
        "headline": f"Features of {into.architecture.name}, probed on "
        f"{', '.join(one.name for one in plan.study.transfer)}. {told(found)}".rstrip(),
        "tables": tables(found),
        "images": [],
    }


def sources(
    into: ModelLook, protocol: str, *, trained_again: bool = False
) -> dict[str, list[NetworkSource]]:
    """Return the networks whose features are tried: of each train arm and seed, and random ones.

    A pretrained network is the same for all seeds; it is there once, unless something is trained
    on it that differs by the seed.
    """
    found: dict[str, list[NetworkSource]] = {}
    for cell in into.cells(protocol):
        name = PRETRAINED if protocol == "probe" else cell.train_arm
        source = into.network_of(cell)
        if source not in found.setdefault(name, []):
            found[name].append(source)
    seeds = into.plan.study.seeds
    if trained_again and PRETRAINED in found:
        found[PRETRAINED] *= len(seeds)
    first = next(iter(found.values()))[0]
    found[RANDOM] = [
        NetworkSource(first.name, "", first.outputs, seed, first.preparation) for seed in seeds
    ]
    return found


def _read(transfer: Transfer) -> LabelledFolder:
    """Return a folder with its labels."""
    collection = collect(transfer.images, Data(images=transfer.images))
    if transfer.labels is None:
        labelling = label(collection, None)
        classes = [labelling.labels[one.key] for one in collection.images]
        files = [Stored(collection.root / one.key, one.digest) for one in collection.images]
        truth = np.asarray(classes, dtype=np.int64)
        return LabelledFolder(transfer.name, tuple(files), labelling.classes, truth, None)
    names, rows = _read_answers(transfer.labels)
    kept = [one for one in collection.images if one.key in rows]
    if not kept:
        raise UsageError(f"{transfer.labels} names none of the images of {transfer.images}.")
    answers = np.asarray([rows[one.key] for one in kept], dtype=bool)
    flat = [name for name, column in zip(names, answers.T, strict=True) if len(set(column)) < 2]
    if flat:
        raise UsageError(f"{transfer.labels}: every image has the same answer to {flat[0]!r}.")
    files = [Stored(collection.root / one.key, one.digest) for one in kept]
    return LabelledFolder(transfer.name, tuple(files), tuple(names), None, answers)


def score(task: LabelledFolder, seen: Seen, l2: float) -> Score:
    """Return how well a probe on what a network has seen solves a task."""
    features = seen.features[[seen.place[one.id] for one in task.files]]
    if task.classes is not None:
        logits = _tested(features, task.classes, len(task.names), l2)
        right = (logits.argmax(axis=1) == task.classes).astype(np.float64)
        return Score("top-1", right, len(right))
    if task.answers is None:
        raise ValueError("a task needs classes or answers")
    values = []
    for column in task.answers.T:
        logits = _tested(features, column.astype(np.int64), 2, l2)
        values.append(average_precision_values(column, logits[:, 1] - logits[:, 0]))
    return Score("mean AP", np.mean(values, axis=0), len(features))


def _read_answers(path: Path) -> tuple[list[str], Mapping[str, list[bool]]]:
    lines = read_csv(path)
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


def tables(found: Models) -> list[JSON]:
    """Return the tables of all scores and of their changes from `original`."""
    rows = [
        [task, features, number, one.measure, *one.interval(), one.n]
        for (task, features), models in found.items()
        for number, scores in enumerate(models)
        for one in scores
    ]
    columns = ["task", "features of", "model", "measure", "value", "low", "high", "n"]
    made: list[JSON] = [{"title": "Each model", "columns": columns, "rows": rows}]
    if compared := _changes(found):
        columns = ["task", "features of", "measure", "change", "low", "high", "p", "n"]
        columns += ["trainings", "not estimable"]
        rows = [
            [*names, one.value, one.low, one.high, one.cautious_p, n, one.trainings, one.why]
            for names, one, n in compared
        ]
        title = "Change from original, or from pretrained weights"
        made.append({"title": title, "columns": columns, "rows": rows})
    return made


def told(found: Models) -> str:
    """Return the changes in the first measure of each task as a sentence, "" without any."""
    measures = {task: models[0][0].measure for (task, _), models in found.items()}
    parts = [
        f"{features} {_points(one.value)} {_between(one)} points of {measure} on {task}"
        for (task, features, measure), one, _ in _changes(found)
        if measure == measures[task]
    ]
    return f"Changed by {'; '.join(parts)}." if parts else ""


def _changes(found: Models) -> list[tuple[tuple[str, str, str], Estimate, int]]:
    """Return the task, features and measure of each change, the change, and its images."""
    changes: list[tuple[tuple[str, str, str], Estimate, int]] = []
    for (task, features), models in found.items():
        base = _base(found, task, features)
        for same in zip(*models, strict=True) if base else ():
            measure = same[0].measure
            before = [one for scores in base for one in scores if one.measure == measure]
            change = contrast([_group(1.0, same), _group(-1.0, before)])
            changes.append(((task, features, measure), change, same[0].n))
    return changes


def _between(one: Estimate) -> str:
    if not one.is_estimable:
        return f"(interval not estimable: {one.why})"
    return f"[{_points(one.low)}, {_points(one.high)}]"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "−")


def _base(found: Models, task: str, features: str) -> Sequence[Sequence[Score]]:
    """Return the models that others are compared with: of original images, or pretrained."""
    for name in (ORIGINAL, PRETRAINED):
        if (task, name) in found:
            return found[task, name] if features != name else ()
    return ()


def _group(weight: float, scores: Sequence[Score]) -> Group:
    return Group(weight, np.stack([one.values for one in scores]))
