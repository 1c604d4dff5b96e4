"""JPEG files made for the tests, and an independent reader of their coefficients."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jpeglib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_PIXELS = 1 << 26
FACE = (50.0, 30.0, 110.0, 105.0)


def picture(width: int = 173, height: int = 141, channels: int = 3) -> NDArray[np.uint8]:
    """Return a picture with edges, ramps and noise: (height, width, channels)."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:height, 0:width]
    waves = [127 + 90 * np.sin(x / (5 + 3 * c)) * np.cos(y / (9 - 2 * c)) for c in range(channels)]
    result = np.stack(waves, axis=2) + rng.normal(0, 12, (height, width, channels))
    result[40:80, 60:100] = (result[40:80, 60:100] > 127) * 200 + 20
    return np.clip(result, 0, 255).astype(np.uint8)


def saved(mode: str = "RGB", size: tuple[int, int] = (173, 141), **options: Any) -> bytes:
    """Return a JPEG file by Pillow."""
    pixels = picture(*size, len(Image.new(mode, (1, 1)).getbands()))
    image = Image.fromarray(pixels if pixels.shape[2] > 1 else pixels[:, :, 0], mode)
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


def sampled(*factors: tuple[int, int]) -> bytes:
    """Return a JPEG file by libjpeg with these sampling factors, vertical first."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.jpg")
        image = jpeglib.from_spatial(picture())
        image.samp_factor = factors
        image.write_spatial(str(path), qt=85)
        return path.read_bytes()


def ycck() -> bytes:
    """Return a CMYK file whose Adobe segment says that its first planes are YCbCr."""
    data = saved("CMYK", quality=85)
    at = data.index(b"Adobe") + 11
    assert data[at] == 0
    return data[:at] + b"\x02" + data[at + 1 :]


# One file of each kind that cameras and the web produce.
KINDS: dict[str, Callable[[], bytes]] = {
    "4:4:4": lambda: saved(quality=90, subsampling=0),
    "4:2:2": lambda: saved(quality=85, subsampling=1),
    "4:2:0": lambda: saved(quality=85, subsampling=2),
    "4:2:0 optimised": lambda: saved(quality=85, subsampling=2, optimize=True),
    "4:4:4 optimised": lambda: saved(quality=30, subsampling=0, optimize=True),
    "4:4:0": lambda: sampled((2, 1), (1, 1), (1, 1)),
    "4:1:1": lambda: sampled((1, 4), (1, 1), (1, 1)),
    "mixed sampling": lambda: sampled((2, 2), (2, 1), (1, 2)),
    "grey": lambda: saved("L", quality=85),
    "CMYK": lambda: saved("CMYK", quality=85),
    "YCCK": ycck,
    "RGB": lambda: saved(quality=85, keep_rgb=True),
    "progressive": lambda: saved(quality=85, progressive=True),
    "progressive 4:4:4": lambda: saved(quality=92, subsampling=0, progressive=True),
    "progressive grey": lambda: saved("L", quality=85, progressive=True),
    "progressive CMYK": lambda: saved("CMYK", quality=80, progressive=True),
    "progressive restart": lambda: saved(quality=85, progressive=True, restart_marker_blocks=7),
    "restart every 5": lambda: saved(quality=85, restart_marker_blocks=5),
    "restart every row": lambda: saved(quality=85, subsampling=0, restart_marker_rows=1),
    "restart every 1": lambda: saved(quality=85, restart_marker_blocks=1),
    "one MCU wide": lambda: saved(quality=85, size=(9, 141)),
    "q10": lambda: saved(quality=10),
    "q100": lambda: saved(quality=100, subsampling=0),
    "multiple of 16": lambda: saved(quality=85, size=(160, 144)),
}
STRICT = ("4:4:4", "grey", "CMYK", "RGB", "q100", "YCCK")  # pixels outside are identical


def coefficients(data: bytes) -> tuple[list[NDArray[np.int16]], NDArray[np.uint16]]:
    """Return what jpeglib reads: the blocks of each component (rows, columns, 64), the tables."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.jpg")
        path.write_bytes(data)
        image = jpeglib.read_dct(str(path))
        planes = [plane for plane in (image.Y, image.Cb, image.Cr, image.K) if plane is not None]
        return [p.reshape(*p.shape[:2], 64).copy() for p in planes], np.array(image.qt)


def pixels(data: bytes) -> NDArray[np.uint8]:
    """Return what Pillow decodes, (height, width) or (height, width, channels)."""
    return np.asarray(Image.open(io.BytesIO(data)))
