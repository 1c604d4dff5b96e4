"""Read all 16 bits of the samples of a PNG or a TIFF; Pillow gives the high bytes of colours alone.

Rows of a PNG are inflated and unfiltered here. Of a TIFF Pillow decodes the strips or tiles as
those of a grey image with as many columns as the image has samples, which are the same bytes.
"""

from __future__ import annotations

import io
import struct
import zlib
from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.imaging.codec import chunks
from sfumato.imaging.codec._filters import unfilter
from sfumato.imaging.codec.concealed_png import ADAM7, CHANNELS, rows_size
from sfumato.imaging.codec.rebuilding import append_part, one_page

Samples: TypeAlias = NDArray[np.uint16]  # (h, w, channels) of the stored grid

_DIFFERENCED: Final = (5, 8, 32946, 34925, 50000)  # compressions that go with a predictor
_PHOTOMETRIC: Final = {0: 1, 1: 1, 2: 3, 5: 4}  # grey, RGB, CMYK -> channels of the colour


@lru_cache(maxsize=1)  # asked for once for each page
def parsed(data: bytes) -> chunks.Tiff:
    """Return the directories of a TIFF."""
    return chunks.parse_tiff(data)


def png_samples(data: bytes) -> Samples | None:
    """Return the samples of a PNG with 16 bits in each channel; None for another.

    Raises:
        ValueError, zlib.error: rows that can't be followed.
    """
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", data[16:29])
    if depth != 16:
        return None
    channels = CHANNELS[colour]
    stream = b"".join(data[a:b] for name, a, b in chunks.png_chunks(data) if name == b"IDAT")
    wanted = rows_size(data[16:29])
    raw = zlib.decompressobj(-15).decompress(stream[2:], wanted)
    if len(raw) < wanted:
        raise ValueError("rows are missing")
    if not interlace:
        return _rows(raw, width, height, channels)
    samples, at = np.empty((height, width, channels), np.uint16), 0
    for left, top, across, down in ADAM7:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            size = rows * (1 + 2 * channels * columns)
            samples[top::down, left::across] = _rows(raw[at : at + size], columns, rows, channels)
            at += size
    return samples


def _rows(raw: bytes, width: int, height: int, channels: int) -> Samples:
    rows = np.frombuffer(raw, np.uint8).reshape(height, 1 + 2 * channels * width).copy()
    if not unfilter(rows, 2 * channels):
        raise ValueError("a filter that isn't one")
    samples = np.ascontiguousarray(rows[:, 1:]).view(">u2").astype(np.uint16)
    return samples.reshape(height, width, channels)


def tiff_samples(data: bytes, index: int = 0, *, depth: int = 16) -> Samples | None:
    """Return the samples of a page of a TIFF with so many bits in each channel; None for another.

    Grey, RGB or CMYK, perhaps with further channels. Call inside `reading.guarded`.

    Raises:
        chunks.MALFORMED and what Pillow raises: strips that can't be followed.
    """
    tiff = parsed(data)
    tags = tiff.pages[index].tags
    bits = tiff.numbers(tags[258]) if 258 in tags else (1,)
    colours = _PHOTOMETRIC.get(tiff.number(index, 262, -1))
    if set(bits) != {depth} or colours is None or tiff.number(index, 339, 1) != 1:
        return None
    width, height = tiff.number(index, 256, 0), tiff.number(index, 257, 0)
    channels = tiff.number(index, 277, 1)
    if channels < colours:
        return None
    parts = chunks.tiff_parts(tiff, index)
    apart = tiff.number(index, 284, 1) == 2 and channels > 1
    if not apart:
        grey = _decoded(tiff, index, parts, channels, depth)
        return _summed(tiff, index, grey.reshape(height, width, channels), depth)
    each = len(parts) // channels
    planes = [
        _decoded(tiff, index, parts[each * plane : each * (plane + 1)], 1, depth)
        for plane in range(channels)
    ]
    return np.concatenate(
        [_summed(tiff, index, plane[..., None], depth) for plane in planes], axis=2
    )


def _decoded(
    tiff: chunks.Tiff, index: int, parts: list[tuple[int, int]], across: int, depth: int
) -> NDArray[np.uint16]:
    """Decode parts as those of a grey page whose rows are so many times as long."""
    tags, out = tiff.pages[index].tags, bytearray(tiff.data[: tiff.head])
    places = [append_part(out, tiff.data[at : at + size]) for at, size in parts]
    told: dict[int, list[int]] = {}
    told |= {tag: [tiff.number(index, tag, 0)] for tag in (257, 259, 266, 278, 323) if tag in tags}
    told |= {tag: [tiff.number(index, tag, 0) * across] for tag in (256, 322) if tag in tags}
    told |= {258: [depth], 262: [1], 277: [1]}
    offsets, sizes = (324, 325) if 324 in tags else (273, 279)
    told |= {offsets: places, sizes: [size for _, size in parts]}
    entries = [
        (tag, 4, len(values), struct.pack(f"{tiff.order}{len(values)}I", *values))
        for tag, values in told.items()
    ]
    with Image.open(io.BytesIO(one_page(out, tiff, entries)), formats=["TIFF"]) as image:
        return np.asarray(image).astype(np.uint16)


def _summed(tiff: chunks.Tiff, index: int, samples: Samples, depth: int) -> Samples:
    """Undo horizontal differences (TIFF 6.0, section 14), which begin anew in each tile."""
    if tiff.number(index, 317, 1) != 2 or tiff.number(index, 259, 1) not in _DIFFERENCED:
        return samples
    tile = tiff.number(index, 322, samples.shape[1])
    for left in range(0, samples.shape[1], tile):
        part = samples[:, left : left + tile]
        part[:] = np.cumsum(part, axis=1, dtype=np.uint8 if depth == 8 else np.uint16)
    return samples
