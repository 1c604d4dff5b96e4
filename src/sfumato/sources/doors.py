"""What a source and a sink must do: the doors by which images come in and a release goes out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Protocol

from sfumato.types import Decision, Detection, Face, Failure, Output, Redetection, Sample


@dataclass(frozen=True, slots=True)
class ImportedBoxes:
    """What a file of boxes says of an image: its faces, or the problem with them, and its size."""

    faces: tuple[Face, ...]
    problem: str = ""
    size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one image before a step takes it up: its latest records, imported boxes.

    `searched_less`: the detection is of a version that looked at less of the bytes. None is what
    there is no record of, or what the steps that are to come don't ask for.
    """

    detection: Detection | Failure | None = None
    searched_less: bool = False
    imported: ImportedBoxes | None = None
    decision: Decision | None = None
    redetection: Redetection | None = None
    output: Output | None = None


@dataclass(frozen=True, slots=True)
class Shard:
    """A unit of work: some images of one source. `id` depends on content, never on rank.

    `known` says of each key, in order, what is known of it; empty: nothing is. A shard is
    `divisible` if its source reads some keys of it as fast as they come with all the others.
    """

    id: str
    url: str
    keys: tuple[str, ...]
    known: tuple[Known, ...] = ()
    divisible: bool = False

    def part(self, start: int, stop: int | None = None) -> Shard:
        """Return the keys from `start` up to `stop` (the end, if None), with what is known."""
        return replace(self, keys=self.keys[start:stop], known=self.known[start:stop])


@dataclass(frozen=True, slots=True)
class Listing:
    """What a source holds: images by name, other files, and what can't be reached at all.

    `junk` is what file systems leave behind; `excluded` what isn't part of the set by choice.
    """

    images: tuple[str, ...]
    others: tuple[str, ...]
    failures: tuple[Failure, ...]
    junk: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Note:
    """That the file of this key had these bytes when it was in this state.

    `digest` is their SHA-256, "" while a run is about to replace the file; `state` is what
    `Sink.state` returned.
    """

    key: str
    digest: str
    state: str


class Source(Protocol):
    """Where images come from. Never written to. Goes to workers by pickle.

    `url` is its address as it is remembered, `name` what reports call it; `beside` is the folder
    of this machine that holds what is kept of it and not published.
    """

    @property
    def url(self) -> str:
        """The address, as it is remembered."""
        ...

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    @property
    def beside(self) -> Path:
        """The folder of this machine for what is kept of it and not published."""
        ...

    def places(self) -> tuple[Path, ...]:
        """The folders of this machine that it reads, where nothing may be written."""
        ...

    def scan(self, apart: Sequence[Path] = ()) -> Listing:
        """List it, in the order of the keys; what leads to a place of `apart` is a failure."""
        ...

    def shards(self, keys: Sequence[str]) -> Sequence[Shard]:
        """Cut keys into shards that stay the same as far as the source does."""
        ...

    def read(self, shard: Shard) -> Iterator[Sample | Failure]:
        """Yield exactly one item for each key of the shard, in order."""
        ...

    def label(self, key: str) -> str:
        """Return the class of an image or a file, as far as it is known without reading it."""
        ...

    def sample(self, key: str) -> Sample:
        """Read one image; `SampleError` if it can't be read, or a key from elsewhere."""
        ...

    def parts(self, key: str) -> Iterator[bytes]:
        """Yield a file that is no image, in parts; `SampleError` as `sample`."""
        ...

    def state(self, key: str) -> str:
        """What differs once a file has changed, without reading it; "" if that can't be told."""
        ...

    def holds(self, name: str) -> bool:
        """Say whether there is a file of this name."""
        ...


class Staging(Protocol):
    """What covering needs of a sink."""

    def stage(self, sample: Sample, data: bytes) -> str:
        """Write beside the final name, unseen; return the SHA-256 of what was written."""
        ...


class Sink(Staging, Protocol):
    """Where the release goes. A shard is published whole or not at all. Goes to workers by pickle.

    `url`, `beside` and `places` are as a source's. Keys are those of the source; where the release
    has another name for one, the sink knows it. `OutputError`: it can't be written to.
    """

    @property
    def url(self) -> str:
        """The address, as it is remembered."""
        ...

    @property
    def beside(self) -> Path:
        """The folder of this machine for what is kept of it and not published."""
        ...

    def places(self) -> tuple[Path, ...]:
        """The folders of this machine in which it lies."""
        ...

    def check(self) -> None:
        """Make sure, without writing, that it can be written to."""
        ...

    def is_empty(self) -> bool:
        """Say whether nothing lies there, or nothing is there at all."""
        ...

    def is_there(self) -> bool:
        """Say whether anything was ever put there."""
        ...

    def begin(self) -> Sink:
        """Return it for one run: what another run has staged is out of its reach."""
        ...

    def make(self) -> None:
        """Make the place, if it isn't there; durably."""
        ...

    def stage_parts(self, key: str, parts: Iterable[bytes]) -> str:
        """As `stage`, of a file that comes in parts."""
        ...

    def discard(self, key: str) -> None:
        """Forget what was staged for a key."""
        ...

    def sweep(self) -> None:
        """Forget all that any run has staged and not published."""
        ...

    def publish(self, keys: Iterable[str]) -> None:
        """Make staged files durable, then give them their names."""
        ...

    def read(self, key: str, *, staged: bool = False) -> bytes:
        """Read what is published (or staged); `SampleError` if that can't be."""
        ...

    def parts(self, key: str) -> Iterator[bytes]:
        """Yield a file in parts; raises as `read`."""
        ...

    def names(self) -> set[str]:
        """The names of all that lies there, whoever put it there; what runs left behind, too."""
        ...

    def holds(self, name: str) -> bool:
        """Say whether there is a file of this name."""
        ...

    def remove(self, names: Iterable[str]) -> None:
        """Remove published files, durably."""
        ...

    def writing(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Write an artefact, such as the manifest: whole and durable at the end, or not at all."""
        ...

    def forget(self, names: Iterable[str]) -> None:
        """Remove artefacts, in this order, durably, if they are there."""
        ...

    def state(self, key: str) -> str:
        """What differs once a file has changed, without reading it; "" if that can't be told."""
        ...

    def note(self, key: str) -> Note | None:
        """Read a file and note it; None where none can be read."""
        ...

    def notes(self, keys: Iterable[str]) -> Iterator[Note]:
        """The notes of those that can be read."""
        ...

    def noted(self, digests: Mapping[str, str]) -> list[Note]:
        """Note files that were published just now and have these digests, without reading them."""
        ...
