"""Cut the frames of an animation out of its file: each a still image as it is stored.

A viewer composes frames: what is transparent in one shows the frame below, and its own colours
under there are never seen.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TypeAlias

from sfumato.imaging.codec import chunks

Chunk: TypeAlias = tuple[bytes, bytes]  # of a WebP: name and payload


def png_stills(data: bytes) -> Iterator[bytes]:
    """Yield each frame of an APNG as a PNG of its own, in all its colours."""
    parts = list(chunks.png_chunks(data))
    names = [name for name, _, _ in parts]
    first = names.index(b"IDAT")
    before = [
        data[start - 8 : end + 4]
        for name, start, end in parts[:first]
        if name in (b"PLTE", b"tRNS")
    ]
    for (width, height, _, _), stream in png_streams(data, parts[first:]):
        head = struct.pack(">II", width, height) + data[24:29]
        shown = (chunks.png_chunk(b"IHDR", head), *before, chunks.png_chunk(b"IDAT", stream))
        yield data[:8] + b"".join((*shown, chunks.png_chunk(b"IEND", b"")))


def png_streams(
    data: bytes, parts: list[tuple[bytes, int, int]]
) -> list[tuple[tuple[int, int, int, int], bytes]]:
    """Return (width, height, x, y) and the coded data of each frame behind the first IDAT."""
    frames: list[tuple[tuple[int, int, int, int], list[bytes]]] = []
    for name, start, end in parts:
        if name == b"fcTL":
            w, h, x, y = struct.unpack_from(">IIII", data, start + 4)
            frames.append(((w, h, x, y), []))
        elif name == b"fdAT" and frames:
            frames[-1][1].append(data[start + 4 : end])
        elif name == b"fdAT":
            frames.append(((0, 0, 0, 0), []))
    return [(place, b"".join(coded)) for place, coded in frames]


def webp_stills(data: bytes) -> Iterator[bytes]:
    """Yield each frame of a WebP animation as a still one."""
    for name, start, end in chunks.riff_chunks(data):
        if name == b"ANMF":
            yield webp_still(webp_frame(data[start:end]))


def webp_frame(frame: bytes) -> list[Chunk]:
    """Return the chunks inside an ANMF chunk."""
    return [(name, frame[a:b]) for name, a, b in chunks.riff_chunks(frame, 16, len(frame))]


def webp_still(parts: list[Chunk]) -> bytes:
    """Return a still WebP of the coded data of one image."""
    parts = sorted(part for part in parts if part[0] in (b"VP8 ", b"VP8L", b"ALPH"))
    if len(parts) > 1:
        frame = next(payload for name, payload in parts if name == b"VP8 ")
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", frame, 6))
        sizes = struct.pack("<II", width - 1, height - 1)
        parts.insert(0, (b"VP8X", struct.pack("<I", 0x10) + sizes[:3] + sizes[4:7]))
    return chunks.webp_written(parts)  # alpha comes first
