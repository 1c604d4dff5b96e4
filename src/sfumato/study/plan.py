"""What a study's folder and configuration mean: images, arms, classes, and what is to be run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from sfumato.errors import UsageError
from sfumato.study import arms as making
from sfumato.study.arms import Arm, Making, Progress, silent
from sfumato.study.configuration import Architecture, Study, is_remedy, method_of
from sfumato.study.files import digest, write
from sfumato.study.images import (
    Collection,
    Labelling,
    check_classes,
    collect,
    label,
    label_as_is,
    regions,
)
from sfumato.study.networks import NetworkSource, resolve
from sfumato.study.predictions import RUN_FILE, Run, read_record
from sfumato.study.probing import folds, resample
from sfumato.study.regions import write_regions

LAYOUT: Final = 1


@dataclass(frozen=True, slots=True)
class Side:
    """The images that models are trained or tested on, as each arm shows them."""

    collection: Collection
    arms: Mapping[str, Arm]
    labelling: Labelling

    @property
    def keys(self) -> list[str]:
        """Return the labelled keys that all arms have, in order."""
        any_arm = next(iter(self.arms.values()))
        return sorted(key for key in any_arm.files if key in self.labelling.labels)

    def labels(self, keys: Sequence[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return the classes of these keys."""
        return np.asarray([self.labelling.labels[key] for key in keys], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Split:
    """Keys to train on (some perhaps several times) and keys to test on."""

    train: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """A study with its images read and its arms made; `device` is where its networks run."""

    folder: Path
    study: Study
    train: Side
    test: Side
    as_is: Labelling | None
    device: str
    progress: Progress = silent

    @property
    def workers(self) -> int:
        """Return the number of processes, 0 for one a core."""
        return self.study.workers

    @property
    def crossed(self) -> bool:
        """Tell whether the tested images are parts of the trained ones."""
        return self.study.data.test is None

    @property
    def cache(self) -> Path:
        """Return where arms and features are kept."""
        return self.folder / "cache"

    def splits(self, seed: int) -> list[Split]:
        """Return what is trained and tested with this seed.

        Crossed: each part of the folds is tested by a model of the others. With a folder to test
        on: all of it, by a model of training images drawn with replacement.
        """
        labels = {key: self.train.labelling.labels[key] for key in self.train.keys}
        if not self.crossed:
            return [Split(tuple(resample(self.train.keys, labels, seed)), tuple(self.test.keys))]
        parts = folds(labels, self.study.data.folds, seed)
        return [
            Split(tuple(k for other in parts if other is not part for k in other), tuple(part))
            for part in parts
        ]

    def source(self, architecture: Architecture) -> NetworkSource:
        """Return where an architecture's network comes from."""
        return resolve(architecture.name, architecture.weights, self.folder)

    def run_of(self, cell: PlannedRun, versions: Mapping[str, str] | None = None) -> Run:
        """Return the record of a cell's run."""
        as_is = cell.protocol == "as-is"
        labelling = self.as_is if as_is and self.as_is else self.test.labelling
        return Run(
            architecture=cell.architecture.name,
            protocol=cell.protocol,
            train_arm=cell.train_arm,
            test_arm=cell.test_arm,
            seed=cell.seed,
            classes=labelling.classes,
            dataset=self.study.data.name or self.study.data.images.name,
            fingerprint=self._fingerprint(cell, labelling),
            device=self.device,
            versions=versions or {},
        )

    def is_done(self, cell: PlannedRun) -> bool:
        """Tell whether a run with these very settings is there, wherever it was made."""
        wanted = self.run_of(cell)
        path = self.folder / "runs" / wanted.id / RUN_FILE
        return path.is_file() and read_record(path).fingerprint == wanted.fingerprint

    def write_down(self) -> None:
        """Write what an analysis needs besides predictions: `regions.parquet`, `left_out.json`.

        Raises:
            OutputError: the disk refuses.
        """
        write_regions(self.folder, regions([self.test.collection], self.study.arms.expand))
        reasons = {**self.train.collection.left_out, **self.test.collection.left_out}
        text = json.dumps(dict(sorted(reasons.items())), indent=1, ensure_ascii=False)
        write(self.folder / "left_out.json", f"{text}\n".encode())

    def _fingerprint(self, cell: PlannedRun, labelling: Labelling) -> str:
        parts: dict[str, Any] = {
            "layout": LAYOUT,
            "network": cell.network,
            "protocol": cell.protocol,
            "test": self.test.arms[cell.test_arm].digest,
            "labels": labelling.digest,
        }
        if cell.protocol != "as-is":
            parts |= self.training_settings(cell)
        return digest(parts)

    def training_settings(self, cell: PlannedRun) -> dict[str, Any]:
        """Return what a trained model depends on besides its network."""
        arm = cell.train_arm
        fresh = cell.protocol != "probe"  # a remedy is drawn anew each time an image is seen
        base = method_of(arm) if is_remedy(arm) and fresh else arm
        parts: dict[str, Any] = {
            "train": self.train.arms[base].digest,
            "train_labels": self.train.labelling.digest,
            "seed": cell.seed,
            "folds": self.study.data.folds if self.crossed else 0,
        }
        if cell.protocol == "probe":
            return {**parts, **self.study.settings("probe")}
        finetune = cell.protocol == "finetune"
        recipe = self.study.training.resolved(
            finetune=finetune, architecture=cell.architecture.name
        )
        parts |= {"recipe": repr(recipe), "precision": self.study.training.precision}
        if is_remedy(arm):
            parts |= self.study.settings("remedy")
            parts["faces"] = self.train.collection.fingerprint()
        return parts


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One run to be made; `network` is the fingerprint of the architecture with its weights."""

    architecture: Architecture
    network: str
    protocol: str
    train_arm: str
    test_arm: str
    seed: int


def make_plan(folder: Path, study: Study, progress: Progress = silent) -> StudyPlan:
    """Read the images and make the arms.

    Raises:
        UsageError: images, labels, faces or releases aren't what a study needs.
    """
    protocols = {p for one in study.architectures for p in one.protocols}
    trains = bool(protocols - {"as-is"})
    shown = Making(study.arms, study.remedy, folder / "cache", study.workers, progress)
    # Original is needed for what is compared with it: shortcuts, Grad-CAM.
    tested = list(dict.fromkeys(("original", *study.arms.test)))
    learnt = [arm for arm in study.arms.train if trains]
    bases = [method_of(arm) for arm in learnt if is_remedy(arm)]
    if protocols.isdisjoint({"probe"}):
        learnt = [arm for arm in learnt if not is_remedy(arm)]
    learnt = list(dict.fromkeys([*learnt, *bases]))
    images = collect(study.data.images, study.data)
    if study.data.test is None:
        both = list(dict.fromkeys([*tested, *learnt]))
        train = test = _side(images, both, shown, study)
    else:
        train = _side(images, learnt or ["original"], shown, study)
        test = _side(collect(study.data.test, study.data), tested, shown, study)
        _same_classes(train, test)
    if trains and study.data.test is None:
        check_classes(train.collection, train.labelling, study.data.folds)
    as_is = None
    if "as-is" in protocols and study.as_is.classes is not None:
        as_is = label_as_is(test.collection, study.as_is.classes)
    return StudyPlan(folder, study, train, test, as_is, study.device, progress)


def cells(plan: StudyPlan) -> list[PlannedRun]:
    """Return all runs that the configuration asks for, in a fixed order."""
    study = plan.study
    found: list[PlannedRun] = []
    for one in study.architectures:
        network = plan.source(one).fingerprint()
        for protocol in one.protocols:
            for arm in ("original",) if protocol == "as-is" else study.arms.train:
                for seed in (0,) if protocol == "as-is" else study.seeds:
                    found += [
                        PlannedRun(one, network, protocol, arm, tested, seed)
                        for tested in study.arms.test
                    ]
    return found


def _side(collection: Collection, names: Sequence[str], shown: Making, study: Study) -> Side:
    labelling = label(collection, study.data.groups)
    making.faces_are_there(collection, names, study.arms)
    made, left_out = making.make(collection, names, shown)
    making.check_complete(made, labelling, collection)
    return Side(collection.without(left_out), made, labelling)


def _same_classes(train: Side, test: Side) -> None:
    if train.labelling.classes != test.labelling.classes:
        different = sorted(set(train.labelling.classes) ^ set(test.labelling.classes))
        raise UsageError(
            f"The classes to train and to test on differ: {', '.join(different[:5])} "
            f"({len(different)} in all) are in one of {train.collection.root} and "
            f"{test.collection.root} alone."
        )
