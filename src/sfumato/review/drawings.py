"""Whether a box that somebody drew shows something, and who overlooks or invents how much.

A place without a proposal is known only because somebody drew a box there: no votes tell of places
where all saw nothing, and false boxes of two people rarely meet. Dawid and Skene's model, which
knows nothing of that, was off by a mean logarithm of 0.31 where this one is off by 0.17 (three of
the crowds of `benchmarks/crowd.py`). This is the free-response model of Bunch et al. (1978):

- Faces without a proposal come at a rate of μ an image, plus a part for each right proposal in it
  (where many are, more are missed). Person j finds the share α of them. Some are hard: everybody
  finds only the part γ of those that they would find else.
- j also invents boxes at a rate of λ an image (Poisson), at places of their own. That another
  person errs at the same place has the chance `ECHO`.

Faces that nobody found count by their expectation, as in capture-recapture. Fitted by
expectation-maximisation; what is known (gold, adjudications) is held fixed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from sfumato.review.existence import (
    MOST_ROUNDS,
    Floats,
    Ints,
    Priors,
    Votes,
    log_beta,
    sigmoid,
    stands,
)

ECHO: Final = 0.05  # chance that a second person invents a box where one has
_FEW: Final = 0.1  # faces, seen in one image more, that keep rates above 0
_TINY: Final = np.finfo(np.float64).tiny


@dataclass(frozen=True, slots=True)
class Looks:
    """Who looked at which open image: numbers of image and of person.

    `right` are the right proposals of each open image (expected number), and a last 0 for
    images that are known. `home` is the image of each place that is voted on. `looked` counts
    each person's images, the known ones as well.
    """

    image: Ints
    person: Ints
    right: Floats
    home: Ints
    looked: Floats


@dataclass(frozen=True, slots=True)
class Rates:
    """The parameters.

    Of each person α (`finds`) and λ (`invents`); of faces without a proposal the number an image
    (`alone`) and for each right proposal (`beside`), the share that is `hard`, and the part γ
    (`dim`) of these that is found.
    """

    finds: Floats
    invents: Floats
    alone: float
    beside: float
    hard: float
    dim: float

    def missing(self, right: Floats) -> Floats:
        """Return the faces without a proposal to be expected in images with right proposals."""
        faces: Floats = self.alone + self.beside * right
        return faces


@dataclass(frozen=True, slots=True)
class Drawn:
    """The rates, and of each place whether it `shows` something; the rest as in `Proposed`."""

    rates: Rates
    shows: Floats
    objective: float
    rounds: int
    converged: bool


@dataclass(frozen=True, slots=True)
class _Expected:
    """What the rates let expect.

    Of each place whether it is a plain or a hard face; of each open image the plain and the hard
    faces that nobody found; of each vote the chance that this person was the first to invent the
    box. `evidence` is the log-likelihood of all votes.
    """

    plain: Floats
    hard: Floats
    unseen_plain: Floats
    unseen_hard: Floats
    first: Floats
    evidence: float


def drawn(
    votes: Votes, looks: Looks, people: int, priors: Priors, most_rounds: int = MOST_ROUNDS
) -> Drawn:
    """Fit the model to votes about places without a proposal.

    An open place must hold a yes; of a known one that shows something, nobody need have seen it.
    """
    rates = Rates(
        np.full(people, priors.yes_if_true[0] / sum(priors.yes_if_true)),
        np.full(people, priors.invented[0] / priors.invented[1]),
        _FEW,
        _FEW,
        priors.hard[0] / sum(priors.hard),
        priors.dim[0] / sum(priors.dim),
    )
    expected = _expect(votes, looks, rates)
    rounds, converged = 0, False
    while not converged and rounds < most_rounds:
        rounds += 1
        rates = _improved(votes, looks, expected, rates, priors)
        before, expected = expected, _expect(votes, looks, rates)
        converged = stands(expected.plain, before.plain) and stands(expected.hard, before.hard)
    objective = expected.evidence + _log_prior(rates, priors)
    return Drawn(rates, expected.plain + expected.hard, objective, rounds, converged)


def _expect(votes: Votes, looks: Looks, rates: Rates) -> _Expected:
    """Return what is to be expected, given the rates."""
    n, open_, yes = len(votes.truth), votes.open_, votes.yes > 0
    finds = rates.finds[votes.person]
    missing = rates.missing(looks.right)
    prior = np.where(open_, np.log(missing)[looks.home], 0.0)
    classes = []
    for chance, share in ((finds, 1 - rates.hard), (rates.dim * finds, rates.hard)):
        logs = np.where(yes, np.log(chance), np.log1p(-chance))
        classes.append(np.bincount(votes.place, logs, minlength=n) + np.log(share) + prior)
    if_true = np.logaddexp(*classes)
    invents = votes.yes * rates.invents[votes.person]
    total = np.maximum(np.bincount(votes.place, invents, minlength=n), _TINY)
    said, agreed = (np.bincount(votes.place, w, minlength=n) for w in (None, votes.yes))
    others = np.maximum(agreed - 1, 0) * np.log(ECHO) + (said - agreed) * np.log1p(-ECHO)
    if_false = np.log(total) + others
    shows = np.where(open_, sigmoid(if_true - if_false), votes.truth)
    is_hard = sigmoid(classes[1] - classes[0])
    seen = np.where(votes.truth > 0, if_true, if_false)
    evidence = np.where(open_, np.logaddexp(if_true, if_false), seen).sum()
    unseen = []
    for dim, share in ((1.0, 1 - rates.hard), (rates.dim, rates.hard)):
        none = np.log1p(-dim * rates.finds)[looks.person]
        chance = np.exp(np.bincount(looks.image, none, minlength=len(missing)))
        unseen.append((missing * share * chance)[:-1])
    evidence += sum(u.sum() for u in unseen) - missing[:-1].sum()
    evidence -= (rates.invents * looks.looked).sum()
    first = invents / total[votes.place]
    plain, hard = shows * (1 - is_hard), shows * is_hard
    return _Expected(plain, hard, unseen[0], unseen[1], first, float(evidence))


def _improved(
    votes: Votes, looks: Looks, expected: _Expected, rates: Rates, priors: Priors
) -> Rates:
    """Return the rates that make the expected most likely.

    A hard face that j didn't find was either too dim for j, or j overlooked it in spite of that;
    the second, with the chance γ(1 - α) / (1 - γα), counts among what j might have found.
    """
    people = len(looks.looked)
    both = expected.plain + expected.hard
    overlooked = rates.dim * (1 - rates.finds) / (1 - rates.dim * rates.finds)
    bright = np.where(votes.yes > 0, 1.0, overlooked[votes.person])
    plain, hard = expected.plain[votes.place], expected.hard[votes.place]
    unseen_plain, unseen_hard = (
        np.append(unseen, 0.0)[looks.image]
        for unseen in (expected.unseen_plain, expected.unseen_hard)
    )
    found = np.bincount(votes.person, (plain + hard) * votes.yes, minlength=people)
    unseen = unseen_plain + unseen_hard * overlooked[looks.person]
    trials = np.bincount(votes.person, plain + hard * bright, minlength=people) + np.bincount(
        looks.person, unseen, minlength=people
    )
    wrong = (1 - both)[votes.place] * expected.first
    invented = np.bincount(votes.person, wrong, minlength=people) + priors.invented[0]
    seen_bright = (hard * bright).sum() + (unseen_hard * overlooked[looks.person]).sum()
    all_hard = expected.hard.sum() + expected.unseen_hard.sum()
    all_plain = expected.plain.sum() + expected.unseen_plain.sum()
    alone, beside = _incidence(votes, looks, expected, rates)
    return Rates(
        (found + priors.yes_if_true[0]) / (trials + sum(priors.yes_if_true)),
        invented / (looks.looked + priors.invented[1]),
        alone,
        beside,
        float((all_hard + priors.hard[0]) / (all_hard + all_plain + sum(priors.hard))),
        float((seen_bright + priors.dim[0]) / (hard.sum() + unseen_hard.sum() + sum(priors.dim))),
    )


def _incidence(
    votes: Votes, looks: Looks, expected: _Expected, rates: Rates
) -> tuple[float, float]:
    """Return the faces without a proposal an image, and for each right proposal."""
    shows = np.where(votes.open_, expected.plain + expected.hard, 0.0)
    seen = np.bincount(looks.home, shows, minlength=len(looks.right))[:-1]
    faces = seen + expected.unseen_plain + expected.unseen_hard
    right = looks.right[:-1]
    beside = rates.beside * right / rates.missing(right)
    alone = ((faces * (1 - beside)).sum() + _FEW) / (len(right) + 1)
    return float(alone), float(((faces * beside).sum() + _FEW) / (right.sum() + 1))


def _log_prior(rates: Rates, priors: Priors) -> float:
    few, images = priors.invented
    log = few * np.log(rates.invents).sum() - images * rates.invents.sum()
    log += _FEW * np.log(rates.alone * rates.beside) - rates.alone - rates.beside
    log += log_beta(rates.finds, priors.yes_if_true)
    log += log_beta(np.array(rates.hard), priors.hard) + log_beta(np.array(rates.dim), priors.dim)
    return float(log)
