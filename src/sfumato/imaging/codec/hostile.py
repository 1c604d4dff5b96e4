"""What bytes that are no sound image make Pillow raise."""

from __future__ import annotations

import struct
import zlib

# What Pillow was seen to raise, or may raise by its source, on bytes that are no sound image.
# Not a plain `Exception`: a mistake of ours in a caller's code shall not look like a bad file.
HOSTILE = (
    OSError,  # truncated, unidentified, "decoder error -2"
    SyntaxError,  # broken headers, by Pillow's convention
    EOFError,  # fewer frames than announced
    ValueError,  # sizes, tags, Unicode
    TypeError,  # tags of another type than expected
    AttributeError,  # a header that left something unset
    LookupError,  # IndexError, KeyError: offsets, unknown modes and compressions
    ArithmeticError,  # ZeroDivisionError, OverflowError: rationals, offsets
    RuntimeError,  # and NotImplementedError, RecursionError
    AssertionError,  # Pillow asserts that a header set what it needs
    BufferError,
    MemoryError,
    struct.error,
    zlib.error,
)
