"""Files that hold more than they show, made for the tests."""

from __future__ import annotations

import io
import random
import struct
import zlib
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.imaging.codec import chunks
from tests.jpeg_images import segment, segments_of
from tests.textures import noise

WIDTH, SHOWN, WHOLE = 96, 64, 160  # columns; rows that are shown, and that are there


@cache
def pixels(height: int = WHOLE, width: int = WIDTH) -> NDArray[np.uint8]:
    """Return an image with detail in every row: (height, width, 3)."""
    grain = noise(height, width, 3, seed=3).astype(np.float64)
    y, x = np.mgrid[0:height, 0:width]
    slope = 60 + x[..., None] * 0.8 + 40 * np.sin(y[..., None] / 9)
    drawn: NDArray[np.uint8] = np.clip(slope + (grain - 128) * 0.2, 0, 255).astype(np.uint8)
    drawn.flags.writeable = False  # it is shared
    return drawn


def image(height: int = WHOLE, width: int = WIDTH) -> Image.Image:
    """Return `pixels` as Pillow has it."""
    return Image.fromarray(pixels(height, width))


def encoded(shown: Image.Image, kind: str, **options: Any) -> bytes:
    """Return a file by Pillow."""
    out = io.BytesIO()
    shown.save(out, kind, **options)
    return out.getvalue()


def secret(size: int = 400) -> bytes:
    """Return bytes that are not all the same."""
    return random.Random(1).randbytes(size)


# JPEG


def resized_jpeg(data: bytes, width: int, height: int) -> bytes:
    """Return a JPEG whose frame header says another size."""
    out, at = bytearray(data), 2
    while not (0xC0 <= data[at + 1] <= 0xCF and data[at + 1] not in (0xC4, 0xC8, 0xCC)):
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    struct.pack_into(">HH", out, at + 5, height, width)
    return bytes(out)


def second_scan() -> bytes:
    """Return a baseline JPEG with the scan of another image behind its own."""
    hidden, scan = segments_of(encoded(image(), "JPEG", quality=80))
    header = next(payload for marker, payload in hidden if marker == 0xDA)
    data = encoded(image().transpose(Image.Transpose.ROTATE_180), "JPEG", quality=80)
    return data[:-2] + segment(0xDA, header) + scan + b"\xff\xd9"


# PNG


def png_chunk(name: bytes, payload: bytes) -> bytes:
    """Return a chunk of PNG."""
    return (
        struct.pack(">I", len(payload))
        + name
        + payload
        + struct.pack(">I", zlib.crc32(name + payload))
    )


def resized_png(data: bytes, width: int, height: int) -> bytes:
    """Return a PNG whose header says another size."""
    head = struct.pack(">II", width, height) + data[24:29]
    return data[:8] + png_chunk(b"IHDR", head) + data[33:]


def interlaced_png(rows: NDArray[np.uint8], more: bytes = b"") -> bytes:
    """Return an interlaced PNG of RGB rows, which Pillow can't write, with more bytes behind."""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))
    raw = b"".join(
        b"\x00" + row.tobytes()
        for left, top, across, down in (*passes, (0, 1, 1, 2))
        for row in rows[top::down, left::across]
        if row.size
    )
    head = struct.pack(">IIBBBBB", rows.shape[1], rows.shape[0], 8, 2, 0, 0, 1)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(raw + more)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*part) for part in parts)


def with_behind_idat(data: bytes, more: bytes) -> bytes:
    """Return a PNG with another IDAT behind its own."""
    parts = list(chunks.png_chunks(data))
    _, _, end = [part for part in parts if part[0] == b"IDAT"][-1]
    return data[: end + 4] + png_chunk(b"IDAT", more) + data[end + 4 :]


@cache
def apng() -> bytes:
    """Return an APNG of three frames."""
    frames = [image(SHOWN), image(SHOWN).transpose(Image.Transpose.ROTATE_180)]
    frames.append(Image.fromarray(255 - pixels(SHOWN)))
    return encoded(frames[0], "PNG", save_all=True, append_images=frames[1:], duration=100)


def saying(data: bytes, count: int | None) -> bytes:
    """Return an APNG that says another number of frames; None: that isn't one."""
    parts = [(name, data[a:b]) for name, a, b in chunks.png_chunks(data)]
    told = b"" if count is None else struct.pack(">II", count, 0)
    kept = [(name, told if name == b"acTL" else payload) for name, payload in parts]
    kept = [part for part in kept if part[0] != b"acTL" or told]
    return data[:8] + b"".join(png_chunk(*part) for part in kept)


# TIFF


def tiff(
    strips: list[bytes],
    *,
    coding: int = 1,
    size: tuple[int, int] = (WIDTH, SHOWN),
    rows: int = SHOWN,
    more: tuple[tuple[int, int, list[int]], ...] = (),
    order: str = "<",
    bits: tuple[int, ...] = (8, 8, 8),
    photometric: int = 2,
) -> bytes:
    """Return a TIFF of these strips. `more` are (tag, type, values): types 3 and 4."""
    out = bytearray(b"II*\x00" if order == "<" else b"MM\x00*") + bytes(4)
    places = []
    for strip in strips:
        places.append(len(out))
        out += strip + b"\x00" * (len(strip) % 2)
    entries: dict[int, tuple[int, list[int]]] = {
        256: (4, [size[0]]),
        257: (4, [size[1]]),
        258: (3, list(bits)),
        259: (3, [coding]),
        262: (3, [photometric]),
        273: (4, places),
        277: (3, [len(bits)]),
        278: (4, [rows]),
        279: (4, [len(strip) for strip in strips]),
    }
    for tag, kind, values in more:
        entries[tag] = (kind, values)
        if tag == 322:  # tiles instead of strips
            entries[324], entries[325] = entries.pop(273), entries.pop(279)
            entries.pop(278)
    table = struct.pack(order + "H", len(entries))
    for tag, (kind, values) in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(values)}{'HI'[kind - 3]}", *values)
        if len(packed) > 4:
            at = len(out)
            out += packed + b"\x00" * (len(packed) % 2)
            packed = struct.pack(order + "I", at)
        table += struct.pack(order + "HHI", tag, kind, len(values)) + packed.ljust(4, b"\x00")
    struct.pack_into(order + "I", out, 4, len(out))
    return bytes(out + table + bytes(4))


def shortened_tiff(compression: str, mode: str = "RGB") -> bytes:
    """Return a TIFF of one strip by libtiff, of which the first rows are shown."""
    shown = image().convert(mode)
    data = bytearray(encoded(shown, "TIFF", compression=compression, strip_size=1 << 24))
    found = chunks.parse_tiff(bytes(data))
    length = found.pages[0].tags[257]
    struct.pack_into("<HHII", data, length.entry, 257, 4, 1, SHOWN)
    return bytes(data)


def lzw_strip(rows: NDArray[np.uint8]) -> bytes:
    """Return rows coded as TIFF's LZW, by libtiff, in one strip."""
    return _strip(rows, "tiff_lzw")


def packed_strip(rows: NDArray[np.uint8]) -> bytes:
    """Return rows coded as PackBits, by libtiff, in one strip."""
    return _strip(rows, "packbits")


def _strip(rows: NDArray[np.uint8], compression: str) -> bytes:
    data = encoded(Image.fromarray(rows), "TIFF", compression=compression, strip_size=1 << 24)
    found = chunks.parse_tiff(data)
    (place,) = chunks.tiff_parts(found, 0)
    return data[place[0] : sum(place)]


# GIF, BMP, WebP


def gif(more: bytes = b"", *, height: int = SHOWN) -> bytes:
    """Return a GIF of the whole image whose frame says so many rows, with more bytes behind."""
    data = encoded(image().quantize(64), "GIF", interlace=0)
    (start, end) = next((a, b) for kind, _, a, b in chunks.gif_blocks(data) if kind == 0x2C)
    out = bytearray(data)
    struct.pack_into("<H", out, start + 7, height)
    struct.pack_into("<H", out, 8, height)
    blocks = b"".join(
        bytes([len(more[i : i + 255])]) + more[i : i + 255] for i in range(0, len(more), 255)
    )
    return bytes(out[: end - 1]) + blocks + bytes(out[end - 1 :])


def bmp_runs(rows: NDArray[np.uint8], height: int) -> bytes:
    """Return a BMP of 8 bits in runs whose header says so many rows."""
    coded = b""
    for row in rows:
        coded += b"".join(bytes((1, value)) for value in row) + b"\x00\x00"
    coded += b"\x00\x01"
    table = b"".join(bytes((i, i, i, 0)) for i in range(256))
    start = 54 + len(table)
    head = struct.pack("<2sIII", b"BM", start + len(coded), 0, start)
    info = struct.pack("<IiiHHIIiiII", 40, rows.shape[1], height, 1, 8, 1, len(coded), 0, 0, 256, 0)
    return head + info + table + coded


def riff(*parts: tuple[bytes, bytes]) -> bytes:
    """Return a WebP of these chunks."""
    body = b"WEBP" + b"".join(
        name + struct.pack("<I", len(payload)) + payload + b"\x00" * (len(payload) % 2)
        for name, payload in parts
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_parts(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return the chunks of a WebP."""
    return [(name, data[a:b]) for name, a, b in chunks.riff_chunks(data)]
