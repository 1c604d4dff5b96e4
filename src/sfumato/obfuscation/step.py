"""The step that covers faces: a sample and its final faces in, a staged image out.

An image without a face leaves byte for byte as it came; or, where all metadata shall go, where a
further image in its file shows a face or can't be searched, or where something lies outside its
visible frame, with the same pixels in a clean file; a HEIC leaves as a JPEG. An image with faces
is edited by `imaging.codec`, then searched and measured again; what the detectors still see and
what is covered too weakly is covered once more. An image that can't be edited without harm is
refused, never passed through.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import ClassVar

from sfumato.boxes import apart, as_boxes, covered, grow, iou
from sfumato.detection.detect import SAME_FACE_IOU, find_near
from sfumato.detection.detectors import registry
from sfumato.detection.in_hand import InHand, Look
from sfumato.detection.step import believe
from sfumato.errors import Code, SampleError, SfumatoError
from sfumato.imaging import codec
from sfumato.imaging.codec import DecodedImage
from sfumato.obfuscation import METHODS, Method, make, strength
from sfumato.obfuscation.second_images import unwanted
from sfumato.recipe import ObfuscateStep, Recipe
from sfumato.sources.doors import Staging
from sfumato.types import (
    Box,
    Decision,
    Detection,
    Detector,
    Encoding,
    Face,
    Obfuscator,
    Output,
    Sample,
)

# A box that overlaps a covered face this much shows the cover, not another face.
_GHOST_IOU = 0.1
_HOLDS = 0.5  # share of a decided face in a proposed box


@dataclass(frozen=True, slots=True)
class Cover:
    """What faces are covered with by a recipe: its method, and the detectors that look again.

    `searchers` look through the further images of a file (none: they are `detectors`).
    """

    recipe: Recipe
    obfuscator: Obfuscator
    detectors: Sequence[Detector]
    searchers: Sequence[Detector] = ()

    @property
    def step(self) -> ObfuscateStep:
        """The settings of this step."""
        return self.recipe.obfuscate

    @property
    def max_pixels(self) -> int:
        """Images with more pixels are refused."""
        return self.recipe.detect.max_pixels


@dataclass(frozen=True, slots=True)
class Faces:
    """What is to be covered (`final`), and what people said is no face though it was proposed.

    `again` was seen uncovered in an earlier release of the image: faces, or covers that a
    detector takes for one.
    """

    final: tuple[Face, ...]
    rejected: tuple[Face, ...] = ()
    again: tuple[Face, ...] = ()


def rejected(found: Detection, decided: Decision) -> tuple[Face, ...]:
    """Return the boxes that were proposed and hold no decided face.

    A box that holds most of one isn't rejected, however much larger: whatever is seen there once
    the face is covered may be the rest of it.
    """
    proposed = apart((*found.faces, *found.candidates), decided.faces, SAME_FACE_IOU)
    return tuple(
        one
        for one in proposed
        if all(covered(face.box, [one.box]) < _HOLDS for face in decided.faces)
    )


@dataclass(frozen=True)
class Obfuscate:
    """Cover the faces of an image and stage it."""

    recipe: Recipe
    sink: Staging
    name: ClassVar[str] = "obfuscate"

    def __call__(self, held: InHand) -> Iterator[Output]:
        """Yield the output.

        Raises:
            SampleError: as `release`; REVIEW_MISSING if people had to decide and haven't.
            OutputError: the release can't be written.
        """
        faces, seen_by = self._final(held)
        if faces.final or faces.again:
            held.decoded(self.recipe.detect.max_pixels)
        cover = self._cover if not seen_by else _cover(self.recipe, seen_by)
        held.output, look = release(held.sample, held.image, faces, cover, self.sink)
        if look is not None and seen_by:
            look = replace(look, seen=None)  # what one look missed: search it whole
        held.look = look
        yield replace(held.output, state=held.sample.state)

    @cached_property
    def _cover(self) -> Cover:
        return _cover(self.recipe)

    def _final(self, held: InHand) -> tuple[Faces, tuple[str, ...]]:
        """Return the boxes that people decided on, else those that were found.

        With them come those that a check saw in an earlier release, and the detectors that did.
        """
        if held.detection is None:
            raise ValueError("faces are found before they are covered")
        found, seen = held.detection, held.known.redetection
        faces = self._decided(found, held.known.decision)
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


def _cover(recipe: Recipe, seen_by: Sequence[str] = ()) -> Cover:
    """Return what covers and looks again; of an earlier check also what has seen a face there."""
    found = recipe.detect
    again = tuple(spec for spec in seen_by if spec not in found.detectors and _works_here(spec))
    detectors = registry.made(found.detectors, found.weights)
    # Boxes from a file say nothing of the further images in it.
    by_file = (recipe.verify.detectors, recipe.verify.weights) if found.boxes else ((), ())
    return Cover(
        recipe,
        method_of(recipe.obfuscate),
        (*detectors, *registry.made(again)),
        registry.made(*by_file),
    )


def method_of(step: ObfuscateStep) -> Method:
    """Return what covers faces by these settings."""
    return make(step.method, expand=step.expand, colour=step.colour)


@cache  # making one from its specification takes milliseconds, and each image asks
def _works_here(spec: str) -> bool:
    """Say whether a detector is there still and keeps images on this machine.

    Consent to send any away is asked for the detectors of the recipe only.
    """
    try:
        return not registry.uploading([spec])
    except SfumatoError:
        return False


def release(
    sample: Sample, before: DecodedImage | None, faces: Faces, cover: Cover, sink: Staging
) -> tuple[Output, Look | None]:
    """Stage an image for the release; `before` is the sample decoded, needed if it has faces.

    Returns what was done, and the last look at exactly the bytes that were written (None: nobody
    looked at them).

    Raises:
        SampleError: the image can't be edited (several frames, 12 bits a channel, …), or its
            metadata or a further image can't be removed with proof that nothing else changed.
            BOXES_MISSING: a box lies less than half inside it. IMAGE_ENCODE: covering its faces
            changed nothing.
        OutputError: the release can't be written.
    """
    if not (faces.final or faces.again):
        return replace(_copy(sample, before, cover, sink), rejected=faces.rejected), None
    if before is None:
        raise ValueError("an image with faces must come decoded")
    found, ghosts, edited, last = _covered(sample, before, faces, cover)
    _refuse_further_images(edited.data)
    if edited.data == sample.data:
        same = _unchanged(sample, before, found, cover, sink)
        return replace(same, rejected=faces.rejected), None
    written = sink.stage(sample, edited.data)
    inside = len(codec.embedded_images(sample.data))
    output = Output(
        sample.key,
        sample.digest,
        written,
        "obfuscated",
        edited.encoding,
        cover.step.method,
        tuple(found),
        tuple(ghosts),
        faces.rejected,
        second_images=inside,
        second_images_removed=inside,  # none stays in an edited file
    )
    return output, last


def _refuse_further_images(edited: bytes) -> None:
    if left := codec.embedded_images(edited):
        words = f"a further image would stay in the edited file: {left[0].kind}"
        raise SampleError(Code.IMAGE_UNSUPPORTED, words)


def _covered(
    sample: Sample, before: DecodedImage, faces: Faces, cover: Cover
) -> tuple[list[Face], list[Face], codec.Edited, Look | None]:
    """Cover faces until none is seen and none is weak, or the looks are used up.

    Returns the faces and ghosts that are covered, the file, and what was seen in exactly it.
    """
    found, ghosts = list(faces.final), list[Face]()
    for face in faces.again:
        (ghosts if _is_ghost(face, [*faces.final, *ghosts]) else found).append(face)
    believe(found, before.header.upright_size)
    edited, last = _edit(sample, [*found, *ghosts], cover), None
    for _ in range(cover.step.looks):
        last = _look(edited, before, found, ghosts, cover)
        limit = METHODS[cover.step.method].limit
        weak = [face for face, left in zip(found, last.left, strict=True) if left > limit]
        seen = apart(last.seen or (), faces.rejected, SAME_FACE_IOU)
        if not seen and not weak:
            break
        for face in seen:
            (ghosts if _is_ghost(face, [*found, *ghosts]) else found).append(face)
        ghosts += weak
        edited, last = _edit(sample, [*found, *ghosts], cover), None
    return found, ghosts, edited, last


def _unchanged(
    sample: Sample, before: DecodedImage, faces: Sequence[Face], cover: Cover, sink: Staging
) -> Output:
    """Stage an image whose bytes stayed as they were though faces were to be covered.

    Where every box holds one flat colour there is nothing to cover: the image is copied.
    """
    if not all(strength.holds_nothing(before.frames[0], face.box) for face in faces):
        raise SampleError(Code.IMAGE_ENCODE, "covering its faces changed nothing in the file")
    return replace(_copy(sample, before, cover, sink), faces=tuple(faces))


def _copy(sample: Sample, before: DecodedImage | None, cover: Cover, sink: Staging) -> Output:
    """Stage an image without a face: its bytes, or what of them may stay; of a HEIC a JPEG."""
    images = codec.embedded_images(sample.data)
    if codec.is_heic(sample.data):
        encoding: Encoding = "reencoded"
        data = _edit(sample, (), cover).data
    else:
        data = _cleaned(sample.data, images, cover, searched=before is not None and before.whole)
        encoding = "identical" if data is sample.data else "exact"
    removed = 0 if data is sample.data else _removed(images, data)
    written = sink.stage(sample, data)
    return Output(
        sample.key,
        sample.digest,
        written,
        "copied",
        encoding,
        "",
        (),
        second_images=len(images),
        second_images_removed=removed,
    )


def _cleaned(
    data: bytes, images: Sequence[codec.Embedded], cover: Cover, *, searched: bool
) -> bytes:
    """Return an image without what mustn't leave with it, and the same bytes if nothing must go.

    What lies outside its visible frame, where nobody searched (`searched`: nothing lies there),
    goes under every policy; so do further images with a face; under "all" all metadata.
    """
    if cover.step.metadata == "all":
        return codec.strip(data, max_pixels=cover.max_pixels)
    if searched:
        return _without(data, images, cover)
    try:
        whole = codec.trimmed(data, max_pixels=cover.max_pixels)
    except SampleError:
        # Perhaps a further image behind the end holds what can't be cut, and has to go anyway.
        alone = _without(data, images, cover)
        return codec.trimmed(alone, max_pixels=cover.max_pixels)
    if whole is not data:
        images = codec.embedded_images(whole)  # their places moved
    return _without(whole, images, cover)


def _without(data: bytes, images: Sequence[codec.Embedded], cover: Cover) -> bytes:
    """Return a file without those of its further images that show a face or can't be searched."""
    searchers = cover.searchers or cover.detectors
    gone = unwanted(images, searchers, max_pixels=cover.max_pixels)
    return codec.take_out(data, gone, max_pixels=cover.max_pixels) if gone else data


def _removed(images: Sequence[codec.Embedded], after: bytes) -> int:
    """Return how many of the further images of a file aren't in what is written."""
    return max(len(images) - len(codec.embedded_images(after)), 0) if images else 0


def _edit(sample: Sample, faces: Sequence[Face], cover: Cover) -> codec.Edited:
    boxes = [face.box for face in faces]
    return codec.edit(
        sample.data,
        boxes,
        cover.obfuscator,
        max_pixels=cover.max_pixels,
        on_unsupported=cover.step.on_unsupported,
        policy=cover.step.metadata,
    )


def _look(
    edited: codec.Edited,
    before: DecodedImage,
    found: Sequence[Face],
    ghosts: Sequence[Face],
    cover: Cover,
) -> Look:
    """Search what was edited and its surroundings (the rest was searched before), and measure."""
    after = codec.decode(edited.data, max_pixels=cover.max_pixels)
    reaches = cover.obfuscator.reaches([face.box for face in (*found, *ghosts)])
    seen = tuple(find_near(after, reaches, cover.detectors))
    return Look(after, seen, left_of(before, after, [face.box for face in found]))


def left_of(before: DecodedImage, after: DecodedImage, boxes: Sequence[Box]) -> tuple[float, ...]:
    """Return how much of each face is left where most of it shows: in any rendering."""
    shown = codec.pairs(before, after)
    return tuple(max(strength.still_shown(*pair, box) for pair in shown) for box in boxes)


def _is_ghost(face: Face, covered: Sequence[Face]) -> bool:
    boxes = as_boxes([grow(one.box, 0.25) for one in covered])
    return bool((iou(as_boxes([face.box]), boxes) > _GHOST_IOU).any())
