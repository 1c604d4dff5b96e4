"""What the report counts: every number against a recount, in any order, in little memory."""

from __future__ import annotations

import json
import math
import random
import statistics
import tracemalloc
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfumato.boxes import grow, longer_side
from sfumato.errors import Code
from sfumato.release.report import data, tally
from sfumato.release.report.data import Distribution, ReportVerdict, account_line
from sfumato.release.report.pairs import PAIRS_SHOWN
from sfumato.release.report.tally import ROWS_SHOWN, Tally
from sfumato.release.report.words import FAILED, MEANING
from sfumato.types import Assessment, Decision, Failure, Finding, Output, Record
from tests.report_records import (
    ABOUT,
    DIGEST,
    FIGURES,
    detection,
    face,
    finding,
    output,
    random_images,
    strength,
    tallied,
)


def test_account_is_said_in_one_line() -> None:
    tally = Tally(ABOUT)
    for n in range(862):
        tally.add(f"{n}", "", [output(f"{n}")])
    for n in range(862, 1000):
        tally.add(f"{n}", "", [output(f"{n}", [face()])])
    summary = json.loads(json.dumps(tally.report().summary()))
    assert account_line(summary) == "1000 in, 1000 out: 862 copied, 138 obfuscated, 0 refused"


def test_unfinished_images_are_in_the_account() -> None:
    tally = tallied([("a", "", [output("a")]), ("b", "", [detection("b", [face()])])])
    report = tally.report()
    line = account_line(report.summary())
    assert line == "2 in, 1 out: 1 copied, 0 obfuscated, 0 refused, 1 unfinished"
    assert report.faces.count == 1


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(0, 120))
def test_numbers_equal_a_recount(seed: int, count: int) -> None:
    images = random_images(seed, count)
    summary = tallied(images).report().summary()
    fates: Counter[str] = Counter()
    classes: dict[str, Counter[str]] = {}
    per_image: Counter[str] = Counter()
    checks: Counter[tuple[str, str]] = Counter()
    for _, label, records in images:
        row = classes.setdefault(label, Counter())
        done = [r for r in records if isinstance(r, Output)]
        refused = [r for r in records if isinstance(r, Failure)]
        fate = done[0].action if done else "refused" if refused else "unfinished"
        fates[fate] += 1
        row[fate] += 1
        row["in"] += 1
        row["out"] += bool(done)
        for out in done:
            per_image[str(len(out.faces))] += 1
            row["with_faces"] += bool(out.faces)
            row["faces"] += len(out.faces)
        for r in records:
            if isinstance(r, Finding):
                checks[r.code, "passed" if r.passed else "failed"] += 1
    account = summary["account"]
    assert all(account[fate] == fates[fate] for fate in ("copied", "obfuscated", "refused"))
    assert account["unfinished"] == fates["unfinished"]
    assert account["in"] == count == account["out"] + account["refused"] + account["unfinished"]
    assert summary["faces"]["per_image"] == per_image
    assert summary["faces"]["faces"] == sum(int(k) * n for k, n in per_image.items())
    assert summary["faces"]["size_px"]["count"] == summary["faces"]["faces"]
    for label, row in classes.items():
        assert {name: summary["classes"][label][name] for name in row} == row
    assert {
        (code, result): n
        for code, both in summary["findings"].items()
        for result, n in both.items()
    } == {
        (code, result): checks[code, result]
        for code, _ in checks
        for result in ("passed", "failed")
    }


def test_every_count_of_a_small_set() -> None:
    """By hand: six images of two classes, files beside them, and what a review said."""
    candidates = (face(), face())
    doubtful = replace(detection("a", [face()]), candidates=candidates)

    def holding(one: Output) -> Output:
        return replace(one, second_images=3, second_images_removed=1)

    counted = tallied(
        [
            ("a", "x", [doubtful, holding(output("a", [face(), face()]))]),
            (
                "b",
                "x",
                [replace(doubtful, key="b"), Decision("b", DIGEST, (), "merged"), output("b")],
            ),
            ("c", "x", [detection("c"), holding(output("c"))]),
            ("d", "y", [Failure("d", "detect", Code.IMAGE_EMPTY, "")]),
            ("e", "y", [detection("e", [face()])]),
            ("f", "y", [strength("f", 0.1), strength("f", 0.3), output("f", [face()])]),
        ]
    )
    before = counted.report()
    assert before.review.estimate is None
    assert before.faces.limit == 0.2
    assert [row.key for row in before.failed] == ["f"]
    counted.finding(strength("f", 0.1, limit=0.8))
    for fate in (
        None,
        replace(output("t.txt"), content="unchecked"),
        output("u.txt"),
        Failure("v.txt", "obfuscate", Code.FILE_UNREADABLE, ""),
        Failure("w.txt", "obfuscate", Code.FILE_UNREADABLE, ""),
    ):
        counted.other(fate)
    for key, kind in (("o", "excluded"), ("p", "excluded"), ("q", "other"), ("r", "other")):
        counted.passed_over(key, kind)
    counted.passed_over("s", "other")
    counted.assessed(Assessment("", json.dumps(FIGURES)))
    report = counted.report()
    assert report.account == data.Account(copied=2, obfuscated=2, refused=1, unfinished=1)
    assert report.classes == (
        data.ClassCount("x", data.Account(copied=2, obfuscated=1), 3, 1, 2),
        data.ClassCount("y", data.Account(obfuscated=1, refused=1, unfinished=1), 2, 2, 2),
    )
    assert report.candidates == 2  # what a person decided is no longer doubtful
    assert report.second == data.SecondImages(files=2, images=6, removed=2)
    assert report.encodings == (("identical", 2), ("reencoded", 2))
    assert report.refusals == ((Code.FILE_UNREADABLE, 2), (Code.IMAGE_EMPTY, 1))
    assert [row.key for row in report.refused] == ["d", "v.txt", "w.txt"]
    assert report.checks == (data.Check(Code.VERIFY_STRENGTH, 2, 1),)
    assert report.faces.per_image == ((0, 2), (1, 2), (2, 1))
    assert report.faces.left.counts == (0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1)
    assert report.faces.limit is None  # there were two
    assert report.others == data.Others(copied=3, unchecked=1, refused=2)
    assert (report.excluded, report.ignored, report.ignored_names) == (2, 3, ("q", "r", "s"))
    assert report.review.assessment == FIGURES


def test_face_statistics_are_those_of_the_boxes() -> None:
    images = [p for p in random_images(11, 300) if any(isinstance(r, Output) for r in p[2])]
    faces = [f for p in images for r in p[2] if isinstance(r, Output) for f in r.faces]
    report = tallied(images).report()
    sizes = [longer_side(f.box) for f in faces]
    assert report.faces.size_px.quantile("min") == min(sizes)
    assert report.faces.size_px.quantile("max") == max(sizes)
    assert report.faces.size_px.quantile("median") == statistics.median_low(sizes)
    assert report.faces.relative_size.quantile("max") == max(sizes) / 500
    assert dict(report.faces.scores).keys() == {"a-1", "b-2"}


def test_bins_are_those_that_the_docs_state() -> None:
    assert (tally.ROWS_SHOWN, tally.LEFT_CAP, data.LAYOUT) == (1000, 1000, 2)
    octaves = np.array([4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192])
    assert np.array_equal(tally.SIZE_EDGES[::2], octaves)
    np.testing.assert_allclose(tally.SIZE_EDGES[1::2], octaves[:-1] * 2**0.5)
    assert list(tally.RELATIVE_EDGES) == [0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1]
    assert list(tally.COVERED_EDGES) == [0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1]
    np.testing.assert_allclose(tally.SCORE_EDGES, np.linspace(0, 1, 21))
    np.testing.assert_allclose(tally.LEFT_EDGES, [*np.linspace(0, 1, 11), 2])


def test_an_edge_belongs_to_one_bin_and_the_ends_are_open() -> None:
    values, edges = [-5.0, 1.0, 2.0, 2.0, 99.0], (0.0, 1.0, 2.0, 3.0)
    assert Distribution.of(values, edges).counts == (1, 1, 3)
    assert Distribution.of(values, edges, closed="right").counts == (2, 2, 1)


def test_covered_is_the_union_of_the_grown_boxes_inside_the_image() -> None:
    # Two equal faces cover as much as one, grown by a quarter on each side and cut at the border.
    one, apart = face(40, x=0), face(20, x=80)
    left, top, right, bottom = grow(one.box, 0.25)
    area = (right - max(left, 0)) * (bottom - top) / 100**2
    left, top, right, bottom = grow(apart.box, 0.25)
    more = (min(right, 100) - left) * (bottom - top) / 100**2
    for faces, share in (([one], area), ([one, one], area), ([one, apart], area + more)):
        report = tallied(
            [("a", "", [detection("a", faces, side=100), output("a", faces)])]
        ).report()
        assert report.faces.covered.quantile("max") == pytest.approx(share)


@pytest.mark.slow
def test_the_order_of_the_images_changes_nothing() -> None:
    images = random_images(3, 400)
    tally = tallied(images)
    for seed in range(3):
        random.Random(seed).shuffle(images)
        again = tallied(images)
        assert again.report() == tally.report()
        assert again.choose() == tally.choose()


def test_the_latest_record_decides() -> None:
    refused = Failure("a", "obfuscate", Code.IMAGE_ENCODE, "")
    account = tallied(
        [("a", "", [detection("a", [face()]), output("a", [face()]), refused])]
    ).report()
    assert (account.account.refused, account.account.images_out) == (1, 0)
    assert account.faces.count == 0  # what is not in the release isn't in its statistics
    account = tallied([("a", "", [refused, output("a", [face()])])]).report()
    assert (account.account.refused, account.account.obfuscated) == (0, 1)


def test_a_review_replaces_what_was_found_and_its_author_stays_private() -> None:
    drawn = face(50, origin="human:Jane Roe")
    review = Decision("a", DIGEST, (drawn, drawn), "merged", ("Jane Roe",))
    found = detection("a", [face()])
    report = tallied([("a", "", [found, review])]).report()
    assert report.faces.count == 2
    report = tallied([("a", "", [found, review, output("a", [drawn, drawn])])]).report()
    assert "human" in report.summary()["faces"]["scores"]
    assert "Jane" not in json.dumps(report.summary())
    assert "people looked at 1 images" in report.not_measured[0]["why"]


_GOOD = finding("a", Code.VERIFY_BYTES_CHANGED)
_GOOD_TOO = finding("b", Code.VERIFY_BYTES_CHANGED)
_BAD = finding("a", Code.VERIFY_FACE_FOUND, passed=False, value=1)
_REFUSED = Failure("b", "detect", Code.IMAGE_DECODE, "")


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        ([_GOOD, output("a")], [_GOOD_TOO, output("b")], "passed"),
        ([_GOOD, output("a")], [output("b")], "unverified"),
        ([_BAD, output("a")], [output("b")], "failed"),
        ([_BAD, output("a")], [_REFUSED], "failed"),
        ([_GOOD, output("a")], [_REFUSED], "refused"),
        ([output("a")], [output("b")], "unverified"),
        ([_GOOD, output("a")], [detection("b")], "unfinished"),
        ([_BAD, output("a")], [], "unfinished"),
    ],
)
def test_verdict_is_the_worst_that_happened(
    first: list[Record], second: list[Record], verdict: ReportVerdict
) -> None:
    assert tallied([("a", "", first), ("b", "", second)]).report().verdict == verdict


def test_a_finding_about_the_release_fails_it() -> None:
    tally = tallied([("a", "", [_GOOD, output("a")])])
    tally.finding(finding("extra.jpg", Code.VERIFY_FILE_UNEXPECTED, passed=False, value=1))
    report = tally.report()
    assert report.verdict == "failed"
    assert report.account.images_in == 1
    assert report.summary()["findings"]["VERIFY_FILE_UNEXPECTED"] == {"passed": 0, "failed": 1}


def test_lists_hold_the_first_thousand_by_key_and_counts_hold_all() -> None:
    keys = [f"{n:05d}" for n in range(ROWS_SHOWN + 500)]
    tally = Tally(ABOUT)
    for key in reversed(keys):
        tally.add(key, "", [Failure(key, "detect", Code.IMAGE_EMPTY, "")])
    for key in keys:
        tally.passed_over(key, "ignored")
    report = tally.report()
    assert [row.key for row in report.refused] == keys[:ROWS_SHOWN]
    assert list(report.ignored_names) == keys[:ROWS_SHOWN]
    assert report.account.refused == report.ignored == len(keys)


def test_classes_over_a_share_don_t_count_the_share_itself() -> None:
    images = [
        (f"{label}/{n}", label, [output(f"{label}/{n}", [face()] if n < with_faces else [])])
        for label, with_faces in (("none", 0), ("quarter", 1), ("half", 2), ("most", 3))
        for n in range(4)
    ]
    report = tallied(images).report()
    assert report.summary()["classes_with_faces"] == {
        "classes": 4,
        "over_25_percent": 2,
        "over_50_percent": 1,
    }


def test_strength_is_counted_against_its_limit() -> None:
    values = (0.0, 0.1, 0.2, 0.21, math.nan, math.inf)
    images = [(f"{n}", "", [strength(f"{n}", value)]) for n, value in enumerate(values)]
    left = tallied(images).report().faces.left
    assert left.counts[-1] == 3  # the limit itself is allowed; what is no number is not
    assert left.counts[9] == 1
    json.dumps(tallied(images).report().summary(), allow_nan=False)


def test_what_was_not_checked_is_said() -> None:
    faces = [face()]
    checked: list[Record] = [_GOOD, strength("a", 0.1), output("a", faces)]
    report = tallied([("a", "", checked), ("b", "", [output("b", faces)])]).report()
    said = {row["what"]: row["why"] for row in report.not_measured}
    assert "for 1 of 2" in said["Strength"]
    assert "for 2 of 2" in said["Metadata"]
    assert said["Faces that are still there"].startswith("Not measured: no sample was checked")
    assert {"Recognition of the people", "Equal protection", "Effect on training"} <= said.keys()


def test_every_code_has_words() -> None:
    assert set(MEANING) == set(Code)
    assert set(FAILED) == {code for code in Code if code.startswith("VERIFY_")}


def test_pairs_show_failures_first_then_narrow_then_all_sizes() -> None:
    tally = Tally(ABOUT)
    for n in range(300):
        key, faces = f"{n:03d}", [face(10.0 * 2 ** (n % 5), x=0)]
        tally.add(key, f"class {n % 17}", [strength(key, n / 3000), output(key, faces)])
    crowd = [finding("crowd", Code.VERIFY_FACE_FOUND, passed=False, value=9)] * 50
    tally.add("crowd", "", [*crowd, output("crowd", [face()])])
    tally.add("weak", "", [strength("weak", 0.5), output("weak", [face()])])
    gone = finding("gone", Code.VERIFY_FILE_MISSING, passed=False, value=1)
    tally.add("gone", "", [gone, output("gone")])
    chosen = tally.choose()
    assert len(chosen) == PAIRS_SHOWN == len({choice.key for choice in chosen})
    assert [choice.key for choice in chosen[:4]] == ["crowd", "weak", "299", "298"]
    assert "gone" not in {choice.key for choice in chosen}
    assert len({choice.label for choice in chosen[6:]}) >= 15
    sizes = {choice.caption for choice in chosen[6:]}
    assert sizes == {f"1 face, {10 * 2**n} px" for n in range(5)}


def test_many_failures_leave_room_for_others() -> None:
    tally = Tally(ABOUT)
    for n in range(200):
        key = f"{n:03d}"
        code = Code.VERIFY_METADATA if n == 199 else Code.VERIFY_FACE_FOUND
        tally.add(key, "", [finding(key, code, passed=False, value=1), output(key, [face()])])
        tally.add(f"good {key}", "", [output(f"good {key}", [face(90)])])
    captions = [choice.caption for choice in tally.choose()]
    assert sum(caption.startswith("VERIFY_METADATA") for caption in captions) == 1
    assert sum(caption == "1 face, 90 px" for caption in captions) >= 6


@pytest.mark.slow
def test_a_hundred_thousand_records_need_little_memory() -> None:
    faces = [face(30 + n, x=100.0 * n) for n in range(3)]
    checks = [finding("", Code.VERIFY_BYTES_CHANGED), strength("", 0.1)]
    records: list[list[Record]] = [
        [detection("", faces[:n]), *checks, output("", faces[:n])] for n in range(4)
    ]
    tally = Tally(ABOUT)
    tracemalloc.start()
    for n in range(25_000):
        tally.add(f"{n:06d}.jpg", f"class {n % 1000}", records[n % 4 if n % 5 == 0 else 0])
    report = tally.report()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert report.account.images_out == 25_000
    assert peak < 6_000_000  # a list of such records alone takes 14 MB


def test_quantiles_are_values_that_occur() -> None:
    values = np.random.default_rng(1).lognormal(4, 1, 101)
    found = Distribution.of(values, (0.0, 1e6))
    assert found.quantile("median") == sorted(values)[50]
    assert all(value in values for _, value in found.quantiles)
    assert Distribution.of([], (0.0, 1.0)).quantile("median") is None
