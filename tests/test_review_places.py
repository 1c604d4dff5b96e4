"""Whose boxes lie on one another, and who said yes or no to what."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfumato.review.places import Place, Vote, distinct, images, joined, places
from sfumato.review.vocabulary import Given, Mark
from sfumato.types import Box
from tests.review_answers import box, drawn, proposed, said


def votes(place: Place) -> dict[str, bool]:
    return {vote.person: vote.yes for vote in place.votes}


def test_boxes_that_lie_on_one_another_are_one_place() -> None:
    found = places(
        [
            said("ann", drawn(box(0), box(50))),
            said("ben", drawn(box(1), box(80))),
            said("eve", drawn(box(2))),
        ]
    )
    assert [votes(place) for place in found] == [
        {"ann": True, "ben": True, "eve": True},
        {"ann": True, "ben": False, "eve": False},
        {"ann": False, "ben": True, "eve": False},
    ]
    assert found[0].marks["eve"] == Mark(box(2))


def test_a_person_has_one_box_in_a_place() -> None:
    # Ann marks both of two faces that touch; Ben's one box goes to the nearer.
    found = places([said("ann", drawn(box(0), box(6))), said("ben", drawn(box(2)))])
    assert [votes(place) for place in found] == [
        {"ann": True, "ben": True},
        {"ann": True, "ben": False},
    ]


def test_a_person_who_draws_a_box_twice_has_one() -> None:
    twice = drawn(box(0), box(0), (0.0, 0.0, 10.0, 9.0))
    assert distinct(twice) == [Mark(box(0))]
    (place,) = places([said("ann", twice), said("ben")])
    assert votes(place) == {"ann": True, "ben": False}
    assert place.marks["ann"].box == box(0)


def test_who_was_shown_a_proposal_is_prompted() -> None:
    shown = proposed(box(0), box(30))
    found = places([said("ann", shown, shown), said("ben", drawn(box(31)), shown), said("eve")])
    assert [place.proposed for place in found] == [True, True]
    assert set(found[0].votes) == {
        Vote("ann", yes=True, prompted=True),
        Vote("ben", yes=False, prompted=True),
        Vote("eve", yes=False, prompted=False),
    }
    assert votes(found[1]) == {"ann": True, "ben": True, "eve": False}


def test_a_proposal_that_everybody_removed_is_a_place() -> None:
    shown = proposed(box(0))
    (place,) = places([said("ann", (), shown), said("ben", (), shown)])
    assert place.proposal == shown[0]
    assert not place.marks
    assert votes(place) == {"ann": False, "ben": False}


def test_who_saw_crops_says_no_to_proposals_only() -> None:
    shown = proposed(box(0))
    found = places(
        [said("ann", (), shown, scope="crops"), said("ben", drawn(box(50), box(0)), shown)]
    )
    assert [votes(place) for place in found] == [{"ann": False, "ben": True}, {"ben": True}]
    (place,) = places([said("ann", drawn(box(50)), scope="crops"), said("ben")])
    assert place.votes[0] == Vote("ann", yes=True, prompted=False, whole=False)


def test_who_is_unsure_has_no_vote() -> None:
    (place,) = places([said("ann", drawn(box(0)), verdict="unsure"), said("ben")])
    assert votes(place) == {"ben": False}
    assert place.marks == {"ann": Mark(box(0))}


def test_the_truth_is_a_place_even_where_nobody_looked() -> None:
    gold = drawn(box(0), box(60))
    (image,) = images([said("ann", drawn(box(1), box(90)), gold=gold)])
    assert image.truth == gold
    assert [(place.truth is not None, votes(place)) for place in image.places] == [
        (True, {"ann": True}),
        (True, {"ann": False}),
        (False, {"ann": True}),
    ]


def test_an_adjudicator_who_saw_all_of_it_tells_the_truth() -> None:
    whole = said("jo", drawn(box(0)))
    others = [said("ann", drawn(box(40))), said("ben")]
    (image,) = images([whole, *others], adjudicators={"jo"})
    assert image.truth == drawn(box(0))
    assert image.judged == whole
    assert [one.person for one in image.given] == ["ann", "ben"]
    for answer in (replace(whole.answer, scope="crops"), replace(whole.answer, verdict="unsure")):
        (image,) = images([*others, replace(whole, answer=answer)], adjudicators={"jo"})
        assert image.truth is None
    # Gold is truer than a judge, and of judgements the last holds.
    (image,) = images([replace(whole, gold=()), *others], adjudicators={"jo"})
    assert image.truth == ()
    again = [whole, said("ida"), *others, said("jo", drawn(box(5)))]
    assert next(images(again, adjudicators={"jo", "ida"})).truth == drawn(box(5))


def test_the_last_answer_of_a_person_counts() -> None:
    answers = [said("ann", drawn(box(0))), said("ben", key="b.jpg"), said("ann")]
    first, second = images(answers)
    assert (first.key, first.places) == ("a.jpg", ())
    assert second.key == "b.jpg"


@st.composite
def scattered(draw: st.DrawFn) -> Box:
    x, y = draw(st.integers(0, 30)), draw(st.integers(0, 12))
    return (x, y, x + draw(st.integers(2, 12)), y + draw(st.integers(2, 12)))


@st.composite
def answers(draw: st.DrawFn) -> list[Given]:
    shown = proposed(*draw(st.lists(scattered(), max_size=3)))
    return [
        said(
            person, (*draw(st.sets(st.sampled_from(shown))), *drawn(*made)) if shown else (), shown
        )
        for person, made in draw(
            st.dictionaries(st.sampled_from("abcd"), st.lists(scattered(), max_size=4))
        ).items()
    ]


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(answers(), st.randoms(use_true_random=False))
def test_neither_the_order_of_answers_nor_that_of_boxes_matters(
    given_: list[Given], random: np.random.Generator
) -> None:
    def shuffled(marks: tuple[Mark, ...]) -> tuple[Mark, ...]:
        order = list(marks)
        random.shuffle(order)
        return tuple(order)

    other = [
        replace(one, answer=replace(one.answer, marks=shuffled(one.answer.marks))) for one in given_
    ]
    random.shuffle(other)
    first, second = list(images(given_)), list(images(other))
    assert [p.places for p in first] == [p.places for p in second]
    for image in first:
        # Every box is somewhere, but for those that repeat another one.
        for one in image.given:
            theirs = [p.marks[one.person] for p in image.places if one.person in p.marks]
            assert sorted(m.box for m in theirs) == sorted(
                m.box for m in distinct(one.answer.marks)
            )


def test_joining_is_that_of_all_pairs() -> None:
    rng = np.random.default_rng(3)
    low = rng.uniform(0, 140, (90, 2))
    corners = np.concatenate([low, low + rng.uniform(5, 40, (90, 2))], axis=1)
    corners = corners[np.argsort(corners[:, 0])]
    found = [(float(a), float(b), float(c), float(d)) for a, b, c, d in corners]
    groups = joined(found, list(range(90)), 0.2)
    # Everybody has one box, so that groups are the connected parts of "overlaps enough".
    home = {i: n for n, group in enumerate(groups) for i in group}
    assert sorted(home) == list(range(90))
    part = list(range(90))
    for i, (ax0, ay0, ax1, ay1) in enumerate(found):
        for j, (bx0, by0, bx1, by1) in enumerate(found[:i]):
            both = max(min(ax1, bx1) - max(ax0, bx0), 0) * max(min(ay1, by1) - max(ay0, by0), 0)
            either = (ax1 - ax0) * (ay1 - ay0) + (bx1 - bx0) * (by1 - by0) - both
            if both / either >= 0.2:
                part = [part[j] if p == part[i] else p for p in part]
    assert len(groups) == len(set(part))
    assert all((home[i] == home[0]) == (part[i] == part[0]) for i in range(90))
