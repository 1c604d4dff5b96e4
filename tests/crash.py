"""A run that dies at the n-th thing it does to the disk: nothing that comes after happens.

In this process, by an exception that no code of ours catches; from then on the disk takes nothing
more, so that no clean-up helps. `or_really` is for a process of its own, which kills itself.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from sfumato.ledger.ledger import Ledger
from sfumato.sources.folder_sink import FolderSink

_CALLS = ("replace", "unlink", "fsync", "mkdir", "rmdir")
_METHODS = (
    (Ledger, "begin"),
    (Ledger, "commit"),
    (Ledger, "list_source"),
    (FolderSink, "stage"),
)


class Killed(BaseException):
    """As by SIGKILL."""


@contextmanager
def dying(at: int, *, or_really: bool = False) -> Iterator[None]:
    """Die at the `at`-th call, counted from 1: before it where that is odd, else after it."""
    left = [at]

    def die() -> None:
        if or_really:
            os.kill(os.getpid(), signal.SIGKILL)
        raise Killed

    def guarded(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            left[0] -= 1
            if left[0] < 0 or (left[0] == 0 and at % 2):
                die()
            result = real(*args, **more)
            if left[0] == 0:
                die()
            return result

        return call

    with ExitStack() as stack:
        for name in _CALLS:
            stack.enter_context(patch.object(os, name, guarded(getattr(os, name))))
        for owner, name in _METHODS:
            stack.enter_context(patch.object(owner, name, guarded(getattr(owner, name))))
        yield
