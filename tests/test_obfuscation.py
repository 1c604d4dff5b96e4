"""What covering promises: strength by physics, nothing outside, nothing weakened."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from sfumato.errors import UsageError
from sfumato.obfuscation import METHODS, Fill, Gaussian, ImageNet, Method, Pixelate, make
from sfumato.obfuscation.covering import face_of, gaussian_blur
from sfumato.types import Box, Obfuscator, Pixels
from tests.contract.obfuscator import ObfuscatorContract, changed, within
from tests.textures import checkerboard, face, noise

OURS = ("gaussian", "pixelate", "fill")
TEXTURES: dict[str, Callable[[], Pixels]] = {
    "noise": lambda: noise(300, 480, 3, seed=1),
    "checkerboard": lambda: checkerboard(300, 480, 3),
}
SMALL, LARGE = (40.0, 140.0, 60.0, 160.0), (220.0, 50.0, 420.0, 250.0)


def inside(image: Pixels, box: Box) -> NDArray[np.float64]:
    x0, y0, x1, y1 = (round(side) for side in box)
    return image[y0:y1, x0:x1].astype(np.float64)


def contrast(image: Pixels, box: Box) -> float:
    """Standard deviation of all frequencies but zero: an upper bound of that of the high ones."""
    return float(inside(image, box).std(axis=(0, 1)).mean())


def fine_contrast(image: Pixels, box: Box) -> float:
    """Standard deviation of what is left when averages over a quarter of the face are gone."""
    values = inside(image, box)
    quarter = max(2, round(min(values.shape[:2]) / 4))
    windows = np.lib.stride_tricks.sliding_window_view(values, (quarter, quarter), axis=(0, 1))
    centre = quarter // 2
    trimmed = values[centre : centre + windows.shape[0], centre : centre + windows.shape[1]]
    return float((trimmed - windows.mean(axis=(3, 4))).std(axis=(0, 1)).mean())


class TestGaussian(ObfuscatorContract):
    def made(self) -> Obfuscator:
        return make("gaussian")


class TestPixelate(ObfuscatorContract):
    def made(self) -> Obfuscator:
        return make("pixelate")


class TestFill(ObfuscatorContract):
    def made(self) -> Obfuscator:
        return make("fill")


class TestImageNet(ObfuscatorContract):
    def made(self) -> Obfuscator:
        return make("imagenet")


# Strength


@pytest.mark.parametrize("texture", TEXTURES)
@pytest.mark.parametrize("name", OURS)
def test_small_face_beside_a_large_one_keeps_a_tenth_at_most(name: str, texture: str) -> None:
    before = TEXTURES[texture]()
    after = make(name)(before, [SMALL, LARGE])
    assert contrast(after, SMALL) <= 0.10 * contrast(before, SMALL)
    assert contrast(after, LARGE) <= 0.10 * contrast(before, LARGE)


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
def test_portrait_keeps_a_tenth_of_its_fine_contrast_at_any_size(name: str) -> None:
    for size in (8, 12, 20, 64):
        before = face(size, seed=size)
        box = (float(size), float(size), 2.0 * size, 2.0 * size)
        after = make(name)(before, [box])
        assert fine_contrast(after, box) <= 0.10 * fine_contrast(before, box), size


@pytest.mark.parametrize("texture", TEXTURES)
def test_imagenet_leaves_what_was_published_of_a_small_face(texture: str) -> None:
    before = TEXTURES[texture]()
    after = ImageNet()(before, [SMALL, LARGE])
    assert contrast(after, SMALL) / contrast(before, SMALL) == pytest.approx(0.81, abs=0.03)


@pytest.mark.parametrize("name", OURS)
def test_tiny_face_of_noise_keeps_fifteen_hundredths_at_most(name: str) -> None:
    before = noise(400, 400, 1, seed=2)
    grid = [(x, y, x + 8.0, y + 8.0) for x in range(20, 380, 40) for y in range(20, 380, 40)]
    after = make(name)(before, grid)
    left = [contrast(after, box) / contrast(before, box) for box in grid]
    assert np.mean(left) <= 0.15


@pytest.mark.parametrize("strength", [0.2, 0.4])
@pytest.mark.parametrize("size", [8, 20, 33, 64, 200, 400])
def test_edge_response_has_the_stated_sigma(size: int, strength: float) -> None:
    """A step blurred by a Gaussian is its distribution function: 16 % and 84 % lie at 1 sigma."""
    side = 3 * size
    step = np.zeros((side, side, 1), dtype=np.uint8)
    step[:, side // 2 :] = 255
    box = (float(size), float(size), 2.0 * size, 2.0 * size)
    for image in (step, step.transpose(1, 0, 2)):
        after = Gaussian(strength=strength)(image, [box])
        rows = after[..., 0] if image is step else after[..., 0].T
        response = rows[side // 2].astype(float) / 255
        covered = slice(size - size // 4, 2 * size + size // 4)  # beyond lies the soft edge
        centres = np.arange(side)[covered] + 0.5
        low, high = np.interp([0.25, 0.75], response[covered], centres)
        sigma = (high - low) / 2 / NormalDist().inv_cdf(0.75)
        assert sigma == pytest.approx(strength * size, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("size", [9.0, 48.0, 160.0])
def test_pixelate_shows_only_values_of_the_gaussian_in_flat_cells(size: float) -> None:
    before = noise(400, 400, 3, seed=3)
    box = (120.0, 120.0, 120.0 + size, 120.0 + size)
    blurred, cells = Gaussian()(before, [box]), Pixelate(cells=6)(before, [box])
    grown = (120 - size / 4, 120 - size / 4, 120 + 1.25 * size, 120 + 1.25 * size)
    shown = {tuple(pixel) for pixel in inside(cells, grown).reshape(-1, 3)}
    assert shown <= {tuple(pixel) for pixel in inside(blurred, grown).reshape(-1, 3)}
    assert len(shown) <= 9 * 9  # 6 cells a side, grown 1.5 times


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_no_pixel_in_the_grown_box_shows_its_own_value(name: str, data: st.DataObject) -> None:
    x0, y0 = data.draw(st.floats(20, 60)), data.draw(st.floats(20, 60))
    width, height = data.draw(st.floats(8, 50)), data.draw(st.floats(8, 50))
    left, top = x0 - 0.25 * width, y0 - 0.25 * height
    across, down = data.draw(st.floats(0, 1)), data.draw(st.floats(0, 1))
    x, y = int(left + across * 1.5 * width), int(top + down * 1.5 * height)
    dark = np.full((180, 180, 1), 40, dtype=np.uint8)
    marked = dark.copy()
    marked[y, x] = 240
    box = (x0, y0, x0 + width, y0 + height)
    after = make(name)(marked, [box])[y, x, 0]
    # The peak of a Gaussian, 1 / (2 pi sigma^2), is 2.5 % for the least sigma here, 3.2 or less.
    assert after - 40 <= 0.04 * 200 * (8 / max(width, height)) ** 2 + 1


# Reach


@pytest.mark.parametrize("size", [10.0, 33.0, 95.0])
def test_imagenet_reaches_as_far_as_its_mask_spreads_and_not_much_farther(size: float) -> None:
    before = noise(400, 400, 1, seed=5)
    box = (150.5, 160.0, 150.5 + size, 160.0 + size / 2)
    ys, xs = np.nonzero(changed(before, ImageNet()(before, [box])))
    extent = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
    slack = (extent - np.array(ImageNet().reaches([box])[0])) * [1, 1, -1, -1]
    # The tails of three boxes fall below half a grey level before they end.
    assert slack.min() >= 0
    assert slack.max() <= 2 + 0.1 * size


@pytest.mark.parametrize(
    ("size", "whole"),
    [(10, 0), (14, 0), (14.14, 1), (14.15, 1), (14.3, 1), (15, 1), (24, 1), (25, 2), (200, 19)],
)
def test_imagenet_reaches_by_three_box_blurs(size: float, whole: int) -> None:
    """Of radius l, the whole part of (sqrt(4 sigma^2 + 1) - 1) / 2: at l^2 + l = sigma^2 one more.

    A thousandth before, as Pillow computes it in float32.
    """
    small, large = (100.0, 100.0, 105.0, 105.0), (100.0, 100.0, 100.0 + size, 108.0)
    spread = 3 * (whole + 1)
    assert ImageNet().reaches([small, large]) == [
        (math.floor(99.5 - spread),) * 2 + (math.ceil(105.5 + spread) + 1,) * 2,
        (
            math.floor(100 - size / 10 - spread),
            math.floor(100 - size / 10 - spread),
            math.ceil(100 + size + size / 10 + spread) + 1,
            math.ceil(108 + size / 10 + spread) + 1,
        ),
    ]
    assert ImageNet().reaches([]) == []


def test_a_face_lies_on_the_grid_of_sub_pixels_and_is_never_cut() -> None:
    step = 1 / 256
    found = face_of((10.003, 20.003, 30.001, 50.002), 0.25, 0.2)
    assert list(found.box) == [10, 20, 30 + step, 50 + step]
    assert found.size == 30 + step
    assert list(found.grown) == [5 - step, 12.5 - step, 35 + 2 * step, 57.5 + 2 * step]
    assert found.feather == pytest.approx(6 + step)
    assert list(found.reach) == [-2, 6, 42, 64]
    for empty in ((5.0, 5.0, 5.0, 5.0), (5.0, 5.0, 3.0, 2.0)):
        assert face_of(empty, 0.25, 0.2).size == 0


def test_wide_blurs_run_on_a_reduced_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """By one for each 2.5 pixels of sigma, from 2 on."""
    factors: list[int] = []
    reduce = Image.Image.reduce

    def noting(self: Image.Image, factor: int) -> Image.Image:
        factors.append(factor)
        return reduce(self, factor)

    monkeypatch.setattr(Image.Image, "reduce", noting)
    for sigma in (4.9, 5.0, 7.4, 7.5, 25.0):
        gaussian_blur(noise(40, 40, 3, seed=2), sigma)
    assert factors == [2, 2, 3, 10]


@pytest.mark.parametrize(("sigma", "factor", "length"), [(25, 10, 401), (50, 20, 819)])
def test_a_wide_blur_has_the_stated_sigma_and_stays_in_its_place(
    sigma: int, factor: int, length: int
) -> None:
    """On average over where an edge lies in the cells of the reduced image."""
    places = np.arange(1, length)
    for across in (True, False):
        shifts, variances = [], []
        for edge in range(5 * sigma, 5 * sigma + factor):
            for rising in (True, False):
                line = np.where((np.arange(length) < edge) == rising, 0, 255).astype(np.uint8)
                image = np.broadcast_to(line[None, :, None], (9, length, 1))
                turned = image if across else image.transpose(1, 0, 2)
                blurred = gaussian_blur(np.ascontiguousarray(turned), sigma)
                shown = blurred[4, :, 0] if across else blurred[:, 4, 0]
                spread = np.diff(shown.astype(float)) / (255 if rising else -255)
                centre = float((spread * places).sum())
                shifts.append(centre - edge)
                variances.append(float((spread * (places - centre) ** 2).sum()))
        assert np.mean(shifts) == pytest.approx(0, abs=0.1)
        assert np.mean(variances) == pytest.approx(sigma**2, rel=0.004)


@pytest.mark.parametrize("sigma", [1, 6])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_what_is_blurred_keeps_its_shape(channels: int, sigma: int) -> None:
    for height in (40, 300):
        image = noise(height, 30, channels, seed=2)
        assert gaussian_blur(image, sigma).shape == image.shape


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    "box",
    [
        (-15.0, 10.0, 15.0, 40.0),
        (45.0, 10.0, 75.0, 40.0),
        (15.0, -15.0, 45.0, 15.0),
        (15.0, 35.0, 45.0, 65.0),
        (-100.0, -100.0, 300.0, 300.0),
    ],
)
def test_overhanging_box_is_covered_up_to_the_border(name: str, box: Box) -> None:
    before = noise(50, 60, 3, seed=7)
    after = make(name)(before, [box])
    x0, y0, x1, y1 = max(box[0], 0), max(box[1], 0), min(box[2], 60), min(box[3], 50)
    left = contrast(after, (x0, y0, x1, y1)) / contrast(before, (x0, y0, x1, y1))
    assert left <= (0.2 if name == "imagenet" else 0.1)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("side", [0.01, 0.3, 1.0, 2.0])
def test_boxes_of_a_pixel_and_less_are_covered(name: str, side: float) -> None:
    before = checkerboard(20, 20, 3)
    box = (9.25, 9.25, 9.25 + side, 9.25 + side)
    after = make(name)(before, [box])
    near = (6.0, 6.0, 13.0, 13.0)
    assert not (changed(before, after) & ~within(before.shape, [near])).any()
    if name == "fill" and side >= 1:
        assert (after[9, 9] != before[9, 9]).all()


@pytest.mark.parametrize(("start", "first"), [(-4.5, 3), (-4.453125, 4)])
def test_cells_begin_at_the_box_also_where_it_overhangs(start: float, first: int) -> None:
    """Cells of 4 pixels, the third of which begins 8 pixels behind the box does."""
    ramp = np.broadcast_to((8 * np.arange(30, dtype=np.uint8))[:, None, None], (30, 30, 1))
    covered = Pixelate(cells=4, expand=0, feather=0)
    at = (start, 5.0, start + 16, 21.0)
    across = covered(ramp.transpose(1, 0, 2), [at])[12, :12, 0].astype(int)
    down = covered(ramp, [(at[1], at[0], at[3], at[2])])[:12, 12, 0].astype(int)
    for line in (across, down):
        edges = np.flatnonzero(np.diff(line)) + 1
        assert edges.tolist() == [edge for edge in (first, first + 4, first + 8) if edge < 12]


@pytest.mark.parametrize("across", [True, False])
def test_a_cell_whose_centre_lies_outside_shows_the_border(across: bool) -> None:
    """Cells of 10 pixels, the first and the last of which lie in the image by 4 and by 3."""
    ramp = np.broadcast_to((4 * np.arange(57, dtype=np.uint8) + 9)[None, :, None], (57, 57, 1))
    image = np.ascontiguousarray(ramp if across else ramp.transpose(1, 0, 2))
    box = (-6.0, -6.0, 64.0, 64.0)
    shown = Pixelate(cells=7, strength=0.05, expand=0, feather=0)(image, [box])
    line = (shown[28, :, 0] if across else shown[:, 28, 0]).astype(int)
    smooth = gaussian_blur(image, 0.05 * 70)
    blurred = (smooth[28, :, 0] if across else smooth[:, 28, 0]).astype(int)
    assert set(line[:4]) == {blurred[0]} != {blurred[1]}
    assert set(line[4:14]) == {blurred[9]}
    assert set(line[54:]) == {blurred[56]} != {blurred[55]}


def test_a_cell_shows_what_the_blur_gives_at_its_centre() -> None:
    image = noise(32, 32, 3, seed=4)
    shown = Pixelate(cells=4, expand=0, feather=0)(image, [(8.0, 8.0, 24.0, 24.0)])
    centres = np.repeat([2, 6, 10, 14], 4)
    smooth = gaussian_blur(image[8:24, 8:24], 0.4 * 16)
    assert np.array_equal(shown[8:24, 8:24], smooth[centres[:, None], centres])


def test_cover_fades_outside_the_grown_box_with_round_corners() -> None:
    before = np.zeros((120, 120, 1), dtype=np.uint8)
    box = (40.0, 40.0, 80.0, 80.0)  # grown by 10, feather 8
    shown = Fill(colour=(255,))(before, [box])[..., 0]
    assert (shown[30:90, 30:90] == 255).all()
    edge = shown[60, 89:99].astype(int)
    assert edge[0] == 255
    assert edge[-1] == 0
    assert (np.diff(edge) <= 0).all()
    assert len(set(edge[1:-1])) >= 6
    assert (shown == shown[::-1]).all()
    assert (shown == shown.T).all()
    assert shown[94, 94] < shown[94, 60]  # the corner is farther away


# Several faces


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_an_overlapping_face_never_raises_what_is_left_of_the_first(
    name: str, data: st.DataObject
) -> None:
    """What is left of a face is what changes in the result when its detail alone changes."""
    size = data.draw(st.integers(8, 60))
    first = (80.0, 80.0, 80.0 + size, 80.0 + size)
    x, y = data.draw(st.floats(40, 80 + size)), data.draw(st.floats(40, 80 + size))
    other = (x, y, x + data.draw(st.floats(5, 80)), y + data.draw(st.floats(5, 80)))
    plain = noise(220, 220, 1, seed=10) // 2 + 64
    detail = noise(size, size, 1, seed=11) // 2 - 64.0
    detailed = plain.copy()
    detailed[80 : 80 + size, 80 : 80 + size] += (
        (detail - detail.mean()).astype(np.int8).view(np.uint8)
    )
    method = make(name)

    def left(found: list[Box]) -> float:
        trace = method(detailed, found).astype(float) - method(plain, found)
        return float(trace[80 : 80 + size, 80 : 80 + size].std())

    # One grey level of the detail's 37: both results are rounded to whole ones at every step.
    assert left([first, other]) <= left([first]) + 1.0


def test_a_small_face_does_not_carry_a_large_one_out_of_its_box() -> None:
    """In ascending order the small face would smear pixels of the large one with its own sigma."""
    waves = np.round(100 + 100 * np.sin(np.arange(400) * 2 * np.pi / 60))  # of 60 px, downwards
    flat = np.full((400, 400, 1), 100, dtype=np.uint8)
    wavy = flat.copy()
    wavy[100:300, 100:300] = waves[100:300, None, None]
    found = [(100.0, 100.0, 300.0, 300.0), (260.0, 150.0, 360.0, 250.0)]
    method = Gaussian(strength=0.1, expand=0.0, feather=0.01)
    trace = np.abs(method(wavy, found).astype(float) - method(flat, found))
    left = 100 * np.exp(-2 * np.pi**2 * (20 / 60) ** 2)  # of a wave, by the large face's sigma
    assert trace[180:220, 303:].max() <= left + 1


# Channels and colours


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_channels_are_treated_alike_and_on_their_own(name: str, channels: int) -> None:
    before = noise(70, 80, channels, seed=12)
    found = [(10.3, 12.1, 50.7, 44.0), (40.0, 30.0, 52.0, 46.5), (70.0, 50.0, 95.0, 69.0)]
    after = make(name)(before, found)
    for channel in range(channels):
        alone = make(name)(before[..., channel : channel + 1], found)
        assert (after[..., channel : channel + 1] == alone).all()


@pytest.mark.parametrize(
    ("colour", "channels", "shown"),
    [
        ((200, 100, 50), 3, (200, 100, 50)),
        ((200, 100, 50), 1, (124,)),  # 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2
        ((200, 100, 50), 2, (124, 255)),
        ((200, 100, 50), 4, (200, 100, 50, 255)),
        ((1, 2, 3, 4), 4, (1, 2, 3, 4)),
        ((7,), 1, (7,)),
    ],
)
def test_fill_paints_a_colour_in_any_number_of_channels(
    colour: tuple[int, ...], channels: int, shown: tuple[int, ...]
) -> None:
    before = noise(40, 40, channels, seed=13)
    after = Fill(colour=colour)(before, [(10.0, 10.0, 30.0, 30.0)])
    assert (after[10:30, 10:30] == shown).all()


@pytest.mark.parametrize("mode", ["L", "CMYK", "YCbCr"])
def test_fill_in_another_mode_is_the_same_colour(mode: str) -> None:
    fill = Fill(colour=(200, 100, 50)).in_mode(mode)
    assert fill.colour is not None
    before = noise(40, 40, len(fill.colour), seed=14)
    after = fill(before, [(10.0, 10.0, 30.0, 30.0)])
    seen = Image.frombytes(mode, (40, 40), after.tobytes()).convert("RGB").getpixel((20, 20))
    wanted = (124, 124, 124) if mode == "L" else (200, 100, 50)
    assert seen == pytest.approx(wanted, abs=2)


def test_the_luma_of_a_colour_is_that_of_bt_601() -> None:
    for colour in np.random.default_rng(5).integers(0, 256, (200, 3)).tolist():
        after = Fill(colour=tuple(colour))(noise(9, 9, 1, seed=13), [(0.0, 0.0, 9.0, 9.0)])
        luma = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
        assert abs(float(after[4, 4, 0]) - luma) <= 0.5 + 1e-9


def test_a_fill_in_another_colour_is_laid_on_alike() -> None:
    before, box = noise(40, 40, 3, seed=14), (10.0, 10.0, 20.0, 20.0)
    other = Fill(colour=(1, 2, 3), expand=0.1, feather=0.5).in_colour((200, 100, 50))
    same = Fill(colour=(200, 100, 50), expand=0.1, feather=0.5)(before, [box])
    assert np.array_equal(other(before, [box]), same)
    assert (same[12, 12] == (200, 100, 50)).all()


@pytest.mark.parametrize(("end", "touched"), [(20.0, 20), (20.05, 21)])
def test_the_mean_is_that_of_all_pixels_that_the_box_touches(end: float, touched: int) -> None:
    """Also where the soft edge begins outside the image."""
    before = np.zeros((60, 60, 1), dtype=np.uint8)
    before[:20, :20], before[20:, :], before[:, 20:] = 100, 255, 255
    for box in ((0.5, 0.5, end, end), (-1.0, 0.5, end, end), (0.5, -1.0, end, end)):
        after = Fill(expand=0, feather=0.5)(before, [box])
        assert after[9, 9, 0] == round(before[:touched, :touched].mean())


def test_fill_by_default_is_the_mean_of_the_grown_box() -> None:
    before = noise(60, 60, 3, seed=15)
    after = Fill()(before, [(20.0, 20.0, 40.0, 36.0)])
    mean = before[16:40, 15:45].reshape(-1, 3).mean(axis=0)
    assert (np.abs(after[16:40, 15:45] - mean) <= 0.5).all()
    assert Fill().in_mode("CMYK") == Fill()


def test_fill_refuses_a_colour_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="colour of 4"):
        Fill(colour=(1, 2, 3, 4))(noise(9, 9, 3, seed=0), [(1.0, 1.0, 5.0, 5.0)])


# The published recipe, derived again


def extended_box(rows: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """One of three passes along the rows (Gwosdek et al. 2011), with replicated borders.

    A box of 2 l + 1 samples and a fraction a of the two beside it, such that its variance is a
    third of sigma squared; it is solved here from the sum of squares.
    """
    variance = sigma**2 / 3
    whole = math.floor((math.sqrt(12 * variance + 1) - 1) / 2)
    spread = whole * (whole + 1) * (2 * whole + 1) / 3
    part = (variance * (2 * whole + 1) - spread) / (2 * (whole + 1) ** 2 - 2 * variance)
    kernel = np.ones(2 * whole + 3)
    kernel[[0, -1]] = part
    padded = np.pad(rows, ((0, 0), (whole + 1, whole + 1)), mode="edge")
    return np.stack([np.convolve(row, kernel / kernel.sum(), mode="valid") for row in padded])


def three_boxes(plane: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    for _ in range(2):
        for _ in range(3):
            plane = np.floor(extended_box(plane, sigma) + 0.5)  # Pillow keeps 8 bits between
        plane = plane.T
    return plane


def published(image: Pixels, found: Sequence[Box]) -> NDArray[np.float64]:
    """The recipe of section 2.1 of the research notes in floating point."""
    height, width, _ = image.shape
    sizes = [max(x1 - x0, y1 - y0) for x0, y0, x1, y1 in found]
    sigma = 0.1 * max(sizes)
    mask = np.full((height, width), 255.0)
    for (x0, y0, x1, y1), size in zip(found, sizes, strict=True):
        left, top, right, bottom = (
            math.trunc(side)
            for side in (x0 - size / 10, y0 - size / 10, x1 + size / 10, y1 + size / 10)
        )
        if right >= 0 and bottom >= 0:
            mask[max(top, 0) : bottom + 1, max(left, 0) : right + 1] = 0  # far edges are drawn
    weight = three_boxes(mask, sigma)[..., None] / 255
    planes = [three_boxes(plane, sigma) for plane in np.moveaxis(image.astype(float), 2, 0)]
    return weight * image + (1 - weight) * np.stack(planes, axis=2)


@pytest.mark.parametrize("cases", [20, pytest.param(100, marks=pytest.mark.slow)])
def test_imagenet_agrees_with_the_published_arithmetic(cases: int) -> None:
    generator = np.random.default_rng(16)
    worst = 0.0
    for case in range(cases):
        height, width = generator.integers(12, 90, size=2)
        image = noise(height, width, 3, seed=case)
        if case % 2:
            image = np.sort(image, axis=case % 3 % 2)  # smooth, as images are
        found = []
        for _ in range(generator.integers(1, 5)):
            x, y = generator.uniform(-8, width - 1), generator.uniform(-8, height - 1)
            side = generator.uniform(9, 70, size=2)  # always with some part in the image
            found.append((x, y, x + side[0], y + side[1]))
        difference = np.abs(ImageNet()(image, found) - published(image, found))
        worst = max(worst, float(difference.max()))
    assert worst <= 1.0


@pytest.mark.parametrize("name", METHODS)
def test_boxes_of_numpy_numbers_are_boxes_too(name: str) -> None:
    image = noise(60, 60, 3, seed=18)
    x0, y0, x1, y1 = np.array([20.25, 20.5, 40.0, 41.75], dtype=np.float32)
    after = make(name)(image, [(x0, y0, x1, y1)])
    assert (after == make(name)(image, [(20.25, 20.5, 40.0, 41.75)])).all()


def test_imagenet_skips_degenerate_boxes() -> None:
    image = noise(60, 60, 3, seed=17)
    good = (20.0, 20.0, 40.0, 40.0)
    both = ImageNet()(image, [good, (5.0, 5.0, 5.0, 50.0), (30.0, 50.0, 10.0, 55.0)])
    assert (both == ImageNet()(image, [good])).all()


# Making and misusing


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_values_that_can_be_sent_to_workers(name: str) -> None:
    method: Obfuscator = make(name)
    same = pickle.loads(pickle.dumps(method))
    assert same == method
    assert hash(same) == hash(method)


def test_make_sets_what_was_asked_for() -> None:
    assert make("gaussian", expand=0.5) == Gaussian(expand=0.5)
    assert make("pixelate", expand=0.5) == Pixelate(expand=0.5)
    assert make("fill", expand=0.5, colour=(1, 2, 3)) == Fill(expand=0.5, colour=(1, 2, 3))
    assert make("imagenet", expand=0.5) == ImageNet()
    assert make("gaussian") == Gaussian(strength=0.4, expand=0.25, feather=0.2)
    assert Pixelate(cells=1).cells == 1
    assert make("pixelate") == Pixelate(cells=8, strength=0.4, expand=0.25, feather=0.2)
    assert make("fill") == Fill(colour=None, expand=0.25, feather=0.2)
    assert [method() for method in METHODS.values()] == list(map(make, METHODS))
    assert [getattr(one, "whole_image", False) for one in METHODS.values()] == [0, 0, 0, 1]
    assert list(METHODS) == ["gaussian", "pixelate", "fill", "imagenet"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: make("blur"), "gaussian, pixelate, fill, imagenet"),
        (lambda: make("gaussian", colour=(1, 2, 3)), "only for the method fill"),
        (lambda: make("gaussian", expand=-0.1), "^expand must be a number"),
        (lambda: make("pixelate", expand=math.inf), "^expand must be a number"),
        (lambda: make("fill", colour=(1, 2, 256)), r"0\.\.255"),
        (lambda: Fill(colour=(-1, 2, 3)), r"0\.\.255"),
        (lambda: Fill(colour=()), "1 to 4 numbers"),
        (lambda: Fill(colour=(1, 2, 3, 4, 5)), "1 to 4 numbers"),
        (lambda: Fill(feather=-0.1), "^feather must be a number"),
        (lambda: Gaussian(strength=0.0), "strength"),
        (lambda: Gaussian(strength=-0.1), "^strength must be a number"),
        (lambda: Gaussian(feather=math.nan), "^feather must be a number"),
        (lambda: Pixelate(cells=0), "cells"),
    ],
)
def test_wrong_settings_are_refused(wrong: Callable[[], Method], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        wrong()


@pytest.mark.parametrize("name", METHODS)
def test_wrong_arrays_are_refused(name: str) -> None:
    arrays: tuple[Any, ...] = (
        np.zeros((5, 5), np.uint8),
        np.zeros((5, 5, 5), np.uint8),
        np.zeros((5, 5, 0), np.uint8),
        np.zeros((5, 5, 3), np.uint16),
    )
    for array in arrays:
        with pytest.raises(ValueError, match="image must be uint8"):
            make(name)(array, [(1.0, 1.0, 3.0, 3.0)])


@pytest.mark.parametrize("name", METHODS)
def test_boxes_that_are_not_finite_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="finite"):
        make(name)(noise(9, 9, 3, seed=0), [(1.0, 1.0, math.nan, 3.0)])
