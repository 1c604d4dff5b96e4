"""Small made-up runs of a study, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfumato.study.analysis.matrix import RunOutcome
from sfumato.study.predictions import Predictions, Run, write_run
from sfumato.study.regions import Regions, write_regions

CLASSES = ("dog", "husky", "cup", "mug", "tub", "bath", "mask", "horn")
LABELS = np.repeat(np.arange(8), 20)
IMAGES = tuple(f"{CLASSES[k]}/{i:03}.jpg" for i, k in enumerate(LABELS))
AFFECTED = np.arange(len(LABELS)) % 4 == 0


def run(
    train: str = "original",
    test: str = "original",
    seed: int = 0,
    model: str = "net",
    protocol: str = "scratch",
) -> Run:
    return Run(model, protocol, train, test, seed, CLASSES, dataset="a made-up set")


def predictions(of: Run, loss: float = 0.0, swap: float = 0.0) -> Predictions:
    """Return predictions that are right where a margin is left after noise of the run."""
    rng = np.random.default_rng([of.seed, *of.train_arm.encode(), *of.architecture.encode()])
    shared = np.random.default_rng(7)
    logits = shared.normal(0, 1, (len(LABELS), 8)) + rng.normal(0, 0.4, (len(LABELS), 8))
    rows = np.arange(len(LABELS))
    logits[rows, LABELS] += 2 - loss * AFFECTED
    logits[rows, LABELS ^ 1] += 1
    logits[:, 0] -= swap
    logits[:, 1] += swap
    return Predictions.of_logits(of, IMAGES, LABELS, logits)


def outcome(of: Run, **effect: float) -> RunOutcome:
    found = predictions(of, **effect)
    assert found.logits is not None
    return RunOutcome.of_predictions(found, found.logits)


def outcomes(
    cells: Sequence[tuple[str, str, dict[str, float]]],
    seeds: int = 3,
    models: Sequence[str] = ("net",),
    protocol: str = "scratch",
) -> list[RunOutcome]:
    return [
        outcome(run(train, test, seed, model, protocol), **effect)
        for model in models
        for train, test, effect in cells
        for seed in range(seeds)
    ]


def regions() -> Regions:
    share = np.where(AFFECTED, np.linspace(0.005, 0.4, len(LABELS)), 0).astype(np.float32)
    overlap = np.where(AFFECTED, share / 2, np.nan).astype(np.float32)
    return Regions(IMAGES, share, overlap)


FULL: tuple[tuple[str, str, dict[str, float]], ...] = (
    ("original", "original", {}),
    ("original", "gaussian", {"loss": 2.5}),
    ("gaussian", "gaussian", {"loss": 1.5, "swap": 0.6}),
    ("gaussian", "original", {"loss": 2.0, "swap": 0.6}),
    ("remedy-gaussian", "original", {"loss": 0.3}),
    ("reencoded", "reencoded", {}),
    ("random-gaussian", "random-gaussian", {"loss": 0.2}),
    ("original", "random-gaussian", {"loss": 0.2}),
)


def write_study(
    folder: Path,
    *,
    cells: Sequence[tuple[str, str, dict[str, float]]] = FULL,
    seeds: int = 3,
    models: Sequence[str] = ("net", "other"),
) -> Path:
    for model in models:
        for train, test, effect in cells:
            for seed in range(seeds):
                write_run(folder, predictions(run(train, test, seed, model), **effect))
    write_regions(folder, regions())
    return folder


def changed(found: RunOutcome, **change: Any) -> RunOutcome:
    """Return an outcome with other columns, unchecked."""
    return replace(found, **change)


def shuffled(found: RunOutcome, seed: int) -> RunOutcome:
    """Return the same outcome with its rows in another order."""
    order = np.random.default_rng(seed).permutation(len(found.images))
    logits: NDArray[Any] = np.asarray(found.logits)
    return replace(
        found,
        images=tuple(found.images[i] for i in order),
        labels=found.labels[order],
        predicted=found.predicted[order],
        rank=found.rank[order],
        confidence=None if found.confidence is None else found.confidence[order],
        logits=logits[order],
    )
