"""How much of a scan's entropy-coded data the blocks of the image take, and what is left over.

A frame header that tells less rows or columns than were coded leaves the rest in the file: no
viewer shows it, and anybody who writes the old size back sees it. The blocks that the header asks
for are read here, and what lies behind them in any restart interval of any scan is left over.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sfumato.imaging.jpeg.header import Frame, Header, Scan, read_header
from sfumato.imaging.jpeg.image import advance, bits_of, read_interval, reader_of
from sfumato.imaging.jpeg.markers import SOS, Segment, broken, walk

_ANY_SIZE = 1 << 32  # `read_header` refuses what the data can't hold
_RESTART = re.compile(rb"\xff+[\xd0-\xd7]")


@dataclass(frozen=True, slots=True)
class Extent:
    """One scan in the file: where its coded data lie, and what of each restart interval is used.

    `used` are bits, for each interval that the image has; there may be more in the data.
    """

    start: int
    stop: int
    used: tuple[int, ...]


def extents(data: bytes) -> tuple[Extent, ...]:
    """Return how far the blocks reach in each scan of the first image.

    Raises:
        SampleError: as `read_header`; `IMAGE_DECODE` where the coded data become illegal or end
            before the image does.
    """
    segments, _ = walk(data)
    header = read_header(segments, max_pixels=_ANY_SIZE)
    places = _places(data, segments)
    precision = np.full((len(header.frame.components), 64), -1, dtype=np.int8)
    for scan in header.scans:  # one that comes again would show nothing
        advance(precision, scan)
    return tuple(Extent(*place, bits) for place, bits in zip(places, _used(header), strict=True))


def left_over(data: bytes, scan: Extent) -> bytes:
    """Return the coded bytes of a scan that no block takes, without stuffing."""
    parts = _intervals(data[scan.start : scan.stop])
    taken = [-(-bits // 8) for bits in scan.used] + [0] * (len(parts) - len(scan.used))
    return b"".join(part[count:] for part, count in zip(parts, taken, strict=True))


def cut(data: bytes, scans: Sequence[Extent]) -> bytes:
    """Return the file without what is left over in these scans."""
    out, done = [], 0
    for scan in scans:
        if left_over(data, scan):
            parts = _intervals(data[scan.start : scan.stop])
            kept = [_ended(part, bits) for part, bits in zip(parts, scan.used, strict=False)]
            out += [data[done : scan.start], kept[0]]
            for number, part in enumerate(kept[1:]):
                out += [bytes((0xFF, 0xD0 + number % 8)), part]
            done = scan.stop
    return b"".join((*out, data[done:]))


def _ended(part: bytes, bits: int) -> bytes:
    """Return the first bits of an interval, filled up with ones and stuffed (T.81 F.1.2.3)."""
    kept = bytearray(part[: -(-bits // 8)])
    if bits % 8:
        kept[-1] |= 0xFF >> bits % 8
    return bytes(kept).replace(b"\xff", b"\xff\x00")


def _intervals(coded: bytes) -> list[bytes]:
    return [part.replace(b"\xff\x00", b"\xff") for part in _RESTART.split(coded)]


def _places(data: bytes, segments: Sequence[Segment]) -> list[tuple[int, int]]:
    places = []
    for segment in segments:
        if segment.marker == SOS:
            at = segment.offset
            at = data.index(bytes([SOS]), at) + 3 + len(segment.payload)  # fill is 0xFF alone
            places.append((at, at + len(segment.scan)))
    return places


def _shares(frame: Frame, scan: Scan, bounds: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return (first bit, bit behind, MCUs) of each restart interval that the image has."""
    single = len(scan.components) == 1
    rows, columns = frame.blocks(scan.components[0]) if single else frame.mcus
    mcus = rows * columns
    step = scan.interval or mcus
    count = -(-mcus // step)
    if count > len(bounds) - 1:
        raise broken("restart markers missing")
    return [(8 * bounds[i], 8 * bounds[i + 1], min(step, mcus - i * step)) for i in range(count)]


def _used(header: Header) -> list[tuple[int, ...]]:
    """Read the scans; return how many bits of each restart interval their blocks take.

    Of a sequential scan nobody asks what its blocks hold: all go to the same place. A progressive
    one depends on what came before.
    """
    frame = header.frame
    progressive = frame.process == "progressive"
    coefficients = np.zeros((frame.block_count if progressive else 1, 64), dtype=np.int16)
    busy = np.zeros(len(coefficients), dtype=np.uint8)
    used = []
    for scan in header.scans:
        order = frame.order(scan.components)
        order = order if progressive else np.zeros_like(order)
        words, bounds = bits_of(scan)
        reader = reader_of(frame, scan, order, words, coefficients, busy)
        positions = np.zeros(len(order), dtype=np.int64)
        ends, mcu = [], 0
        for at, end, mcus in _shares(frame, scan, bounds):
            found = read_interval(reader, frame, scan, (at, end), (mcu, mcu + mcus), positions)
            ends.append(found - at)
            mcu += mcus
        used.append(tuple(ends))
    return used
