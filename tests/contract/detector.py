"""What every `Detector` must do. Subclass `DetectorContract` and give the fixture `detector`.

`FaceDetectorContract` is for those that know a face from something else; the others only have to
find something in the portrait.
"""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from PIL import Image

from sfumato.assets import demo_images
from sfumato.types import Detector, Face, Pixels

SIZES = [
    *((1, 1), (2, 40), (31, 33), (640, 480), (20000, 10), (1, 5000)),
    pytest.param(8000, 6000, marks=pytest.mark.slow),
]


def noise(width: int, height: int, seed: int = 0) -> Pixels:
    """Return a random image; large ones repeat a small one."""
    rng = np.random.default_rng(seed)
    tile = rng.integers(0, 256, (min(height, 200), min(width, 200), 3), dtype=np.uint8)
    repeats = (-(-height // tile.shape[0]), -(-width // tile.shape[1]), 1)
    return np.tile(tile, repeats)[:height, :width]


def overlap(face: Face, box: tuple[float, float, float, float]) -> float:
    """Return the IoU of a face and a box, without the code under test."""
    width = min(face.box[2], box[2]) - max(face.box[0], box[0])
    height = min(face.box[3], box[3]) - max(face.box[1], box[1])
    both = max(width, 0) * max(height, 0)
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (face.box, box)]
    return both / (sum(areas) - both)


class DetectorContract:
    """Abstract: a subclass overrides the fixture `detector`."""

    @pytest.fixture
    def detector(self) -> Detector:
        raise NotImplementedError

    @pytest.fixture
    def portrait(self) -> Pixels:
        with Image.open(demo_images.root() / "people" / "astronaut.png") as image:
            return np.asarray(image.convert("RGB"))

    def test_faces_carry_the_name(self, detector: Detector, portrait: Pixels) -> None:
        assert detector.name
        assert {face.origin for face in detector.detect([portrait])[0]} == {detector.name}

    def test_no_image_no_answer(self, detector: Detector) -> None:
        assert detector.detect([]) == []

    def test_a_batch_gives_what_each_gives(self, detector: Detector, portrait: Pixels) -> None:
        images = [portrait, noise(90, 300), portrait[::-1], portrait[40:200, 150:300]]
        alone = [detector.detect([image])[0] for image in images]
        assert any(alone)
        assert detector.detect(images) == alone

    def test_the_same_again(self, detector: Detector, portrait: Pixels) -> None:
        assert detector.detect([portrait]) == detector.detect([portrait])

    def test_grey_is_taken_as_it_looks(self, detector: Detector, portrait: Pixels) -> None:
        grey = portrait.mean(axis=2).astype(np.uint8)[..., None]
        found = detector.detect([grey])
        assert found == detector.detect([np.repeat(grey, 3, axis=2)])
        self.check(found[0], 512, 512)

    def test_what_is_transparent_is_searched_too(
        self, detector: Detector, portrait: Pixels
    ) -> None:
        alpha = noise(512, 512)[..., :1]
        assert detector.detect([np.dstack([portrait, alpha])]) == detector.detect([portrait])

    @pytest.mark.parametrize(("width", "height"), SIZES)
    def test_any_size(self, detector: Detector, width: int, height: int) -> None:
        (found,) = detector.detect([noise(width, height)])
        self.check(found, width, height)

    def test_the_image_is_left_alone(self, detector: Detector, portrait: Pixels) -> None:
        image = portrait.copy()
        expected = detector.detect([image])
        np.testing.assert_array_equal(image, portrait)
        image.flags.writeable = False
        assert detector.detect([image]) == expected

    def test_views_are_as_good_as_copies(self, detector: Detector, portrait: Pixels) -> None:
        view = portrait[20:400, ::-1]
        assert detector.detect([view]) == detector.detect([np.ascontiguousarray(view)])

    def test_pickles(self, detector: Detector, portrait: Pixels) -> None:
        detector.detect([portrait])  # what is loaded must not travel
        sent = pickle.dumps(detector)
        assert len(sent) < 1000
        assert pickle.loads(sent).detect([portrait]) == detector.detect([portrait])

    @pytest.mark.parametrize(
        "image",
        [
            np.zeros((5, 5), np.uint8),
            np.zeros((5, 5, 2), np.uint8),
            np.zeros((5, 5, 3), np.float32),
            np.zeros((0, 5, 3), np.uint8),
        ],
        ids=["flat", "two", "float", "empty"],
    )
    def test_refuses_what_is_no_image(
        self, detector: Detector, image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
    ) -> None:
        with pytest.raises(ValueError, match="image must be"):
            detector.detect([image])

    @staticmethod
    def check(found: list[Face], width: int, height: int) -> None:
        """Boxes lie inside the image, scores in [0, 1], the best first."""
        for face in found:
            x0, y0, x1, y1 = face.box
            assert 0 <= x0 < x1 <= width
            assert 0 <= y0 < y1 <= height
            assert 0 <= face.score <= 1
        scores = [face.score for face in found]
        assert scores == sorted(scores, reverse=True)


class FaceDetectorContract(DetectorContract):
    """Abstract, for detectors that know what a face is."""

    # The face in the portrait, drawn by eye: hairline to chin, cheek to cheek.
    FACE = (178.0, 60.0, 268.0, 178.0)

    def test_finds_the_face(self, detector: Detector, portrait: Pixels) -> None:
        (found,) = detector.detect([portrait])
        assert len(found) == 1
        assert overlap(found[0], self.FACE) > 0.6

    def test_finds_the_face_in_grey(self, detector: Detector, portrait: Pixels) -> None:
        grey = portrait.mean(axis=2).astype(np.uint8)[..., None]
        (found,) = detector.detect([grey])
        assert overlap(found[0], self.FACE) > 0.6

    @pytest.mark.parametrize("value", [0, 255])
    def test_flat_images_show_nobody(self, detector: Detector, value: int) -> None:
        assert detector.detect([np.full((120, 160, 3), value, dtype=np.uint8)]) == [[]]

    def test_faces_at_the_border(self, detector: Detector, portrait: Pixels) -> None:
        x0, y0, x1, y1 = (int(edge) for edge in self.FACE)
        cut = portrait[y0 + 15 : y1 - 10, x0 + 10 : x1 - 10]  # a face larger than its image
        (found,) = detector.detect([cut])
        assert found
        self.check(found, cut.shape[1], cut.shape[0])
