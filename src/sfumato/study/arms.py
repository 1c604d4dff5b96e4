"""The arms of a study: the same images, each changed in one way.

Faces are covered by `imaging.codec.edit`, which writes releases: a JPEG is edited block by block
and keeps every other coefficient, so an obfuscated arm differs from `original` under the faces
and nowhere else. Lossy WebP and AVIF can only be encoded again, at quality 95 or more; PNG and
the like stay exact. A release made by `sfumato run` may hold more: it looks again and covers what
a detector still sees. To study a given release, name its folder in `arms.releases`.

`reencoded` covers nothing and encodes every image as JPEG (4:2:0, quality 75 by default), what
the published study's script does to all of its images. `random-<method>` covers the same shapes
where no face is (`placement`). `remedy-<method>` is for training: the obfuscated images, changed
by `transforms.RandomFaceObfuscation` whenever they are read.

What is made is kept by content: the name of a file is the SHA-256 of all it depends on. An image
that an arm doesn't change is the original's file.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from PIL import Image

from sfumato import obfuscation
from sfumato.errors import SampleError, UsageError
from sfumato.imaging import codec
from sfumato.sources.reading import read_steadily
from sfumato.study.configuration import Arms, Remedy, is_random, is_remedy, method_of
from sfumato.study.files import digest, write
from sfumato.study.images import Collection, Labelling, StudyImage
from sfumato.study.patches import Change, Remedied
from sfumato.study.placement import draws, elsewhere
from sfumato.study.processes import spread
from sfumato.types import JSON, Box, Pixels

Progress: TypeAlias = Callable[[str, int, int], None]
_LAYOUT: Final = 1
_REFUSED: Final = ".refused"
_AT_ONCE: Final = 16


def silent(_: str, __: int, ___: int) -> None:
    """Tell nobody how far things are."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An image of an arm: the file, and the SHA-256 of what it holds or is made from.

    `change` is made to the pixels when it is read.
    """

    path: Path
    id: str
    change: Change | None = None

    def changed(self, change: Change) -> Stored:
        """Return the image with a change."""
        name = hashlib.sha256(f"{self.id}\0{change!r}".encode()).hexdigest()
        return Stored(self.path, name, change)


@dataclass(frozen=True, slots=True)
class Arm:
    """An arm: a file for each key; `digest` is the SHA-256 of all ids, by key."""

    name: str
    files: Mapping[str, Stored]
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        rows = sorted((key, one.id) for key, one in self.files.items())
        object.__setattr__(self, "digest", digest(rows))


@dataclass(frozen=True, slots=True)
class _Task:
    """One image of one arm, to be made: everything that its bytes depend on."""

    source: Path
    image: StudyImage
    arm: str
    arms: Arms
    folder: Path

    def settings(self) -> JSON:
        plain: JSON = {"layout": _LAYOUT, "digest": self.image.digest}
        if self.arm == "reencoded":
            return {**plain, "quality": self.arms.quality}
        method = method_of(self.arm)
        plain |= {"method": method, "expand": self.arms.expand, "faces": self.image.faces}
        if is_random(self.arm):
            plain |= {"seed": self.arms.seed, "key": self.image.key}
        return plain

    def stored(self) -> Stored:
        """Return where the image is, or will be, kept."""
        if self.arm != "reencoded" and not self.image.faces:
            return Stored(self.source, self.image.digest)  # nothing to cover
        name = digest(self.settings())
        suffix = ".jpg" if self.arm == "reencoded" else self.source.suffix
        return Stored(self.folder / name[:2] / f"{name}{suffix}", name)


@dataclass(frozen=True, slots=True)
class Making:
    """How arms are made, where they are kept, by how many processes, and who is told."""

    arms: Arms
    remedy: Remedy
    cache: Path
    workers: int = 1
    progress: Progress = silent


def make(
    collection: Collection, names: Sequence[str], making: Making
) -> tuple[dict[str, Arm], dict[str, str]]:
    """Return the named arms, made or read, and why keys can't be had in all of them.

    Keys that one arm lacks are in no arm, so that arms differ in nothing else.

    Raises:
        UsageError: a release lacks all the images, or there are no faces to be covered.
        OutputError: the disk refuses.
    """
    made: dict[str, Arm] = {}
    left_out: dict[str, str] = {}
    for name in names:
        if name in making.arms.releases:
            arm, lacking = _read(collection, name, making.arms.releases[name])
        elif is_remedy(name):
            below, lacking = make(collection, [method_of(name)], making)
            arm = _remedied(collection, below[method_of(name)], name, making)
        elif name == "original":
            root, lacking = collection.root, {}
            files = {one.key: Stored(root / one.key, one.digest) for one in collection.images}
            arm = Arm("original", files)
        else:
            arm, lacking = _make(collection, name, making)
        made[name] = arm
        left_out |= lacking
    kept = {
        name: Arm(name, {k: v for k, v in arm.files.items() if k not in left_out})
        for name, arm in made.items()
    }
    return kept, left_out


def check_complete(arms: Mapping[str, Arm], labelling: Labelling, before: Collection) -> None:
    """Refuse arms that lack every image of a class.

    Raises:
        UsageError: a class is missing in one arm; both are named.
    """
    wanted = {labelling.labels[one.key] for one in before.images if one.key in labelling.labels}
    for name, arm in arms.items():
        there = {labelling.labels[key] for key in arm.files if key in labelling.labels}
        if gone := sorted(labelling.classes[place] for place in wanted - there):
            raise UsageError(
                f"{len(gone)} classes have no image in all arms, such as {gone[0]!r} (seen in "
                f"{name!r}): the folders of a release must be those of the originals."
            )


def faces_are_there(collection: Collection, names: Sequence[str], arms: Arms) -> None:
    """Refuse to obfuscate where no image has a face.

    Raises:
        UsageError: an arm that covers faces is to be made and there are none.
    """
    made = [name for name in names if name not in arms.releases and method_of(name)]
    if made and not any(one.faces for one in collection.images):
        raise UsageError(
            f"No image below {collection.root} has a face, so the arm {made[0]!r} would be the "
            "original: name data.boxes, data.ledger or data.detector."
        )


def _read(collection: Collection, name: str, root: Path) -> tuple[Arm, dict[str, str]]:
    files: dict[str, Stored] = {}
    lacking: dict[str, str] = {}
    for one in collection.images:
        path = root / one.key
        try:
            files[one.key] = Stored(path, hashlib.sha256(read_steadily(path)).hexdigest())
        except SampleError as error:
            lacking[one.key] = f"not in {name}: {error.code}"
    if not files:
        raise UsageError(
            f"{root} holds none of the images of {collection.root}: arms.releases.{name} must "
            "be a folder with the same names."
        )
    return Arm(name, files), lacking


def _remedied(collection: Collection, base: Arm, name: str, making: Making) -> Arm:
    drawn = making.remedy
    changes = {
        one.key: Remedied(
            drawn.p, drawn.elsewhere, drawn.methods, one.faces, making.arms.seed, one.key
        )
        for one in collection.images
        if one.key in base.files
    }
    return Arm(name, {key: base.files[key].changed(change) for key, change in changes.items()})


def _make(collection: Collection, name: str, making: Making) -> tuple[Arm, dict[str, str]]:
    folder = making.cache / "images"
    tasks = [
        _Task(collection.root / one.key, one, name, making.arms, folder)
        for one in collection.images
    ]
    wanted = [(task, task.stored()) for task in tasks]
    there = {s.path for _, s in wanted if s.path.exists() or _refusal(s.path).exists()}
    todo = [task for task, stored in wanted if stored.path not in there]
    batches = [todo[i : i + _AT_ONCE] for i in range(0, len(todo), _AT_ONCE)]
    done = 0
    for number in spread(_make_all, batches, making.workers):
        done += number
        making.progress(f"arm {name}", done, len(todo))
    files: dict[str, Stored] = {}
    lacking: dict[str, str] = {}
    for task, stored in wanted:
        if stored.path.exists():
            files[task.image.key] = stored
        else:
            reason = _refusal(stored.path).read_text(encoding="utf-8")
            lacking[task.image.key] = f"can't be made {name}: {reason}"
    return Arm(name, files), lacking


def _refusal(path: Path) -> Path:
    return path.with_name(path.name + _REFUSED)


def _make_all(tasks: Sequence[_Task]) -> int:
    for task in tasks:
        path = task.stored().path
        try:
            data = _bytes(task)
        except SampleError as error:
            path, data = _refusal(path), str(error).encode()
        write(path, data)
    return len(tasks)


def _bytes(task: _Task) -> bytes:
    data = read_steadily(task.source)
    if hashlib.sha256(data).hexdigest() != task.image.digest:
        raise UsageError(f"{task.source} changed since it was read first: run again.")
    if task.arm == "reencoded":
        return _as_jpeg(codec.decode(data).frames[0], task.arms.quality)
    boxes: Sequence[Box] = task.image.faces
    if is_random(task.arm):
        one = task.image
        rng = draws(task.arms.seed, "places", one.key)
        boxes = elsewhere(one.faces, one.faces, (one.width, one.height), rng)
    method = obfuscation.make(method_of(task.arm), expand=task.arms.expand)
    return codec.edit(data, boxes, method, on_unsupported="reencode").data if boxes else data


def _as_jpeg(pixels: Pixels, quality: int) -> bytes:
    stream = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.save(stream, "JPEG", quality=quality, subsampling="4:2:0")
    return stream.getvalue()
