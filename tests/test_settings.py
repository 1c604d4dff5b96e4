"""From what a user asks for to a recipe: checked, with every default written out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from sfumato.assets.weights import WEIGHTS
from sfumato.detection.detect import PROFILES
from sfumato.detection.detectors.finder import Finder
from sfumato.errors import UsageError
from sfumato.imaging import codec
from sfumato.ledger.ledger import Ledger
from sfumato.pipeline.settings import Settings, last_recipe, read_boxes, verify_step
from sfumato.sources import open_source

CSV = "path,x0,y0,x1,y1\na.jpg,10,10,40,40\n"
COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 80}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 30, 30]}],
    "categories": [{"id": 1, "name": "face"}],
}


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    path = tmp_path / "boxes.csv"
    path.write_text(CSV)
    return path


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(COCO))
    return path


# --- detectors ----------------------------------------------------------------------------------


def test_the_defaults_are_written_out() -> None:
    recipe = Settings().recipe()
    assert recipe.detect.detectors == PROFILES["default"]
    assert recipe.detect.weights == (Finder("default").weights_sha256,)
    assert recipe.detect.max_pixels == codec.MAX_PIXELS
    assert (recipe.detect.boxes, recipe.detect.unlisted) == ("", "")
    assert recipe.verify.detectors == recipe.detect.detectors
    assert recipe.verify.weights == recipe.detect.weights
    cover = recipe.obfuscate
    assert (cover.method, cover.expand, cover.colour) == ("gaussian", 0.25, None)
    assert cover.looks > 0


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_names_detectors_with_all_their_settings(profile: str) -> None:
    recipe = Settings(profile=profile).recipe()
    assert recipe.detect.detectors == PROFILES[profile]
    assert len(recipe.detect.weights) == len(PROFILES[profile])


def test_a_named_network_brings_the_hash_of_its_weights() -> None:
    recipe = Settings(detectors=("centerface", "yunet@320")).recipe()
    assert recipe.detect.weights == (
        WEIGHTS["centerface"].sha256,
        WEIGHTS["yunet-2023mar"].sha256,
    )


def test_detectors_replace_the_profile() -> None:
    recipe = Settings(profile="high", detectors=("yunet@320:0.4",)).recipe()
    assert recipe.detect.detectors == recipe.verify.detectors == ("yunet@320:0.4",)


def test_different_words_for_the_same_detector_are_the_same_recipe() -> None:
    (full,) = Settings(detectors=("yunet",)).recipe().detect.detectors
    assert "@" in full
    assert ":" in full
    for spec in ("yunet", full, full.partition(":")[0], full.replace("0.", ".")):
        assert Settings(detectors=(spec,)).recipe() == Settings(detectors=(full,)).recipe()


def test_one_threshold_is_for_all_detectors() -> None:
    recipe = Settings(threshold=0.7).recipe()
    assert {spec.partition(":")[2] for spec in recipe.detect.detectors} == {"0.7"}
    sides = [spec.partition(":")[0] for spec in recipe.detect.detectors]
    assert sides == [spec.partition(":")[0] for spec in PROFILES["default"]]


def test_verification_may_have_detectors_of_its_own() -> None:
    recipe = Settings(verify_detectors=("yunet@320:0.9",)).recipe()
    assert recipe.verify.detectors == ("yunet@320:0.9",)
    assert recipe.detect.detectors == PROFILES["default"]
    assert recipe.verify == verify_step(["yunet@320:0.9"])


# --- boxes --------------------------------------------------------------------------------------


def test_boxes_stand_for_the_detectors_and_are_told_apart_by_content(
    boxes: Path, coco: Path
) -> None:
    recipe = Settings(boxes=boxes).recipe()
    assert (recipe.detect.detectors, recipe.detect.weights) == ((), ())
    assert recipe.detect.boxes == hashlib.sha256(boxes.read_bytes()).hexdigest()
    assert recipe.verify.detectors == PROFILES["default"]
    again = boxes.with_name("other-name.csv")
    again.write_text(CSV)
    assert Settings(boxes=again).recipe() == recipe
    again.write_text(CSV + "b.jpg,1,1,9,9\n")
    assert Settings(boxes=again).recipe().detect != recipe.detect
    assert Settings(boxes=coco).recipe().detect != recipe.detect


def test_what_a_file_does_not_list_follows_its_layout_or_what_was_said(
    boxes: Path, coco: Path
) -> None:
    assert Settings(boxes=boxes).recipe().detect.unlisted == "faceless"
    assert Settings(boxes=coco).recipe().detect.unlisted == "refuse"
    assert Settings(boxes=boxes, unlisted="refuse").recipe().detect.unlisted == "refuse"
    assert Settings(boxes=coco, unlisted="faceless").recipe().detect.unlisted == "faceless"


def test_a_setting_without_effect_does_not_change_the_recipe() -> None:
    assert Settings(unlisted="faceless").recipe() == Settings().recipe()
    assert Settings(detectors=("yunet",), profile="fast") != Settings(detectors=("yunet",))
    one, other = (Settings(detectors=("yunet",), profile=p).recipe() for p in ("fast", "high"))
    assert one == other


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.sqlite") as opened:
        yield opened


def test_boxes_are_given_to_the_images_that_they_name(coco: Path, ledger: Ledger) -> None:
    recipe = Settings(boxes=coco).recipe()
    boxes = read_boxes(coco, ["a.jpg", "b.jpg"], recipe, open_source(coco.parent))
    ledger.import_boxes(recipe.detect.boxes, boxes)
    given = ledger.imported(recipe.detect.boxes, ["a.jpg", "b.jpg"]).pop("a.jpg")
    assert [face.box for face in given.faces] == [(10, 10, 40, 40)]
    assert given.size == (100, 80)
    assert ledger.imported(recipe.detect.boxes, ["a.jpg", "b.jpg"]).keys() == {"a.jpg"}


def test_a_name_that_fits_no_image_is_wrong_where_it_would_expose_a_face(boxes: Path) -> None:
    with pytest.raises(UsageError, match=r"'a\.jpg'.*--unlisted refuse"):
        read_boxes(boxes, ["b.jpg"], Settings(boxes=boxes).recipe(), open_source(boxes.parent))
    refuse = Settings(boxes=boxes, unlisted="refuse").recipe()
    assert read_boxes(boxes, ["b.jpg"], refuse, open_source(boxes.parent)) == {}


# --- covering -----------------------------------------------------------------------------------


def test_the_published_recipe_looks_only_once() -> None:
    assert Settings(method="imagenet").recipe().obfuscate.looks == 0
    for method in ("gaussian", "pixelate", "fill"):
        assert Settings(method=method).recipe().obfuscate.looks > 0


def test_whole_numbers_are_the_same_recipe_as_fractions() -> None:
    """The command line gives 1.0 where a notebook gives 1."""
    for stage in ("obfuscate", "verify"):
        one, other = (Settings(expand=e).recipe().fingerprint(stage) for e in (1, 1.0))
        assert one == other


def test_a_colour_is_part_of_the_recipe() -> None:
    recipe = Settings(method="fill", colour=(1, 2, 3)).recipe()
    assert recipe.obfuscate.colour == (1, 2, 3)
    assert recipe != Settings(method="fill").recipe()


# --- wrong values -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"profile": "best"}, "no profile 'best'.*fast, default, high"),
        ({"detectors": ("retina",)}, "no detector 'retina'.*centerface, finder.*and onnx:FILE"),
        ({"detectors": ("yunet@640@640",)}, "is not NAME"),
        ({"detectors": ("yunet@0",)}, "yunet@0"),
        ({"detectors": ("yunet:1.5",)}, "yunet:1.5"),
        ({"verify_detectors": ("retina",)}, "no detector 'retina'"),
        ({"threshold": 0.0}, "between 0 and 1"),
        ({"threshold": 1.0}, "between 0 and 1"),
        ({"threshold": float("nan")}, "between 0 and 1"),
        ({"method": "blur"}, "unknown method 'blur'.*gaussian, pixelate, fill, imagenet"),
        ({"expand": -0.1}, "expand must be"),
        ({"expand": float("inf")}, "expand must be"),
        ({"colour": (1, 2, 3)}, "only for the method fill"),
        ({"method": "fill", "colour": (1, 2, 256)}, "within 0..255"),
        ({"max_pixels": 0}, "--max-pixels must lie between 1 and"),
        ({"boxes": Path("no/such/file.csv")}, "no/such/file.csv can't be read"),
        ({"boxes": Path()}, "can't be read|expected a file"),
    ],
    ids=str,
)
def test_a_wrong_value_is_named_with_what_would_be_right(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Settings(**wrong).recipe()


def test_a_setting_that_does_not_exist_is_not_passed_over() -> None:
    with pytest.raises(TypeError, match="treshold"):
        Settings(treshold=0.5)  # type: ignore[call-arg]


def test_a_policy_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="faces, all, keep-safe"):
        Settings(metadata="some").recipe()  # type: ignore[arg-type]


def test_every_setting_reaches_the_recipe(boxes: Path) -> None:
    """Another value for each, and the recipe is another one."""
    base = Settings(method="fill").recipe()
    other: dict[str, Any] = {
        "profile": "fast",
        "detectors": ("yunet",),
        "threshold": 0.6,
        "boxes": boxes,
        "method": "pixelate",
        "expand": 0.3,
        "colour": (9, 9, 9),
        "on_unsupported": "reencode",
        "metadata": "all",
        "verify_detectors": ("yunet",),
        "max_pixels": 5,
        "require_review": True,
        "observe": ("cover-area",),
    }
    assert other.keys() == {field.name for field in fields(Settings)} - {
        *("unlisted", "device"),
        *("include", "exclude"),  # which files there are, not what is done to one
    }
    for name, value in other.items():
        assert Settings(**{"method": "fill", name: value}).recipe() != base, name


# --- what was done last -------------------------------------------------------------------------


def begin(path: Path, command: str, settings: Settings) -> None:
    with Ledger(path) as ledger:
        ledger.begin(
            started="2026-01-01T00:00:00Z",
            command=command,
            source="src",
            fingerprint="f",
            recipe=json.dumps(settings.recipe().as_json()),
            versions="{}",
        )


def test_the_last_recipe_is_that_of_the_last_run_with_this_stage(tmp_path: Path) -> None:
    first, second, third = (Settings(max_pixels=pixels) for pixels in (1, 2, 3))
    one, other = tmp_path / "one.sqlite", tmp_path / "other.sqlite"
    begin(one, "detect+obfuscate+verify", first)
    begin(one, "detect", second)
    begin(other, "detect", third)
    ledgers = [tmp_path / "missing.sqlite", one, other]
    assert last_recipe(ledgers, "detect", "") == second.recipe()
    assert last_recipe(ledgers, "obfuscate", "") == first.recipe()
    assert last_recipe([other, one], "obfuscate", "") == first.recipe()
    assert last_recipe([other, one], "detect", "") == third.recipe()


def test_without_one_the_sentence_says_what_to_do(tmp_path: Path) -> None:
    begin(tmp_path / "ledger.sqlite", "detect", Settings())
    with pytest.raises(UsageError, match="Do this first"):
        last_recipe([tmp_path / "ledger.sqlite"], "obfuscate", "Do this first.")
    with pytest.raises(UsageError, match="Do this first"):
        last_recipe([], "detect", "Do this first.")
