"""Dawid and Skene's model: against a general optimiser, on votes with known rates, and on spam."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy import optimize

from sfumato.review.existence import Priors, Votes, proposed

PRIORS = Priors()


def cast(
    rng: np.random.Generator, rates: Sequence[tuple[float, float]], places: int, share: float = 0.7
) -> tuple[Votes, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]:
    """Votes of all people on all places, by their sensitivities and false alarms; and the truth."""
    truth = rng.random(places) < share
    chance = np.where(truth[:, None], [r[0] for r in rates], [r[1] for r in rates])
    yes = rng.random(chance.shape) < chance
    place, person = np.indices(yes.shape)
    unknown = np.full(places, np.nan)
    return Votes(place.ravel(), person.ravel(), yes.ravel().astype(float), unknown), truth


def log_posterior(parameters: Sequence[float], votes: Votes, people: int) -> float:
    """The marginal log posterior, place by place and vote by vote; written without the code."""
    rates = 1 / (1 + np.exp(-np.asarray(parameters)))
    sensitivity, false_alarm, share = rates[:people], rates[people:-1], rates[-1]
    total = np.log(share) + np.log(1 - share)
    for (yes, no), of in (
        (PRIORS.yes_if_true, sensitivity),
        (PRIORS.yes_if_false, false_alarm),
    ):
        total += sum(yes * np.log(rate) + no * np.log(1 - rate) for rate in of)
    for place, truth in enumerate(votes.truth):
        there = here = 1.0
        for at, person, yes in zip(votes.place, votes.person, votes.yes, strict=True):
            if at == place:
                there *= sensitivity[person] if yes else 1 - sensitivity[person]
                here *= false_alarm[person] if yes else 1 - false_alarm[person]
        if np.isnan(truth):
            total += np.log(share * there + (1 - share) * here)
        else:
            total += np.log(there if truth else here)
    return float(total)


def logit(rates: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> list[float]:
    return [float(np.log(rate) - np.log(1 - rate)) for rate in rates]


def test_a_general_optimiser_finds_nothing_better() -> None:
    rng = np.random.default_rng(5)
    votes, truth = cast(rng, [(0.9, 0.2), (0.8, 0.1), (0.7, 0.4)], 15)
    known = np.where(np.arange(15) < 4, truth, np.nan)
    votes = Votes(votes.place, votes.person, votes.yes, known)
    fit = proposed(votes, 3, PRIORS)
    assert fit.converged
    ours = [*logit(fit.sensitivity), *logit(fit.false_alarm), *logit(np.array([fit.share]))]
    assert log_posterior(ours, votes, 3) == pytest.approx(fit.objective, abs=1e-9)
    best = optimize.minimize(
        lambda at: -log_posterior(at, votes, 3),
        np.array([1.0, 1.0, 1.0, -1.0, -1.0, -1.0, 0.0]),
        method="L-BFGS-B",
        options={"maxiter": 60},
    )
    assert fit.objective >= -best.fun - 1e-5
    np.testing.assert_allclose(best.x, ours, atol=0.02)


def test_no_round_makes_it_worse() -> None:
    votes, _ = cast(np.random.default_rng(1), [(0.9, 0.3), (0.6, 0.5), (0.3, 0.4), (0.8, 0.1)], 60)
    objectives = [proposed(votes, 4, PRIORS, rounds).objective for rounds in range(1, 12)]
    assert np.diff(objectives).min() > -1e-9
    assert objectives[-1] > objectives[0]


@pytest.mark.slow
def test_rates_and_truth_are_found_again() -> None:
    rates = [(0.95, 0.05), (0.9, 0.2), (0.75, 0.3), (0.99, 0.97), (0.02, 0.01)]
    votes, truth = cast(np.random.default_rng(2), rates, 3000)
    fit = proposed(votes, 5, PRIORS)
    np.testing.assert_allclose(fit.sensitivity, [r[0] for r in rates], atol=0.025)
    np.testing.assert_allclose(fit.false_alarm, [r[1] for r in rates], atol=0.035)
    assert fit.share == pytest.approx(truth.mean(), abs=0.02)
    majority = np.bincount(votes.place, votes.yes) > 2.5
    assert ((fit.shows > 0.5) == truth).mean() > (majority == truth).mean() + 0.01


def test_liars_are_not_believed_and_not_read_backwards() -> None:
    # Four of five say the contrary of what is there: agreement alone would take them for right.
    rates = [(0.9, 0.1)] + 4 * [(0.2, 0.8)]
    votes, truth = cast(np.random.default_rng(3), rates, 400)
    known = np.where(np.arange(400) < 60, truth, np.nan)
    fit = proposed(Votes(votes.place, votes.person, votes.yes, known), 5, PRIORS)
    assert (fit.sensitivity >= fit.false_alarm).all()
    assert fit.sensitivity[0] - fit.false_alarm[0] > 0.7
    assert (fit.sensitivity - fit.false_alarm)[1:].max() < 0.05
    assert ((fit.shows > 0.5) == truth).mean() > 0.85


def test_what_is_known_stays() -> None:
    votes, truth = cast(np.random.default_rng(4), [(0.6, 0.5), (0.5, 0.5)], 50)
    fit = proposed(Votes(votes.place, votes.person, votes.yes, truth.astype(float)), 2, PRIORS)
    assert (fit.shows == truth).all()
    # Then a rate is a smoothed share, and nothing is learnt of how often a box is right.
    yes = votes.yes[votes.person == 0][truth]
    assert fit.sensitivity[0] == pytest.approx((yes.sum() + 2) / (len(yes) + 2.5))
    assert fit.share == 0.5


def test_without_votes_the_priors_hold() -> None:
    nothing = np.zeros(0, dtype=np.intp)
    fit = proposed(Votes(nothing, nothing, np.zeros(0), np.zeros(0)), 2, PRIORS)
    assert fit.sensitivity.tolist() == [0.8, 0.8]
    assert fit.false_alarm.tolist() == [0.2, 0.2]
