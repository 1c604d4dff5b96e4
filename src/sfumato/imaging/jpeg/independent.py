"""Compare two JPEG files by another program's reading: libjpeg, through the package jpeglib.

`edit` proves each file with the decoder that made it. This is the second opinion for `verify`:
nothing of ours decodes here, only which blocks a box may reach is our own geometry.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sfumato.boxes import clip
from sfumato.errors import Code, MissingExtra, SampleError
from sfumato.imaging.jpeg.editing import reachable
from sfumato.imaging.jpeg.header import read_header
from sfumato.imaging.jpeg.markers import walk
from sfumato.types import Box, Obfuscator


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs: quantisation tables or sampling, and how many blocks in reach and outside."""

    tables_differ: bool
    sampling_differs: bool
    blocks_in_reach: int
    blocks_outside: int


def compare(
    before: bytes, after: bytes, boxes: Sequence[Box], obfuscator: Obfuscator, *, max_pixels: int
) -> Comparison:
    """Compare all quantised coefficients of two files.

    Args:
        before: the source.
        after: what `edit` made of it.
        boxes: those of the edit, in pixels of the stored image.
        obfuscator: that of the edit, for its reaches.
        max_pixels: larger images are refused.

    Raises:
        MissingExtra: jpeglib isn't installed.
        SampleError: `IMAGE_DECODE` for what libjpeg can't read.
    """
    frame = read_header(walk(before)[0], max_pixels=max_pixels).frame
    inside = [box for box in boxes if clip(box, frame.width, frame.height)]
    old, new = _read(before), _read(after)
    shapes = [[plane.shape for plane in planes] for planes in (old[0], new[0])]
    if shapes[0] != shapes[1]:
        return Comparison(old[1] != new[1], True, 0, 0)
    in_reach = outside = 0
    for index, (a, b) in enumerate(zip(old[0], new[0], strict=True)):
        rows, columns = frame.blocks(index)
        differ = (a[:rows, :columns] != b[:rows, :columns]).any(axis=(2, 3))
        mask = reachable(frame, index, inside, obfuscator)
        in_reach += int((differ & mask).sum())
        outside += int((differ & ~mask).sum())
    return Comparison(old[1] != new[1], False, in_reach, outside)


def _read(data: bytes) -> tuple[list[NDArray[np.int16]], list[int]]:
    """Return the blocks of each component, (rows, columns, 8, 8), and the tables."""
    try:
        import jpeglib
    except ImportError as missing:
        raise MissingExtra("comparing JPEG files needs: pip install 'sfumato[verify]'") from missing
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "image.jpg")
        path.write_bytes(data)
        try:
            image = jpeglib.read_dct(str(path))
            planes = [p for p in (image.Y, image.Cb, image.Cr, image.K) if p is not None]
        except (OSError, RuntimeError) as error:
            raise SampleError(Code.IMAGE_DECODE, "JPEG: libjpeg can't read it") from error
        return [np.array(plane) for plane in planes], np.asarray(image.qt).ravel().tolist()
