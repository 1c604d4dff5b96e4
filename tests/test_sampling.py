"""The random draw: strata, fairness, and that a larger sample keeps the smaller one."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sfumato.errors import UsageError
from sfumato.review import sampling
from sfumato.review.sampling import Draw
from sfumato.types import Detection, Face

FACE = Face((1.0, 1.0, 5.0, 5.0), 0.9, "file")


def detection(key: str, state: str = "nothing") -> Detection:
    faces = (FACE,) if state == "faces" else ()
    candidates = (FACE,) if state == "doubtful" else ()
    return Detection(key, "d", 10, 10, faces, candidates, label=key.rpartition("/")[0])


def images(**classes: tuple[int, int, int]) -> list[Detection]:
    """Return so many images with nothing, doubt and faces of each class."""
    return [
        detection(f"{name}/{state}{i}.jpg", state)
        for name, counts in classes.items()
        for state, count in zip(("nothing", "doubtful", "faces"), counts, strict=True)
        for i in range(count)
    ]


def drawn(of: list[Detection], size: int, seed: int = 0) -> Draw:
    return sampling.draw(of, size, np.random.default_rng(seed))


def sizes(draw: Draw) -> dict[str, tuple[int, int]]:
    return {s.name: (len(s.keys), s.population) for s in draw.strata}


def test_most_is_drawn_where_nothing_was_found() -> None:
    draw = drawn(images(cats=(900, 60, 700), dogs=(800, 0, 900)), 300)
    found = sizes(draw)
    assert {name: population for name, (_, population) in found.items()} == {
        "cats: doubtful": 60,
        "cats: faces found": 700,
        "cats: nothing found": 900,
        "dogs: faces found": 900,
        "dogs: nothing found": 800,
    }
    assert sum(size for size, _ in found.values()) == 300
    with_faces = sum(size for name, (size, _) in found.items() if "faces" in name)
    assert with_faces == pytest.approx(0.2 * 300, abs=12)  # and the least of each stratum
    keys = [key for stratum in draw.strata for key in stratum.keys]
    assert len(set(keys)) == 300
    for stratum in draw.strata:
        assert all(key.startswith(f"{stratum.group}/{stratum.state}") for key in stratum.keys)


def test_small_classes_are_pooled_by_how_often_they_show_faces() -> None:
    classes = {f"c{i}": (40, 0, 0) for i in range(5)} | {f"d{i}": (20, 0, 20) for i in range(5)}
    draw = drawn(images(big=(600, 0, 0), **classes), 100)
    assert sizes(draw).keys() == {
        "big: nothing found",
        "pooled classes, faces in under 1 %: nothing found",
        "pooled classes, faces in 10 %+: nothing found",
        "pooled classes, faces in 10 %+: faces found",
    }
    assert draw.stratum_of(detection("d3/x.jpg", "faces")).endswith("10 %+: faces found")


def test_thousands_of_classes_are_all_pooled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "SMALL", 5)
    classes = {f"c{i}": (10, 0, 0) for i in range(60)}
    draw = drawn(images(**classes), 50)
    assert len(draw.strata) == 1
    assert draw.strata[0].population == 600


def test_one_folder_is_one_group_however_small() -> None:
    assert sizes(drawn([detection(f"{i}.jpg") for i in range(30)], 5)) == {
        "all: nothing found": (5, 30)
    }


@given(st.permutations(range(40)), st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=15, deadline=None)
def test_a_larger_sample_keeps_the_smaller_in_any_order(
    order: list[int], one: int, other: int
) -> None:
    of = [detection(f"c/{i}.jpg") for i in range(40)]
    small, large = sorted((one, other))
    first = drawn(of, small)
    more = sampling.renew(first, [of[i] for i in order], large)
    assert len(more.strata[0].keys) == large
    assert more.strata[0].keys[:small] == first.strata[0].keys
    assert sampling.renew(more, of, small) == more


def test_of_other_images_most_are_drawn_again() -> None:
    of = [detection(f"c/{i}.jpg") for i in range(40)]
    first = drawn(of, 5)
    for now in (of[:-1], [*of, detection("new/1.jpg")]):
        renewed = sampling.renew(first, now, 0)
        assert sum(stratum.population for stratum in renewed.strata) == len(now)
        keys = {key for stratum in renewed.strata for key in stratum.keys}
        assert len(keys & set(first.strata[0].keys)) >= 4
    assert sampling.renew(first, [], 9) == first


def test_each_image_is_drawn_as_often_as_any_other() -> None:
    of = [detection(f"c/{i}.jpg") for i in range(30)]
    times = np.zeros(30)
    for seed in range(300):
        for key in drawn(of, 10, seed).strata[0].keys:
            times[int(key[2:-4])] += 1
    # Drawn without replacement, the statistic is chi-squared but for the factor (N - 1) / (N - n).
    spread = ((times - 100) ** 2 / 100).sum() * 29 / 20
    assert 0.001 < stats.chi2.sf(spread, 29) < 0.999


def test_the_generator_decides_and_nothing_else() -> None:
    of = images(cats=(600, 0, 100))
    assert drawn(of, 50, 1) == drawn(list(reversed(of)), 50, 1)
    assert drawn(of, 50, 1) != drawn(of, 50, 2)


def test_a_draw_survives_json() -> None:
    draw = drawn(images(cats=(600, 5, 100), dogs=(3, 1, 1)), 50)
    assert sampling.from_json(json.loads(json.dumps(sampling.as_json(draw)))) == draw


def test_what_was_checked_is_told_from_what_waits() -> None:
    draw = drawn(images(cats=(600, 4, 100)), 60)
    by_name = {stratum.name: stratum for stratum in draw.strata}
    nothing = by_name["cats: nothing found"].keys
    doubtful = by_name["cats: doubtful"].keys
    missed = {nothing[0]: 2, nothing[1]: 0, "elsewhere.jpg": 5} | dict.fromkeys(doubtful, 0)
    strata = sampling.tally(draw, missed, {"cats: faces found": [0, 3, 1]})
    told = {stratum.name: stratum for stratum in strata}
    assert told["cats: nothing found"].checked == 2
    assert told["cats: nothing found"].missed_counts == (2,)
    assert told["cats: nothing found"].group == "cats"
    assert told["cats: faces found"].checked == 0
    assert told["cats: faces found"].also_checked == 3
    assert told["cats: faces found"].also_missed == (3, 1)
    assert told["cats: doubtful"].unchecked == 0


def test_a_stratum_checked_whole_by_sample_and_risk_is_counted() -> None:
    draw = drawn(images(cats=(600, 20, 0)), 60)
    doubtful = next(stratum for stratum in draw.strata if stratum.state == "doubtful")
    rest = [1] * (20 - len(doubtful.keys))
    strata = sampling.tally(draw, dict.fromkeys(doubtful.keys, 0), {doubtful.name: rest})
    told = next(stratum for stratum in strata if stratum.name == doubtful.name)
    assert (told.checked, told.also_checked, told.with_missed) == (20, 0, len(rest))


@pytest.mark.parametrize(
    ("of", "size", "says"),
    [
        (iter([detection("a.jpg")]), 1, "no iterator"),
        ([detection("a.jpg"), detection("a.jpg")], 2, "comes twice"),
        (images(a=(5, 5, 5)), 2, "too small"),
    ],
)
def test_a_draw_that_cannot_be_is_refused(of: list[Detection], size: int, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        drawn(of, size)


def test_a_sample_larger_than_all_takes_all() -> None:
    assert sizes(drawn(images(a=(5, 2, 5)), 100)) == {
        "a: doubtful": (2, 2),
        "a: faces found": (5, 5),
        "a: nothing found": (5, 5),
    }


def test_nothing_to_draw_from_gives_no_stratum() -> None:
    assert drawn([], 10).strata == ()
