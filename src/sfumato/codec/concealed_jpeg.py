"""What a JPEG holds that no viewer shows: blocks behind the last one, bytes between segments."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from sfumato.codec import chunks
from sfumato.codec.behind import CODED, TOLERATED, UNKNOWN, holds
from sfumato.codec.trial import pixels_of
from sfumato.errors import SampleError
from sfumato.jpeg._scan import end_of_scan
from sfumato.jpeg.extent import cut, extents, left_over
from sfumato.jpeg.markers import start_of_image, walk

_MOST_TRIALS = 32  # decodings of a file whose blocks our reader can't follow
_MOST_PICTURES = 64  # behind the first one
_STRAY = "bytes between segments"


def find_jpeg(data: bytes) -> Iterator[str]:
    """Name what lies outside the frame of a JPEG, and of the further pictures of an MPO."""
    yield from _find(data)
    end = _end(data)
    at = None if end is None else start_of_image(data, end)
    for _ in range(_MOST_PICTURES):
        if at is None:
            return
        one = data[at:]
        end = _end(one)
        if end is None:  # no picture: what it is, is for others to say
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
    if holds(data[start:end] for start, end in _stray(data)):
        yield _STRAY


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
        SampleError: as `extents`; of what follows the first picture nothing is cut.
    """
    clean = cut(data, extents(data))
    for start, end in reversed(_stray(clean)):
        clean = clean[:start] + clean[end:]
    return clean


def _by_trial(data: bytes) -> Iterator[str]:
    """Name what a decoder doesn't need of a file that our reader can't follow.

    That is arithmetic coding, or data that broke somewhere: the picture is decoded without the
    last bytes of each restart interval of each scan, and must not stay the same.
    """
    try:
        scans = _coded(data)
    except chunks.MALFORMED:
        yield UNKNOWN
        return
    parts = [part for scan in scans for part in _parts(data, *scan)]
    parts = [(start, stop) for start, stop in parts if stop - start > TOLERATED]
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
