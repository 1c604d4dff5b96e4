"""Labelled images, searched: what people say is there, and what each detector finds.

For measuring, so nothing is kept: the work is done by an executor's workers as in a run, but the
ledger isn't touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from sfumato.annotations import box_files
from sfumato.boxes import misplaced
from sfumato.detection.calibration.thresholds import Searched
from sfumato.detection.detect import find
from sfumato.detection.detectors import registry
from sfumato.errors import SampleError, UsageError
from sfumato.imaging import codec
from sfumato.pipeline.executors import Executor
from sfumato.sources import open_source
from sfumato.sources.doors import Shard
from sfumato.stats.matching import Truth
from sfumato.types import Box, Detection, Failure, Record, Sample

# How to treat images that the labels don't name: leave them out, or take them for faceless.
UnlistedImage: TypeAlias = Literal["skip", "faceless"]


@dataclass(frozen=True, slots=True)
class Labels:
    """The labelled faces by key, and regions where a box is neither right nor wrong.

    `sizes` are widths and heights where the file has them; `unused` are names that fit no key.
    """

    faces: Mapping[str, tuple[Box, ...]]
    ignored: Mapping[str, tuple[Box, ...]]
    sizes: Mapping[str, tuple[int, int]]
    unused: tuple[str, ...]

    def truth(self, key: str, width: int, height: int) -> Truth:
        """Return what an image of this size shows."""
        return Truth(width, height, self.faces[key], self.ignored.get(key, ()))


def read_labels(
    source: Path,
    file: Path,
    *,
    ignore: Path | None = None,
    unlisted: UnlistedImage = "skip",
) -> Labels:
    """Read the labelled faces of the images below a source.

    Boxes that the file itself calls art, unclear or a crowd are regions that don't count, and so
    are those of `ignore`, a second file of boxes: whatever shall not count.

    Raises:
        UsageError: a file can't be read, has a box that can't be right, or names no image of
            the source.
    """
    keys = open_source(source).scan().images
    matched = _sound(file, keys)
    faces = {
        key: tuple(face.box for face in found if face not in matched.uncounted.get(key, ()))
        for key, found in matched.faces.items()
    }
    if not faces:
        raise UsageError(f"{file} names no image below {source}: give the folder it speaks of.")
    if unlisted == "faceless":
        faces.update(dict.fromkeys(matched.missing, ()))
    regions = dict(matched.uncounted)
    if ignore is not None:
        for key, found in _sound(ignore, keys).faces.items():
            regions[key] = (*regions.get(key, ()), *found)
    ignored = {key: tuple(face.box for face in found) for key, found in regions.items()}
    return Labels(dict(sorted(faces.items())), ignored, matched.sizes, matched.unused)


def _sound(file: Path, keys: Sequence[str]) -> box_files.BoxFile:
    matched = box_files.load(file).match(keys)
    for key, problem in matched.problems.items():
        raise UsageError(f"{file}: {key!r}: {problem}. Mend it: labels must be right.")
    return matched


@dataclass(frozen=True, slots=True)
class Survey:
    """Search images with each detector by itself: one `Detection` for each, in their order.

    A task for an executor. `detectors` are specifications; `UsageError` if one would upload.
    """

    source: Path
    detectors: tuple[str, ...]
    max_pixels: int = codec.MAX_PIXELS

    def __post_init__(self) -> None:
        sending = registry.uploading(self.detectors)
        if sending:
            raise UsageError(
                f"{', '.join(sending)} would send images out of this machine, which nothing that "
                "measures does: choose a detector that works here, such as yunet."
            )

    def __call__(self, shard: Shard) -> Iterator[tuple[Record, ...]]:
        """Yield the detections of each image of the shard, or its failure, in order."""
        for item in open_source(self.source).read(shard):
            yield (item,) if isinstance(item, Failure) else self._search(item)

    def _search(self, sample: Sample) -> tuple[Record, ...]:
        try:
            image = codec.decode(sample.data, max_pixels=self.max_pixels)
            width, height = image.header.upright_size
            groups = [find(image, [detector]) for detector in registry.made(self.detectors)]
        except SampleError as error:
            return (Failure(sample.key, "detect", error.code, error.reason),)
        return tuple(
            Detection(sample.key, sample.digest, width, height, tuple(faces), label=sample.label)
            for faces in groups
        )


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What was found in each image, one `Detection` for each detector, and what failed."""

    found: Mapping[str, tuple[Detection, ...]]
    failures: tuple[Failure, ...]


def look(
    survey: Survey,
    keys: Sequence[str],
    executor: Executor,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Surveyed:
    """Search these images; the result has the order of the keys whatever the workers did."""
    found: dict[str, tuple[Detection, ...]] = {}
    failures: list[Failure] = []
    shards = [Shard("survey", str(survey.source), tuple(keys), divisible=True)] if keys else []
    for done, result in enumerate(executor.map(survey, shards), start=1):
        failures += [record for record in result.records if isinstance(record, Failure)]
        detections = tuple(r for r in result.records if isinstance(r, Detection))
        if detections:
            found[result.key] = detections
        if progress is not None:
            progress(done, len(keys))
    ordered = {key: found[key] for key in keys if key in found}
    return Surveyed(ordered, tuple(sorted(failures, key=lambda failure: failure.key)))


def fits_labels(labels: Labels, key: str, detection: Detection) -> bool:
    """Say whether labels may be those of an image: of its size (or they don't say), inside it."""
    size = (detection.width, detection.height)
    places = (*labels.faces.get(key, ()), *labels.ignored.get(key, ()))
    return labels.sizes.get(key, size) == size and not any(misplaced(box, *size) for box in places)


def searched(labels: Labels, surveyed: Surveyed) -> tuple[list[Searched], list[str]]:
    """Return the images that can be judged, and of all others what hinders it."""
    problems = [f"{f.key}: {f.code}, {f.reason}" for f in surveyed.failures]
    problems += [f"{name}: labelled, but not in SRC" for name in labels.unused]
    images = []
    for key, detections in surveyed.found.items():
        if fits_labels(labels, key, detections[0]):
            truth = labels.truth(key, detections[0].width, detections[0].height)
            images.append(Searched(truth, tuple(one.faces for one in detections)))
        else:
            problems.append(f"{key}: labelled in another size, or with a box outside it")
    return images, problems
