"""Choosing an operating point: by hand, by simulation, and as users do it."""

from __future__ import annotations

import csv
import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato import boxes
from sfumato.assets import demo_images
from sfumato.detection.calibration.thresholds import (
    Searched,
    Setting,
    Table,
    choose,
    kept_at,
    promise,
    shifted,
    tabulate,
    threshold_of,
)
from sfumato.detection.detect import SAME_FACE_IOU
from sfumato.detection.detectors import registry
from sfumato.errors import UsageError
from sfumato.stats.matching import Truth
from sfumato.types import Face
from tests.command import sfumato


def face(x0: float, y0: float, x1: float, y1: float, score: float) -> Face:
    return Face((x0, y0, x1, y1), score, "test")


# --- thresholds ---------------------------------------------------------------------------------


def test_thresholds_move_in_log_odds_whatever_the_detector_is() -> None:
    assert shifted("yunet@640:0.5", 0) == "yunet@640:0.5"
    assert shifted("onnx:models/a.onnx@512:0.2", -np.log(2)) == "onnx:models/a.onnx@512:0.111"
    assert threshold_of("finder:0.05") == 0.05
    assert shifted("finder@high:0.2", -np.log(2)) == "finder@high:0.111"
    assert shifted("yunet@640:0.2#cuda", -np.log(2)) == "yunet@640:0.111#cuda"
    assert threshold_of("onnx:C:/a#b.toml:0.5#cpu") == 0.5


@pytest.mark.parametrize(
    "specification", ["yunet", "yunet@640", "yunet#cuda", "onnx:file.onnx", "a:1.5", "a:0"]
)
def test_without_a_threshold_there_is_nothing_to_move(specification: str) -> None:
    with pytest.raises(UsageError, match="no threshold between 0 and 1"):
        shifted(specification, -1)


@pytest.mark.slow
def test_thresholds_applied_afterwards_find_what_a_search_with_them_finds() -> None:
    pixels = np.asarray(Image.open(demo_images.root() / "people/astronaut.png").convert("RGB"))
    specs = ("centerface@320:0.3", "yunet@320:0.5")
    low = [registry.parse(shifted(spec, -3)).detect([pixels])[0] for spec in specs]
    image = Searched(Truth(512, 512, ()), tuple(tuple(found) for found in low))
    counts = []
    for shift in (-3, -2, -1, 0, 1):
        moved = [shifted(spec, shift) for spec in specs]
        direct = boxes.union([registry.parse(s).detect([pixels])[0] for s in moved], SAME_FACE_IOU)
        assert kept_at(image, [threshold_of(s) for s in moved]) == direct
        counts.append(len(direct))
    assert counts[0] > counts[-1]


# --- the table and the choice -------------------------------------------------------------------


def test_a_table_says_what_every_setting_covers_and_costs() -> None:
    truth = Truth(100, 100, ((10, 10, 30, 30),), ((80, 80, 90, 90),))
    found = (
        face(12, 12, 28, 28, 0.4),  # covers nine tenths only when it is grown
        face(60, 10, 70, 20, 0.3),
        face(82, 82, 88, 88, 0.5),
    )
    table = tabulate(
        [Searched(truth, (found,))], ["a:0.5"], share=0.9, shifts=(-2, -0.5, 0), growths=(0, 0.5)
    )
    assert table.faces.tolist() == [1]
    assert table.covered[..., 0].tolist() == [[0, 1], [0, 1], [0, 0]]
    assert table.false_boxes[:, 0].tolist() == [1, 0, 0]
    assert table.false_pixels[0, :, 0] == pytest.approx([0.01, 0.04])
    # 32 by 32 around a face of 20 by 20; 20 by 20; 12 by 12 (of 6 by 6 where nobody can say).
    assert table.needless[0, 1, 0] == pytest.approx((32**2 - 20**2 + 20**2 + 12**2) / 1e4)
    assert table.needless[2, 0, 0] == pytest.approx(36 / 1e4)


def table_of(
    covered: list[list[int]], needless: list[list[float]], faces: list[int] | None = None
) -> Table:
    """Settings in rows (one growth), images in columns."""
    counts = np.array(covered)[:, None, :]
    price = np.array(needless, dtype=float)[:, None, :]
    return Table(
        tuple(float(i) for i in range(len(covered))),
        (0.25,),
        np.array(faces or [1] * len(covered[0])),
        counts,
        price[:, 0].astype(np.int64),
        price,
        price,
    )


def test_the_cheapest_setting_that_covers_enough_is_chosen() -> None:
    table = table_of(
        [[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 1, 0]],
        [[9, 9, 9, 9], [2, 2, 2, 3], [2, 2, 2, 2], [0, 0, 0, 0]],
    )
    assert choose(table, 0.75) == Setting(2, 0)
    assert choose(table, 0.76) == Setting(0, 0)
    assert choose(table, 0.75, np.array([False, False, True, False])) == Setting(3, 0)


def test_false_boxes_and_needless_pixels_both_have_their_price() -> None:
    """As it is: 1 box and 0.1 of the pixels. Three ways to cover the second face as well."""
    faces, covered = np.array([2]), np.array([[1, 1, 1], [2, 2, 2], [2, 2, 2]])[..., None]
    boxes_, pixels = np.array([[1], [2], [9]]), np.array([[0.1] * 3, [0.3, 0.2, 0.5], [0.1] * 3])
    pixels = pixels[..., None]
    table = Table((0.0, -1.0, -2.0), (0.25, 0.3, 0.5), faces, covered, boxes_, pixels, pixels)
    assert choose(table, 1.0) == Setting(1, 1)  # 2 + 2 against 2 + 3, 2 + 5 and 9 + 1
    assert choose(table, 0.5) == Setting(0, 0)


def test_where_nothing_covers_enough_the_most_is_taken() -> None:
    table = table_of([[1, 0, 0], [1, 1, 0], [1, 1, 0]], [[1, 1, 1], [5, 5, 5], [4, 4, 4]])
    assert choose(table, 0.99) == Setting(2, 0)


def population(rng: np.random.Generator, images: int) -> Table:
    """Images whose faces are seen from a level on; many settings, so that luck has a say."""
    faces = rng.integers(0, 4, images)
    mood = rng.normal(0, 1.0, images)
    levels = mood[:, None] + rng.normal(0, 1.0, (images, 3))
    there = np.arange(3) < faces[:, None]
    marks = np.linspace(-4, 4, 81)
    seen = (levels[None] > marks[:, None, None]) & there
    noise = rng.exponential(1.0, (81, images)) * np.exp(-marks)[:, None]
    covered = seen.sum(axis=-1)
    return table_of(covered.tolist(), noise.tolist(), faces.tolist())


@pytest.mark.slow
def test_the_promise_is_kept_on_new_images() -> None:
    """What is promised is on average what images from the same source give, and is wanted."""
    rng = np.random.default_rng(0)
    large = population(np.random.default_rng(99), 20_000)
    true, promised, inside = [], [], []
    for _ in range(60):
        made = promise(population(rng, 120), 0.9, rng)
        at = large.covered[made.setting.shift, 0]
        true.append(at.sum() / large.faces.sum())
        promised.append(made.recall.value)
        inside.append(made.recall.low <= true[-1] <= made.recall.high)
        assert made.kept
    assert np.mean(true) >= 0.9
    assert np.mean(promised) - np.mean(true) <= 0.005
    assert np.mean(inside) >= 0.85


@pytest.mark.slow
def test_a_small_sample_carries_no_promise_and_says_how_many_it_takes() -> None:
    table = table_of([[1] * 71], [[0.0] * 71])
    made = promise(table, 0.95, np.random.default_rng(0))
    assert (made.recall.value, made.enough, made.kept, made.needed) == (1.0, False, False, 72)
    table = table_of([[1] * 72], [[0.0] * 72])
    assert promise(table, 0.95, np.random.default_rng(0)).kept


@pytest.mark.slow
def test_what_no_setting_covers_is_not_promised() -> None:
    table = table_of([[1] * 90 + [0] * 10], [[0.0] * 100])
    made = promise(table, 0.95, np.random.default_rng(0))
    assert (made.reached, made.enough, made.kept) == (False, True, False)


def test_without_a_face_there_is_no_recall() -> None:
    with pytest.raises(UsageError, match="No face is labelled"):
        promise(table_of([[0, 0]], [[0.0, 0.0]], [0, 0]), 0.9, np.random.default_rng(0))


# --- sfumato calibrate --------------------------------------------------------------------------

SMALL = ("--detector", "yunet@160:0.5", "-q")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image with a face eight times, and one without four times, labelled."""
    root = tmp_path_factory.mktemp("sample")
    (root / "src").mkdir()
    hopper = Image.open(demo_images.root() / "people/grace_hopper.jpg").convert("RGB")
    coffee = Image.open(demo_images.root() / "things/coffee.png").convert("RGB")
    for i in range(12):
        (hopper if i < 8 else coffee).resize((160, 160)).save(root / f"src/{i:02}.png")
    found = registry.parse("yunet@320:0.5").detect([np.asarray(hopper.resize((160, 160)))])[0]
    with (root / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "x0", "y0", "x1", "y1"])
        rows.writerows([f"{i:02}.png", *found[0].box] for i in range(8))
        rows.writerows([f"{i:02}.png", "", "", "", ""] for i in range(8, 11))
    return root


@pytest.mark.slow
def test_a_recipe_is_written_that_run_takes(sample: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    labels = ("--boxes", sample / "labels.csv")
    done = sfumato("calibrate", sample / "src", *labels, "--recall", "0.6", "-o", recipe, *SMALL)
    assert done.code == 0, done.err
    assert "11 images, 8 labelled faces in 8 of them" in done.out
    written = tomllib.loads(recipe.read_text())
    assert written.keys() == {"detector", "expand"}
    assert str(sample) not in recipe.read_text()
    ran = sfumato("run", sample / "src", tmp_path / "out", "--config", recipe, "-q", "--json")
    assert ran.code in {0, 1}, ran.err
    summary = json.loads(ran.out)
    assert summary["recipe"]["detect"]["detectors"] == written["detector"]
    assert summary["recipe"]["obfuscate"]["expand"] == written["expand"]
    assert summary["faces"]["images_with_faces"] == 8


@pytest.mark.slow
def test_too_small_a_sample_leaves_with_1_and_writes_nothing(sample: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    labels = ("--boxes", sample / "labels.csv", "--unlisted", "faceless")
    done = sfumato("calibrate", sample / "src", *labels, "-o", recipe, *SMALL)
    assert done.code == 1
    assert "12 images, 8 labelled faces" in done.out
    assert "Label at least 72 such images (about 72 faces" in done.out
    assert not recipe.exists()


@pytest.mark.slow
def test_everything_is_there_as_json_too(sample: Path) -> None:
    labels = ("--boxes", sample / "labels.csv", "--recall", "0.6", "--expand", "0.3")
    done = sfumato("calibrate", sample / "src", *labels, *SMALL, "--json")
    plain = json.loads(done.out)
    assert plain["promised"] is True
    assert plain["setting"]["expand"] == 0.3
    assert plain["expected"]["recall"]["value"] == 1.0
    assert len(plain["curve"]) == 26
    recalls = [row["recall"] for row in plain["curve"]]
    assert recalls == sorted(recalls, reverse=True)
    assert sfumato("calibrate", sample / "src", *labels, *SMALL, "--json").out == done.out


@pytest.mark.slow
def test_what_cant_be_judged_is_named(sample: Path, tmp_path: Path) -> None:
    source = tmp_path / "src"
    source.mkdir()
    (source / "00.png").write_bytes((sample / "src/00.png").read_bytes())
    (source / "01.png").write_bytes(b"no image")
    labels = ("--boxes", sample / "labels.csv", "--recall", "0.6")
    done = sfumato("calibrate", source, *labels, *SMALL)
    assert done.code == 1
    assert "left out: 01.png: IMAGE_UNRECOGNISED" in done.err
    assert "left out: 02.png: labelled, but not in SRC" in done.err


@pytest.mark.slow
def test_labels_that_cant_be_right_are_refused(sample: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "labels.csv"
    wrong.write_text("path,x0,y0,x1,y1\n00.png,50,50,10,90\n")
    done = sfumato("calibrate", sample / "src", "--boxes", wrong, *SMALL)
    assert done.code == 2
    assert "labels must be right" in done.err
    wrong.write_text("path,x0,y0,x1,y1\nelsewhere/a.png,5,5,10,90\n")
    done = sfumato("calibrate", sample / "src", "--boxes", wrong, *SMALL)
    assert done.code == 2
    assert "names no image" in done.err


def test_the_device_is_not_passed_over(sample: Path) -> None:
    labels = ("--boxes", sample / "labels.csv")
    for verb in (("calibrate",), ("audit", "detection", "--by", "size")):
        done = sfumato(*verb, sample / "src", *labels, *SMALL, "--device", "tpu")
        assert done.code == 2
        assert "There is no device 'tpu'" in done.err


def test_measuring_sends_no_image_out_of_this_machine(sample: Path) -> None:
    labels = ("--boxes", sample / "labels.csv")
    for verb in (("calibrate",), ("audit", "detection", "--by", "size")):
        done = sfumato(*verb, sample / "src", *labels, "--detector", "rekognition:0.5", "-q")
        assert done.code == 2
        assert "which nothing that measures does: choose a detector that works here" in done.err
