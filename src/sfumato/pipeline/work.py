"""What a worker does with an image: the stages, one after another, on bytes read once.

`Work` is the task that an executor runs. What is known of an image (boxes and outputs of
earlier stages, what people decided) comes with its shard: a worker opens no ledger.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from sfumato import obfuscation
from sfumato.detection.detect import detect
from sfumato.detection.detectors import registry
from sfumato.errors import Code, SampleError, SfumatoError
from sfumato.imaging import codec
from sfumato.imaging.codec import DecodedImage
from sfumato.obfuscation.step import Cover, Faces, Look, believe, rejected, release
from sfumato.recipe import DetectStep, Recipe, VerifyStep
from sfumato.sources import Sink, Source
from sfumato.types import (
    Decision,
    Detection,
    Detector,
    Face,
    Failure,
    Finding,
    ImportedBoxes,
    Known,
    Output,
    Record,
    Sample,
    Shard,
)
from sfumato.verification.checks import Checks, verify


@dataclass(frozen=True, slots=True)
class Work:
    """Take each image through some of "detect", "obfuscate" and "verify".

    What an earlier run has found isn't searched again, if it speaks of the same bytes.
    `second_reader` is that of `Checks`.
    """

    recipe: Recipe
    source: Source
    stages: tuple[str, ...]
    sink: Sink | None = None
    second_reader: bool = False

    def __call__(self, shard: Shard) -> Iterator[tuple[Record, ...]]:
        """Yield the records of each image of the shard, in order."""
        known_of = shard.known or [Known()] * len(shard.keys)
        for item, known in zip(self.source.read(shard), known_of, strict=True):
            if isinstance(item, Failure):
                yield self._unreadable(item, known)
            else:
                yield tuple(self._records(item, known))

    def _unreadable(self, failure: Failure, known: Known) -> tuple[Record, ...]:
        """Refuse what can't be read; where it is in the release already, say it wasn't checked."""
        if self.stages != ("verify",):
            return (failure,)
        if known.output is None:
            return ()
        words = f"its source can't be read any more: {failure.code}, {failure.reason}"
        code = Code.VERIFY_UNREADABLE
        return (Finding(failure.key, code, False, 1, 0, words, known.output.written),)

    def _records(self, sample: Sample, known: Known) -> Iterator[Record]:
        stage = self.stages[0]
        try:
            if stage == "verify":
                if known.output is not None:
                    yield from self._verify(sample, None, known.output)
                return
            found, image = self._detection(sample, known)
            if "detect" in self.stages:
                yield replace(found, state=sample.state)
            if "obfuscate" not in self.stages:
                return
            stage = "obfuscate"
            faces, seen_by = self._final(found, known)
            if image is None and (faces.final or faces.again):
                image = self._decode(sample)
            output, look = release(sample, image, faces, self._cover(seen_by), self._sink())
            if look is not None and seen_by:
                look = replace(look, seen=None)  # what one look missed: search it whole
            if "verify" in self.stages:
                # Before it is renamed into place, and from the disk, not from memory.
                yield from self._verify(sample, image, output, staged=True, look=look)
            yield replace(output, state=sample.state)
        except SampleError as error:
            if self.sink is not None and stage == "obfuscate":
                self.sink.discard(sample.key)
            yield Failure(sample.key, stage, error.code, error.reason)

    def _detection(self, sample: Sample, known: Known) -> tuple[Detection, DecodedImage | None]:
        """Return the faces of these bytes: known, from a file of boxes, or found now.

        With them comes the decoded image, if it had to be decoded for that.
        """
        found = known.detection
        same = isinstance(found, Detection) and found.digest == sample.digest
        if isinstance(found, Detection) and same and not self._outdated(sample, known):
            return found, None
        if "detect" not in self.stages:
            if same:
                raise SampleError(Code.BOXES_MISSING, _OUTDATED)
            raise _no_detection(found)
        image = self._decode(sample)
        if not self.recipe.detect.boxes:
            return detect(sample, image, self._detectors(self.recipe.detect)), image
        size = image.header.upright_size
        faces = self._imported(size, known.imported)
        return Detection(sample.key, sample.digest, *size, faces), image

    def _outdated(self, sample: Sample, known: Known) -> bool:
        """Say whether an older version searched less of these bytes, or believed any box."""
        if not known.searched_less:
            return False
        if self.recipe.detect.boxes:
            return True
        seen = codec.inspect(sample.data, max_pixels=self.recipe.detect.max_pixels)
        plain = seen.frames == 1 and seen.bits == 8 and seen.orientation == 1
        return not (plain and seen.mode in ("RGB", "L") and seen.format != "MPO")

    def _final(self, found: Detection, known: Known) -> tuple[Faces, tuple[str, ...]]:
        """Return the boxes that people decided on, else those that were found.

        With them come those that a check saw in an earlier release, and the detectors that did.
        """
        faces, seen = self._decided(found, known.decision), known.redetection
        if seen is not None and seen.digest == found.digest:
            return replace(faces, again=seen.faces), seen.detectors
        return faces, ()

    def _decided(self, found: Detection, decided: Decision | None) -> Faces:
        required = self.recipe.obfuscate.require_review
        if decided is not None and decided.digest == found.digest:
            if required and decided.basis == "provisional":
                raise SampleError(Code.REVIEW_MISSING, "people disagree, and nobody has settled it")
            return Faces(decided.faces, rejected(found, decided))
        if required:
            words = (
                "the file changed since people decided on it" if decided else "it has no decision"
            )
            raise SampleError(Code.REVIEW_MISSING, f"{words}: see `sfumato review status`")
        return Faces(found.faces)

    def _decode(self, sample: Sample) -> DecodedImage:
        return codec.decode(sample.data, max_pixels=self.recipe.detect.max_pixels)

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

    def _cover(self, seen_by: tuple[str, ...] = ()) -> Cover:
        detect, step = self.recipe.detect, self.recipe.obfuscate
        again = [spec for spec in seen_by if spec not in detect.detectors and _works_here(spec)]
        method = obfuscation.make(step.method, expand=step.expand, colour=step.colour)
        return Cover(
            method=step.method,
            obfuscator=method,
            detectors=(*self._detectors(detect), *detectors(tuple(again))),
            looks=step.looks,
            max_pixels=detect.max_pixels,
            on_unsupported=step.on_unsupported,
            metadata=step.metadata,
            # Boxes from a file say nothing of the further images in it.
            searchers=self._detectors(self.recipe.verify) if detect.boxes else (),
        )

    def _verify(
        self,
        sample: Sample,
        image: DecodedImage | None,
        output: Output,
        *,
        staged: bool = False,
        look: Look | None = None,
    ) -> Iterator[Finding]:
        """Check what is published, or staged; `look`: what was seen in the output's bytes."""
        try:
            after = self._sink().read(sample.key, staged=staged)
        except SampleError as error:  # of a file that isn't there, `finish` says so
            code = Code.VERIFY_UNREADABLE
            yield Finding(sample.key, code, False, 1, 0, error.reason, output.written)
            return
        # An image is copied because these detectors found nothing in it; others may.
        searched = self.recipe.verify.detectors == self.recipe.detect.detectors
        if look is not None and not searched:
            look = replace(look, seen=None)
        checks = Checks(
            self._cover().obfuscator,
            self._detectors(self.recipe.verify),
            self.recipe.detect.max_pixels,
            searched,
            second_reader=self.second_reader,
            metadata=self.recipe.obfuscate.metadata,
        )
        if image is None and (output.action == "obfuscated" or output.encoding == "reencoded"):
            image = self._decode(sample)
        yield from verify(sample, image, after, output, checks, look=look)

    @staticmethod
    def _detectors(step: DetectStep | VerifyStep) -> tuple[Detector, ...]:
        return detectors(step.detectors, step.weights)

    def _sink(self) -> Sink:
        if self.sink is None:
            raise ValueError(f"stages {self.stages} need a sink")
        return self.sink


_OUTDATED: Final = (
    "an older version searched less of it: run `sfumato detect` again with --no-resume"
)


def _no_detection(found: Detection | Failure | None) -> SampleError:
    if isinstance(found, Failure):
        return SampleError(found.code, found.reason)
    if isinstance(found, Detection):
        return SampleError(Code.FILE_CHANGED, "the file changed since faces were searched in it")
    return SampleError(Code.BOXES_MISSING, "no faces were searched in it: run `sfumato detect`")


@cache
def _works_here(spec: str) -> bool:
    """Say whether a detector is there still and keeps images on this machine.

    Consent to send any away is asked for the detectors of the recipe only.
    """
    try:
        return not registry.uploading([spec])
    except SfumatoError:
        return False


@cache
def detectors(
    specifications: tuple[str, ...], weights: tuple[str, ...] = ()
) -> tuple[Detector, ...]:
    """Make the detectors of these specifications, once in a process.

    With `weights`, their SHA-256, raises `UsageError` if one has others now.
    """
    made = tuple(registry.parse(specification) for specification in specifications)
    if weights:
        registry.check_weights(made, weights)
    return made
