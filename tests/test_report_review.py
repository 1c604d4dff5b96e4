"""What the report says of people's review: counts, gold, agreement, the estimate; no names."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest

from sfumato.errors import LedgerError
from sfumato.ledger.records import figures_from
from sfumato.release.report.page import render
from sfumato.release.report.review import Changes, changes
from sfumato.release.report.tally import Tally
from sfumato.types import Assessment, Box, Decision, Detection, Face
from tests.odd_json import variants
from tests.report_records import ABOUT, DIGEST, FIGURES, output

FOUND = Face((10.0, 20.0, 42.0, 60.0), 0.75, "finder-1")
OTHER = Face((100.0, 20.0, 132.0, 60.0), 0.2, "finder-1")


def human(box: Box, kind: str = "face") -> Face:
    return Face(box, 1.0, "human:r-secret", "private" if kind == "private" else "face")


def decision(*faces: Face, digest: str = DIGEST) -> Decision:
    return Decision("a/1.jpg", digest, faces, "merged", ("r-secret",))


def test_boxes_are_confirmed_adjusted_added_or_rejected() -> None:
    moved = human((12.0, 21.0, 44.0, 61.0))
    new = human((200.0, 5.0, 220.0, 30.0), "private")
    assert changes([FOUND, OTHER], decision(FOUND)) == Changes(1, confirmed=1, rejected=1)
    assert changes([FOUND], decision(moved, new)) == Changes(1, adjusted=1, added=1, private=1)
    assert changes([], decision()) == Changes(1)
    twice = changes([FOUND], decision(FOUND, moved))  # one proposal answers for one box
    assert (twice.confirmed, twice.added, twice.adjusted) == (1, 1, 0)


def tally(assessment: Assessment | None = None, *, digest: str = DIGEST) -> Tally:
    made = Tally(ABOUT)
    detection = Detection("a/1.jpg", DIGEST, 500, 400, (FOUND, OTHER))
    made.add(
        "a/1.jpg", "a", [detection, decision(FOUND, digest=digest), output("a/1.jpg", [FOUND])]
    )
    if assessment is not None:
        made.assessed(assessment)
    return made


def test_the_report_shows_what_people_changed_and_quotes_the_estimate() -> None:
    report = tally(Assessment("", json.dumps(FIGURES))).report()
    summary = report.summary()
    assert summary["review"]["boxes"]["confirmed"] == 1
    assert summary["review"]["boxes"]["rejected"] == 1
    assert summary["review"]["gold"]["n"] == 0
    for private in (True, False):
        page = render(report, private=private)
        assert "Between 2 and 9 faces are left &lt;b&gt;." in page
        assert ">2 to 9<" in page
        assert "90.0 %" in page
        assert "r-secret" not in page
    assert "still there" not in "".join(row["what"] for row in summary["not_measured"])


@pytest.mark.slow
def test_figures_that_are_not_understood_are_a_sentence_and_not_published() -> None:
    """A field that isn't known might name somebody; a page can't be made of a missing one."""
    taken = []
    for odd in variants(FIGURES):
        with suppress(LedgerError):
            made = tally(Assessment("", json.dumps(odd)))
            taken.append(odd)
            for private in (True, False):
                assert "Who looked, and how well" in render(made.report(), private=private)
    assert taken
    assert all(odd.keys() == FIGURES.keys() for odd in taken)
    for name in ("agreement", "gold"):
        assert all(odd[name].keys() == {"value", "low", "high", "n"} for odd in taken)
    for name in ("answers", "reviewers", "decided", "disputed"):
        assert all(type(odd[name]) is int and 0 <= odd[name] < 2**31 for odd in taken)
    for name, unknown in (("name", "anna"), ("layout", 3), ("answers", True)):
        with pytest.raises(LedgerError, match=r"the figures of a review .* update sfumato"):
            tally(Assessment("", json.dumps({**FIGURES, name: unknown})))


def test_shares_of_nothing_and_of_all_are_taken() -> None:
    whole = {"value": 1, "low": 0.8, "high": 1.0, "n": 20}
    figures = {**FIGURES, "gold": whole, "seconds_per_image": None}
    made = tally(Assessment("", json.dumps(figures)))
    assert "100 %" in render(made.report(), private=True)
    none = {"value": 0, "low": 0.0, "high": 0.2, "n": 20}
    tally(Assessment("", json.dumps({**FIGURES, "gold": none, "seconds_per_image": 0})))
    for wrong in ({**whole, "value": 1.01}, {**whole, "low": -0.01}, {**whole, "high": None}):
        with pytest.raises(LedgerError):
            tally(Assessment("", json.dumps({**FIGURES, "gold": wrong})))
    for wrong_time in (-1, float("inf")):
        with pytest.raises(LedgerError):
            tally(Assessment("", json.dumps({**FIGURES, "seconds_per_image": wrong_time})))


def test_without_a_sample_the_report_says_not_measured() -> None:
    report = tally(Assessment("", json.dumps({**FIGURES, "estimate": None}))).report()
    said = {row["what"]: row["why"] for row in report.not_measured}
    assert said["Faces that are still there"].startswith("Not measured: people looked at 1 ")
    assert "not measured" in render(report, private=False)


def test_without_a_review_nothing_is_said_of_one() -> None:
    made = Tally(ABOUT)
    made.add("a/1.jpg", "a", [Detection("a/1.jpg", DIGEST, 9, 9, ()), output("a/1.jpg")])
    report = made.report()
    assert report.summary()["review"] is None
    assert 'id="review"' not in render(report, private=True)


def test_a_decision_about_other_bytes_changed_nothing() -> None:
    assert tally(digest="1" * 64).report().review.changes == Changes()


def test_what_0_1_0_called_pictures_are_images() -> None:
    estimate = {"left_pictures": 3, "strata": [{"found_pictures": 1, "name": "picture"}]}
    old = {**FIGURES, "layout": 1, "seconds_per_picture": 4.5}
    old["estimate"] = {**estimate, "sentence": "s", "short": "s"}
    del old["seconds_per_image"]
    figures = figures_from(json.dumps(old))
    assert figures["seconds_per_image"] == 4.5
    assert figures["estimate"]["left_images"] == 3
    assert figures["estimate"]["strata"] == [{"found_images": 1, "name": "picture"}]
