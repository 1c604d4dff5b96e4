"""Files of a study's folder appear whole or not at all, and several processes may write one.

Their folders, which hold images as they were, are made for the owner alone.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfumato.errors import OutputError, UsageError
from sfumato.sources import private


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a new name in the folder of `path`; what is written there becomes `path` at the end.

    The name is used by nobody else: two processes that write the same file don't meet, and the
    last one stays.

    Raises:
        OutputError: the disk refuses.
    """
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        private.folder(path.parent)
        yield part
        os.replace(part, path)
    except OSError as error:
        raise OutputError(
            f"{path} can't be written ({error.strerror}): make room, then run again to go on."
        ) from error
    finally:
        with suppress(OSError):  # it isn't there, or its folder is a file
            part.unlink()


def write(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        OutputError: the disk refuses.
    """
    with whole(path) as part:
        part.write_bytes(data)


def write_arrays(path: Path, **arrays: NDArray[Any]) -> None:
    """Write arrays by name (NumPy's .npz), whole or not at all.

    Raises:
        OutputError: the disk refuses.
    """
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]  # a name may be that of its option
    write(path, stream.getvalue())


def read_csv(path: Path) -> list[list[str]]:
    """Return the lines of a CSV file, none of them empty.

    Raises:
        UsageError: it can't be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return [line for line in csv.reader(stream) if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} can't be read: {error}.") from error


def two_columns(path: Path, first: str, second: str) -> list[tuple[str, str]]:
    """Return what two columns of a CSV file say, line by line; "" where a line is too short.

    Raises:
        UsageError: it can't be read, lacks a column, or has no line.
    """
    head, *lines = read_csv(path) or [[]]
    if not lines or not {first, second} <= set(head):
        raise UsageError(
            f"{path} needs the columns {first} and {second}, and a line for each {first}."
        )
    places = head.index(first), head.index(second)
    rows = ([*line, *[""] * len(head)] for line in lines)
    return [(row[places[0]], row[places[1]]) for row in rows]


def digest(plain: Any) -> str:
    """Return the SHA-256 of plain data as JSON."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
