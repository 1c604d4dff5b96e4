"""Images going into a network: enlarged as Pillow does it, whole or in windows."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from sfumato.assets import demo_images
from sfumato.boxes import as_boxes, iou
from sfumato.detection.detectors._enlarge import enlarge, neighbours
from sfumato.detection.detectors.session import scaled_size, tensor, windows
from sfumato.detection.detectors.yunet import YuNet


def test_enlarging_is_pillows_bit_for_bit() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        height, width = (int(side) for side in rng.integers(1, 200, 2))
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        size = (width + int(rng.integers(0, 300)), height + int(rng.integers(0, 300)))
        expected = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
        planes = np.full((3, size[1] + 3, size[0] + 5), 9, dtype=np.float32)
        enlarge(image, planes, neighbours(width, size[0]), neighbours(height, size[1]), (2, 1, 0))
        assert np.array_equal(planes[::-1, : size[1], : size[0]], expected.transpose(2, 0, 1))
        assert not planes[:, size[1] :].any()
        assert not planes[:, :, size[0] :].any()


def test_what_does_not_fit_is_refused_before_memory_is_touched() -> None:
    image, planes = np.zeros((8, 8, 3), np.uint8), np.zeros((3, 16, 16), np.float32)
    good = neighbours(8, 16)
    with pytest.raises(ValueError, match="can't be enlarged"):
        neighbours(8, 7)
    with pytest.raises(ValueError, match="must lie in"):
        enlarge(image[:, :4], planes, good, good, (0, 1, 2))
    with pytest.raises(ValueError, match="don't fit"):
        enlarge(image, planes[:, :, :8].copy(), good, good, (0, 1, 2))
    with pytest.raises(ValueError, match="three channels"):
        enlarge(image, planes, good, good, (0, 1, 1))
    with pytest.raises(ValueError, match="needs a weight"):
        enlarge(image, planes, (good[0], good[1][:, :5]), good, (0, 1, 2))


@pytest.mark.parametrize("shape", [(90, 120), (700, 900)])  # enlarged, shrunk
def test_a_window_is_that_part_of_the_whole(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    whole = tensor(image, 640, order=(0, 1, 2))
    part = tensor(image, 640, order=(0, 1, 2), window=(96, 64, 320, 288))
    assert np.abs(part - whole[:, :, 64:288, 96:320]).max() <= (0 if shape[0] < 640 else 1)


def test_windows_hold_their_rectangles_and_lie_on_the_strides() -> None:
    whole = (0, 0, 640, 480)
    found = windows(as_boxes([(10, 10, 40, 40), (50, 20, 90, 60), (500, 300, 700, 600)]), whole)
    assert len(found) == 2  # the first two cost less as one
    assert all(side % 32 == 0 for window in found for side in window)
    for x, y in ((10, 10), (89, 59), (500, 300), (639, 479)):
        assert any(x0 <= x < x1 and y0 <= y < y1 for x0, y0, x1, y1 in found)
    assert windows(as_boxes([(700, 500, 800, 600)]), (0, 0, 640, 480)) == []


def test_searching_near_a_face_finds_it_and_elsewhere_nothing() -> None:
    with Image.open(demo_images.root() / "people/astronaut.png") as decoded:
        image = np.asarray(decoded.convert("RGB"))
    detector = YuNet(640, 0.5)
    (face,) = detector.detect([image])[0]
    (near,) = detector.detect_near(image, [face.box])
    assert iou(as_boxes([face.box]), as_boxes([near.box]))[0, 0] > 0.9
    assert detector.detect_near(image, [(400, 400, 460, 460)]) == []
    whole = (0.0, 0.0, float(image.shape[1]), float(image.shape[0]))
    assert detector.detect_near(image, [whole]) == [face]
    assert scaled_size(image.shape[1], image.shape[0], 640) == (640, 640)
