"""Gold images: how an answer is checked, and how often one comes.

A gold image is one whose truth is known. It is shown with boxes that are wrong on purpose, so
that nobody passes by accepting what is there (Yang et al., ICML 2022, did the same). All of it
happens on the server: the truth never leaves it. Who fails loses weight in `crowd`, not work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from sfumato.review.vocabulary import Mark

GOLD_IOU: Final = 0.72  # of the unions; the page of ImageNet's face annotation asked for it
TUTORIAL: Final = 3  # answers to gold images that come first


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


def passes(marks: Sequence[Mark], truth: Sequence[Mark], *, iou: float = GOLD_IOU) -> bool:
    """Return whether an answer to a gold image is right: the unions of both reach this IoU."""
    return union_iou(marks, truth) >= iou


def gold_share(answered: int) -> float:
    """Return the probability that a person's next image is gold, after so many answers.

    1 for the first three (the tutorial), then 10 / (100 + answered), and never less than 1 in 100:
    1 in 10 at first, 1 in 20 after 100 answers, 1 in 100 after 900. The shape is that of
    Mephisto's gold units, which fall from every one to 5 % at 100 and 1 % at 1,000. A person of
    100 answers has seen about 10 gold images, one of 1,000 about 26.
    """
    return 1.0 if answered < TUTORIAL else max(0.01, 10 / (100 + answered))
