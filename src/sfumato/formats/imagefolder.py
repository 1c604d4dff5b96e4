"""A tree of folders as source and sink: any depth, any names; the folder part is the class.

Nothing is ever written into the source, and nothing in the release is ever written to its
final name: a picture is staged under a temporary name in the same folder, and a shard's
pictures are renamed into place together once they are on the disk.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final

from sfumato.errors import Code, OutputError, SampleError, UsageError
from sfumato.formats.disk import PART_SUFFIX, cannot_write, fsync
from sfumato.formats.released_names import check_free, check_named, check_readable, released_name
from sfumato.formats.walking import Apart, walk, without_junk
from sfumato.types import Failure, Sample, Shard

PICTURES: Final = frozenset(
    "jpg jpeg jpe jfif png webp bmp dib tif tiff gif apng mpo avif avifs".split()
)
# Pictures by name that can't be read yet: refused, since they may hold faces.
FOREIGN: Final = frozenset(
    "heic heif hif jxl jp2 j2k jpx psd ico tga pcx pbm pgm ppm pnm svg svgz eps "
    "raw dng cr2 cr3 nef arw orf rw2 raf pef srw exr hdr dcm".split()
)
MAX_BYTES: Final = 768 * 2**20
_SHARD_MIN, _SHARD_MEAN_EXTRA, _SHARD_MAX = 256, 256, 1024
_CLOCK_TICK_S: Final = 0.02  # twice the slowest tick of Linux (100 Hz)
_FICLONE: Final = 0x40049409  # linux/fs.h: share the blocks of another file


@dataclass(frozen=True, slots=True)
class Listing:
    """What a source holds: pictures by name, other files, and what can't be reached at all.

    `junk` is what file systems leave behind; `excluded` what isn't part of the set by choice.
    """

    pictures: tuple[str, ...]
    others: tuple[str, ...]
    failures: tuple[Failure, ...]
    junk: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()


def label_of(key: str) -> str:
    """Return the class of a key: its folder part, "" at the top."""
    return key.rpartition("/")[0]


def is_picture_name(key: str) -> bool:
    """Say whether a file claims by its name to be a picture."""
    return key.rpartition(".")[2].lower() in PICTURES | FOREIGN and "." in key


def _is_no_matter(problem: Failure) -> bool:
    """Say whether it is a link that leads nowhere and whose name says that it is no picture."""
    named = "." in problem.key.rpartition("/")[2] and not is_picture_name(problem.key)
    return problem.code is Code.LINK_BROKEN and named


class ImageFolder:
    """The pictures below a folder, as a `sfumato.types.Source`.

    Links are followed; a folder that leads back into itself is a failure, not an endless walk, and
    so is a link to where `apart` says that none may lead.

    Raises:
        UsageError: the folder doesn't exist or can't be listed.
    """

    def __init__(self, root: Path, apart: Apart = Apart()) -> None:  # noqa: B008 (it is frozen)
        self.root = root
        self.apart = apart
        if not root.is_dir():
            raise UsageError(f"{root} is not a folder: give the folder that holds the pictures.")

    def scan(self) -> Listing:
        """List the tree, in the order of the keys."""
        keys: list[str] = []
        failures: list[Failure] = []
        for key, problem in walk(self.root, self.apart):
            if problem is None or (_is_no_matter(problem) and os.path.islink(self.root / key)):
                keys.append(key)
            else:
                failures.append(problem)
        kept, junk = without_junk(self.root, sorted(keys))
        failures.sort(key=lambda failure: failure.key)
        return Listing(
            tuple(key for key in kept if is_picture_name(key)),
            tuple(key for key in kept if not is_picture_name(key)),
            tuple(failures),
            tuple(junk),
        )

    def shards(self) -> Sequence[Shard]:
        """Cut the pictures into shards; see `cut`."""
        return self.cut(self.scan().pictures)

    def cut(self, keys: Sequence[str]) -> list[Shard]:
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
        return Shard(digest.hexdigest()[:24], str(self.root), tuple(keys))

    def read(self, shard: Shard) -> Iterator[Sample | Failure]:
        """Yield one sample or failure for each key, in order."""
        for key in shard.keys:
            try:
                yield self.sample(key)
            except SampleError as error:
                yield Failure(key, "read", error.code, error.reason)

    def sample(self, key: str) -> Sample:
        """Read one picture.

        Raises:
            SampleError: it can't be read, isn't a regular file, or changed while it was read.
        """
        check_readable(key, FOREIGN)
        data = read_steadily(self.root / key)
        check_named(key, data)
        return Sample(key, label_of(key), data, hashlib.sha256(data).hexdigest())


def read_steadily(path: Path, *, settle_s: float = _CLOCK_TICK_S) -> bytes:
    """Read a regular file whole, and make sure that it stayed the same meanwhile.

    One that was written just now is read again after `settle_s`; 0 is for files of our own.

    Raises:
        SampleError: FILE_UNREADABLE, FILE_NOT_REGULAR, FILE_CHANGED, LINK_LOOP, LINK_BROKEN or
            IMAGE_TOO_LARGE (over 768 MiB).
    """
    try:
        # O_NONBLOCK: opening a pipe that is named like a picture must not wait for a writer.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        codes = {errno.ELOOP: Code.LINK_LOOP, errno.ENOENT: Code.LINK_BROKEN}
        code = codes.get(error.errno or 0, Code.FILE_UNREADABLE)
        raise SampleError(code, error.strerror or "unreadable") from error
    before = os.fstat(handle)
    if not stat.S_ISREG(before.st_mode):  # `fdopen` has an error of its own for a folder
        os.close(handle)
        raise SampleError(Code.FILE_NOT_REGULAR, "a picture's name, but not a regular file")
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


class FolderSink:
    """A folder as the release, as a `sfumato.types.Sink`.

    Workers stage, the driver publishes: both are given the same sink, whose `token` (one for
    each run) is part of the temporary names, so that a worker left over from a killed run can
    never touch the files of the next one.

    `link`: "auto" shares blocks with the source where the file system can (a reflink: changing
    one never changes the other) and copies where not; "copy" always copies; "hard" makes hard
    links, through which a later edit of the release reaches the original.
    """

    def __init__(self, root: Path, *, token: str, source: Path, link: str = "auto") -> None:
        self.root = root
        self.token = token
        self.source = source
        self.link = link
        self._durable: set[Path] = set()  # folders whose own names are on the disk

    def final(self, key: str) -> Path:
        """Return where a picture lies once it is published; see `released_name`."""
        return self.root / released_name(key)

    def staged(self, key: str) -> Path:
        """Return the temporary name of a picture, in the folder of the final one."""
        name = hashlib.sha256(key.encode()).hexdigest()[:24]  # a key may be as long as a name may
        return self.final(key).parent / f".{name}.{self.token}{PART_SUFFIX}"

    def stage(self, sample: Sample, data: bytes) -> str:
        """Write a picture under its temporary name; return the SHA-256 of what lies there.

        Bytes that are the sample's own may be linked instead of written.

        Raises:
            OutputError: the disk is full, read-only or not permitted.
            SampleError: FILE_CHANGED, when what was linked isn't what was read; NAME_TAKEN, when
                the source has a file of the name that the release needs.
        """
        path = self.staged(sample.key)
        check_free(sample.key, self.source)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
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
        digest = hashlib.sha256()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
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

    def _linked(self, sample: Sample, path: Path) -> bool:
        origin = self.source / sample.key
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
        """Make staged pictures durable, then rename them into place.

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
            raise OutputError(cannot_write(self.root, error)) from error
        self._durable.update(folders)

    def _new_above(self, folder: Path) -> list[Path]:
        """Return the folders that hold the names of this one and of those above, up to the root."""
        if folder in self._durable:
            return []
        return [up for up in folder.parents if up == self.root or self.root in up.parents]

    def discard(self, key: str) -> None:
        """Remove the staged file of a picture that is refused after all."""
        self.staged(key).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove temporary files that a killed run left behind."""
        for folder, _, names in os.walk(self.root):
            for name in names:
                if name.endswith(PART_SUFFIX):
                    os.unlink(os.path.join(folder, name))


_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


def _reflink(origin: Path, path: Path) -> None:
    with open(origin, "rb") as source, open(path, "wb") as target:
        fcntl.ioctl(target.fileno(), _FICLONE, source.fileno())
