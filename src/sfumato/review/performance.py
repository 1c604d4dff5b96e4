"""What is known of each person's work: recall, precision, agreement, time, gold passed and failed.

For a manager's eye and the report; pseudonyms only. These are plain counts. The weights that
merging uses come from `crowd`, which fits a model to the same answers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Final, TypeAlias

import numpy as np

from sfumato.review.crowd import Crowd
from sfumato.review.places import Place, ReviewedImage
from sfumato.review.quality import passes
from sfumato.review.vocabulary import Given, Mark
from sfumato.review.wording import plain
from sfumato.stats.bootstrap import ratio
from sfumato.stats.intervals import Estimate, wilson
from sfumato.stats.matching import Truth, match
from sfumato.types import JSON

FIT: Final = 0.5  # IoU at which a box matches a face, one to one

_NOTHING: Final = Estimate(0, 0, float("nan"), float("nan"), float("nan"))

Pairs: TypeAlias = list[tuple[int, int]]  # of each image: hits, and of how many


@dataclass(frozen=True, slots=True)
class Performance:
    """One person's figures, each share with its 95 % interval.

    `recall` and `precision` are of faces and boxes in gold images, `gold` of the gold images
    passed, `agreement` of places where most others agree among themselves. A share of nothing is
    NaN. `seconds` is the median time an image (None without an answer), `weight` that of
    `crowd` if it was given.
    """

    person: str
    answers: int
    unsure: int
    seconds: float | None
    recall: Estimate
    precision: Estimate
    agreement: Estimate
    gold: Estimate
    weight: float | None = None

    def as_json(self) -> JSON:
        """Return it as JSON; None for what was not measured."""
        figures: JSON = plain(asdict(self))
        return figures


def performances(images: Sequence[ReviewedImage], crowd: Crowd | None = None) -> list[Performance]:
    """Return everybody's figures, by pseudonym.

    An answer "unsure" is counted, and judged by nothing.
    """
    given: defaultdict[str, list[Given]] = defaultdict(list)
    agreed: defaultdict[str, Pairs] = defaultdict(list)
    for image in images:
        for one in image.given:
            given[one.person].append(one)
        if image.truth is None:
            for person, pair in _agreements(image.places).items():
                agreed[person].append(pair)
    return [_performance(who, given[who], agreed[who], crowd) for who in sorted(given)]


def _performance(
    person: str, given: Sequence[Given], agreed: Pairs, crowd: Crowd | None
) -> Performance:
    sure = [one for one in given if one.answer.verdict != "unsure"]
    checked = [(one.answer.marks, one.gold) for one in sure if one.gold is not None]
    counts = [(_matches(marks, gold), marks, gold) for marks, gold in checked]
    passed = sum(passes(marks, gold) for marks, gold in checked)
    times = [one.answer.seconds for one in given]
    return Performance(
        person,
        len(given),
        len(given) - len(sure),
        median(times) if times else None,
        _share((hits, len(gold)) for hits, _, gold in counts),
        _share((hits, len(marks)) for hits, marks, _ in counts),
        _share(agreed),
        _of_trials(passed, len(checked)),
        crowd.weight(person).value if crowd else None,
    )


def _agreements(places: Iterable[Place]) -> dict[str, tuple[int, int]]:
    """Return for each person on how many places they say what most others say, and of how many.

    The person is left out of the others; where these are evenly split, the place doesn't count.
    """
    counts: defaultdict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for place in places:
        yes = sum(vote.yes for vote in place.votes)
        for vote in place.votes:
            others, of = yes - vote.yes, len(place.votes) - 1
            if 2 * others != of:
                same, places_ = counts[vote.person]
                counts[vote.person] = (same + (vote.yes == (2 * others > of)), places_ + 1)
    return counts


def _matches(marks: Sequence[Mark], truth: Sequence[Mark]) -> int:
    faces = [mark.face("person", 0.5) for mark in marks]
    fits = match(Truth(0, 0, tuple(mark.box for mark in truth)), faces, FIT)
    return int((fits.face >= 0).sum())


def _share(pairs: Iterable[tuple[int, int]]) -> Estimate:
    table = np.array(list(pairs), dtype=np.int64).reshape(-1, 2)
    if not len(table):
        return _NOTHING
    return ratio(table[:, 0], table[:, 1], np.random.default_rng(0))


def _of_trials(hits: int, trials: int) -> Estimate:
    if not trials:
        return _NOTHING
    return Estimate(hits, trials, hits / trials, *wilson(hits, trials))
