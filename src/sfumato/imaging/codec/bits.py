"""Numbers of any width out of bytes, highest bit first (AV1 specification, section 4.10)."""

from __future__ import annotations


class Bits:
    """A place in bytes, counted in bits; reading past the end raises `ValueError`."""

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
