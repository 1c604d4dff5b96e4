"""The check of gold images against a raster of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sfumato.review.quality import gold_share, passes, union_iou
from sfumato.review.vocabulary import Mark
from sfumato.types import Box

SIDE = 24


def marks(*places: Box) -> tuple[Mark, ...]:
    return tuple(Mark(place) for place in places)


@st.composite
def whole_boxes(draw: st.DrawFn, most: int = SIDE) -> Box:
    """Boxes with whole corners inside a small image."""
    x0, y0 = draw(st.integers(0, most - 1)), draw(st.integers(0, most - 1))
    x1, y1 = draw(st.integers(x0 + 1, most)), draw(st.integers(y0 + 1, most))
    return (float(x0), float(y0), float(x1), float(y1))


many = st.lists(whole_boxes(), max_size=6)


def raster(places: Sequence[Box]) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    image = np.zeros((SIDE, SIDE), dtype=bool)
    for x0, y0, x1, y1 in places:
        image[int(y0) : int(y1), int(x0) : int(x1)] = True
    return image


# --- the IoU of unions --------------------------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(many, many)
@example([], [])
@example([], [(0.0, 0.0, 1.0, 1.0)])
def test_the_iou_of_unions_is_that_of_a_raster(one: list[Box], other: list[Box]) -> None:
    a, b = raster(one), raster(other)
    either = int((a | b).sum())
    expected = int((a & b).sum()) / either if either else 1.0
    assert union_iou(marks(*one), marks(*other)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(many, many, st.floats(0.01, 50), st.floats(-300, 300))
def test_the_iou_of_unions_knows_no_order_scale_or_place(
    one: list[Box], other: list[Box], scale: float, by: float
) -> None:
    def moved(places: Sequence[Box]) -> tuple[Mark, ...]:
        return tuple(
            Mark((x0 * scale + by, y0 * scale + by, x1 * scale + by, y1 * scale + by))
            for x0, y0, x1, y1 in reversed(places)
        )

    value = union_iou(marks(*one), marks(*other))
    assert union_iou(marks(*other), marks(*one)) == value
    assert union_iou(moved(one), moved(other)) == pytest.approx(value, abs=1e-6)
    assert union_iou(marks(*one, *one), marks(*one)) == 1.0


def test_two_boxes_may_cover_what_one_box_labels() -> None:
    truth = marks((0, 0, 20, 10))
    assert union_iou(marks((0, 0, 12, 10), (8, 0, 20, 10)), truth) == 1.0
    assert union_iou(marks((0, 0, 10, 10)), truth) == 0.5
    assert union_iou(marks((0.25, 0, 20, 10)), truth) == pytest.approx(19.75 / 20)


def test_hundreds_of_boxes_are_checked() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 1000, (400, 2))
    many_marks = tuple(
        Mark((x, y, x + w, y + h))
        for (x, y), (w, h) in zip(
            corners.tolist(), rng.uniform(1, 9, (400, 2)).tolist(), strict=True
        )
    )
    assert union_iou(many_marks, many_marks[::-1]) == 1.0
    assert union_iou(many_marks, many_marks[:200]) < 0.6


# --- the check ----------------------------------------------------------------------------------


def test_the_limit_is_reached_or_not() -> None:
    truth = marks((0, 0, 100, 10))
    assert passes(marks((0, 0, 72, 10)), truth)
    assert not passes(marks((0, 0, 71.9, 10)), truth)
    assert passes(marks((0, 0, 50, 10)), truth, iou=0.5)
    assert not passes((), truth)


def test_an_empty_truth_asks_for_no_box() -> None:
    one = marks((3, 3, 4, 4))
    assert passes((), ())
    assert not passes(one, ())


# --- how often ----------------------------------------------------------------------------------


def test_gold_is_dense_at_first_and_then_rarer() -> None:
    shares = [gold_share(answered) for answered in range(2000)]
    assert shares[:3] == [1.0, 1.0, 1.0]
    assert shares[3] == pytest.approx(0.1, abs=0.01)
    assert shares[100] == pytest.approx(0.05)
    assert shares[1000] == 0.01
    assert all(later <= earlier for earlier, later in pairwise(shares))
    assert sum(shares[:100]) == pytest.approx(10, abs=0.5)
    assert sum(shares[:1000]) == pytest.approx(26, abs=1)
