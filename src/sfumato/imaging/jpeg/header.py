"""What the headers of a JPEG say: frame, components, scans and the tables each scan uses.

The *frame* (T.81 B.2.2) gives the size of the image and its components: Y, Cb and Cr, say.
A component may be *subsampled*: with sampling factors 2x2, 1x1, 1x1 (known as 4:2:0) there are
four blocks of Y for one of Cb and one of Cr. Those six blocks of 8x8 samples are one *MCU*, the
unit that an interleaved scan repeats; a scan of one component repeats single blocks (T.81 A.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sfumato.errors import Code, SampleError
from sfumato.imaging.jpeg.huffman import STANDARD
from sfumato.imaging.jpeg.markers import (
    ADOBE,
    APP0,
    APP14,
    DHT,
    DQT,
    DRI,
    JFIF,
    SOF_CODES,
    SOS,
    Segment,
    broken,
)

Process: TypeAlias = Literal["baseline", "extended", "progressive"]
Colour: TypeAlias = Literal["grey", "YCbCr", "RGB", "CMYK", "YCCK", "other"]
Numbers: TypeAlias = NDArray[np.int32]  # block numbers: rows of JpegImage.coefficients

_PROCESSES: Final[dict[int, Process]] = {0xC0: "baseline", 0xC1: "extended", 0xC2: "progressive"}
_REFUSED: Final = {0xC3: "lossless", 0xC5: "hierarchical", 0xC6: "hierarchical", 0xC7: "lossless"}
_MOST_SCANS: Final = 100  # no encoder writes more than about 20; each one costs a pass

# What work headers may claim: runs let a few bytes stand for a pass over all blocks, and a pass
# that refines looks at each coefficient of its band. The unit is one such look, about 5 ns for
# reading, writing and proof together. An empty page in libjpeg's 10 scans takes 850 for each
# byte of its scans, a photograph at quality 10 at most 530 (2,476 images).
_BLOCK_WORK: Final = 64  # memory for a block
_PASS_WORK: Final = 8  # a pass over it
_MOST_WORK: Final = 900  # for each byte
_FREE_WORK: Final = 10_000_000  # however few the bytes
_MOST_BLOCKS: Final = 4  # for each byte, beyond the free ones: memory is the dearest of all
_FREE_BLOCKS: Final = 100_000  # 6 megapixels, of which a blank progressive file takes 1 bit each

# The order in which T.81 figure A.6 walks the 8x8 coefficients of a block: zigzag position to
# row-major index.
ZIGZAG: Final = np.array(
    sorted(range(64), key=lambda i: (i // 8 + i % 8, (i % 8, i // 8)[(i // 8 + i % 8) % 2])),
    dtype=np.uint8,
)


@dataclass(frozen=True, slots=True)
class Component:
    """One colour plane: its name in the file, and its sampling factors (1 to 4 each)."""

    id: int
    h: int
    v: int
    quantisation_slot: int


@dataclass(frozen=True)
class Frame:
    """The image as the frame header describes it, and where its blocks lie.

    All blocks of all components are numbered through, a component at a time, each row by row
    and with the padding that fills up the last MCUs.
    """

    process: Process
    width: int
    height: int
    components: tuple[Component, ...]

    @cached_property
    def most(self) -> tuple[int, int]:
        """The largest sampling factors: horizontal, vertical."""
        return max(c.h for c in self.components), max(c.v for c in self.components)

    @cached_property
    def mcus(self) -> tuple[int, int]:
        """The number of interleaved MCUs: rows, columns."""
        h, v = self.most
        return -(-self.height // (8 * v)), -(-self.width // (8 * h))

    def samples(self, index: int) -> tuple[int, int]:
        """Return the size of a component's plane in samples: rows, columns (T.81 A.1.1)."""
        component, (h, v) = self.components[index], self.most
        return -(-self.height * component.v // v), -(-self.width * component.h // h)

    def blocks(self, index: int) -> tuple[int, int]:
        """Return the size of a component in blocks, without padding: rows, columns."""
        rows, columns = self.samples(index)
        return -(-rows // 8), -(-columns // 8)

    @cached_property
    def block_count(self) -> int:
        """The number of blocks of all components, padding included."""
        rows, columns = self.mcus
        return rows * columns * sum(c.h * c.v for c in self.components)

    @cached_property
    def _all_numbers(self) -> tuple[Numbers, ...]:
        rows, columns = self.mcus
        numbers, first = [], 0
        for component in self.components:
            shape = (rows * component.v, columns * component.h)
            stop = first + shape[0] * shape[1]
            numbers.append(np.arange(first, stop, dtype=np.int32).reshape(shape))
            numbers[-1].flags.writeable = False  # shared
            first = stop
        return tuple(numbers)

    def numbers(self, index: int) -> Numbers:
        """Return the block numbers of a component, padding included: (rows, columns)."""
        return self._all_numbers[index]

    def order(self, indices: Sequence[int]) -> Numbers:
        """Return the block numbers in the order of a scan of these components: (MCUs, blocks).

        Interleaved MCUs go through the image in rows, the components inside an MCU in turn,
        the blocks of a component again in rows. A single component has no padding and one
        block in an MCU (T.81 A.2.2 and A.2.3).
        """
        if len(indices) == 1:
            rows, columns = self.blocks(indices[0])
            return np.ascontiguousarray(self.numbers(indices[0])[:rows, :columns].reshape(-1, 1))
        rows, columns = self.mcus
        parts = []
        for index in indices:
            h, v = self.components[index].h, self.components[index].v
            grid = self.numbers(index).reshape(rows, v, columns, h)
            parts.append(grid.transpose(0, 2, 1, 3).reshape(rows * columns, v * h))
        return np.ascontiguousarray(np.concatenate(parts, axis=1))

    def owners(self, indices: Sequence[int]) -> NDArray[np.int32]:
        """Return, for each block of an MCU, which of the scan's components it belongs to."""
        if len(indices) == 1:
            return np.zeros(1, dtype=np.int32)
        counts = [self.components[i].h * self.components[i].v for i in indices]
        return np.repeat(np.arange(len(indices), dtype=np.int32), counts)


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan: components (indices into the frame), band, bits, tables, entropy-coded data.

    `first` and `last` are zigzag positions; `high` and `low` the bit positions of successive
    approximation (T.81 G.1.1.1): a first scan has high 0, a refinement has high = low + 1.
    """

    components: tuple[int, ...]
    dc_tables: tuple[bytes, ...]  # for each component: 16 counts and the symbols, or b""
    ac_tables: tuple[bytes, ...]
    dc_slots: tuple[int, ...]
    ac_slots: tuple[int, ...]
    first: int
    last: int
    high: int
    low: int
    interval: int  # MCUs between restart markers; 0: none
    data: bytes | memoryview


@dataclass(frozen=True, slots=True)
class Header:
    """Everything that the segments of a file say about how it is coded."""

    frame: Frame
    scans: tuple[Scan, ...]
    quantisation: tuple[tuple[int, ...], ...]  # for each component: 64 steps, zigzag order
    colour: Colour


def read_header(segments: Sequence[Segment], *, max_pixels: int) -> Header:
    """Read frame, tables and scans.

    Raises:
        SampleError: `IMAGE_UNSUPPORTED` for coding processes that cameras and the web don't
            use, by name; `IMAGE_TOO_LARGE` over `max_pixels`; `IMAGE_DECODE` where a segment
            breaks T.81, or where the data are too short for the size that the frame claims.
    """
    frames = [segment for segment in segments if segment.marker in SOF_CODES]
    if len(frames) != 1:
        raise broken("no frame header, or more than one")
    frame = _read_frame(frames[0], max_pixels)
    quantisers: dict[int, tuple[int, ...]] = {}
    latched: dict[int, tuple[int, ...]] = {}
    # Frames of Motion JPEG leave tables out (`huffman.STANDARD`).
    huffman = {} if frame.process == "progressive" else dict(STANDARD)
    scans: list[Scan] = []
    interval = 0
    for segment in segments:
        if segment.marker == DQT:
            quantisers |= _read_quantisers(segment.payload)
        elif segment.marker == DHT:
            huffman |= read_huffman(segment.payload)
        elif segment.marker == DRI:
            if len(segment.payload) != 2:
                raise broken("restart interval of a wrong length")
            interval = int.from_bytes(segment.payload, "big")
        elif segment.marker == SOS:
            scans.append(_read_scan(segment, frame, huffman, interval))
            _latch(frame, scans[-1], quantisers, latched)
    _check_plausible(frame, scans)
    steps = tuple(latched[i] for i in range(len(frame.components)))
    return Header(frame, tuple(scans), steps, colour_of(frame, segments))


def _latch(
    frame: Frame,
    scan: Scan,
    quantisers: dict[int, tuple[int, ...]],
    latched: dict[int, tuple[int, ...]],
) -> None:
    """Give each component the table that is in force when its first scan begins."""
    for index in scan.components:
        slot = frame.components[index].quantisation_slot
        if index not in latched:
            if slot not in quantisers:
                raise broken("quantisation table missing")
            latched[index] = quantisers[slot]


def _read_frame(segment: Segment, max_pixels: int) -> Frame:
    payload, marker = segment.payload, segment.marker
    if marker not in _PROCESSES:
        name = _REFUSED.get(marker, "arithmetic coding")
        raise SampleError(Code.IMAGE_UNSUPPORTED, f"JPEG: {name} (SOF{marker - 0xC0})")
    if len(payload) < 6 or len(payload) != 6 + 3 * payload[5]:
        raise broken("frame header of a wrong length")
    if payload[0] != 8:
        raise SampleError(Code.IMAGE_UNSUPPORTED, f"JPEG: {payload[0]}-bit samples")
    height, width = int.from_bytes(payload[1:3], "big"), int.from_bytes(payload[3:5], "big")
    if height == 0:
        raise SampleError(Code.IMAGE_UNSUPPORTED, "JPEG: a height given after the scan (DNL)")
    if width == 0 or not 1 <= payload[5] <= 4:
        raise broken("a frame without width or without components")
    if width * height > max_pixels:
        reason = f"JPEG: {width} by {height} pixels, at most {max_pixels} are allowed"
        raise SampleError(Code.IMAGE_TOO_LARGE, reason)
    components = tuple(
        Component(payload[i], payload[i + 1] >> 4, payload[i + 1] & 15, payload[i + 2])
        for i in range(6, len(payload), 3)
    )
    factors = [f for c in components for f in (c.h, c.v)]
    if min(factors) < 1 or max(factors) > 4 or len({c.id for c in components}) < len(components):
        raise broken("sampling factors or component names that can't be")
    return Frame(_PROCESSES[marker], width, height, components)


def _read_quantisers(payload: bytes) -> dict[int, tuple[int, ...]]:
    """Read a DQT segment (T.81 B.2.4.1): slots to 64 steps, in zigzag order."""
    tables: dict[int, tuple[int, ...]] = {}
    at = 0
    while at < len(payload):
        size, slot = (2 if payload[at] >> 4 else 1), payload[at] & 15
        steps = payload[at + 1 : at + 1 + 64 * size]
        if payload[at] >> 4 > 1 or slot > 3 or len(steps) < 64 * size:
            raise broken("quantisation table cut off or of an unknown kind")
        table = tuple(np.frombuffer(steps, dtype=">u2" if size == 2 else np.uint8).tolist())
        if 0 in table:
            raise broken("quantisation step 0")
        tables[slot] = table
        at += 1 + 64 * size
    return tables


def read_huffman(payload: bytes) -> dict[int, bytes]:
    """Read a DHT segment (T.81 B.2.4.2): class and slot byte to 16 counts and the symbols."""
    tables: dict[int, bytes] = {}
    at = 0
    while at < len(payload):
        kind = payload[at]
        counts = payload[at + 1 : at + 17]
        stop = at + 17 + sum(counts)
        if kind >> 4 > 1 or kind & 15 > 3 or len(counts) < 16 or stop > len(payload):
            raise broken("Huffman table cut off or of an unknown kind")
        tables[kind] = payload[at + 1 : stop]
        at = stop
    return tables


def _read_scan(segment: Segment, frame: Frame, huffman: dict[int, bytes], interval: int) -> Scan:
    """Read a scan header (T.81 B.2.3) and take the tables that are in force there."""
    payload = segment.payload
    if not payload or len(payload) != 4 + 2 * payload[0] or not 1 <= payload[0] <= 4:
        raise broken("scan header of a wrong length")
    names = [c.id for c in frame.components]
    if any(name not in names for name in payload[1:-3:2]):
        raise broken("scan of a component that isn't in the frame")
    indices = tuple(names.index(name) for name in payload[1:-3:2])
    if list(indices) != sorted(set(indices)):
        raise broken("scan that lists its components out of order")
    if (
        len(indices) > 1
        and sum(frame.components[i].h * frame.components[i].v for i in indices) > 10
    ):
        raise broken("more than 10 blocks in an MCU")
    first, last, high, low = payload[-3], payload[-2], payload[-1] >> 4, payload[-1] & 15
    if frame.process != "progressive":
        first, last, high, low = 0, 63, 0, 0  # fixed; some encoders write something else there
    elif not first <= last <= 63 or low > 13 or (first == 0 and last) or (first and indices[1:]):
        raise broken("band of a progressive scan that can't be")
    dc = tuple(slots >> 4 for slots in payload[2:-3:2])
    ac = tuple(slots & 15 for slots in payload[2:-3:2])
    dc_used, ac_used, unused = first == 0 and high == 0, last > 0, (b"",) * len(indices)
    return Scan(
        components=indices,
        dc_tables=_tables_for(huffman, dc) if dc_used else unused,
        ac_tables=_tables_for(huffman, [slot | 0x10 for slot in ac]) if ac_used else unused,
        dc_slots=dc,
        ac_slots=ac,
        first=first,
        last=last,
        high=high,
        low=low,
        interval=interval,
        data=segment.scan,
    )


def _tables_for(huffman: dict[int, bytes], kinds: Sequence[int]) -> tuple[bytes, ...]:
    if any(kind not in huffman for kind in kinds):
        raise broken("Huffman table missing")
    return tuple(huffman[kind] for kind in kinds)


def _check_plausible(frame: Frame, scans: Sequence[Scan]) -> None:
    """Refuse headers that claim more than the data can hold, before memory is taken for it.

    The shortest code has one bit, so a block takes at least one (progressive, its first scan)
    or two bits (sequential: a DC code and an end of block).
    """
    if {i for scan in scans for i in scan.components} != set(range(len(frame.components))):
        raise broken("a component without a scan")
    sizes = [rows * columns for rows, columns in map(frame.blocks, range(len(frame.components)))]
    size = sum(len(scan.data) for scan in scans)
    if sum(sizes) * (1 if frame.process == "progressive" else 2) > 8 * size:
        raise broken(f"too short for {frame.width} by {frame.height} pixels")
    work = _BLOCK_WORK * sum(sizes)
    for scan in scans:
        each = _PASS_WORK + (scan.last - scan.first + 1 if scan.high else 0)
        work += each * sum(sizes[index] for index in scan.components)
    dear = work > _FREE_WORK + _MOST_WORK * size
    if dear or len(scans) > _MOST_SCANS or sum(sizes) > _FREE_BLOCKS + _MOST_BLOCKS * size:
        raise SampleError(Code.IMAGE_UNSUPPORTED, f"JPEG: {len(scans)} scans with next to no data")


def colour_of(frame: Frame, segments: Sequence[Segment]) -> Colour:
    """Return the colour model, by the rules that decoders share (JFIF, Adobe's APP14, names)."""
    adobe = next(
        (
            s.payload[11]
            for s in segments
            if s.marker == APP14 and s.payload[:5] == ADOBE and len(s.payload) >= 12
        ),
        None,
    )
    jfif = any(s.marker == APP0 and s.payload.startswith(JFIF) for s in segments)
    match len(frame.components):
        case 1:
            return "grey"
        case 3:
            named_rgb = [c.id for c in frame.components] == list(b"RGB")
            rgb = not jfif and (adobe == 0 or (adobe is None and named_rgb))
            return "RGB" if rgb else "YCbCr"
        case 4:
            return "YCCK" if adobe == 2 else "CMYK"
    return "other"
