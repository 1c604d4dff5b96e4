"""Every real JPEG image at hand (slow): what an edit leaves alone, read by others."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato.imaging import codec, jpeg
from sfumato.imaging.embedded.profile import clean_profile
from sfumato.imaging.jpeg.image import read
from sfumato.obfuscation import Gaussian
from tests.jpeg_images import coefficients
from tests.test_jpeg_matrix import faces_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def paths(shared_data: Path) -> list[Path]:
    found = [p for p in shared_data.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg")]
    assert len(found) > 1000
    return sorted(found)


def second_starts(data: bytes) -> int:
    """Count every further start of image, wherever it is: a walk that knows no segments.

    Entropy-coded data can't hold one (0xFF is followed by 0 or a restart marker there); tables
    and profiles could by chance, and then this says so.
    """
    return data.count(b"\xff\xd8\xff", 2)


def about(data: bytes, *, cleaned: bool = False) -> tuple[object, object, object]:
    """Return mode, colour profile and orientation as Pillow reads them; 0, say, means 1.

    A profile may be cleaned: `tests/test_profile.py` says which are, and what of them stays.
    """
    image = Image.open(io.BytesIO(data))
    turned = image.getexif().get(0x0112, 1)
    profile = image.info.get("icc_profile")
    profile = clean_profile(profile) if cleaned and profile else profile
    return image.mode, profile, turned if turned in range(1, 9) else 1


@pytest.mark.parametrize("share", range(4))
def test_without_boxes_the_bytes_stay_and_strip_keeps_the_coefficients(
    paths: list[Path], share: int
) -> None:
    """By our own reading for all, by jpeglib's for every eighth."""
    for number, path in enumerate(paths[share::4]):
        data = path.read_bytes()
        limit = codec.MAX_PIXELS
        assert jpeg.edit(data, [], Gaussian(), max_pixels=limit).data == data
        stripped = jpeg.strip(data, "all")
        old, new = read(data, max_pixels=limit), read(stripped, max_pixels=limit)
        assert np.array_equal(old.coefficients, new.coefficients), path
        assert second_starts(stripped) == 0, path
        assert about(stripped) == about(data, cleaned=True), path
        if number % 8 == 0:
            (a, tables), (b, others) = coefficients(data), coefficients(stripped)
            assert np.array_equal(tables, others)
            assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True)), path


def test_all_images_with_faces(shared_data: Path) -> None:
    """No preview is left, profile and orientation stay, sizes stay near."""
    ratios, profiles, same, sources = [], 0, 0, 0
    for path, boxes in faces_of(shared_data).items():
        data = path.read_bytes()
        result = jpeg.edit(data, boxes, Gaussian(), max_pixels=codec.MAX_PIXELS).data
        sources += second_starts(data) > 0
        assert second_starts(result) == 0, path
        assert about(result) == about(data, cleaned=True), path
        profiles += about(data)[1] is not None
        same += about(data)[1] is not None and about(result) == about(data)
        ratios.append(len(result) / len(data))
    assert len(ratios) > 50
    assert sources > 0  # or the count above would show nothing
    assert profiles - 1 <= same  # all but that of one screen
    assert same > 0
    assert abs(float(np.median(ratios)) - 1) <= 0.03, np.median(ratios)
    assert max(ratios) <= 1.1, max(ratios)
