"""What checks found wrong: until when it holds, of which bytes, and what of it is to be covered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sfumato.errors import Code
from sfumato.ledger.ledger import Ledger
from sfumato.recipe import DetectStep, ObfuscateStep, Recipe, VerifyStep
from sfumato.types import Face, Failure, Finding, Output, Record, Redetection
from sfumato.verification.failing import Standing, checks_of, last_failed, standing, uncovered

RECIPE = Recipe(DetectStep(("a",), ("w",), 9), VerifyStep(("v",), ("x",)), ObfuscateStep("fill"))
OTHER = replace(RECIPE, verify=VerifyStep(("v", "u"), ("x", "y")))
BLURRED = replace(RECIPE, obfuscate=ObfuscateStep("gaussian"))
ONE, TWO, THREE = (Face((at, 0.0, at + 9.0, 9.0), 0.9, "v") for at in (0.0, 50.0, 90.0))
MADE = RECIPE.fingerprint("obfuscate")
OUT = Output("k", "source", "1", "obfuscated", "exact", "fill", (ONE,))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.sqlite") as opened:
        yield opened


def saw(key: str, *faces: Face, digest: str = "1") -> Finding:
    return Finding(key, Code.VERIFY_FACE_FOUND, not faces, 0, 0, "", digest, faces)


def sound(key: str, digest: str = "1") -> Finding:
    return Finding(key, Code.VERIFY_BYTES_CHANGED, True, 0, 0, "", digest)


def weak(key: str, digest: str = "1") -> Finding:
    return Finding(key, Code.VERIFY_STRENGTH, False, 1, 0, "", digest)


def changed(key: str, code: Code = Code.VERIFY_BYTES_CHANGED, digest: str = "1") -> Finding:
    return Finding(key, code, False, 1, 0, "", digest)


def check(
    ledger: Ledger, *found: Finding, recipe: Recipe = RECIPE, command: str = "verify"
) -> None:
    print_ = recipe.fingerprint("verify")
    text = json.dumps(recipe.as_json())
    ledger.begin(
        started="", command=command, source="s", fingerprint=print_, recipe=text, versions=""
    )
    ledger.commit((print_, one) for one in found)


def made(ledger: Ledger, *records: Record, recipe: Recipe = RECIPE) -> None:
    ledger.commit((recipe.fingerprint("obfuscate"), one) for one in records)


# --- what stands --------------------------------------------------------------------------------


def test_what_a_verification_found_stands_until_one_of_its_kind_finds_otherwise(
    ledger: Ledger,
) -> None:
    check(ledger, sound("a"), saw("a", ONE), sound("b"), weak("b"), sound("c"), saw("c"))
    first = {
        "a": [Standing(saw("a", ONE), MADE, ("v",))],
        "b": [Standing(weak("b"), MADE, ("v",))],
    }
    assert standing(ledger) == first
    # The quicker look of a run takes nothing back, and adds nothing.
    run = "detect+obfuscate+verify"
    check(ledger, sound("a"), saw("a"), sound("c"), saw("c", ONE), command=run)
    assert standing(ledger) == first
    # Nor does a verification with other detectors, or of other bytes.
    check(ledger, sound("a"), saw("a"), sound("b"), saw("b", TWO), recipe=OTHER)
    check(ledger, sound("a", "2"), saw("a", digest="2"))
    second = {**first, "b": [*first["b"], Standing(saw("b", TWO), MADE, ("v", "u"))]}
    assert standing(ledger) == second
    check(ledger, sound("a"), saw("a"))
    del second["a"]
    assert standing(ledger) == second


def test_of_each_state_of_the_bytes_the_last_verification_counts(ledger: Ledger) -> None:
    check(ledger, sound("a"), saw("a", ONE), weak("a"))
    check(ledger, sound("a", "2"), saw("a", TWO, digest="2"))
    found = [one.finding for one in standing(ledger)["a"]]
    assert found == [saw("a", ONE), weak("a"), saw("a", TWO, digest="2")]
    check(ledger, sound("a"), saw("a", THREE))
    found = [one.finding for one in standing(ledger)["a"]]
    assert found == [saw("a", THREE), saw("a", TWO, digest="2")]
    # Of a check that one run made twice, the latest counts.
    check(ledger, sound("a", "2"), saw("a", TWO, digest="2"), saw("a", digest="2"))
    assert [one.finding for one in standing(ledger)["a"]] == [saw("a", THREE)]


def test_what_was_found_in_bytes_that_nobody_is_sure_of_does_not_stand(ledger: Ledger) -> None:
    check(ledger, changed("a"), saw("a", ONE), saw("b", ONE), sound("c"), saw("c", ONE))
    check(ledger, sound("d"), saw("d", ONE), changed("d", Code.VERIFY_UNREADABLE))
    check(ledger, sound("c"), changed("c", Code.VERIFY_UNREADABLE))
    assert {key: [one.finding for one in some] for key, some in standing(ledger).items()} == {
        "c": [saw("c", ONE)]
    }


def test_a_standing_finding_holds_for_the_bytes_it_speaks_of() -> None:
    face, strength = (Standing(one, "made", ("v",)) for one in (saw("k", ONE), weak("k")))
    other = replace(OUT, written="2")
    rejected = replace(OUT, rejected=(ONE,))
    assert face.of(OUT, "made") == face.of(OUT, "otherwise") == saw("k", ONE)
    assert strength.of(OUT, "made") == strength.of(rejected, "made") == weak("k")
    for one in (face, strength):
        assert one.of(other, "made") is None
    assert strength.of(OUT, "otherwise") is None
    assert face.of(rejected, "made") is None
    both = Standing(saw("k", ONE, TWO), "made", ("v",))
    assert both.of(rejected, "made") == saw("k", ONE, TWO)
    assert both.of(replace(OUT, rejected=(ONE, TWO)), "made") is None
    # Older versions didn't keep the boxes: nobody can have said of them that they are no faces.
    old = Finding("k", Code.VERIFY_FACE_FOUND, False, 1, 0, "", "1")
    assert Standing(old, "made", ("v",)).of(rejected, "made") == old


def test_what_the_last_run_found_wrong(ledger: Ledger) -> None:
    check(ledger, sound("a"), saw("a", ONE), sound("b"), weak("b"), changed("c"))
    check(ledger, sound("a"), saw("a"), saw("c", ONE, TWO), weak("c"), sound("c"), command="run")
    check(ledger, weak("b"), weak("d"), recipe=OTHER)
    expected = {"b": [weak("b")], "c": [saw("c", ONE, TWO), weak("c")]}
    assert last_failed(ledger, RECIPE.fingerprint("verify")) == expected
    assert last_failed(ledger, OTHER.fingerprint("verify")).keys() == {"b", "d"}
    assert last_failed(ledger, "never") == {}


def test_checks_of_a_release_are_all_that_looked_at_what_it_writes(ledger: Ledger) -> None:
    mine, other = RECIPE.fingerprint("verify"), OTHER.fingerprint("verify")
    assert checks_of(ledger, RECIPE) == [mine]
    for recipe in (OTHER, BLURRED, OTHER):
        check(ledger, recipe=recipe, command="run")
    assert checks_of(ledger, RECIPE) == sorted([mine, other])
    assert checks_of(ledger, BLURRED) == [BLURRED.fingerprint("verify")]


# --- what is to be covered ----------------------------------------------------------------------


def wanted(*faces: Face, key: str = "k", by: tuple[str, ...] = ("v",)) -> Redetection:
    return Redetection(key, "source", faces, by)


def test_faces_that_stand_and_those_that_the_last_run_saw_are_to_be_covered(
    ledger: Ledger,
) -> None:
    keys = ("b", "a", "k", "refused", "unreleased")
    made(ledger, *(replace(OUT, key=key) for key in keys[:4]))
    made(ledger, Failure("refused", "read", Code.FILE_UNREADABLE, ""))
    made(ledger, replace(OUT, key="unreleased"), recipe=BLURRED)
    for key in keys:
        check(ledger, sound(key), saw(key, ONE), weak(key), recipe=OTHER)
    check(ledger, sound("k"), saw("k", TWO), command="run")
    assert uncovered(ledger, RECIPE) == [
        wanted(ONE, key="a", by=("v", "u")),
        wanted(ONE, key="b", by=("v", "u")),
        wanted(ONE, TWO, by=("v", "u")),
    ]


def test_what_was_seen_in_other_bytes_or_is_no_face_is_not_covered(ledger: Ledger) -> None:
    made(ledger, OUT, replace(OUT, key="p", rejected=(ONE,)), replace(OUT, key="q"))
    check(ledger, changed("k"), saw("k", ONE), command="run")
    check(ledger, saw("q", ONE, digest="2"), command="run")
    check(ledger, saw("p", ONE), recipe=RECIPE, command="run")
    assert uncovered(ledger, RECIPE) == []
    check(ledger, saw("p", ONE, TWO), replace(weak("q"), faces=(TWO,)), command="run")
    assert uncovered(ledger, RECIPE) == [wanted(TWO, key="p")]


def test_what_was_asked_for_before_is_asked_for_again_with_what_is_new(ledger: Ledger) -> None:
    found = RECIPE.fingerprint("detect")
    made(ledger, OUT, replace(OUT, key="l"))
    ledger.commit([(found, wanted(ONE, by=("u",))), (found, wanted(ONE, key="l", by=("u",)))])
    check(ledger, saw("k", ONE), saw("l", TWO, ONE, TWO), command="run")
    assert uncovered(ledger, RECIPE) == [wanted(ONE, TWO, key="l", by=("u", "v"))]
    # It was asked for in another image of this name.
    ledger.commit([(found, replace(wanted(ONE, by=("u",)), digest="another source"))])
    assert uncovered(ledger, RECIPE)[0] == wanted(ONE)
