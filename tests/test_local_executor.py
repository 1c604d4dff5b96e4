"""Processes on this machine: every key gets one result, whatever happens to a worker."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sfumato.errors import Code, ExecutorError, OutputError
from sfumato.pipeline.executors.local import Local
from sfumato.types import Failure, Output, Record, Shard


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


def shards(*names: str) -> list[Shard]:
    keys = [f"{name}-{i}" for i, name in enumerate(names)]
    return [Shard("a", "", tuple(keys[:11])), Shard("b", "", tuple(keys[11:]))]


def outcomes(task: Act, work: list[Shard], executor: Local) -> dict[str, str]:
    found: dict[str, str] = {}
    for result in executor.map(task, work):
        assert result.key not in found
        (record,) = result.records
        found[result.key] = record.code if isinstance(record, Failure) else "done"
    return found


@pytest.mark.slow
def test_every_key_gets_one_result() -> None:
    work = shards(*["fine"] * 30)
    found = outcomes(Act(), work, Local(2))
    assert set(found) == {key for shard in work for key in shard.keys}
    assert set(found.values()) == {"done"}


def test_a_worker_that_dies_hangs_or_errs_costs_only_its_image() -> None:
    names = ["fine"] * 5 + ["die"] + ["fine"] * 9 + ["hang", "bug"] + ["fine"] * 4
    found = outcomes(Act(), shards(*names), Local(2, timeout_s=1.5))
    wrong = {key: code for key, code in found.items() if code != "done"}
    assert len(found) == len(names)
    assert wrong == {
        "die-5": Code.WORKER_DIED,
        "hang-15": Code.DETECTOR_TIMEOUT,
        "bug-16": Code.INTERNAL_ERROR,
    }


@pytest.mark.slow
def test_a_image_at_which_a_worker_died_once_is_tried_again(tmp_path: object) -> None:
    found = outcomes(Act(f"{tmp_path}/flag"), shards("fine", "once", "fine"), Local(1))
    assert set(found.values()) == {"done"}


@pytest.mark.slow
def test_an_error_about_the_run_ends_it() -> None:
    with pytest.raises(OutputError, match="disk is full"):
        list(Local(1).map(Act(), shards("fine", "full", "fine")))


@pytest.mark.slow
def test_a_task_that_skips_keys_is_found_out() -> None:
    with pytest.raises(ExecutorError, match="nothing for"):
        list(Local(1).map(Act(), shards("fine", "lazy", "fine")))


@pytest.mark.slow
def test_workers_end_when_the_iterator_is_closed() -> None:
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    before = children.read_text().split() if children.exists() else []  # other tests' servers
    executor = Local(2)
    results = executor.map(Act(), shards(*["fine"] * 12, "hang"))
    next(results)
    results.close()  # type: ignore[attr-defined]
    if children.exists():
        assert set(children.read_text().split()) <= set(before)
