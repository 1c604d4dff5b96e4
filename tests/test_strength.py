"""What the measure of strength must tell apart, whatever the size of the face and the file."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import scipy.fft
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from sfumato.obfuscation import METHODS, Fill, Gaussian, ImageNet, Pixelate, make
from sfumato.obfuscation.strength import (
    LIMIT,
    contrast_left,
    holds_nothing,
    leftover,
    still_shown,
)
from sfumato.types import Box, Pixels
from tests.textures import face, noise
from tests.variants import slow_unless

OURS = ("gaussian", "pixelate", "fill")
SIZES = (8, 12, 20, 40, 90, 200, 400)
Planes = NDArray[np.float64]
Cover = Callable[[Pixels, Box], Pixels]


@lru_cache
def portrait(size: int) -> tuple[Pixels, Box]:
    image = face(size, seed=1)
    image.flags.writeable = False
    return image, (float(size), float(size), 2.0 * size, 2.0 * size)


def as_jpeg(image: Pixels, quality: int) -> Pixels:
    """What a JPEG file with halved chroma shows of it."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(file))


def half_covered(image: Pixels, box: Box) -> Pixels:
    after = Gaussian()(image, [box])
    x0, y0, x1, y1 = (round(side) for side in box)
    after[y0:y1, (x0 + x1) // 2 : x1] = image[y0:y1, (x0 + x1) // 2 : x1]
    return after


def a_third_of_the_sigma(image: Pixels, box: Box) -> Pixels:
    return Gaussian(strength=Gaussian().strength / 3)(image, [box])


def translucent(image: Pixels, box: Box) -> Pixels:
    mixed: Pixels = np.rint(0.65 * Fill()(image, [box]) + 0.35 * image).astype(np.uint8)
    return mixed


def only_luma(image: Pixels, box: Box) -> Pixels:
    """Covered in its luma, while the planes of chroma still show the face."""
    planes = np.array(Image.fromarray(image).convert("YCbCr"))
    planes[..., :1] = Gaussian()(planes[..., :1], [box])
    return np.asarray(Image.fromarray(planes, "YCbCr").convert("RGB"))


# The two ends of the scale


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_an_untouched_face_is_one(size: int) -> None:
    image, box = portrait(size)
    assert leftover(image, image, box) == pytest.approx(1.0, abs=0.02)
    assert contrast_left(image, image, box) == pytest.approx(1.0, abs=0.02)
    assert 0.8 < leftover(image, as_jpeg(image, 75), box) < 1.6


@pytest.mark.parametrize("quality", slow_unless([50, 75, 95], lambda quality: quality == 75))
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", OURS)
def test_the_defaults_pass_also_when_written_as_jpeg(name: str, size: int, quality: int) -> None:
    image, box = portrait(size)
    before = as_jpeg(image, 90)
    after = make(name)(before, [box])
    assert leftover(before, after, box) <= LIMIT
    assert leftover(before, as_jpeg(after, quality), box) <= LIMIT


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("weak", [half_covered, a_third_of_the_sigma, translucent, only_luma])
def test_planted_weaknesses_fail(weak: Cover, size: int) -> None:
    image, box = portrait(size)
    if weak is only_luma and size < 16:
        return  # too small for its colour to be told from its neighbours': documented
    assert leftover(image, weak(image, box), box) > LIMIT
    assert leftover(image, as_jpeg(weak(image, box), 85), box) > LIMIT


@pytest.mark.parametrize("size", [24, 48])
def test_a_ninth_that_was_not_covered_fails(size: int) -> None:
    """Too little to show in the whole face, a ninth of which it is."""
    image = noise(3 * size, 3 * size, 3, seed=6)
    box = (float(size), float(size), 2.0 * size, 2.0 * size)
    after = Gaussian()(image, [box])
    for row, column in ((0, 0), (1, 1), (2, 1)):
        y, x = size + row * size // 3, size + column * size // 3
        missed = after.copy()
        missed[y : y + size // 3, x : x + size // 3] = image[y : y + size // 3, x : x + size // 3]
        assert leftover(image, missed, box) > LIMIT
    assert leftover(image, after, box) <= LIMIT


def test_imagenet_fails_on_a_small_face_beside_a_large_one() -> None:
    small, _ = portrait(20)
    image = np.full((340, 520, 3), 120, dtype=np.uint8)
    image[140:200, 20:80] = small
    box, large = (40.0, 160.0, 60.0, 180.0), (240.0, 70.0, 440.0, 270.0)
    left = leftover(image, ImageNet()(image, [box, large]), box)
    assert left == pytest.approx(0.81, abs=0.05)
    assert left > ImageNet.limit > LIMIT
    alone = leftover(image, ImageNet()(image, [box]), box)
    assert LIMIT < alone < ImageNet.limit


# The scale


@pytest.mark.slow
def test_it_falls_as_the_blur_grows() -> None:
    image, box = portrait(60)
    left = [
        leftover(image, Gaussian(strength=s)(image, [box]), box) for s in (0.02, 0.05, 0.1, 0.2)
    ]
    assert left == sorted(left, reverse=True)
    assert left[0] > 0.9
    assert left[-1] < 0.3


@pytest.mark.parametrize("times", [2, 5])
def test_it_is_relative_to_the_face(times: int) -> None:
    image, box = portrait(24)
    weak = Gaussian(strength=0.1)(image, [box])
    enlarged = [np.kron(i, np.ones((times, times, 1), dtype=np.uint8)) for i in (image, weak)]
    x0, y0, x1, y1 = box
    scaled = (times * x0, times * y0, times * x1, times * y1)
    assert leftover(enlarged[0], enlarged[1], scaled) == pytest.approx(
        leftover(image, weak, box), abs=0.05
    )


@pytest.mark.slow
@given(share=st.floats(0, 1), shift=st.integers(0, 60))
@settings(max_examples=30, deadline=None)
def test_a_pale_copy_is_worth_its_contrast_whatever_its_brightness(
    share: float, shift: int
) -> None:
    image, box = portrait(40)
    pale = np.rint(image * share + (1 - share) * 127 * shift / 60).astype(np.uint8)
    # A share that is lost in rounding to whole grey levels can't be seen.
    assert leftover(image, pale, box) == pytest.approx(share, abs=0.03)


# What is there and tells nothing


@pytest.mark.slow
def test_noise_and_edges_of_cells_are_no_face() -> None:
    for size in (8, 12, 20, 40, 90):
        image, box = portrait(size)
        flat = Fill()(image, [box])
        grain = np.random.default_rng(size).normal(0, 8, image.shape)
        noisy = np.clip(flat + grain, 0, 255).astype(np.uint8)
        other = face(size, seed=9)[::-1, ::-1].copy()
        assert leftover(image, noisy, box) <= LIMIT, size
        if size >= 20:
            assert contrast_left(image, noisy, box) > contrast_left(image, flat, box) + 0.02
            assert leftover(image, Pixelate(cells=5)(image, [box]), box) <= LIMIT, size
            assert leftover(image, other, box) < 0.5, size


def test_a_flat_face_has_nothing_to_leave() -> None:
    flat = np.full((60, 60, 3), 90, dtype=np.uint8)
    faint = flat + noise(60, 60, 1, seed=1) % 2
    box = (20.0, 20.0, 40.0, 40.0)
    for before, after in (
        (flat, flat),
        (flat, as_jpeg(noise(60, 60, 3, seed=2), 75)),
        (faint, faint),
    ):
        assert leftover(before, after, box) <= 0.1


# The measure as docs/verification.md tells it, with other mathematics


def octaves(plane: Planes, step: int, size: int) -> list[tuple[Planes, int]]:
    """Split a plane of the face into the octaves that it holds, with the number of waves."""
    rows, columns = (side // step for side in plane.shape)
    cells = plane[: rows * step, : columns * step].reshape(rows, step, columns, step)
    flat = cells.sum(axis=(1, 3)) / step**2
    y, x = np.mgrid[0:rows, 0:columns]
    slopes = np.stack([np.ones(flat.size), x.ravel(), y.ravel()], axis=1)
    fit = np.linalg.lstsq(slopes, flat.ravel(), rcond=None)[0]
    waves = scipy.fft.dctn(flat - (slopes @ fit).reshape(flat.shape), norm="ortho")
    cycles = np.hypot(y / (2 * rows), x / (2 * columns)) * size / step
    chosen = [(low <= cycles) & (cycles < 2 * low) for low in (1.25, 2.5, 5.0)]
    held = [one for one in chosen if one.sum() >= 6]
    return [(scipy.fft.idctn(waves * one, norm="ortho"), int(one.sum())) for one in held]


def share(a: Planes, b: Planes, waves: float, floor: float, doubt: float, usual: float) -> float:
    energy, product = (a * a).sum(), (a * b).sum()
    whole = energy + waves * floor**2 + 0.1 * usual
    rest = max((b * b).sum() - product**2 / energy, 0)
    return float((product - doubt * np.sqrt(rest / (waves - 1) * energy)) / whole)


def independent(before: Pixels, after: Pixels, box: Box) -> tuple[float, float]:
    """What is left and the contrast that is, for a box of whole pixels, by SciPy's transforms."""
    x0, y0, x1, y1 = (int(side) for side in box)
    size = max(x1 - x0, y1 - y0)
    step = max(1, -(-size // 48))
    crops = [image[y0:y1, x0:x1].astype(float) for image in (before, after)]
    luma = [octaves(crop @ np.array([0.299, 0.587, 0.114]), step, size) for crop in crops]
    shares, strengths = [0.0], [0.0, 0.0]
    for number, ((a, waves), (b, _)) in enumerate(zip(*luma, strict=True)):
        strengths[0] += (a * a).sum() + 4 * waves
        strengths[1] += (b * b).sum()
        shares.append(share(a, b, waves, 2.0, float(number > 0), 0.0))
        rows, columns = ([round(side * q / 4) for q in range(5)] for side in a.shape)
        for i, j in np.ndindex(3, 3) if number and waves / 4 >= 10 else ():
            part = np.s_[rows[i] : rows[i + 2], columns[j] : columns[j + 2]]
            of_it = a[part].size / a.size
            usual = (a * a).sum() * of_it
            shares.append(share(a[part], b[part], waves * of_it, 2.0, 1.0, usual))
    if size >= 16:
        inks = np.array([[-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
        pairs = [[octaves(crop @ ink, step, size)[0] for ink in inks] for crop in crops]
        waves = 2 * pairs[0][0][1]
        a, b = (np.stack([plane for plane, _ in pair]) for pair in pairs)
        shares.append(share(a, b, waves, 4.0, 2.0, 0.0))
    return max(shares), float(np.sqrt(strengths[1] / strengths[0])) if strengths[0] else 0.0


def left_in(image: Pixels, box: Box, what: str) -> Pixels:
    """Leave only one kind of detail in the face: of one octave, of one window, of the colour."""
    x0, y0, x1, y1 = (int(side) for side in box)
    crop = image[y0:y1, x0:x1].astype(float)
    grey = np.full_like(crop, crop.mean(axis=(0, 1)))
    if what == "colour":
        grey = crop - (crop @ np.array([0.299, 0.587, 0.114]))[..., None] + 100
    elif what.startswith("window"):
        row, column = int(what[-2]), int(what[-1])
        h, w = crop.shape[0] // 4, crop.shape[1] // 4
        part = np.s_[row * h : (row + 2) * h, column * w : (column + 2) * w]
        grey[part] = crop[part]
    else:
        waves = scipy.fft.dctn(crop, axes=(0, 1), norm="ortho")
        y, x = np.mgrid[0 : crop.shape[0], 0 : crop.shape[1]]
        longer = max(crop.shape)
        cycles = np.hypot(y / crop.shape[0], x / crop.shape[1]) * longer / 2
        low = float(what)
        keep = (low <= cycles) & (cycles < 2 * low)
        grey += scipy.fft.idctn(waves * keep[..., None], axes=(0, 1), norm="ortho")
    after = image.copy()
    grain = np.random.default_rng(3).normal(0, 3, crop.shape)
    after[y0:y1, x0:x1] = np.clip(np.rint(grey + grain), 0, 255)
    return after


KINDS = ("1.25", "2.5", "5.0", "window00", "window12", "window21", "colour")
SHAPES = [(5, 5), (7, 9), (14, 15), (16, 12), (30, 22), (24, 48), (49, 40), (60, 97)]
SHAPES += [(12, 4), (4, 16)]  # 6 waves in the lowest octave, and 5
SHAPES += [(10, 6), (16, 10)]  # 39 waves in the middle one, and 40: windows need ten


@pytest.mark.parametrize("what", KINDS)
@pytest.mark.parametrize(("width", "height"), SHAPES)
def test_it_is_what_an_independent_computation_finds(width: int, height: int, what: str) -> None:
    box = (11.0, 6.0, 11.0 + width, 6.0 + height)
    for seed, contrast in ((0, 1.0), (1, 0.06)):  # also a face so flat that the floors count
        image = np.rint(noise(height + 12, width + 20, 3, seed=seed) * contrast + 60).clip(0, 255)
        before = image.astype(np.uint8)
        after = left_in(before, box, what)
        left, contrast_ = independent(before, after, box)
        assert leftover(before, after, box) == pytest.approx(left, abs=1e-6)
        assert contrast_left(before, after, box) == pytest.approx(contrast_, abs=1e-6)


def test_the_limits_are_those_that_the_docs_state() -> None:
    assert LIMIT == 0.2
    limits = {name: method.limit for name, method in METHODS.items()}
    assert limits == {"gaussian": 0.2, "pixelate": 0.2, "fill": 0.2, "imagenet": 0.8}


# Shapes and places


def test_grey_is_measured_like_rgb() -> None:
    image, box = portrait(40)
    grey = np.asarray(Image.fromarray(image).convert("L"))[..., None]
    rgb, alpha = np.repeat(grey, 3, axis=2), np.full_like(grey, 255)
    weak = {c: Gaussian(strength=0.1)(i, [box]) for c, i in ((1, grey), (3, rgb))}
    left = leftover(grey, weak[1], box)
    assert left == pytest.approx(leftover(rgb, weak[3], box), abs=1e-6)
    for channels, clear in ((1, grey), (3, rgb)):
        before = np.concatenate([clear, alpha], axis=2)
        after = np.concatenate([weak[channels], alpha // 2], axis=2)
        assert left == pytest.approx(leftover(before, after, box), abs=1e-6)


def test_what_overhangs_the_image_is_left_out() -> None:
    image, (x0, y0, x1, y1) = portrait(60)
    crop = image[:, 80:]  # a third of the face is cut off
    box = (x0 - 80, y0, x1 - 80, y1)
    assert leftover(crop, crop, box) == pytest.approx(1.0, abs=0.02)
    assert leftover(crop, Gaussian()(crop, [box]), box) <= LIMIT
    assert leftover(crop, a_third_of_the_sigma(crop, box), box) > LIMIT


@pytest.mark.parametrize(
    "box",
    [
        (5.0, 5.0, 6.0, 6.0),
        (5.2, 5.2, 5.4, 5.4),
        (-40.0, 5.0, -10.0, 30.0),
        (70.0, 5.0, 90.0, 30.0),
        (-300.0, 10.0, 1.0, 300.0),
        (10.6, 5.0, 10.9, 40.0),  # rounded, it has no width
        (5.0, 10.6, 40.0, 10.9),
        (-595.0, 5.0, 3.0, 50.0),  # its cells would be wider than what lies inside
        (5.0, -595.0, 50.0, 3.0),
    ],
)
def test_boxes_of_hardly_a_pixel_are_measured_as_nothing_or_untouched(box: Box) -> None:
    image = noise(60, 60, 3, seed=3)
    left = leftover(image, image, box)
    assert left == 0 or left == pytest.approx(1, abs=0.05)
    assert contrast_left(image, image, box) <= 1.0
    assert left > 0 or contrast_left(image, image, box) == 0


@pytest.mark.slow
@given(data=st.data(), channels=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_any_box_gives_a_number_that_is_not_negative(data: st.DataObject, channels: int) -> None:
    before, after = noise(50, 60, channels, seed=4), noise(50, 60, channels, seed=5)
    x, y = data.draw(st.floats(-40, 70)), data.draw(st.floats(-40, 70))
    box = (x, y, x + data.draw(st.floats(0.1, 200)), y + data.draw(st.floats(0.1, 200)))
    for value in (leftover(before, after, box), contrast_left(before, after, box)):
        assert np.isfinite(value)
        assert value >= 0


# Faces of which nothing was covered, and places where there is nothing


def test_what_was_not_covered_at_all_is_shown_however_small_it_is() -> None:
    image, box = portrait(40)
    small = (50.0, 50.0, 53.0, 53.0)
    assert leftover(image, image, small) == 0
    assert still_shown(image, image, small) == 1
    assert still_shown(image, image, box) == pytest.approx(1, abs=1e-9)
    after = image.copy()
    after[52, 52] ^= 1
    assert still_shown(image, after, small) == 0
    # Every pixel that it touches counts.
    assert still_shown(image, after, (50.0, 50.0, 52.1, 52.1)) == 0
    assert still_shown(image, after, (52.9, 52.9, 55.0, 55.0)) == 0
    assert still_shown(image, after, (50.0, 50.0, 52.0, 53.0)) == 1
    assert still_shown(image, after, (53.0, 50.0, 55.0, 53.0)) == 1


def test_of_what_lies_mostly_outside_nobody_can_say_that_it_was_covered() -> None:
    image, _ = portrait(40)
    covered = np.full_like(image, 128)
    for half, less in (
        ((-20.0, 40.0, 20.0, 80.0), (-20.5, 40.0, 19.5, 80.0)),
        ((40.0, -20.0, 80.0, 20.0), (40.0, -20.5, 80.0, 19.5)),
    ):
        assert still_shown(image, covered, half) < 0.1
        assert still_shown(image, covered, less) == 1
    noisy = noise(60, 60, 3, seed=5) // 2 + 64
    loud = np.clip(noisy.astype(int) * 2 - 128, 0, 255).astype(np.uint8)
    outside = (-30.0, 10.0, 25.0, 50.0)
    assert still_shown(noisy, loud, outside) == leftover(noisy, loud, outside) > 1.5


def test_the_first_row_and_column_of_a_image_count() -> None:
    image = np.full((20, 30, 3), 90, dtype=np.uint8)
    for row, column in ((0, 5), (5, 0)):
        other = image.copy()
        other[row, column] = 120
        for box in ((0.0, 0.0, 10.0, 10.0), (-3.0, -3.0, 10.0, 10.0)):
            assert not holds_nothing(other, box)
            assert still_shown(other, other, box) == 1
            assert still_shown(image, other, box) < 1


@pytest.mark.slow
def test_a_sliver_of_a_large_face_is_measured_in_cells_that_fit_into_it() -> None:
    image = noise(48, 48, 3, seed=8).repeat(10, axis=0).repeat(10, axis=1)
    for left in (-235.0, -470.0, -475.0, 235.0, 470.0, 475.0):
        box = (left, 0.0, left + 480, 480.0)
        for turned in (box, (box[1], box[0], box[3], box[2])):
            assert leftover(image, image, turned) == pytest.approx(1, abs=0.15)
            assert leftover(image, Fill()(image, [turned]), turned) < LIMIT


def test_a_place_of_one_colour_holds_nothing() -> None:
    image = np.full((20, 30, 3), (10, 200, 90), dtype=np.uint8)
    box = (10.1, 5.2, 14.9, 9.8)
    assert holds_nothing(image, box) is True
    assert still_shown(image, image, box) < 1e-9
    touched, beside = ((5, 10), (9, 14)), ((4, 10), (10, 10), (5, 9), (5, 15))
    for row, column in touched + beside:
        for levels in (2, 3):
            other = image.copy()
            other[row, column, 1] += levels
            shows = (row, column) in touched and levels == 3
            assert holds_nothing(other, box) is not shows
            assert (still_shown(other, other, box) == 1) is shows
    for half, less in (
        ((-5.0, 2.0, 5.0, 12.0), (-5.1, 2.0, 4.9, 12.0)),
        ((2.0, -5.0, 12.0, 5.0), (2.0, -5.1, 12.0, 4.9)),
        ((25.0, 2.0, 35.0, 12.0), (25.1, 2.0, 35.1, 12.0)),
        ((2.0, 15.0, 12.0, 25.0), (2.0, 15.1, 12.0, 25.1)),
    ):
        assert holds_nothing(image, half) is True
        assert holds_nothing(image, less) is False


def test_images_that_differ_in_shape_are_refused() -> None:
    image, box = portrait(8)
    with pytest.raises(ValueError, match="alike"):
        leftover(image, image[1:], box)


# Real faces


@pytest.mark.slow
def test_real_faces_pass_when_covered_and_fail_when_not(shared_data: Path) -> None:
    """A fifth of the labelled ImageNet faces, written with the tables of their own files."""
    faces: dict[str, list[Box]] = defaultdict(list)
    with (shared_data / "imagenet" / "faces.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["kind"] == "face":
                x0, y0, x1, y1 = (float(row[side]) for side in ("x0", "y0", "x1", "y1"))
                faces[row["path"]].append((x0, y0, x1, y1))
    covered, third, untouched = [], [], []
    for path in sorted(faces)[::5]:
        image = Image.open(shared_data / "imagenet" / "images" / path)
        before, found = np.asarray(image.convert("RGB")), faces[path]

        def written(after: Pixels, image: Image.Image = image) -> Pixels:
            copy, file = image.copy(), io.BytesIO()
            copy = Image.fromarray(after).convert(image.mode)
            copy.save(file, "JPEG", qtables=getattr(image, "quantization", None))
            return np.asarray(Image.open(file).convert("RGB"))

        cover, weak = Gaussian(), Gaussian(strength=Gaussian().strength / 3)
        after = [written(method(before, found)) for method in (cover, weak)]
        for box in found:
            covered.append(leftover(before, after[0], box))
            third.append(leftover(before, after[1], box))
            untouched.append(leftover(before, written(before), box))
    assert len(covered) >= 15
    assert max(covered) <= LIMIT
    assert np.mean(np.array(third) > LIMIT) >= 0.85
    assert min(untouched) > 0.6
