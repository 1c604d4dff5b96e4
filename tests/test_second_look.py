"""The second look: an enlarged face is known, whatever else is looked at with it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from sfumato.assets import demo_images
from sfumato.boxes import as_boxes
from sfumato.detection.detectors.second_look import (
    CLOSE,
    NEAR,
    NEAR_BY_YUNET,
    STRETCHED,
    WIDE,
    look_at,
)
from sfumato.types import Face, Pixels
from tests.contract.detector import noise, overlap

LOOKS = (NEAR, STRETCHED, CLOSE, WIDE, NEAR_BY_YUNET)
FACE = (178.0, 60.0, 268.0, 178.0)  # drawn by eye
ROCKET = (330.0, 20.0, 400.0, 110.0)  # behind her: no face


@pytest.fixture(scope="module")
def portrait() -> Pixels:
    with Image.open(demo_images.root() / "people" / "astronaut.png") as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.slow
def test_every_look_tells_the_face_from_the_background(portrait: Pixels) -> None:
    face, other = look_at(portrait, as_boxes([FACE, ROCKET]), LOOKS).scores
    assert (face > 0.6).all()
    assert (other < 0.1).all()


def test_a_tiny_dark_face_is_known_once_it_is_enlarged(portrait: Pixels) -> None:
    small = Image.fromarray(portrait).resize((72, 72), Image.Resampling.BOX)
    image = np.zeros((300, 400, 3), dtype=np.uint8)
    image[100:172, 200:272] = np.asarray(small) // 4
    side = 72 / portrait.shape[0]
    box = tuple(side * edge + shift for edge, shift in zip(FACE, (200, 100) * 2, strict=True))
    (seen,) = look_at(image, as_boxes([box]), (STRETCHED,)).scores
    assert seen > 0.3


@pytest.mark.slow
def test_none_affects_another(portrait: Pixels) -> None:
    rng = np.random.default_rng(2)
    corners = rng.uniform(0, 400, (20, 2))
    found = np.concatenate([corners, corners + rng.uniform(10, 90, (20, 2))], axis=1)
    found = np.vstack([found, FACE]).astype(np.float32)
    together = look_at(portrait, found, LOOKS)
    alone = [look_at(portrait, box[None], LOOKS) for box in found]
    np.testing.assert_array_equal(together.scores, np.concatenate([one.scores for one in alone]))
    np.testing.assert_array_equal(together.boxes, np.concatenate([one.boxes for one in alone]))


def test_a_proposal_that_shows_half_a_face_grows_to_the_whole(portrait: Pixels) -> None:
    x0, y0, x1, y1 = FACE
    half = as_boxes([(x0 + 8, y0, x1, y1 - 30)])
    (box,) = look_at(portrait, half, (NEAR, WIDE)).boxes.tolist()
    assert box[0] <= x0 + 8
    assert box[3] > y1 - 20
    assert overlap(Face(tuple(box), 1.0, ""), FACE) > 0.6


def test_where_nothing_is_seen_the_proposal_stays(portrait: Pixels) -> None:
    assert look_at(portrait, as_boxes([ROCKET]), LOOKS).boxes.tolist() == [list(ROCKET)]


def test_no_box_is_no_score(portrait: Pixels) -> None:
    assert look_at(portrait, as_boxes([]), LOOKS).scores.shape == (0, 5)


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (500, 3)])
def test_boxes_of_small_images_can_be_looked_at(size: tuple[int, int]) -> None:
    whole = as_boxes([(0.0, 0.0, float(size[0]), float(size[1]))])
    seen = look_at(noise(*size), whole, LOOKS)
    assert ((seen.scores >= 0) & (seen.scores <= 1)).all()
    assert (seen.boxes == whole).all()
