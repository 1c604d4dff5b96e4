"""Only the blocks under the boxes change: proven with jpeglib as an independent reader."""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sfumato.errors import SampleError
from sfumato.imaging import jpeg
from sfumato.imaging.jpeg._tables import respell
from sfumato.imaging.jpeg.editing import _Grid, reachable
from sfumato.imaging.jpeg.header import ZIGZAG, Component, Frame
from sfumato.imaging.jpeg.huffman import codes, extended
from sfumato.imaging.jpeg.image import Coefficients, JpegImage, read
from sfumato.imaging.jpeg.independent import compare
from sfumato.imaging.jpeg.proof import Flags, check
from sfumato.imaging.jpeg.writing import recoded, spliced
from sfumato.obfuscation import Fill, Gaussian, ImageNet, Pixelate
from sfumato.types import Box, Obfuscator, Pixels
from tests.jpeg_images import FACE, KINDS, MAX_PIXELS, STRICT, coefficients, pixels, saved
from tests.variants import first_word, one_of_each


def edit(data: bytes, *boxes: Box, method: Obfuscator = Gaussian()) -> jpeg.Edit:  # noqa: B008
    return jpeg.edit(data, boxes, method, max_pixels=MAX_PIXELS)


def assert_only_touched_differ(before: bytes, result: jpeg.Edit) -> None:
    """Compare by jpeglib's reading: tables equal, no coefficient differs outside the masks."""
    old, old_tables = coefficients(before)
    new, new_tables = coefficients(result.data)
    assert np.array_equal(old_tables, new_tables)
    assert len(old) == len(new) == len(result.touched)
    for a, b, mask in zip(old, new, result.touched, strict=True):
        rows, columns = mask.shape
        shown_a, shown_b = a[:rows, :columns], b[:rows, :columns]
        assert shown_a.shape == shown_b.shape == (rows, columns, 64)
        assert not (shown_a != shown_b).any(axis=2)[~mask].any()
    assert any((a != b).any() for a, b in zip(old, new, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_without_boxes_the_bytes_stay(kind: str) -> None:
    data = KINDS[kind]()
    result = edit(data)
    assert result.data == data
    assert result.method == "identical"
    assert not any(mask.any() for mask in result.touched)


@pytest.mark.parametrize("kind", KINDS)
def test_no_coefficient_changes_outside_the_touched_blocks(kind: str) -> None:
    data = KINDS[kind]()
    boxes = [(2.0, 30.0, 7.0, 60.0)] if kind == "one MCU wide" else [FACE, (150, 120, 180, 150)]
    result = edit(data, *boxes)
    assert_only_touched_differ(data, result)
    assert result.method == ("recoded" if "progressive" in kind else result.method)


@pytest.mark.parametrize("kind", STRICT)
def test_pixels_outside_the_reach_are_identical(kind: str) -> None:
    data = KINDS[kind]()
    before, after = pixels(data), pixels(edit(data, FACE).data)
    changed = np.argwhere((before != after).reshape(*before.shape[:2], -1).any(axis=2))
    x0, y0, x1, y1 = Gaussian().reaches([FACE])[0]
    low, high = changed.min(axis=0), changed.max(axis=0)
    assert (low >= (y0 // 8 * 8, x0 // 8 * 8)).all()
    assert (high < (-(-y1 // 8) * 8, -(-x1 // 8) * 8)).all()


@pytest.mark.parametrize("kind", ["4:2:0", "4:2:2", "4:4:0", "4:1:1"])
def test_subsampled_pixels_change_at_most_one_chroma_sample_further(kind: str) -> None:
    data = KINDS[kind]()
    result = edit(data, FACE)
    before, after = pixels(data), pixels(result.data)
    changed = (before != after).any(axis=2)
    allowed = np.zeros_like(changed)
    for mask, component in zip(
        result.touched, jpeg.inspect(data, max_pixels=MAX_PIXELS).components, strict=True
    ):
        factors = jpeg.inspect(data, max_pixels=MAX_PIXELS).components
        down = 8 * max(c.v for c in factors) // component.v
        across = 8 * max(c.h for c in factors) // component.h
        for row, column in np.argwhere(mask):
            # Decoders interpolate chroma: one more pixel on each side.
            top, left = max(row * down - 1, 0), max(column * across - 1, 0)
            allowed[top : (row + 1) * down + 1, left : (column + 1) * across + 1] = True
    assert not (changed & ~allowed).any()


@pytest.mark.parametrize("kind", one_of_each(KINDS, first_word))
def test_the_face_is_really_covered(kind: str) -> None:
    """A fill leaves no structure in the middle of the box, in any component."""
    data = KINDS[kind]()
    box = (0.0, 30.0, 9.0, 100.0) if kind == "one MCU wide" else FACE
    after = pixels(edit(data, box, method=Fill()).data).astype(int)
    x0, y0, x1, y1 = (int(side) for side in box)
    inside = after[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2].reshape(-1, after[0, 0].size)
    assert (inside.max(axis=0) - inside.min(axis=0) <= 12).all()


@pytest.mark.parametrize("method", [Gaussian(), Pixelate(), Fill(), ImageNet()])
def test_the_result_is_that_of_the_method_on_the_planes(method: Obfuscator) -> None:
    """A grey file at high quality decodes to what the method makes of its pixels."""
    data = saved("L", quality=100)
    boxes = [FACE, (100.0, 60.0, 140.0, 120.0)]
    wanted = method(pixels(data)[:, :, None], boxes)[:, :, 0]
    got = pixels(edit(data, *boxes, method=method).data)
    assert np.abs(got.astype(int) - wanted.astype(int)).max() <= 2


def frame(*factors: tuple[int, int]) -> Frame:
    """Return the frame of an image of 64 by 48 with components of these factors, across first."""
    return Frame("baseline", 64, 48, tuple(Component(n, *two, 0) for n, two in enumerate(factors)))


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ((9.0, 10.0, 23.0, 33.0), (1, 5), (1, 3)),
        ((8.0, 8.0, 24.0, 32.0), (1, 4), (1, 3)),
        ((-20.0, -9.0, 5.0, 5.0), (0, 1), (0, 1)),
        ((50.0, 41.0, 99.0, 99.0), (5, 6), (6, 8)),
        ((-9.0, -9.0, 99.0, 99.0), (0, 6), (0, 8)),
    ],
)
def test_an_edit_may_touch_the_blocks_under_its_reach(
    box: Box, rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    exact = Fill(expand=0, feather=0)
    expected = np.zeros((6, 8), dtype=np.bool_)
    expected[slice(*rows), slice(*columns)] = True
    wide = frame((2, 2), (1, 2), (2, 1))
    assert np.array_equal(reachable(wide, 0, [box], exact), expected)
    # Half as wide, half as high: a block lies under two.
    assert np.array_equal(reachable(wide, 1, [box], exact), expected[:, ::2] | expected[:, 1::2])
    assert np.array_equal(reachable(wide, 2, [box], exact), expected[::2] | expected[1::2])
    expected[0, 0] = True
    assert np.array_equal(reachable(wide, 0, [box, (1.0, 1.0, 7.0, 7.0)], exact), expected)


@pytest.mark.parametrize(
    ("factors", "scale", "repeats"),
    [
        ([(1, 1)], (1, 1), (1, 1)),
        ([(2, 2), (1, 2)], (1, 1), (2, 1)),  # 4:2:2, as some cameras say it
        ([(2, 2), (2, 1)], (1, 1), (1, 2)),
        ([(4, 2), (1, 2)], (1, 1), (4, 1)),
        ([(4, 2), (2, 1)], (0.5, 0.5), (1, 1)),
        ([(3, 2), (2, 2)], (2 / 3, 1), (1, 1)),  # no whole ratio
        ([(3, 4), (2, 1)], (2 / 3, 1 / 4), (1, 1)),
    ],
)
def test_samples_are_repeated_so_that_a_face_keeps_its_shape(
    factors: list[tuple[int, int]], scale: tuple[float, float], repeats: tuple[int, int]
) -> None:
    grid = _Grid.of(frame(*factors), len(factors) - 1)
    assert (grid.scale_x, grid.scale_y) == pytest.approx(scale)
    assert (grid.repeat_x, grid.repeat_y) == repeats


def test_strength_is_alike_in_subsampled_planes() -> None:
    """4:2:2 halves only the width of chroma: the blur must not become an ellipse."""
    data = KINDS["4:2:2"]()
    seen: list[tuple[tuple[int, ...], list[Box]]] = []

    class Spy(Gaussian):
        def __call__(self, image: Pixels, boxes: Sequence[Box]) -> Pixels:
            seen.append((image.shape, list(boxes)))
            return Gaussian()(image, boxes)

    edit(data, FACE, method=Spy())
    shapes = {
        tuple(round(b[2] - b[0]) for b in boxes) + tuple(round(b[3] - b[1]) for b in boxes)
        for _, boxes in seen
    }
    assert shapes == {(60, 75)}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("one MCU wide", "q10")])
@pytest.mark.parametrize(
    "colour",
    [
        (200, 30, 60),
        pytest.param((255, 255, 255), marks=pytest.mark.slow),
        pytest.param((124, 116, 104), marks=pytest.mark.slow),
    ],
)
def test_fill_with_a_colour(kind: str, colour: tuple[int, int, int]) -> None:
    data = KINDS[kind]()
    values = jpeg.component_values(jpeg.inspect(data, max_pixels=MAX_PIXELS), colour)
    fills = [Fill(colour=(value,)) for value in values]
    result = jpeg.edit(data, [FACE], fills, max_pixels=MAX_PIXELS)
    shown = Image.open(io.BytesIO(result.data))
    if shown.mode == "L":
        colour = (values[0], values[0], values[0])
    after = np.asarray(shown.convert("RGB")).astype(int)
    assert np.abs(after[45:95, 65:100] - colour).max() <= 8


def plane_of(image: JpegImage, index: int) -> NDArray[np.int16]:
    """Return a component's coefficients, padding included: (rows, columns, 8, 8)."""
    numbers = image.header.frame.numbers(index)
    flat = image.coefficients[numbers[0, 0] : numbers[-1, -1] + 1]
    blocks = np.empty_like(flat)
    blocks[:, ZIGZAG] = flat
    return blocks.reshape(*numbers.shape, 8, 8)


@pytest.mark.parametrize("kind", KINDS)
def test_coefficients_are_those_that_jpeglib_reads(kind: str) -> None:
    data = KINDS[kind]()
    image = read(data, max_pixels=MAX_PIXELS)
    for index, plane in enumerate(coefficients(data)[0]):
        rows, columns = image.header.frame.blocks(index)
        ours = plane_of(image, index)[:rows, :columns].reshape(rows, columns, 64)
        assert np.array_equal(ours, plane[:rows, :columns])


@pytest.mark.parametrize("kind", one_of_each(KINDS, first_word))
@pytest.mark.parametrize("method", one_of_each([Gaussian(), ImageNet()], lambda method: "any"))
def test_the_second_opinion_agrees(kind: str, method: Obfuscator) -> None:
    data = KINDS[kind]()
    boxes = [(2.0, 30.0, 7.0, 60.0)] if kind == "one MCU wide" else [FACE, (150, 120, 171, 139)]
    result = edit(data, *boxes, method=method)
    found = compare(data, result.data, boxes, method, max_pixels=MAX_PIXELS)
    assert not found.tables_differ
    assert not found.sampling_differs
    assert not found.blocks_outside
    assert found.blocks_in_reach > 0
    other = edit(data, (0.0, 0.0, 30.0, 30.0), method=Fill())
    wrong = compare(data, other.data, boxes, method, max_pixels=MAX_PIXELS)
    assert kind == "one MCU wide" or wrong.blocks_outside


@pytest.mark.parametrize(
    "box", [(500.0, 500.0, 520.0, 530.0), (173.0, 30.0, 220.0, 90.0), (30.0, 141.0, 90.0, 220.0)]
)
def test_box_outside_the_image_strips_and_changes_no_block(box: Box) -> None:
    """Also where the last sample of a subsampled plane reaches beyond the image."""
    data = saved(quality=85, comment=b"hello")
    result = edit(data, box)
    assert not any(mask.any() for mask in result.touched)
    assert b"hello" not in result.data
    assert np.array_equal(pixels(result.data), pixels(data))


def test_padding_blocks_beside_a_touched_block_keep_nothing() -> None:
    """The last MCU column of a 4:2:0 file has a column of blocks that no decoder shows."""
    data = saved(quality=95, subsampling=2, size=(136, 136))  # 17 blocks: one of padding
    result = edit(data, (100.0, 40.0, 136.0, 90.0))
    assert_only_touched_differ(data, result)
    image = read(result.data, max_pixels=MAX_PIXELS)
    padding = plane_of(image, 0)[:, 17]
    touched = np.append(result.touched[0][:, 16], False)
    assert touched.any()
    assert not padding.reshape(-1, 64)[touched][:, 1:].any()


def with_frame(data: bytes, *, side: int | None = None, sampling: int | None = None) -> bytes:
    """Return a file whose frame header says another size, or sampling of its first component."""
    at = next(n for m in (0xC0, 0xC2) if (n := data.find(bytes((0xFF, m, 0)))) >= 0)
    head = bytearray(data[at : at + 12])
    if side is not None:
        head[5:9] = side.to_bytes(2, "big") * 2
    if sampling is not None:
        head[11] = sampling
    return data[:at] + bytes(head) + data[at + 12 :]


@pytest.mark.parametrize("progressive", [False, True])
def test_padding_in_which_the_face_goes_on_is_made_flat(progressive: bool) -> None:
    """A column and a row of padding, where the image goes on as some encoders write it."""
    side = 136 if progressive else 144
    data = saved(quality=95, subsampling=2, size=(side, side), progressive=progressive)
    data = with_frame(data, side=136)
    result = edit(data, (100.0, 100.0, 136.0, 136.0))
    before, after = (
        plane_of(read(one, max_pixels=MAX_PIXELS), 0).reshape(18, 18, 64)
        for one in (data, result.data)
    )
    (mask, *_) = result.touched
    assert mask.shape == (17, 17)
    mask = np.pad(mask, (0, 1), mode="edge")
    assert mask[17].any()
    assert mask[:, 17].any()
    assert not mask[:, 17].all()
    beside = np.pad(after[:17, :17, 0], (0, 1), mode="edge")
    padding = np.ones((18, 18), dtype=np.bool_)
    padding[:17, :17] = False
    assert not after[mask & padding][:, 1:].any()
    assert np.array_equal(after[mask & padding][:, 0], beside[mask & padding])
    assert np.array_equal(after[~mask & padding], before[~mask & padding])
    assert (after != before)[mask & padding].any()


def test_a_scan_of_one_component_has_no_padding_whatever_its_sampling_says() -> None:
    data = saved("L", quality=90, size=(136, 136))
    corner = (100.0, 100.0, 136.0, 136.0)
    result = edit(with_frame(data, sampling=0x22), corner)
    assert result.data == with_frame(edit(data, corner).data, sampling=0x22)


@pytest.mark.parametrize("options", [["-arithmetic"], ["-scans"], ["-restart", "3"]])
def test_files_by_jpegtran(options: list[str], tmp_path: Path) -> None:
    if shutil.which("jpegtran") is None:
        pytest.skip("jpegtran is not installed")
    if options == ["-scans"]:
        (tmp_path / "scans").write_text("0;\n1;\n2;\n")
        options = ["-scans", str(tmp_path / "scans")]
    (tmp_path / "a.jpg").write_bytes(KINDS["4:2:0"]())
    run = subprocess.run(
        ["jpegtran", *options, tmp_path / "a.jpg"], capture_output=True, check=True
    )
    if options == ["-arithmetic"]:
        with pytest.raises(SampleError, match=r"IMAGE_UNSUPPORTED.*arithmetic"):
            edit(run.stdout, FACE)
        return
    assert edit(run.stdout).data == run.stdout
    assert_only_touched_differ(run.stdout, edit(run.stdout, FACE))


@pytest.mark.parametrize("kind", ["4:4:4", "4:2:0", "4:2:0 optimised", "grey", "progressive"])
def test_size_stays(kind: str) -> None:
    data = KINDS[kind]()
    assert len(edit(data, (60.0, 40.0, 80.0, 62.0)).data) <= 1.1 * len(data)


class Noise:
    """What no image's own Huffman tables are made for."""

    def __call__(self, image: Pixels, boxes: Sequence[Box]) -> Pixels:
        result = image.copy()
        for x0, y0, x1, y1 in boxes:
            part = result[int(y0) : int(y1), int(x0) : int(x1)]
            part[:] = np.random.default_rng(1).integers(0, 255, part.shape, dtype=np.uint8)
        return result

    def reaches(self, boxes: Sequence[Box]) -> list[Box]:
        return list(boxes)


def test_tables_that_lack_a_code_get_it_behind_their_last() -> None:
    """A flat image's own tables have few codes and much room; what is painted needs more."""
    image = Image.new("L", (200, 200), 90)
    stream = io.BytesIO()
    image.save(stream, "JPEG", optimize=True, quality=90)
    data = stream.getvalue()
    result = edit(data, (64.0, 64.0, 128.0, 128.0), method=Noise())
    assert result.method == "spliced"
    assert_only_touched_differ(data, result)
    old, new = (
        read(d, max_pixels=MAX_PIXELS).header.scans[0].ac_tables[0] for d in (data, result.data)
    )
    assert len(new) > len(old)
    before, after = codes(old), codes(new)
    assert np.array_equal(after.codes[before.lengths > 0], before.codes[before.lengths > 0])


def full_tables() -> bytes:
    """Return a file whose AC table is full: values of very unlike frequency."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[0:800, 0:800]
    plane = 120 + 60 * np.sin(x / 90) * np.cos(y / 70)
    plane[:40] += rng.normal(0, 60, (40, 800))
    plane[40:200] += rng.normal(0, 6, (160, 800))
    stream = io.BytesIO()
    image = Image.fromarray(np.clip(plane, 0, 255).astype(np.uint8))
    image.save(stream, "JPEG", quality=92, optimize=True)
    return stream.getvalue()


def ac_table(data: bytes) -> bytes:
    """Return the first component's table as the file stores it."""
    return read(data, max_pixels=MAX_PIXELS).header.scans[0].ac_tables[0]


class Wave(Noise):
    """One frequency alone: a run of zeros, and behind it a number of this size."""

    def __init__(self, amplitude: float, down: int, across: int) -> None:
        self.amplitude, self.down, self.across = amplitude, down, across

    def __call__(self, image: Pixels, boxes: Sequence[Box]) -> Pixels:
        result = image.copy()
        for x0, y0, x1, y1 in boxes:
            y, x = np.mgrid[0 : int(y1 - y0), 0 : int(x1 - x0)]
            along = np.cos((2 * x + 1) * self.across * np.pi / 16)
            wave = along * np.cos((2 * y + 1) * self.down * np.pi / 16)
            result[int(y0) : int(y1), int(x0) : int(x1), 0] = 127 + self.amplitude * wave
        return result


@pytest.mark.parametrize(
    ("wave", "method"), [(Wave(9, 5, 5), "spliced"), (Wave(127, 0, 1), "recoded")]
)
def test_where_tables_are_full(wave: Wave, method: str) -> None:
    """Some coefficients are respelled by one step; where that isn't enough, all are recoded."""
    data = full_tables()
    assert extended(ac_table(data), [0xEA]) is None
    box = (304.0, 304.0, 360.0, 360.0)
    result = edit(data, box, method=wave)
    assert result.method == method
    assert_only_touched_differ(data, result)
    assert (ac_table(result.data) == ac_table(data)) == (method == "spliced")
    wanted = wave(pixels(data)[:, :, None], [box])[304:360, 304:360, 0]
    shown = pixels(result.data)[304:360, 304:360]
    assert np.abs(shown.astype(int) - wanted).max() <= 6


@pytest.mark.parametrize("seed", range(20))
def test_respelling_needs_only_codes_that_are_there_and_changes_one_step(seed: int) -> None:
    rng = np.random.default_rng(seed)
    blocks = np.where(rng.random((30, 64)) < 0.12, rng.integers(-9, 10, (30, 64)), 0)
    before = blocks.astype(np.int16)
    lengths = (rng.random(256) < 0.75).astype(np.uint8)
    after = before.copy()
    possible = respell(after, np.arange(30, dtype=np.int32), lengths)
    assert (np.abs(after.astype(int) - before) <= 2).all()
    if possible:
        assert lengths[list(symbols_of(after))].all()
        assert (np.abs(after.astype(int) - before) == 2).sum() <= (np.abs(before) == 2).sum()
    lengths[:] = 1
    untouched = before.copy()
    assert respell(untouched, np.arange(30, dtype=np.int32), lengths)
    assert np.array_equal(untouched, before)


def symbols_of(blocks: Coefficients) -> set[int]:
    """Return the AC symbols of some blocks (T.81 F.1.2.2), straight from the text."""
    found: set[int] = set()
    for block in blocks.tolist():
        zeros = 0
        for value in block[1:]:
            if value == 0:
                zeros += 1
                continue
            found |= {0xF0} if zeros > 15 else set()
            found.add((zeros % 16) << 4 | abs(value).bit_length())
            zeros = 0
        found |= {0} if zeros else set()
    return found


def test_proof_fails_on_a_changed_coefficient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that damages a block outside the mask is caught before anything is returned."""
    for kind in ("4:4:4", "progressive"):
        data = KINDS[kind]()
        real = recoded if kind == "progressive" else spliced

        def damaged(
            image: JpegImage, coefficients: Coefficients, *touched: Flags, real: Any = real
        ) -> object:
            coefficients = coefficients.copy()
            coefficients[0, 1] += 1
            flags = [np.ones_like(flag) for flag in touched]
            return real(image, coefficients, *flags)

        name = "recoded" if kind == "progressive" else "spliced"
        with monkeypatch.context() as patch:
            patch.setattr(f"sfumato.imaging.jpeg.{name}", damaged)
            with pytest.raises(SampleError, match="IMAGE_ENCODE"):
                edit(data, FACE)


def test_every_single_bit_of_an_edited_file_is_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flip bits of the written scan: the proof must refuse each file, or it decodes the same."""
    data = KINDS["4:2:0"]()
    result = edit(data, FACE)
    image = read(data, max_pixels=MAX_PIXELS)
    intended = read(result.data, max_pixels=MAX_PIXELS).coefficients
    touched = (intended != image.coefficients).any(axis=1)
    check(result.data, image, intended, touched)
    start = result.data.index(b"\xff\xda") + 14
    rng = np.random.default_rng(0)
    for at in rng.integers(start, len(result.data) - 3, 60):
        flipped = bytearray(result.data)
        flipped[at] ^= 1 << int(rng.integers(8))
        with pytest.raises(SampleError):
            check(bytes(flipped), image, intended, touched)
