"""A folder as the release: staged, published, and what lies there told from what should.

Nothing is ever written to its final name: an image is staged under a temporary name in the same
folder, and a shard's images are renamed into place together once they are on the disk.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO, Final

from sfumato.errors import Code, OutputError, SampleError, UsageError
from sfumato.sources import notes
from sfumato.sources.disk import (
    PART_SUFFIX,
    cannot_write,
    check_no_folder,
    check_writable,
    fsync,
    is_part,
    make_folder,
    part_of,
    rename_durably,
)
from sfumato.sources.doors import Note, Source
from sfumato.sources.imagefolder import ImageFolder
from sfumato.sources.private import private_folder
from sfumato.sources.reading import read_in_parts, read_steadily
from sfumato.sources.released_names import RESERVED, check_free, released_name
from sfumato.types import Sample

_FICLONE: Final = 0x40049409  # linux/fs.h: share the blocks of another file


class FolderSink:
    """A folder as the release, as a `sfumato.types.Sink`.

    Workers stage, the driver publishes: both are given the same sink, whose `token` (one for
    each run) is part of the temporary names, so that a worker left over from a killed run can
    never touch the files of the next one. `like` is the source that it is made from.

    `link`: "auto" shares blocks with the source where the file system can (a reflink: changing
    one never changes the other) and copies where not; "copy" always copies; "hard" makes hard
    links, through which a later edit of the release reaches the original.
    """

    def __init__(self, root: Path, *, like: Source, token: str = "", link: str = "auto") -> None:
        self.root = root
        self.token = token
        self.like = like
        self.link = link
        self._durable: set[Path] = set()  # folders whose own names are on the disk
        self._inside: set[Path] = set()  # folders to which no link leads

    @property
    def url(self) -> str:
        """The address, as it is remembered."""
        return str(self.root)

    @property
    def beside(self) -> Path:
        """The folder of this machine for what is kept of it and not published."""
        return private_folder(self.root)

    def places(self) -> tuple[Path, ...]:
        """The folders of this machine in which it lies."""
        return (self.root,)

    def check(self) -> None:
        """Make sure that a release can be written here.

        Raises:
            UsageError: a file stands there, or a folder where a file of its own belongs.
            OutputError: the disk is read-only, permission is denied, or a name is too long.
        """
        if os.path.exists(self.root) and not self.is_there():
            raise UsageError(f"{self.root} is a file: choose a folder for the release.")
        check_writable(self.root)
        for name in sorted(RESERVED):
            check_no_folder(self.root / name)
            check_no_folder(part_of(self.root / name))

    def is_there(self) -> bool:
        """Say whether anything was ever put there."""
        return os.path.isdir(self.root)

    def is_empty(self) -> bool:
        """Say whether nothing lies there, or nothing is there at all.

        Raises:
            OutputError: nobody may look.
        """
        try:
            return not self.is_there() or not os.listdir(self.root)
        except PermissionError as error:
            raise OutputError(cannot_write(self.root, error)) from error

    def begin(self) -> FolderSink:
        """Return the same sink with temporary names of its own."""
        return FolderSink(self.root, like=self.like, token=uuid.uuid4().hex[:8], link=self.link)

    def make(self) -> None:
        """Make the folder and those above it, so that a power cut keeps them.

        Raises:
            OutputError: the disk refuses.
        """
        make_folder(self.root)

    def final(self, key: str) -> Path:
        """Return where an image lies once it is published; see `released_name`."""
        return self.root / released_name(key)

    def staged(self, key: str) -> Path:
        """Return the temporary name of an image, in the folder of the final one."""
        name = hashlib.sha256(key.encode()).hexdigest()[:24]  # a key may be as long as a name may
        return self.final(key).parent / f".{name}.{self.token}{PART_SUFFIX}"

    def stage(self, sample: Sample, data: bytes) -> str:
        """Write an image under its temporary name; return the SHA-256 of what lies there.

        Bytes that are the sample's own may be linked instead of written.

        Raises:
            OutputError: the disk is full, read-only or not permitted.
            SampleError: FILE_CHANGED, when what was linked isn't what was read; NAME_TAKEN, when
                the source has a file of the name that the release needs.
        """
        path = self.staged(sample.key)
        check_free(sample.key, self.like)
        try:
            self._make(path.parent)
            if data is sample.data and self.link != "copy" and self._linked(sample, path):
                return sample.digest
            path.write_bytes(data)
        except OSError as error:
            raise OutputError(cannot_write(path.parent, error)) from error
        return sample.digest if data is sample.data else hashlib.sha256(data).hexdigest()

    def stage_parts(self, key: str, parts: Iterable[bytes]) -> str:
        """Write a file that comes in parts under its temporary name; return its SHA-256.

        Raises:
            OutputError: as `stage`; and whatever `parts` raises. Nothing is left behind then.
        """
        path = self.staged(key)
        check_free(key, self.like)
        digest = hashlib.sha256()
        try:
            self._make(path.parent)
            with path.open("wb") as file:
                for part in parts:
                    digest.update(part)
                    file.write(part)
        except OSError as error:
            raise OutputError(cannot_write(path.parent, error)) from error
        except SampleError:
            path.unlink()
            raise
        return digest.hexdigest()

    def _make(self, folder: Path) -> None:
        """Make a folder of the release.

        Raises:
            OutputError: a link stands in its way.
            OSError: the disk refuses.
        """
        self._check_inside(folder)
        folder.mkdir(parents=True, exist_ok=True)

    def _check_inside(self, folder: Path) -> None:
        """Make sure that no link leads to a folder: behind it, the source's own files may lie.

        Raises:
            OutputError: one does.
        """
        link = self._link_above(folder)
        if link is not None:
            words = "a link stands where a folder is needed: remove it"
            raise OutputError(
                f"Can't write to {link}: {words}, then run the same command again to go on."
            )

    def _link_above(self, folder: Path) -> Path | None:
        ups = takewhile(lambda up: up != self.root, (folder, *folder.parents))
        return next(filter(os.path.islink, ups), None)

    def _is_inside(self, path: Path) -> bool:
        """Say whether a file lies in the release itself: no link leads to its folder.

        Each folder is looked at once: what is only read may be asked of 100,000 files. Before
        anything is written or removed, `_check_inside` looks again.
        """
        if path.parent not in self._inside:
            if self._link_above(path.parent) is not None:
                return False
            self._inside.add(path.parent)
        return True

    def _linked(self, sample: Sample, path: Path) -> bool:
        if not isinstance(self.like, ImageFolder):
            return False
        origin = self.like.root / sample.key
        path.unlink(missing_ok=True)
        try:
            if self.link == "hard":
                os.link(os.path.realpath(origin), path)
            else:
                _reflink(origin, path)
        except OSError as error:
            if error.errno in _FULL:
                raise
            return False  # this file system can't: copy
        if hashlib.sha256(path.read_bytes()).hexdigest() != sample.digest:
            path.unlink()
            raise SampleError(Code.FILE_CHANGED, "the file changed between reading and linking")
        return True

    def publish(self, keys: Iterable[str]) -> None:
        """Make staged images durable, then rename them into place.

        Raises:
            OutputError: the disk refuses; nothing that was published before is harmed.
        """
        pairs = [(self.staged(key), self.final(key)) for key in keys]
        folders = sorted({final.parent for _, final in pairs})
        above = {up for folder in folders for up in self._new_above(folder)}
        try:
            with ThreadPoolExecutor(16) as pool:  # waits overlap: a third of the time of one by one
                list(pool.map(fsync, [staged for staged, _ in pairs]))
                for staged, final in pairs:
                    os.replace(staged, final)
                list(pool.map(fsync, sorted({*folders, *above})))
        except OSError as error:
            in_way = error.filename2 if error.errno == errno.EISDIR else None
            raise OutputError(cannot_write(Path(in_way or self.root), error)) from error
        self._durable.update(folders)

    def _new_above(self, folder: Path) -> list[Path]:
        """Return the folders that hold the names of this one and of those above, up to the root."""
        if folder in self._durable:
            return []
        return [up for up in folder.parents if up == self.root or self.root in up.parents]

    def discard(self, key: str) -> None:
        """Remove the staged file of an image that is refused after all."""
        with suppress(NotADirectoryError):  # then it can't have been staged
            self.staged(key).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove temporary files that a killed run left behind."""
        for folder, _, names in os.walk(self.root):
            for name in names:
                if is_part(name):
                    os.unlink(os.path.join(folder, name))

    def read(self, key: str, *, staged: bool = False) -> bytes:
        """Read an image as it lies in the release, or as it is `staged`.

        Raises:
            SampleError: it can't be read, isn't a regular file, or changed while it was read.
        """
        return read_steadily(self.staged(key) if staged else self.final(key), settle_s=0)

    def parts(self, key: str) -> Iterator[bytes]:
        """Yield a file of the release in parts; raises as `read` does."""
        return read_in_parts(self.final(key))

    def names(self) -> set[str]:
        """Return the names of all files there, a link to a folder counting as one.

        Only artefacts that are being written don't count.
        """
        found = (
            os.path.relpath(os.path.join(folder, name), self.root)
            for folder, folders, files in os.walk(self.root)
            for name in (*files, *(n for n in folders if os.path.islink(os.path.join(folder, n))))
            if not (folder == str(self.root) and is_part(name))
        )
        return {name.replace(os.sep, "/") for name in found}

    def holds(self, name: str) -> bool:
        """Say whether there is a file of this name, or a link, wherever it leads."""
        path = self.root / name
        inside = self._link_above(path.parent) is None
        return inside and (os.path.isfile(path) or os.path.islink(path))

    def remove(self, names: Iterable[str]) -> None:
        """Remove files, and the folders that are empty then; durably.

        Raises:
            OutputError: a link leads to their folder.
            OSError: the disk refuses.
        """
        paths = [self.root / name for name in names]
        for path in paths:
            self._check_inside(path.parent)
            path.unlink()
            self._remove_empty(path.parent)
        for folder in {_that_is_there(path.parent) for path in paths}:
            fsync(folder)

    def _remove_empty(self, folder: Path) -> None:
        while folder != self.root and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """Write a file at the top of the release: it is there, durably and whole, at the end.

        An exception inside leaves what was there.

        Raises:
            OutputError: the disk refuses.
        """
        path = self.root / name
        part = part_of(path)
        try:
            part.unlink(missing_ok=True)  # where a link stands, nothing is written behind it
            with part.open("xb") as file:
                yield file
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        try:
            rename_durably(part, path)
        except OSError as error:
            raise OutputError(cannot_write(self.root, error)) from error

    def forget(self, names: Iterable[str]) -> None:
        """Remove files at the top, in this order, if they are there; on the disk at the end.

        Raises:
            OutputError: the disk refuses.
        """
        for name in names:
            path = self.root / name
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise OutputError(cannot_write(path, error)) from error
        fsync(self.root)

    def state(self, key: str) -> str:
        """What differs once a file has changed, without reading it; "" if that can't be told."""
        path = self.final(key)
        return notes.state_of(path) if self._is_inside(path) else ""

    def note(self, key: str) -> Note | None:
        """Read a file; return what it holds, or None where there is no file that can be read.

        A link is none: what lies elsewhere isn't in the release. The note has no state if it
        wouldn't show the next change: the file was changed just now or while it was read.
        """
        path = self.final(key)
        return notes.read_note(key, path) if self._is_inside(path) else None

    def notes(self, keys: Iterable[str]) -> Iterator[Note]:
        """Yield the notes of those that can be read, in order; many are read at once."""
        files = ((key, self.final(key)) for key in keys)
        return notes.read_notes((key, path) for key, path in files if self._is_inside(path))

    def noted(self, digests: Mapping[str, str]) -> list[Note]:
        """Return notes of files that were published just now, with these digests, without reading.

        Waits a moment first, so that any later change shows in their times.
        """
        return list(notes.note_all([(key, self.final(key), d) for key, d in digests.items()]))


_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


def _reflink(origin: Path, path: Path) -> None:
    with open(origin, "rb") as source, open(path, "wb") as target:
        fcntl.ioctl(target.fileno(), _FICLONE, source.fileno())


def _that_is_there(folder: Path) -> Path:
    return folder if folder.is_dir() else _that_is_there(folder.parent)
