"""How coarsely a lossy WebP is quantised, read from the header of its VP8 key frame (RFC 6386).

Only as much of VP8 as stands before the coefficients: the boolean decoder of section 7 and the
frame header of sections 9.2 to 9.6. Nothing is decoded.
"""

from __future__ import annotations

from typing import Final, NamedTuple

_START: Final = b"\x9d\x01\x2a"
_HEADER: Final = 10  # bytes of frame tag, start code and size
_LARGEST: Final = 127  # index of the coarsest quantiser
_EVEN: Final = 128  # probability of one half


class Indices(NamedTuple):
    """The index of the quantiser, 0 (finest) to 127, of each kind of coefficient."""

    y_dc: int
    y_ac: int
    y2_dc: int
    y2_ac: int
    uv_dc: int
    uv_ac: int


def quantisers(frame: bytes) -> tuple[Indices, ...]:
    """Return the quantiser indices of each segment of a key frame; one where there are no segments.

    Args:
        frame: the payload of a chunk "VP8 ".

    Raises:
        ValueError: no key frame, or one that ends in its header.
    """
    bits, segments, _ = _head(frame)
    base = bits.number(7)
    deltas = [bits.signed(4) for _ in range(5)]
    if bits.exhausted:
        raise ValueError("the VP8 header is cut off")
    found = []
    for absolute, value in segments:
        index = _clamped(value if absolute else base + value)
        y_dc, y2_dc, y2_ac, uv_dc, uv_ac = (_clamped(index + delta) for delta in deltas)
        found.append(Indices(y_dc, index, y2_dc, y2_ac, uv_dc, uv_ac))
    return tuple(found)


def partitions(frame: bytes) -> tuple[int, int]:
    """Return the bytes of the first partition of a key frame, and how many there are behind it.

    Raises:
        ValueError: as `quantisers`.
    """
    _, _, count = _head(frame)
    return int.from_bytes(frame[:3], "little") >> 5, count


def _head(frame: bytes) -> tuple[_Booleans, list[tuple[bool, int]], int]:
    """Read the header up to the quantiser: its segments, and the number of partitions."""
    if len(frame) < _HEADER + 2 or frame[0] & 1 or frame[3:6] != _START:
        raise ValueError("no VP8 key frame")
    bits = _Booleans(frame[_HEADER : _HEADER + 256])  # the header takes at most 50 bytes
    bits.number(2)  # colour space, clamping
    segments = _segments(bits)
    bits.number(1 + 6 + 3)  # the loop filter: kind, level, sharpness
    if bits.number(1) and bits.number(1):  # its adjustments are on, and told
        for _ in range(8):
            bits.signed(6)
    return bits, segments, 1 << bits.number(2)


def _segments(bits: _Booleans) -> list[tuple[bool, int]]:
    """Return (absolute, quantiser or change of it) of each segment."""
    segments = [(False, 0)]
    if not bits.number(1):
        return segments
    told_map, told_values = bits.number(1), bits.number(1)
    if told_values:
        absolute = bool(bits.number(1))
        segments = [(absolute, bits.signed(7)) for _ in range(4)]
        for _ in range(4):
            bits.signed(6)  # the loop filter's
    if told_map:
        for _ in range(3):
            if bits.number(1):
                bits.number(8)
    return segments


def _clamped(index: int) -> int:
    return min(max(index, 0), _LARGEST)


class _Booleans:
    """The boolean decoder of RFC 6386, section 7.3, for bits of probability one half."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 2
        self._value = int.from_bytes(data[:2], "big")
        self._range = 255
        self._shifts = 0

    @property
    def exhausted(self) -> bool:
        """Say whether more was read than there is."""
        return self._at > len(self._data) + 2

    def _bit(self) -> int:
        split = 1 + ((self._range - 1) * _EVEN >> 8)
        bit = int(self._value >= split << 8)
        if bit:
            self._range -= split
            self._value -= split << 8
        else:
            self._range = split
        while self._range < 128:
            self._value <<= 1
            self._range <<= 1
            self._shifts += 1
            if self._shifts == 8:
                self._shifts = 0
                self._value |= self._data[self._at] if self._at < len(self._data) else 0
                self._at += 1
        return bit

    def number(self, bits: int) -> int:
        """Return an unsigned number, its highest bit first."""
        value = 0
        for _ in range(bits):
            value = value << 1 | self._bit()
        return value

    def signed(self, bits: int) -> int:
        """Return an optional number with its sign behind it; 0 where it isn't there."""
        if not self._bit():
            return 0
        value = self.number(bits)
        return -value if self._bit() else value
