"""The recipe: its fingerprints hold every setting that a record depends on, and nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfumato.errors import LedgerError
from sfumato.ledger.records import recipe_from
from sfumato.recipe import DetectStep, ObfuscateStep, Recipe, VerifyStep

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("detect", "obfuscate", "verify")
RECIPE = Recipe(
    DetectStep(("centerface@640:0.3", "yunet@960:0.53"), ("aa", "bb"), 1000),
    VerifyStep(("yunet@640:0.5",), ("bb",)),
    ObfuscateStep("fill", 0.25, (1, 2, 3), "refuse", 3),
)
# Another value for every field of every step.
OTHER: dict[str, dict[str, object]] = {
    "detect": {
        "detectors": ("yunet@960:0.53", "centerface@640:0.3"),
        "weights": ("aa", "cc"),
        "max_pixels": 1001,
        "boxes": "dd",
        "unlisted": "faceless",
    },
    "obfuscate": {
        "method": "gaussian",
        "expand": 0.26,
        "colour": None,
        "on_unsupported": "reencode",
        "looks": 0,
        "metadata": "all",
        "require_review": True,
    },
    "verify": {"detectors": ("yunet@640:0.51",), "weights": ("cc",)},
}
CHANGES = [(step, name) for step, values in OTHER.items() for name in values]


def prints(recipe: Recipe) -> list[str]:
    return [recipe.fingerprint(stage) for stage in STAGES]


def test_every_field_is_tried() -> None:
    assert {*OTHER, "observe"} == {field.name for field in fields(Recipe)}
    for step, values in OTHER.items():
        assert set(values) == {field.name for field in fields(getattr(RECIPE, step))}


@pytest.mark.parametrize(("step", "name"), CHANGES)
def test_a_setting_changes_its_stage_and_those_behind_it_and_no_other(step: str, name: str) -> None:
    changed = replace(getattr(RECIPE, step), **{name: OTHER[step][name]})
    other = replace(RECIPE, **{step: changed})
    same = [a == b for a, b in zip(prints(RECIPE), prints(other), strict=True)]
    first = STAGES.index(step)
    assert same == [True] * first + [False] * (3 - first)


def test_all_fingerprints_of_all_changes_differ() -> None:
    seen = set(prints(RECIPE))
    for step, name in CHANGES:
        changed = replace(getattr(RECIPE, step), **{name: OTHER[step][name]})
        seen.add(prints(replace(RECIPE, **{step: changed}))[2])
    assert len(seen) == 3 + len(CHANGES)


def test_a_fingerprint_is_the_digest_of_canonical_json() -> None:
    """Written out by hand: another spelling would make every old record useless."""
    detect = (
        '"detect":{"boxes":"","detectors":["centerface@640:0.3","yunet@960:0.53"],'
        '"max_pixels":1000,"unlisted":"","weights":["aa","bb"]}'
    )
    obfuscate = (
        '"obfuscate":{"colour":[1,2,3],"expand":0.25,"looks":3,"metadata":"faces",'
        '"method":"fill",'
        '"on_unsupported":"refuse"}'
    )
    verify = '"verify":{"detectors":["yunet@640:0.5"],"weights":["bb"]}'
    texts = (
        f'{{{detect},"layout":1}}',
        f'{{{detect},"layout":1,{obfuscate}}}',
        f'{{{detect},"layout":1,{obfuscate},{verify}}}',
    )
    assert prints(RECIPE) == [hashlib.sha256(text.encode()).hexdigest() for text in texts]


def test_what_is_observed_depends_on_what_was_made_and_not_on_who_verified() -> None:
    recipe = replace(RECIPE, observe=("area-1", "twins-2"))
    assert recipe.steps == (*STAGES, "observe:area-1", "observe:twins-2")
    assert recipe_from(json.dumps(recipe.as_json())) == recipe
    assert "observe" not in RECIPE.as_json()
    assert prints(recipe) == prints(RECIPE)
    one, two = map(recipe.fingerprint, recipe.steps[3:])
    assert len({one, two, *prints(recipe)}) == 5
    verified = replace(recipe, verify=replace(RECIPE.verify, weights=("zz",)))
    covered = replace(recipe, obfuscate=replace(RECIPE.obfuscate, expand=0.5))
    assert verified.fingerprint("observe:area-1") == one != covered.fingerprint("observe:area-1")


def test_where_a_file_of_a_detector_lies_is_not_published() -> None:
    step = replace(RECIPE.detect, detectors=("onnx:/home/me/a b/m.toml@640:0.5", "yunet@640:0.5"))
    recipe = replace(RECIPE, detect=step)
    assert recipe.published()["detect"]["detectors"] == ["onnx:m.toml@640:0.5", "yunet@640:0.5"]
    assert recipe.as_json()["detect"]["detectors"][0] == "onnx:/home/me/a b/m.toml@640:0.5"
    moved = replace(step, detectors=("onnx:/srv/m.toml@640:0.5", "yunet@640:0.5"))
    assert prints(replace(recipe, detect=moved)) == prints(recipe)
    assert prints(replace(recipe, detect=replace(moved, weights=("cc", "bb")))) != prints(recipe)


@pytest.mark.slow
def test_another_process_gives_the_same_fingerprints() -> None:
    program = (
        "import sys; from sfumato.ledger.records import recipe_from\n"
        "recipe = recipe_from(sys.stdin.read())\n"
        "print([recipe.fingerprint(s) for s in ('detect', 'obfuscate', 'verify')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(RECIPE.as_json()),
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONHASHSEED": "17"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{prints(RECIPE)}\n"


def test_the_layout_is_part_of_every_fingerprint() -> None:
    before = prints(RECIPE)
    with patch("sfumato.recipe.LAYOUT", 2):
        assert set(prints(RECIPE)).isdisjoint(before)


def test_a_stage_that_does_not_exist_has_no_fingerprint() -> None:
    with pytest.raises(ValueError, match="not in tuple"):
        RECIPE.fingerprint("cover")


words = st.text(max_size=8)
several = st.lists(words, max_size=3).map(tuple)
recipes = st.builds(
    Recipe,
    st.builds(DetectStep, several, several, st.integers(1, 2**31 - 1), words, words),
    st.builds(VerifyStep, several, several),
    st.builds(
        ObfuscateStep,
        words,
        st.floats(0, 10),
        st.none() | st.tuples(*[st.integers(0, 255)] * 3),
        st.sampled_from(["refuse", "reencode"]),
        st.integers(0, 9),
    ),
)


@pytest.mark.slow
@given(recipes)
@settings(max_examples=40, deadline=None)
def test_a_recipe_comes_back_from_json_as_it_was(recipe: Recipe) -> None:
    again = recipe_from(json.dumps(recipe.as_json()))
    assert again == recipe
    assert hash(again) == hash(recipe)
    assert prints(again) == prints(recipe)


@pytest.mark.slow
@given(recipes, recipes)
@settings(max_examples=40, deadline=None)
def test_recipes_have_the_same_fingerprint_only_if_they_are_the_same(
    one: Recipe, other: Recipe
) -> None:
    assert (one == other) == (one.fingerprint("verify") == other.fingerprint("verify"))


@pytest.mark.parametrize("step", STAGES)
def test_a_setting_that_is_not_known_is_not_passed_over(step: str) -> None:
    plain = RECIPE.as_json()
    plain[step]["strength"] = 1
    with pytest.raises(LedgerError, match="strength"):
        recipe_from(json.dumps(plain))


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        RECIPE.detect.max_pixels = 1  # type: ignore[misc]
