"""A tree of folders as source: any depth, any names; the folder part is the class.

Nothing is ever written into it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from sfumato.errors import Code, SampleError, UsageError
from sfumato.imaging import codec
from sfumato.sources.doors import Listing, Shard
from sfumato.sources.notes import state_of
from sfumato.sources.private import private_folder
from sfumato.sources.reading import read_in_parts, read_steadily
from sfumato.sources.released_names import check_named, check_readable
from sfumato.sources.walking import walk, without_junk
from sfumato.types import Failure, Sample

# Images by name that can't be read yet: refused, since they may hold faces.
FOREIGN: Final = frozenset(
    "heic heif hif jxl jp2 j2k jpx psd ico tga pcx pbm pgm ppm pnm svg svgz eps "
    "raw dng cr2 cr3 nef arw orf rw2 raf pef srw exr hdr dcm".split()
)
_SHARD_MIN, _SHARD_MEAN_EXTRA, _SHARD_MAX = 256, 256, 1024


def is_image_name(key: str) -> bool:
    """Say whether a file claims by its name to be an image."""
    _, dot, ending = key.rpartition(".")
    return dot == "." and (ending.lower() in codec.ENDINGS or ending.lower() in FOREIGN)


def _is_no_matter(problem: Failure) -> bool:
    """Say whether it is a link that leads nowhere and whose name says that it is no image."""
    named = "." in problem.key.rpartition("/")[2] and not is_image_name(problem.key)
    return problem.code is Code.LINK_BROKEN and named


class ImageFolder:
    """The images below a folder, as a `sfumato.types.Source`.

    Links are followed; a folder that leads back into itself is a failure, not an endless walk.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def url(self) -> str:
        """The address, as it is remembered."""
        return str(self.root)

    @property
    def name(self) -> str:
        """What reports call it."""
        return self.root.name

    @property
    def beside(self) -> Path:
        """The folder of this machine for what is kept of it and not published."""
        return private_folder(self.root)

    def places(self) -> tuple[Path, ...]:
        """The folders of this machine in which it lies."""
        return (self.root,)

    def scan(self, apart: Sequence[Path] = ()) -> Listing:
        """List the tree, in the order of the keys; a link to a place of `apart` is a failure.

        Raises:
            UsageError: there is no such folder, or it can't be listed.
        """
        if not os.path.isdir(self.root):
            raise UsageError(f"{self.root} is not a folder: give the folder that holds the images.")
        keys: list[str] = []
        failures: list[Failure] = []
        for key, problem in walk(self.root, apart):
            if problem is None or (_is_no_matter(problem) and os.path.islink(self.root / key)):
                keys.append(key)
            else:
                failures.append(problem)
        kept, junk = without_junk(self.root, sorted(keys))
        failures.sort(key=lambda failure: failure.key)
        return Listing(
            tuple(key for key in kept if is_image_name(key)),
            tuple(key for key in kept if not is_image_name(key)),
            tuple(failures),
            tuple(junk),
        )

    def shards(self, keys: Sequence[str]) -> list[Shard]:
        """Cut keys into shards of 256 to 1,024 (512 on average) whose borders follow the names.

        Content-defined: a border lies behind a key whose hash says so. A file added or removed
        changes its own shard and at most moves the next border, so that a resumed run doesn't
        do the rest of the data set again. The id covers names, sizes and times of change.
        """
        shards: list[Shard] = []
        chunk: list[str] = []
        for key in keys:
            chunk.append(key)
            border = hashlib.sha256(key.encode()).digest()[0] == 0  # one key in 256
            if (len(chunk) >= _SHARD_MIN and border) or len(chunk) == _SHARD_MAX:
                shards.append(self._shard(chunk))
                chunk = []
        return [*shards, self._shard(chunk)] if chunk else shards

    def _shard(self, keys: Sequence[str]) -> Shard:
        digest = hashlib.sha256()
        for key in keys:
            try:
                state = os.stat(self.root / key)
                digest.update(f"{key}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
            except OSError:
                digest.update(f"{key}\0unreadable\n".encode())
        return Shard(digest.hexdigest()[:24], str(self.root), tuple(keys), divisible=True)

    def read(self, shard: Shard) -> Iterator[Sample | Failure]:
        """Yield one sample or failure for each key, in order."""
        for key in shard.keys:
            try:
                yield self.sample(key)
            except SampleError as error:
                yield Failure(key, "read", error.code, error.reason)

    def label(self, key: str) -> str:
        """Return the folder part of a key, "" at the top."""
        return key.rpartition("/")[0]

    def sample(self, key: str) -> Sample:
        """Read one image.

        Raises:
            SampleError: it can't be read, isn't a regular file, or changed while it was read.
        """
        check_readable(key, FOREIGN)
        state = self.state(key)
        data = read_steadily(self._path(key))
        check_named(key, data)
        return Sample(key, self.label(key), data, hashlib.sha256(data).hexdigest(), state)

    def parts(self, key: str) -> Iterator[bytes]:
        """Yield a file that is no image, in parts; raises as `sample` does."""
        return read_in_parts(self._path(key))

    def state(self, key: str) -> str:
        """Return size, times and inode of a file as text, links followed; "" of no regular file.

        The time of change can't be put back: it shows what kept its size and its other times.
        """
        return state_of(self._path(key), follow=True)

    def holds(self, name: str) -> bool:
        """Say whether there is a file of this name."""
        return os.path.lexists(self.root / name)

    def _path(self, key: str) -> Path:
        """Return where a key lies; a key from elsewhere (`..`, an absolute path) lies nowhere."""
        parts = PurePosixPath(key)
        if parts.is_absolute() or ".." in parts.parts or "\0" in key:
            raise SampleError(Code.LINK_BROKEN, "a key that leads out of the source")
        return self.root / key
