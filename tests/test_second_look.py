"""The second look: an enlarged face is known, whatever else is looked at with it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from sfumato import demo_pictures
from sfumato.boxes import as_boxes
from sfumato.detectors.second_look import CLOSE, NEAR, NEAR_BY_YUNET, STRETCHED, WIDE, scores
from sfumato.types import Pixels
from tests.contract.detector import noise

LOOKS = (NEAR, STRETCHED, CLOSE, WIDE, NEAR_BY_YUNET)
FACE = (178.0, 60.0, 268.0, 178.0)  # drawn by eye
ROCKET = (330.0, 20.0, 400.0, 110.0)  # behind her: no face


@pytest.fixture(scope="module")
def portrait() -> Pixels:
    with Image.open(demo_pictures.root() / "people" / "astronaut.png") as picture:
        return np.asarray(picture.convert("RGB"))


def test_every_look_tells_the_face_from_the_background(portrait: Pixels) -> None:
    face, other = scores(portrait, as_boxes([FACE, ROCKET]), LOOKS)
    assert (face > 0.6).all()
    assert (other < 0.1).all()


def test_a_tiny_dark_face_is_known_once_it_is_enlarged(portrait: Pixels) -> None:
    small = Image.fromarray(portrait).resize((72, 72), Image.Resampling.BOX)
    picture = np.zeros((300, 400, 3), dtype=np.uint8)
    picture[100:172, 200:272] = np.asarray(small) // 4
    side = 72 / portrait.shape[0]
    box = tuple(side * edge + shift for edge, shift in zip(FACE, (200, 100) * 2, strict=True))
    (seen,) = scores(picture, as_boxes([box]), (STRETCHED,))
    assert seen > 0.3


def test_none_affects_another(portrait: Pixels) -> None:
    rng = np.random.default_rng(2)
    corners = rng.uniform(0, 400, (20, 2))
    found = np.concatenate([corners, corners + rng.uniform(10, 90, (20, 2))], axis=1)
    found = np.vstack([found, FACE]).astype(np.float32)
    together = scores(portrait, found, LOOKS)
    alone = np.concatenate([scores(portrait, box[None], LOOKS) for box in found])
    np.testing.assert_array_equal(together, alone)


def test_no_box_is_no_score(portrait: Pixels) -> None:
    assert scores(portrait, as_boxes([]), LOOKS).shape == (0, 5)


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (500, 3)])
def test_boxes_of_small_pictures_can_be_looked_at(size: tuple[int, int]) -> None:
    whole = as_boxes([(0.0, 0.0, float(size[0]), float(size[1]))])
    seen = scores(noise(*size), whole, LOOKS)
    assert ((seen >= 0) & (seen <= 1)).all()
