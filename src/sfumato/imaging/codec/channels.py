"""Channels and colours that are stored and that no viewer shows, each of them an image to search.

A fourth channel that is no alpha; alpha that a file says it doesn't have; the colours of an
animation's frame where that is transparent.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.errors import Code, SampleError
from sfumato.imaging.codec import chunks
from sfumato.imaging.codec.samples import parsed, tiff_samples
from sfumato.imaging.codec.stills import png_stills, webp_stills
from sfumato.types import Pixels

if TYPE_CHECKING:
    from sfumato.imaging.codec.reading import Opened

_COLOURS: Final = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}  # of TIFF's photometric
_JPEG: Final = (6, 7)  # compressions
_FEW: Final = 64  # pixels that are neither the least nor the largest value: soft edges
_MASKED: Final = (3, 6)  # compressions of BMP: with masks of three or four channels
_WITH_ALPHA: Final = 56  # bytes of a header that has a mask of alpha
_DARK: Final = 8  # grey levels that look black
_LEAST_BLACK: Final = 1024  # pixels that could show a face
_VARIED: Final = 16.0  # grey levels, standard deviation
_ALPHA_USED: Final = 0x10  # in byte 4 of VP8L


def draws(plane: NDArray[np.uint8]) -> bool:
    """Tell whether a channel draws something: whether it is more than on and off."""
    low, high = int(plane.min()), int(plane.max())
    return int(np.count_nonzero((plane > low) & (plane < high))) >= _FEW


def unseen_channels(opened: Opened, index: int) -> Iterator[NDArray[np.uint8]]:
    """Yield the channels of 8 bits, (h, w) of the stored grid, that Pillow passes over.

    Raises:
        SampleError: IMAGE_UNSUPPORTED where there are some that can't be read.
    """
    kind = opened.header.format
    planes: Iterator[NDArray[np.uint8]]
    if kind == "TIFF":
        inks = opened.image.mode == "CMYK" and opened.header.bits == 8
        planes = chain(_of_tiff(opened, index), _of_cmyk(opened.image) if inks else ())
    elif kind == "BMP":
        planes = _of_bmp(opened.data)
    elif kind == "WEBP" and opened.header.frames == 1:
        planes = _of_webp(opened)
    elif kind in ("JPEG", "MPO") and opened.image.mode == "CMYK":
        planes = _of_cmyk(opened.image)
    else:
        return
    yield from (plane for plane in planes if draws(plane))


def _of_tiff(opened: Opened, index: int) -> Iterator[NDArray[np.uint8]]:
    tiff = parsed(opened.data)
    photometric = tiff.number(index, 262, 1)
    shown = _COLOURS.get(photometric, 0) + (opened.image.mode in ("LA", "PA", "RGBA", "RGBa"))
    channels, bits = tiff.number(index, 277, 1), tiff.number(index, 258, 1)
    if channels <= shown or bits == 16:  # of 16 bits all channels are read anyway
        return
    readable = bits == 8 and photometric in (0, 1, 2, 5)
    samples = None
    if readable and tiff.number(index, 259, 1) not in _JPEG:
        samples = tiff_samples(opened.data, index, depth=8)
    if samples is None:
        raise SampleError(Code.IMAGE_UNSUPPORTED, f"{channels} channels, of which {shown} show")
    for channel in range(shown, channels):
        yield samples[..., channel].astype(np.uint8)


def _of_bmp(data: bytes) -> Iterator[NDArray[np.uint8]]:
    """Yield the byte beside blue, green and red in a BMP of 32 bits."""
    _, start, end = chunks.bmp_parts(data)
    header, bits = data[14], int.from_bytes(data[28:30], "little")
    if header < 40 or bits != 32:
        return
    place = _spare_byte(data) if any(data[30:34]) else 3
    if place is None:
        return
    width, height = struct.unpack_from("<ii", data, 18)
    spare = np.frombuffer(data[start:end], np.uint8)[place::4].reshape(abs(height), width)
    yield spare[::-1] if height > 0 else spare


def _spare_byte(data: bytes) -> int | None:
    """Return the byte of a pixel that no mask of a BMP takes; None if alpha takes it."""
    if data[30] not in _MASKED:
        return None
    masks = struct.unpack_from("<4I", data, 54)
    taken = masks[0] | masks[1] | masks[2] | (masks[3] if data[14] >= _WITH_ALPHA else 0)
    spare = [at for at in range(4) if not taken >> 8 * at & 0xFF]
    return spare[0] if spare else None


def _of_cmyk(image: Image.Image) -> Iterator[NDArray[np.uint8]]:
    """Yield black, and the light of the other inks, where together they show nothing but black.

    Rich black in photographs is even or small.
    """
    ink = np.asarray(image)
    light = 255 - ink[..., :3].min(axis=2)
    black = (light.astype(np.uint16) * (255 - ink[..., 3]) // 255) <= _DARK
    if np.count_nonzero(black) < _LEAST_BLACK:
        return
    mean = 255 - ink[..., :3].mean(axis=2)
    for plane in (255 - ink[..., 3], mean.astype(np.uint8)):
        if plane[black].std() >= _VARIED:
            yield plane


def _of_webp(opened: Opened) -> Iterator[NDArray[np.uint8]]:
    """Yield the alpha of a WebP that says it has none."""
    if opened.image.mode == "RGBA":
        return
    for name, start, _ in chunks.riff_chunks(opened.data):
        if name == b"ALPH":
            raise SampleError(Code.IMAGE_UNSUPPORTED, "alpha in a WebP that says it has none")
        if name == b"VP8L":
            flagged = bytearray(opened.data[start - 8 :])
            flagged[8 + 4] |= _ALPHA_USED
            flagged = bytearray(b"RIFF" + struct.pack("<I", len(flagged) + 4) + b"WEBP") + flagged
            with Image.open(io.BytesIO(flagged), formats=["WEBP"]) as image:
                yield np.asarray(image.convert("RGBA").getchannel("A"))


def unseen_colours(opened: Opened) -> Iterator[Pixels]:
    """Yield the frames of an animation as they are stored, where they have transparent pixels."""
    stills = {"PNG": png_stills, "WEBP": webp_stills}.get(opened.header.format)
    if stills is None or opened.header.frames == 1:
        return
    for still in stills(opened.data):
        with Image.open(io.BytesIO(still)) as image:
            shown = image.convert("RGBA")
        pixels = np.asarray(shown)
        if (pixels[..., 3] < 255).any():
            yield np.ascontiguousarray(pixels[..., :3])
