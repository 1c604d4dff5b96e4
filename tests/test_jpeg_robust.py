"""Broken, forged and hostile files: refused by name, quickly, in little memory."""

from __future__ import annotations

import time
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sfumato.errors import Code, SampleError
from sfumato.imaging import jpeg
from sfumato.obfuscation import Fill, Gaussian
from tests.jpeg_attacks import resized
from tests.jpeg_images import FACE, KINDS, MAX_PIXELS, saved

FILES = {kind: make() for kind, make in KINDS.items()}


def edit(data: bytes, max_pixels: int = MAX_PIXELS) -> jpeg.Edit:
    return jpeg.edit(data, [FACE], Gaussian(), max_pixels=max_pixels)


def outcome(data: bytes) -> Code | None:
    """Run everything on hostile bytes; only `SampleError` may come out."""
    for call in (
        lambda: jpeg.inspect(data, max_pixels=MAX_PIXELS),
        lambda: jpeg.strip(data, "keep-safe"),
    ):
        with suppress(SampleError):
            call()
    try:
        edit(data)
    except SampleError as refused:
        return refused.code
    return None


@pytest.mark.parametrize("kind", ["4:2:0", "progressive", "grey"])
@pytest.mark.parametrize("limit", [MAX_PIXELS, 1 << 40])
def test_forged_size_is_refused_at_once(kind: str, limit: int) -> None:
    data = resized(FILES[kind], 65000, 65000)
    tracemalloc.start()
    start = time.process_time()
    with pytest.raises(SampleError) as refused:
        edit(data, limit)
    seconds, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refused.value.code == (Code.IMAGE_TOO_LARGE if limit < 1 << 40 else Code.IMAGE_DECODE)
    assert seconds < 0.05
    assert peak < 1_000_000


@pytest.mark.slow
def test_memory_is_bounded_by_the_image() -> None:
    size = (1400, 1000)
    for data in (
        saved(size=size, quality=100, subsampling=0),
        saved(size=size, quality=90, progressive=True),
    ):
        jpeg.edit(data, [(100, 100, 300, 350)], Gaussian(), max_pixels=MAX_PIXELS)
        tracemalloc.start()
        jpeg.edit(data, [(100, 100, 300, 350)], Gaussian(), max_pixels=MAX_PIXELS)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 10 * 1400 * 1000 * 3


@pytest.mark.parametrize("kind", ["4:4:4", "4:2:0", "restart every 5", "progressive", "grey"])
def test_cut_off_data_are_refused(kind: str) -> None:
    data = FILES[kind]
    for share in (0.3, 0.5, 0.8, 0.95):
        with pytest.raises(SampleError, match="IMAGE_DECODE"):
            edit(data[: int(len(data) * share)])


@pytest.mark.parametrize("kind", ["4:4:4", "4:2:0", "restart every 5", "4:2:0 optimised", "q100"])
def test_overwritten_data_are_detected(kind: str) -> None:
    """40 random bytes in the middle of a scan, which other readers pass over without a word.

    Not each time: now and then random bits are legal codes that end at the right place.
    """
    data = FILES[kind]
    rng = np.random.default_rng(3)
    found = 0
    for _ in range(50):
        at = int(len(data) * rng.uniform(0.3, 0.9))
        broken = data[:at] + rng.bytes(40) + data[at + 40 :]
        found += outcome(broken) == Code.IMAGE_DECODE
    assert found >= 40


def test_swapped_and_lost_restart_markers_are_detected() -> None:
    data = FILES["restart every 5"]
    for wrong in (data.replace(b"\xff\xd1", b"\xff\xd2", 1), data.replace(b"\xff\xd1", b"", 1)):
        assert outcome(wrong) == Code.IMAGE_DECODE


def test_unannounced_restart_marker_is_detected() -> None:
    data = FILES["4:4:4"]
    middle = data.index(b"\xff\x00", len(data) // 2)
    assert outcome(data[:middle] + b"\xff\xd0" + data[middle:]) == Code.IMAGE_DECODE


@pytest.mark.slow
def test_many_scans_are_refused() -> None:
    data = FILES["progressive"]
    start = data.index(b"\xff\xda")
    scan = data[start : data.index(b"\xff", start + 20)]
    assert outcome(data[:start] + scan * 5000 + data[start:]) is not None


mutations = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.one_of(st.binary(max_size=6), st.sampled_from([b"\xff\xda", b"\xff\xd8", b"\xff\xc4"])),
        st.integers(0, 8),
    ),
    min_size=1,
    max_size=4,
)


@given(kind=st.sampled_from(sorted(FILES)), changes=mutations)
@settings(max_examples=100, deadline=1000, suppress_health_check=[HealthCheck.too_slow])
def test_mutated_files_are_edited_or_refused(
    kind: str, changes: list[tuple[float, bytes, int]]
) -> None:
    """Whatever bytes are replaced, inserted or cut: a proven edit or a `SampleError`, soon."""
    outcome(mutated(kind, changes))


@pytest.mark.slow
@given(kind=st.sampled_from(sorted(FILES)), changes=mutations)
@settings(max_examples=400, deadline=1000, suppress_health_check=[HealthCheck.too_slow])
def test_many_mutated_files_are_edited_or_refused(
    kind: str, changes: list[tuple[float, bytes, int]]
) -> None:
    outcome(mutated(kind, changes))


def mutated(kind: str, changes: list[tuple[float, bytes, int]]) -> bytes:
    data = FILES[kind]
    for where, put, cut in changes:
        at = int(where * len(data))
        data = data[:at] + put + data[at + cut :]
    return data


@given(data=st.binary(max_size=300))
@settings(max_examples=100, deadline=500)
def test_random_bytes_are_refused(data: bytes) -> None:
    assert outcome(data) is not None
    assert outcome(b"\xff\xd8" + data) is not None


@pytest.mark.slow
def test_boxes_of_any_kind() -> None:
    data = FILES["4:2:0"]
    for box in (
        (-1e6, -1e6, 1e6, 1e6),
        (-50, -50, 3, 3),
        (172.9, 140.9, 173, 141),
        (5, 5, 5.1, 5.1),
    ):
        jpeg.edit(data, [box], Fill(), max_pixels=MAX_PIXELS)
    many = [
        (float(x), float(y), x + 6.0, y + 7.0) for x in range(0, 170, 9) for y in range(0, 140, 9)
    ]
    jpeg.edit(data, many, Gaussian(), max_pixels=MAX_PIXELS)
