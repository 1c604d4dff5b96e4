"""Folders and files that only their owner may read: whatever isn't published.

They are made so from the first moment, whatever the umask: nobody gets in between making and
closing. What is there already and open is named, with the command that closes it, and left as it
is: somebody may share it on purpose.
"""

from __future__ import annotations

import logging
import os
import shlex
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

SUFFIX: Final = ".sfumato"  # of the folder beside OUT or SRC
_FOLDER: Final = 0o700
_FILE: Final = 0o600
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO

_LOG: Final = logging.getLogger(__name__)
_said: set[Path] = set()


def private_folder(path: Path) -> Path:
    """Return the folder beside `path` that holds what is kept and not published."""
    return path.with_name(path.name + SUFFIX)


def folder(path: Path) -> None:
    """Make a folder that only its owner may enter, unless there is one.

    Folders above it are made as any other. Raises `OSError` if it can't be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.mkdir(path, _FOLDER)
    except FileExistsError:
        if not path.is_dir():
            raise
        return
    with suppress(PermissionError):  # a umask may have taken more than others' rights
        os.chmod(path, _FOLDER)


def file(path: Path) -> None:
    """Make an empty file that only its owner may read, unless there is one; `OSError` as `open`."""
    with suppress(FileExistsError):
        os.close(_opened(path, os.O_EXCL))


def write(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read in the place of any other; `OSError` as `open`."""
    path.unlink(missing_ok=True)
    with os.fdopen(_opened(path, os.O_EXCL), "wb") as stream:
        stream.write(data)


def _opened(path: Path, how: int) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | how, _FILE)
    with suppress(PermissionError):
        os.fchmod(handle, _FILE)
    return handle


def say_if_open(path: Path) -> None:
    """Warn, once, if others may read this file, which should be private, or enter its folder.

    Its folder counts if it is one of ours by name; closed, it keeps everybody from the file too.
    """
    ours = path.parent.name.endswith(SUFFIX)
    if path in _said or (ours and not _is_open(path.parent)):
        return
    found = [one for one in ([path.parent] if ours else []) + [path] if _is_open(one)]
    if found:
        _said.add(path)
        _LOG.warning(
            "Others on this machine can look into %s, which should be private: `chmod %sgo-rwx %s` "
            "closes it.",
            shlex.quote(str(found[0])),
            "-R " if ours else "",
            shlex.quote(str(found[0])),
        )


def _is_open(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & _OTHERS)
    except OSError:
        return False
