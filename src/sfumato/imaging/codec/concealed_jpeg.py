"""What a JPEG holds that no viewer shows: blocks behind the last one, bytes between segments."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfumato.errors import SampleError
from sfumato.imaging.codec import chunks
from sfumato.imaging.codec.behind import CODED, PIXELS, TOLERATED, UNKNOWN, holds
from sfumato.imaging.codec.trial import first_pixels, pixels_of
from sfumato.imaging.jpeg._scan import end_of_scan
from sfumato.imaging.jpeg.extent import cut, extents, left_over
from sfumato.imaging.jpeg.markers import start_of_image, walk

_MOST_TRIALS = 32  # decodings of a file whose blocks our reader can't follow
_MOST_IMAGES = 64  # behind the first one
_WIDEST = 16  # pixels of an MCU with two samples for one
_LARGEST = 65535
_NEAR = 3  # grey levels on average between neighbours that repeat an edge, coded with loss
_STRAY = "bytes between segments"


def find_jpeg(data: bytes) -> Iterator[str]:
    """Name what lies outside the frame of a JPEG, and of the further images of an MPO."""
    yield from _find(data)
    end = _end(data)
    at = None if end is None else start_of_image(data, end)
    for _ in range(_MOST_IMAGES):
        if at is None:
            return
        one = data[at:]
        end = _end(one)
        if end is None:  # no image: what it is, is for others to say
            return
        yield from _find(one[:end])
        at = start_of_image(data, at + end)
    yield UNKNOWN


def _end(data: bytes) -> int | None:
    with suppress(SampleError):
        return walk(data)[1]
    return None


def _find(data: bytes) -> Iterator[str]:
    try:
        scans = extents(data)
    except SampleError:
        yield from _by_trial(data)
    else:
        if holds(left_over(data, scan) for scan in scans):
            yield CODED
        elif _beside(data):
            yield PIXELS
    if holds(data[start:end] for start, end in _stray(data)):
        yield _STRAY


def _beside(data: bytes) -> bool:
    """Tell whether the blocks at the right and at the bottom show more than the repeated edge.

    They fill up the last MCU, of up to 32 pixels; only where that is more than 16 it is looked at.
    """
    for marker, start, _ in chunks.jpeg_segments(data):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width, count = struct.unpack_from(">HHB", data, start + 1)
            factors = data[start + 7 : start + 6 + 3 * count : 3]
            down, across = (8 * max(factor >> s & 15 for factor in factors) for s in (0, 4))
            rows, columns = -(-height // down) * down, -(-width // across) * across
            if max(down, across) <= _WIDEST or max(rows, columns) > _LARGEST:
                return False
            whole = bytearray(data)
            struct.pack_into(">HH", whole, start + 1, rows, columns)
            shown = first_pixels(bytes(whole), 0)
            if shown is None:
                return True
            luma = shown.reshape(rows, columns, -1)[..., :3].mean(axis=2)
            beside, under = luma[:height, -(-width // 8) * 8 :], luma[-(-height // 8) * 8 :, :width]
            return not (_steady(beside, 1) and _steady(under, 0))
    return False


def _steady(area: NDArray[Any], axis: int) -> bool:
    """Tell whether whole blocks do nothing but repeat what is at one side of them."""
    if area.shape[axis] < 2 or not area.size:
        return True
    return float(np.abs(np.diff(area, axis=axis)).mean()) <= _NEAR


def _stray(data: bytes) -> list[tuple[int, int]]:
    places = []
    with suppress(*chunks.MALFORMED):
        for marker, start, end in chunks.jpeg_segments(data):
            if marker == chunks.STRAY:
                places.append((start, end))
    return places


def cut_jpeg(data: bytes) -> bytes:
    """Return a JPEG without what lies behind its last block, and without stray bytes.

    Raises:
        SampleError: as `extents`; of what follows the first image nothing is cut.
    """
    clean = cut(data, extents(data))
    for start, end in reversed(_stray(clean)):
        clean = clean[:start] + clean[end:]
    return clean


def _by_trial(data: bytes) -> Iterator[str]:
    """Name what a decoder doesn't need of a file that our reader can't follow.

    That is arithmetic coding, or data that broke somewhere: the image is decoded without the
    last bytes of each restart interval of each scan, and must not stay the same.
    """
    try:
        scans = _coded(data)
    except chunks.MALFORMED:
        yield UNKNOWN
        return
    parts = [part for scan in scans for part in _parts(data, *scan)]
    parts = [(start, stop) for start, stop in parts if stop - start > TOLERATED]
    # Short intervals: those that the frame has no blocks for stand at the end of their scan.
    parts = list(dict.fromkeys((*parts, *(one for one in scans if one[1] - one[0] > TOLERATED))))
    if len(parts) > _MOST_TRIALS:
        yield UNKNOWN
        return
    whole = pixels_of(data) if parts else b""
    for start, stop in parts:
        shorter = data[: stop - TOLERATED // 2] + data[stop:]
        if pixels_of(shorter) == whole and holds((data[start:stop],)):
            yield CODED
            return


def _coded(data: bytes) -> list[tuple[int, int]]:
    """Return where the coded data of each scan lie, also those that our reader refuses."""
    places = []
    for marker, _, end in chunks.jpeg_segments(data):
        if marker == chunks.SOS:
            stop = end_of_scan(data, end)
            places.append((end, ~stop if stop < 0 else stop))
    return places


def _parts(data: bytes, start: int, stop: int) -> list[tuple[int, int]]:
    """Cut a scan at its restart markers."""
    parts, at = [], start
    while at < stop:
        found = data.find(b"\xff", at, stop)
        while found >= 0 and not 0xD0 <= data[found + 1] <= 0xD7:
            found = data.find(b"\xff", found + 1, stop)
        behind = stop if found < 0 else found
        parts.append((at, behind))
        at = behind + 2
    return parts
