"""The proof refuses every file that isn't what was to be written, wherever it differs."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pytest
from PIL import Image

from sfumato.errors import SampleError
from sfumato.imaging.jpeg import proof, writing
from sfumato.imaging.jpeg.image import Coefficients, JpegImage, read
from sfumato.imaging.jpeg.markers import icc_profile, serialise
from sfumato.imaging.jpeg.proof import Flags, check
from sfumato.imaging.jpeg.writing import Run, recoded, spliced
from tests.jpeg_images import MAX_PIXELS, saved, segment, segments_of, several_scans
from tests.jpeg_images import image as pixels_of
from tests.test_jpeg_markers import PREVIEW, icc
from tests.variants import slow_unless

SIZE = (60, 44)  # a part of the last MCUs lies outside


def first_scan(data: bytes) -> bytes:
    """Return a progressive file that ends when only the DC coefficients are there."""
    second = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    return data[: data.rindex(b"\xff\xc4", 0, second)] + b"\xff\xd9"


def two_scans() -> bytes:
    """Return a file of two components, each in a scan of its own."""
    scans = b""
    for number, plane in enumerate(Image.fromarray(pixels_of(*SIZE)).split()[:2], start=1):
        stream = io.BytesIO()
        plane.save(stream, "JPEG", quality=85)
        segments, scan = segments_of(stream.getvalue())
        scans += segment(0xDA, bytes((1, number, 0, 0, 63, 0))) + scan
    tables = b"".join(segment(m, payload) for m, payload in segments if m in (0xE0, 0xDB, 0xC4))
    frame = struct.pack(">BHHB", 8, SIZE[1], SIZE[0], 2) + bytes((1, 0x11, 0, 2, 0x11, 0))
    return b"\xff\xd8" + tables + segment(0xC0, frame) + scans + b"\xff\xd9"


SMALL: dict[str, Callable[[], bytes]] = {
    "4:2:0": lambda: saved(size=SIZE, quality=85),
    "4:4:4": lambda: saved(size=(28, 20), quality=85, subsampling=0),
    "restart every 1": lambda: saved(size=SIZE, quality=85, restart_marker_blocks=1),
    "restart every 5": lambda: saved(size=SIZE, quality=85, restart_marker_blocks=5),
    "restart every row": lambda: saved(size=SIZE, quality=85, restart_marker_rows=1),
    "progressive": lambda: saved(size=SIZE, quality=85, progressive=True),
    "several scans": several_scans,
    "two scans": two_scans,
    "one progressive scan": lambda: first_scan(saved(size=SIZE, quality=85, progressive=True)),
}
DISTINCT = {"4:2:0", "restart every 1", "progressive", "several scans"}  # enough for every day
TURNED = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
REFUSED = "IMAGE_ENCODE|IMAGE_DECODE"


@cache
def small(kind: str) -> JpegImage:
    return read(SMALL[kind](), max_pixels=MAX_PIXELS)


def file_of(image: JpegImage, coefficients: Coefficients, touched: Flags) -> bytes:
    segments = spliced(image, coefficients.copy(), touched)
    return serialise(recoded(image, coefficients) if segments is None else segments)


def places(image: JpegImage, *mcus: int) -> Flags:
    """Return flags of the blocks of these MCUs; of a progressive file, of its blocks."""
    touched = np.zeros(len(image.coefficients), dtype=np.bool_)
    touched[image.order[list(mcus)]] = True
    return touched


def changed(image: JpegImage, touched: Flags) -> Coefficients:
    coefficients = image.coefficients.copy()
    coefficients[touched, 0] += 4
    if (image.precision[:, 5] >= 0).all():
        coefficients[touched, 5] += 3
    return coefficients


def single_changes(image: JpegImage) -> Iterator[tuple[int, Coefficients, bytes]]:
    """Yield files that differ from their source in one coefficient, for every block (of few)."""
    all_given = bool((image.precision[:, 3] >= 0).all())  # else only DC
    for block in range(0, len(image.coefficients), 1 + len(image.coefficients) // 100):
        coefficients = image.coefficients.copy()
        coefficients[block, 3 * (block % 2) if all_given else 0] += 1 << image.precision.max()
        touched = np.zeros(len(coefficients), dtype=np.bool_)
        touched[block] = True
        yield block, coefficients, file_of(image, coefficients, touched)


@pytest.mark.parametrize("kind", slow_unless(SMALL, lambda kind: kind in DISTINCT))
def test_one_coefficient_anywhere_is_seen(kind: str) -> None:
    """As intended in a touched block it passes; unintended, or in another block, nowhere."""
    image = small(kind)
    touched = places(image, 2, 3, 7)
    for block, coefficients, data in single_changes(image):
        with pytest.raises(SampleError, match=REFUSED):
            check(data, image, image.coefficients, touched)
        if touched[block]:
            check(data, image, coefficients, touched)
        else:
            with pytest.raises(SampleError, match=REFUSED):
                check(data, image, coefficients, touched)


@pytest.mark.parametrize("kind", slow_unless(SMALL, lambda kind: kind in DISTINCT))
@pytest.mark.parametrize("mcus", [(0,), (1, 4), (0, 1, 2, 5, 6), (9, 11), (10, 11), range(12)])
def test_an_edit_of_any_mcus_passes_and_another_edit_of_them_does_not(
    kind: str, mcus: tuple[int, ...]
) -> None:
    image = small(kind)
    touched = places(image, *mcus)
    intended = changed(image, touched)
    check(file_of(image, intended, touched), image, intended, touched)
    with pytest.raises(SampleError, match=REFUSED):
        check(file_of(image, image.coefficients, touched), image, intended, touched)
    wider = places(image, *mcus, 3, 8)
    if len(mcus) == 12:
        return
    too_much = changed(image, wider)
    for meant in (intended, too_much):  # also where the writer has meant to
        with pytest.raises(SampleError, match=REFUSED):
            check(file_of(image, too_much, wider), image, meant, touched)


def test_a_large_edit_is_compared_to_its_last_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are compared some at a time: none is left out between two parts, or at the end."""
    monkeypatch.setattr(proof, "_AT_ONCE", 4)
    test_one_coefficient_anywhere_is_seen("restart every 5")


@pytest.mark.parametrize("kind", ["4:2:0", "restart every 5"])
def test_a_plan_that_forgets_the_next_difference_is_found_out(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The MCU behind the touched ones isn't coded anew, so all behind are shifted in brightness."""
    image = small(kind)
    touched = places(image, 1)

    def only_touched(*_: object) -> list[Run]:
        return [(1, 2)]

    monkeypatch.setattr(writing, "runs_to_code", only_touched)
    monkeypatch.setattr(proof, "runs_to_code", only_touched)
    intended = changed(image, touched)
    with pytest.raises(SampleError, match="DC coefficients changed outside"):
        check(file_of(image, intended, touched), image, intended, touched)


@pytest.mark.slow
def test_data_that_shift_between_two_runs_are_seen() -> None:
    """Bits are left out, or come twice, before the last run, and the padding hides the number."""
    image = small("4:2:0")
    touched = places(image, 2, 8)
    intended = changed(image, touched)
    good = file_of(image, intended, touched)
    _, scan = segments_of(good)
    head = good[: good.index(scan)]
    for at in range(0, len(scan) - 4, 3):
        for other in (scan[:at] + scan[at + 1 :], scan[:at] + scan[at : at + 1] + scan[at:]):
            with pytest.raises(SampleError, match=REFUSED):
                check(head + other + b"\xff\xd9", image, intended, touched)
    for end in (b"\x00", b"\x00\x00\x00"):
        with pytest.raises(SampleError, match="data changed outside"):
            check(head + scan + end + b"\xff\xd9", image, intended, touched)


@pytest.mark.parametrize("kind", ["4:2:0", "restart every 5", "restart every 1"])
def test_an_interval_more_is_seen(kind: str) -> None:
    """What follows a further restart marker is shown by nobody and read by somebody."""
    image = small(kind)
    nothing = places(image)
    _, scan = segments_of(SMALL[kind]())
    head = SMALL[kind]()[: -len(scan) - 2]
    marker = bytes((0xFF, 0xD0 + (len(image.begins) - 1) % 8))
    for more in (marker, marker + b"hidden"):
        with pytest.raises(SampleError, match="restart markers changed"):
            check(head + scan + more + b"\xff\xd9", image, image.coefficients, nothing)


@pytest.mark.slow
def test_a_byte_more_or_less_in_any_interval_is_seen() -> None:
    """Also where it holds a single bit, or where the interval ends with a whole byte."""
    data = saved(size=(200, 160), quality=85, restart_marker_blocks=1)
    image = read(data, max_pixels=MAX_PIXELS)
    nothing = places(image)
    _, scan = segments_of(data)
    head, intervals = data[: -len(scan) - 2], re.split(rb"(?<=\xff[\xd0-\xd7])", scan)
    assert {end % 8 for end in image.ends} == set(range(8))
    for number, interval in enumerate(intervals[:-1]):
        body, marker = interval[:-2], interval[-2:]
        for other in (body[:-1], body + b"\0"):
            wrong = [*intervals[:number], other, marker, *intervals[number + 1 :]]
            with pytest.raises(SampleError, match=REFUSED):
                check(head + b"".join(wrong) + b"\xff\xd9", image, image.coefficients, nothing)


def test_of_two_kinds_of_tables_one_may_be_new() -> None:
    """Coded anew, AC tables are others and DC tables the same: read from the start, it is right."""
    image = small("4:2:0")
    base = serialise(recoded(image, image.coefficients))
    again = read(base, max_pixels=MAX_PIXELS)
    touched = places(again, 1, 2)
    intended = again.coefficients.copy()
    intended[touched, 40:] = 1
    data = serialise(recoded(again, intended))
    (old,), (new,) = again.header.scans, read(data, max_pixels=MAX_PIXELS).header.scans
    assert old.dc_tables == new.dc_tables
    assert old.ac_tables != new.ac_tables
    check(data, again, intended, touched)


def test_a_progressive_scan_is_never_taken_for_a_sequential_one() -> None:
    """Where its only table stays what it was, too."""
    image = small("one progressive scan")
    base = read(serialise(recoded(image, image.coefficients)), max_pixels=MAX_PIXELS)
    seen = 0
    for block in range(len(base.coefficients)):
        touched = np.zeros(len(base.coefficients), dtype=np.bool_)
        touched[block] = True
        intended = base.coefficients.copy()
        intended[block, 0] += 1 << base.precision.max()
        data = serialise(recoded(base, intended))
        (scan,) = read(data, max_pixels=MAX_PIXELS).header.scans
        seen += scan.dc_tables == base.header.scans[0].dc_tables
        check(data, base, intended, touched)
    assert seen > 3


def patched(data: bytes, marker: int, at: int, value: int) -> bytes:
    """Return the file with a byte of the payload of its first segment of this kind replaced."""
    place = data.index(bytes((0xFF, marker))) + 4 + at
    return data[:place] + bytes((value,)) + data[place + 1 :]


def with_segment(data: bytes, payload: bytes) -> bytes:
    return data[:2] + payload + data[2:]


HEADERS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    # The padding of the last MCUs has room for them.
    "a line less": (lambda d: patched(d, 0xC0, 2, 43), "size"),
    "a column less": (lambda d: patched(d, 0xC0, 4, 59), "size"),
    "a coarser table": (lambda d: patched(d, 0xDB, 3, 99), "quantisation"),
    "taken for RGB": (
        lambda d: d[:2] + segment(0xEE, b"Adobe\0\x64" + bytes(5)) + d[20:], "colour"),
    "a restart interval": (lambda d: with_segment(d, segment(0xDD, b"\x7f\xff")), "restart"),
    "turned": (lambda d: with_segment(d, segment(0xE1, TURNED)), "orientation"),
    "a profile": (
        lambda d: with_segment(d, segment(0xE2, b"ICC_PROFILE\0\1\1" + icc())), "profile"),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_what_changes_how_the_same_coefficients_look_is_refused(name: str) -> None:
    change, word = HEADERS[name]
    image = small("4:2:0")
    touched = places(image, 1)
    intended = changed(image, touched)
    data = file_of(image, intended, touched)
    with pytest.raises(SampleError, match=rf"{word}.* changed"):
        check(change(data), image, intended, touched)


def test_a_profile_that_is_lost_is_seen() -> None:
    data = with_segment(SMALL["4:2:0"](), segment(0xE2, b"ICC_PROFILE\0\1\1" + icc()))
    image = read(data, max_pixels=MAX_PIXELS)
    assert icc_profile(image.segments) == icc()
    nothing = np.zeros(len(image.coefficients), dtype=np.bool_)
    check(data, image, image.coefficients, nothing)
    with pytest.raises(SampleError, match="profile changed"):
        check(SMALL["4:2:0"](), image, image.coefficients, nothing)


@pytest.mark.parametrize(
    "left",
    [
        lambda d: d + PREVIEW,
        lambda d: with_segment(d, segment(0xFE, PREVIEW)),
        lambda d: with_segment(d, segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0/9j/4AAQ")),
        lambda d: with_segment(d, segment(0xFE, b"\xff\xd8\xff\xe0\0\4..\xff")),
        # In a table that a later one of the same name replaces.
        lambda d: with_segment(d, segment(0xDB, b"\0\xff\xd8\xff\xe0\x7f\x7f" + b"\1" * 58)),
    ],
)
def test_a_second_image_is_refused(left: Callable[[bytes], bytes]) -> None:
    for kind in ("4:2:0", "progressive"):
        image = small(kind)
        touched = places(image, 1)
        intended = changed(image, touched)
        data = file_of(image, intended, touched)
        with pytest.raises(SampleError, match="second image"):
            check(left(data), image, intended, touched)
