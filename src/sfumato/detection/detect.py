"""The stage that finds faces: decoded images in, `Detection` records out.

Profiles name detectors with the settings that were measured (docs/detection.md has recall,
false boxes and speed of each): a finder whose scores are probabilities. Where several detectors
are named, the union of what they find counts: none of them can veto another, since a missed face
exposes a person and a false box costs a few pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final, Protocol, runtime_checkable

from sfumato import boxes
from sfumato.detection.detectors import registry
from sfumato.errors import Code, SampleError, UsageError
from sfumato.imaging.codec import DecodedImage
from sfumato.types import Box, Detection, Detector, Face, Pixels, Sample

# finder@plan:probability from which a face is covered without a person's eye
PROFILES: Final[Mapping[str, tuple[str, ...]]] = {
    "fast": ("finder@fast:0.01",),
    "default": ("finder@default:0.08",),
    "high": ("finder@high:0.025",),
    "clean-weights": ("blazeface@256:0.6", "blazeface@512:0.55"),
}
# Boxes of different detectors that overlap more are taken for the same face, which counts once.
SAME_FACE_IOU: Final = 0.45
# Frames of one image that are searched: each takes 40 to 60 ms, however small it is. A film of
# more is refused by name: some kilobytes would keep a worker busy for minutes.
FRAMES: Final = 80


def detect(sample: Sample, image: DecodedImage, detectors: Sequence[Detector]) -> Detection:
    """Find the faces of an image, and what may be one: those of all its frames and renderings.

    Raises:
        SampleError: IMAGE_TOO_LARGE for more than `FRAMES` frames that differ.
    """
    width, height = image.header.upright_size
    frames = [*distinct(image), *image.views]
    sure, doubtful = list[list[Face]](), list[list[Face]]()
    for detector in detectors:
        if isinstance(detector, _Doubts):
            for faces, candidates in detector.search(frames):
                sure.append(faces)
                doubtful.append(candidates)
        else:
            sure += detector.detect(frames)
    found = boxes.union(sure, SAME_FACE_IOU)
    candidates = boxes.apart(boxes.union(doubtful, SAME_FACE_IOU), found, SAME_FACE_IOU)
    return Detection(
        sample.key,
        sample.digest,
        width,
        height,
        tuple(found),
        tuple(candidates),
        label=sample.label,
    )


def find(image: DecodedImage, detectors: Sequence[Detector]) -> list[Face]:
    """Return the union of what the detectors find in any frame or rendering, best score first.

    Raises:
        SampleError: as `detect`.
    """
    frames = [*distinct(image), *image.views]
    groups = [found for detector in detectors for found in detector.detect(frames)]
    return boxes.union(groups, SAME_FACE_IOU)


def distinct(image: DecodedImage) -> list[Pixels]:
    """Return the frames of an image without those that repeat another, in their order.

    Nothing else is found in a frame that is searched twice.

    Raises:
        SampleError: IMAGE_TOO_LARGE for more than `FRAMES` of them.
    """
    if len(image.frames) == 1:
        return list(image.frames)
    frames: dict[tuple[tuple[int, ...], bytes], Pixels] = {}
    for frame in image.frames:
        digest = hashlib.sha256(frame.tobytes()).digest()
        frames.setdefault((frame.shape, digest), frame)
        if len(frames) > FRAMES:
            words = f"{len(image.frames)} frames, of which more than {FRAMES} differ"
            raise SampleError(Code.IMAGE_TOO_LARGE, f"{words}: so many aren't searched")
    return list(frames.values())


@runtime_checkable
class _Doubts(Protocol):
    """A detector that also says what may be a face but is too doubtful to be covered unseen."""

    def search(self, images: Sequence[Pixels]) -> list[tuple[list[Face], list[Face]]]: ...


@runtime_checkable
class _LooksNear(Protocol):
    """A detector that can search parts of an image as if it searched the whole."""

    def detect_near(self, image: Pixels, regions: Sequence[Box]) -> list[Face]: ...


def find_near(
    image: DecodedImage, regions: Sequence[Box], detectors: Sequence[Detector]
) -> list[Face]:
    """Return what the detectors find in and around some regions, best score first.

    For an image of which the rest was searched before and has stayed the same. A detector that
    can't search parts searches the whole.
    """
    groups = [
        detector.detect_near(pixels, regions)
        if isinstance(detector, _LooksNear)
        else detector.detect([pixels])[0]
        for detector in detectors
        for pixels in (image.frames[0], *image.views)
    ]
    return boxes.union(groups, SAME_FACE_IOU)


def specifications(
    profile: str = "default", *, detectors: Sequence[str] = (), threshold: float | None = None
) -> tuple[str, ...]:
    """Return the specifications of a profile, or the given ones, with one threshold for all.

    Raises:
        UsageError: there is no such profile, or the threshold lies outside (0, 1).
    """
    if not detectors and profile not in PROFILES:
        raise UsageError(f"There is no profile {profile!r}: choose one of {', '.join(PROFILES)}.")
    if threshold is not None and not 0 < threshold < 1:
        raise UsageError(f"The threshold must lie between 0 and 1, not {threshold}.")
    chosen = tuple(detectors) or PROFILES[profile]
    if threshold is None:
        return chosen
    return tuple(registry.adjusted(one, threshold=threshold) for one in chosen)
