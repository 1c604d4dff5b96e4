"""The headers of an AV1 still image (AV1 Bitstream & Decoding Process Specification, 1.0.0).

Reads OBUs up to the quantiser of the first frame: size, depth, sampling, `base_q_idx`, and
whether blocks may differ from it. No pixel is decoded, and what can't be followed raises.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_SEQUENCE, _FRAME_HEADER, _FRAME = 1, 3, 6  # types of OBUs (section 6.2.2)
METADATA: Final = 5
PADDING: Final = 15
_KEY = 0  # type of frames (section 6.8.2)
_SELECT: Final = 2  # chosen frame by frame
_IDENTITY, _SRGB, _BT709 = 0, 13, 1
_SEGMENT_BITS: Final = (8, 6, 6, 6, 6, 3, 0, 0)  # of each feature of a segment (section 5.9.14)
_SEGMENT_SIGNED: Final = (1, 1, 1, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Sequence:
    """A sequence header: the largest frame, depth, sampling and what frame headers depend on.

    `subsampling` is (1, 1) for 4:2:0, (1, 0) for 4:2:2 and (0, 0) for 4:4:4 and grey; `colours`
    are primaries, transfer and matrix by ITU-T H.273 (2: not told).
    """

    width: int
    height: int
    bits: int
    monochrome: bool
    subsampling: tuple[int, int]
    colours: tuple[int, int, int]
    full_range: bool
    reduced: bool
    superblock: int
    screen_content: int
    integer_motion: int
    order_bits: int
    size_bits: tuple[int, int]
    superres: bool
    separate_uv: bool


@dataclass(frozen=True, slots=True)
class Quantiser:
    """How coarsely a frame is quantised: the index, 0 (finest; lossless) to 255.

    `finest` is the smallest index of any segment and plane, `coarsest` the largest; `varies`
    says that blocks differ from these by amounts that only decoding would tell.
    """

    base: int
    finest: int
    coarsest: int
    varies: bool


def sequences(data: bytes) -> tuple[Sequence, ...]:
    """Return the sequence headers in a chain of OBUs, at least one.

    Raises:
        ValueError: there is none, or one that can't be followed.
    """
    found = [_sequence(Bits(data[a:b])) for kind, a, b in obus(data) if kind == _SEQUENCE]
    if not found:
        raise ValueError("no sequence header")
    return tuple(found)


def quantiser(data: bytes) -> Quantiser:
    """Return the quantiser of the one frame in a chain of OBUs.

    Raises:
        ValueError: no frame, several, or one whose header can't be followed (layers, frames that
            are predicted from others, a header that shows an earlier frame).
    """
    known: Sequence | None = None
    found: list[Quantiser] = []
    for kind, start, end in obus(data):
        if kind == _SEQUENCE:
            known = _sequence(Bits(data[start:end]))
        elif kind in (_FRAME, _FRAME_HEADER):
            if known is None:
                raise ValueError("a frame before its sequence header")
            found.append(_frame(Bits(data[start:end]), known))
    if len(found) != 1:
        raise ValueError(f"{len(found)} frames")
    return found[0]


def obus(data: bytes) -> list[tuple[int, int, int]]:
    """Return (type, start, end) of the payload of each OBU (section 5.3); raises `ValueError`."""
    found, at = [], 0
    while at < len(data):
        head = data[at]
        kind, extended, sized = head >> 3 & 15, head & 4, head & 2
        at += 2 if extended else 1
        size = len(data) - at
        if sized:
            size, at = _leb128(data, at)
        if head & 0x80 or at + size > len(data):
            raise ValueError("an OBU reaches past the end")
        found.append((kind, at, at + size))
        at += size
    return found


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(8):
        if at >= len(data):
            break
        value |= (data[at] & 0x7F) << 7 * index
        at += 1
        if not data[at - 1] & 0x80:
            return value, at
    raise ValueError("a length that doesn't end")


def _sequence(bits: Bits) -> Sequence:
    """Read a sequence header (section 5.5.1)."""
    profile = bits.number(3)
    bits.number(1)  # still image
    reduced = bool(bits.number(1))
    if reduced:
        bits.number(5)
    else:
        _operating_points(bits)
    width_bits, height_bits = bits.number(4) + 1, bits.number(4) + 1
    width, height = bits.number(width_bits) + 1, bits.number(height_bits) + 1
    if not reduced and bits.number(1):
        raise ValueError("numbered frames")
    superblock = 128 if bits.number(1) else 64
    bits.number(2)  # filter intra, intra edge filter
    tools = (_SELECT, _SELECT, 0) if reduced else _tools(bits)
    superres = bool(bits.number(1))
    bits.number(2)  # CDEF, restoration
    depth, grey, sampling, told, full, separate = _colours(bits, profile)
    return Sequence(
        width=width,
        height=height,
        bits=depth,
        monochrome=grey,
        subsampling=sampling,
        colours=told,
        full_range=full,
        reduced=reduced,
        superblock=superblock,
        screen_content=tools[0],
        integer_motion=tools[1],
        order_bits=tools[2],
        size_bits=(width_bits, height_bits),
        superres=superres,
        separate_uv=separate,
    )


def _operating_points(bits: Bits) -> None:
    if bits.number(1):
        raise ValueError("timing")  # never in a still image
    display_delay = bits.number(1)
    for _ in range(bits.number(5) + 1):
        bits.number(12)
        if bits.number(5) > 7:
            bits.number(1)
        if display_delay and bits.number(1):
            bits.number(4)


def _tools(bits: Bits) -> tuple[int, int, int]:
    """Return how screen content and whole motion are chosen, and the width of order hints."""
    bits.number(4)  # inter-intra, masked compound, warped motion, dual filter
    ordered = bits.number(1)
    if ordered:
        bits.number(2)
    screen_content = _SELECT if bits.number(1) else bits.number(1)
    integer_motion = _SELECT
    if screen_content:
        integer_motion = _SELECT if bits.number(1) else bits.number(1)
    return screen_content, integer_motion, bits.number(3) + 1 if ordered else 0


def _colours(
    bits: Bits, profile: int
) -> tuple[int, bool, tuple[int, int], tuple[int, int, int], bool, bool]:
    """Read a colour configuration (section 5.5.2).

    Returns depth, greyness, sampling, colours, whether the range is full, and whether U and V are
    quantised apart.
    """
    high = bits.number(1)
    depth = 12 if profile == 2 and high and bits.number(1) else 10 if high else 8
    grey = bool(bits.number(1)) if profile != 1 else False
    told = (2, 2, 2)
    if bits.number(1):
        told = (bits.number(8), bits.number(8), bits.number(8))
    if grey:
        return depth, True, (0, 0), told, bool(bits.number(1)), False
    if told == (_BT709, _SRGB, _IDENTITY):
        return depth, False, (0, 0), told, True, bool(bits.number(1))
    full = bool(bits.number(1))
    sampling = {0: (1, 1), 1: (0, 0)}.get(profile, (1, 0))
    if profile == 2 and depth == 12:
        across = bits.number(1)
        sampling = (across, bits.number(1) if across else 0)
    if sampling == (1, 1):
        bits.number(2)
    return depth, False, sampling, told, full, bool(bits.number(1))


def _frame(bits: Bits, seq: Sequence) -> Quantiser:
    """Read the header of a key frame that is shown, as far as its quantiser (section 5.9.2)."""
    # An earlier frame shown again; its type; shown.
    if not seq.reduced and (bits.number(1) or bits.number(2) != _KEY or not bits.number(1)):
        raise ValueError("no key frame that is shown")
    cdf_fixed = bits.number(1)
    screen = seq.screen_content if seq.screen_content != _SELECT else bits.number(1)
    if screen and seq.integer_motion == _SELECT:
        bits.number(1)
    resized = not seq.reduced and bits.number(1)
    bits.number(seq.order_bits)
    width, height = seq.width, seq.height
    if resized:
        width, height = (bits.number(count) + 1 for count in seq.size_bits)
    upscaled = width
    if seq.superres and bits.number(1):
        denominator = bits.number(3) + 9
        width = (upscaled * 8 + denominator // 2) // denominator
    if bits.number(1):  # another size to show it in
        bits.number(32)
    if screen and width == upscaled:
        bits.number(1)  # copies within the image
    if not (seq.reduced or cdf_fixed):
        bits.number(1)
    _tiles(bits, width, height, seq.superblock)
    return _quantisation(bits, seq)


def _tiles(bits: Bits, width: int, height: int, superblock: int) -> None:
    """Pass over how the frame is cut into tiles (section 5.9.15)."""
    columns, rows = -(-width // superblock), -(-height // superblock)
    widest = 4096 // superblock
    largest = 4096 * 2304 // superblock**2
    least = _log2(widest, columns)
    least_both = max(least, _log2(largest, rows * columns))
    if bits.number(1):  # evenly
        across = _increment(bits, least, _log2(1, min(columns, 64)))
        down = _increment(bits, max(least_both - across, 0), _log2(1, min(rows, 64)))
    else:
        across, broadest = _uneven(bits, columns, widest)
        area = rows * columns >> (least_both + 1) if least_both else rows * columns
        down, _ = _uneven(bits, rows, max(area // broadest, 1))
    if across or down:
        bits.number(across + down + 2)


def _log2(unit: int, target: int) -> int:
    found = 0
    while unit << found < target:
        found += 1
    return found


def _increment(bits: Bits, least: int, most: int) -> int:
    while least < most and bits.number(1):
        least += 1
    return least


def _uneven(bits: Bits, blocks: int, most: int) -> tuple[int, int]:
    """Return the logarithm of the number of tiles in one direction, and the size of the largest."""
    count, at, largest = 0, 0, 0
    while at < blocks:
        size = bits.non_symmetric(min(blocks - at, most)) + 1
        largest = max(largest, size)
        at += size
        count += 1
    return _log2(1, count), largest


def _quantisation(bits: Bits, seq: Sequence) -> Quantiser:
    """Read quantiser, segments and whether blocks differ (sections 5.9.12, 5.9.14, 5.9.17)."""
    base = bits.number(8)
    deltas = [_delta(bits)]
    if not seq.monochrome:
        apart = seq.separate_uv and bits.number(1)
        deltas += [_delta(bits) for _ in range(4 if apart else 2)]
    if bits.number(1):  # matrices, which make it coarser for high frequencies
        bits.number(8 if not seq.separate_uv else 12)
    changes = _segments(bits)
    varies = bool(base and bits.number(1))
    indices = [
        _clamped(_clamped(base + change) + delta) for change in changes for delta in (0, *deltas)
    ]
    return Quantiser(base, min(indices), max(indices), varies)


def _delta(bits: Bits) -> int:
    return bits.signed(7) if bits.number(1) else 0


def _segments(bits: Bits) -> list[int]:
    """Return the change of the quantiser in each segment, [0] without segments."""
    if not bits.number(1):
        return [0]
    changes = []
    for _ in range(8):
        change = 0
        for feature, (width, signed) in enumerate(zip(_SEGMENT_BITS, _SEGMENT_SIGNED, strict=True)):
            if bits.number(1):
                value = bits.signed(width + 1) if signed else bits.number(width)
                change = value if feature == 0 else change
        changes.append(change)
    return changes


def _clamped(index: int) -> int:
    return min(max(index, 0), 255)


class Bits:
    """A place in bytes, counted in bits, highest first; past the end it raises `ValueError`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, width: int) -> int:
        """Return an unsigned number of this many bits, f(n)."""
        value = 0
        for _ in range(width):
            if self._at >= 8 * len(self._data):
                raise ValueError("a header is cut off")
            value = value << 1 | (self._data[self._at >> 3] >> (7 - (self._at & 7)) & 1)
            self._at += 1
        return value

    def signed(self, width: int) -> int:
        """Return a number in two's complement, su(n)."""
        value = self.number(width)
        return value - (1 << width) if value >> (width - 1) else value

    def non_symmetric(self, count: int) -> int:
        """Return a number below `count`, ns(n)."""
        width = count.bit_length()
        shorter = (1 << width) - count
        value = self.number(width - 1)
        return value if value < shorter else (value << 1) - shorter + self.number(1)
