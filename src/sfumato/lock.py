"""One run at a time: a lock file in the folder of what isn't published."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sfumato import private
from sfumato.errors import OutputError, UsageError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the private folder for one run at a time; the lock goes when the process does."""
    try:
        private.folder(folder)
        private.file(folder / "lock")
        handle = os.open(folder / "lock", os.O_RDWR)
    except OSError as error:
        raise OutputError(
            f"Can't write to {folder}: {error.strerror}. Make room or mend that, or choose another "
            "folder; then run the same command again."
        ) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"Another sfumato works with {folder}: wait until it has finished."
            ) from error
        yield
    finally:
        os.close(handle)
