"""Decoding of every family, against its published formula written out cell by cell."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from sfumato.detection.detectors.families import FAMILIES, Family
from sfumato.detection.detectors.families.blazeface import BlazeFace
from sfumato.detection.detectors.families.retinaface import RetinaFace
from sfumato.detection.detectors.families.scrfd import Scrfd
from sfumato.detection.detectors.families.yoloface import YoloFace
from sfumato.detection.detectors.session import Tensor

PADDED = (64, 96)  # height, width
Found = list[tuple[float, tuple[float, float, float, float]]]  # score, box


def random(*shape: int, low: float = 0.0, high: float = 1.0, seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed + sum(shape))
    return rng.uniform(low, high, shape).astype(np.float32)


def cells(stride: int) -> Iterator[tuple[int, int]]:
    """Columns and rows of a grid over `PADDED`, row by row."""
    for row, column in itertools.product(range(PADDED[0] // stride), range(PADDED[1] // stride)):
        yield column, row


def agree(family: Family, outputs: list[Tensor], expected: Found, threshold: float) -> None:
    boxes, scores = family.decode(outputs, PADDED, threshold)
    kept = [(score, box) for score, box in expected if score >= threshold]
    assert 0 < len(kept) < len(expected)
    assert boxes.dtype == scores.dtype == np.float32
    np.testing.assert_allclose(scores, [score for score, _ in kept], rtol=1e-5)
    np.testing.assert_allclose(boxes, [box for _, box in kept], rtol=1e-4, atol=1e-3)


def test_scrfd_measures_distances_from_the_corner_of_a_cell() -> None:
    family = Scrfd()
    counts = [2 * len(list(cells(stride))) for stride in (8, 16, 32)]
    scores = [random(n, 1, seed=1) for n in counts]
    distances = [random(n, 4, high=5, seed=2) for n in counts]
    expected: Found = []
    for grid, stride in enumerate((8, 16, 32)):
        anchors = [cell for cell in cells(stride) for _ in range(2)]
        for i, (column, row) in enumerate(anchors):
            left, top, right, bottom = (float(d) * stride for d in distances[grid][i])
            x, y = column * stride, row * stride
            box = (x - left, y - top, x + right, y + bottom)
            expected.append((float(scores[grid][i, 0]), box))
    agree(family, [*scores, *distances], expected, 0.6)
    batched = [output[None] for output in (*scores, *distances)]
    agree(family, batched, expected, 0.6)


def test_retinaface_moves_and_stretches_its_priors() -> None:
    sizes = {8: (16, 32), 16: (64, 128), 32: (256, 512)}
    # As in PriorBox: centres and sides relative to the image.
    priors = [
        ((column + 0.5) * s / 96, (row + 0.5) * s / 64, size / 96, size / 64)
        for s in sizes
        for column, row in cells(s)
        for size in sizes[s]
    ]
    loc = random(1, len(priors), 4, low=-2, high=2)
    conf = random(1, len(priors), 2)
    expected: Found = []
    for i, (cx, cy, width, height) in enumerate(priors):
        l0, l1, l2, l3 = (float(value) for value in loc[0, i])
        x, y = cx + l0 * 0.1 * width, cy + l1 * 0.1 * height
        w, h = width * math.exp(l2 * 0.2), height * math.exp(l3 * 0.2)
        corners = ((x - w / 2) * 96, (y - h / 2) * 64, (x + w / 2) * 96, (y + h / 2) * 64)
        expected.append((float(conf[0, i, 1]), corners))
    agree(RetinaFace(), [loc, conf], expected, 0.5)


@pytest.mark.parametrize(
    ("width", "places", "columns"), [(16, (4, 15), False), (5, (4,), True), (20, (4,), True)]
)
def test_yolo_rows_are_finished_boxes(width: int, places: tuple[int, ...], columns: bool) -> None:
    table = random(1, 40, width, high=1.0)
    table[..., :4] *= 60
    expected: Found = []
    for row in table[0].tolist():
        x, y, w, h = row[:4]
        score = math.prod(row[place] for place in places)
        expected.append((score, (x - w / 2, y - h / 2, x + w / 2, y + h / 2)))
    given = table.transpose(0, 2, 1) if columns else table
    agree(YoloFace(scores=places, columns=columns), [given], expected, 0.4)


@pytest.mark.parametrize(
    ("name", "grids"),
    [("short", {8: 2, 16: 6}), ("back", {16: 2, 32: 6}), ("full", {4: 1})],
)
@pytest.mark.parametrize("joined", [False, True])
def test_blazeface_counts_from_the_centres_of_cells(
    name: str, grids: dict[int, int], joined: bool
) -> None:
    scores, boxes, expected = [], [], []
    for cell, anchors in grids.items():
        centres = [place for place in cells(cell) for _ in range(anchors)]
        raw = random(1, len(centres), 1, low=-150, high=150, seed=cell)
        shape = random(1, len(centres), 16, low=1, high=30, seed=cell)
        for i, (column, row) in enumerate(centres):
            x = (column + 0.5) * cell + float(shape[0, i, 0])
            y = (row + 0.5) * cell + float(shape[0, i, 1])
            w, h = float(shape[0, i, 2]), float(shape[0, i, 3])
            score = 1 / (1 + math.exp(-min(100.0, max(-100.0, float(raw[0, i, 0])))))
            expected.append((score, (x - w / 2, y - h / 2, x + w / 2, y + h / 2)))
        scores.append(raw)
        boxes.append(shape)
    if joined:
        scores, boxes = [np.concatenate(scores, axis=1)], [np.concatenate(boxes, axis=1)]
    agree(BlazeFace(range=name, joined=joined), [*scores, *boxes], expected, 0.7)


def test_yunet_counts_cells_that_reach_beyond_the_edge() -> None:
    """52 pixels are 6.5 cells of 8: such a network has 7 columns, so cell 8 is (1, 1)."""
    counts = [5 * 7, 3 * 4, 2 * 2]
    outputs = [np.zeros((1, n, width), dtype=np.float32) for width in (1, 1, 4) for n in counts]
    outputs[0][0, 8], outputs[3][0, 8] = 1, 1
    boxes, scores = FAMILIES["yunet"]().decode(outputs, (40, 52), 0.5)
    assert scores.tolist() == [1.0]
    assert boxes.tolist() == [[4.0, 4.0, 12.0, 12.0]]


def right(name: str) -> tuple[Family, list[Tensor]]:
    """A family, and outputs for `PADDED` as it expects them."""
    family = FAMILIES[name]()
    small = {8: 96, 16: 24, 32: 6}
    shapes: dict[str, list[tuple[int, ...]]] = {
        "scrfd": [(2 * n, w) for w in (1, 4) for n in small.values()],
        "yunet": [(1, n, w) for w in (1, 1, 4) for n in small.values()],
        "centerface": [(1, n, 16, 24) for n in (1, 2, 2)],
        "retinaface": [(1, 252, 4), (1, 252, 2)],
        "yolo-face": [(1, 40, 5)],
        "blazeface": [(1, 48, 1), (1, 36, 1), (1, 48, 16), (1, 36, 16)],
    }
    return family, [np.zeros(shape, dtype=np.float32) for shape in shapes[name]]


def fewer_rows(output: NDArray[np.float32]) -> Tensor:
    return output[..., :-1, :]


def fewer_columns(output: NDArray[np.float32]) -> Tensor:
    return output[..., :-1]


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("spoil", [fewer_rows, fewer_columns])
def test_an_output_of_another_shape_is_named(name: str, spoil: Callable[[Tensor], Tensor]) -> None:
    family, outputs = right(name)
    family.decode(outputs, PADDED, 0.5)
    if name == "yolo-face" and spoil is fewer_rows:
        return  # any number of rows is right
    for place, role in enumerate(family.roles):
        spoilt = list(outputs)
        spoilt[place] = spoil(outputs[place])
        with pytest.raises(ValueError, match=rf"output for '{role}' has the shape"):
            family.decode(spoilt, PADDED, 0.5)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Scrfd(strides=()),
        lambda: Scrfd(anchors=0),
        lambda: Scrfd(overlap=1.0),
        lambda: RetinaFace(sizes=(16, 32, 64)[:2]),
        lambda: RetinaFace(variances=(0.1,)),
        lambda: YoloFace(scores=(3,)),
        lambda: YoloFace(scores=()),
        lambda: BlazeFace(range="long"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make: Callable[[], Family]) -> None:
    with pytest.raises(ValueError, match="must"):
        make()
