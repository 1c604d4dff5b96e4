"""What a PNG holds that no viewer shows: rows, bytes behind its zlib stream, frames.

Deflate is followed without its checksum, up to what the rows of IHDR take (PNG, 9 and 10).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from sfumato.imaging.codec import chunks
from sfumato.imaging.codec.behind import CODED, FRAMES, PIXELS, TOLERATED, UNKNOWN, holds
from sfumato.imaging.codec.stills import png_streams

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = (  # first column and row of each pass, and the steps to the next
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
_START, _END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
_STEP = 1 << 20  # bytes inflated at a time
_MOVING = frozenset((b"acTL", b"fcTL", b"fdAT"))


@dataclass(frozen=True, slots=True)
class Inflated:
    """A zlib stream against what it should hold: the bytes of it that are used, and the excess.

    `rest` is what follows the stream, `excess` the first of what it holds beyond `wanted`, `whole`
    whether it could be followed.
    """

    used: int
    rest: bytes
    excess: bytes
    whole: bool


def inflate(stream: bytes, wanted: int) -> Inflated:
    """Follow a zlib stream to its end, or to just beyond what it should hold."""
    reader = zlib.decompressobj(-15)
    feed, count, excess, whole = stream[2:], 0, b"", True
    try:
        while not reader.eof and len(excess) <= TOLERATED:
            part = reader.decompress(feed, min(_STEP, max(wanted - count, 0) + 2 * TOLERATED))
            feed = reader.unconsumed_tail
            excess += part[max(wanted - count, 0) :]
            count += len(part)
            if not part and not feed:
                break
    except zlib.error:
        whole = False
    if not reader.eof:  # cut off, broken, or too long
        return Inflated(len(stream), b"", excess, whole and count >= wanted)
    used = len(stream) - len(reader.unused_data)
    used = min(used + 4, len(stream))  # the checksum
    return Inflated(used, stream[used:], excess, count >= wanted)


def find_png(data: bytes) -> Iterator[str]:
    """Name what lies outside the frame of a PNG or behind its coded data."""
    parts: list[tuple[bytes, int, int]] = []
    try:
        parts += chunks.png_chunks(data)
    except chunks.MALFORMED:  # no end: what is left may be a chunk that was cut off
        if holds((data[parts[-1][2] + 4 :] if parts else data,)):
            yield UNKNOWN
    found = inflate(_stream(data, parts), rows_size(data[16:29]))
    yield from _named(found)
    yield from _frames(data, parts)
    if parts and _overwritten(data[parts[-1][2] + 4 :]):
        yield PIXELS


def _overwritten(behind: bytes) -> bool:
    """Tell whether the end of a longer PNG lies behind a PNG: one that was written over it."""
    return _END in behind and _START not in behind and holds((behind,))


def _named(found: Inflated) -> Iterator[str]:
    if holds((found.rest,)):
        yield CODED
    if holds((found.excess,)):
        yield PIXELS
    if not found.whole:
        yield UNKNOWN


def _stream(data: bytes, parts: list[tuple[bytes, int, int]]) -> bytes:
    return b"".join(data[start:end] for name, start, end in parts if name == b"IDAT")


def rows_size(head: bytes, size: tuple[int, int] | None = None) -> int:
    """Return the bytes of all rows with their filters, of the image or of a frame of it."""
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", head)
    width, height = size or (int(width), int(height))
    bits = int(depth) * CHANNELS[colour]
    if not interlace:
        return height * (1 + -(-width * bits // 8))
    total = 0
    for left, top, across, down in ADAM7:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        total += max(rows, 0) * (1 + -(-columns * bits // 8)) if columns > 0 else 0
    return total


def _frames(data: bytes, parts: list[tuple[bytes, int, int]]) -> Iterator[str]:
    """Name frames that no control chunk counts, and what lies behind the rows of one."""
    names = [name for name, _, _ in parts]
    if not _MOVING & set(names):
        return
    first = names.index(b"IDAT") if b"IDAT" in names else len(names)
    told = [data[a:b] for name, a, b in parts[:first] if name == b"acTL"]
    controls = names.count(b"fcTL")
    if (
        len(told) != 1
        or names.count(b"acTL") != 1
        or int.from_bytes(told[0][:4], "big") != controls
    ):
        yield FRAMES
        return
    if b"fdAT" in names[:first] or names[:first].count(b"fcTL") > 1:
        yield FRAMES
        return
    width, height = struct.unpack(">II", data[16:24])
    for (w, h, x, y), stream in png_streams(data, parts[first:]):
        if not stream or not w or not h or x + w > width or y + h > height:
            yield FRAMES
            continue
        yield from _named(inflate(stream, rows_size(data[16:29], (w, h))))


def cut_png(data: bytes) -> bytes:
    """Return a PNG whose coded data hold its own rows alone, without frames that aren't shown.

    Raises:
        ValueError: what is too much lies in a frame of an animation that is shown.
    """
    parts = list(chunks.png_chunks(data))
    wanted, stream = rows_size(data[16:29]), _stream(data, parts)
    found = inflate(stream, wanted)
    if not found.whole:
        raise ValueError("rows that can't be followed")
    if found.excess:
        rows = zlib.decompressobj(-15).decompress(stream[2:], wanted)
        kept = zlib.compress(rows, 9)
    else:
        kept = stream[: found.used]
    kept_frames = _counted(data, parts) if FRAMES in set(_frames(data, parts)) else None
    out, written = [data[:8]], False
    for index, (name, start, end) in enumerate(parts):
        if name == b"IDAT":
            out += [] if written else [chunks.png_chunk(name, kept)]
            written = True
        elif kept_frames is None or name not in _MOVING or index in kept_frames:
            out.append(data[start - 8 : end + 4])
    behind = data[parts[-1][2] + 4 :]
    return b"".join((*out, b"" if _overwritten(behind) else behind))


def _counted(data: bytes, parts: list[tuple[bytes, int, int]]) -> set[int]:
    """Return which chunks of an animation belong to as many frames as it says; none: it isn't."""
    names = [name for name, _, _ in parts]
    first = names.index(b"IDAT")
    if b"acTL" not in names[:first] or b"fdAT" in names[:first]:
        return set()
    head = names.index(b"acTL")
    told = int.from_bytes(data[parts[head][1] : parts[head][1] + 4], "big")
    kept, frames = {head}, 0
    for index, name in enumerate(names):
        frames += name == b"fcTL"
        if name in (b"fcTL", b"fdAT") and frames <= told:
            kept.add(index)
    return kept
