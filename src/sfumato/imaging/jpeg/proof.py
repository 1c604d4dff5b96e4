"""Read an edited file again and compare it with what it was made from.

Nothing that writing has computed is trusted: the bytes are walked and decoded from scratch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sfumato.errors import Code, SampleError
from sfumato.imaging.jpeg._decode import ScanReader, same_bits
from sfumato.imaging.jpeg.header import Header, read_header
from sfumato.imaging.jpeg.huffman import extends
from sfumato.imaging.jpeg.image import Coefficients, JpegImage, Words, bits_of, decode, reader_of
from sfumato.imaging.jpeg.markers import (
    Segment,
    holds_preview,
    icc_profile,
    orientation,
    published_profile,
    start_of_image,
    walk,
)
from sfumato.imaging.jpeg.writing import Run, runs_to_code

Flags = NDArray[np.bool_]

_AT_ONCE = 4096  # blocks compared at a time: no copy of a whole image


def check(data: bytes, source: JpegImage, intended: Coefficients, touched: Flags) -> None:
    """Check that `data` holds the intended coefficients, and only touched blocks differ.

    Args:
        data: the edited file.
        source: the file before the edit, as read.
        intended: the coefficients that were to be written.
        touched: for each block, whether it was to change.

    Raises:
        SampleError: `IMAGE_ENCODE`, with what differs: coefficients, tables, coding process,
            sampling, colour, orientation, profile; or with a second image in the file.
    """
    frame = source.header.frame
    segments, end = walk(data)
    header = read_header(segments, max_pixels=frame.width * frame.height)
    _check_headers(source, header, segments)
    if holds_preview(data, segments, end) or start_of_image(data, 2) is not None:
        raise _failed("a second image is left in the file")
    if _tables_extend(source.header, header):
        _check_bits(source, header, intended, touched)
        return
    result = decode(segments, end, header).coefficients
    if _differing(result, intended).size:
        raise _failed("coefficients are not those that were to be written")
    if not touched[_differing(result, source.coefficients)].all():
        raise _failed("coefficients changed outside the touched blocks")


def _failed(what: str) -> SampleError:
    return SampleError(Code.IMAGE_ENCODE, f"JPEG: the proof of the edited file failed: {what}")


def _check_headers(source: JpegImage, header: Header, segments: Sequence[Segment]) -> None:
    old = source.header
    same = {
        "size, sampling or coding process": old.frame == header.frame,
        "quantisation tables": old.quantisation == header.quantisation,
        "colour model": old.colour == header.colour,
        "scans or restart markers": _script(old) == _script(header),
        "orientation": orientation(source.segments) == orientation(segments),
        "colour profile": published_profile(source.segments) == icc_profile(segments),
    }
    for name, equal in same.items():
        if not equal:
            raise _failed(f"{name} changed")


def _script(header: Header) -> list[tuple[object, ...]]:
    return [(s.components, s.first, s.last, s.high, s.low, s.interval) for s in header.scans]


def _tables_extend(old: Header, new: Header) -> bool:
    """Return whether both are one sequential scan, whose old codes mean the same in both."""
    if old.frame.process == "progressive" or len(old.scans) > 1:
        return False
    (a,), (b,) = old.scans, new.scans
    pairs = zip(b.dc_tables + b.ac_tables, a.dc_tables + a.ac_tables, strict=True)
    return all(extends(*pair) for pair in pairs)


def _check_bits(source: JpegImage, header: Header, intended: Coefficients, touched: Flags) -> None:
    """Check a scan that has the codes of the source without decoding what is bit for bit equal.

    A code stays what it is where further codes are added, since no code begins another: that
    follows from how tables are stored. What is decoded depends on the bits from there on and on
    the last DC coefficients, and on nothing else. So a stretch of MCUs with the bits of the
    source has its coefficients, if the DC coefficients before it are the source's. All other
    MCUs are decoded and compared.
    """
    scan, order, old = header.scans[0], source.order, source.coefficients
    words, bounds = bits_of(scan)
    if len(bounds) - 1 != len(source.begins):
        raise _failed("scans or restart markers changed")
    step = scan.interval or len(order)
    runs = runs_to_code(touched, order, scan.interval)
    # What is decoded, in a small array of its own: each run, behind the MCU before it, which its
    # first differences refer to.
    wanted = [range(first - (first % step > 0), stop) for first, stop in runs]
    mcus_of = [np.arange(mcus.start, mcus.stop) for mcus in wanted]
    numbers = order[np.concatenate([np.zeros(0, dtype=np.intp), *mcus_of])]
    found = np.zeros((numbers.size, 64), dtype=np.int16)
    local = np.arange(numbers.size, dtype=np.int32).reshape(numbers.shape)
    starts = np.cumsum([0, *map(len, wanted)])[:-1]
    before = [start for start, (first, _) in zip(starts, runs, strict=True) if first % step]
    found[local[before]] = old[numbers[before]]
    reader = reader_of(header.frame, scan, local, words, found, np.zeros(0, dtype=np.uint8))
    _check_stretches(source, reader, (words, bounds), runs, starts.tolist())
    numbers = numbers.ravel()
    same = ~touched[numbers]
    for start in range(0, len(numbers), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        here, there, kept = _by_four(found[part]), numbers[part], same[part]
        if not np.array_equal(here, _by_four(intended)[there]):
            raise _failed("coefficients are not those that were to be written")
        if not np.array_equal(here[kept], _by_four(old)[there[kept]]):
            raise _failed("coefficients changed outside the touched blocks")
    last = [start + len(mcus) - 1 for start, mcus in zip(starts, wanted, strict=True)
            if mcus.stop % step and mcus.stop < len(order)]  # fmt: skip
    if not same.reshape(local.shape)[last].all():
        raise _failed("DC coefficients changed outside the touched blocks")


def _check_stretches(
    source: JpegImage,
    reader: ScanReader,
    bits: tuple[Words, Sequence[int]],
    runs: Sequence[Run],
    starts: Sequence[int],
) -> None:
    """Decode the runs, and compare the bits between them with those of the source.

    `starts` is where the MCUs of each run, and the one before it, begin for the reader.
    """
    words, bounds = bits
    mcus, positions = len(source.order), np.zeros(len(source.order), dtype=np.int64)
    step = source.header.scans[0].interval or mcus
    waiting = list(zip(runs, starts, strict=True))[::-1]
    for number, (begin, old_end) in enumerate(zip(source.begins, source.ends, strict=True)):
        old_at = begin
        at, end, behind = 8 * bounds[number], 8 * bounds[number + 1], min((number + 1) * step, mcus)
        while waiting and waiting[-1][0][0] < behind:
            (first, stop), local = waiting.pop()
            length = int(source.positions[first]) - old_at
            if not same_bits(source.words, old_at, words, at, length):
                raise _failed("data changed outside the touched blocks")
            local += first % step > 0
            at = reader.sequential(
                at + length, end, local, local + stop - first, positions, first % step == 0
            )
            old_at = int(source.positions[stop]) if stop < behind else old_end
        length = old_end - old_at
        if not (0 <= end - at - length < 8 and same_bits(source.words, old_at, words, at, length)):
            raise _failed("data changed outside the touched blocks")


def _differing(a: Coefficients, b: Coefficients) -> NDArray[np.intp]:
    """Return the numbers of the blocks in which a coefficient differs; some come repeatedly."""
    return np.flatnonzero(_by_four(a) != _by_four(b)) // 16


def _by_four(coefficients: Coefficients) -> NDArray[np.int64]:
    """View coefficients as (blocks, 16): they are compared four at a time."""
    return coefficients.view(np.int64)
