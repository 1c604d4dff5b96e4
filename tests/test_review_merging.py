"""Several people's boxes become one set or a dispute; cases small enough to judge by eye."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfumato.review.crowd import Crowd, Weight
from sfumato.review.merging import (
    EXISTENCE,
    MERGED,
    SIDES,
    TOO_LITTLE,
    UNSURE,
    Merged,
    Merging,
    decide,
    merged,
    weighted_median,
)
from sfumato.review.places import images
from sfumato.review.vocabulary import Given, Mark
from sfumato.types import Box, Decision, Face
from tests.review_answers import DIGEST, box, drawn, proposed, said

CAREFUL = Weight(0.98, 0.04, 0.9, 0.01, 0.95, 0.04)
SHAKY = Weight(0.95, 0.1, 0.8, 0.02, 0.9, 0.12)
SPAM = Weight(0.99, 0.98, 0.02, 0.01, 0.2, 0.1)
SHOWN = proposed(box(0), box(40))


def places(marks: Sequence[Mark]) -> list[Box]:
    return [mark.box for mark in marks]


def merge(
    given: Sequence[Given], crowd: Crowd | None = None, settings: Merging | None = None
) -> Merged:
    settings = settings or Merging()
    (image,) = images(given, overlap=settings.overlap)
    return merged(image, crowd or Crowd(), settings)


# --- one image --------------------------------------------------------------------------------


def test_what_most_confirm_holds_and_what_most_remove_goes() -> None:
    answers = [said(who, SHOWN[:1], SHOWN) for who in ("ann", "ben", "eve")]
    result = merge(answers)
    assert places(result.faces) == [box(0)]
    assert not result.disputed
    assert result.faces[0].proposal == "p0"
    assert result.faces[0].score == pytest.approx(4**3 / (4**3 + 1))


def test_two_of_three_decide() -> None:
    answers = [said("ann", SHOWN, SHOWN), said("ben", SHOWN, SHOWN), said("eve", (), SHOWN)]
    assert places(merge(answers).faces) == [box(0), box(40)]
    answers[1] = said("ben", (), SHOWN)
    result = merge(answers, settings=Merging(low=0.25))
    assert not result.faces
    assert not result.disputed


def test_one_reviewer_decides_what_was_proposed() -> None:
    result = merge([said("ann", SHOWN[:1], SHOWN)], Crowd({"ann": CAREFUL}))
    assert places(result.faces) == [box(0)]
    assert not result.disputed


def test_two_who_disagree_are_in_dispute_and_what_one_saw_is_covered() -> None:
    result = merge([said("ann", SHOWN, SHOWN), said("ben", (), SHOWN)])
    assert places(result.faces) == [box(0), box(40)]
    assert result.doubtful == result.faces
    assert result.why == (EXISTENCE,)


def test_a_careful_persons_word_weighs_more_than_spam() -> None:
    crowd = Crowd({"ann": CAREFUL, "ben": SPAM, "eve": SPAM}, share=0.8)
    answers = [said("ann", (), SHOWN), said("ben", SHOWN, SHOWN), said("eve", SHOWN, SHOWN)]
    assert not merge(answers, crowd).faces
    answers = [said("ann", drawn(box(80)), ()), said("ben"), said("eve")]
    assert places(merge(answers, crowd).faces) == [box(80)]


def test_all_unsure_covers_all_they_saw() -> None:
    answers = [
        said("ann", SHOWN, SHOWN, verdict="unsure"),
        said("ben", drawn(box(80)), SHOWN, verdict="unsure"),
    ]
    result = merge(answers)
    assert places(result.faces) == [box(0), box(40), box(80)]
    assert result.doubtful == result.faces
    assert UNSURE in result.why


def test_one_of_three_may_be_unsure() -> None:
    answers = [said(who, SHOWN, SHOWN) for who in ("ann", "ben")]
    assert not merge([*answers, said("eve", (), SHOWN, verdict="unsure")]).disputed
    result = merge([answers[0], said("eve", (), SHOWN, verdict="unsure")])
    assert result.why == (UNSURE,)


def test_where_only_spam_has_looked_somebody_must_look() -> None:
    crowd = Crowd({"ben": SPAM, "eve": SPAM}, share=0.95)
    result = merge([said("ben", SHOWN, SHOWN), said("eve", (), SHOWN)], crowd)
    assert places(result.faces) == [box(0), box(40)]
    assert TOO_LITTLE in result.why


def test_nobody_is_asked_about_a_image_without_any_box() -> None:
    result = merge([said("ann", verdict="accept"), said("ben", verdict="accept")])
    assert result.faces == ()
    assert not result.disputed


def test_crops_confirm_and_reject_and_say_nothing_else() -> None:
    ann = said("ann", drawn(box(80)), ())
    crowd = Crowd({"ann": CAREFUL, "ben": CAREFUL, "eve": CAREFUL})
    crops = [said(who, (), (), scope="crops") for who in ("ben", "eve")]
    assert places(merge([ann, *crops], crowd).faces) == [box(80)]
    whole = [said(who) for who in ("ben", "eve")]
    (without,) = merge([ann, *crops], crowd).faces
    denied = merge([ann, *whole], crowd, Merging(low=0.0)).faces[0]
    assert without.score is not None
    assert denied.score is not None
    assert denied.score < 0.4
    assert without.score > 0.8
    crops = [said(who, (), SHOWN[:1], scope="crops") for who in ("ben", "eve")]
    assert not merge(crops, crowd).faces


def test_sides_are_those_of_steady_people() -> None:
    crowd = Crowd({"ann": CAREFUL, "ben": SHAKY, "eve": SHAKY})
    marks = {"ann": box(50), "ben": (52.0, 0.0, 64.0, 13.0), "eve": (52.5, 0.5, 63.0, 12.0)}
    result = merge([said(who, drawn(place)) for who, place in marks.items()], crowd)
    assert places(result.faces) == [box(50)]
    equal = merge([said(who, drawn(place)) for who, place in marks.items()])
    assert places(equal.faces) == [(52.0, 0.0, 63.0, 12.0)]


def test_sides_far_apart_are_in_dispute() -> None:
    marks = [drawn(box(0)), drawn((4.0, 0.0, 16.0, 12.0))]
    result = merge([said("ann", marks[0]), said("ben", marks[1])])
    assert result.why == (SIDES,)
    # Between two the outer sides hold.
    assert places(result.faces) == [(0.0, 0.0, 16.0, 12.0)]
    wild = Weight(0.95, 0.1, 0.8, 0.01, 0.9, 0.3)
    assert merge([said("ann", SHOWN[:1], SHOWN[:1])], Crowd({"ann": wild})).why == (SIDES,)


def test_the_kind_is_voted_on() -> None:
    plate, face = (Mark(box(0), "private"),), (Mark(box(0)),)
    answers = [said("ann", plate), said("ben", face), said("eve", plate)]
    assert merge(answers).faces[0].kind == "private"
    crowd = Crowd({"ann": SPAM, "ben": CAREFUL, "eve": SPAM})
    assert merge(answers, crowd).faces[0].kind == "face"
    assert merge(answers[:2]).faces[0].kind == "face"


@pytest.mark.slow
def test_a_thousand_boxes_of_each_of_three_people_are_merged() -> None:
    shown = proposed(*(box(12.0 * (i % 40), 12.0 * (i // 40)) for i in range(1000)))
    answers = [said("ann", shown, shown), said("ben", shown[:600], shown), said("eve", (), shown)]
    result = merge(answers, settings=Merging(low=0.25, high=0.75))
    assert sorted(mark.proposal for mark in result.faces) == sorted(m.proposal for m in shown[:600])
    # The same box a thousand times is one box.
    assert len(merge([said(who, drawn(*[box(0)] * 1000)) for who in "abc"]).faces) == 1


def test_how_much_boxes_must_overlap_is_a_setting() -> None:
    answers = [said("ann", drawn(box(0))), said("ben", drawn((4.0, 0.0, 14.0, 10.0)))]  # IoU 0.43
    apart = Merging(overlap=0.5, low=0.0)
    assert len(merge(answers).faces) == 1
    assert len(merge(answers, settings=apart).faces) == 2
    (one,) = decide(answers, settings=apart)
    assert one.basis == "provisional"
    assert len(one.faces) == 2


def test_the_limits_are_those_that_the_docs_state() -> None:
    assert Merging() == Merging(overlap=0.2, low=0.2, high=0.8, spread=0.15, unsure=0.5, least=0.3)
    assert MERGED == "human:merged"  # stored in records


def test_what_lies_exactly_on_a_limit_is_not_in_dispute() -> None:
    answers = [said("ann", SHOWN[:1], SHOWN[:1])]
    (mark,) = merge(answers, settings=Merging(low=0.0)).faces
    chance, worth = mark.score or 0.0, Crowd().weight("ann").value
    on_it = Merging(low=0.0, high=chance, least=worth, spread=Crowd().weight("ann").spread)
    assert merge(answers, settings=on_it).why == ()
    above = Merging(
        low=0.0, high=chance + 1e-6, least=worth + 1e-6, spread=Crowd().weight("ann").spread - 1e-6
    )
    assert set(merge(answers, settings=above).why) == {EXISTENCE, SIDES, TOO_LITTLE}
    # And what is exactly as unlikely as the lower limit shows nothing.
    assert merge(answers, settings=Merging(low=chance)).faces == ()


def test_a_box_that_goes_takes_none_of_those_behind_it_along() -> None:
    answers = [said(who, SHOWN[1:], SHOWN) for who in ("ann", "ben", "eve")]
    assert places(merge(answers).faces) == [box(40)]


def test_only_the_boxes_in_doubt_are_called_doubtful() -> None:
    result = merge([said("ann", SHOWN, SHOWN), said("ben", SHOWN[:1], SHOWN)])
    assert places(result.faces) == [box(0), box(40)]
    assert places(result.doubtful) == [box(40)]


def test_a_true_face_that_nobody_marked_is_no_box_of_theirs() -> None:
    answers = [said("ann", SHOWN[:1], SHOWN[:1], gold=drawn(box(0), box(80)))]
    assert places(merge(answers).faces) == [box(0)]


def test_a_proposal_that_nobody_kept_is_covered_while_it_is_in_doubt() -> None:
    removed = merge([said("ann", (), SHOWN[:1])], settings=Merging(low=0.0))
    assert places(removed.faces) == [box(0)]
    assert removed.doubtful == removed.faces
    sides_matter = Merging(spread=0.05)
    unsure = merge([said("ann", (), SHOWN[:1], verdict="unsure")], settings=sides_matter)
    assert places(unsure.faces) == [box(0)]
    assert unsure.why == (UNSURE, TOO_LITTLE, EXISTENCE)  # nothing is said of its sides
    moved = (Mark(box(2), "face", "p0"),)
    unsure = merge([said("ann", moved, SHOWN[:1], verdict="unsure")])
    assert places(unsure.faces) == [box(2)]


def test_the_unsure_have_equal_shares_in_a_box() -> None:
    crowd = Crowd({"ann": CAREFUL, "ben": SPAM, "eve": SPAM})
    marks = {"ann": box(0), "ben": (1.0, 0.0, 11.0, 10.0), "eve": (1.0, 0.0, 11.0, 10.0)}
    answers = [said(who, drawn(place), verdict="unsure") for who, place in marks.items()]
    assert places(merge(answers, crowd).faces) == [(1.0, 0.0, 11.0, 10.0)]


@pytest.mark.parametrize("seen", [True, False])
def test_of_equally_steady_people_the_more_reliable_ones_box_holds(seen: bool) -> None:
    """Reliable in what is asked: proposals, or faces that they find themselves."""
    judge, finder = Weight(0.9, 0.1, 0.3, 0.01, 0.6, 0.1), Weight(0.6, 0.5, 0.9, 0.01, 0.9, 0.1)
    crowd = Crowd({"ann": judge, "ben": finder})
    shown = SHOWN[:1] if seen else ()
    marks = {"ann": (0.0, 0.0, 10.5, 10.0), "ben": (0.4, 0.0, 11.0, 10.0)}
    answers = [said(who, drawn(place), shown) for who, place in marks.items()]
    (mark,) = merge(answers, crowd, Merging(low=0.0)).faces
    assert mark.box == (marks["ann"] if seen else marks["ben"])


def test_right_finds_count_whole_and_wrong_ones_less() -> None:
    often, right = Weight(0.5, 0.4, 0.9, 0.2, 0.3, 0.1), Weight(0.5, 0.4, 0.7, 0.2, 0.9, 0.1)
    marks = {"ann": (0.0, 0.0, 10.5, 10.0), "ben": (0.4, 0.0, 11.0, 10.0)}
    answers = [said(who, drawn(place)) for who, place in marks.items()]
    (mark,) = merge(answers, Crowd({"ann": often, "ben": right}), Merging(low=0.0)).faces
    assert mark.box == marks["ben"]


def test_whose_answers_say_nothing_decide_where_nobody_else_does() -> None:
    nothing, little = Weight(0.5, 0.5, 0.5, 0.01, 0.9, 0.1), Weight(0.56, 0.5, 0.5, 0.01, 0.9, 0.1)
    marks = {"ann": box(0), "ben": (1.0, 0.0, 11.0, 10.0), "eve": (1.0, 0.0, 11.0, 10.0)}
    answers = [said(who, drawn(place), SHOWN[:1]) for who, place in marks.items()]
    crowd = Crowd(dict.fromkeys(marks, nothing))
    assert places(merge(answers, crowd).faces) == [marks["ben"]]
    assert places(merge(answers, Crowd({**crowd.people, "ann": little})).faces) == [box(0)]


def test_two_people_together_are_steadier_than_each() -> None:
    crowd = Crowd({who: Weight(0.95, 0.1, 0.8, 0.02, 0.9, 0.1) for who in ("ann", "ben")})
    answers = [said(who, SHOWN[:1], SHOWN[:1]) for who in ("ann", "ben")]
    assert SIDES in merge(answers, crowd, Merging(spread=0.0707)).why  # 0.1 / √2 = 0.07071
    assert SIDES not in merge(answers, crowd, Merging(spread=0.0708)).why


# --- the median of boxes ------------------------------------------------------------------------

boxes_ = st.tuples(
    st.floats(-50, 50), st.floats(-50, 50), st.floats(0.5, 60), st.floats(0.5, 60)
).map(lambda t: (t[0], t[1], t[0] + t[2], t[1] + t[3]))


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(boxes_, st.floats(0.01, 20)), min_size=1, max_size=7))
def test_half_of_the_weight_lies_on_either_side(found: list[tuple[Box, float]]) -> None:
    places_, weights = np.array([b for b, _ in found]), np.array([w for _, w in found])
    middle, spread = weighted_median(places_, weights)
    assert middle[0] < middle[2]
    assert middle[1] < middle[3]
    assert spread >= 0
    for side, at in enumerate(middle):
        assert at in places_[:, side]
        assert weights[places_[:, side] <= at].sum() >= weights.sum() / 2 - 1e-6
        assert weights[places_[:, side] >= at].sum() >= weights.sum() / 2 - 1e-6


def test_how_far_boxes_lie_from_their_median_is_a_part_of_its_sides() -> None:
    found = np.array([[10.0, 40.0, 30.0, 50.0], [10.0, 40.0, 30.0, 50.0], [14.0, 41.0, 30.0, 50.0]])
    middle, away = weighted_median(found, np.array([1.0, 2.0, 1.0]))
    assert middle == (10.0, 40.0, 30.0, 50.0)
    assert away == pytest.approx(4 * (1 / 4) / 20)  # a quarter of the weight is 4 off, of 20
    found[2, 1] = 43.0
    assert weighted_median(found, np.array([1.0, 2.0, 1.0]))[1] == pytest.approx(3 * (1 / 4) / 10)


# --- a campaign ---------------------------------------------------------------------------------


def test_decisions_and_disputes_of_a_campaign() -> None:
    answers = [
        *(said(who, SHOWN[:1], SHOWN, key="agreed.jpg") for who in ("ann", "ben", "eve")),
        said("ann", SHOWN, SHOWN, key="split.jpg"),
        said("ben", (), SHOWN, key="split.jpg"),
        said("ann", SHOWN, SHOWN, key="gold.jpg", gold=drawn(box(3))),
    ]
    agreed, gold, split = decide(answers, crowd=Crowd())
    assert isinstance(agreed, Decision)
    assert [(face.box, face.origin) for face in agreed.faces] == [(box(0), MERGED)]
    assert (agreed.basis, agreed.reviewers) == ("merged", ("ann", "ben", "eve"))
    assert gold == Decision(
        "gold.jpg", DIGEST, (Face(box(3), 1.0, "human:gold"),), "adjudicated", ()
    )
    assert split.basis == "provisional"
    assert [face.box for face in split.faces] == [box(0), box(40)]


def test_a_decision_rests_on_the_sure_and_says_how_likely_each_face_is() -> None:
    answers = [said(who, SHOWN[:1], SHOWN[:1]) for who in ("ann", "ben")]
    answers.append(said("eve", SHOWN[:1], SHOWN[:1], verdict="unsure"))
    (one,) = decide(answers, crowd=Crowd())
    assert isinstance(one, Decision)
    assert one.reviewers == ("ann", "ben")
    assert one.faces[0].score == merge(answers).faces[0].score
    assert 0.8 < one.faces[0].score < 1


def test_the_adjudicators_word_holds_whatever_others_said() -> None:
    answers = [
        said("ann", SHOWN, SHOWN),
        said("ben", (), SHOWN),
        said("eve", SHOWN, SHOWN),
        said("jo", (Mark(box(7), "private"),), SHOWN),
    ]
    (one,) = decide(answers, adjudicators={"jo"})
    face = Face(box(7), 1.0, "human:jo", "private")
    assert one == Decision("a.jpg", DIGEST, (face,), "adjudicated", ("jo",))
    # Not the word of one who was unsure.
    answers[3] = said("jo", SHOWN, SHOWN, verdict="unsure")
    (one,) = decide(answers, adjudicators={"jo"})
    assert one == next(decide(answers[:3]))


def test_the_order_of_answers_changes_nothing() -> None:
    answers: list[Given] = [
        said("ann", SHOWN, SHOWN),
        said("ben", drawn(box(1), box(41), box(90)), SHOWN),
        said("eve", SHOWN[:1], SHOWN, key="b.jpg"),
        said("ann", SHOWN[1:], SHOWN, key="b.jpg"),
    ]
    results = {tuple(decide(order)) for order in list(permutations(answers))[::5]}
    assert len(results) == 1
