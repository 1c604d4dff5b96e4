"""Write scans back: splice the touched MCUs into the old bits, or code all scans anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sfumato.imaging.jpeg._encode import IDS, BitWriter, ScanTokens, count
from sfumato.imaging.jpeg._tables import respell
from sfumato.imaging.jpeg.header import Frame, Numbers, Scan, read_huffman
from sfumato.imaging.jpeg.huffman import best_table, codes, extended
from sfumato.imaging.jpeg.image import Coefficients, JpegImage
from sfumato.imaging.jpeg.markers import DHT, SOS, Segment

Tokens = NDArray[np.uint32]  # see _encode.pyx
Flags = NDArray[np.bool_]
Run = tuple[int, int]  # MCUs: first, one behind the last

_WAITING = 1100  # refining bits that a run of bands can hold back


def spliced(image: JpegImage, coefficients: Coefficients, touched: Flags) -> list[Segment] | None:
    """Return the file's segments with new codes for the MCUs that hold touched blocks.

    All other bits of the scan are copied. The MCU behind a touched one is coded anew, too,
    because its DC coefficients are stored as differences. Huffman tables that lack a code which
    is needed now get it behind their last one, so that the old bits mean what they meant. Where
    a table has no room for that, some touched coefficients are changed by one step, in place,
    so that they need no new code (`respell`). None where the image isn't one sequential scan,
    or where none of this helps.
    """
    frame, scans = image.header.frame, image.header.scans
    if not touched.any():
        return list(image.segments)
    if len(scans) > 1 or frame.process == "progressive":
        return None
    scan, order = scans[0], image.order
    runs = runs_to_code(touched, order, scan.interval)
    tokens, ends = _tokens_of_runs(frame, scan, order, coefficients, runs)
    added, full = _added_codes(scan, tokens)
    if full:
        if not _respelled(frame, scan, coefficients, touched, full):
            return None
        tokens, ends = _tokens_of_runs(frame, scan, order, coefficients, runs)
        added, full = _added_codes(scan, tokens)
        if full:  # an MCU behind a touched one
            return None
    table_codes, lengths = _codes_of(*_with_added(scan, added))
    bits = _spliced_bits(image, runs, (tokens, ends), table_codes, lengths)
    data = _stuffed(bits.payload(), [0, *bits.bounds])
    segments = [replace(s, scan=data) if s.marker == SOS else s for s in image.segments]
    return _with_tables(segments, added) if added else segments


def _spliced_bits(
    image: JpegImage,
    runs: Sequence[Run],
    coded: tuple[Tokens, Sequence[int]],
    table_codes: NDArray[np.uint32],
    lengths: NDArray[np.uint8],
) -> BitWriter:
    """Put the tokens of the runs between the image's own bits.

    `coded` are all tokens, and where those of each run end.
    """
    scan, order, (tokens, ends) = image.header.scans[0], image.order, coded
    # A token has at most 31 bits.
    most = len(scan.data) // 4 + len(tokens) + len(image.ends) + 1
    writer = BitWriter(np.empty(most, dtype=np.uint32))
    starts = [0, *ends[:-1]]
    waiting = list(zip(runs, starts, ends, strict=True))[::-1]
    intervals = zip(image.begins, image.ends, strict=True)
    for number, (begin, end) in enumerate(intervals, start=1):
        at = begin
        behind = number * scan.interval or len(order)
        while waiting and waiting[-1][0][0] < behind:
            (first, stop), *part = waiting.pop()
            writer.copy(image.words, at, image.positions[first])
            writer.put(tokens[slice(*part)], table_codes, lengths)
            at = end if stop in (behind, len(order)) else image.positions[stop]
        writer.copy(image.words, at, end)
        writer.align()
    return writer


def _added_codes(scan: Scan, tokens: Tokens) -> tuple[dict[int, bytes], set[int]]:
    """Look for tables that lack codes for these tokens, by their class and slot (T.81 B.2.4.2).

    Return those tables with the codes added, and the names of those that have no room for them.
    """
    counts = np.zeros(IDS, dtype=np.int64)
    count(tokens, counts)
    _, lengths = _codes_of(scan.dc_tables, scan.ac_tables)
    needed = np.logical_and(counts > 0, lengths == 0)
    if not needed.any():
        return {}, set()
    tables: dict[int, bytes] = {}
    missing: dict[int, set[int]] = {}
    for index in range(len(scan.components)):
        for kind, slot, table in (
            (0x00, scan.dc_slots[index], scan.dc_tables[index]),
            (0x10, scan.ac_slots[index], scan.ac_tables[index]),
        ):
            row = 256 * (2 * index + (kind > 0))
            symbols = np.flatnonzero(needed[row : row + 256])
            if symbols.size:
                tables[kind | slot] = table
                missing.setdefault(kind | slot, set()).update(symbols.tolist())
    longer = {name: extended(table, sorted(missing[name])) for name, table in tables.items()}
    added = {name: table for name, table in longer.items() if table is not None}
    return added, longer.keys() - added.keys()


def _respelled(
    frame: Frame, scan: Scan, coefficients: Coefficients, touched: Flags, full: set[int]
) -> bool:
    """Change touched coefficients of components whose tables are full; return if it was possible.

    DC coefficients stay: a difference has one code or none.
    """
    if any(name < 0x10 for name in full):
        return False
    for index, slot, table in zip(scan.components, scan.ac_slots, scan.ac_tables, strict=True):
        if slot | 0x10 in full:
            numbers = frame.numbers(index).ravel()
            blocks = numbers[touched[numbers]]
            if not respell(coefficients, blocks, codes(table).lengths):
                return False
    return True


def _with_added(
    scan: Scan, added: Mapping[int, bytes]
) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Return the DC and the AC table of each component, the longer one where there is one."""
    dc = zip(scan.dc_slots, scan.dc_tables, strict=True)
    ac = zip(scan.ac_slots, scan.ac_tables, strict=True)
    return (
        tuple(added.get(slot, table) for slot, table in dc),
        tuple(added.get(slot | 0x10, table) for slot, table in ac),
    )


def _with_tables(segments: Sequence[Segment], tables: Mapping[int, bytes]) -> list[Segment]:
    """Return the segments with these Huffman tables in the place of their namesakes."""
    result = []
    for segment in segments:
        if segment.marker == DHT:
            held = read_huffman(segment.payload)
            payload = b"".join(
                bytes((name,)) + tables.get(name, table) for name, table in held.items()
            )
            result.append(replace(segment, payload=payload))
        else:
            result.append(segment)
    return result


def runs_to_code(touched: Flags, order: Numbers, interval: int) -> list[Run]:
    """Return the MCUs to code anew: those with a touched block and one behind, cut at restarts.

    `order` is (MCUs, blocks of an MCU), as in `ScanReader`.
    """
    wanted = touched[order[:, 0]]
    for column in range(1, order.shape[1]):
        wanted |= touched[order[:, column]]
    behind = wanted[:-1].copy()
    if interval:  # the first MCU of an interval refers to none before
        behind[interval - 1 :: interval] = False
    wanted[1:] |= behind
    edges = (np.flatnonzero(wanted[1:] != wanted[:-1]) + 1).tolist()
    if wanted[0]:
        edges.insert(0, 0)
    if wanted[-1]:
        edges.append(len(wanted))
    runs: list[Run] = []
    for first, stop in zip(edges[::2], edges[1::2], strict=True):
        cuts = range(first - first % interval + interval, stop, interval) if interval else ()
        runs += pairwise([first, *cuts, stop])
    return runs


def _tokens_of_runs(
    frame: Frame, scan: Scan, order: Numbers, coefficients: Coefficients, runs: Sequence[Run]
) -> tuple[Tokens, list[int]]:
    """Return the tokens of runs of MCUs of a sequential scan, and where those of each end."""
    most = 66 * order.shape[1] * sum(stop - first for first, stop in runs)
    out = np.empty(most, dtype=np.uint32)
    writer = _token_writer(frame, scan, order, coefficients, out)
    ends = []
    for first, stop in runs:
        writer.sequential(first, stop, first % (scan.interval or len(order)) == 0)
        ends.append(writer.count())
    return out[: writer.count()], ends


def _token_writer(
    frame: Frame, scan: Scan, order: Numbers, coefficients: Coefficients, out: Tokens
) -> ScanTokens:
    last_dc = np.zeros(len(scan.components), dtype=np.int32)
    waiting = np.zeros(_WAITING, dtype=np.uint8)
    owners = frame.owners(scan.components)
    return ScanTokens(coefficients, order, owners, out, last_dc, waiting)


def _codes_of(
    dc_tables: Sequence[bytes], ac_tables: Sequence[bytes]
) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """Return code and length for each name of a token: rows DC, AC of each component in turn."""
    all_codes, all_lengths = np.zeros(IDS, dtype=np.uint32), np.zeros(IDS, dtype=np.uint8)
    for row, table in enumerate(t for pair in zip(dc_tables, ac_tables, strict=True) for t in pair):
        if table:
            found = codes(table)
            all_codes[256 * row : 256 * row + 256] = found.codes
            all_lengths[256 * row : 256 * row + 256] = found.lengths
    return all_codes, all_lengths


def _stuffed(payload: bytes, bounds: Sequence[int]) -> bytes:
    """Put the stuffed zeros and the restart markers in (T.81 F.1.2.3, B.2.1)."""
    if len(bounds) == 2:
        return payload.replace(b"\xff", b"\xff\x00")
    parts = []
    for number, (start, stop) in enumerate(pairwise(bounds)):
        if number:
            parts.append(bytes((0xFF, 0xD0 + (number - 1) % 8)))
        parts.append(payload[start:stop].replace(b"\xff", b"\xff\x00"))
    return b"".join(parts)


def recoded(image: JpegImage, coefficients: Coefficients) -> list[Segment]:
    """Return the file's segments with all scans coded anew, each with the best Huffman tables.

    The coefficients, the scans and their order stay the same; the old tables go.
    """
    segments: list[Segment] = []
    scans = iter(image.header.scans)
    values = int(np.count_nonzero(coefficients))
    for segment in image.segments:
        if segment.marker == SOS:
            tables, data = _recoded_scan(image.header.frame, next(scans), coefficients, values)
            if tables:
                segments.append(Segment(DHT, segment.offset, tables))
            segments.append(replace(segment, scan=data))
        elif segment.marker != DHT:
            segments.append(segment)
    return segments


def _recoded_scan(
    frame: Frame, scan: Scan, coefficients: Coefficients, values: int
) -> tuple[bytes, bytes]:
    """Return the payload of a DHT segment and the entropy-coded data of a scan."""
    order = frame.order(scan.components)
    step = scan.interval or len(order)
    # At most a token for each value that isn't 0; and for each block DC, three runs of 16 zeros,
    # an end of block; and one for each restart.
    out = np.empty(values + 5 * order.size + len(order) // step + 1, dtype=np.uint32)
    writer = _token_writer(frame, scan, order, coefficients, out)
    for first in range(0, len(order), step):
        _write_interval(writer, frame, scan, first, min(first + step, len(order)))
        writer.restart()
    tokens = out[: writer.count()]
    counts = np.zeros(IDS, dtype=np.int64)
    further_bits = count(tokens, counts)
    dc_tables, dc_segment = _best_tables(scan.dc_slots, counts[:2048].reshape(8, 256)[::2], 0x00)
    ac_tables, ac_segment = _best_tables(scan.ac_slots, counts[:2048].reshape(8, 256)[1::2], 0x10)
    table_codes, lengths = _codes_of(dc_tables, ac_tables)
    size = further_bits + int(counts @ lengths.astype(np.int64))
    bits = BitWriter(np.empty(size // 32 + len(order) // step + 2, dtype=np.uint32))
    bits.put(tokens, table_codes, lengths)
    data = _stuffed(bits.payload(), [0, *bits.bounds])
    return dc_segment + ac_segment, data


def _write_interval(writer: ScanTokens, frame: Frame, scan: Scan, first: int, stop: int) -> None:
    """Write the tokens of one restart interval of a scan of any kind."""
    if frame.process != "progressive":
        writer.sequential(first, stop, True)
    elif scan.first == 0 and scan.high == 0:
        writer.dc_first(first, stop, scan.low)
    elif scan.first == 0:
        writer.dc_refine(first, stop, scan.low)
    elif scan.high == 0:
        writer.ac_first(first, stop, scan.first, scan.last, scan.low)
    else:
        writer.ac_refine(first, stop, scan.first, scan.last, scan.low)


def _best_tables(
    slots: Sequence[int], counts: NDArray[np.int64], kind: int
) -> tuple[list[bytes], bytes]:
    """Return the best table of each component, and all of them as they stand in a DHT segment.

    Components that name the same slot share a table, so their counts are added.
    """
    tables: dict[int, bytes] = {}
    for slot in sorted(set(slots)):
        total = sum(counts[i] for i, other in enumerate(slots) if other == slot)
        if np.any(total):
            tables[slot] = best_table(np.asarray(total).tolist())
    payload = b"".join(bytes((kind | slot,)) + table for slot, table in tables.items())
    return [tables.get(slot, b"") for slot in slots], payload
