"""What every executor must do: a class of tests to inherit.

`ExecutorContract` is for all of them, `WorkersContract` besides for those whose work is done in
processes of their own, which may die or hang.
"""

from __future__ import annotations

import os
import signal
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sfumato.errors import Code, ExecutorError, OutputError
from sfumato.pipeline.executors import Executor, Task
from sfumato.sources.doors import ImportedBoxes, Known, Shard
from sfumato.types import Failure, Output, Record


@dataclass(frozen=True)
class Act:
    """A task that does what a key's name says."""

    flag: str = ""

    def __call__(self, shard: Shard) -> Iterator[tuple[Record, ...]]:
        for key in shard.keys:
            if key.startswith("die"):
                os.kill(os.getpid(), signal.SIGKILL)
            if key.startswith("once") and not os.path.exists(self.flag):
                open(self.flag, "w").close()
                os._exit(3)
            if key.startswith("hang"):
                time.sleep(600)
            if key.startswith("bug"):
                raise ZeroDivisionError
            if key.startswith("full"):
                raise OutputError("the disk is full")
            if key.startswith("lazy"):
                return
            yield (Output(key, "", "", "copied", "identical", "", ()),)


@dataclass(frozen=True)
class Tell:
    """A task that tells what it was given: of each key what is known, and the keys beside it."""

    def __call__(self, shard: Shard) -> Iterator[tuple[Record, ...]]:
        for key, known in zip(shard.keys, shard.known, strict=True):
            problem = known.imported.problem if known.imported else ""
            yield (
                Failure(key, shard.url, Code.BOXES_MISSING, problem),
                Failure(key, str(len(shard.keys)), Code.BOXES_MISSING, shard.id),
            )


def shards(*names: str, each: int = 11) -> list[Shard]:
    """Return shards of `each` keys, one key for each name."""
    keys = [f"{name}-{i}" for i, name in enumerate(names)]
    starts = range(0, len(keys), each)
    return [Shard(f"s{start}", "", tuple(keys[start : start + each])) for start in starts]


def noted(id_: str, count: int, *, divisible: bool) -> Shard:
    """Return a shard in which something else is known of each key."""
    keys = tuple(f"{id_}/{number}" for number in range(count))
    known = tuple(Known(imported=ImportedBoxes((), f"of {key}")) for key in keys)
    return Shard(id_, f"memory://{id_}", keys, known, divisible)


def outcomes(task: Task, work: list[Shard], executor: Executor) -> dict[str, str]:
    """Return what became of each key, by a code or "done"."""
    found: dict[str, str] = {}
    for result in executor.map(task, work):
        assert result.key not in found
        (record,) = result.records
        found[result.key] = record.code if isinstance(record, Failure) else "done"
    return found


class ExecutorContract(ABC):
    """Inherit this and say how an executor is made."""

    @abstractmethod
    def made(self) -> Executor: ...

    def test_every_key_gets_one_result_of_its_shard(self) -> None:
        work = shards(*["fine"] * 30)
        found = Counter((one.shard, one.key) for one in self.made().map(Act(), work))
        assert found == Counter((shard.id, key) for shard in work for key in shard.keys)

    def test_without_work_there_is_no_result(self) -> None:
        assert list(self.made().map(Act(), [])) == []
        assert list(self.made().map(Act(), [Shard("empty", "", ())])) == []

    @pytest.mark.parametrize("divisible", [True, False])
    def test_what_is_known_stays_with_its_key(self, divisible: bool) -> None:
        """Also where a shard is cut, which only one that is divisible may be."""
        work = [noted("a", 20, divisible=divisible), noted("b", 9, divisible=divisible)]
        count = 0
        for result in self.made().map(Tell(), work):
            count += 1
            about, beside = result.records
            assert isinstance(about, Failure)
            assert isinstance(beside, Failure)
            assert about.key == beside.key == result.key
            assert (about.stage, about.reason) == (f"memory://{result.shard}", f"of {result.key}")
            assert beside.reason == result.shard
            if not divisible:
                assert int(beside.stage) == {"a": 20, "b": 9}[result.shard]
        assert count == 29

    def test_shards_are_taken_when_their_turn_comes(self) -> None:
        taken: list[str] = []

        def coming() -> Iterator[Shard]:
            for shard in shards(*["fine"] * 200, each=2):
                taken.append(shard.id)
                yield shard

        for count, _ in enumerate(self.made().map(Act(), coming()), start=1):
            # Two keys each; some more may wait beside the ones that are worked on.
            assert len(taken) <= count // 2 + 40
        assert len(taken) == 100

    def test_an_error_about_the_run_ends_it(self) -> None:
        with pytest.raises(OutputError, match="disk is full"):
            list(self.made().map(Act(), shards("fine", "full", "fine")))

    def test_what_was_broken_off_can_be_begun_again(self) -> None:
        executor, work = self.made(), shards(*["fine"] * 30)
        results = executor.map(Act(), work)
        next(results)
        results.close()  # type: ignore[attr-defined] # every one so far is a generator
        assert len(list(executor.map(Act(), work))) == 30


class WorkersContract(ABC):
    """Inherit this and say how an executor is made that starts workers."""

    @abstractmethod
    def made(self, *, timeout_s: float = 120.0) -> Executor:
        """Return an executor that waits so long for one image."""

    def test_a_worker_that_dies_hangs_or_errs_costs_only_its_image(self) -> None:
        names = ["fine"] * 5 + ["die"] + ["fine"] * 9 + ["hang", "bug"] + ["fine"] * 4
        found = outcomes(Act(), shards(*names), self.made(timeout_s=1.5))
        wrong = {key: code for key, code in found.items() if code != "done"}
        assert len(found) == len(names)
        assert wrong == {
            "die-5": Code.WORKER_DIED,
            "hang-15": Code.DETECTOR_TIMEOUT,
            "bug-16": Code.INTERNAL_ERROR,
        }

    @pytest.mark.slow
    def test_an_image_at_which_a_worker_died_once_is_tried_again(self, tmp_path: Path) -> None:
        task = Act(str(tmp_path / "flag"))
        found = outcomes(task, shards("fine", "once", "fine"), self.made())
        assert list(found.values()) == ["done"] * 3

    @pytest.mark.slow
    def test_a_task_that_skips_keys_is_found_out(self) -> None:
        with pytest.raises(ExecutorError, match="nothing for"):
            list(self.made().map(Act(), shards("fine", "lazy", "fine")))
