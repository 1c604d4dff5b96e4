"""The stage that covers faces: a sample and its final faces in, a staged picture out.

A picture without a face leaves byte for byte as it came, or, where all metadata shall go, with
the same coded pixels in a clean file. A picture with faces is edited by
`sfumato.codec`, then searched and measured again; what the detectors still see and what is
covered too weakly is covered once more. A picture that can't be edited without harm is refused,
never passed through.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sfumato import codec, strength
from sfumato.boxes import apart, as_boxes, covered, grow, iou, misplaced, too_many
from sfumato.codec import Picture
from sfumato.codec.blocks import OnUnsupported
from sfumato.detection import SAME_FACE_IOU, find_near
from sfumato.errors import Code, SampleError
from sfumato.jpeg import Policy
from sfumato.types import (
    Decision,
    Detection,
    Detector,
    Encoding,
    Face,
    Obfuscator,
    Output,
    Sample,
    Sink,
)

# A box that overlaps a covered face this much shows the cover, not another face.
_GHOST_IOU = 0.1
_HOLDS = 0.5  # share of a decided face in a proposed box


@dataclass(frozen=True, slots=True)
class Cover:
    """How faces are covered: with what, which detectors look again, how often at most."""

    method: str
    obfuscator: Obfuscator
    detectors: Sequence[Detector]
    looks: int
    max_pixels: int
    on_unsupported: OnUnsupported
    metadata: Policy = "faces"


@dataclass(frozen=True, slots=True)
class Faces:
    """What is to be covered (`final`), and what people said is no face though it was proposed."""

    final: tuple[Face, ...]
    rejected: tuple[Face, ...] = ()


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
    """What was seen in a covered picture.

    The picture itself, decoded; the faces that detectors still see in and around what was edited
    (None: not searched); how much is left of each covered face (`strength.still_shown`).
    """

    picture: Picture
    seen: tuple[Face, ...] | None
    left: tuple[float, ...]


def release(
    sample: Sample, before: Picture | None, faces: Faces, cover: Cover, sink: Sink
) -> tuple[Output, Look | None]:
    """Stage a picture for the release; `before` is the sample decoded, needed if it has faces.

    Returns what was done, and the last look at exactly the bytes that were written (None: nobody
    looked at them).

    Raises:
        SampleError: the picture can't be edited (several frames, 16 bits a channel, …), or its
            metadata can't be removed with proof that nothing else changed. BOXES_MISSING: a box
            lies less than half inside it. IMAGE_ENCODE: covering its faces changed nothing.
        OutputError: the release can't be written.
    """
    if not faces.final:
        return replace(_copy(sample, cover, sink), rejected=faces.rejected), None
    if before is None:
        raise ValueError("a picture with faces must come decoded")
    found, ghosts = list(faces.final), list[Face]()
    edited, last = _edit(sample, found, cover), None
    believe(found, before.header.upright_size)
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
    if edited.data == sample.data:
        return replace(
            _unchanged(sample, before, found, cover, sink), rejected=faces.rejected
        ), None
    written = sink.stage(sample, edited.data)
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
    )
    return output, last


def believe(faces: Sequence[Face], size: tuple[int, int]) -> None:
    """Make sure that each box may be one of a picture of this (width, height).

    Raises:
        SampleError: BOXES_MISSING, with the box, or if there are more than `MOST_BOXES`.
    """
    if reason := too_many(len(faces)):
        raise SampleError(Code.BOXES_MISSING, reason)
    for face in faces:
        if reason := misplaced(face.box, *size):
            raise SampleError(Code.BOXES_MISSING, reason)


def _unchanged(
    sample: Sample, before: Picture, faces: Sequence[Face], cover: Cover, sink: Sink
) -> Output:
    """Stage a picture whose bytes stayed as they were though faces were to be covered.

    Where every box holds one flat colour there is nothing to cover: the picture is copied.
    """
    if not all(strength.holds_nothing(before.frames[0], face.box) for face in faces):
        raise SampleError(Code.IMAGE_ENCODE, "covering its faces changed nothing in the file")
    return replace(_copy(sample, cover, sink), faces=tuple(faces))


def _copy(sample: Sample, cover: Cover, sink: Sink) -> Output:
    """Stage a picture without a face: its bytes, or under "all" its pixels without metadata."""
    data = sample.data
    if cover.metadata == "all":
        data = codec.strip(data, max_pixels=cover.max_pixels)
    written = sink.stage(sample, data)
    encoding: Encoding = "identical" if data is sample.data else "exact"
    return Output(sample.key, sample.digest, written, "copied", encoding, "", ())


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
    before: Picture,
    found: Sequence[Face],
    ghosts: Sequence[Face],
    cover: Cover,
) -> Look:
    """Search what was edited and its surroundings (the rest was searched before), and measure."""
    after = codec.decode(edited.data, max_pixels=cover.max_pixels)
    reaches = cover.obfuscator.reaches([face.box for face in (*found, *ghosts)])
    seen = tuple(find_near(after, reaches, cover.detectors))
    (old, *_), (new, *_) = before.frames, after.frames
    return Look(after, seen, tuple(strength.still_shown(old, new, face.box) for face in found))


def _is_ghost(face: Face, covered: Sequence[Face]) -> bool:
    boxes = as_boxes([grow(one.box, 0.25) for one in covered])
    return bool((iou(as_boxes([face.box]), boxes) > _GHOST_IOU).any())
