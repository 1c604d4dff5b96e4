from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfumato.study.analysis.measures import (
    average_precision_values,
    bins_of,
    calibration_values,
)

ranked = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=25).filter(
    lambda rows: any(hit for hit, _ in rows)
)


def by_thresholds(rows: list[tuple[bool, int]], weights: list[Fraction] | None = None) -> Fraction:
    """AP from its definition: for each threshold precision and recall, counted anew."""
    weight = weights or [Fraction(1)] * len(rows)
    positives = sum(w for (hit, _), w in zip(rows, weight, strict=True) if hit)
    total, recall = Fraction(0), Fraction(0)
    for threshold in sorted({score for _, score in rows}, reverse=True):
        taken = [(hit, w) for (hit, s), w in zip(rows, weight, strict=True) if s >= threshold]
        hits = sum((w for hit, w in taken if hit), Fraction(0))
        now = hits / positives
        total += (now - recall) * hits / sum(w for _, w in taken)
        recall = now
    return total


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(ranked)
def test_average_precision_is_its_definition_with_ties_as_one_step(
    rows: list[tuple[bool, int]],
) -> None:
    hits, scores = np.array([r[0] for r in rows]), np.array([r[1] for r in rows], float)
    found, turned = (average_precision_values(hits[::s], scores[::s]) for s in (1, -1))
    assert found.mean() == pytest.approx(float(by_thresholds(rows)))
    assert found == pytest.approx(turned[::-1])


def test_scikit_learn_gives_the_same_for_its_own_example() -> None:
    # The example of `average_precision_score` in scikit-learn's documentation: 0.83.
    hits, scores = np.array([0, 0, 1, 1], bool), np.array([0.1, 0.4, 0.35, 0.8])
    assert average_precision_values(hits, scores).mean() == pytest.approx(0.8333333, abs=1e-6)
    assert np.isnan(average_precision_values(np.zeros(4, bool), scores)).all()


@settings(max_examples=15, deadline=None)
@given(ranked)
def test_terms_of_average_precision_are_its_slope_in_each_weight(
    rows: list[tuple[bool, int]],
) -> None:
    hits, scores = np.array([r[0] for r in rows]), np.array([r[1] for r in rows], float)
    terms = average_precision_values(hits, scores)
    whole = by_thresholds(rows)
    assert terms.mean() == pytest.approx(float(whole))
    n, little = len(rows), Fraction(1, 10**7)
    for i in range(min(n, 4)):
        weights = [Fraction(1) + little * (j == i) for j in range(n)]
        slope = (by_thresholds(rows, weights) - whole) / little
        assert terms[i] == pytest.approx(float(whole + n * slope), abs=1e-4)


def test_calibration_error_is_the_mean_gap_of_the_bins() -> None:
    confidence = np.array([0.95, 0.97, 0.99, 0.41, 0.45, 0.05])
    correct = np.array([1, 0, 1, 1, 0, 0], bool)
    gaps = [abs(2 - 2.91), abs(1 - 0.86), 0.05]
    assert calibration_values(correct, confidence).mean() == pytest.approx(sum(gaps) / 6)
    assert bins_of(np.array([0.0, 1 / 15, 1 / 15 + 1e-6, 1.0])).tolist() == [0, 0, 1, 14]
    perfect = np.ones(4)
    assert not calibration_values(perfect.astype(bool), perfect).any()
