"""The step that finds faces: known ones, those of a file of boxes, or what the detectors see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from sfumato.boxes import misplaced, too_many
from sfumato.detection.detect import detect
from sfumato.detection.detectors import registry
from sfumato.detection.in_hand import InHand
from sfumato.errors import Code, SampleError
from sfumato.imaging import codec
from sfumato.recipe import Recipe
from sfumato.sources.doors import ImportedBoxes
from sfumato.types import Detection, Face, Failure, Record

_OUTDATED: Final = (
    "an older version searched less of it: run `sfumato detect` again with --no-resume"
)


@dataclass(frozen=True, slots=True)
class Detect:
    """Find the faces of an image, unless an earlier run has found them in the same bytes.

    Without `search`, only what an earlier run has found counts, and no record is made of it.
    """

    recipe: Recipe
    search: bool = True
    name: ClassVar[str] = "detect"

    def __call__(self, held: InHand) -> Iterator[Detection]:
        """Yield the detection.

        Raises:
            SampleError: the image can't be decoded, nobody has searched it, its boxes are missing.
        """
        held.detection = self._detection(held)
        if self.search:
            sample = held.sample
            yield replace(held.detection, state=sample.state, label=sample.label)

    def _detection(self, held: InHand) -> Detection:
        found = held.known.detection
        same = isinstance(found, Detection) and found.digest == held.sample.digest
        if isinstance(found, Detection) and same and not self._outdated(held):
            return found
        if not self.search:
            if same:
                raise SampleError(Code.BOXES_MISSING, _OUTDATED)
            raise _no_detection(found)
        settings = self.recipe.detect
        image = held.decoded(settings.max_pixels)
        if not settings.boxes:
            detectors = registry.made(settings.detectors, settings.weights)
            return detect(held.sample, image, detectors)
        size = image.header.upright_size
        faces = self._imported(size, held.known.imported)
        sample = held.sample
        return Detection(sample.key, sample.digest, *size, faces, label=sample.label)

    def _outdated(self, held: InHand) -> bool:
        """Say whether an older version searched less of these bytes, or believed any box."""
        if not held.known.searched_less:
            return False
        if self.recipe.detect.boxes:
            return True
        seen = codec.inspect(held.sample.data, max_pixels=self.recipe.detect.max_pixels)
        plain = seen.frames == 1 and seen.bits == 8 and seen.orientation == 1
        return not (plain and seen.mode in ("RGB", "L") and seen.format != "MPO")

    def _imported(self, size: tuple[int, int], boxes: ImportedBoxes | None) -> tuple[Face, ...]:
        """Return the boxes that the file of boxes has for an image, if they can be believed."""
        if boxes is None:
            if self.recipe.detect.unlisted == "faceless":
                return ()
            raise SampleError(Code.BOXES_MISSING, "the file of boxes doesn't name this image")
        if boxes.problem:
            raise SampleError(Code.BOXES_MISSING, boxes.problem)
        if boxes.size is not None and boxes.size != size:
            words = f"boxes for {boxes.size[0]}×{boxes.size[1]}, but it has {size[0]}×{size[1]}"
            raise SampleError(Code.BOXES_MISSING, f"{words} pixels upright")
        believe(boxes.faces, size)
        return boxes.faces


def believe(faces: Sequence[Face], size: tuple[int, int]) -> None:
    """Make sure that each box may be one of an image of this (width, height).

    Raises:
        SampleError: BOXES_MISSING, with the box, or if there are more than `MOST_BOXES`.
    """
    if reason := too_many(len(faces)):
        raise SampleError(Code.BOXES_MISSING, reason)
    for face in faces:
        if reason := misplaced(face.box, *size):
            raise SampleError(Code.BOXES_MISSING, reason)


def _no_detection(found: Record | None) -> SampleError:
    if isinstance(found, Failure):
        return SampleError(found.code, found.reason)
    if isinstance(found, Detection):
        return SampleError(Code.FILE_CHANGED, "the file changed since faces were searched in it")
    return SampleError(Code.BOXES_MISSING, "no faces were searched in it: run `sfumato detect`")
