"""What a GIF or a BMP holds that no viewer shows: bytes behind the last pixel of a frame."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from sfumato.imaging.codec import chunks
from sfumato.imaging.codec._extents import bmp_runs, gif_lzw
from sfumato.imaging.codec.behind import CODED, PIXELS, UNKNOWN, holds

_EMBEDDED = b"DEBM"  # a colour space: the profile that comes with the file
_RUNS = (1, 2)  # compressions of BMP: of 8 and of 4 bits


def find_gif(data: bytes) -> Iterator[str]:
    """Name what lies behind the last pixel of any frame of a GIF.

    Frames that reach beyond the screen are decoded whole by our reader, and searched.
    """
    rests = []
    for start, end in _frames(data):
        _, coded, used = _frame(data, start, end)
        if used < 0:
            yield UNKNOWN
        else:
            rests.append(coded[used:])
    if holds(rests):
        yield CODED


def _frames(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each frame begins and ends, also the last one of a GIF that is cut off."""
    behind = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
    try:
        for kind, _, start, behind in chunks.gif_blocks(data):
            if kind == 0x2C:
                yield start, behind
    except IndexError:
        if data[behind : behind + 1] == b"\x2c" and behind + 11 < len(data):
            yield behind, len(data)


def _frame(data: bytes, start: int, end: int) -> tuple[int, bytes, int]:
    """Return where a frame's code size stands, its coded data, and how many of them are used."""
    width, height = struct.unpack_from("<HH", data, start + 5)
    at = chunks.gif_coded(data, start) - 1
    coded, block = [], at + 1
    while block < end and data[block]:
        coded.append(data[block + 1 : block + 1 + data[block]])
        block += 1 + data[block]
    whole = b"".join(coded)
    return at, whole, gif_lzw(whole, data[at], width * height) if width * height else 0


def cut_gif(data: bytes) -> bytes:
    """Return a GIF without what lies behind the last pixel of each frame."""
    out, done = [], 0
    for start, end in _frames(data):
        at, coded, used = _frame(data, start, end)
        if used < 0:
            raise ValueError("a frame that can't be followed")
        if used < len(coded):
            kept = coded[:used]
            blocks = [kept[i : i + 255] for i in range(0, len(kept), 255)]
            out.append(data[done : at + 1])
            out += [bytes([len(block)]) + block for block in blocks]
            out.append(b"\x00")
            done = end
    return b"".join((*out, data[done:]))


def find_bmp(data: bytes) -> Iterator[str]:
    """Name the rows of a BMP behind those of its header, and runs behind its end code."""
    start, end = _bmp(data)
    if start is None:
        yield UNKNOWN
    elif holds((data[start:end],)):
        yield CODED
    if holds(_behind(data, end)):
        yield PIXELS


def _behind(data: bytes, end: int) -> list[bytes]:
    """Return what stands behind the pixels of a BMP, but for a colour profile."""
    if chunks.bmp_profile(data) and data[70:74] == _EMBEDDED:
        at, size = struct.unpack_from("<II", data, 126)
        at += 14
        if at >= end and data[at + 36 : at + 40] == b"acsp":
            return [data[end:at], data[at + size :]]
    return [data[end:]]


def _bmp(data: bytes) -> tuple[int | None, int]:
    """Return where the used part of a BMP's pixels ends, and where all of it does."""
    _, pixels, end = chunks.bmp_parts(data)
    coding = int.from_bytes(data[30:34], "little") if data[14] >= 40 else 0
    if coding not in _RUNS:
        return end, end
    width, height = struct.unpack_from("<ii", data, 18)
    end = min(end if end > pixels else len(data), len(data))
    used = bmp_runs(data[pixels:end], width, abs(height), coding == _RUNS[1])
    return (None if used < 0 else pixels + used), end


def cut_bmp(data: bytes) -> bytes:
    """Return a BMP that ends with its last pixel, its sizes corrected."""
    used, _ = _bmp(data)
    if used is None or chunks.bmp_profile(data):
        raise ValueError("runs that can't be followed, or a profile behind them")
    clean = bytearray(data[:used])
    _, pixels, _ = chunks.bmp_parts(data)
    struct.pack_into("<I", clean, 2, len(clean))
    if data[14] >= 40 and any(data[34:38]):
        struct.pack_into("<I", clean, 34, len(clean) - pixels)
    return bytes(clean)
