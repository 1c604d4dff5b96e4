"""What a worker does with a picture: the stages, one after another, on bytes read once.

`Work` is the task that an executor runs. It reads the ledger (boxes and outputs of earlier
stages) and never writes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final

from sfumato import codec, obfuscation
from sfumato.codec import Picture
from sfumato.database import Where
from sfumato.detection import detect
from sfumato.detectors import registry
from sfumato.errors import Code, SampleError, SfumatoError
from sfumato.formats.imagefolder import FolderSink, ImageFolder, read_steadily
from sfumato.ledger import Ledger
from sfumato.recipe import DetectStep, Recipe, VerifyStep
from sfumato.release import Cover, Faces, Look, believe, rejected, release
from sfumato.types import (
    Decision,
    Detection,
    Detector,
    Face,
    Failure,
    Finding,
    Output,
    Record,
    Redetection,
    Sample,
    Shard,
)
from sfumato.verification import Checks, verify


@dataclass(frozen=True, slots=True)
class Work:
    """Take each picture through some of "detect", "obfuscate" and "verify".

    What an earlier run has found is taken from the ledger, if it speaks of the same bytes. With
    `fresh`, detection is done again all the same. `second_reader` is that of `Checks`.
    """

    recipe: Recipe
    source: Path
    ledger: Where
    stages: tuple[str, ...]
    sink: FolderSink | None = None
    fresh: bool = False
    second_reader: bool = False

    def __call__(self, shard: Shard) -> Iterator[tuple[Record, ...]]:
        """Yield the records of each picture of the shard, in order."""
        with Ledger(self.ledger, read_only=True) as ledger:
            for item in ImageFolder(self.source).read(shard):
                if isinstance(item, Failure):
                    yield self._unreadable(item, ledger)
                else:
                    yield tuple(self._records(item, ledger))

    def _unreadable(self, failure: Failure, ledger: Ledger) -> tuple[Record, ...]:
        """Refuse what can't be read; where it is in the release already, say it wasn't checked."""
        if self.stages != ("verify",):
            return (failure,)
        output = self._output(failure.key, ledger)
        if output is None:
            return ()
        words = f"its source can't be read any more: {failure.code}, {failure.reason}"
        code = Code.VERIFY_UNREADABLE
        return (Finding(failure.key, code, False, 1, 0, words, output.written),)

    def _output(self, key: str, ledger: Ledger) -> Output | None:
        fingerprint = self.recipe.fingerprint("obfuscate")
        latest = ledger.latest_of(fingerprint, ("output", "failure"), key)
        return latest if isinstance(latest, Output) else None

    def _records(self, sample: Sample, ledger: Ledger) -> Iterator[Record]:
        stage = self.stages[0]
        try:
            if stage == "verify":
                yield from self._verify_published(sample, ledger)
                return
            found, picture = self._detection(sample, ledger)
            if "detect" in self.stages:
                yield replace(found, state=sample.state)
            if "obfuscate" not in self.stages:
                return
            stage = "obfuscate"
            faces, seen_by = self._final(found, ledger)
            if picture is None and (faces.final or faces.again):
                picture = self._decode(sample)
            output, look = release(sample, picture, faces, self._cover(seen_by), self._sink())
            if look is not None and seen_by:
                look = replace(look, seen=None)  # what one look missed: search it whole
            if "verify" in self.stages:
                # Before it is renamed into place, and from the disk, not from memory.
                path = self._sink().staged(sample.key)
                yield from self._verify(sample, picture, output, path, look=look)
            yield replace(output, state=sample.state)
        except SampleError as error:
            if self.sink is not None and stage == "obfuscate":
                self.sink.discard(sample.key)
            yield Failure(sample.key, stage, error.code, error.reason)

    def _detection(self, sample: Sample, ledger: Ledger) -> tuple[Detection, Picture | None]:
        """Return the faces of these bytes: from the ledger, from a file of boxes, or found now.

        With them comes the decoded picture, if it had to be decoded for that.
        """
        fingerprint = self.recipe.fingerprint("detect")
        if not (self.fresh and "detect" in self.stages):
            known = ledger.latest_of(fingerprint, ("detection", "failure"), sample.key)
            same = isinstance(known, Detection) and known.digest == sample.digest
            if isinstance(known, Detection) and same and not self._outdated(sample, ledger):
                return known, None
            if "detect" not in self.stages:
                if same:
                    raise SampleError(Code.BOXES_MISSING, _OUTDATED)
                raise _no_detection(known)
        picture = self._decode(sample)
        if not self.recipe.detect.boxes:
            return detect(sample, picture, self._detectors(self.recipe.detect)), picture
        size = picture.header.upright_size
        faces = self._given(sample.key, size, ledger)
        return Detection(sample.key, sample.digest, *size, faces), picture

    def _outdated(self, sample: Sample, ledger: Ledger) -> bool:
        """Say whether an older version searched less of these bytes, or believed any box."""
        fingerprint = self.recipe.fingerprint("detect")
        if not ledger.searched_before(fingerprint, sample.key):
            return False
        if self.recipe.detect.boxes:
            return True
        seen = codec.inspect(sample.data, max_pixels=self.recipe.detect.max_pixels)
        plain = seen.frames == 1 and seen.bits == 8 and seen.orientation == 1
        return not (plain and seen.mode in ("RGB", "L") and seen.format != "MPO")

    def _final(self, found: Detection, ledger: Ledger) -> tuple[Faces, tuple[str, ...]]:
        """Return the boxes that people decided on, else those that were found.

        With them come those that a check saw in an earlier release, and the detectors that did.
        """
        faces = self._decided(found, ledger)
        fingerprint = self.recipe.fingerprint("detect")
        seen = ledger.latest_of(fingerprint, ("redetection",), found.key)
        if isinstance(seen, Redetection) and seen.digest == found.digest:
            return replace(faces, again=seen.faces), seen.detectors
        return faces, ()

    def _decided(self, found: Detection, ledger: Ledger) -> Faces:
        decided = ledger.latest_of(self.recipe.fingerprint("detect"), ("decision",), found.key)
        required = self.recipe.obfuscate.require_review
        if isinstance(decided, Decision) and decided.digest == found.digest:
            if required and decided.basis == "provisional":
                raise SampleError(Code.REVIEW_MISSING, "people disagree, and nobody has settled it")
            return Faces(decided.faces, rejected(found, decided))
        if required:
            words = (
                "the file changed since people decided on it" if decided else "it has no decision"
            )
            raise SampleError(Code.REVIEW_MISSING, f"{words}: see `sfumato review status`")
        return Faces(found.faces)

    def _decode(self, sample: Sample) -> Picture:
        return codec.decode(sample.data, max_pixels=self.recipe.detect.max_pixels)

    def _given(self, key: str, size: tuple[int, int], ledger: Ledger) -> tuple[Face, ...]:
        """Return the boxes that the file of boxes has for a picture, if they can be believed."""
        given = ledger.given(self.recipe.detect.boxes, key)
        if given is None:
            if self.recipe.detect.unlisted == "faceless":
                return ()
            raise SampleError(Code.BOXES_MISSING, "the file of boxes doesn't name this picture")
        if given.problem:
            raise SampleError(Code.BOXES_MISSING, given.problem)
        if given.size is not None and given.size != size:
            words = f"boxes for {given.size[0]}×{given.size[1]}, but it has {size[0]}×{size[1]}"
            raise SampleError(Code.BOXES_MISSING, f"{words} pixels upright")
        believe(given.faces, size)
        return given.faces

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

    def _verify_published(self, sample: Sample, ledger: Ledger) -> Iterator[Finding]:
        output = self._output(sample.key, ledger)
        if output is not None:
            yield from self._verify(sample, None, output, self._sink().final(sample.key))

    def _verify(
        self,
        sample: Sample,
        picture: Picture | None,
        output: Output,
        path: Path,
        *,
        look: Look | None = None,
    ) -> Iterator[Finding]:
        """Check what lies at `path`; `look`: what was seen in the bytes of the output."""
        try:
            after = read_steadily(path, settle_s=0)
        except SampleError as error:  # of a file that isn't there, `finish` says so
            code = Code.VERIFY_UNREADABLE
            yield Finding(sample.key, code, False, 1, 0, error.reason, output.written)
            return
        # A picture is copied because these detectors found nothing in it; others may.
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
        if picture is None and (output.action == "obfuscated" or output.encoding == "reencoded"):
            picture = self._decode(sample)
        yield from verify(sample, picture, after, output, checks, look=look)

    @staticmethod
    def _detectors(step: DetectStep | VerifyStep) -> tuple[Detector, ...]:
        return detectors(step.detectors, step.weights)

    def _sink(self) -> FolderSink:
        if self.sink is None:
            raise ValueError(f"stages {self.stages} need a sink")
        return self.sink


_OUTDATED: Final = (
    "an older version searched less of it: run `sfumato detect` again with --no-resume"
)


def _no_detection(known: Record | None) -> SampleError:
    if isinstance(known, Failure):
        return SampleError(known.code, known.reason)
    if isinstance(known, Detection):
        return SampleError(Code.FILE_CHANGED, "the file changed since faces were searched in it")
    return SampleError(Code.BOXES_MISSING, "no faces were searched in it: run `sfumato detect`")


@cache
def _works_here(spec: str) -> bool:
    """Say whether a detector is there still and keeps pictures on this machine.

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
