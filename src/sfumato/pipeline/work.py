"""What a worker does with an image: the steps, one after another, on bytes read once.

`Work` is the task that an executor runs. What is known of an image (boxes and outputs of
earlier runs, what people decided) comes with its shard: a worker opens no ledger.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from sfumato.detection.in_hand import InHand
from sfumato.detection.step import Detect
from sfumato.errors import Code, SampleError
from sfumato.obfuscation.step import Obfuscate
from sfumato.recipe import OBSERVE, Recipe, only_looks
from sfumato.sources import Sink, Source
from sfumato.sources.doors import Known, Shard
from sfumato.types import Detection, Failure, Finding, Observation, Record, Sample
from sfumato.verification.observing import Observe
from sfumato.verification.step import Verify


class Step(Protocol):
    """A step on the way of an image: a function of it and of what is known of it, to records.

    It adds to the image in hand what later steps need. It stores and logs nothing, opens no
    ledger, and doesn't know who runs it. `SampleError`: the image is refused.
    """

    @property
    def name(self) -> str:
        """The name in the recipe."""
        ...

    def __call__(self, held: InHand) -> Iterator[Record]:
        """Yield what is recorded of the image."""
        ...


@dataclass(frozen=True, slots=True)
class Work:
    """Take each image through some steps of a recipe, by their names (`Recipe.steps`).

    What an earlier run has found isn't searched again, if it speaks of the same bytes.
    `second_reader` is that of `Checks`.
    """

    recipe: Recipe
    source: Source
    stages: tuple[str, ...]
    sink: Sink | None = None
    second_reader: bool = False

    def __call__(self, shard: Shard) -> Iterator[tuple[Record, ...]]:
        """Yield the records of each image of the shard, in order."""
        steps = tuple(self._steps())
        known_of = shard.known or [Known()] * len(shard.keys)
        for item, known in zip(self.source.read(shard), known_of, strict=True):
            if isinstance(item, Failure):
                yield self._unreadable(item, known)
            else:
                yield self._records(item, known, steps)

    def _steps(self) -> Iterator[Step]:
        """Make the steps, in the order of the recipe."""
        if not only_looks(self.stages):
            yield Detect(self.recipe, search="detect" in self.stages)
        for name in self.stages:
            if name == Obfuscate.name:
                yield Obfuscate(self.recipe, self._sink())
            elif name == Verify.name:
                yield Verify(self.recipe, self._sink(), self.second_reader)
            elif name != Detect.name:
                yield Observe(name.removeprefix(OBSERVE), self.recipe, self._sink())

    def _records(self, sample: Sample, known: Known, steps: tuple[Step, ...]) -> tuple[Record, ...]:
        held, records = InHand(sample, known), list[Record]()
        for step in steps:
            try:
                records += step(held)
            except SampleError as error:
                return self._refused(held, step, error, records)
        return tuple(records)

    def _refused(
        self, held: InHand, step: Step, error: SampleError, records: list[Record]
    ) -> tuple[Record, ...]:
        """Return what holds of an image that is refused: what was found in it, and why it is."""
        stage = step.name
        searched = stage == "detect" and "detect" in self.stages
        if "obfuscate" in self.stages and not searched:  # it may lie staged
            stage = "obfuscate"
            self._sink().discard(held.sample.key)
        # What checks found in what lies in the release holds; a staged image isn't there any more.
        kept = (Detection, Finding, Observation) if only_looks(self.stages) else Detection
        found = [one for one in records if isinstance(one, kept)]
        return (*found, Failure(held.sample.key, stage, error.code, error.reason))

    def _unreadable(self, failure: Failure, known: Known) -> tuple[Record, ...]:
        """Refuse what can't be read; where it is in the release already, say it wasn't checked."""
        if not only_looks(self.stages):
            return (failure,)
        if known.output is None:
            return ()
        words = f"its source can't be read any more: {failure.code}, {failure.reason}"
        code = Code.VERIFY_UNREADABLE
        return (Finding(failure.key, code, False, 1, 0, words, known.output.written),)

    def _sink(self) -> Sink:
        if self.sink is None:
            raise ValueError(f"stages {self.stages} need a sink")
        return self.sink
