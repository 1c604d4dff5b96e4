"""Weights from gold and from agreement; and that a place's odds are those of the models."""

from __future__ import annotations

import numpy as np
import pytest

from sfumato.review.crowd import Crowd, Missing, Weight, estimate
from sfumato.review.drawings import ECHO
from sfumato.review.places import images
from sfumato.review.vocabulary import Given
from tests.review_answers import box, drawn, proposed, said

RIGHT, WRONG = box(0), box(40)


def campaign(gold: int, others: int) -> list[Given]:
    """Each image shows one right and one wrong proposal, and a face without one.

    Ann and Ben do what is right, Eve accepts all, Rex rejects all.
    """
    shown, answers = proposed(RIGHT, WRONG), []
    for number in range(gold + others):
        truth = drawn(RIGHT, box(80)) if number < gold else None
        for who, marks in {
            "ann": (shown[0], *drawn(box(80))),
            "ben": (shown[0], *drawn(box(81))),
            "eve": shown,
            "rex": (),
        }.items():
            answers.append(said(who, marks, shown, key=f"{number}.jpg", gold=truth))
    return answers


@pytest.mark.parametrize(("gold", "others"), [(30, 0), (0, 30), (5, 25)])
def test_spam_ends_without_weight_by_gold_or_by_agreement(gold: int, others: int) -> None:
    crowd = estimate(list(images(campaign(gold, others))))
    assert crowd.converged
    weights = {person: weight.value for person, weight in crowd.people.items()}
    assert min(weights["ann"], weights["ben"]) > 0.8
    assert max(weights["eve"], weights["rex"]) < 0.06
    assert crowd.weight("ann").known == 3 * gold
    assert crowd.weight("ann").votes == 3 * (gold + others)
    assert abs(crowd.weight("eve").evidence(yes=True)) < 0.1
    assert abs(crowd.weight("rex").evidence(yes=False)) < 0.1


def test_who_invents_boxes_finds_little_belief() -> None:
    answers = campaign(0, 30)
    answers += [
        said("ida", drawn(box(80), box(300 + 11 * n)), proposed(RIGHT, WRONG), key=f"{n}.jpg")
        for n in range(30)
    ]
    ida = estimate(list(images(answers))).weight("ida")
    assert ida.finds > 0.9
    assert ida.invents == pytest.approx(30.5 / 40, abs=0.05)
    assert ida.right < 0.6


def test_a_place_is_as_likely_as_the_models_say() -> None:
    people = {
        "ann": Weight(0.9, 0.2, 0.8, 0.1, 0.9, 0.1),
        "ben": Weight(0.7, 0.1, 0.5, 0.3, 0.6, 0.1),
    }
    crowd = Crowd(people, 0.6, Missing(0.2, 0.3, 0.25, 0.4))
    shown = proposed(RIGHT)
    answers = [said("ann", (*shown, *drawn(box(80))), shown), said("ben", (), shown)]
    (image,) = images(answers)
    first, second = crowd.probabilities(image.places)
    right, wrong = 0.6 * 0.9 * 0.3, 0.4 * 0.2 * 0.9
    assert first == pytest.approx(right / (right + wrong))
    here = (0.2 + 0.3 * first) * (0.75 * 0.8 * 0.5 + 0.25 * 0.32 * 0.8)
    not_here = 0.1 * (1 - ECHO)
    assert second == pytest.approx(here / (here + not_here))


def test_nothing_is_learnt_from_nothing() -> None:
    crowd = estimate([])
    assert crowd.people == {}
    assert crowd.weight("anybody").value == pytest.approx(Crowd().stranger.value, abs=0.1)
    unsure = [said("ann", verdict="unsure"), said("ben", verdict="unsure", key="b.jpg")]
    assert estimate(list(images(unsure))).weight("ann").sensitivity == pytest.approx(0.8)


def test_many_images_without_faces_are_no_harm() -> None:
    answers = [said(who, key=f"{n}.jpg") for n in range(200) for who in ("ann", "ben")]
    crowd = estimate(list(images(answers)))
    assert np.isfinite([crowd.weight("ann").value, crowd.missing.alone, crowd.share]).all()
    assert crowd.missing.alone < 0.03
