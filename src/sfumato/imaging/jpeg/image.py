"""Read a whole JPEG file into quantised coefficients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfumato.imaging.jpeg._decode import ScanReader, unstuffed
from sfumato.imaging.jpeg.header import (
    Frame,
    Header,
    Numbers,
    Scan,
    read_header,
    read_huffman,
)
from sfumato.imaging.jpeg.huffman import STANDARD, lookup
from sfumato.imaging.jpeg.markers import DHT, SOS, Segment, broken, walk

Coefficients = NDArray[np.int16]  # (blocks, 64): quantised, in zigzag order
Words = NDArray[np.uint64]  # [i]: the 64 bits from bit 32 * i on


@dataclass(frozen=True, slots=True)
class JpegImage:
    """A JPEG file, read: its segments, what they say, and all quantised coefficients.

    `precision` is, for each component and coefficient, the lowest bit that the
    scans give: 0, or more where a progressive file stops early; -1: never given.
    The rest is about the last scan: the block numbers in its `order`; its bits as `words` (see
    `ScanReader`); the bits at which its restart intervals begin and end, and, for a sequential
    scan, `positions`, the bits at which its MCUs begin.
    """

    segments: tuple[Segment, ...]
    end: int  # of the image in the file
    header: Header
    coefficients: Coefficients
    precision: NDArray[np.int8]
    order: Numbers
    words: Words
    begins: tuple[int, ...]
    ends: tuple[int, ...]
    positions: NDArray[np.int64]


def read(data: bytes, *, max_pixels: int) -> JpegImage:
    """Read all scans of a JPEG file.

    Raises:
        SampleError: see `read_header`; `IMAGE_DECODE` where the data become illegal.
    """
    segments, end = walk(data)
    header = read_header(segments, max_pixels=max_pixels)
    return decode(_with_tables(segments, header), end, header)


def _with_tables(segments: list[Segment], header: Header) -> list[Segment]:
    """Return the segments with the standard Huffman tables that a scan uses and none defines.

    They come before the first scan, as decoders have it; the edited file holds them.
    """
    scans = iter(header.scans)
    defined: set[int] = set()
    missing: set[int] = set()
    first = None
    for at, segment in enumerate(segments):
        if segment.marker == DHT:
            defined |= read_huffman(segment.payload).keys()
        elif segment.marker == SOS:
            scan, first = next(scans), at if first is None else first
            dc = {slot for slot, table in zip(scan.dc_slots, scan.dc_tables, strict=True) if table}
            ac = zip(scan.ac_slots, scan.ac_tables, strict=True)
            missing |= (dc | {slot | 0x10 for slot, table in ac if table}) - defined
    if not missing or first is None:
        return segments
    payload = b"".join(bytes((name,)) + STANDARD[name] for name in sorted(missing))
    return [*segments[:first], Segment(DHT, segments[first].offset, payload), *segments[first:]]


def decode(segments: Sequence[Segment], end: int, header: Header) -> JpegImage:
    """Read the scans of a file whose headers have been read."""
    frame = header.frame
    coefficients = np.zeros((frame.block_count, 64), dtype=np.int16)
    busy = np.zeros(frame.block_count if frame.process == "progressive" else 0, dtype=np.uint8)
    precision = np.full((len(frame.components), 64), -1, dtype=np.int8)
    for scan in header.scans:
        advance(precision, scan)
        order = frame.order(scan.components)
        words, bounds = bits_of(scan)
        reader = reader_of(frame, scan, order, words, coefficients, busy)
        positions = np.zeros(len(order), dtype=np.int64)
        ends = _read_intervals(reader, frame, scan, bounds, positions)
    if (precision[:, 0] < 0).any():
        raise broken("a component without its DC coefficients")
    begins = tuple(8 * bound for bound in bounds[:-1])
    return JpegImage(
        tuple(segments), end, header, coefficients, precision, order, words, begins, ends, positions
    )


def advance(precision: NDArray[np.int8], scan: Scan) -> None:
    """Note which bits a scan gives; each must follow on the ones before (T.81 G.1.1.1)."""
    band = slice(scan.first, scan.last + 1)
    for index in scan.components:
        before = scan.high if scan.high else -1
        if (precision[index, band] != before).any() or (scan.high and scan.low != scan.high - 1):
            raise broken("a scan that gives bits twice or out of order")
        precision[index, band] = scan.low


def bits_of(scan: Scan) -> tuple[Words, tuple[int, ...]]:
    """Return the bits of a scan, and the bytes at which its restart intervals begin and end."""
    words = np.empty(len(scan.data) // 4 + 80, dtype=np.uint64)
    return words, unstuffed(scan.data, words)


def reader_of(
    frame: Frame,
    scan: Scan,
    order: Numbers,
    words: Words,
    coefficients: Coefficients,
    busy: NDArray[np.uint8],
) -> ScanReader:
    """Put the lookups of a scan one behind the other, DC and AC of each component in turn."""
    rows, entries, base = [], [np.zeros(0, dtype=np.int32)], 0
    for pair in zip(scan.dc_tables, scan.ac_tables, strict=True):
        for table in pair:
            if not table:
                rows.append((0, 0))
                continue
            found = lookup(table)
            rows.append((base, found.limit))
            entries.append(found.entries)
            base += len(found.entries)
    return ScanReader(
        words,
        np.concatenate(entries),
        np.asarray(rows, dtype=np.int32),
        order,
        frame.owners(scan.components),
        coefficients,
        busy,
        np.zeros(len(scan.components), dtype=np.int32),
    )


def _read_intervals(
    reader: ScanReader,
    frame: Frame,
    scan: Scan,
    bounds: Sequence[int],
    positions: NDArray[np.int64],
) -> tuple[int, ...]:
    """Read the restart intervals of a scan; each must fill its bytes. Return where they end."""
    mcus, ends = len(positions), []
    step = scan.interval or mcus
    if len(bounds) - 1 != -(-mcus // step):
        raise broken("restart markers missing, or too many")
    for number, mcu in enumerate(range(0, mcus, step)):
        at, end = 8 * bounds[number], 8 * bounds[number + 1]
        stop = min(mcu + step, mcus)
        at = read_interval(reader, frame, scan, (at, end), (mcu, stop), positions)
        if end - at >= 8:
            raise broken("data left over after the last block")
        ends.append(at)
    return tuple(ends)


def read_interval(
    reader: ScanReader,
    frame: Frame,
    scan: Scan,
    bits: tuple[int, int],
    mcus: tuple[int, int],
    positions: NDArray[np.int64],
) -> int:
    """Read the MCUs of one restart interval between two bits; return the bit behind the last."""
    if frame.process != "progressive":
        return reader.sequential(*bits, *mcus, positions)
    if scan.first == 0 and scan.high == 0:
        return reader.dc_first(*bits, *mcus, scan.low)
    if scan.first == 0:
        return reader.dc_refine(*bits, *mcus, scan.low)
    if scan.high == 0:
        return reader.ac_first(*bits, *mcus, scan.first, scan.last, scan.low)
    return reader.ac_refine(*bits, *mcus, scan.first, scan.last, scan.low)
