"""One image: what was found against what is there.

A face is *covered* by its share under the union of the found boxes, each grown as it is when faces
are covered; one box isn't asked to match it. It is *matched* if one box fits it by its IoU, each
box fitting one face at most. A box is *false* if, not grown, it touches no face and no ignored
region.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sfumato import boxes
from sfumato.types import Box, Face

SIZE_EDGES: Final = (16.0, 32.0, 96.0)  # square root of a face's area, in pixels of the image
SIZES: Final = ("< 16 px", "16-32 px", "32-96 px", ">= 96 px")


@dataclass(frozen=True, slots=True)
class Truth:
    """What an image of this size really shows.

    `ignored` are regions where a box is neither right nor wrong: art, what is unclear, faces that
    this count leaves out.
    """

    width: int
    height: int
    faces: tuple[Box, ...]
    ignored: tuple[Box, ...] = ()


def size_of(box: Box) -> int:
    """Return the index into `SIZES` of a face: by the square root of its area in pixels."""
    side = ((box[2] - box[0]) * (box[3] - box[1])) ** 0.5
    return int(np.searchsorted(SIZE_EDGES, side, side="right"))


def shares(faces: Sequence[Box], covers: Sequence[Box]) -> list[float]:
    """Return the share of each face's area that lies under the union of the covers."""
    near = boxes.iou(boxes.as_boxes(faces), boxes.as_boxes(covers)) > 0
    return [
        boxes.covered(face, [covers[j] for j in np.flatnonzero(row).tolist()]) if row.any() else 0.0
        for face, row in zip(faces, near, strict=True)
    ]


def touches_nothing(truth: Truth, found: Sequence[Face]) -> NDArray[np.bool_]:
    """Return for each box whether it touches neither a labelled face nor an ignored region."""
    labelled = boxes.as_boxes([*truth.faces, *truth.ignored])
    overlap = boxes.iou(boxes.as_boxes([face.box for face in found]), labelled)
    return np.asarray(~(overlap > 0).any(axis=1))


def area_share(truth: Truth, covers: Sequence[Box]) -> float:
    """Return the share of the image's area under the union of the covers, in [0, 1]."""
    return boxes.covered((0.0, 0.0, float(truth.width), float(truth.height)), covers)


@dataclass(frozen=True, slots=True)
class Fits:
    """For each found box: the index of the face it fits (-1: none), and whether it is ignored."""

    face: NDArray[np.intp]
    ignored: NDArray[np.bool_]


def match(truth: Truth, found: Sequence[Face], iou: float) -> Fits:
    """Match boxes to faces one to one, best score first, each with the free face it fits best.

    A box that fits no free face but lies in an ignored region by a share of its own area of at
    least `iou` is ignored: COCO's rule for crowds (pycocotools `cocoeval`).
    """
    face = np.full(len(found), -1, dtype=np.intp)
    if not truth.faces and not truth.ignored:
        return Fits(face, np.zeros(len(found), dtype=np.bool_))
    floor = min(iou, 1 - 1e-10)
    places = np.asarray([face.box for face in found], dtype=np.float64).reshape(-1, 4)
    wanted = np.asarray(truth.faces, dtype=np.float64).reshape(-1, 4)
    regions = np.asarray(truth.ignored, dtype=np.float64).reshape(-1, 4)
    both, sizes = boxes.shared(places, wanted), boxes.area(places)[:, None]
    overlap = both / (sizes + boxes.area(wanted)[None, :] - both)
    inside = boxes.shared(places, regions) / sizes
    free = np.ones(len(wanted), dtype=bool)
    for i in np.argsort([-f.score for f in found], kind="stable"):
        open_ = np.where(free, overlap[i], -1.0)
        if open_.size and open_.max() >= floor:
            # Of equal fits COCO takes the last.
            best = len(open_) - 1 - int(open_[::-1].argmax())
            face[i], free[best] = best, False
    ignored = (face < 0) & (inside >= floor).any(axis=1)
    return Fits(face, ignored)
