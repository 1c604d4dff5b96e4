"""Files and folders that a power cut keeps.

A file is synced before it gets its name, and its folder after.
"""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

from sfumato.errors import OutputError, UsageError
from sfumato.sources import private

PART_SUFFIX: Final = ".sfumato-part"
LONGEST_NAME: Final = 255  # bytes, on every common file system
_IN_FORCE: Final = os.access in os.supports_effective_ids
_PART: Final = re.compile(rf"\.([0-9a-f]{{24}}\.[0-9a-z]+|[a-z]+\.[a-z]+){re.escape(PART_SUFFIX)}")


def is_part(name: str) -> bool:
    """Say whether a file's name is one that sfumato gives to what isn't finished yet."""
    return _PART.fullmatch(name) is not None


def part_of(path: Path) -> Path:
    """Return the name beside its own under which one of sfumato's own files is written."""
    return path.with_name(f".{path.name}{PART_SUFFIX}")


def cannot_write(path: Path, error: OSError) -> str:
    """Return the sentence that says why a folder can't be written to, and what to do."""
    words = {
        errno.ENOSPC: "the disk is full: make room",
        errno.EDQUOT: "the quota is used up: make room",
        errno.EROFS: "the disk is read-only: choose another folder",
        errno.EACCES: "permission is denied: change it or choose another folder",
        errno.EEXIST: "a file stands where a folder is needed: remove it",
        errno.EISDIR: "a folder stands where a file is needed: remove it",
        errno.ENOTDIR: "a file stands where a folder is needed: remove it",
        errno.ENAMETOOLONG: "a name is too long for this file system: shorten it",
    }
    why = words.get(error.errno or 0, f"{error.strerror}: mend it")
    return f"Can't write to {path}: {why}, then run the same command again to go on."


def fsync(path: Path) -> None:
    """Make a file or a folder durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a whole file beside its final name, make it durable, and rename it into place.

    Only its owner may read it.

    Raises:
        OutputError: the disk refuses.
    """
    part = part_of(path)
    try:
        private.write(part, data)
        rename_durably(part, path)
    except OSError as error:
        raise OutputError(cannot_write(path.parent, error)) from error


def rename_durably(part: Path, path: Path) -> None:
    """Give a whole file its final name in the same folder, so that a power cut keeps both."""
    fsync(part)
    os.replace(part, path)
    fsync(path.parent)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, so that a power cut keeps them.

    Raises:
        OutputError: the disk refuses.
    """
    missing = [folder for folder in (path, *path.parents) if not os.path.exists(folder)]
    try:
        path.mkdir(parents=True, exist_ok=True)
        for folder in reversed(missing):
            with suppress(PermissionError):  # who may write there may not list it
                fsync(folder.parent)
    except OSError as error:
        raise OutputError(f"{path} can't be made: {error.strerror}.") from error


def may_write(folder: Path) -> bool:
    """Say whether files can be put into a folder that is there, with the rights in force."""
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=_IN_FORCE)


def _check_names(path: Path) -> None:
    if any(len(os.fsencode(name)) > LONGEST_NAME for name in path.parts):
        raise OutputError(cannot_write(path, OSError(errno.ENAMETOOLONG, "")))


def check_no_folder(path: Path, *, replaced: bool = True) -> None:
    """Make sure that a file can be put in this place.

    One that is `replaced` takes the place of a link as well; any other is opened through it.

    Raises:
        UsageError: a folder stands there.
        OutputError: its name is too long.
    """
    _check_names(path)
    if os.path.isdir(path) and not (replaced and os.path.islink(path)):
        raise UsageError(f"{path} is a folder, and a file of sfumato's goes there: remove it.")


def check_writable(place: Path) -> None:
    """Make sure that a folder can be written to, or made if it isn't there.

    Raises:
        OutputError: the disk is read-only, permission is denied, or a name is too long.
    """
    _check_names(place)
    folder = place
    while not os.path.lexists(folder):
        folder = folder.parent
    if not os.path.isdir(folder):
        why = "a file stands where a folder is needed"
    elif may_write(folder):
        return
    elif os.statvfs(folder).f_flag & os.ST_RDONLY:
        why = "the disk is read-only"
    else:
        why = "permission denied"
    raise OutputError(f"Can't write to {place}: {why}. Mend that, or choose another folder.")
