"""Geometry of boxes: overlap, growth, suppression, and the eight EXIF orientations.

Boxes are float pixels ``(x0, y0, x1, y1)`` of the upright image, x1 and y1 exclusive.
Everything here is a pure function; arrays are ``(n, 4)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from sfumato.types import Box, Boxes, Face

F = TypeVar("F", np.float32, np.float64)

LEAST_INSIDE: Final = 0.5  # share of a box inside its image from which it is believed

# Boxes of one image that are believed. The fullest image of WIDER FACE has 1,968 faces; each
# takes 2 ms to cover and to measure.
MOST_BOXES: Final = 2_000


def as_boxes(boxes: Sequence[Box]) -> Boxes:
    """Return boxes as an (n, 4) float32 array; an empty sequence gives (0, 4)."""
    return np.asarray(boxes, dtype=np.float32).reshape(-1, 4)


def area(boxes: NDArray[F]) -> NDArray[F]:
    """Return the (n,) areas in square pixels; inverted boxes have none."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    product: NDArray[F] = sides[:, 0] * sides[:, 1]
    return product


def shared(a: NDArray[F], b: NDArray[F]) -> NDArray[F]:
    """Return the (n, m) areas that two sets of boxes have in common, in square pixels."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    sides = np.maximum(high - low, 0)
    product: NDArray[F] = sides[..., 0] * sides[..., 1]
    return product


def iou(a: Boxes, b: Boxes) -> NDArray[np.float32]:
    """Return the (n, m) intersection over union of two sets of boxes."""
    both = shared(a, b)
    either = area(a)[:, None] + area(b)[None, :] - both
    overlap: NDArray[np.float32] = both / np.maximum(either, np.finfo(np.float32).tiny)
    return overlap


def hulls(a: Boxes, b: Boxes) -> Boxes:
    """Return the smallest boxes (n, 4) that hold both of each pair."""
    corners = (np.minimum(a[:, :2], b[:, :2]), np.maximum(a[:, 2:], b[:, 2:]))
    return np.concatenate(corners, axis=1)


def grow(box: Box, fraction: float) -> Box:
    """Grow a box by this share of its width and height on each side (0.25: 1.5 times as wide)."""
    x0, y0, x1, y1 = box
    dx, dy = fraction * (x1 - x0), fraction * (y1 - y0)
    return (x0 - dx, y0 - dy, x1 + dx, y1 + dy)


def clip(box: Box, width: int, height: int) -> Box | None:
    """Cut a box to the image; None if nothing of it lies inside."""
    x0, y0 = max(box[0], 0.0), max(box[1], 0.0)
    x1, y1 = min(box[2], float(width)), min(box[3], float(height))
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None


def inside_share(box: Box, width: int, height: int) -> float:
    """Return the share of a box's area that lies inside the image, in [0, 1]."""
    cut = clip(box, width, height)
    if cut is None:
        return 0.0
    # Side by side: areas of boxes may lie beyond what a float holds, or below.
    across = (cut[2] - cut[0]) / (box[2] - box[0])
    return across * ((cut[3] - cut[1]) / (box[3] - box[1]))


def misplaced(box: Box, width: int, height: int) -> str:
    """Say why a box can't be one of an image of this size; "" if at least half of it lies inside.

    A face at the border may be drawn beyond it. What lies mostly outside was drawn for another
    image, or for this one in another size.
    """
    share = inside_share(box, width, height)
    if share >= LEAST_INSIDE:
        return ""
    place = ", ".join(f"{side:g}" for side in box)
    where = f"lies only to {100 * share:.2g} % inside" if share else "lies outside"
    return f"the box ({place}) {where} the image of {width}×{height} pixels"


def too_many(count: int) -> str:
    """Say why so many boxes can't be those of one image; "" if they may be."""
    return "" if count <= MOST_BOXES else f"{count} boxes, at most {MOST_BOXES} are covered"


def longer_side(box: Box) -> float:
    """Return the longer side in pixels: the size that the strength of an obfuscation follows."""
    return max(box[2] - box[0], box[3] - box[1])


def suppress(boxes: Boxes, scores: NDArray[np.float32], limit: float) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: indices kept, best score first.

    A box goes when its IoU with a better one exceeds `limit`. Equal scores keep their order,
    so that the result never depends on the sort.
    """
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        overlap = iou(boxes[best : best + 1], boxes[rest])[0]
        order = rest[overlap <= limit]
    return np.asarray(kept, dtype=np.intp)


def union(groups: Sequence[Sequence[Face]], limit: float) -> list[Face]:
    """Join the faces of several detectors, so that each face counts once; best score first.

    Boxes are never averaged and agreement is never required: what one detector alone has seen
    stays. Scores of different detectors are not comparable; they only order the suppression.
    """
    faces = [face for group in groups for face in group]
    scores = np.asarray([face.score for face in faces], dtype=np.float32)
    kept = suppress(as_boxes([face.box for face in faces]), scores, limit)
    return [faces[i] for i in kept]


def apart(faces: Sequence[Face], others: Sequence[Face], limit: float) -> list[Face]:
    """Return the faces whose IoU with every one of the others is at most `limit`."""
    overlap = iou(as_boxes([face.box for face in faces]), as_boxes([face.box for face in others]))
    most = overlap.max(axis=1, initial=0.0).tolist()
    return [face for face, nearest in zip(faces, most, strict=True) if nearest <= limit]


def covered(box: Box, covers: Sequence[Box]) -> float:
    """Return the share of a box that lies inside the union of other boxes, in [0, 1].

    Exact: the box is cut along every edge of the covers, and each cell is in or out.
    """
    low, high = np.array(box[:2], dtype=np.float64), np.array(box[2:], dtype=np.float64)
    corners = np.array(covers, dtype=np.float64).reshape(-1, 2, 2)
    corners = np.clip(corners, low, high)
    xs = np.unique(np.append(corners[..., 0], [box[0], box[2]]))
    ys = np.unique(np.append(corners[..., 1], [box[1], box[3]]))
    columns = np.searchsorted(xs, corners[..., 0]).tolist()
    rows = np.searchsorted(ys, corners[..., 1]).tolist()
    inside = np.zeros((len(ys) - 1, len(xs) - 1), dtype=bool)
    for (left, right), (top, bottom) in zip(columns, rows, strict=True):
        inside[top:bottom, left:right] = True
    if inside.all():
        return 1.0
    # Cells times widths, then heights: no product of all cells is made.
    area = np.diff(ys) @ (inside @ np.diff(xs))
    whole = (box[2] - box[0]) * (box[3] - box[1])
    return float(area / whole)


def upright_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """Return the size of the upright image of a stored one; orientations 5 to 8 swap the sides."""
    return (height, width) if orientation >= 5 else (width, height)


def to_stored(box: Box, orientation: int, width: int, height: int) -> Box:
    """Map a box from the upright image to the stored grid of `width` by `height`.

    `orientation` is EXIF tag 0x0112, 1 to 8 (TIFF 6.0, page 36): where row 0 and column 0 of
    the stored grid lie in the upright view. 1 is as is, 3 turned by 180°, 6 shown by turning
    the stored grid 90° clockwise, 8 anticlockwise; 2, 4, 5 and 7 are mirrored.
    """
    x0, y0, x1, y1 = box
    if orientation in (5, 6, 7, 8):  # upright x runs along stored y
        x0, y0, x1, y1 = y0, x0, y1, x1
    if orientation in (2, 3, 7, 8):
        x0, x1 = width - x1, width - x0
    if orientation in (3, 4, 6, 7):
        y0, y1 = height - y1, height - y0
    return (x0, y0, x1, y1)
