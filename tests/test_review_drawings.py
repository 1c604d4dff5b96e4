"""Boxes that people drew: made by the model with known rates, some of them seen by nobody."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sfumato.review.drawings import Looks, drawn
from sfumato.review.existence import Priors, Votes, proposed

PRIORS = Priors()


def made(
    rng: np.random.Generator, finds: list[float], invents: list[float], images: int, known: int
) -> tuple[Votes, Looks, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]:
    """Everybody looks at every image; half a face in each, one more for each right proposal.

    A quarter of the faces is hard, and found with half the usual chance. The first images are
    `known`. Returned is also the truth of each place.
    """
    people = len(finds)
    right = rng.integers(0, 3, images).astype(float)
    rows: list[tuple[int, int, bool]] = []
    truths: list[bool] = []
    homes: list[int] = []
    for image in range(images):
        for _ in range(int(rng.poisson(0.5 + right[image]))):
            dim = 0.5 if rng.random() < 0.25 else 1.0
            yes = rng.random(people) < np.array(finds) * dim
            if yes.any() or image < known:
                rows += [(len(truths), j, bool(yes[j])) for j in range(people)]
                truths.append(True)
                homes.append(image)
        for inventor in range(people):
            for _ in range(int(rng.poisson(invents[inventor]))):
                rows += [(len(truths), j, j == inventor) for j in range(people)]
                truths.append(False)
                homes.append(image)
    table, truth, home = np.array(rows), np.array(truths), np.array(homes)
    votes = Votes(
        table[:, 0],
        table[:, 1],
        table[:, 2].astype(float),
        np.where(home < known, truth, np.nan).astype(float),
    )
    open_ = images - known
    looks = Looks(
        np.repeat(np.arange(open_), people),
        np.tile(np.arange(people), open_),
        np.append(right[known:], 0.0),
        np.where(home < known, open_, home - known),
        np.full(people, float(images)),
    )
    return votes, looks, truth


@pytest.mark.slow
def test_rates_are_found_again_and_what_nobody_saw_is_counted() -> None:
    finds, invents = [0.9, 0.7, 0.5], [0.02, 0.2, 0.5]
    votes, looks, truth = made(np.random.default_rng(0), finds, invents, 700, 100)
    fit = drawn(votes, looks, 3, PRIORS)
    assert fit.converged
    # How many faces are hard and how dim they are is hard to tell apart; what is found isn't.
    rates = fit.rates
    found = rates.finds * (1 - rates.hard + rates.hard * rates.dim)
    np.testing.assert_allclose(found, np.array(finds) * (0.75 + 0.25 * 0.5), atol=0.05)
    np.testing.assert_allclose(rates.invents, invents, atol=0.06)
    assert rates.alone == pytest.approx(0.5, abs=0.12)
    assert rates.beside == pytest.approx(1.0, abs=0.12)
    open_ = votes.open_
    assert fit.shows[open_].mean() == pytest.approx(truth[open_].mean(), abs=0.05)


@pytest.mark.slow
def test_it_is_less_often_wrong_than_the_model_of_proposals() -> None:
    rng = np.random.default_rng(1)
    votes, looks, truth = made(rng, [0.9, 0.8, 0.6], [0.02, 0.05, 0.1], 300, 0)

    def off(shows: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
        return float(-np.log(np.where(truth, shows, 1 - shows)).mean())

    ours, theirs = drawn(votes, looks, 3, PRIORS), proposed(votes, 3, PRIORS)
    assert off(ours.shows) < off(theirs.shows) - 0.03


def test_no_round_makes_it_worse() -> None:
    votes, looks, _ = made(np.random.default_rng(2), [0.8, 0.4, 0.1], [0.1, 0.2, 1.0], 60, 10)
    objectives = [drawn(votes, looks, 3, PRIORS, rounds).objective for rounds in range(1, 12)]
    assert np.diff(objectives).min() > -1e-9
    assert objectives[-1] > objectives[0] + 1


def test_what_is_known_stays() -> None:
    votes, looks, truth = made(np.random.default_rng(3), [0.6, 0.2], [0.1, 0.9], 40, 40)
    fit = drawn(votes, looks, 2, PRIORS)
    assert (fit.shows == truth).all()
    wrong = ~truth[votes.place] & (votes.yes > 0) & (votes.person == 1)
    assert fit.rates.invents[1] == pytest.approx((wrong.sum() + 0.5) / (40 + 10))


def test_without_votes_the_priors_hold() -> None:
    _, looks, _ = made(np.random.default_rng(4), [0.5], [0.5], 3, 0)
    empty = np.zeros(0, dtype=np.intp)
    none = replace(looks, image=empty, person=empty, right=np.zeros(1), home=empty)
    fit = drawn(
        Votes(empty, empty, np.zeros(0), np.zeros(0)),
        replace(none, looked=np.zeros(1)),
        1,
        PRIORS,
    )
    assert fit.rates.finds[0] == pytest.approx(0.8)
    assert fit.rates.invents[0] == pytest.approx(0.05)
