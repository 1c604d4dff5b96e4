"""Ways to run a task over shards: processes on this machine (local).

What they have in common: a task gives the records of each key of a shard, an executor one result
for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from sfumato.sources.doors import Shard
from sfumato.types import Record


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one key of one shard."""

    shard: str
    key: str
    records: tuple[Record, ...]


class Task(Protocol):
    """What an executor runs: yields the records of each key of the shard, in order."""

    def __call__(self, shard: Shard) -> Iterator[tuple[Record, ...]]:
        """Yield the records of one key after another."""
        ...


class Executor(Protocol):
    """Runs a task over shards, and nothing else.

    Gives one `Result` for each key, in any order, and takes shards from `shards` as it gets to
    them: what is known of their images isn't held in memory for all. A worker that dies or hangs
    loses the key it was at (a `Failure`), never the run.
    """

    def map(self, task: Task, shards: Iterable[Shard]) -> Iterator[Result]:
        """Yield the results as they come."""
        ...
