"""A walk over a source: every file by its key, links followed, and what can't be reached at all.

Two things are told here by name. What file systems and photo programs leave behind (`is_junk`) is
no part of a data set. And a link that leads into the release or to what is kept private would
bring it back in: it is refused. A hard link can't be told from a file, and isn't.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from sfumato.errors import Code, UsageError
from sfumato.imaging import codec
from sfumato.types import Failure

_JUNK_FILES: Final = frozenset({".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini"})
_JUNK_FOLDERS: Final = frozenset(
    {
        ".appledouble",
        "@eadir",  # Synology's thumbnails
        ".spotlight-v100",
        ".trashes",
        ".fseventsd",
        "$recycle.bin",
        "system volume information",
    }
)
_MACOSX: Final = "__macosx"  # in archives that macOS made: halves of files, beside those
_APPLE_DOUBLE: Final = b"\x00\x05\x16\x07"


def leads_to(path: Path, places: Sequence[Path]) -> bool:
    """Say whether a link leads to one of these places, into one, or above one; all are real."""
    real = Path(os.path.realpath(path))
    return any(real == place or place in real.parents or real in place.parents for place in places)


def walk(root: Path, apart: Sequence[Path]) -> Iterator[tuple[str, Failure | None]]:
    """Yield (key, None) for every file and (key, failure) for what can't or may not be reached.

    Raises:
        UsageError: the root can't be listed.
    """
    top = os.stat(root)
    todo: list[tuple[str, frozenset[tuple[int, int]]]] = [
        ("", frozenset({(top.st_dev, top.st_ino)}))
    ]
    while todo:
        folder, above = todo.pop()
        try:
            with os.scandir(root / folder) as entries:
                names = sorted((entry.name, entry.is_symlink()) for entry in entries)
        except OSError as error:
            if not folder:
                raise UsageError(f"{root} can't be listed: {error.strerror}.") from error
            yield _unreachable(folder, Code.FILE_UNREADABLE, "the folder can't be listed")
            continue
        for name, is_link in names:
            key = f"{folder}/{name}" if folder else name
            if is_link and leads_to(root / key, apart):
                reason = "the link leads to OUT, to the ledger's folder, or above them"
                yield _unreachable(key, Code.LINK_TO_RELEASE, reason)
                continue
            try:
                state = os.stat(root / key)
            except OSError as error:
                yield _unreachable(key, *_why(error))
                continue
            if not stat.S_ISDIR(state.st_mode):
                yield (key, None) if is_utf8(key) else _unreachable(key, *_NOT_UTF8)
            elif (here := (state.st_dev, state.st_ino)) in above:
                yield _unreachable(key, Code.LINK_LOOP, "the folder leads back into itself")
            else:
                todo.append((key, above | {here}))


_NOT_UTF8: Final = (
    Code.NAME_NOT_UTF8,
    "the name isn't UTF-8, which manifests and archives can't hold: rename it",
)


def is_utf8(key: str) -> bool:
    """Say whether a name can be written as UTF-8."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def _why(error: OSError) -> tuple[Code, str]:
    if error.errno == errno.ELOOP:
        return Code.LINK_LOOP, "the link leads to itself"
    if error.errno == errno.ENOENT:
        return Code.LINK_BROKEN, "the link leads to nothing"
    return Code.FILE_UNREADABLE, error.strerror or "unreadable"


def _unreachable(key: str, code: Code, reason: str) -> tuple[str, Failure]:
    shown = os.fsencode(key).decode("utf-8", "backslashreplace")
    return shown, Failure(shown, "read", code, reason)


def is_junk(root: Path, key: str) -> bool:
    """Say whether a file is what a file system or a photo program left behind, by its name.

    ``._name`` is the other half of a file of macOS only if it begins as one (AppleDouble): else it
    is what its name says. In ``__MACOSX``, only what is an image by its bytes isn't junk.
    """
    *folders, name = key.lower().split("/")
    if name in _JUNK_FILES or not _JUNK_FOLDERS.isdisjoint(folders):
        return True
    if _MACOSX in folders:
        head = _head(root / key)
        return head.startswith(_APPLE_DOUBLE) or codec.may_hold_images(head) is None
    return name.startswith("._") and _head(root / key).startswith(_APPLE_DOUBLE)


def _head(path: Path) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            return file.read(codec.HEAD) if stat.S_ISREG(os.fstat(handle).st_mode) else b""
    except OSError:
        return b""


def without_junk(root: Path, keys: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part keys into what belongs to a data set and what doesn't, each in order."""
    kept: list[str] = []
    junk: list[str] = []
    for key in keys:
        (junk if is_junk(root, key) else kept).append(key)
    return kept, junk
