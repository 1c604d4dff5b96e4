"""Gold images: how an answer is checked, how the wrong boxes are made, how often one comes.

A gold image is one whose truth is known. It is shown with boxes that are wrong on purpose, so
that nobody passes by accepting what is there (Yang et al., ICML 2022, did the same). All of it
happens on the server: the truth never leaves it. Who fails loses weight in `crowd`, not work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from sfumato import boxes
from sfumato.review.vocabulary import Mark
from sfumato.types import Box

GOLD_IOU: Final = 0.72  # of the unions; the page of ImageNet's face annotation asked for it
TUTORIAL: Final = 3  # answers to gold images that come first
_ATTEMPTS: Final = 20  # at boxes that are wrong and look like a detector's
_INEXACT: Final = 0.03  # of a side: how far a right box may lie from the true one
_SMALLEST: Final = 4.0  # pixels a side of a box made up


def union_iou(marks: Sequence[Mark], truth: Sequence[Mark]) -> float:
    """Return the IoU of the regions under two sets of boxes, in [0, 1]; 1 if both are empty.

    Exact: the plane is cut along every edge, and each cell is inside or outside of either region.
    A box may lie on others; kinds don't matter, since all kinds are covered. 1,000 boxes make
    4 million cells (0.1 seconds).
    """
    if not marks or not truth:
        return float(not marks and not truth)
    corners = np.array([mark.box for mark in (*marks, *truth)], dtype=np.float64)
    xs, columns = np.unique(corners[:, 0::2], return_inverse=True)
    ys, rows = np.unique(corners[:, 1::2], return_inverse=True)
    columns, rows = columns.reshape(-1, 2), rows.reshape(-1, 2)
    inside = np.zeros((2, len(ys), len(xs)), dtype=np.int32)
    side = np.repeat([0, 1], [len(marks), len(truth)])
    # Running sums of +1 and -1 at its corners make a box: no box is filled in cell by cell.
    for i, j, sign in ((0, 0, 1), (0, 1, -1), (1, 0, -1), (1, 1, 1)):
        np.add.at(inside, (side, rows[:, i], columns[:, j]), sign)
    here, there = (inside.cumsum(axis=1).cumsum(axis=2) > 0)[:, :-1, :-1]
    both, either = here & there, here | there
    if (both == either).all():
        return 1.0
    widths, heights = np.diff(xs), np.diff(ys)
    return float((heights @ (both @ widths)) / (heights @ (either @ widths)))


def passes(
    marks: Sequence[Mark], truth: Sequence[Mark], *, iou: float = GOLD_IOU, spare: int = 0
) -> bool:
    """Return whether an answer to a gold image is right.

    It is if the unions of both reach this IoU; where the truth is empty, if at most `spare` boxes
    are left.
    """
    return union_iou(marks, truth) >= iou if truth else len(marks) <= spare


def gold_share(answered: int) -> float:
    """Return the probability that a person's next image is gold, after so many answers.

    1 for the first three (the tutorial), then 10 / (100 + answered), and never less than 1 in 100:
    1 in 10 at first, 1 in 20 after 100 answers, 1 in 100 after 900. The shape is that of
    Mephisto's gold units, which fall from every one to 5 % at 100 and 1 % at 1,000. A person of
    100 answers has seen about 10 gold images, one of 1,000 about 26.
    """
    return 1.0 if answered < TUTORIAL else max(0.01, 10 / (100 + answered))


def spoil(
    truth: Sequence[Mark],
    width: int,
    height: int,
    seed: int,
    *,
    iou: float = GOLD_IOU,
    spare: int = 0,
) -> tuple[Mark, ...]:
    """Return wrong boxes for a gold image of this size, which never pass the check themselves.

    Faces are left out, moved or cut short, and boxes are added where nothing is. They have ids
    ("p0", …) and scores as proposals have, so that a gold image looks like any other. The same
    arguments give the same boxes. `iou` must lie in (0, 1]: 0 is passed by everything.
    """
    if not 0 < iou <= 1:
        raise ValueError(f"the IoU of the check must lie in (0, 1], got {iou}")
    rng = np.random.default_rng(seed)
    places = [mark.box for mark in truth]
    for _ in range(_ATTEMPTS):
        wrong = [bad for mark in truth for bad in _worse(mark, width, height, rng)]
        added = int(rng.integers(0, 2)) if truth else spare + int(rng.integers(1, 3))
        wrong += [_made_up(places, width, height, rng) for _ in range(added)]
        shuffled = [wrong[i] for i in rng.permutation(len(wrong)).tolist()]
        if not passes(shuffled, truth, iou=iou, spare=spare):
            return _as_proposals(shuffled, rng)
    return ()  # of faces that fill the image, boxes that are moved still pass; no box doesn't


def _worse(mark: Mark, width: int, height: int, rng: np.random.Generator) -> list[Mark]:
    """Return a face's box about as it was, moved, cut short, or not at all.

    Not quite as it was, because a detector's right boxes aren't exact either.
    """
    what = rng.choice(["kept", "moved", "cut", "left out"], p=[0.2, 0.35, 0.15, 0.3])
    if what == "left out":
        return []
    by = rng.uniform(-_INEXACT, _INEXACT, 4)  # of each side, in parts of the size
    if what == "moved":
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.6)
        by += distance * np.tile([np.cos(angle), np.sin(angle)], 2)
    elif what == "cut":
        left, top = rng.uniform(0, 0.4, 2)
        by += (left, top, left - 0.4, top - 0.4)
    x0, y0, x1, y1 = mark.box
    dx0, dy0, dx1, dy1 = (by * np.tile([x1 - x0, y1 - y0], 2)).tolist()
    inside = boxes.clip((x0 + dx0, y0 + dy0, x1 + dx1, y1 + dy1), width, height)
    return [Mark(inside, mark.kind, score=mark.score)] if inside else []


def _made_up(faces: Sequence[Box], width: int, height: int, rng: np.random.Generator) -> Mark:
    """Return a box that hides as little of the faces as one of eight tries does; face-sized."""
    tries = [_anywhere(faces, width, height, rng) for _ in range(8)]
    hidden = [boxes.covered(box, faces) if faces else 0.0 for box in tries]
    return Mark(tries[hidden.index(min(hidden))])


def _anywhere(faces: Sequence[Box], width: int, height: int, rng: np.random.Generator) -> Box:
    """Return a box inside the image, about as large as one of the faces."""
    if faces:
        x0, y0, x1, y1 = faces[int(rng.integers(len(faces)))]
        w, h = x1 - x0, y1 - y0
    else:
        w = h = float(rng.uniform(0.06, 0.25)) * min(width, height)
    w = min(max(w * float(rng.uniform(0.8, 1.25)), _SMALLEST), float(width))
    h = min(max(h * float(rng.uniform(0.8, 1.25)), _SMALLEST), float(height))
    x, y = float(rng.uniform(0, width - w)), float(rng.uniform(0, height - h))
    return (x, y, x + w, y + h)


def _as_proposals(marks: Sequence[Mark], rng: np.random.Generator) -> tuple[Mark, ...]:
    """Number the boxes as proposals are, and give a score to those without one."""
    scores = rng.uniform(0.35, 0.99, len(marks)).round(3).tolist()
    return tuple(
        Mark(mark.box, mark.kind, f"p{i}", made if mark.score is None else mark.score)
        for i, (mark, made) in enumerate(zip(marks, scores, strict=True))
    )
