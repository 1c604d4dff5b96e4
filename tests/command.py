"""The command line in this process: what it prints and the exit code, without a start of Python."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest

from sfumato.cli import main, options
from sfumato.pipeline.executors import Result, Task
from sfumato.sources.doors import Shard


class Here:
    """An executor that runs the task in this process, one key after another."""

    def map(self, task: Task, shards: Iterable[Shard]) -> Iterator[Result]:
        for shard in shards:
            for key, records in zip(shard.keys, task(shard), strict=True):
                yield Result(shard.id, key, records)


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


def sfumato(*words: str | Path, env: Mapping[str, str] | None = None) -> Done:
    """Run `sfumato WORDS` from its `main` on; the work of its workers is done here."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with (
        patch.object(sys, "argv", ["sfumato", *map(str, words)]),
        patch.object(options, "executor", lambda values: Here()),
        patch.dict(os.environ, env or {}),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as left,
    ):
        main()
    code = left.value.code
    assert isinstance(code, int)
    return Done(code, _text(out), _text(err))


def _text(stream: io.TextIOWrapper) -> str:
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode()
