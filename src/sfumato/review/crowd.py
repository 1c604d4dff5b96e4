"""How far to believe each person, and what follows for a place: weights from gold and agreement.

`existence` has the models and their equations, `localisation` that of sides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, isnan, log, prod
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sfumato.review.drawings import ECHO, Looks, drawn
from sfumato.review.existence import Priors, Votes, proposed
from sfumato.review.localisation import spreads
from sfumato.review.places import Place, ReviewedImage, Vote

_TINY: Final = 1e-300
LIKELY: Final = 0.5  # probability from which on the boxes of a place say something of sides


@dataclass(frozen=True, slots=True)
class Weight:
    """How far one person is believed.

    Of proposals, `sensitivity` is the share of right ones and `false_alarm` of wrong ones that the
    person keeps. Of faces without a proposal the person `finds` a share, and `invents` so many
    boxes an image; of all boxes the person draws, the share `right` shows something. `spread` is
    the standard deviation of a side, in parts of the box's size. `votes` and `known` count the
    places that this rests on, and those of them whose truth is known.
    """

    sensitivity: float
    false_alarm: float
    finds: float
    invents: float
    right: float
    spread: float
    votes: int = 0
    known: int = 0

    @property
    def informedness(self) -> float:
        """Of answers to proposals (Youden 1950): 1 if always right, 0 if they say nothing."""
        return self.sensitivity - self.false_alarm

    @property
    def value(self) -> float:
        """One number for tables, in [0, 1]: 0 for who accepts, rejects or invents everything.

        The mean of the informedness and of the share of faces found times that of right boxes.
        """
        return (self.informedness + self.finds * self.right) / 2

    def evidence(self, *, yes: bool) -> float:
        """Return the log-likelihood ratio of an answer to a proposal: above 0 for yes."""
        if yes:
            return log(self.sensitivity / self.false_alarm)
        return log((1 - self.sensitivity) / (1 - self.false_alarm))


@dataclass(frozen=True, slots=True)
class Missing:
    """Of faces without a proposal: how many there are, and how many are hard to see.

    `alone` is their number an image, `beside` that for each right proposal in it; the share `hard`
    of them is hard to see, and everybody finds only the part `dim` of these.
    """

    alone: float = 0.1
    beside: float = 0.1
    hard: float = 0.25
    dim: float = 0.4


@dataclass(frozen=True, slots=True)
class Crowd:
    """All people's weights, and how things stand before anybody has spoken.

    `share` of proposals are right. `converged` is False if the fit was stopped. Without any
    people, everybody counts as `stranger`.
    """

    people: Mapping[str, Weight] = field(default_factory=dict)
    share: float = 0.5
    missing: Missing = Missing()
    converged: bool = True
    stranger: Weight = field(default_factory=lambda: unknown(Priors(), 0.1))

    def weight(self, person: str) -> Weight:
        """Return a person's weight; that of a stranger if the person is new."""
        return self.people.get(person, self.stranger)

    def probabilities(self, places: Sequence[Place]) -> list[float]:
        """Return for each place of an image the probability that it shows something.

        `existence` and `drawings` have the models.
        """
        of_proposals = [logistic(self._of_proposal(p)) if p.proposed else 0.0 for p in places]
        right = sum(of_proposals)
        return [
            chance if place.proposed else logistic(self._of_drawing(place, right))
            for place, chance in zip(places, of_proposals, strict=True)
        ]

    def _of_proposal(self, place: Place) -> float:
        odds = log(self.share / (1 - self.share))
        for vote in place.votes:
            weight = self.weight(vote.person)
            if vote.prompted:
                odds += weight.evidence(yes=vote.yes)
            elif vote.yes:
                odds += log(max(weight.finds / ECHO, 1.0))
            else:
                odds += log(min((1 - weight.finds) / (1 - ECHO), 1.0))
        return odds

    def _of_drawing(self, place: Place, right: float) -> float:
        yes = [self.weight(vote.person) for vote in place.votes if vote.yes]
        no = [self.weight(vote.person) for vote in place.votes if not vote.yes]
        missing = self.missing
        chance = sum(
            share * prod(dim * w.finds for w in yes) * prod(1 - dim * w.finds for w in no)
            for share, dim in ((1 - missing.hard, 1.0), (missing.hard, missing.dim))
        )
        # Where nobody is sure, those who were unsure have drawn it.
        by = yes or [self.weight(person) for person in place.marks]
        wrong = log(sum(weight.invents for weight in by)) + len(no) * log(1 - ECHO)
        wrong += max(len(yes) - 1, 0) * log(ECHO)
        return log(max(chance, _TINY) * (missing.alone + missing.beside * right)) - wrong


def logistic(odds: float) -> float:
    """Return the probability of log odds; beyond 500 they are as good as 500."""
    return 1 / (1 + exp(-min(max(odds, -500.0), 500.0)))


def unknown(priors: Priors, missed: float) -> Weight:
    """Return the weight of a person of whom nothing is known, where so many faces are missed."""
    sensitivity, false_alarm = (
        yes / (yes + no) for yes, no in (priors.yes_if_true, priors.yes_if_false)
    )
    invents = priors.invented[0] / priors.invented[1]
    right = _right(sensitivity, invents, missed)
    return Weight(sensitivity, false_alarm, sensitivity, invents, right, priors.spread)


def _right(finds: float, invents: float, missed: float) -> float:
    return missed * finds / (missed * finds + invents)


def estimate(images: Sequence[ReviewedImage], priors: Priors | None = None) -> Crowd:
    """Return everybody's weight from gold, adjudications and agreement, in whatever order."""
    priors = priors or Priors()
    people = sorted({one.person for image in images for one in image.given})
    number = {person: i for i, person in enumerate(people)}
    asked, own = _ballots(images)
    first = proposed(_votes(asked, number), len(people), priors)
    home = np.array([ballot.image for ballot in asked], dtype=np.intp)
    right = np.bincount(home, first.shows, minlength=len(images)).astype(np.float64)
    looks = _looks(images, own, right, number)
    second = drawn(_votes(own, number), looks, len(people), priors)
    chances = zip([*asked, *own], [*first.shows.tolist(), *second.shows.tolist()], strict=True)
    shown = [ballot.place for ballot, chance in chances if chance >= LIKELY]
    sigma = spreads(shown, number, priors).tolist()
    rates = second.rates
    missing = Missing(rates.alone, rates.beside, rates.hard, rates.dim)
    usual = float(rates.missing(looks.right[:-1]).mean()) if len(looks.right) > 1 else rates.alone
    counts = _counts([*asked, *own])
    weights = {
        person: Weight(
            float(first.sensitivity[i]),
            float(first.false_alarm[i]),
            float(rates.finds[i]),
            float(rates.invents[i]),
            _right(float(rates.finds[i]), float(rates.invents[i]), usual),
            sigma[i],
            *counts[person],
        )
        for person, i in number.items()
    }
    converged = first.converged and second.converged
    return Crowd(weights, first.share, missing, converged, unknown(priors, usual))


@dataclass(frozen=True, slots=True)
class _Ballot:
    """Votes of one kind about a place, and 1 or 0 if its truth is known, else NaN."""

    image: int
    place: Place
    votes: tuple[Vote, ...]
    truth: float


def _ballots(images: Sequence[ReviewedImage]) -> tuple[list[_Ballot], list[_Ballot]]:
    """Return the votes of people who were shown a proposal, and of those who were not.

    Of gold, different people may have seen different proposals; then a place is in both lists.
    Without a proposal and without a truth, a place needs somebody who saw the whole image and
    drew a box.
    """
    asked, own = [], []
    for i, image in enumerate(images):
        known = image.truth is not None
        for place in image.places:
            truth = float(place.truth is not None) if known else float("nan")
            prompted = tuple(vote for vote in place.votes if vote.prompted)
            others = tuple(vote for vote in place.votes if vote.whole and not vote.prompted)
            if prompted:
                asked.append(_Ballot(i, place, prompted, truth))
            if truth == 1 or ((known or not place.proposed) and any(v.yes for v in others)):
                own.append(_Ballot(i, place, others, truth))
    return asked, own


def _votes(ballots: Sequence[_Ballot], number: Mapping[str, int]) -> Votes:
    rows = [
        (place, number[vote.person], vote.yes)
        for place, ballot in enumerate(ballots)
        for vote in ballot.votes
    ]
    table = np.asarray(rows, dtype=np.intp).reshape(-1, 3)
    truth = np.array([ballot.truth for ballot in ballots], dtype=np.float64)
    return Votes(table[:, 0], table[:, 1], table[:, 2].astype(np.float64), truth)


def _looks(
    images: Sequence[ReviewedImage],
    ballots: Sequence[_Ballot],
    right: NDArray[np.float64],
    number: Mapping[str, int],
) -> Looks:
    """Return who saw the whole of which image and was sure; `right` follows the images."""
    rows = []
    looked = np.zeros(len(number))
    unknown_ = [i for i, image in enumerate(images) if image.truth is None]
    order = {i: n for n, i in enumerate(unknown_)}
    for i, image in enumerate(images):
        for one in image.given:
            if one.answer.verdict == "unsure" or one.answer.scope != "whole":
                continue
            looked[number[one.person]] += 1
            if i in order:
                rows.append((order[i], number[one.person]))
    table = np.asarray(rows, dtype=np.intp).reshape(-1, 2)
    home = np.array([order.get(b.image, len(order)) for b in ballots], dtype=np.intp)
    return Looks(table[:, 0], table[:, 1], np.append(right[unknown_], 0.0), home, looked)


def _counts(ballots: Sequence[_Ballot]) -> defaultdict[str, tuple[int, int]]:
    """Return how many votes each person gave, and how many of them on what is known."""
    counts: defaultdict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for ballot in ballots:
        known = not isnan(ballot.truth)
        for vote in ballot.votes:
            votes, of_known = counts[vote.person]
            counts[vote.person] = (votes + 1, of_known + known)
    return counts
