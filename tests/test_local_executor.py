"""Processes on this machine, and this process: every key gets one result, whatever happens."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sfumato.pipeline.executors.local import Local
from tests.command import Here
from tests.contract.executor import Act, ExecutorContract, WorkersContract, shards


class TestHere(ExecutorContract):
    """The executor of other tests."""

    def made(self) -> Here:
        return Here()


@pytest.mark.slow
class TestLocal(ExecutorContract):
    def made(self) -> Local:
        return Local(2)


class TestWorkersOfLocal(WorkersContract):
    def made(self, *, timeout_s: float = 120.0) -> Local:
        return Local(2, timeout_s=timeout_s)


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
