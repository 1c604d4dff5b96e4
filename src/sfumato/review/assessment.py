"""What the review of a whole set came to, for reports: no name, no pseudonym, no image.

An `Assessment` is a record of the ledger; the latest counts, and comes along to a release's own.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Final

import numpy as np

from sfumato.boxes import as_boxes, iou
from sfumato.review.outcome import Merged
from sfumato.review.quality import passes
from sfumato.review.remainder import Remainder
from sfumato.review.vocabulary import Given, Mark
from sfumato.stats.bootstrap import ratio
from sfumato.stats.intervals import wilson
from sfumato.types import JSON, Assessment

LAYOUT: Final = 2
_AGREES: Final = 0.5  # IoU
_MEASURABLE: Final = 10  # images that several saw, from which on a share says something


def assess(given: Sequence[Given], merged: Merged, left: Remainder, seed: int = 0) -> Assessment:
    """Return the assessment of a campaign as it stands."""
    seconds = [one.answer.seconds for one in given if one.answer.seconds > 0]
    estimate = left.as_json()
    figures: JSON = {
        "layout": LAYOUT,
        "answers": len(given),
        "reviewers": len({one.person for one in given}),
        "decided": merged.decided,
        "disputed": merged.disputed,
        "agreement": agreement(given, seed),
        "gold": gold(given),
        "seconds_per_image": median(seconds) if seconds else None,
        "estimate": estimate if estimate["measured"] else None,
    }
    return Assessment("", json.dumps(figures, separators=(",", ":")))


def gold(given: Iterable[Given]) -> JSON:
    """Return the share of gold images that were answered well, with Wilson's interval."""
    passed = [passes(one.answer.marks, one.gold) for one in given if one.gold is not None]
    if not passed:
        return {"value": None, "low": None, "high": None, "n": 0}
    low, high = wilson(sum(passed), len(passed))
    return {"value": sum(passed) / len(passed), "low": low, "high": high, "n": len(passed)}


def agreement(given: Iterable[Given], seed: int = 0) -> JSON:
    """Return the share of one person's boxes that another who saw the whole image has too.

    Over all pairs of people of an image, both ways, at an IoU of 0.5; gold and adjudications are
    left out. The interval draws images anew; `n` is their number.
    """
    shared: list[int] = []
    boxes: list[int] = []
    for answers in _several(given):
        shared.append(0)
        boxes.append(0)
        for one in answers:
            for other in answers:
                if one is not other:
                    shared[-1] += _had(one, other)
                    boxes[-1] += len(one)
    if sum(map(bool, boxes)) < _MEASURABLE:
        return {"value": None, "low": None, "high": None, "n": 0}
    found = ratio(np.array(shared), np.array(boxes), np.random.default_rng(seed))
    return {"value": found.value, "low": found.low, "high": found.high, "n": len(boxes)}


def _several(given: Iterable[Given]) -> list[list[tuple[Mark, ...]]]:
    """Return the answers of images that at least two people saw whole, by key."""
    answers: defaultdict[str, list[tuple[Mark, ...]]] = defaultdict(list)
    for one in given:
        whole = one.answer.scope == "whole" and one.answer.verdict != "unsure"
        if whole and one.gold is None and not one.adjudication:
            answers[one.key].append(one.answer.marks)
    return [marks for _, marks in sorted(answers.items()) if len(marks) > 1]


def _had(one: Sequence[Mark], other: Sequence[Mark]) -> int:
    """Count the boxes of one that the other has too; each of the other's counts once."""
    overlap = iou(as_boxes([m.box for m in one]), as_boxes([m.box for m in other]))
    count = 0
    while overlap.size and overlap.max() >= _AGREES:
        row, column = np.unravel_index(overlap.argmax(), overlap.shape)
        overlap[row, :] = overlap[:, column] = 0
        count += 1
    return count
