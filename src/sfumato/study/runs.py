"""The matrix of a study: train arm × test arm × seeds × architectures, run after run.

A run that is there with the same fingerprint is never made again. What runs share (arms, features,
trained weights) is kept in `cache/` and `models/` of the study's folder, so a killed study goes on
close to where it was.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfumato.study import probing
from sfumato.study.arms import Progress, Stored, silent
from sfumato.study.configuration import Study, is_remedy, method_of
from sfumato.study.features import Floats, Seen, available, see
from sfumato.study.files import digest
from sfumato.study.group import ProcessGroup, joined
from sfumato.study.networks import NetworkSource
from sfumato.study.plan import PlannedRun, Split, StudyPlan, cells, make_plan
from sfumato.study.predictions import Predictions, write_run
from sfumato.study.processes import count, spread
from sfumato.study.training import Example, Training, shapes_of, train, trained
from sfumato.version import VERSION

_MOST_LOGITS = 1000  # classes; beyond it predictions are kept without their logits


@dataclass(frozen=True, slots=True)
class RunsMade:
    """What a call of `run` did: the plan, how many runs there are, and how many it made."""

    plan: StudyPlan
    runs: int
    made: int
    leads: bool = True  # of several processes, only one reports


def run(folder: Path, study: Study, progress: Progress = silent) -> RunsMade:
    """Make every run of a study that isn't there yet.

    Raises:
        UsageError: the configuration, the images or the weights aren't what they should be.
        OutputError: the disk refuses.
    """
    with joined(study.device) as group:
        device = available(group.device(study.device))
        plan = replace(_planned(folder, study, group, progress), device=device)
        wanted = cells(plan)
        todo = group.agreed([i for i, cell in enumerate(wanted) if not plan.is_done(cell)])
        missing = [wanted[i] for i in todo]
        _train(plan, missing, group)
        if group.leads:
            _predict(plan, missing)
        group.wait()
    return RunsMade(plan, len(wanted), len(missing), group.leads)


def _planned(folder: Path, study: Study, group: ProcessGroup, progress: Progress) -> StudyPlan:
    if group.leads:
        plan = make_plan(folder, study, progress)
        plan.write_down()
        group.wait()
        return plan
    group.wait()  # what the leader made is there: the others only read it
    return make_plan(folder, study)


def versions() -> dict[str, str]:
    """Return the versions that predictions may depend on."""
    found = {"sfumato": VERSION, "python": platform.python_version()}
    for name in ("torch", "torchvision", "timm", "numpy", "pillow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def models(plan: StudyPlan, cell: PlannedRun) -> list[tuple[Split, Training]]:
    """Return the trainings of a cell: one for each split of its seed."""
    study, side = plan.study, plan.train
    base = method_of(cell.train_arm) if is_remedy(cell.train_arm) else cell.train_arm
    files = side.arms[base].files
    faces = {one.key: one.faces for one in side.collection.images}
    recipe = study.training.resolved(
        finetune=cell.protocol == "finetune", architecture=cell.architecture.name
    )
    source = plan.source(cell.architecture)
    if cell.protocol == "scratch":
        source = replace(source, weights="")
    found: list[tuple[Split, Training]] = []
    for number, split in enumerate(plan.splits(cell.seed)):
        examples = tuple(
            Example(files[key], side.labelling.labels[key], faces[key], key) for key in split.train
        )
        found.append(
            (
                split,
                Training(
                    source=source,
                    classes=len(side.labelling.classes),
                    examples=examples,
                    recipe=recipe,
                    seed=cell.seed,
                    checkpoint=plan.folder / "models" / f"{_trained_name(plan, cell, number)}.pt",
                    remedy=study.remedy if is_remedy(cell.train_arm) else None,
                    shapes=shapes_of(list(faces.values())),
                    precision=study.training.precision,
                    device=plan.device,
                    readers=0 if plan.device == "cpu" else count(study.workers),
                ),
            )
        )
    return found


def probe_file(plan: StudyPlan, cell: PlannedRun, number: int) -> Path:
    """Return where the probe of a cell's split is kept."""
    return plan.cache / "probes" / f"{_trained_name(plan, cell, number)}.npz"


def _trained_name(plan: StudyPlan, cell: PlannedRun, number: int) -> str:
    parts = {**plan.training_settings(cell), "network": cell.network, "split": number}
    parts["protocol"] = cell.protocol
    safe = cell.architecture.name.replace("/", "_")
    name = f"{safe}-{cell.protocol}-{cell.train_arm}-seed{cell.seed}-part{number}"
    return f"{name}-{digest(parts)[:16]}"


def _train(plan: StudyPlan, missing: Sequence[PlannedRun], group: ProcessGroup) -> None:
    tasks: dict[Path, Training] = {}
    for cell in missing:
        if cell.protocol in ("scratch", "finetune"):
            for _, training in models(plan, cell):
                tasks.setdefault(training.checkpoint, training)
    names = group.agreed([str(path) for path in tasks if not path.exists()])
    todo = [tasks[Path(name)] for name in names]
    if group.size > 1 or plan.device != "cpu":
        done = (train(one, group) for one in todo)
    else:
        done = (path for path in spread(train, todo, plan.workers))
    for number, _ in enumerate(done, start=1):
        if group.leads:
            plan.progress("models trained", number, len(todo))


def _predict(plan: StudyPlan, missing: Sequence[PlannedRun]) -> None:
    for (_, protocol), group in groupby(missing, lambda one: (one.network, one.protocol)):
        wanted = list(group)
        if protocol == "as-is":
            _as_is(plan, wanted)
        elif protocol == "probe":
            _probe(plan, wanted)
        else:
            for _, same in groupby(wanted, lambda one: (one.train_arm, one.seed)):
                _test(plan, list(same))


def seen_by(plan: StudyPlan, source: NetworkSource, names: Sequence[str]) -> Seen:
    """Return what a network makes of these arms, on both sides, from the cache if it is there."""
    stored = [
        one
        for side in ((plan.test,) if plan.crossed else (plan.train, plan.test))
        for name in ("original", *names)  # first, so that the others add only what they change
        if name in side.arms
        for one in side.arms[name].files.values()
    ]
    return see_files(plan, source, stored, plan.progress)


def see_files(
    plan: StudyPlan, source: NetworkSource, stored: Sequence[Stored], progress: Progress = silent
) -> Seen:
    """Return what a network makes of some files."""
    workers, device = plan.workers, plan.device
    return see(source, stored, plan.cache, workers=workers, device=device, progress=progress)


def _as_is(plan: StudyPlan, wanted: Sequence[PlannedRun]) -> None:
    if plan.as_is is None:
        raise ValueError("as-is needs its classes")
    arms = [cell.test_arm for cell in wanted]
    seen = seen_by(plan, plan.source(wanted[0].architecture), arms)
    labels = plan.as_is.labels
    for cell in wanted:
        arm = plan.test.arms[cell.test_arm]
        keys = sorted(key for key in arm.files if key in labels)
        truth = np.asarray([labels[key] for key in keys], dtype=np.int64)
        _write(plan, cell, keys, truth, seen.logits[seen.rows(arm, keys)])


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """Probes of one train arm and seed: features by row, and for each split its rows and file."""

    train: Floats
    labels: NDArray[np.int64]
    tests: tuple[Floats, ...]
    splits: tuple[tuple[list[int], list[int], Path], ...]
    classes: int
    l2: float


def _fit(task: _Fit) -> list[NDArray[np.float64]]:
    logits = [np.zeros((len(one), task.classes)) for one in task.tests]
    for rows, tested, path in task.splits:
        fitted = probing.read(path)
        if fitted is None:
            fitted = probing.fit(task.train[rows], task.labels[rows], task.classes, task.l2)
            probing.keep(path, fitted)
        for found, features in zip(logits, task.tests, strict=True):
            found[tested] = fitted.logits(features[tested])
    return logits


def _probe(plan: StudyPlan, wanted: Sequence[PlannedRun]) -> None:
    arms = {cell.test_arm for cell in wanted} | {cell.train_arm for cell in wanted}
    source = plan.source(wanted[0].architecture)
    seen = seen_by(plan, source, sorted(arms))
    batches = [list(same) for _, same in groupby(wanted, lambda one: (one.train_arm, one.seed))]
    tasks = [_fit_of(plan, seen, same) for same in batches]
    keys = plan.test.keys
    truth = plan.test.labels(keys)
    for number, found in enumerate(spread(_fit, tasks, plan.workers), start=1):
        for cell, logits in zip(batches[number - 1], found, strict=True):
            _write(plan, cell, keys, truth, logits)
        plan.progress(f"probes of {source.name}", number, len(tasks))


def _fit_of(plan: StudyPlan, seen: Seen, same: Sequence[PlannedRun]) -> _Fit:
    train_keys, test_keys = plan.train.keys, plan.test.keys
    row = {key: i for i, key in enumerate(train_keys)}
    place = {key: i for i, key in enumerate(test_keys)}
    splits = tuple(
        (
            [row[key] for key in split.train],
            [place[key] for key in split.test],
            probe_file(plan, same[0], number),
        )
        for number, split in enumerate(plan.splits(same[0].seed))
    )
    trained_on = plan.train.arms[same[0].train_arm]
    return _Fit(
        seen.features[seen.rows(trained_on, train_keys)],
        plan.train.labels(train_keys),
        tuple(seen.features[seen.rows(plan.test.arms[cell.test_arm], test_keys)] for cell in same),
        splits,
        len(plan.train.labelling.classes),
        plan.study.probe.l2,
    )


def _test(plan: StudyPlan, same: Sequence[PlannedRun]) -> None:
    """Write the runs of one trained model (or one for each split) on each test arm."""
    keys = plan.test.keys
    place = {key: i for i, key in enumerate(keys)}
    logits = {
        cell.test_arm: np.zeros((len(keys), len(plan.test.labelling.classes))) for cell in same
    }
    for split, training in models(plan, same[0]):
        stored = [plan.test.arms[name].files[key] for name in logits for key in split.test]
        seen = see_files(plan, trained(training), stored)
        rows = [place[key] for key in split.test]
        for name, found in logits.items():
            found[rows] = seen.logits[seen.rows(plan.test.arms[name], split.test)]
    truth = plan.test.labels(keys)
    for cell in same:
        _write(plan, cell, keys, truth, logits[cell.test_arm])
    plan.progress(f"tested: {same[0].architecture.name}, {same[0].train_arm}", 1, 1)


def _write(
    plan: StudyPlan,
    cell: PlannedRun,
    keys: Sequence[str],
    truth: NDArray[np.int64],
    logits: NDArray[Any],
) -> None:
    record = plan.run_of(cell, versions())
    keep = len(record.classes) <= _MOST_LOGITS
    write_run(plan.folder, Predictions.of_logits(record, keys, truth, logits, keep_logits=keep))
