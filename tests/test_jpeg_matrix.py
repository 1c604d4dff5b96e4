"""All real images with faces in all formats (slow): coefficients, readers, sizes."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sfumato.imaging import jpeg
from sfumato.obfuscation import Gaussian
from sfumato.types import Box
from tests.jpeg_images import coefficients

pytestmark = pytest.mark.slow

VARIANTS: dict[str, dict[str, object] | None] = {
    "as is": None,
    "4:4:4": {"quality": 90, "subsampling": 0},
    "4:2:2": {"quality": 85, "subsampling": 1},
    "4:2:0": {"quality": 85, "subsampling": 2},
    "4:2:0 optimised": {"quality": 85, "subsampling": 2, "optimize": True},
    "grey": {"mode": "L", "quality": 85},
    "CMYK": {"mode": "CMYK", "quality": 85},
    "progressive": {"quality": 85, "progressive": True},
    "restart every 5": {"quality": 85, "restart_marker_blocks": 5},
    "odd crop": {"crop": 1, "quality": 85},
    "q10": {"quality": 10},
    "q100": {"quality": 100, "subsampling": 0},
}
IDENTICAL = ("4:4:4", "grey", "CMYK", "q100")


def variant(data: bytes, options: dict[str, object] | None) -> bytes:
    """Save an image anew, or return it as it is."""
    if options is None:
        return data
    options = dict(options)
    image = Image.open(io.BytesIO(data)).convert(str(options.pop("mode", "RGB")))
    if options.pop("crop", None):
        image = image.crop((0, 0, (image.width - 1) | 1, (image.height - 1) | 1))
        image = image.crop((0, 0, image.width - 2, image.height - 4))
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


def faces_of(shared_data: Path) -> dict[Path, list[Box]]:
    """Return the ImageNet images with faces, and the boxes in each."""
    root = shared_data / "imagenet"
    found: dict[Path, list[Box]] = defaultdict(list)
    with (root / "faces.csv").open() as stream:
        for row in csv.DictReader(stream):
            if row["kind"] not in ("art", "unclear"):
                box = (float(row["x0"]), float(row["y0"]), float(row["x1"]), float(row["y1"]))
                found[root / "images" / row["path"]].append(box)
    return found


@pytest.fixture(scope="module")
def faces(shared_data: Path) -> dict[Path, list[Box]]:
    if shutil.which("djpeg") is None:
        pytest.skip("no djpeg here: install the Debian package libjpeg-turbo-progs")
    return faces_of(shared_data)


def djpeg_says(data: bytes) -> str:
    """Return what djpeg complains of."""
    run = subprocess.run(["djpeg"], input=data, capture_output=True, check=False)
    return run.stderr.decode() + ("" if run.returncode == 0 else f" exit {run.returncode}")


@pytest.mark.parametrize("name", VARIANTS)
def test_matrix(name: str, faces: dict[Path, list[Box]]) -> None:
    ratios = []
    for path, boxes in faces.items():
        data = variant(path.read_bytes(), VARIANTS[name])
        result = jpeg.edit(data, boxes, Gaussian(), max_pixels=1 << 28)
        old, old_tables = coefficients(data)
        new, new_tables = coefficients(result.data)
        assert np.array_equal(old_tables, new_tables)
        for a, b, mask in zip(old, new, result.touched, strict=True):
            rows, columns = mask.shape
            differ = (a[:rows, :columns] != b[:rows, :columns]).any(axis=2)
            assert not (differ & ~mask).any(), path
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            before, after = (np.asarray(Image.open(io.BytesIO(d))) for d in (data, result.data))
        changed = (before != after).reshape(*before.shape[:2], -1).any(axis=2)
        assert not (changed & ~allowed(result, before.shape, fringe=name not in IDENTICAL)).any()
        assert djpeg_says(result.data) == djpeg_says(data)
        assert result.data.find(b"\xff\xd8\xff", 2) == -1
        ratios.append(len(result.data) / len(data))
    # A blurred face takes fewer bytes: every median lies below 1. Saved anew at these settings,
    # the faces are a larger share of the file than in the originals.
    assert abs(np.median(ratios) - 1) < (0.03 if name == "as is" else 0.035), np.median(ratios)
    assert max(ratios) < 1.1


def allowed(result: jpeg.Edit, shape: tuple[int, ...], *, fringe: bool) -> NDArray[np.bool_]:
    """Return the pixels of touched blocks; with the pixel more that chroma interpolation reads."""
    pixels = np.zeros(shape[:2], dtype=np.bool_)
    most = [max(mask.shape[axis] for mask in result.touched) for axis in (0, 1)]
    for mask in result.touched:
        down, across = (8 * max(1, round(most[i] / mask.shape[i])) for i in (0, 1))
        for row, column in np.argwhere(mask):
            top, left = max(row * down - fringe, 0), max(column * across - fringe, 0)
            pixels[top : (row + 1) * down + fringe, left : (column + 1) * across + fringe] = True
    return pixels
