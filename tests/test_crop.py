"""Crops: what they show, and that boxes come back to where they were."""

from __future__ import annotations

import numpy as np
import pytest

from sfumato.boxes import as_boxes
from sfumato.detection.detectors.crop import View, crop, stretched, unturned
from sfumato.types import Pixels


def spotted(width: int, height: int, x: int, y: int) -> Pixels:
    """A black image with one white square of 20 by 20 pixels."""
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[y : y + 20, x : x + 20] = 255
    return image


def bright(pixels: Pixels) -> tuple[float, float, float, float]:
    """Where the white is in a crop, to half a pixel."""
    rows, columns = np.nonzero(pixels[..., 0] > 127)
    return (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("face", [10, 20, 40])
def test_what_is_seen_in_a_crop_is_mapped_back_to_the_image(face: float, turns: int) -> None:
    image = spotted(300, 200, 120, 60)
    near = (110.0, 55.0, 130.0, 75.0)  # 20 pixels wide, off the spot's middle
    seen = crop(image, near, View(128, face, turns))
    (box,) = seen.outward(as_boxes([bright(seen.pixels)])).tolist()
    assert box == pytest.approx((120, 60, 140, 80), abs=20 / face + 0.1)


def test_the_box_has_the_wanted_size_in_the_middle() -> None:
    seen = crop(spotted(300, 200, 120, 60), (120, 60, 140, 80), View(128, 40))
    assert bright(seen.pixels) == (44, 44, 84, 84)


def test_beyond_the_image_it_is_black() -> None:
    image = np.full((40, 40, 3), 200, dtype=np.uint8)
    seen = crop(image, (0, 0, 20, 20), View(128, 40)).pixels
    assert bright(seen) == (44, 44, 124, 124)  # 40 pixels at twice the size
    assert seen[:43].max() == seen[:, :43].max() == 0


@pytest.mark.parametrize("size", [(1, 1), (3, 700), (8000, 10)])
def test_a_image_of_any_size_gives_a_crop(size: tuple[int, int]) -> None:
    width, height = size
    image = np.full((height, width, 3), 255, dtype=np.uint8)
    seen = crop(image, (0.0, 0.0, float(width), float(height)), View(96, 24)).pixels
    assert seen.shape == (96, 96, 3)
    assert set(np.unique(seen)) <= {0, 255}


def test_a_box_outside_the_image_shows_nothing() -> None:
    assert not crop(spotted(50, 50, 5, 5), (900, 900, 930, 930), View(128, 40)).pixels.any()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("turns", range(6))
def test_turning_is_undone(turns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x0, y0 = rng.integers(0, 40, 2)
    mask = np.zeros((64, 64), dtype=bool)
    mask[y0 : y0 + 9, x0 : x0 + 17] = True
    rows, columns = np.nonzero(np.rot90(mask, turns))
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert unturned(as_boxes([box]), turns, 64).tolist() == [[x0, y0, x0 + 17, y0 + 9]]


def test_a_dull_crop_gets_the_full_contrast() -> None:
    dull = np.random.default_rng(0).integers(90, 121, (64, 64, 3), dtype=np.uint8)
    lively = stretched(dull)
    assert (lively.min(), lively.max()) == (0, 255)
    order = np.argsort(dull.reshape(-1), kind="stable")
    assert (np.diff(lively.reshape(-1)[order].astype(int)) >= 0).all()


def test_a_black_crop_stays_black() -> None:
    assert not stretched(np.zeros((32, 32, 3), dtype=np.uint8)).any()
