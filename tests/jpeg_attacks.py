"""The dearest files of 200 KB that could be thought of: much work for each byte."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence

from PIL import Image

from tests.jpeg_images import saved, segment

SIZE = 200_000
_ONE_CODE = b"\1" + bytes(15)  # a Huffman table of one symbol, whose code is a single 0
_TWO_CODES = b"\1\1" + bytes(14)  # two symbols: 0 and 10


def bits(*groups: str) -> bytes:
    """Return groups of binary digits as entropy-coded data: filled up with ones, stuffed."""
    text = "".join(groups)
    text += "1" * (-len(text) % 8)
    return int("1" + text, 2).to_bytes(len(text) // 8 + 1, "big")[1:].replace(b"\xff", b"\xff\0")


def resized(data: bytes, width: int, height: int) -> bytes:
    """Forge the size in the frame header."""
    at = next(i for i in range(len(data)) if data[i : i + 2] in (b"\xff\xc0", b"\xff\xc2"))
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def head(sof: int, width: int, height: int, factors: Sequence[int] = (0x11,)) -> bytes:
    """Return the start of a file: quantisation table 0 and the frame."""
    parts = b"".join(bytes((i, factor, 0)) for i, factor in enumerate(factors, start=1))
    frame = struct.pack(">BHHB", 8, height, width, len(factors)) + parts
    return b"\xff\xd8" + segment(0xDB, b"\0" + b"\1" * 64) + segment(sof, frame)


def scan(first: int, last: int, high: int, low: int, components: Sequence[int] = (1,)) -> bytes:
    names = b"".join(bytes((component, 0)) for component in components)
    payload = bytes((len(components),)) + names + bytes((first, last, high << 4 | low))
    return segment(0xDA, payload)


def end_of_band_runs(blocks: int, code: str = "0") -> bytes:
    """Return a scan in which bands of all blocks are empty; the code is that of symbol 0xE0."""
    count = -(-blocks // 32767)
    runs = [blocks // count + (i < blocks % count) for i in range(count)]
    return bits(*(code + format(run - (1 << 14), "014b") for run in runs))


def nearly_empty(side: int, scans: int) -> bytes:
    """Return a progressive file in which a few bytes stand for each pass over all blocks."""
    blocks = (side // 8) ** 2
    data = head(0xC2, side, side)
    data += segment(0xC4, b"\x00" + _ONE_CODE + b"\x00" + b"\x10" + _ONE_CODE + b"\xe0")
    data += scan(0, 0, 0, 0) + bytes(-(-blocks // 8))
    empty = end_of_band_runs(blocks)
    for number in range(scans):
        band, high = number % 63 + 1, number // 63
        data += scan(band, band, high, 1 - high) + empty
    return data + b"\xff\xd9"


def refined(side: int, bands: Sequence[tuple[int, int]], most: int) -> bytes:
    """Return a progressive file that refines bands of nothing, again and again.

    Each block has one coefficient, so none can be passed over at once; each band is then given
    from bit `most` on.
    """
    blocks = (side // 8) ** 2
    data = head(0xC2, side, side)
    tables = b"\x00" + _ONE_CODE + b"\x00" + b"\x10" + _ONE_CODE + b"\x01"
    data += segment(0xC4, tables) + scan(0, 0, 0, 0) + bytes(-(-blocks // 8))
    data += scan(1, 1, 0, 0) + bits("01" * blocks)
    data += segment(0xC4, b"\x10" + _ONE_CODE + b"\xe0")
    empty = end_of_band_runs(blocks)
    for first, last in bands:
        data += scan(first, last, 0, most) + empty
        for low in range(most - 1, -1, -1):
            data += scan(first, last, low + 1, low) + empty
    return data + b"\xff\xd9"


def blank(width: int, height: int, *, progressive: bool, factors: Sequence[int] = (0x11,)) -> bytes:
    """Return an image of one colour, in as few bits as can be."""
    data = head(0xC2 if progressive else 0xC0, width, height, factors)
    data += segment(0xC4, b"\x00" + _ONE_CODE + b"\x00" + b"\x10" + _ONE_CODE + b"\x00")
    most = (max(f >> 4 for f in factors), max(f & 15 for f in factors))
    mcus = -(-width // (8 * most[0])) * -(-height // (8 * most[1]))
    blocks = mcus * (sum((f >> 4) * (f & 15) for f in factors) if len(factors) > 1 else 1)
    data += scan(0, 0 if progressive else 63, 0, 0, range(1, len(factors) + 1))
    return data + bytes(-(-blocks * (1 if progressive else 2) // 8)) + b"\xff\xd9"


def saved_blank(size: tuple[int, int]) -> bytes:
    """Return an empty page as libjpeg writes it, in ten scans."""
    stream = io.BytesIO()
    Image.new("RGB", size, "white").save(stream, "JPEG", quality=85, progressive=True)
    return stream.getvalue()


def restarts(columns: int, rows: int, *, progressive: bool) -> bytes:
    """Return an image of one colour with a restart marker behind every block."""
    blocks = columns * rows
    data = head(0xC2 if progressive else 0xC0, 8 * columns, 8 * rows)
    data += segment(0xC4, b"\x00" + _ONE_CODE + b"\x00" + b"\x10" + _ONE_CODE + b"\x00")
    data += segment(0xDD, b"\0\1")
    intervals = b"".join(b"\x3f\xff" + bytes((0xD0 + i % 8,)) for i in range(blocks))[:-2]
    data += scan(0, 0 if progressive else 63, 0, 0)
    data += intervals.replace(b"\x3f", b"\x7f") if progressive else intervals
    return data + b"\xff\xd9"


def with_segments(segments: bytes) -> bytes:
    """Return a small image with as many of these segments as 200 KB hold."""
    data = saved(quality=50)
    count = (SIZE - len(data)) // len(segments)
    return data[:2] + segments * count + data[2:]


def many_scans(count: int) -> bytes:
    """Return a progressive file of many scans, each with the largest table there is."""
    data = head(0xC2, 1600, 1600)
    data += segment(0xC4, b"\x00" + _ONE_CODE + b"\0") + scan(0, 0, 0, 0) + bytes(5000)
    for number in range(count):
        symbols = bytes((number + i) % 256 for i in range(0xE0 + 1))
        data += segment(0xC4, b"\x10" + bytes(15) + bytes((len(symbols),)) + symbols)
        band, high = number % 63 + 1, number // 63
        code = format(symbols.index(0xE0), "016b")
        data += scan(band, band, high, 1 - high) + end_of_band_runs(40000, code)
    return data + b"\xff\xd9"


def headers_only(count: int) -> bytes:
    """Return a file of scan headers with next to nothing behind them."""
    data = head(0xC2, 8, 8) + segment(0xC4, b"\x00" + _ONE_CODE + b"\0")
    return data + (scan(0, 0, 0, 0) + b"\x7f") * count + b"\xff\xd9"


def after_scan(rest: bytes) -> bytes:
    """Return an image whose entropy-coded data go on with `rest`, over and over."""
    data = saved(quality=50)[:-2]
    return data + rest * ((SIZE - len(data)) // len(rest))


def exif(entry: bytes) -> bytes:
    """Return an EXIF segment with one directory of this entry, over and over."""
    count = 65000 // len(entry)
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<H", count) + entry * count
    return segment(0xE1, b"Exif\0\0" + tiff)


START = b"\xff\xd8\xff\xe0\0\0"
ATTACKS: dict[str, Callable[[], bytes]] = {
    "fill bytes in a scan": lambda: after_scan(b"\xff") + b"\xd0",
    "fill bytes, no end": lambda: after_scan(b"\xff"),
    "fill bytes and zeros": lambda: after_scan(b"\xff" * 400 + b"\0"),
    "fill bytes and restarts": lambda: after_scan(b"\xff" * 400 + b"\xd0"),
    "fill bytes between segments": lambda: with_segments(b"\xff" * 150 + b"\xfe\0\2"),
    "stray bytes between segments": lambda: with_segments(b"\0" * 150 + b"\xff\xfe\0\2"),
    "empty comments": lambda: with_segments(b"\xff\xfe\0\2"),
    "starts in comments": lambda: with_segments(segment(0xFE, START * 10000)),
    "starts in small comments": lambda: with_segments(segment(0xFE, START * 3)),
    "fill bytes in comments": lambda: with_segments(segment(0xFE, b"\xff\xd8" + b"\xff" * 60000)),
    "starts in profiles": lambda: with_segments(
        segment(0xE2, b"ICC_PROFILE\0\1\1" + START * 10000)),
    "small profiles": lambda: with_segments(segment(0xE2, b"ICC_PROFILE\0\1\1xx")),
    "starts behind the end": lambda: saved() + START * 30000,
    "base 64": lambda: with_segments(segment(0xE1, b"/9j" * 20000)),
    "base 64 in small segments": lambda: with_segments(segment(0xE1, b"/9j/")),
    "EXIF": lambda: with_segments(exif(struct.pack("<HHII", 0x0112, 3, 1, 6))),
    "EXIF texts": lambda: with_segments(exif(struct.pack("<HHII", 0x0110, 2, 65000, 8))),
    "small EXIF": lambda: with_segments(segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\1\0")),
    "Huffman tables": lambda: with_segments(segment(0xC4, b"\x03" + _ONE_CODE + b"\0")),
    "Huffman tables in one": lambda: with_segments(
        segment(0xC4, (b"\x03" + _ONE_CODE + b"\0") * 3600)),
    "starts in Huffman tables": lambda: with_segments(
        segment(0xC4, b"\x03\6" + bytes(15) + b"\xff\xd8\xff\xe0\xff\xff")),
    "quantisation tables": lambda: with_segments(segment(0xDB, (b"\3" + b"\1" * 64) * 1000)),
    "scan headers": lambda: headers_only(15000),
    "scans, each with a table": lambda: many_scans(98),
    "passes over nothing": lambda: nearly_empty(3500, 9),
    "too many passes over nothing": lambda: nearly_empty(9800, 20),
    "refining nothing": lambda: refined(5800, [(2, 63)], 2),
    "refining nothing for longer": lambda: refined(4600, [(2, 63)], 4),
    "refining nothing for too long": lambda: refined(4600, [(2, 63)], 13),
    "refining nothing in bands": lambda: refined(3600, [(2, 12), (13, 23), (24, 63)], 4),
    "blank, progressive": lambda: blank(3900, 3200, progressive=True),
    "blank, too large, progressive": lambda: blank(11000, 9000, progressive=True),
    "blank": lambda: blank(8000, 6200, progressive=False),
    "blank, three components": lambda: blank(4600, 3600, progressive=False, factors=(0x11,) * 3),
    "blank, padded": lambda: blank(
        1, 64000, progressive=False, factors=(0x41, 0x11, 0x11, 0x11)),
    "blank page, progressive": lambda: saved_blank((4400, 6200)),
    "restart every block": lambda: restarts(250, 200, progressive=False),
    "restart every block, progressive": lambda: restarts(250, 200, progressive=True),
}  # fmt: skip
