"""Each person's figures, counted by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from math import isnan

import pytest

from sfumato.review.crowd import Crowd
from sfumato.review.performance import performances
from sfumato.review.places import images
from sfumato.stats.intervals import wilson
from tests.review_answers import box, drawn, proposed, said

GOLD = drawn(box(0), box(40))


def test_gold_gives_recall_precision_and_passes() -> None:
    answers = [
        said("ann", GOLD, key="1", gold=GOLD),
        said("ann", drawn(box(0)), key="2", gold=GOLD),
        said("ann", drawn(box(0), box(2), box(90)), key="3", gold=GOLD),
        said("ann", (), key="4", gold=()),
        said("ann", verdict="unsure", key="5", gold=GOLD),
    ]
    (ann,) = performances(list(images(answers)))
    assert (ann.answers, ann.unsure) == (5, 1)
    assert (ann.recall.part, ann.recall.whole) == (4, 6)
    # One of two boxes on the same face is one too many.
    assert (ann.precision.part, ann.precision.whole) == (4, 6)
    assert (ann.gold.part, ann.gold.whole) == (2, 4)
    assert (ann.gold.low, ann.gold.high) == wilson(2, 4)
    assert 0 <= ann.recall.low < 4 / 6 < ann.recall.high <= 1
    assert isnan(ann.agreement.value)


@pytest.mark.slow
def test_agreement_leaves_the_person_out() -> None:
    shown = proposed(box(0), box(40))
    answers = [said(who, shown[:1], shown) for who in ("ann", "ben", "eve")]
    answers.append(said("rex", shown[1:], shown))
    by = {one.person: one.agreement for one in performances(list(images(answers)))}
    assert (by["ann"].part, by["ann"].whole) == (2, 2)
    assert (by["rex"].part, by["rex"].whole) == (0, 2)
    # Of two others who differ, neither is the measure.
    two = {one.person: one.agreement for one in performances(list(images(answers[2:])))}
    assert (two["eve"].part, two["eve"].whole) == (0, 2)
    three = performances(list(images(answers[1:])))
    assert [(one.agreement.part, one.agreement.whole) for one in three] == [(0, 0), (0, 0), (0, 2)]


def test_seconds_are_a_median_and_all_of_it_is_json() -> None:
    answers = [said("ann", key=str(n)) for n in range(3)]
    answers[2] = replace(answers[2], answer=replace(answers[2].answer, seconds=90.0))
    (ann,) = performances(list(images(answers)), crowd=Crowd())
    assert ann.seconds == 4.0
    plain = ann.as_json()
    assert plain == json.loads(json.dumps(plain, allow_nan=False))
    assert plain["recall"]["value"] is None
    assert plain["weight"] == pytest.approx(Crowd().stranger.value)
    assert plain["person"] == "ann"
