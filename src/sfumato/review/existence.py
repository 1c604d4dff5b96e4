"""Whether a proposed box is right, and how often each person errs, from votes without a truth.

The model of Dawid and Skene (1979) with two answers: of right boxes person j keeps the share α
(sensitivity), of wrong ones β (false alarms), independently of others. It is fitted by
expectation-maximisation, with what is known (gold, adjudications) held fixed. Equations in comments
are theirs. What people draw where nothing was proposed needs another model: `drawings`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.intp]

MOST_ROUNDS: Final = 1000
_STILL: Final = 1e-5  # change of a probability below which an estimate stands


@dataclass(frozen=True, slots=True)
class Priors:
    """What is believed of a person of whom nothing is known, and how firmly.

    `yes_if_true` and `yes_if_false` are numbers (yes, no) of votes, as if they had been seen:
    80 % and 20 % yes, each worth 2.5 votes. `invented` are boxes and images: 0.05 an image,
    worth 10 images. `spread` is the standard deviation of a side, in parts of the box's size,
    worth `firm` sides (a box has four). Of faces, `hard` (yes, no) says how many are hard to see
    and `dim` which part of those is seen by who sees all others.
    """

    yes_if_true: tuple[float, float] = (2.0, 0.5)
    yes_if_false: tuple[float, float] = (0.5, 2.0)
    invented: tuple[float, float] = (0.5, 10.0)
    spread: float = 0.1
    firm: float = 8.0
    hard: tuple[float, float] = (1.0, 3.0)
    dim: tuple[float, float] = (2.0, 3.0)


@dataclass(frozen=True, slots=True)
class Votes:
    """Votes about places: of each vote its place and person (numbers), and 1 for yes or 0 for no.

    `truth` is of each place 1 or 0 if it is known, else NaN.
    """

    place: Ints
    person: Ints
    yes: Floats
    truth: Floats

    @property
    def open_(self) -> NDArray[np.bool_]:
        """Of each place, whether its truth isn't known."""
        return np.isnan(self.truth)


@dataclass(frozen=True, slots=True)
class Proposed:
    """What is estimated of proposed boxes.

    Of each person `sensitivity` and `false_alarm`, which is never larger; the `share` of open
    places that are right; of each place whether it `shows` something (probability). `objective` is
    the log posterior up to a constant, which no round of the fit lowers.
    """

    sensitivity: Floats
    false_alarm: Floats
    share: float
    shows: Floats
    objective: float
    rounds: int
    converged: bool


def proposed(votes: Votes, people: int, priors: Priors, most_rounds: int = MOST_ROUNDS) -> Proposed:
    """Fit Dawid and Skene's model to votes about proposed boxes.

    It starts from what is known: without gold everybody has the same rates, and most votes win.
    α ≥ β holds in every round, so that right and wrong can't change places, and nobody is read
    backwards.
    """
    there, not_there = (np.where(votes.open_, 0.0, t) for t in (votes.truth, 1 - votes.truth))
    sensitivity, false_alarm = _rates(votes, there, not_there, people, priors)
    shows, share = there, 0.5
    objective, rounds, converged = 0.0, 0, False
    while not converged and rounds < most_rounds:
        rounds += 1
        before = shows
        if_true = log_likelihood(votes, sensitivity) + np.where(votes.open_, np.log(share), 0)
        if_false = log_likelihood(votes, false_alarm) + np.where(votes.open_, np.log1p(-share), 0)
        shows = np.where(votes.open_, sigmoid(if_true - if_false), votes.truth)  # eq. 2.5
        seen = np.where(votes.truth > 0, if_true, if_false)
        seen = np.where(votes.open_, np.logaddexp(if_true, if_false), seen)  # eq. 2.7
        objective = float(seen.sum()) + log_beta(np.array(share), (1, 1))
        objective += log_beta(sensitivity, priors.yes_if_true)
        objective += log_beta(false_alarm, priors.yes_if_false)
        converged = stands(shows, before)
        if not converged:
            sensitivity, false_alarm = _rates(votes, shows, 1 - shows, people, priors)
            share = float((shows[votes.open_].sum() + 1) / (votes.open_.sum() + 2))  # eq. 2.4
    return Proposed(sensitivity, false_alarm, share, shows, objective, rounds, converged)


def _rates(
    votes: Votes, there: Floats, not_there: Floats, people: int, priors: Priors
) -> tuple[Floats, Floats]:
    """Return each person's share of yes where something is, and where nothing is (eq. 2.3).

    Where the second would be above the first, the largest posterior under the constraint is that
    of one common share.
    """
    counts = []
    for of, prior in ((there, priors.yes_if_true), (not_there, priors.yes_if_false)):
        chance = of[votes.place]
        yes = np.bincount(votes.person, chance * votes.yes, minlength=people) + prior[0]
        counts.append((yes, np.bincount(votes.person, chance, minlength=people) + sum(prior)))
    (yes_true, true), (yes_false, false) = counts
    common = (yes_true + yes_false) / (true + false)
    backwards = yes_false / false > yes_true / true
    sensitivity: Floats = np.where(backwards, common, yes_true / true)
    false_alarm: Floats = np.where(backwards, common, yes_false / false)
    return sensitivity, false_alarm


def sigmoid(odds: Floats) -> Floats:
    """Return the logistic function; log odds beyond 500 are as good as 500."""
    return np.asarray(1 / (1 + np.exp(-np.clip(odds, -500, 500))), dtype=np.float64)


def log_likelihood(votes: Votes, rates: Floats) -> Floats:
    """Return of each place the log chance of its votes if people say yes at these rates."""
    rate = rates[votes.person]
    logs = np.where(votes.yes > 0, np.log(rate), np.log1p(-rate))
    return np.bincount(votes.place, logs, minlength=len(votes.truth)).astype(np.float64)


def log_beta(rates: Floats, prior: tuple[float, float]) -> float:
    """Return the log density of rates, up to a constant, whose prior is worth (yes, no) votes."""
    return float((prior[0] * np.log(rates) + prior[1] * np.log1p(-rates)).sum())


def stands(now: Floats, before: Floats) -> bool:
    """Return whether probabilities have stopped moving."""
    return bool(np.abs(now - before).max(initial=0.0) < _STILL)
