"""Work spread over processes: the same results in the same order, whatever their number."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Final, TypeVar

from sfumato.errors import ExecutorError

T = TypeVar("T")
R = TypeVar("R")

# One thread for each process: sums of several threads may differ in their last digits.
_ONE_THREAD: Final = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)


def count(workers: int) -> int:
    """Return how many processes a number of workers means; 0 is one for each core."""
    return workers or len(os.sched_getaffinity(0))


def spread(work: Callable[[T], R], tasks: Sequence[T], workers: int) -> Iterator[R]:
    """Yield `work(task)` for each task, in their order; one worker works in this process.

    Processes are started anew and inherit nothing, so `work` is a function of a module, and tasks
    and results can be pickled.

    Raises:
        ExecutorError: a process died.
    """
    wanted = min(count(workers), len(tasks))
    if wanted < 2:
        yield from map(work, tasks)
        return
    with _one_thread(), ProcessPoolExecutor(wanted, get_context("spawn")) as pool:
        try:
            yield from pool.map(work, tasks)
        except BrokenProcessPool as error:
            raise ExecutorError(
                "A process of the study died, perhaps for want of memory: run the same command "
                "again, with fewer workers."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


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
