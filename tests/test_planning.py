"""The order of the queue: what makes an image risky, and where the sample stands."""

from __future__ import annotations

import numpy as np
import pytest

from sfumato.errors import UsageError
from sfumato.review import planning, sampling
from sfumato.review.planning import Known, Rules, risk
from sfumato.review.sampling import Draw
from sfumato.review.vocabulary import Item
from sfumato.types import Box, Detection, Face

RULES = Rules()
NOTHING_KNOWN = Known()
SMALL: Box = (10.0, 10.0, 20.0, 20.0)


def face(score: float, box: Box = SMALL, origin: str = "finder") -> Face:
    return Face(box, score, origin)


def image(key: str, faces: tuple[Face, ...] = (), candidates: tuple[Face, ...] = ()) -> Detection:
    return Detection(key, "d", 100, 100, faces, candidates, label=key.rpartition("/")[0])


def queue(
    images: list[Detection], size: int = 1, rules: Rules = RULES, known: Known = NOTHING_KNOWN
) -> list[Item]:
    draw = sampling.draw(images, size, np.random.default_rng(0)) if size else empty(images)
    return sorted(planning.order(images, draw, rules=rules, known=known), key=lambda i: i.rank)


def empty(images: list[Detection]) -> Draw:
    return Draw(b"secret", (), {})


def test_what_may_be_a_face_counts_most() -> None:
    one = risk(image("a", candidates=(face(0.3),)))
    two = risk(image("a", candidates=(face(0.3), face(0.3, (50, 50, 60, 60)))))
    assert one.open == pytest.approx(0.3)
    assert two.open == pytest.approx(1 - 0.7**2)
    assert two.total > one.total > risk(image("a", faces=(face(0.95),))).total


def test_low_scores_are_doubtful_and_certain_ones_are_no_risk() -> None:
    assert risk(image("a", faces=(face(1.0),))).total == 0
    low, high = (risk(image("a", faces=(face(score),))) for score in (0.5, 0.9))
    assert low.doubt == pytest.approx(0.5)
    assert low.total > high.total
    assert risk(image("a")).total == 0


def test_a_large_doubtful_box_is_riskier_than_a_small_one() -> None:
    large = risk(image("a", faces=(face(0.6, (0, 0, 80, 80)),)))
    small = risk(image("a", faces=(face(0.6),)))
    assert large.size == pytest.approx(0.8 * 0.4)
    assert large.total > small.total


def test_detectors_disagree_where_one_sees_what_another_does_not() -> None:
    near: Box = (11.0, 10.0, 21.0, 20.0)
    both = image("a", faces=(face(0.9), face(0.9, near, "other")))
    alone = image("a", faces=(face(0.9),), candidates=(face(0.1, (60, 60, 70, 70), "other"),))
    assert risk(both).disagreement == 0
    assert risk(alone).disagreement == 1
    # One detector's boxes apart from each other are no disagreement.
    assert risk(image("a", faces=(face(0.9), face(0.9, (60, 60, 70, 70))))).disagreement == 0


def test_classes_with_misses_come_first() -> None:
    known = Known(misses={"bands": (50, 10), "trees": (50, 0), "rare": (1, 1)})
    totals = {name: risk(image(f"{name}/1.jpg"), known).missed_class for name in known.misses}
    assert totals == {"bands": pytest.approx(10 / 51), "trees": 0.0, "rare": pytest.approx(0.5)}
    assert risk(image("new/1.jpg"), known).missed_class == 0


def test_persons_without_a_face_count_only_if_somebody_says_so() -> None:
    known = Known(persons={"a": True, "b": False})
    assert risk(image("a"), known).person == 1
    assert risk(image("a", faces=(face(1.0),)), known).person == 0
    assert risk(image("b"), known).person == 0
    assert risk(image("a")).person == 0  # not measured


def test_the_queue_is_in_the_order_of_risk() -> None:
    images = [image(f"{i}.jpg", candidates=(face(i / 100),)) for i in (5, 80, 20, 95, 50)]
    items = queue(images, size=0)
    assert [item.key for item in items] == ["95.jpg", "80.jpg", "50.jpg", "20.jpg", "5.jpg"]
    assert [item.rank for item in items] == [0, 1, 2, 3, 4]
    assert all(item.reason == "risk" and item.whole and not item.stratum for item in items)


def test_the_sample_is_spread_among_the_first() -> None:
    images = [image(f"r/{i}.jpg", candidates=(face(0.5),)) for i in range(40)]
    images += [image(f"n/{i}.jpg") for i in range(60)]
    items = queue(images, size=20)
    assert [item.rank for item in items] == list(range(len(items)))
    sample = [item.rank for item in items if item.reason == "sample"]
    assert len(sample) == 20
    assert sample[:10] == [2 + 3 * i for i in range(10)]
    assert all(item.whole and item.stratum for item in items if item.reason == "sample")
    # What was found to be no risk and wasn't drawn stays out.
    kept = {item.key for item in items if item.reason == "risk"}
    assert all(key.startswith("r/") for key in kept)


def test_what_is_left_of_the_sample_comes_when_risks_end_and_strata_take_turns() -> None:
    images = [image(f"n/{i}.jpg") for i in range(600)]
    images += [image(f"m/{i}.jpg") for i in range(600)]
    items = queue(images, size=40)
    assert [item.rank for item in items] == list(range(40))
    for start in (0, 10, 20, 30):
        tens = {item.stratum for item in items[start : start + 10]}
        assert tens == {"m: nothing found", "n: nothing found"}


def test_the_sample_is_served_in_the_order_it_was_drawn() -> None:
    images = [image(f"n/{i}.jpg") for i in range(50)]
    draw = sampling.draw(images, 12, np.random.default_rng(3))
    items = sorted(planning.order(images, draw), key=lambda item: item.rank)
    assert tuple(item.key for item in items) == draw.strata[0].keys


def test_everything_comes_in_if_wanted_and_the_same_again() -> None:
    images = [image(f"n/{i}.jpg") for i in range(50)]
    first = queue(images, size=5, rules=Rules(least=0, replicas=2))
    assert len(first) == 50
    assert {item.replicas for item in first} == {2}
    assert first == queue(images, size=5, rules=Rules(least=0, replicas=2))
    backwards = queue(images[::-1], size=5, rules=Rules(least=0, replicas=2))
    assert backwards == first


def test_crops_do_where_covered_boxes_are_to_be_confirmed() -> None:
    confirm = image("c.jpg", faces=(face(0.8),))
    open_ = image("o.jpg", faces=(face(0.8),), candidates=(face(0.02, (60, 60, 70, 70)),))
    doubtful = image("d.jpg", faces=(face(0.2, (0, 0, 90, 90)),))
    told = {item.key: item for item in queue([confirm, open_, doubtful], size=0)}
    assert {key: item.whole for key, item in told.items()} == {
        "c.jpg": False,
        "o.jpg": True,
        "d.jpg": True,
    }
    assert [mark.proposal for mark in told["o.jpg"].proposals] == ["p0", "p1"]
    assert [mark.score for mark in told["o.jpg"].proposals] == [0.8, 0.02]


def test_an_iterator_is_refused() -> None:
    with pytest.raises(UsageError, match="no iterator"):
        list(planning.order(iter([image("a")]), empty([])))
