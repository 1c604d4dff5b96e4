"""How steadily each person places the sides of a box, from gold and from one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sfumato.review.existence import Priors
from sfumato.review.places import Place
from sfumato.types import Box

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.intp]

_MOST_ROUNDS: Final = 500
_STILL: Final = 1e-7  # of the prior variance


def spreads(places: Sequence[Place], number: Mapping[str, int], priors: Priors) -> Floats:
    """Return each person's standard deviation of a side, in parts of the box's size.

    `places` show something; those with one box and no truth say nothing. The true sides are a
    place's own or else unknown, with nothing assumed of them. With the precisions 1/σ² given, they
    are normal around the weighted mean; with them given, σ² is the mean square distance: the
    regression model of Raykar et al. (2010), smoothed by the prior.
    """
    rows: list[tuple[int, int]] = []
    sides: list[list[float]] = []
    truths: list[float] = []
    for place in places:
        marks = [(number[v.person], place.marks[v.person].box) for v in place.votes if v.yes]
        if len(marks) + (place.truth is not None) < 2:
            continue
        frame = place.truth.box if place.truth else _middle([box for _, box in marks])
        size = ((frame[2] - frame[0]) * (frame[3] - frame[1])) ** 0.5
        rows += [(len(truths), person) for person, _ in marks]
        sides += [[(a - b) / size for a, b in zip(box, frame, strict=True)] for _, box in marks]
        truths.append(0.0 if place.truth else float("nan"))
    table = np.asarray(rows, dtype=np.intp).reshape(-1, 2)
    away = np.asarray(sides, dtype=np.float64).reshape(-1, 4)
    return settle(table, away, np.asarray(truths), len(number), priors)


def settle(table: Ints, sides: Floats, truths: Floats, people: int, priors: Priors) -> Floats:
    """Alternate between true sides and spreads until these stand; return the spreads.

    `table` holds the place and the person of each box, `sides` (n, 4) its sides. `truths` holds
    for each place 0 if the true sides are known and all 0, else NaN.
    """
    place, person = table[:, 0], table[:, 1]
    known = ~np.isnan(truths)
    seen = 4 * np.bincount(person, minlength=people)
    square = np.full(people, priors.spread**2)
    for _ in range(_MOST_ROUNDS):
        precision = 1 / square[person]
        total = np.bincount(place, precision, minlength=len(truths))
        sums = [np.bincount(place, precision * x, minlength=len(truths)) for x in sides.T]
        middle = np.where(known[:, None], 0.0, np.stack(sums, axis=1) / total[:, None])
        doubt = np.where(known, 0.0, 1 / total)
        away = np.square(sides - middle[place]).sum(axis=1) + 4 * doubt[place]
        spent = np.bincount(person, away, minlength=people) + priors.firm * priors.spread**2
        before, square = square, spent / (seen + priors.firm)
        if np.abs(square - before).max(initial=0.0) < _STILL * priors.spread**2:
            break
    return np.asarray(np.sqrt(square), dtype=np.float64)


def _middle(places: Sequence[Box]) -> Box:
    x0, y0, x1, y1 = np.median(np.asarray(places, dtype=np.float64), axis=0).tolist()
    return (x0, y0, x1, y1)
