"""What counts as something that lies behind an image's last pixel, and what as padding."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

# Encoders leave a few bytes behind the last block, and pad: of 2,921 JPEG files none leaves one
# byte. So few can't hold an image: the smallest JPEG of 8 by 8 pixels takes more.
TOLERATED: Final = 64  # bytes of one file, all its coded data together

# The names that `concealed` gives.
CODED: Final = "bytes behind the coded data"
PIXELS: Final = "pixels outside the frame"
FRAMES: Final = "frames that are not shown"
UNKNOWN: Final = "coded data that can't be followed"


def holds(parts: Iterable[bytes | memoryview]) -> bool:
    """Tell whether bytes that nobody shows may hold something: not few, and not all the same."""
    count, values = 0, set[int]()
    for part in parts:
        count += len(part)
        if len(part) and len(values) < 2:
            values.update(bytes(part))
    return count > TOLERATED and len(values) > 1


def needed(size: int, enough: Callable[[int], bool]) -> int:
    """Return how many of `size` bytes are needed, if fewer than all but a few are enough.

    `enough` tells whether the first so many show the same image; it is asked once where they
    don't, and some 20 times otherwise.
    """
    if size <= TOLERATED or not enough(size - TOLERATED // 2):
        return size
    low, high = 0, size - TOLERATED // 2  # `high` is enough, `low` is not
    while high - low > 1:
        middle = (low + high) // 2
        if enough(middle):
            high = middle
        else:
            low = middle
    return high
