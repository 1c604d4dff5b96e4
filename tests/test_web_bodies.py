from __future__ import annotations

import json

import pytest

from sfumato.review.vocabulary import Mark
from sfumato.web import bodies
from sfumato.web.refusals import Refusal

PROPOSED = Mark((10.0, 10.0, 30.0, 40.0), "face", "p0", 0.7)
FRAME = bodies.Frame(100, 80, {"p0": PROPOSED})


def mark(box: object, name: str = "n1", **more: object) -> dict[str, object]:
    return {"id": name, "box": box, "kind": "face", "proposal": "", "score": None, **more}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b'"x"',
        b"{",
        b'{"a": 1, "a": 2}',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1} {}',
        b'{"a": "\xff"}',
        b'\xef\xbb\xbf{"a": 1}',
        b'{"a": ' + b"9" * 5_000 + b"}",
        b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_not_one_plain_object_is_refused(text: bytes) -> None:
    with pytest.raises(Refusal) as refusal:
        bodies.parse(text)
    assert (refusal.value.status, refusal.value.code) == (400, "NOT_JSON")


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("no list", "WRONG_BODY"),
        ([1], "WRONG_BODY"),
        ([mark([0, 0, 10])], "WRONG_BOX"),
        ([mark([0, 0, 10, "10"])], "WRONG_BOX"),
        ([mark([0, 0, 10, True])], "WRONG_BOX"),
        ([mark([0, 0, 10, None])], "WRONG_BOX"),
        ([mark([0, 0, 10, 1e999])], "WRONG_BOX"),
        ([mark([0, 0, 10, float("nan")])], "WRONG_BOX"),
        ([mark([0, 0, 10, 10**400])], "WRONG_BOX"),
        ([mark([20, 0, 10, 10])], "WRONG_BOX"),
        ([mark([10, 0, 10, 10])], "WRONG_BOX"),
        ([mark([-1.01, 0, 10, 10])], "WRONG_BOX"),
        ([mark([0, 0, 101.01, 10])], "WRONG_BOX"),
        ([mark([0, 70, 10, 81.01])], "WRONG_BOX"),
        ([mark([100.2, 0, 100.9, 10])], "WRONG_BOX"),
        ([mark([0, 0, 9, 9]), mark([0, 0, 8, 8])], "WRONG_BODY"),
        (
            [mark([0, 0, 9, 9], "p0", proposal="p0"), mark([0, 0, 8, 8], proposal="p0")],
            "WRONG_BODY",
        ),
        ([mark([0, 0, 9, 9], "p0")], "WRONG_BODY"),
        ([mark([0, 0, 9, 9], "p1", proposal="p1")], "WRONG_BODY"),
        ([mark([0, 0, 9, 9], proposal=None)], "WRONG_BODY"),
        ([mark([0, 0, 9, 9], proposal=[])], "WRONG_BODY"),
        ([mark([0, 0, 9, 9], "<script>")], "WRONG_BODY"),
        ([mark([0, 0, 9, 9], "n01")], "WRONG_BODY"),
        ([mark([0, 0, 9, 9], "n٣")], "WRONG_BODY"),
        ([mark([0, 0, 9, 9], kind="plate")], "WRONG_BODY"),
        ([mark([0, 0, 9, 9], kind=[])], "WRONG_BODY"),
        ([mark([0, 0, 9, 9], score=1.5)], "WRONG_BODY"),
        ([mark([0, 0, 9, 9], extra=1)], "WRONG_BODY"),
        ([mark([0, 0, 9, 9], f"n{k}") for k in range(1_001)], "TOO_MANY_BOXES"),
        ([mark([0, 0, 9, 9], f"n{k}") for k in range(10_000)], "TOO_MANY_BOXES"),
    ],
)
def test_wrong_marks_are_refused(value: object, code: str) -> None:
    with pytest.raises(Refusal) as refusal:
        bodies.marks(value, FRAME)
    assert (refusal.value.status, refusal.value.code) == (422, code)


def test_a_box_a_pixel_outside_is_cut_to_the_image() -> None:
    (found,) = bodies.marks([mark([-1, -0.5, 101, 81])], FRAME)
    assert found.box == (0.0, 0.0, 100.0, 80.0)


def test_the_score_of_a_proposal_is_the_servers() -> None:
    sent = [mark([1, 2, 3, 4], "p0", proposal="p0", score=0.99), mark([5, 5, 9, 9], score=0.5)]
    moved, drawn = bodies.marks(sent, FRAME)
    assert (moved.box, moved.proposal, moved.score) == ((1.0, 2.0, 3.0, 4.0), "p0", 0.7)
    assert (drawn.proposal, drawn.score) == ("", None)


@pytest.mark.parametrize(
    "marks",
    [
        [],
        [mark([10, 10, 30, 41], "p0", proposal="p0")],
        [mark([10, 10, 30, 40], "p0", proposal="p0", kind="private")],
        [mark([10, 10, 30, 40])],
        [mark([10, 10, 30, 40], "p0", proposal="p0"), mark([0, 0, 9, 9])],
    ],
)
def test_accept_means_the_proposals_as_they_are(marks: object) -> None:
    with pytest.raises(Refusal) as refusal:
        bodies.answer({"verdict": "accept", "marks": marks, "seconds": 1}, FRAME)
    assert refusal.value.code == "VERDICT_MISMATCH"
    same = [mark([10, 10, 30, 40], "p0", proposal="p0")]
    answer = bodies.answer({"verdict": "accept", "marks": same, "seconds": 1.5}, FRAME)
    assert (answer.verdict, answer.marks, answer.seconds) == ("accept", (PROPOSED,), 1.5)


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": "yes"},
        {"verdict": []},
        {"scope": "half"},
        {"scope": None},
        {"seconds": -1},
        {"seconds": 86_401},
        {"seconds": "1"},
        {"marks": None},
        {"gold": True},
    ],
)
def test_wrong_answers_are_refused(change: dict[str, object]) -> None:
    body = {"verdict": "correct", "marks": [], "seconds": 2, "scope": "whole", **change}
    with pytest.raises(Refusal) as refusal:
        bodies.answer(body, FRAME)
    assert refusal.value.status == 422


@pytest.mark.parametrize("version", [-1, 2**31, 1.0, True, "1", None])
def test_wrong_versions_are_refused(version: object) -> None:
    with pytest.raises(Refusal):
        bodies.draft({"version": version, "marks": []}, FRAME)


def test_counts_are_few_and_more_for_the_gallery() -> None:
    assert bodies.wanted({}) == (1, False)
    assert bodies.wanted({"count": 8}) == (8, False)
    assert bodies.wanted({"count": 50, "gallery": True}) == (50, True)
    for body in ({"count": 0}, {"count": 9}, {"count": 51, "gallery": True}, {"gallery": 1}):
        with pytest.raises(Refusal):
            bodies.wanted(body)


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("0,0,10,10", (0, 0, 10, 10)),
        ("1.5,2.5,9.1,9.9", (1, 2, 10, 10)),
        ("-0.5,-1,100.5,80.5", (0, 0, 100, 80)),
        ("", None),
        ("1,2,3", None),
        ("1,2,3,4,5", None),
        ("a,b,c,d", None),
        ("nan,0,1,1", None),
        ("0,0,inf,1", None),
        ("5,5,5,9", None),
        ("9,9,5,5", None),
        ("0,0,102,10", None),
        ("0,0,1e400,10", None),
        ("100.1,0,100.9,5", None),
        ("0,0,10,1" + "0" * 200, None),
    ],
)
def test_crops_lie_in_the_image(text: str, window: tuple[int, ...] | None) -> None:
    if window is None:
        with pytest.raises(Refusal) as refusal:
            bodies.crop(text, FRAME, 512)
        assert refusal.value.code == "WRONG_CROP"
    else:
        assert bodies.crop(text, FRAME, 512) == window


def test_a_crop_has_a_largest_size() -> None:
    with pytest.raises(Refusal):
        bodies.crop("0,0,65,10", FRAME, 64)


def test_no_sentence_repeats_what_was_sent() -> None:
    evil = "<script>alert(1)</script>"
    for body in ({evil: 1}, {"verdict": evil}, {"verdict": "correct", "marks": [{evil: 1}]}):
        with pytest.raises(Refusal) as refusal:
            bodies.answer(json.loads(json.dumps(body)), FRAME)
        assert "script" not in refusal.value.sentence
