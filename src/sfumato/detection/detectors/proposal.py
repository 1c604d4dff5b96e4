"""The first look: where a face may be, at thresholds so low that little is missed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfumato.boxes import as_boxes, iou, suppress
from sfumato.detection.detectors import centerface, yunet
from sfumato.detection.detectors.session import Network, find
from sfumato.types import Box, Boxes, Pixels

SAME = 0.45  # IoU above which two boxes propose the same face
MOST = 500  # proposals of one image; a stadium has 200


@dataclass(frozen=True, slots=True)
class Source:
    """A network that proposes: at which scale, from which score on."""

    network: Network
    long_side: int
    floor: float


def from_yunet(long_side: int, floor: float) -> Source:
    """Return YuNet as a source: quick, sees the smallest faces when an image is enlarged."""
    return Source(yunet.NETWORK, long_side, floor)


def from_centerface(long_side: int, floor: float) -> Source:
    """Return CenterFace in 8 bits as a source: takes animals for people least."""
    return Source(centerface.NETWORK_8BIT, long_side, floor)


@dataclass(frozen=True, slots=True)
class Proposals:
    """Boxes (n, 4) of one image, and what each source said of each, (n, sources).

    A score is that of the best box of the source that overlaps, 0 if there is none.
    """

    boxes: Boxes
    scores: NDArray[np.float32]


def propose(
    image: Pixels, sources: Sequence[Source], near: Sequence[Box] | None = None
) -> Proposals:
    """Join what the sources see anywhere in an image, or `near` some rectangles of it.

    Of boxes on the same face that of the earlier source stays: scores of different networks and
    scales don't compare, and the finest look at a face draws the best box.
    """
    seen: list[tuple[Boxes, NDArray[np.float32]]] = []
    for source in sources:
        found = find(
            image, source.network, long_side=source.long_side, threshold=source.floor, near=near
        )
        scores = np.asarray([face.score for face in found], dtype=np.float32)
        seen.append((as_boxes([face.box for face in found]), scores))
    boxes = np.concatenate([part for part, _ in seen])
    order = [scores - np.float32(2 * rank) for rank, (_, scores) in enumerate(seen)]
    kept = boxes[suppress(boxes, np.concatenate(order), SAME)[:MOST]]
    said = [
        np.where(iou(kept, part) > SAME, scores, np.float32(0)).max(axis=1, initial=0.0)
        for part, scores in seen
    ]
    return Proposals(kept, np.stack(said, axis=1))
