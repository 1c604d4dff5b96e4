"""The networks of a study tried on other tasks: linear probes and detectors, as probes' records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sfumato.errors import UsageError
from sfumato.study import detection_transfer, objects, transfer
from sfumato.study.configuration import Detection, Study
from sfumato.study.detection_training import Task, file_name, fit, need_maps, need_operators
from sfumato.study.detection_training import read as read_found
from sfumato.study.looking import Look
from sfumato.study.networks import Source
from sfumato.study.objects import Scenes
from sfumato.study.processes import spread
from sfumato.types import JSON

KINDS: Final = ("transfer", "detection")


@dataclass(frozen=True, slots=True)
class Tried:
    """The other tasks of a study, read once: that takes minutes where pictures are many."""

    folders: tuple[transfer.Task, ...] = ()
    objects: tuple[tuple[Detection, Scenes, Scenes], ...] = ()

    def digests(self) -> list[str]:
        """Return the SHA-256 of the pictures and labels of every task, for fingerprints."""
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
        _there(f"transfer {probe.name!r}", probe.pictures, probe.labels)
    for one in study.detection:
        _there(f"detection {one.name!r}", one.pictures, one.test, one.boxes, one.test_boxes)
    if study.detection:
        need_operators(study.device)
        for architecture in study.architectures:
            if set(architecture.protocols) != {"as-is"}:
                need_maps(architecture.name)
    return read(study)


def read(study: Study) -> Tried:
    """Return the tasks, none where no network is tried on them.

    Raises:
        UsageError: pictures, labels or boxes are missing or aren't what they should be.
    """
    if all(set(one.protocols) == {"as-is"} for one in study.architectures):
        return Tried()
    return Tried(
        tuple(transfer.read(one) for one in study.transfer),
        tuple((one, *objects.read(one)) for one in study.detection),
    )


def _there(what: str, *paths: Path | None) -> None:
    for path in paths:
        if path is not None and not path.exists():
            raise UsageError(f"{what}: there is no {path}.")


def probed(tried: Tried, into: Look, protocol: str, _: Path) -> JSON:
    """Return how well features of each arm serve other folders, and random weights."""
    plan = into.plan
    found: dict[tuple[str, str], list[list[transfer.Score]]] = {}
    for task in tried.folders:
        for name, several in _sources(into, protocol).items():
            seen = [into.see(task.files, source) for source in several]
            models = [[transfer.score(task, one, plan.study.probe.l2)] for one in seen]
            found[task.name, name] = models
    return {
        "headline": f"Features of {into.architecture.name}, probed on "
        f"{', '.join(one.name for one in plan.study.transfer)}. {transfer.told(found)}".rstrip(),
        "tables": transfer.tables(found),
        "pictures": [],
    }


def detected(tried: Tried, into: Look, protocol: str, _: Path) -> JSON:
    """Return how well a detector does that is trained on the network of each arm."""
    found: dict[tuple[str, str], list[list[transfer.Score]]] = {}
    said: list[str] = []
    for wanted, learnt, tested in tried.objects:
        lacking = len(learnt.left_out) + len(tested.left_out)
        said.append(f"{wanted.name} ({lacking} pictures left out)" if lacking else wanted.name)
        tasks = {
            name: _detectors(into, wanted, (learnt, tested), several)
            for name, several in _sources(into, protocol, trained_again=True).items()
        }
        spread_over = into.plan.workers if into.device == "cpu" else 1
        paths = spread(fit, [one for some in tasks.values() for one in some], spread_over)
        for name, several in tasks.items():
            found[wanted.name, name] = [
                detection_transfer.scores(read_found(next(paths)), tested) for _ in several
            ]
    return {
        "headline": f"Faster R-CNN on {into.architecture.name}, trained on "
        f"{', '.join(said)}. {transfer.told(found)}".rstrip(),
        "tables": transfer.tables(found),
        "pictures": [],
    }


def _detectors(
    into: Look, wanted: Detection, sides: tuple[Scenes, Scenes], sources: Sequence[Source]
) -> list[Task]:
    learnt, tested = sides
    folder = into.plan.cache / "detectors"
    return [
        Task(
            source,
            wanted,
            len(learnt.classes),
            learnt.scenes,
            tested.scenes,
            seed,
            folder / file_name(source, wanted, (learnt.digest, tested.digest), seed),
            into.device,
        )
        for source, seed in zip(sources, into.plan.study.seeds, strict=True)
    ]


def _sources(into: Look, protocol: str, *, trained_again: bool = False) -> dict[str, list[Source]]:
    """Return the networks whose features are tried: of each train arm and seed, and random ones.

    A pretrained network is the same for all seeds; it is there once, unless something is trained
    on it that differs by the seed.
    """
    sources: dict[str, list[Source]] = {}
    for cell in into.cells(protocol):
        name = transfer.PRETRAINED if protocol == "probe" else cell.train_arm
        source = into.network_of(cell)
        if source not in sources.setdefault(name, []):
            sources[name].append(source)
    seeds = into.plan.study.seeds
    if trained_again and transfer.PRETRAINED in sources:
        sources[transfer.PRETRAINED] *= len(seeds)
    first = next(iter(sources.values()))[0]
    sources[transfer.RANDOM] = [
        Source(first.name, "", first.outputs, seed, first.preparation) for seed in seeds
    ]
    return sources
