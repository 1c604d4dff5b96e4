"""Which bytes of an AVIF sequence are samples of a track that is shown (ISO/IEC 14496-12)."""

from __future__ import annotations

import struct
from typing import Final

from sfumato.imaging.codec.inside.found import Span
from sfumato.imaging.codec.isobmff import Part, boxes

_MOST_SAMPLES: Final = 100_000
_INNER: Final = (b"mdia", b"minf", b"stbl")


def shown_samples(data: bytes, movie: Part) -> list[Span]:
    """Return where the samples of a sequence lie: of its one track of images, and transparency.

    A further track of images is shown by nobody: its samples aren't among these.

    Raises:
        chunks.MALFORMED: the boxes can't be followed.
    """
    found: list[Span] = []
    kinds = set[bytes]()
    for track in boxes(data, movie.start, movie.end):
        if track.name != b"trak":
            continue
        tables = _tables(data, track)
        handler = tables[b"hdlr"]
        kind = data[handler.start + 8 : handler.start + 12]
        if kind in (b"pict", b"auxv") and kind not in kinds:
            kinds.add(kind)
            found += _samples(data, tables)
    return found


def _tables(data: bytes, track: Part) -> dict[bytes, Part]:
    found: dict[bytes, Part] = {}
    waiting = [track]
    while waiting:
        for part in boxes(data, waiting[-1].start, waiting.pop().end):
            found.setdefault(part.name, part)
            if part.name in _INNER:
                waiting.append(part)
    return found


def _samples(data: bytes, tables: dict[bytes, Part]) -> list[Span]:
    """Return the stretch of each chunk of samples, by the tables of sizes, chunks and places."""
    wide = b"co64" in tables
    places = _numbers(data, tables[b"co64" if wide else b"stco"].start + 4, "Q" if wide else "I")
    sizes = tables[b"stsz"].start
    same, count = struct.unpack_from(">II", data, sizes + 4)
    if count > _MOST_SAMPLES:
        raise ValueError("too many samples")
    each = (same,) * count if same else _numbers(data, sizes + 8, "I")
    runs = _numbers(data, tables[b"stsc"].start + 4, "III")
    in_chunk = dict(zip(runs[::3], runs[1::3], strict=True))  # from this chunk on
    found: list[Span] = []
    first = held = 0
    for number, place in enumerate(places, start=1):
        held = in_chunk.get(number, held)
        found.append((place, place + sum(each[first : first + held])))
        first += held
    return found


def _numbers(data: bytes, at: int, layout: str) -> tuple[int, ...]:
    """Return the numbers of a table behind its count."""
    (count,) = struct.unpack_from(">I", data, at)
    if count > _MOST_SAMPLES:
        raise ValueError("too many entries")
    return struct.unpack_from(">" + layout * count, data, at + 4)
