"""Processes on this machine.

N fresh interpreters (nothing is inherited but one socket each), each with one inference
thread. A worker takes a few keys at a time and reports each one as it is done, so the driver
always knows which image a worker is at. If the worker dies there, the image is tried once
more in a fresh worker, then given up; if it hangs, it is given up at once. Everything else of
the run goes on.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from multiprocessing.connection import Connection, wait
from typing import Final, cast

from sfumato.errors import Code, ExecutorError, SampleError, SfumatoError
from sfumato.pipeline.executors import Result, Task
from sfumato.sources.doors import Shard
from sfumato.sources.names import on_terminal
from sfumato.types import Failure

SLICE: Final = 8  # keys of a divisible shard given to a worker at once, to share the last fairly
_NOTHING: Final = Shard("", "", ())
_START: Final = "from sfumato.pipeline.executors.local import serve; serve()"
# One thread for each process: threads of several processes only get in each other's way.
_ONE_THREAD: Final = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)
# glibc gives the memory of each image back and maps it anew for the next: up to 8 MB for one
# input of a network, 2 ms. A worker keeps up to 128 MiB instead. Others than glibc don't read it.
_KEPT_MEMORY: Final = {
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),  # the most that it takes
    "MALLOC_TRIM_THRESHOLD_": str(128 * 2**20),
}


class _Worker:
    """A process, the socket to it, and what it still has to do."""

    def __init__(self, task: Task) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _START, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                # The driver's modules, wherever it has them from.
                env={
                    **_KEPT_MEMORY,
                    **os.environ,
                    **_ONE_THREAD,
                    "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
                },
                start_new_session=True,  # Ctrl-C is for the driver, which ends its workers
            )
        self.link: Connection[object, object] = Connection(ours.detach())
        self.ready = False
        self.left = _NOTHING
        self.since = time.monotonic()
        self.link.send(task)

    def give(self, shard: Shard) -> None:
        self.left = shard
        self.since = time.monotonic()
        self.link.send(shard)

    def hear(self) -> Result | None:
        """Take one message. EOFError: the process is gone."""
        message = self.link.recv()
        self.since = time.monotonic()
        if isinstance(message, SfumatoError):
            raise message
        if isinstance(message, Result):
            self.left = self.left.part(1)
            return message
        self.ready = True
        return None

    def end(self) -> None:
        self.link.close()
        self.process.kill()
        self.process.wait()


class Local:
    """Run a task in `workers` processes (0: one for each core); an `Executor`.

    `timeout_s` bounds the time on one image, `start_s` the start of a worker. Iterating
    raises `ExecutorError` when workers can't start at all, and whatever error about the run
    (`OutputError`, `WeightsError`, …) a task raises.
    """

    def __init__(
        self, workers: int = 0, *, timeout_s: float = 120.0, start_s: float = 120.0
    ) -> None:
        self.workers = workers or available_cores()
        self.timeout_s = timeout_s
        self.start_s = start_s

    def map(self, task: Task, shards: Iterable[Shard]) -> Iterator[Result]:
        """Yield one result for each key; closing the iterator ends the workers."""
        todo, more = deque[Shard](), _slices(shards)
        suspects: set[tuple[str, str]] = set()
        workers: list[_Worker] = []
        try:
            while True:
                # One for each worker at hand; what is known of the rest isn't asked for yet.
                todo.extend(islice(more, max(0, self.workers - len(todo))))
                if not todo and not _busy(workers):
                    break
                while len(workers) < self.workers and len(workers) < len(todo) + _busy(workers):
                    workers.append(_Worker(task))
                for worker in workers:
                    if todo and worker.ready and not worker.left.keys:
                        worker.give(todo.popleft())
                yield from self._listen(workers, todo, suspects)
        finally:
            for worker in workers:
                worker.end()

    def _listen(
        self, workers: list[_Worker], todo: deque[Shard], suspects: set[tuple[str, str]]
    ) -> Iterator[Result]:
        heard = wait([worker.link for worker in workers], timeout=0.5)
        for worker in tuple(workers):
            if worker.link in heard:
                try:
                    result = worker.hear()
                except (EOFError, ConnectionError):
                    workers.remove(worker)
                    yield from _bury(worker, todo, suspects)
                else:
                    yield from [result] if result else []
            elif self._hangs(worker):
                workers.remove(worker)
                worker.end()
                todo.appendleft(worker.left.part(1))
                reason = f"not done within {self.timeout_s:.0f} s"
                yield _failed(worker.left, 0, Code.DETECTOR_TIMEOUT, reason)

    def _hangs(self, worker: _Worker) -> bool:
        waited = time.monotonic() - worker.since
        if not worker.ready and waited > self.start_s:
            raise ExecutorError(f"A worker didn't start within {self.start_s:.0f} s: try again.")
        return bool(worker.left.keys) and waited > self.timeout_s


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _slices(shards: Iterable[Shard]) -> Iterator[Shard]:
    for shard in shards:
        size = SLICE if shard.divisible else max(1, len(shard.keys))
        for start in range(0, len(shard.keys), size):
            yield shard.part(start, start + size)


def _busy(workers: Sequence[_Worker]) -> int:
    return sum(1 for worker in workers if worker.left.keys)


def _bury(worker: _Worker, todo: deque[Shard], suspects: set[tuple[str, str]]) -> Iterator[Result]:
    """Give the work of a dead worker back; the image it died at gets one more chance, alone."""
    worker.end()
    if not worker.ready:
        raise ExecutorError(
            f"A worker ended with exit code {worker.process.returncode} before it could start; "
            "its messages are above. `sfumato doctor` checks the installation."
        )
    if not worker.left.keys:
        return
    todo.appendleft(worker.left.part(1))
    suspect = (worker.left.id, worker.left.keys[0])
    if suspect in suspects:
        reason = f"the worker died twice at it (exit code {worker.process.returncode})"
        yield _failed(worker.left, 0, Code.WORKER_DIED, reason)
    else:
        suspects.add(suspect)
        todo.appendleft(worker.left.part(0, 1))


def _failed(shard: Shard, place: int, code: Code, reason: str) -> Result:
    key = shard.keys[place]
    return Result(shard.id, key, (Failure(key, "run", code, reason),))


def serve() -> None:
    """Be a worker: take shards from the socket named in `sys.argv` until it closes."""
    link: Connection[object, object] = Connection(int(sys.argv[1]))
    with on_terminal():
        _serve(link)


def _serve(link: Connection[object, object]) -> None:
    threading.Thread(target=_die_with_parent, args=(os.getppid(),), daemon=True).start()
    try:
        task = cast("Task", link.recv())
        link.send("ready")
        while True:
            for message in _work(task, cast("Shard", link.recv())):
                link.send(message)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the driver is gone or has no more work


def _die_with_parent(parent: int) -> None:
    """End at once when the driver is killed: nobody would take the results."""
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)


def _work(task: Task, shard: Shard) -> Iterator[Result | SfumatoError]:
    done = 0
    while done < len(shard.keys):
        before = done
        try:
            for records in task(shard.part(done)):
                done += 1
                yield Result(shard.id, shard.keys[done - 1], records)
        except SampleError as error:
            done += 1
            yield _failed(shard, done - 1, error.code, error.reason)
        except SfumatoError as error:
            yield error
            return
        except Exception as error:  # noqa: BLE001 (a defect of ours costs one image, not the run)
            traceback.print_exc()
            reason = f"{type(error).__name__} in the program: please report it"
            done += 1
            yield _failed(shard, done - 1, Code.INTERNAL_ERROR, reason)
        if done == before:
            left = len(shard.keys) - done
            yield ExecutorError(f"the task yielded nothing for {left} keys of a shard")
            return
