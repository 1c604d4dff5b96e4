"""BlazeFace: the shipped network on real images, and how it was made to take any size."""

from __future__ import annotations

import numpy as np
import pytest

from sfumato.assets.weights import WEIGHTS
from sfumato.detection.detect import PROFILES
from sfumato.detection.detectors import parse
from sfumato.detection.detectors.blazeface import BlazeFace
from sfumato.detection.detectors.session import session
from sfumato.types import Detector, Pixels
from tests.contract.detector import FaceDetectorContract, overlap
from tests.test_detectors import demo


class TestBlazeFace(FaceDetectorContract):
    @pytest.fixture
    def detector(self) -> Detector:
        return BlazeFace(256)


@pytest.mark.parametrize(
    ("name", "box"),
    [
        ("people/astronaut.png", (178, 60, 268, 178)),  # by eye
        ("people/grace_hopper.jpg", (178, 122, 355, 335)),
    ],
)
@pytest.mark.parametrize("side", [256, 512])
def test_one_face_at_both_sizes_of_the_profile(
    name: str, box: tuple[float, float, float, float], side: int
) -> None:
    (found,) = BlazeFace(side).detect([demo(name)])
    assert len(found) == 1
    assert overlap(found[0], box) > 0.6


def test_a_cup_has_no_face_for_the_profile() -> None:
    assert PROFILES["clean-weights"] == ("blazeface@256:0.6", "blazeface@512:0.55")
    for spec in PROFILES["clean-weights"]:
        assert parse(spec).detect([demo("things/coffee.png")]) == [[]]


@pytest.mark.parametrize(("height", "width"), [(256, 256), (64, 160)])
def test_each_image_of_a_batch_has_its_cells(height: int, width: int) -> None:
    network = session("blazeface-back-2020")
    (image,) = network.get_inputs()
    assert image.shape == ["B", "H", "W", 3]
    images = np.random.default_rng(0).uniform(-1, 1, (2, height, width, 3)).astype(np.float32)
    outputs = network.run(None, {image.name: images})
    fine, coarse = height * width // 16**2 * 2, height * width // 32**2 * 6
    assert [output.shape for output in outputs] == [
        (2, fine, 1),
        (2, coarse, 1),
        (2, fine, 16),
        (2, coarse, 16),
    ]
    for i in range(2):
        alone = network.run(None, {image.name: images[i : i + 1]})
        for one, all_ in zip(alone, outputs, strict=True):
            np.testing.assert_allclose(one[0], all_[i], atol=1e-3)


def test_enlarging_the_network_image_sees_smaller_faces() -> None:
    """A face of 6 pixels in an image of 512: too small at 256."""
    face: Pixels = demo("people/astronaut.png")[20:230, 120:330]
    image = np.full((512, 512, 3), 128, dtype=np.uint8)
    small = face[::14, ::14]  # the face itself is 6 pixels wide then
    image[200 : 200 + len(small), 300 : 300 + small.shape[1]] = small
    whole, enlarged = (BlazeFace(side, 0.3).detect([image])[0] for side in (256, 512))
    assert not whole
    assert enlarged


def test_settings() -> None:
    assert parse("blazeface") == BlazeFace(512, 0.5)
    assert parse("blazeface@256:0.6").spec == "blazeface@256:0.6"
    assert BlazeFace().weights_sha256 == WEIGHTS["blazeface-back-2020"].sha256
    with pytest.raises(ValueError, match="long_side"):
        BlazeFace(16)
