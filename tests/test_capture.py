"""Capture and recapture: by hand, by simulation, and what happens where it doesn't hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sfumato.review.capture import chapman


def test_chapman_by_hand() -> None:
    # 100 found by the first, 80 by the second, 60 by both.
    found = chapman(both=60, first=40, second=20)
    assert found.total == pytest.approx(101 * 81 / 61 - 1)
    assert found.seen == 120
    assert found.unseen == pytest.approx(found.total - 120)
    assert found.low < found.total < found.high
    told = found.as_json()
    assert told["unseen"] == found.unseen
    assert (told["low"], told["high"]) == (found.low - 120, found.high - 120)
    assert "make this figure too low" in told["assumption"]


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
@example(0, 0, 26)  # its interval would begin above it
@settings(max_examples=25, deadline=None)
def test_chapman_never_says_less_than_was_seen_and_knows_no_first(a: int, b: int, c: int) -> None:
    found = chapman(a, b, c)
    assert found.seen <= found.low <= found.total + 1e-9
    assert found.total <= found.high
    assert found.high > found.seen  # none unseen is never certain
    assert found.high == pytest.approx(chapman(a, c, b).high)
    assert chapman(a + 1, b, c).unseen <= found.unseen + 1e-9


def test_chapmans_interval_holds_the_truth_if_both_are_independent() -> None:
    rng = np.random.default_rng(0)
    held, means = 0, []
    for _ in range(2000):
        faces = 150
        one, other = rng.random(faces) < 0.8, rng.random(faces) < 0.6
        counts = int((one & other).sum()), int((one & ~other).sum()), int((~one & other).sum())
        found = chapman(*counts)
        held += found.low <= faces <= found.high
        means.append(found.total)
    assert 0.93 <= held / 2000 <= 0.99
    assert np.mean(means) == pytest.approx(150, rel=0.005)


def test_faces_that_are_hard_for_both_make_it_too_low_as_it_says() -> None:
    rng = np.random.default_rng(1)
    easy = np.where(rng.random(20_000) < 0.8, 0.95, 0.2)
    one, other = rng.random(20_000) < easy, rng.random(20_000) < easy
    found = chapman(int((one & other).sum()), int((one & ~other).sum()), int((~one & other).sum()))
    assert found.high < 20_000


def test_chapman_refuses_negative_counts() -> None:
    with pytest.raises(ValueError, match="negative"):
        chapman(1, -1, 0)
