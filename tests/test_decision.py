"""The decision: monotone, calibrated where it was fitted, and its two steps."""

from __future__ import annotations

import numpy as np
import pytest

from sfumato.detection.detectors.decision import Decision, Model, Trust, evidence
from sfumato.detection.detectors.finder import PLANS

MODELS = [model for plan in PLANS.values() for model in (plan.decision.early, plan.decision.late)]


def test_no_evidence_leaves_the_bias() -> None:
    half = np.full((1, 2), 0.5, dtype=np.float32)
    assert Model((1.0, 2.0), 0.0).probability(half) == pytest.approx([0.5])
    assert Model((1.0, 2.0), np.log(3)).probability(half) == pytest.approx([0.75])


def test_evidence_is_finite_at_both_ends_and_odd_around_a_half() -> None:
    scores = np.linspace(0, 1, 11, dtype=np.float32)
    odds = evidence(scores)
    assert np.isfinite(odds).all()
    np.testing.assert_allclose(odds, -odds[::-1], atol=1e-6)
    assert odds[-1] == pytest.approx(np.log(1.02 / 0.02), abs=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_a_higher_score_never_makes_a_face_less_probable(model: Model) -> None:
    rng = np.random.default_rng(5)
    scores = rng.uniform(0, 1, (50, len(model.weights))).astype(np.float32)
    before = model.probability(scores)
    for column in range(scores.shape[1]):
        higher = scores.copy()
        higher[:, column] = np.minimum(higher[:, column] + 0.2, 1)
        assert (model.probability(higher) >= before).all()


@pytest.mark.parametrize("model", MODELS)
def test_scores_of_1_make_a_face_and_scores_of_0_none(model: Model) -> None:
    ends = np.array([[0.0], [1.0]], dtype=np.float32).repeat(len(model.weights), axis=1)
    nothing, face = model.probability(ends)
    assert nothing < 0.01
    assert face > 0.95


def test_a_weight_below_0_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        Model((0.5, -0.1), 0.0)


def test_what_is_undecided_lies_between_the_two_doubts() -> None:
    model = Model((1.0,), 0.0)
    decision = Decision(model, model, (0.2, 0.8), Trust(0.6, 0.08))
    chances = np.array([0.1, 0.2, 0.5, 0.8, 0.9])
    assert decision.undecided(chances).tolist() == [1, 2, 3]


def test_a_source_that_is_sure_by_itself_is_never_vetoed() -> None:
    model = Model((1.0,), 0.0)
    decision = Decision(model, model, (0.2, 0.8), Trust(0.6, 0.08))
    chances, first = np.array([0.01, 0.01, 0.5]), np.array([0.59, 0.6, 0.9], dtype=np.float32)
    assert decision.settled(chances, first).tolist() == [0.01, 0.08, 0.5]


def test_what_is_trusted_is_covered() -> None:
    for plan in PLANS.values():
        assert plan.decision.trust.chance >= plan.threshold
