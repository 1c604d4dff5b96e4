"""Work spread over processes: the same results in the same order, whatever their number."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import Final, TypeVar

from sfumato.errors import ExecutorError

T = TypeVar("T")
R = TypeVar("R")

# One thread for each process: sums of several threads may differ in their last digits.
_ONE_THREAD: Final = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)
_POOLS: Final[dict[int, ProcessPoolExecutor]] = {}  # kept: a start takes seconds, with torch


def count(workers: int) -> int:
    """Return how many processes a number of workers means; 0 is one for each core."""
    return workers or len(os.sched_getaffinity(0))


def spread(work: Callable[[T], R], tasks: Sequence[T], workers: int) -> Iterator[R]:
    """Yield `work(task)` for each task, in their order; one worker works in this process.

    Processes are started anew and inherit nothing, so `work` is a function of a module, and tasks
    and results can be pickled. They are kept for the next call.

    Raises:
        ExecutorError: a process died.
    """
    processes = count(workers)
    if processes < 2 or len(tasks) < 2:
        yield from map(work, tasks)
        return
    futures = []
    try:
        with _one_thread():
            pool = _pool(processes)
            futures = [pool.submit(work, task) for task in tasks]
        for future in futures:
            yield future.result()
    except BrokenProcessPool as error:
        del _POOLS[processes]
        raise ExecutorError(
            "A process of the study died, perhaps for want of memory: run the same command "
            "again, with fewer workers."
        ) from error
    finally:
        for future in futures:
            future.cancel()


def _pool(processes: int) -> ProcessPoolExecutor:
    if processes not in _POOLS:
        _POOLS[processes] = ProcessPoolExecutor(
            processes, get_context("spawn"), initializer=_end_with_parent
        )
    return _POOLS[processes]


def _end_with_parent() -> None:
    """End this process when the one that started it is killed: nothing else would tell it."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _one_thread() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
