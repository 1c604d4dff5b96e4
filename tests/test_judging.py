"""benchmarks/judging.py: images judged by hand on small cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from judging import calibration_error, estimated_precision, is_face, judge, reliability

from sfumato.stats.matching import Truth
from sfumato.stats.precision import rank
from tests.test_stats import face, random_image


def test_a_image_is_judged_as_by_hand() -> None:
    truth = Truth(100, 100, ((10, 10, 20, 20), (60, 60, 80, 80)), ((0, 90, 10, 100),))
    found = [face(10, 10, 20, 18), face(2, 92, 6, 96), face(40, 0, 50, 10)]
    outcome = judge(truth, found, expand=0.5, iou=0.5)
    assert outcome.sizes == (0, 1)
    assert outcome.matched == (True, False)
    assert outcome.covered == (1.0, 0.0)  # grown by half, the box reaches from 6 to 22
    assert (outcome.boxes, outcome.false_boxes) == (3, 1)
    assert outcome.shows
    assert outcome.ignorable
    # The grown false box is 20 wide and 20 high, a quarter of it above the image.
    assert outcome.false_pixels == pytest.approx(20 * 15 / 1e4)
    # The grown right one is 20 by 16, of which the face is 100; the ignored one 8 by 8.
    assert outcome.needless == pytest.approx((300 + 20 * 16 - 100 + 64) / 1e4)


def test_two_boxes_may_cover_a_face_together_and_neither_matches_it() -> None:
    truth = Truth(100, 100, ((0, 0, 40, 40),))
    outcome = judge(truth, [face(0, 0, 40, 19), face(0, 21, 40, 40)], expand=0.1, iou=0.5)
    assert outcome.covered == (1.0,)
    assert outcome.matched == (False,)
    assert outcome.false_boxes == 0


def test_nothing_found_covers_nothing_and_costs_nothing() -> None:
    outcome = judge(Truth(50, 50, ((0, 0, 9, 9),)), [], expand=0.25, iou=0.5)
    assert (outcome.matched, outcome.covered) == ((False,), (0.0,))
    assert (outcome.false_boxes, outcome.false_pixels, outcome.needless) == (0, 0.0, 0.0)


@pytest.mark.slow
def test_the_interval_of_a_precision_surrounds_it_and_narrows_with_more_images() -> None:
    widths = []
    for count in (10, 160):
        rng = np.random.default_rng(1)
        images = [random_image(rng) for _ in range(count)]
        found = estimated_precision(images, rng, rounds=200)
        assert found.value == rank(images, iou=0.5).precision()
        assert found.low < found.value < found.high
        widths.append(found.high - found.low)
    assert widths[1] < widths[0] / 2


def test_a_box_is_a_face_where_it_fits_one_and_nothing_where_nobody_can_say() -> None:
    truth = Truth(100, 100, ((0, 0, 20, 20),), ((50, 50, 60, 60),))
    found = [
        face(0, 0, 20, 18),
        face(0, 0, 20, 12),  # fits it too
        face(15, 15, 40, 40),  # touches it
        face(55, 55, 70, 70),  # touches what is left out
        face(80, 80, 90, 90),
    ]
    assert is_face(truth, found, 0.5).tolist() == pytest.approx(
        [1, 1, math.nan, math.nan, 0], nan_ok=True
    )


def test_bins_hold_equal_numbers_and_never_part_equal_scores() -> None:
    scores = np.array([0.1, 0.2, 0.2, 0.2, 0.5, 0.6, 0.7, 0.8, 0.9])
    faces = np.array([0, 0, 1, 0, 1, 0, 1, 1, 1.0])
    bins = reliability(scores, faces, bins=3)
    assert [(one.count, one.faces) for one in bins] == [(4, 1), (2, 1), (3, 3)]
    assert [one.score for one in bins] == pytest.approx([0.175, 0.55, 0.8])
    by_hand = (4 * abs(0.175 - 0.25) + 2 * abs(0.55 - 0.5) + 3 * abs(0.8 - 1)) / 9
    assert calibration_error(bins) == pytest.approx(by_hand)
    assert [one.share for one in bins] == [0.25, 0.5, 1.0]


def test_scores_that_mean_what_they_say_have_little_error_and_others_more() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(20_000)
    faces = (rng.random(20_000) < scores).astype(float)
    assert calibration_error(reliability(scores, faces)) < 0.015
    assert calibration_error(reliability(scores**2, faces)) == pytest.approx(1 / 6, abs=0.015)


def test_few_boxes_make_one_bin_and_none_makes_none() -> None:
    assert len(reliability(np.array([0.4, 0.5]), np.array([0.0, 1.0]))) == 1
    assert reliability(np.empty(0), np.empty(0)) == ()
    assert math.isnan(calibration_error(()))
