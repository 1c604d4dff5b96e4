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
    while True:
        try:
            private.folder(folder)
            private.file(folder / "lock")
            handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise OutputError(
                f"Can't write to {folder}: {error.strerror}. Make room or mend that, or choose "
                "another folder; then run the same command again."
            ) from error
        try:
            _take(handle, folder, fcntl.LOCK_EX)
            if not _is_still(folder / "lock", handle):
                continue  # whoever had it removed it
            yield
            return
        finally:
            os.close(handle)


def check_free(folder: Path) -> None:
    """Raise `UsageError` if another run holds this folder; nothing is written."""
    try:
        handle = os.open(folder / "lock", os.O_RDONLY)
    except OSError:
        return
    try:
        _take(handle, folder, fcntl.LOCK_SH)
    finally:
        os.close(handle)


def _take(handle: int, folder: Path, how: int) -> None:
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UsageError(
            f"Another sfumato works with {folder}: wait until it has finished."
        ) from error


def _is_still(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except OSError:
        return False
