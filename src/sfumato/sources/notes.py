"""Files of a release, as they were last seen: whether one is still the same, without reading it.

While size, times and inode are the same, so are the bytes: a resumed run looks at 100,000 files
without reading one. Where they differ, or there is no note, the file is read.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from sfumato.sources.doors import Note, Sink

# Times come from a clock that ticks (100 Hz at the slowest): two writes within a tick look alike.
_CLOCK_TICK_NS: Final = 20_000_000


def state_of(path: Path, *, follow: bool = False) -> str:
    """Return size, times and inode of a regular file as text; "" of anything else.

    A link is something else, unless it is to be followed.
    """
    try:
        found = os.stat(path, follow_symlinks=follow)
    except OSError:
        return ""
    return _text(found) if stat.S_ISREG(found.st_mode) else ""


def is_as_noted(sink: Sink, key: str, note: Note | None, digest: str) -> bool:
    """Say whether a file is known to hold the bytes with this digest, without reading it.

    Only the digest decides; where the state differs, or there is no note, it is to be read.
    """
    return (
        note is not None
        and note.digest == digest
        and note.state != ""
        and note.state == sink.state(key)
    )


def read_note(key: str, path: Path) -> Note | None:
    """Read a file; return what it holds, or None where there is no file that can be read.

    A link is none: what lies elsewhere isn't in the release. The note has no state if it wouldn't
    show the next change: the file was changed just now or while it was read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb", buffering=0) as file:
            before = os.fstat(handle)
            if not stat.S_ISREG(before.st_mode):
                return None
            began = time.time_ns()
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            same = _text(before) == _text(os.fstat(handle)) == state_of(path)
    except OSError:
        return None
    settled = abs(began - before.st_ctime_ns) > _CLOCK_TICK_NS
    return Note(key, digest, _text(before) if same and settled else "")


def read_notes(files: Iterable[tuple[str, Path]]) -> Iterator[Note]:
    """Yield notes of files, each given as (key, path): of those that can be read, in order."""
    with ThreadPoolExecutor(4) as pool:  # reading waits, hashing doesn't hold the interpreter
        for note in pool.map(lambda file: read_note(*file), files):
            if note is not None:
                yield note


def note_all(files: Sequence[tuple[str, Path, str]]) -> Iterator[Note]:
    """Yield notes of (key, path, digest) of files that were published just now.

    Waits a moment first, so that any later change shows in their times.
    """
    first = [state_of(path) for _, path, _ in files]
    if files:
        time.sleep(_CLOCK_TICK_NS / 1e9)
    for (key, path, digest), state in zip(files, first, strict=True):
        yield Note(key, digest, state if state == state_of(path) else "")


def _text(state: os.stat_result) -> str:
    return f"{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns} {state.st_ino}"
