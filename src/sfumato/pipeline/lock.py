"""One run at a time: a lock file in the folder of what isn't published, and OUT itself.

Two runs with ledgers in different folders may be given the same OUT.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from sfumato.errors import OutputError, UsageError
from sfumato.sources import private

_LOG: Final = logging.getLogger(__name__)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the private folder for one run at a time; the lock goes when the process does."""
    while True:
        try:
            private.folder(folder)
            private.file(folder / "lock")
            handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise _unusable(folder, error) from error
        try:
            _take(handle, folder, fcntl.LOCK_EX)
            if not _is_still(folder / "lock", handle):
                continue  # whoever had it removed it
            yield
            return
        finally:
            os.close(handle)


@contextmanager
def held(folders: Sequence[Path]) -> Iterator[None]:
    """Hold folders in which no lock file may lie, such as OUT, for one run at a time.

    Some network file systems can't lock a folder: there the lock file alone keeps runs apart.
    """
    with ExitStack() as handles:
        for folder in folders:
            try:
                handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            except OSError as error:
                raise _unusable(folder, error) from error
            handles.callback(os.close, handle)
            try:
                _take(handle, folder, fcntl.LOCK_EX)
            except OSError as error:
                _LOG.debug("%s can't be locked: %s", folder, error)
        yield


def check_free(folder: Path) -> None:
    """Raise `UsageError` if another run holds this folder, as either way; nothing is written."""
    for path in (folder, folder / "lock"):
        try:
            handle = os.open(path, os.O_RDONLY)
        except OSError:
            continue
        try:
            _take(handle, folder, fcntl.LOCK_SH)
        except OSError as error:
            _LOG.debug("%s can't be locked: %s", path, error)
        finally:
            os.close(handle)


def _unusable(folder: Path, error: OSError) -> OutputError:
    return OutputError(
        f"Can't write to {folder}: {error.strerror}. Make room or mend that, or choose "
        "another folder; then run the same command again."
    )


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
