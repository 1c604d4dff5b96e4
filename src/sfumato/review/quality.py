"""Gold questions: how often, how they are spoiled, and when an answer passes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from sfumato.review.records import Mark
from sfumato.types import Box

GOLD_IOU: Final = 0.72
_DENSE: Final = 0.1
_RARE: Final = 0.01


def gold_share(answered: int) -> float:
    """Return which share of the next pictures is gold after so many: 0.1, then down to 0.01."""
    return max(_RARE, _DENSE / (1 + max(answered, 0) / 100))


def union_iou(marks: Sequence[Mark], truth: Sequence[Mark]) -> float:
    """Return the IoU of the areas that both cover, in [0, 1]; 1 if both cover nothing."""
    ours, theirs = [mark.box for mark in marks], [mark.box for mark in truth]
    xs = sorted({x for box in ours + theirs for x in (box[0], box[2])})
    ys = sorted({y for box in ours + theirs for y in (box[1], box[3])})
    both = either = 0.0
    for x0, x1 in pairwise(xs):
        for y0, y1 in pairwise(ys):
            point = ((x0 + x1) / 2, (y0 + y1) / 2)
            a, b = _inside(point, ours), _inside(point, theirs)
            both += (x1 - x0) * (y1 - y0) * (a and b)
            either += (x1 - x0) * (y1 - y0) * (a or b)
    return both / either if either else 1.0


def passes(marks: Sequence[Mark], truth: Sequence[Mark], *, iou: float = GOLD_IOU) -> bool:
    """Say whether an answer to a gold question is good; an empty truth wants no box at all."""
    if not truth:
        return not marks
    return union_iou(marks, truth) >= iou


def spoil(truth: Sequence[Mark], width: int, height: int, seed: int) -> tuple[Mark, ...]:
    """Return deliberately wrong boxes, which don't pass."""
    rng = random.Random(seed)  # noqa: S311
    if not truth:
        side = min(width, height) / 4
        x, y = rng.uniform(0, width - side), rng.uniform(0, height - side)
        return (Mark((x, y, x + side, y + side)),)
    kept = [_shrunk(mark.box) for mark in truth]
    if len(kept) > 1:
        kept.pop(rng.randrange(len(kept)))
    return tuple(Mark(box) for box in kept)


def _shrunk(box: Box) -> Box:
    x0, y0, x1, y1 = box
    return (x0, y0, x0 + (x1 - x0) * 0.6, y0 + (y1 - y0) * 0.6)


def _inside(point: tuple[float, float], boxes: Sequence[Box]) -> bool:
    x, y = point
    return any(x0 <= x < x1 and y0 <= y < y1 for x0, y0, x1, y1 in boxes)
