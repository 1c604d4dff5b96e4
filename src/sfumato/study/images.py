"""The images of a study: their classes, their faces, and which of them can't be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from sfumato.annotations import box_files
from sfumato.boxes import area, as_boxes, clip, covered, grow
from sfumato.detection.detect import detect, specifications
from sfumato.detection.detectors import registry
from sfumato.errors import Code, SampleError, UsageError
from sfumato.imaging import codec
from sfumato.ledger.ledger import Ledger
from sfumato.ledger.records import recipe_from
from sfumato.sources import Source, open_source
from sfumato.study.configuration import Data
from sfumato.study.files import digest, two_columns
from sfumato.study.regions import Regions
from sfumato.types import Box, Detection, Output, Sample

_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class StudyImage:
    """One image: its key, the SHA-256 of its bytes, its upright size, and its faces.

    `folder` is its class in the source. `faces` are boxes in upright pixels, as found. `objects`
    are those of the labelled object, where a file gives them.
    """

    key: str
    digest: str
    width: int
    height: int
    faces: tuple[Box, ...] = ()
    objects: tuple[Box, ...] = ()
    folder: str = ""


@dataclass(frozen=True, slots=True)
class Collection:
    """The usable images below a folder, by key, and why the others aren't."""

    root: Path
    images: tuple[StudyImage, ...]
    left_out: Mapping[str, str]

    def without(self, left_out: Mapping[str, str]) -> Collection:
        """Return the collection without these keys, which are given reasons."""
        kept = tuple(one for one in self.images if one.key not in left_out)
        return replace(self, images=kept, left_out={**self.left_out, **left_out})

    def fingerprint(self) -> str:
        """Return the SHA-256 of all that results depend on: names, bytes, faces."""
        rows = [(one.key, one.digest, one.faces) for one in self.images]
        return digest(rows)


@dataclass(frozen=True, slots=True)
class Labelling:
    """Classes by name, the index of each labelled key's class, and the SHA-256 of both."""

    classes: tuple[str, ...]
    labels: Mapping[str, int]
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", digest([self.classes, sorted(self.labels.items())]))


def collect(root: Path, data: Data) -> Collection:
    """Read every image below a folder once, and find its faces as the configuration says.

    Raises:
        UsageError: there is no folder or no image in it, or the faces can't be had.
    """
    source = open_source(root)
    found: list[StudyImage] = []
    left_out: dict[str, str] = {}
    for key in source.scan().images:
        try:
            sample = source.sample(key)
            width, height = codec.inspect(sample.data).upright_size
        except SampleError as error:
            left_out[key] = str(error)
            continue
        folder = sample.label
        found.append(StudyImage(key, sample.digest, width, height, folder=folder))
    if not found:
        raise UsageError(f"{root} holds no image that can be read: give a folder of classes.")
    faces = _faces(source, found, data)
    objects = _from_file(data.objects, found) if data.objects else {}
    for one in found:
        if one.key not in faces:
            left_out[one.key] = "nothing is known of its faces"
    kept = tuple(
        replace(one, faces=faces[one.key], objects=objects.get(one.key, ()))
        for one in found
        if one.key in faces
    )
    if not kept:
        raise UsageError(
            f"Nothing is known of the faces of the {len(found)} images below {root}: run "
            "`sfumato detect` on them and name its ledger, or give a file of boxes."
        )
    return Collection(root, kept, left_out)


def regions(collections: Sequence[Collection], expand: float) -> Regions:
    """Return how much of each image lies under its grown faces, and of its object's boxes."""
    images = [one for collection in collections for one in collection.images]
    shares, overlaps = [], []
    for one in images:
        whole = (0.0, 0.0, float(one.width), float(one.height))
        grown = [grow(face, expand) for face in one.faces]
        shares.append(covered(whole, grown) if grown else 0.0)
        overlaps.append(_overlap(one, grown))
    return Regions(
        tuple(one.key for one in images),
        np.asarray(shares, dtype=np.float32),
        np.asarray(overlaps, dtype=np.float32),
    )


def label(collection: Collection, groups: Path | None) -> Labelling:
    """Give each image the class of its folder, or the one that a file of groups names.

    A folder whose class is empty in the file is left out.

    Raises:
        UsageError: a folder isn't in the file, or fewer than two classes are left.
    """
    names = sorted({one.folder for one in collection.images})
    classes = dict(zip(names, names, strict=True))
    if groups is not None:
        rows = two_columns(groups, "folder", "class")
        classes = {folder: name.strip() for folder, name in rows}
        if missing := [name for name in names if name not in classes]:
            raise UsageError(
                f"{groups} has no class for {len(missing)} of {len(names)} folders: "
                f"{', '.join(missing[:_NAMED])}. Add them (an empty class leaves them out)."
            )
    used = tuple(sorted({classes[name] for name in names} - {""}))
    if len(used) < 2:
        raise UsageError(
            f"{collection.root} holds {len(used)} classes: a study needs two at least."
        )
    place = {name: i for i, name in enumerate(used)}
    return Labelling(
        used,
        {one.key: place[classes[one.folder]] for one in collection.images if classes[one.folder]},
    )


def label_as_is(collection: Collection, path: Path) -> Labelling:
    """Give each image the place of its folder in a file of class names, one a line.

    Only the first word of a line counts, so ImageNet's `synset_words.txt` will do.

    Raises:
        UsageError: the file can't be read, or it names none of the folders.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} can't be read: {error}.") from error
    classes = tuple(line.split()[0] for line in lines if line.strip())
    place = {name: i for i, name in enumerate(classes)}
    labels = {one.key: place[one.folder] for one in collection.images if one.folder in place}
    if not labels:
        raise UsageError(
            f"{path} names none of the folders of {collection.root}: labels don't match."
        )
    return Labelling(classes, labels)


def check_classes(collection: Collection, labelling: Labelling, folds: int) -> None:
    """Refuse a class with fewer images than parts to be left out.

    Raises:
        UsageError: a class is too small; it is named.
    """
    kept = {one.key for one in collection.images}
    counts = Counter(place for key, place in labelling.labels.items() if key in kept)
    small = [name for i, name in enumerate(labelling.classes) if counts[i] < folds]
    if small:
        raise UsageError(
            f"{len(small)} classes have fewer than {folds} images, such as "
            f"{', '.join(small[:_NAMED])}: group them (data.groups), lower data.folds, or give a "
            "folder to test on (data.test)."
        )


def _faces(
    source: Source, images: Sequence[StudyImage], data: Data
) -> Mapping[str, tuple[Box, ...]]:
    if data.boxes is not None:
        return _from_file(data.boxes, images)
    if data.ledger is not None:
        return _from_ledger(data.ledger, images)
    if data.detector:
        return _from_detector(source, images, data.detector)
    return {one.key: () for one in images}


def _from_file(path: Path, images: Sequence[StudyImage]) -> dict[str, tuple[Box, ...]]:
    matched = box_files.load(path).match([one.key for one in images])
    faces = {key: tuple(face.box for face in found) for key, found in matched.faces.items()}
    if not faces:
        raise UsageError(f"{path} names none of the images: give the boxes of this folder.")
    if not box_files.names_faceless(path):
        faces.update(dict.fromkeys(matched.missing, ()))
    sizes = {one.key: (one.width, one.height) for one in images}
    return {key: f for key, f in faces.items() if matched.sizes.get(key, sizes[key]) == sizes[key]}


def _from_ledger(path: Path, images: Sequence[StudyImage]) -> dict[str, tuple[Box, ...]]:
    """Return the final boxes by digest: a ledger speaks of bytes, whatever they are called."""
    if not path.is_file():
        raise UsageError(f"There is no ledger {path}: `sfumato detect SRC --ledger` makes it.")
    with Ledger(path, read_only=True) as ledger:
        last = ledger.last_run("%")
        if last is None:
            raise UsageError(f"{path} lists no searched images: run `sfumato detect` first.")
        recipe = recipe_from(last[2])
        known: dict[str, tuple[Box, ...]] = {}
        for stage, kind in (("detect", "detection"), ("obfuscate", "output")):
            for record in ledger.latest(recipe.fingerprint(stage), (kind,)):
                if isinstance(record, Detection | Output):
                    known[record.digest] = tuple(face.box for face in record.faces)
    return {one.key: known[one.digest] for one in images if one.digest in known}


def _from_detector(
    source: Source, images: Sequence[StudyImage], profile: str
) -> dict[str, tuple[Box, ...]]:
    detectors = [registry.parse(spec) for spec in specifications(profile)]
    faces: dict[str, tuple[Box, ...]] = {}
    for one in images:
        try:
            sample: Sample = source.sample(one.key)
            found = detect(sample, codec.decode(sample.data), detectors)
        except SampleError as error:
            if error.code is Code.FILE_CHANGED:
                raise UsageError(f"{one.key} changed while it was read: run again.") from error
            continue
        faces[one.key] = tuple(face.box for face in found.faces)
    return faces


def _overlap(image: StudyImage, grown: Sequence[Box]) -> float:
    """Return the share of the object's boxes under the faces, weighted by area; NaN: unknown."""
    inside = [clip(box, image.width, image.height) for box in image.objects]
    boxes = [box for box in inside if box is not None]
    if not boxes:
        return float("nan")
    weights = area(as_boxes(boxes))
    shares = [covered(box, grown) if grown else 0.0 for box in boxes]
    return float(np.average(shares, weights=weights))
