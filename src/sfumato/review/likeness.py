"""Wrong boxes for a gold question, made of those that other images are shown with.

Nothing that a reviewer is sent may tell a gold question from the rest. So its boxes aren't made up:
an image that waits in the same part of the queue, and is about as large, lends them. How many they
are, their order, scores, kinds, sizes and digits are what a detector gave; only some are moved onto
faces, rightly or wrongly. A score or a box that no other image of that part has is changed a
little, so that nobody finds it twice.

It is done for every image that is lent and used for gold questions: nor does a clock tell.
"""

from __future__ import annotations

import math
import random
import struct
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from sfumato import boxes
from sfumato.review import quality
from sfumato.review.vocabulary import Mark
from sfumato.types import Box

POOL: Final = 24  # images on either side that may lend their boxes
FEWEST: Final = 8
_ATTEMPTS: Final = 20
_ON_A_FACE: Final = 0.75  # of the faces, those that get a box if one is of their size
_FITS: Final = 2.5  # as large as a face, but for this factor of the area
_APART: Final = 0.2  # IoU of two boxes at most where one is moved
_NEIGHBOURS: Final = 3  # scores on either side: no score goes farther than these lie
_OFTEN: Final = 4
_FEW: Final = 20  # boxes, whose digits are looked at
_SHORT: Final = 6  # decimals of a number that somebody has rounded


@dataclass(frozen=True, slots=True)
class Donor:
    """An image of the queue, as it is shown: its size and its boxes."""

    width: int
    height: int
    marks: tuple[Mark, ...]


class Pool:
    """The images that may lend their boxes, and what their numbers have in common."""

    def __init__(self, donors: Iterable[Donor]) -> None:
        self.donors = tuple(donors)
        marks = [mark for donor in self.donors for mark in donor.marks]
        self.boxes = Counter(mark.box for mark in marks)
        scores = Counter(mark.score for mark in marks if mark.score is not None)
        self.scores, self._counts = sorted(scores), scores
        self._score_digits = _Digits(self.scores)
        some = islice(self.boxes, _FEW)  # as all are written
        self._side_digits = _Digits([side for box in some for side in box])

    def near(self, width: int, height: int) -> list[Donor]:
        """Return a quarter of the donors, at least eight: of images that are most like this."""

        def unlike(donor: Donor) -> float:
            return abs(math.log(donor.width / width)) + abs(math.log(donor.height / height))

        return sorted(self.donors, key=unlike)[: max(FEWEST, len(self.donors) // 4)]

    def score(self, score: float | None, rng: random.Random) -> float | None:
        """Return a score that could stand in the place of this one."""
        digits = self._score_digits
        # Rounded scores meet by chance; others only where a detector gives the same to many.
        often = _OFTEN if score is not None and digits.is_short(score) else 2
        if score is None or self._counts[score] >= often or len(self.scores) < 2:
            return score
        place = bisect_left(self.scores, score)
        around = self.scores[max(0, place - _NEIGHBOURS) : place + _NEIGHBOURS + 1]
        reach = sorted(abs(other - score) for other in around)[min(3, len(around) - 1)]
        low, high = self.scores[0], self.scores[-1]
        moved = score + rng.uniform(-reach, reach)
        # Thrown back at the ends, as often as others come from there.
        moved = 2 * low - moved if moved < low else 2 * high - moved if moved > high else moved
        return digits.of(min(max(moved, low), high), score)

    def sides(self, box: Box, like: Box) -> Box:
        """Return a box with digits as `like` has them."""
        x0, y0, x1, y1 = map(self._side_digits.of, box, like)
        return (x0, y0, x1, y1)


class _Digits:
    """How many digits numbers have: a few decimals, those of single precision, or all."""

    def __init__(self, numbers: Sequence[float]) -> None:
        short = [number for number in numbers if round(number, _SHORT) == number]
        self._single = len(short) < len(numbers) and all(_single(n) == n for n in numbers)
        self._decimals = next(
            (n for n in range(_SHORT) if all(round(one, n) == one for one in short)), _SHORT
        )

    def is_short(self, number: float) -> bool:
        return not self._single and round(number, _SHORT) == number

    def of(self, number: float, like: float) -> float:
        if self._single:
            return _single(number)
        if self.is_short(like):
            return float(round(number, self._decimals))
        return _single(number) if _single(like) == like else number


def _single(number: float) -> float:
    found: float = struct.unpack("f", struct.pack("f", number))[0]
    return found


def wrong(
    truth: Sequence[Mark], size: tuple[int, int], pool: Pool, empty: float, seed: bytes
) -> tuple[Mark, ...]:
    """Return boxes that don't pass as an answer; made up where no image lends any.

    `size` is the image's (width, height), `empty` the share of gold questions without a face:
    those are never shown without a box, so the others are that much more often. The same
    arguments give the same boxes.
    """
    rng = random.Random(seed)  # noqa: S311 (nothing to guess: the seed holds a pseudonym)
    near = pool.near(*size)
    full = [donor for donor in near if donor.marks]
    without = 1 - len(full) / len(near) if near else 0.0
    bare = rng.random() * (1 - empty) < without
    if truth and (bare or not full):
        return ()
    for attempt in range(_ATTEMPTS if full else 0):
        donor = rng.choice(full)
        share = _ON_A_FACE * (1 - attempt / _ATTEMPTS)
        placed = _placed(donor, truth, size, pool, rng, share)
        scores = _in_order(donor.marks, [pool.score(mark.score, rng) for mark in donor.marks])
        shown = tuple(
            replace(mark, box=box, score=score, origin="")
            for mark, box, score in zip(donor.marks, placed, scores, strict=True)
        )
        if not quality.passes(shown, truth):
            return shown
    return () if truth else (_made_up(size, rng),)


def _made_up(size: tuple[int, int], rng: random.Random) -> Mark:
    """Return a square anywhere in the image, with a score as a detector may give it."""
    side = max(rng.uniform(0.06, 0.25) * min(size), 1.0)
    x, y = rng.uniform(0, size[0] - side), rng.uniform(0, size[1] - side)
    return Mark((x, y, x + side, y + side), "face", "p0", round(rng.uniform(0.35, 0.99), 3))


def _in_order(marks: Sequence[Mark], scores: list[float | None]) -> list[float | None]:
    """Give the scores to the boxes so that the best box stays the best."""
    known = [(mark.score, i) for i, mark in enumerate(marks) if mark.score is not None]
    made = sorted(score for score in scores if score is not None)
    for (_, place), score in zip(sorted(known), made, strict=True):
        scores[place] = score
    return scores


def _placed(
    donor: Donor,
    truth: Sequence[Mark],
    size: tuple[int, int],
    pool: Pool,
    rng: random.Random,
    share: float,
) -> list[Box]:
    """Return the donor's boxes in an image of this size, some of them on faces."""
    placed = [_carried(mark.box, donor, size, pool, rng) for mark in donor.marks]
    free = {
        place
        for place, mark in enumerate(donor.marks)
        if _inside(mark.box, (donor.width, donor.height))
    }
    for face in rng.sample(truth, len(truth)):
        chosen = rng.random() < share
        fitting = [place for place in free if _unlike(placed[place], face.box) < math.log(_FITS)]
        if not chosen or not fitting:
            continue
        place = min(fitting, key=lambda place: _unlike(placed[place], face.box))
        moved = pool.sides(_on(face.box, placed[place], rng), donor.marks[place].box)
        others = boxes.as_boxes([box for other, box in enumerate(placed) if other != place])
        overlap = boxes.iou(boxes.as_boxes([moved]), others)
        if _inside(moved, size) and overlap.max(initial=0.0) <= _APART:
            placed[place] = moved
            free.remove(place)
    return placed


def _carried(box: Box, donor: Donor, size: tuple[int, int], pool: Pool, rng: random.Random) -> Box:
    """Return a box in another image, where it lay in its own; at its edges if it was there."""
    wide, high = size[0] / donor.width, size[1] / donor.height
    common = pool.boxes[box] > 1
    if common and wide == high == 1:
        return box
    # Faces are larger in larger images, but less than in proportion.
    scale = min(wide, high) ** 0.5 * (1.0 if common else rng.uniform(0.94, 1.06))
    x0, x1 = _side(box[0], box[2], (donor.width, size[0]), scale, rng)
    y0, y1 = _side(box[1], box[3], (donor.height, size[1]), scale, rng)
    exact = pool.sides((x0, y0, x1, y1), box)
    # What rounding or a smaller image has pushed out, or made nothing of.
    x0, x1 = _held(exact[0], exact[2], size[0])
    y0, y1 = _held(exact[1], exact[3], size[1])
    return (x0, y0, x1, y1)


def _side(
    low: float, high: float, lengths: tuple[int, int], scale: float, rng: random.Random
) -> tuple[float, float]:
    before, now = lengths
    if low <= 0 and high >= before:
        return 0.0, float(now)
    length = min((high - low) * scale, now - 2.0)
    if low <= 0:
        return 0.0, length
    if high >= before:
        return now - length, float(now)
    middle = (low + high) / 2 / before * now + rng.uniform(-0.05, 0.05) * length
    middle = min(max(middle, length / 2 + 0.5), now - length / 2 - 0.5)
    return middle - length / 2, middle + length / 2


def _held(low: float, high: float, length: int) -> tuple[float, float]:
    low, high = max(0.0, low), min(float(length), high)
    return (low, high) if high - low >= 1 else (max(0.0, high - 1), max(1.0, high))


def _on(face: Box, box: Box, rng: random.Random) -> Box:
    """Return the box with its middle on a face, about rightly or clearly wrongly."""
    width, height = box[2] - box[0], box[3] - box[1]
    by = rng.uniform(0.0, 0.1) if rng.random() < 0.4 else rng.uniform(0.25, 0.6)
    angle = rng.uniform(0, 2 * math.pi)
    x = (face[0] + face[2]) / 2 + by * math.cos(angle) * width
    y = (face[1] + face[3]) / 2 + by * math.sin(angle) * height
    return (x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def _inside(box: Box, size: tuple[int, int]) -> bool:
    return min(box[:2]) > 0 and box[2] < size[0] and box[3] < size[1]


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def _unlike(one: Box, other: Box) -> float:
    return abs(math.log(max(_area(one), 1e-9) / max(_area(other), 1e-9)))
