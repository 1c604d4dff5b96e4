"""Found boxes against labels: judged by hand on small cases, and by pycocotools and scipy."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy import stats

from sfumato.assets import demo_images
from sfumato.detection.detectors import registry
from sfumato.stats import bootstrap, comparison, intervals
from sfumato.stats.matching import SIZES, Truth, match, size_of
from sfumato.stats.precision import rank
from sfumato.types import Box, Face

Images = Sequence[tuple[Truth, Sequence[Face]]]


def face(x0: float, y0: float, x1: float, y1: float, score: float = 0.9) -> Face:
    return Face((x0, y0, x1, y1), score, "test")


# --- one image --------------------------------------------------------------------------------


def test_a_face_is_matched_once_and_by_the_best_score() -> None:
    truth = Truth(100, 100, ((0, 0, 20, 20),))
    fits = match(truth, [face(0, 0, 20, 19, 0.3), face(0, 0, 20, 15, 0.8)], 0.5)
    assert fits.face.tolist() == [-1, 0]


@pytest.mark.parametrize(
    ("box", "name"),
    [
        ((0, 0, 15.9, 16), "< 16 px"),
        ((0, 0, 16, 16), "16-32 px"),
        ((0, 0, 64, 16), "32-96 px"),
        ((0, 0, 96, 96), ">= 96 px"),
    ],
)
def test_sizes_are_square_roots_of_areas(box: Box, name: str) -> None:
    assert SIZES[size_of(box)] == name


# --- average precision, against pycocotools -----------------------------------------------------


def coco_average_precision(names: Images, iou: float) -> float:
    """What pycocotools says; ignored regions are its crowds."""
    images = [{"id": i, "width": t.width, "height": t.height} for i, (t, _) in enumerate(names)]
    labels, results = [], []
    for i, (truth, found) in enumerate(names):
        for crowd, group in ((0, truth.faces), (1, truth.ignored)):
            for x0, y0, x1, y1 in group:
                shape = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0)}
                labels.append({"image_id": i, "category_id": 1, "iscrowd": crowd, **shape})
        for one in found:
            x0, y0, x1, y1 = one.box
            shape = {"bbox": [x0, y0, x1 - x0, y1 - y0]}
            results.append({"image_id": i, "category_id": 1, "score": one.score, **shape})
    for number, label in enumerate(labels, start=1):
        label["id"] = number
    with redirect_stdout(StringIO()):
        truth_side = COCO()
        truth_side.dataset = {
            "images": images,
            "annotations": labels,
            "categories": [{"id": 1, "name": "face"}],
            "info": {},
        }
        truth_side.createIndex()
        evaluation = COCOeval(truth_side, truth_side.loadRes(results), "bbox")
        evaluation.params.iouThrs = np.array([iou])
        evaluation.params.areaRng = [[0, 1e10]]
        evaluation.params.areaRngLbl = ["all"]
        evaluation.params.maxDets = [10_000]
        evaluation.evaluate()
        evaluation.accumulate()
    return float(evaluation.eval["precision"].mean())


def random_image(rng: np.random.Generator) -> tuple[Truth, list[Face]]:
    corners = rng.integers(0, 80, (rng.integers(1, 6), 2))
    sides = rng.integers(4, 40, (len(corners), 2))
    places = np.concatenate([corners, corners + sides], axis=1).astype(float)
    crowds = rng.random(len(places)) < 0.2
    found = []
    for place in np.repeat(places, 3, axis=0):
        moved = place + rng.integers(-6, 7, 4)
        if moved[2] > moved[0] and moved[3] > moved[1] and rng.random() < 0.6:
            # Few different scores: ties are part of the rule.
            found.append(Face(tuple(moved.tolist()), float(rng.integers(1, 8)) / 8, "test"))
    boxes = [tuple(place) for place in places.tolist()]
    kept = tuple(b for b, crowd in zip(boxes, crowds, strict=True) if not crowd)
    ignored = tuple(b for b, crowd in zip(boxes, crowds, strict=True) if crowd)
    return Truth(130, 130, kept, ignored), sorted(found, key=lambda f: -f.score)


@pytest.mark.parametrize("seed", range(12))
def test_average_precision_is_that_of_pycocotools(seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = [random_image(rng) for _ in range(rng.integers(1, 30))]
    images.append((Truth(130, 130, ((0, 0, 9, 9),)), [face(1, 1, 9, 9, 0.01)]))
    for iou in (0.35, 0.5, 0.75):
        ours = rank(images, iou=iou).precision()
        assert ours == pytest.approx(coco_average_precision(images, iou), abs=1e-9)


@pytest.mark.slow
def test_average_precision_of_what_a_detector_finds_is_that_of_pycocotools() -> None:
    """Labelled by what another detector finds, its doubtful boxes included."""
    ours, other = registry.parse("yunet@320:0.01"), registry.parse("centerface@320:0.05")
    images = []
    for name in demo_images.IMAGES:
        pixels = np.asarray(Image.open(demo_images.root() / name).convert("RGB"))
        labels = [one.box for one in other.detect([pixels])[0]]
        labels.append((0, 0, pixels.shape[1], pixels.shape[0]))  # nothing fits this one
        truth = Truth(pixels.shape[1], pixels.shape[0], tuple(labels))
        images.append((truth, ours.detect([pixels])[0]))
    found = rank(images, iou=0.5).precision()
    assert 0 < found < 1
    assert found == pytest.approx(coco_average_precision(images, 0.5), abs=1e-9)


@pytest.mark.slow
def test_average_precision_on_labelled_crowds_is_that_of_pycocotools(shared_data: Path) -> None:
    detector = registry.parse("yunet@640:0.02")
    with (shared_data / "crowds" / "faces.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    images = []
    for name in sorted({row["path"] for row in rows})[:40]:
        pixels = np.asarray(Image.open(shared_data / "crowds/images" / name).convert("RGB"))
        labels = [
            (float(row["x0"]), float(row["y0"]), float(row["x1"]), float(row["y1"]))
            for row in rows
            if row["path"] == name
        ]
        truth = Truth(pixels.shape[1], pixels.shape[0], tuple(labels[1:]), tuple(labels[:1]))
        images.append((truth, detector.detect([pixels])[0]))
    for iou in (0.35, 0.5):
        found = rank(images, iou=iou).precision()
        assert 0.3 < found < 1
        assert found == pytest.approx(coco_average_precision(images, iou), abs=1e-9)


def test_without_a_label_there_is_no_precision_to_speak_of() -> None:
    assert math.isnan(rank([(Truth(9, 9, ()), [face(0, 0, 5, 5)])], iou=0.5).precision())


# --- intervals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("hits", "trials"), [(0, 5), (3, 7), (45, 50), (50, 50), (900, 1000)])
def test_wilson_is_that_of_scipy(hits: int, trials: int) -> None:
    theirs = stats.binomtest(hits, trials).proportion_ci(method="wilson")
    assert intervals.wilson(hits, trials) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_the_interval_of_a_difference_is_that_of_newcombes_paper() -> None:
    """56 of 70 against 48 of 80: 0.0524 to 0.3339 (Statistics in Medicine 17, 1998, table II)."""
    one, other = (
        intervals.Estimate(hits, trials, hits / trials, *intervals.wilson(hits, trials))
        for hits, trials in ((56, 70), (48, 80))
    )
    assert intervals.difference(one, other) == pytest.approx((0.0524, 0.3339), abs=5e-5)


@pytest.mark.parametrize("trials", [1, 12, 300])
def test_the_end_where_all_are_hits_is_the_exact_one_of_scipy(trials: int) -> None:
    theirs = stats.binomtest(trials, trials).proportion_ci(method="exact")
    assert intervals.least(trials) == pytest.approx(theirs.low)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.95, 0.99])
def test_the_trials_needed_are_the_fewest_that_can_tell(share: float) -> None:
    needed = intervals.trials_needed(share)
    assert intervals.least(needed) >= share > intervals.least(needed - 1)


@pytest.mark.slow
def test_an_interval_of_independent_trials_is_about_the_exact_one() -> None:
    rng = np.random.default_rng(1)
    part = (rng.random(2000) < 0.9).astype(np.int64)
    estimate = bootstrap.ratio(part, np.ones_like(part), rng)
    theirs = stats.binomtest(int(part.sum()), 2000).proportion_ci(method="exact")
    assert (estimate.low, estimate.high) == pytest.approx((theirs.low, theirs.high), abs=0.004)
    assert (estimate.part, estimate.whole) == (part.sum(), 2000)


def test_faces_that_are_missed_together_widen_the_interval() -> None:
    rng = np.random.default_rng(2)
    one_each = (rng.random(100) < 0.8).astype(np.int64)
    alone = bootstrap.ratio(one_each, np.ones(100, dtype=np.int64), np.random.default_rng(0))
    crowds = bootstrap.ratio(10 * one_each, np.full(100, 10), np.random.default_rng(0))
    assert crowds.whole == 1000
    assert crowds.high - crowds.low == pytest.approx(alone.high - alone.low)


@pytest.mark.slow
def test_an_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(300):
        faces = rng.integers(1, 5, 120)
        found = rng.binomial(faces, np.where(rng.random(120) < 0.3, 0.5, 0.9))
        estimate = bootstrap.ratio(found, faces, rng, rounds=400)
        held += estimate.low <= 0.3 * 0.5 + 0.7 * 0.9 <= estimate.high
    assert 270 <= held <= 297


def test_the_same_seed_gives_the_same_interval_and_another_another() -> None:
    part, whole = np.arange(40), np.arange(3, 43)
    one, two, three = (
        bootstrap.ratio(part, whole, np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    assert one == two
    assert (one.low, one.high) != (three.low, three.high)


def test_one_image_of_many_faces_is_one_observation() -> None:
    """Resampled, it would always say the same: an interval of no width."""
    part, whole = np.array([7, 0, 0]), np.array([15, 0, 0])
    estimate = bootstrap.ratio(part, whole, np.random.default_rng(0))
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx(
        (7 / 15, *intervals.wilson(7 / 15, 1))
    )
    assert estimate.high - estimate.low > 0.7
    many = bootstrap.ratio(np.tile([7, 1], 5), np.full(10, 15), np.random.default_rng(0))
    assert many.high - many.low < 0.3


def test_all_or_nothing_still_has_a_width_and_nothing_at_all_no_value() -> None:
    rng = np.random.default_rng(0)
    ones = np.ones(20, dtype=np.int64)
    assert bootstrap.ratio(ones, ones, rng).low == pytest.approx(0.025 ** (1 / 20))
    assert bootstrap.ratio(0 * ones, ones, rng).high == pytest.approx(1 - 0.025 ** (1 / 20))
    assert bootstrap.ratio(ones, ones, rng, share=False).low == 1.0
    assert math.isnan(bootstrap.ratio(0 * ones, 0 * ones, rng).value)


# --- comparisons --------------------------------------------------------------------------------


def test_holm_is_right_by_hand() -> None:
    assert comparison.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert comparison.holm([0.9, 0.5]) == [1.0, 1.0]
    assert comparison.holm([]) == []


Flags = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


def clustered(rng: np.random.Generator, gap: float) -> tuple[Flags, Flags, NDArray[np.intp]]:
    """Sixty images of one to nineteen faces that are mostly missed or found together."""
    sizes = rng.integers(1, 20, 60)
    images = np.repeat(np.arange(60), sizes)
    dark = rng.random(60) < 0.4
    inside = np.where(rng.random(len(images)) < 0.9, dark[images], ~dark[images])
    bad = rng.random(60) < 0.2 + gap * dark
    missed = rng.random(len(images)) < np.where(bad[images], 0.8, 0.05)
    return inside, missed, images


def fisher(inside: Flags, missed: Flags) -> float:
    table = [[(missed & inside).sum(), (~missed & inside).sum()]]
    table += [[(missed & ~inside).sum(), (~missed & ~inside).sum()]]
    return float(stats.fisher_exact(table).pvalue)


@pytest.mark.slow
def test_faces_of_one_image_arent_taken_for_many_observations() -> None:
    """Where nothing differs, 5 of 100 tests say that something does; Fisher's say far more."""
    rng = np.random.default_rng(4)
    ours, fishers = [], []
    for _ in range(300):
        inside, missed, images = clustered(rng, 0.0)
        ours.append(comparison.permutation(inside, missed, images, rng, shuffles=199))
        fishers.append(fisher(inside, missed))
    assert np.mean(np.array(ours) <= 0.05) <= 0.08
    assert np.mean(np.array(fishers) <= 0.05) > 0.30


def test_a_real_difference_is_seen() -> None:
    rng = np.random.default_rng(5)
    found = [comparison.permutation(*clustered(rng, 0.6), rng, shuffles=199) for _ in range(40)]
    assert np.mean(np.array(found) < 0.05) > 0.9


def test_a_difference_within_images_is_seen() -> None:
    """Every image shows one face of the group and one other; the first are missed more often."""
    rng = np.random.default_rng(7)
    inside = np.tile([True, False], 80)
    missed = rng.random(160) < np.where(inside, 0.5, 0.2)
    images = np.repeat(np.arange(80), 2)
    assert comparison.permutation(inside, missed, images, rng) < 0.01
    evenly = rng.permuted(missed.reshape(80, 2), axis=1).ravel()
    assert comparison.permutation(inside, evenly, images, rng) > 0.05


def test_one_image_proves_no_more_than_one_image_can() -> None:
    """Seven faces, all missed, in one image against a hundred that are found alone."""
    images = np.array([0] * 7 + list(range(1, 101)))
    inside = images == 0
    p = comparison.permutation(inside, inside.copy(), images, np.random.default_rng(0))
    assert p == pytest.approx(1 / 101, abs=0.004)
    assert fisher(inside, inside) < 1e-6


@pytest.mark.parametrize("seed", range(8))
def test_of_faces_alone_in_their_images_it_is_fishers_exact_test(seed: int) -> None:
    rng = np.random.default_rng(seed)
    inside = rng.random(200) < 0.5
    missed = rng.random(200) < np.where(inside, 0.25, 0.15)
    p = comparison.permutation(inside, missed, np.arange(200), rng)
    # Two-sided in another way: theirs takes the rarer tables, ours the larger differences.
    assert p == pytest.approx(fisher(inside, missed), abs=0.02)


def test_where_all_are_found_nothing_differs() -> None:
    inside = np.array([True, False] * 10)
    nothing = np.zeros(20, dtype=bool)
    p = comparison.permutation(inside, nothing, np.arange(20), np.random.default_rng(0), 99)
    assert p == 1.0


def test_drawing_with_replacement_draws_as_many_as_there_are() -> None:
    times = bootstrap.times_drawn(np.random.default_rng(0), 4000, 7)
    assert times.shape == (4000, 7)
    assert set(times.sum(axis=1).tolist()) == {7}
    assert times.mean(axis=0) == pytest.approx(np.ones(7), abs=0.06)
    again = np.random.default_rng(0).integers(0, 7, size=(4000, 7))
    assert times[-1].tolist() == np.bincount(again[-1], minlength=7).tolist()
