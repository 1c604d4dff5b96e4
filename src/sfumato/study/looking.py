"""One architecture of a finished study, for those who look into its models."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sfumato.study import probing
from sfumato.study.arms import Stored
from sfumato.study.configuration import Architecture
from sfumato.study.features import Seen
from sfumato.study.images import Labelling, StudyImage
from sfumato.study.networks import NetworkSource
from sfumato.study.plan import PlannedRun, Split, StudyPlan
from sfumato.study.runs import models, probe_file, see_files, seen_by
from sfumato.study.training import trained

Logits: TypeAlias = NDArray[np.floating[Any]]
# The keys that a model hasn't seen, and what it says of files: logits (n, classes).
Judge: TypeAlias = tuple[Sequence[str], Callable[[Sequence[Stored]], Logits]]


@dataclass(frozen=True, slots=True)
class ModelLook:
    """An architecture of a plan; `network` is the fingerprint of its source."""

    plan: StudyPlan
    architecture: Architecture
    source: NetworkSource
    network: str

    @property
    def images(self) -> dict[str, StudyImage]:
        """Return the tested images by key."""
        return {one.key: one for one in self.plan.test.collection.images}

    def labelling(self, protocol: str) -> Labelling:
        """Return the classes that a protocol's models know."""
        if protocol == "as-is" and self.plan.as_is is not None:
            return self.plan.as_is
        return self.plan.test.labelling

    def cells(self, protocol: str, tested: Sequence[str] = ("original",)) -> list[PlannedRun]:
        """Return the cells of a protocol on some test arms."""
        as_is, study = protocol == "as-is", self.plan.study
        arms = ("original",) if as_is else study.arms.train
        seeds = (0,) if as_is else study.seeds
        return [
            PlannedRun(self.architecture, self.network, protocol, *three)
            for three in product(arms, tested, seeds)
        ]

    def see(self, files: Iterable[Stored], source: NetworkSource | None = None) -> Seen:
        """Return what a network (this one, unless it is said) makes of files."""
        return see_files(self.plan, source or self.source, list(files))

    def network_of(self, cell: PlannedRun) -> NetworkSource:
        """Return the network whose features a cell uses: for trained ones, its first split's."""
        if cell.protocol in ("probe", "as-is"):
            return self.source
        return trained(models(self.plan, cell)[0][1])

    def judges(self, cell: PlannedRun, seen: Seen) -> list[Judge]:
        """Return what gives a cell's logits, for each split; `seen` are this network's features."""
        if cell.protocol == "as-is":
            return [(self.plan.test.keys, lambda files: rows_of(seen, files, seen.logits))]
        if cell.protocol == "probe":
            return self._probes(cell, seen)
        found: list[Judge] = []
        for split, training in models(self.plan, cell):
            found.append((split.test, self._judge(trained(training))))
        return found

    def by_hash(self, keys: Iterable[str]) -> list[str]:
        """Return keys in an order that has nothing to do with their names, always the same."""
        return sorted(keys, key=lambda key: hashlib.sha256(key.encode()).digest())

    def _judge(self, source: NetworkSource) -> Callable[[Sequence[Stored]], Logits]:
        def judge(files: Sequence[Stored]) -> Logits:
            seen = self.see(files, source)
            return rows_of(seen, files, seen.logits)

        return judge

    def _probes(self, cell: PlannedRun, seen: Seen) -> list[Judge]:
        plan = self.plan
        found: list[Judge] = []
        for number, split in enumerate(plan.splits(cell.seed)):
            fitted = probing.read(probe_file(plan, cell, number))
            if fitted is None:
                fitted = self._fitted(cell, split)
            found.append((split.test, _probe_judge(fitted, seen)))
        return found

    def _fitted(self, cell: PlannedRun, split: Split) -> probing.Fitted:
        """Fit a probe again that isn't kept any more."""
        plan = self.plan
        learnt = seen_by(plan, self.source, [cell.train_arm])
        return probing.fit(
            learnt.features[learnt.rows(plan.train.arms[cell.train_arm], split.train)],
            plan.train.labels(split.train),
            len(plan.train.labelling.classes),
            plan.study.probe.l2,
        )


def rows_of(seen: Seen, files: Sequence[Stored], values: Logits) -> Logits:
    """Return the rows of values (as `seen` has them) that belong to files."""
    return values[[seen.place[one.id] for one in files]]


def _probe_judge(fitted: probing.Fitted, seen: Seen) -> Callable[[Sequence[Stored]], Logits]:
    return lambda files: fitted.logits(rows_of(seen, files, seen.features))
