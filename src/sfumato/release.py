"""The stage that covers faces: a sample and its final faces in, a staged picture out.

A picture without a face leaves byte for byte as it came. A picture with faces is edited by
`sfumato.codec`, then searched and measured again; what the detectors still see and what is
covered too weakly is covered once more. A picture that can't be edited without harm is refused,
never passed through.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sfumato import codec, strength
from sfumato.boxes import as_boxes, grow, iou
from sfumato.codec import Picture
from sfumato.detection import find_near
from sfumato.types import Detector, Face, Obfuscator, Output, Sample, Sink

# A box that overlaps a covered face this much shows the cover, not another face.
_GHOST_IOU = 0.1


@dataclass(frozen=True, slots=True)
class Cover:
    """How faces are covered: with what, which detectors look again, how often at most."""

    method: str
    obfuscator: Obfuscator
    detectors: Sequence[Detector]
    looks: int
    max_pixels: int


def release(
    sample: Sample, before: Picture | None, faces: Sequence[Face], cover: Cover, sink: Sink
) -> tuple[Output, tuple[Face, ...] | None]:
    """Stage a picture for the release; `before` is the sample decoded, needed if it has faces.

    Returns what was done, and the faces that `cover.detectors` see in and around what was edited
    of exactly the bytes that were written (None: they didn't look).

    Raises:
        SampleError: the picture can't be edited (several frames, 16 bits a channel, …).
        OutputError: the release can't be written.
    """
    if not faces:
        written = sink.stage(sample, sample.data)
        return Output(sample.key, sample.digest, written, "copied", "identical", "", ()), None
    if before is None:
        raise ValueError("a picture with faces must come decoded")
    found, ghosts = list(faces), list[Face]()
    edited, seen = _edit(sample, found, cover), None
    for _ in range(cover.looks):
        after = codec.decode(edited.data, max_pixels=cover.max_pixels)
        seen = _seen(after, [*found, *ghosts], cover)
        weak = _weak(before, after, found, cover)
        if not seen and not weak:
            break
        for face in seen:
            (ghosts if _is_ghost(face, [*found, *ghosts]) else found).append(face)
        ghosts += weak
        edited, seen = _edit(sample, [*found, *ghosts], cover), None
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
    )
    return output, seen


def _edit(sample: Sample, faces: Sequence[Face], cover: Cover) -> codec.Edited:
    boxes = [face.box for face in faces]
    return codec.edit(sample.data, boxes, cover.obfuscator, max_pixels=cover.max_pixels)


def _seen(after: Picture, covered: Sequence[Face], cover: Cover) -> tuple[Face, ...]:
    """Search what was edited and its surroundings; the rest was searched before."""
    reaches = cover.obfuscator.reaches([face.box for face in covered])
    return tuple(find_near(after, reaches, cover.detectors))


def _weak(before: Picture, after: Picture, faces: Sequence[Face], cover: Cover) -> list[Face]:
    """Return the faces of which more is left than the method's limit."""
    limit = strength.LIMITS[cover.method]
    (old, *_), (new, *_) = before.frames, after.frames
    return [face for face in faces if strength.leftover(old, new, face.box) > limit]


def _is_ghost(face: Face, covered: Sequence[Face]) -> bool:
    boxes = as_boxes([grow(one.box, 0.25) for one in covered])
    return bool((iou(as_boxes([face.box]), boxes) > _GHOST_IOU).any())
