"""What an analysis of a study comes to, as records, and as JSON in `study.json`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import isfinite
from pathlib import Path
from typing import Any, Final

from sfumato.stats.bootstrap import ROUNDS
from sfumato.study.analysis.comparisons import Question
from sfumato.study.analysis.estimates import Equivalence, Estimate
from sfumato.study.analysis.matrix import Key
from sfumato.study.analysis.measures import McNemar
from sfumato.study.analysis.pairs import ClassPair
from sfumato.study.analysis.precision import ClassPrecision
from sfumato.study.analysis.remedies import RemedyEffect
from sfumato.study.analysis.subsets import Subset
from sfumato.types import JSON


@dataclass(frozen=True, slots=True)
class AnalysisChoice:
    """How to analyse: the margin of equivalence (a fraction), seed and rounds of the bootstrap.

    `supercategories` is WordNet's database or a table, as `read_supercategories` takes it.
    """

    margin: float = 0.01
    seed: int = 0
    supercategories: Path | None = None
    rounds: int = ROUNDS


@dataclass(frozen=True, slots=True)
class Levels:
    """A measure before and after, each with the interval of its own, and the change."""

    before: Estimate
    after: Estimate
    change: Estimate

    def summary(self) -> JSON:
        """Return all three for `study.json`, in points."""
        return {one.name: getattr(self, one.name).summary() for one in fields(self)}


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One architecture's share of an answer; `tests` are McNemar's by seed.

    `errors` are the standard errors over seeds of top-1 before and after, s/√S with S - 1.
    """

    architecture: str
    seeds: tuple[int, ...]
    top1: Levels
    top5: Levels | None
    errors: tuple[float, float]
    tests: tuple[tuple[int, McNemar], ...]

    def summary(self) -> JSON:
        """Return the row for `study.json`."""
        return {
            "architecture": self.architecture,
            "seeds": list(self.seeds),
            "top1": self.top1.summary(),
            "top5": _summary(self.top5),
            "standard_errors": [100 * e if isfinite(e) else None for e in self.errors],
            "mcnemar": [{"seed": seed, **test.summary()} for seed, test in self.tests],
        }


@dataclass(frozen=True, slots=True)
class StudyAnswer:
    """What is known of one question; what wasn't measured is None, and a note says why."""

    protocol: str
    question: Question
    models: tuple[str, ...]
    top1: Levels | None
    change: Estimate
    p_holm: float
    equivalence: Equivalence
    bootstrap: tuple[float, float]
    over_models: Estimate
    top5: Levels | None = None
    calibration: Levels | None = None
    rows: tuple[ModelRow, ...] = ()
    affected: tuple[Subset, ...] = ()
    areas: tuple[Subset, ...] = ()
    overlaps: tuple[Subset, ...] = ()
    supercategories: tuple[Subset, ...] = ()
    classes: tuple[Subset, ...] = ()
    pairs: tuple[ClassPair, ...] = ()
    precisions: tuple[ClassPrecision, ...] | None = None
    mean_precision: Estimate | None = None
    notes: tuple[str, ...] = ()

    def summary(self) -> JSON:
        """Return the answer for `study.json`; what wasn't measured is None or empty."""
        question = self.question
        return {
            "protocol": self.protocol,
            "kind": question.kind,
            "arm": question.arm,
            "title": question.title,
            "terms": [list(term) for term in question.terms],
            "architectures": list(self.models),
            "change": self.change.summary(),
            "p_holm": self.p_holm if isfinite(self.p_holm) else None,
            "equivalence": self.equivalence.summary(),
            "bootstrap": [100 * end if isfinite(end) else None for end in self.bootstrap],
            "over_architectures": self.over_models.summary(),
            **{name: _summary(getattr(self, name)) for name in _MEASURED},
            "average_precision": _summary(self.precisions),
            "mean_average_precision": _summary(self.mean_precision),
            "notes": list(self.notes),
        }


_MEASURED: Final = (
    *("top1", "top5", "calibration", "rows"),
    *("affected", "areas", "overlaps", "supercategories", "classes", "pairs"),
)


@dataclass(frozen=True, slots=True)
class CellRow:
    """A cell of the matrix: its measures over seeds, each with an interval."""

    key: Key
    seeds: tuple[int, ...]
    top1: Estimate
    top5: Estimate | None
    calibration: Estimate | None

    def summary(self) -> JSON:
        """Return the cell for `study.json`."""
        return {
            **self.key._asdict(),
            "seeds": list(self.seeds),
            "top1": self.top1.summary(),
            "top5": _summary(self.top5),
            "calibration": _summary(self.calibration),
        }


@dataclass(frozen=True, slots=True)
class GridRow:
    """The mean over architectures of top-1 for one train and test arm."""

    train: str
    test: str
    models: tuple[str, ...]
    top1: Estimate

    def summary(self) -> JSON:
        """Return the row for `study.json`."""
        return {
            "train_arm": self.train,
            "test_arm": self.test,
            "architectures": list(self.models),
            "top1": self.top1.summary(),
        }


@dataclass(frozen=True, slots=True)
class Answers:
    """What the runs of one protocol say: its matrix of cells, the answers, and the remedies."""

    protocol: str
    images: int
    affected: int | None
    classes: tuple[str, ...]
    dataset: str
    cells: tuple[CellRow, ...]
    grid: tuple[GridRow, ...]
    answers: tuple[StudyAnswer, ...]
    remedies: tuple[RemedyEffect, ...]
    notes: tuple[str, ...]

    def of_kind(self, kind: str) -> list[StudyAnswer]:
        """Return the answers to one kind of question."""
        return [one for one in self.answers if one.question.kind == kind]

    def summary(self) -> JSON:
        """Return everything for `study.json`."""
        return {one.name: _summary(getattr(self, one.name)) for one in fields(self)}


@dataclass(frozen=True, slots=True)
class Analysis:
    """A study's answers, one part a protocol, and how they were asked for."""

    parts: tuple[Answers, ...]
    choice: AnalysisChoice

    def summary(self) -> JSON:
        """Return everything for `study.json`, in points."""
        return {
            "margin": 100 * self.choice.margin,
            "seed": self.choice.seed,
            "parts": _summary(self.parts),
        }


def _summary(found: Any) -> Any:
    """Return a value for `study.json`; records say themselves what they come to."""
    if isinstance(found, tuple):
        return [_summary(one) for one in found]
    return found.summary() if hasattr(found, "summary") else found
