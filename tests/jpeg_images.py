"""JPEG files made for the tests, and an independent reader of their coefficients."""

from __future__ import annotations

import io
import struct
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jpeglib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_PIXELS = 1 << 26
FACE = (50.0, 30.0, 110.0, 105.0)


def image(width: int = 173, height: int = 141, channels: int = 3) -> NDArray[np.uint8]:
    """Return an image with edges, ramps and noise: (height, width, channels)."""
    return _image(width, height, channels).copy()


@cache
def _image(width: int, height: int, channels: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:height, 0:width]
    waves = [127 + 90 * np.sin(x / (5 + 3 * c)) * np.cos(y / (9 - 2 * c)) for c in range(channels)]
    result = np.stack(waves, axis=2) + rng.normal(0, 12, (height, width, channels))
    result[40:80, 60:100] = (result[40:80, 60:100] > 127) * 200 + 20
    return np.clip(result, 0, 255).astype(np.uint8)


def saved(mode: str = "RGB", size: tuple[int, int] = (173, 141), **options: Any) -> bytes:
    """Return a JPEG file by Pillow."""
    pixels = image(*size, len(Image.new(mode, (1, 1)).getbands()))
    drawn = Image.fromarray(pixels if pixels.shape[2] > 1 else pixels[:, :, 0], mode)
    stream = io.BytesIO()
    drawn.save(stream, "JPEG", **options)
    return stream.getvalue()


def sampled(*factors: tuple[int, int]) -> bytes:
    """Return a JPEG file by libjpeg with these sampling factors, vertical first."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.jpg")
        drawn = jpeglib.from_spatial(image())
        drawn.samp_factor = factors
        drawn.write_spatial(str(path), qt=85)
        return path.read_bytes()


def ycck() -> bytes:
    """Return a CMYK file whose Adobe segment says that its first planes are YCbCr."""
    data = saved("CMYK", quality=85)
    at = data.index(b"Adobe") + 11
    assert data[at] == 0
    return data[:at] + b"\x02" + data[at + 1 :]


def segments_of(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Return the segments before the (first) scan, and its entropy-coded data without the end."""
    found, at = [], 2
    while True:
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        found.append((data[at + 1], data[at + 4 : at + 2 + size]))
        at += 2 + size
        if found[-1][0] == 0xDA:
            return found, data[at:-2]


def segment(marker: int, payload: bytes) -> bytes:
    """Return a marker segment."""
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def extended(data: bytes) -> bytes:
    """Return a baseline file as extended sequential (SOF1) with quantisation steps of 16 bits."""
    segments, scan = segments_of(data)
    written = b""
    for marker, payload in segments:
        if marker == 0xDB:
            steps = np.frombuffer(payload[1:], dtype=np.uint8).astype(">u2").tobytes()
            written += segment(marker, bytes((0x10 | payload[0],)) + steps)
        else:
            written += segment(0xC1 if marker == 0xC0 else marker, payload)
    return b"\xff\xd8" + written + scan + b"\xff\xd9"


def several_scans() -> bytes:
    """Return a 4:2:0 file with a scan for each component, made of three grey files."""
    drawn = Image.fromarray(image()).convert("YCbCr")
    half = (-(-drawn.width // 2), -(-drawn.height // 2))
    planes = drawn.split()[:1] + tuple(plane.resize(half) for plane in drawn.split()[1:])
    scans = b""
    for number, plane in enumerate(planes, start=1):
        stream = io.BytesIO()
        plane.save(stream, "JPEG", quality=85)
        segments, scan = segments_of(stream.getvalue())
        scans += segment(0xDA, bytes((1, number, 0, 0, 63, 0))) + scan
    tables = b"".join(segment(m, payload) for m, payload in segments if m in (0xE0, 0xDB, 0xC4))
    frame = struct.pack(">BHHB", 8, drawn.height, drawn.width, 3)
    frame += bytes((1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0))
    return b"\xff\xd8" + tables + segment(0xC0, frame) + scans + b"\xff\xd9"


def named_rgb() -> bytes:
    """Return an RGB file that says so by the names of its components alone."""
    data = saved(quality=85, keep_rgb=True)
    at = data.index(b"\xff\xee")
    assert data[at + 4 : at + 9] == b"Adobe"
    return data[:at] + data[at + 16 :]


def mpo(data: bytes) -> bytes:
    """Return a file of two images."""
    image = Image.open(io.BytesIO(data))
    stream = io.BytesIO()
    profile = image.info.get("icc_profile")
    image.save(stream, "MPO", save_all=True, append_images=[image.copy()], icc_profile=profile)
    assert b"MPF\0" in stream.getvalue()
    return stream.getvalue()


def filled(data: bytes) -> bytes:
    """Return the file with fill bytes before segments, and before the end of the image."""
    segments, scan = segments_of(data)
    written = b"".join(b"\xff" * 3 + segment(marker, payload) for marker, payload in segments)
    return b"\xff\xd8" + written + scan + b"\xff\xff\xff\xd9"


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
    "extended, 16-bit tables": lambda: extended(saved(quality=85)),
    "several scans": several_scans,
    "RGB by names": named_rgb,
    "MPO": lambda: mpo(saved(quality=85)),
    "fill bytes": lambda: filled(saved(quality=85)),
    "no end": lambda: saved(quality=85)[:-2],
    "doubled end": lambda: saved(quality=85) + b"\xff\xd9",
    "multiple of 16": lambda: saved(quality=85, size=(160, 144)),
}
KINDS = {kind: cache(make) for kind, make in KINDS.items()}
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
