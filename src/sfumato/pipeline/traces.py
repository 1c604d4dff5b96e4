"""A start that fails leaves nothing behind: what it made by then is removed again."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path


class Start:
    """The start of a run, which may make these folders (with those above) and these files."""

    def __init__(self, folders: Sequence[Path], files: Sequence[Path]) -> None:
        above = {one for folder in folders for one in (folder, *folder.parents)}
        missing = (folder for folder in above if not os.path.exists(folder))
        self._folders = sorted(missing, key=lambda folder: -len(folder.parts))
        self._files = [file for file in files if not os.path.exists(file)]
        self.done = False

    @contextmanager
    def tidied(self) -> Iterator[None]:
        """Remove what wasn't there before if the start isn't `done` when an error ends it."""
        try:
            yield
        except BaseException:
            if not self.done:
                self._remove()
            raise

    def _remove(self) -> None:
        for file in self._files:
            with suppress(OSError):
                file.unlink()
        for folder in self._folders:
            with suppress(OSError):  # somebody else has put something into it
                folder.rmdir()
