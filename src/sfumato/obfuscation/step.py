"""The stage that covers faces: a sample and its final faces in, a staged image out.

An image without a face leaves byte for byte as it came; or, where all metadata shall go, where a
further image in its file shows a face or can't be searched, or where something lies outside its
visible frame, with the same pixels in a clean file; a HEIC leaves as a JPEG. An image with faces
is edited by `imaging.codec`, then searched and measured again; what the detectors still see and
what is covered too weakly is covered once more. An image that can't be edited without harm is
refused, never passed through.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sfumato.boxes import apart, as_boxes, covered, grow, iou, misplaced, too_many
from sfumato.detection.detect import SAME_FACE_IOU, find_near
from sfumato.errors import Code, SampleError
from sfumato.imaging import codec
from sfumato.imaging.codec import DecodedImage
from sfumato.imaging.codec.blocks import OnUnsupported
from sfumato.imaging.jpeg import Policy
from sfumato.obfuscation import strength
from sfumato.obfuscation.second_images import unwanted
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
    """How faces are covered: with what, which detectors look again, how often at most.

    `searchers` look through the further images of a file (none: they are `detectors`).
    """

    method: str
    obfuscator: Obfuscator
    detectors: Sequence[Detector]
    looks: int
    max_pixels: int
    on_unsupported: OnUnsupported
    metadata: Policy = "faces"
    searchers: Sequence[Detector] = ()


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


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen in a covered image.

    The image itself, decoded; the faces that detectors still see in and around what was edited
    (None: not searched); how much is left of each covered face (`strength.still_shown`).
    """

    image: DecodedImage
    seen: tuple[Face, ...] | None
    left: tuple[float, ...]


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
    if left := codec.embedded_images(edited.data):
        words = f"a further image would stay in the edited file: {left[0].kind}"
        raise SampleError(Code.IMAGE_UNSUPPORTED, words)
    if edited.data == sample.data:
        return replace(
            _unchanged(sample, before, found, cover, sink), rejected=faces.rejected
        ), None
    written = sink.stage(sample, edited.data)
    inside = len(codec.embedded_images(sample.data))
    output = Output(
        sample.key,
        sample.digest,
        written,
        "obfuscated",
        edited.encoding,
        cover.method,
        tuple(found),
        tuple(ghosts),
        faces.rejected,
        second_images=inside,
        second_images_removed=inside,  # none stays in an edited file
    )
    return output, last


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
    for _ in range(cover.looks):
        last = _look(edited, before, found, ghosts, cover)
        limit = strength.LIMITS[cover.method]
        weak = [face for face, left in zip(found, last.left, strict=True) if left > limit]
        seen = apart(last.seen or (), faces.rejected, SAME_FACE_IOU)
        if not seen and not weak:
            break
        for face in seen:
            (ghosts if _is_ghost(face, [*found, *ghosts]) else found).append(face)
        ghosts += weak
        edited, last = _edit(sample, [*found, *ghosts], cover), None
    return found, ghosts, edited, last


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
    if cover.metadata == "all":
        return codec.strip(data, max_pixels=cover.max_pixels)
    if searched:
        return _without(data, images, cover)
    try:
        whole = codec.trimmed(data, max_pixels=cover.max_pixels)
    except SampleError:
        # Perhaps a further image behind the end holds what can't be cut, and has to go anyway.
        if (alone := _without(data, images, cover)) is data:
            raise
        return codec.trimmed(alone, max_pixels=cover.max_pixels)
    if whole is not data:
        images = codec.embedded_images(whole)  # their places moved
    return _without(whole, images, cover)


def _without(data: bytes, images: Sequence[codec.Embedded], cover: Cover) -> bytes:
    """Return a file without those of its further images that show a face or can't be searched."""
    searchers = cover.searchers or cover.detectors
    gone = unwanted(images, searchers, max_pixels=cover.max_pixels) if images else ()
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
        on_unsupported=cover.on_unsupported,
        policy=cover.metadata,
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
