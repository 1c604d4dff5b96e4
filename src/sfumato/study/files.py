"""Files of a study's folder appear whole or not at all, and several processes may write one.

Their folders, which hold images as they were, are made for the owner alone.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sfumato.errors import OutputError
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
