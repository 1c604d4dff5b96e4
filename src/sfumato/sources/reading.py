"""Reading a file whole, and only if it stayed the same meanwhile."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Final

from sfumato.errors import Code, SampleError

MAX_BYTES: Final = 768 * 2**20
PART: Final = 2**20  # bytes of a file that is read in parts
_CLOCK_TICK_S: Final = 0.02  # twice the slowest tick of Linux (100 Hz)


def read_steadily(path: Path, *, settle_s: float = _CLOCK_TICK_S) -> bytes:
    """Read a regular file whole, and make sure that it stayed the same meanwhile.

    One that was written just now is read again after `settle_s`; 0 is for files of our own.

    Raises:
        SampleError: FILE_UNREADABLE, FILE_NOT_REGULAR, FILE_CHANGED, LINK_LOOP, LINK_BROKEN or
            IMAGE_TOO_LARGE (over 768 MiB).
    """
    try:
        # O_NONBLOCK: opening a pipe that is named like an image must not wait for a writer.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        codes = {errno.ELOOP: Code.LINK_LOOP, errno.ENOENT: Code.LINK_BROKEN}
        code = codes.get(error.errno or 0, Code.FILE_UNREADABLE)
        raise SampleError(code, error.strerror or "unreadable") from error
    before = os.fstat(handle)
    if not stat.S_ISREG(before.st_mode):  # `fdopen` has an error of its own for a folder
        os.close(handle)
        raise SampleError(Code.FILE_NOT_REGULAR, "an image's name, but not a regular file")
    with os.fdopen(handle, "rb", buffering=0) as file:
        if before.st_size > MAX_BYTES:
            raise SampleError(Code.IMAGE_TOO_LARGE, f"the file has {before.st_size} bytes")
        data = _read(file, before.st_size)
        steady = _state(before) == _state(os.fstat(handle))
        if steady and settle_s and _just_written(before):
            time.sleep(settle_s)
            steady = data == _read(file, before.st_size) and _state(before) == _state(
                os.fstat(handle)
            )
    if not steady or len(data) != before.st_size:
        raise SampleError(Code.FILE_CHANGED, "the file changed while it was read")
    return data


def read_in_parts(path: Path) -> Iterator[bytes]:
    """Yield a regular file in parts of a mebibyte.

    Raises:
        SampleError: it can't be read, isn't a regular file, or changes meanwhile.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        code = Code.LINK_BROKEN if not os.path.exists(path) else Code.FILE_UNREADABLE
        raise SampleError(code, error.strerror or "unreadable") from error
    with os.fdopen(handle, "rb", buffering=0) as file:
        before = os.fstat(handle)
        if not stat.S_ISREG(before.st_mode):
            raise SampleError(Code.FILE_NOT_REGULAR, "not a regular file")
        size = 0
        while part := _part(file):
            size += len(part)
            yield part
        if _state(before) != _state(os.fstat(handle)) or size != before.st_size:
            raise SampleError(Code.FILE_CHANGED, "the file changed while it was read")


def _part(file: FileIO) -> bytes:
    try:
        return file.read(PART) or b""
    except OSError as error:
        raise SampleError(Code.FILE_UNREADABLE, error.strerror or "unreadable") from error


def _read(file: FileIO, size: int) -> bytes:
    try:
        file.seek(0)
        return file.read(size + 1) or b""  # one more: a file that grew shows
    except OSError as error:
        raise SampleError(Code.FILE_UNREADABLE, error.strerror or "unreadable") from error


def _just_written(state: os.stat_result) -> bool:
    """Say whether the file was written so recently that its times may not show the next write.

    The kernel takes times from a clock that ticks every few milliseconds: two writes within a
    tick leave the same time.
    """
    return abs(time.time_ns() - state.st_mtime_ns) < 2 * _CLOCK_TICK_S * 1e9


def _state(state: os.stat_result) -> tuple[int, int, int]:
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns
