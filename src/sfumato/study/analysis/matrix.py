"""All runs of a study, laid side by side: the same images, labels and classes, in one order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sfumato.errors import UsageError
from sfumato.study.predictions import KEPT, PREDICTIONS_FILE, Predictions, Run, read_run, runs_of
from sfumato.study.regions import REGIONS_FILE, Regions, read_regions

# Trained on the arms first: they answer most.
_ORDER: Final = ("scratch", "finetune", "probe", "brought", "as-is")
_NAMED: Final = 3  # of what is wrong, in a sentence


class Key(NamedTuple):
    """What the seeds of a cell have in common."""

    protocol: str
    architecture: str
    train_arm: str
    test_arm: str


@dataclass(frozen=True, slots=True, eq=False)
class RunOutcome:
    """What a run said, as far as it is known; predictions that others bring may know less.

    `predicted` (n,) are the best classes, `rank` (n,) that of the label, 0 the best; where only
    the `depth` best classes are known, a label that isn't among them has the rank `depth`.
    `confidence` (n,) is the best class's probability. `logits` names a run's folder that has
    them, or holds them (n, K).
    """

    run: Run
    images: tuple[str, ...]
    labels: NDArray[np.int32]
    predicted: NDArray[np.int32]
    rank: NDArray[np.int32]
    confidence: NDArray[np.float32] | None
    logits: Path | NDArray[Any] | None = None
    depth: int = KEPT

    @classmethod
    def of_predictions(cls, found: Predictions, logits: Path | NDArray[Any] | None) -> Self:
        """Return the outcome of a run of ours."""
        return cls(
            found.run,
            found.images,
            found.labels,
            found.top5[:, 0],
            found.label_rank,
            found.top5_probability[:, 0],
            logits,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """The S runs that differ only in their seed, images in the matrix's order: (S, n) each."""

    key: Key
    seeds: tuple[int, ...]
    predicted: NDArray[np.int32]
    rank: NDArray[np.int32]
    confidence: NDArray[np.float32] | None
    logits: tuple[Path | NDArray[Any] | None, ...]
    orders: tuple[NDArray[np.intp], ...]
    depth: int

    @property
    def fixed(self) -> bool:
        """Tell whether the model is taken as it is, so that seeds are no sample of anything."""
        return self.key.protocol == "as-is"

    @property
    def has_logits(self) -> bool:
        """Tell whether average precision can be measured."""
        return all(source is not None for source in self.logits)

    def scores(self, seed: int) -> NDArray[np.float32]:
        """Return the logits (n, K) of a seed, in the matrix's order."""
        place = self.seeds.index(seed)
        source = self.logits[place]
        assert source is not None, "has_logits comes first"
        if isinstance(source, Path):
            found = read_run(source, logits=True)
            assert found.logits is not None, "the schema was looked at"
            # Kept logits have 0 as their best; images are ranked by what the model gave.
            source = found.logits.astype(np.float32) + found.logit_max[:, None]
        scores: NDArray[np.float32] = np.asarray(source, dtype=np.float32)[self.orders[place]]
        return scores


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """The cells of one protocol over n images; `labels` (n,) index `classes`."""

    images: tuple[str, ...]
    labels: NDArray[np.int32]
    classes: tuple[str, ...]
    dataset: str
    cells: dict[Key, Cell]
    regions: Regions | None = None
    runs: tuple[Run, ...] = field(default=())

    @property
    def protocol(self) -> str:
        """Return how its models were trained."""
        return next(iter(self.cells)).protocol

    @property
    def affected(self) -> NDArray[np.bool_] | None:
        """Return which images have an obfuscated region, None if that isn't known."""
        return None if self.regions is None else self.regions.face_area_share > 0

    def cell(self, architecture: str, train: str, test: str) -> Cell:
        """Return the runs of an architecture, trained and tested on these arms."""
        return self.cells[Key(self.protocol, architecture, train, test)]

    def architectures(self, arms: Iterable[tuple[str, str]]) -> list[str]:
        """Return the architectures that have all of these (train arm, test arm)."""
        there = {key[1:] for key in self.cells}
        names = sorted({key.architecture for key in self.cells})
        wanted = list(arms)
        return [name for name in names if all((name, *pair) in there for pair in wanted)]


def read_matrices(study: Path, regions: Path | None = None) -> list[Matrix]:
    """Read all finished runs of a study's folder, and its regions if there are any.

    One matrix for each protocol: a classifier as it came may know other classes than a probe.

    Raises:
        UsageError: there is no run, one is damaged, or two don't speak of the same images.
    """
    outcomes = []
    for folder, _ in runs_of(study):
        found = read_run(folder)
        kept = "logits" in pq.read_schema(folder / PREDICTIONS_FILE).names
        outcomes.append(RunOutcome.of_predictions(found, folder if kept else None))
    path = regions or study / REGIONS_FILE
    known = read_regions(path) if regions or path.is_file() else None
    return matrices_of(outcomes, known)


def matrices_of(outcomes: Sequence[RunOutcome], regions: Regions | None = None) -> list[Matrix]:
    """Lay the runs of each protocol side by side, as `matrix_of` does.

    Raises:
        UsageError: as `matrix_of`.
    """
    used = {outcome.run.protocol for outcome in outcomes}
    protocols = [name for name in _ORDER if name in used]
    if not protocols:
        raise UsageError("There are no predictions to analyse.")
    return [
        matrix_of([outcome for outcome in outcomes if outcome.run.protocol == name], regions)
        for name in protocols
    ]


def matrix_of(outcomes: Sequence[RunOutcome], regions: Regions | None = None) -> Matrix:
    """Lay runs of one protocol side by side.

    Raises:
        UsageError: no run, two with the same name, or runs whose classes, images or labels
            differ; the sentence names the runs and the first difference.
    """
    if not outcomes:
        raise UsageError("There are no predictions to analyse.")
    first = outcomes[0]
    order = np.argsort(np.array(first.images), kind="stable")
    images = tuple(first.images[i] for i in order)
    labels = first.labels[order]
    by_key: dict[Key, list[tuple[RunOutcome, NDArray[np.intp]]]] = defaultdict(list)
    for outcome in outcomes:
        _refuse_other_classes(first, outcome)
        own = _order_like(first, images, outcome)
        _refuse_other_labels(first, outcome, images, labels, own)
        run = outcome.run
        key = Key(run.protocol, run.architecture, run.train_arm, run.test_arm)
        by_key[key].append((outcome, own))
    cells = {key: _cell(key, found) for key, found in sorted(by_key.items())}
    return Matrix(
        images,
        labels,
        first.run.classes,
        first.run.dataset,
        cells,
        None if regions is None else regions.of(images),
        tuple(outcome.run for outcome in outcomes),
    )


def _cell(key: Key, found: list[tuple[RunOutcome, NDArray[np.intp]]]) -> Cell:
    found = sorted(found, key=lambda pair: pair[0].run.seed)
    seeds = tuple(outcome.run.seed for outcome, _ in found)
    if len(set(seeds)) != len(seeds):
        raise UsageError(
            f"There are two runs of {key.architecture} ({key.protocol}), trained on "
            f"{key.train_arm} and tested on {key.test_arm}, with the same seed: keep one."
        )
    confidences = [
        None if outcome.confidence is None else outcome.confidence[own] for outcome, own in found
    ]
    known = [confidence for confidence in confidences if confidence is not None]
    return Cell(
        key,
        seeds,
        np.stack([outcome.predicted[own] for outcome, own in found]),
        np.stack([outcome.rank[own] for outcome, own in found]),
        np.stack(known) if len(known) == len(found) else None,
        tuple(outcome.logits for outcome, _ in found),
        tuple(own for _, own in found),
        min(outcome.depth for outcome, _ in found),
    )


def _order_like(first: RunOutcome, images: tuple[str, ...], other: RunOutcome) -> NDArray[np.intp]:
    place = {name: i for i, name in enumerate(other.images)}
    missing = [name for name in images if name not in place]
    added = sorted(set(other.images) - set(images))
    if missing or added:
        where, names = (other, missing) if missing else (first, added)
        raise UsageError(
            f"Predictions are for other images: {_name(where)} lacks {len(names)} of "
            f"{len(set(images) | set(other.images))}, such as {_some(names)}. All runs of a "
            "study must be tested on the same images, under the same names."
        )
    return np.array([place[name] for name in images], dtype=np.intp)


def _refuse_other_classes(first: RunOutcome, other: RunOutcome) -> None:
    ours, theirs = first.run.classes, other.run.classes
    if ours == theirs:
        return
    for has, lacks in ((first, other), (other, first)):
        gone = [name for name in has.run.classes if name not in set(lacks.run.classes)]
        if gone:
            raise UsageError(
                f"{_name(lacks)} lacks {len(gone)} of the classes that {_name(has)} has: "
                f"{_some(gone)}. All runs of a study need the same classes."
            )
    raise UsageError(
        f"{_name(first)} and {_name(other)} have the same classes in another order, so the same "
        "label means something else."
    )


def _refuse_other_labels(
    first: RunOutcome,
    other: RunOutcome,
    images: tuple[str, ...],
    labels: NDArray[np.int32],
    own: NDArray[np.intp],
) -> None:
    differ = labels != other.labels[own]
    if differ.any():
        at = int(differ.argmax())
        one, two = (first.run.classes[int(k)] for k in (labels[at], other.labels[own][at]))
        raise UsageError(
            f"Labels don't match: {images[at]!r} is {one!r} in {_name(first)} and {two!r} in "
            f"{_name(other)} ({int(differ.sum())} of {len(images)} images differ)."
        )


def _name(outcome: RunOutcome) -> str:
    return f"the run {outcome.run.id}"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_NAMED])
    return shown + (" …" if len(names) > _NAMED else "")
