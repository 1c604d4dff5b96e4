"""Boxes: how much they share, what of them lies inside an image, and where they lie in a file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from sfumato.boxes import (
    MOST_BOXES,
    apart,
    area,
    as_boxes,
    clip,
    covered,
    grow,
    hulls,
    inside_share,
    iou,
    longer_side,
    misplaced,
    suppress,
    to_stored,
    too_many,
    union,
    upright_size,
)
from sfumato.types import Box, Face


def drawn_by_lot(rng: np.random.Generator, count: int) -> list[Box]:
    corners, sides = rng.integers(-4, 24, (count, 2)), rng.integers(1, 13, (count, 2))
    return [(x, y, x + w, y + h) for x, y, w, h in np.hstack([corners, sides]).tolist()]


@dataclass(frozen=True)
class Drawn:
    """A plane of 40 by 40 pixels, from -8 on, that counts what a box holds of it."""

    pixels: NDArray[np.bool_]

    @classmethod
    def of(cls, *boxes: Box) -> Drawn:
        pixels = np.zeros((40, 40), dtype=np.bool_)
        for box in boxes:
            x0, y0, x1, y1 = (int(side) + 8 for side in box)
            pixels[y0:y1, x0:x1] = True
        return cls(pixels)

    def __and__(self, other: Drawn) -> int:
        return int((self.pixels & other.pixels).sum())

    def __or__(self, other: Drawn) -> int:
        return int((self.pixels | other.pixels).sum())


def test_boxes_become_an_array_of_four_columns() -> None:
    assert as_boxes([]).shape == (0, 4)
    made = as_boxes([(1, 2, 3, 4), (0.5, 1, 2, 8)])
    assert made.dtype == np.float32
    assert made.tolist() == [[1, 2, 3, 4], [0.5, 1, 2, 8]]


def test_an_area_is_width_times_height_and_none_is_negative() -> None:
    boxes = as_boxes([(1, 2, 4, 7), (0, 0, 0.5, 0.5), (5, 5, 5, 9), (4, 7, 1, 2), (4, 2, 1, 7)])
    assert area(boxes).tolist() == [15, 0.25, 0, 0, 0]


def test_an_overlap_is_what_counting_pixels_gives() -> None:
    rng = np.random.default_rng(0)
    some, others = drawn_by_lot(rng, 12), drawn_by_lot(rng, 15)
    expected = [[(Drawn.of(a) & Drawn.of(b)) / (Drawn.of(a) | Drawn.of(b)) for b in others]
                for a in some]  # fmt: skip
    found = iou(as_boxes(some), as_boxes(others))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert iou(as_boxes([]), as_boxes(others)).shape == (0, 15)
    assert iou(as_boxes(some), as_boxes([])).shape == (12, 0)


def test_boxes_without_an_area_share_nothing() -> None:
    empty, inverted = (3.0, 3.0, 3.0, 3.0), (9.0, 9.0, 1.0, 1.0)
    boxes = as_boxes([empty, inverted, (0, 0, 10, 10)])
    assert iou(boxes, boxes).tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 1]]


def test_a_hull_holds_both_and_no_more() -> None:
    a, b = as_boxes([(1, 7, 5, 8), (3, 6, 9, 11)]), as_boxes([(3, 5, 4, 9), (2, 8, 5, 15)])
    assert hulls(a, b).tolist() == [[1, 5, 5, 9], [2, 6, 9, 15]]
    assert hulls(b, a).tolist() == hulls(a, b).tolist()


def test_a_box_grows_by_its_own_width_and_height_on_each_side() -> None:
    assert grow((10, 20, 14, 40), 0.25) == (9, 15, 15, 45)
    assert longer_side((10, 20, 14, 40)) == 20
    assert longer_side((20, 10, 40, 14)) == 20


def test_what_lies_outside_an_image_is_cut_off() -> None:
    assert clip((-3, -4, 12, 31), 10, 30) == (0, 0, 10, 30)
    assert clip((1, 2, 3, 4), 10, 30) == (1, 2, 3, 4)
    assert clip((9.5, 29.5, 99, 99), 10, 30) == (9.5, 29.5, 10, 30)
    for outside in ((10, 0, 12, 9), (0, 30, 9, 31), (-2, 1, 0, 9), (1, -2, 9, 0), (3, 3, 3, 9)):
        assert clip(outside, 10, 30) is None
        assert inside_share(outside, 10, 30) == 0


def test_the_share_inside_is_that_of_the_area() -> None:
    assert inside_share((-1, -1, 1, 3), 10, 10) == pytest.approx(0.5 * 0.75)
    assert inside_share((8, 8, 16, 12), 10, 10) == pytest.approx(0.25 * 0.5)
    assert inside_share((2, 3, 4, 9), 10, 10) == 1
    # Areas that no float holds.
    assert inside_share((-1e200, 0, 1e200, 1e200), 10, 10) == 0
    assert inside_share((0, 0, 1e-200, 1e-200), 10, 10) == 1


def test_a_box_is_believed_if_half_of_it_lies_inside() -> None:
    assert misplaced((-5, 0, 5, 10), 20, 30) == ""
    assert misplaced((2, 3, 4, 5), 20, 30) == ""
    assert misplaced((-5.5, 0, 4.5, 10), 20, 30) == (
        "the box (-5.5, 0, 4.5, 10) lies only to 45 % inside the image of 20×30 pixels"
    )
    assert " 42 % " in misplaced((-115, 0, 85, 10), 200, 30)  # 42.5: half to even
    assert " 44 % " in misplaced((-113, 0, 87, 10), 200, 30)
    assert misplaced((20, 0, 30, 10), 20, 30) == (
        "the box (20, 0, 30, 10) lies outside the image of 20×30 pixels"
    )


def test_so_many_boxes_are_believed_and_no_more() -> None:
    assert MOST_BOXES == 2_000
    assert too_many(2_000) == ""
    assert too_many(2_001) == "2001 boxes, at most 2000 are covered"


def test_the_best_box_stays_and_those_that_share_more_than_the_limit_with_it_go() -> None:
    boxes = as_boxes([(0, 0, 10, 10), (0, 0, 10, 8), (0, 0, 10, 5), (20, 0, 30, 10), (0, 0, 10, 9)])
    scores = np.array([0.5, 0.9, 0.7, 0.1, 0.5], dtype=np.float32)
    assert suppress(boxes, scores, 0.65).tolist() == [1, 2, 3]
    assert suppress(boxes, scores, 0.625).tolist() == [1, 2, 3]  # 5 of 8: at most the limit
    assert suppress(boxes, scores, 0.6).tolist() == [1, 3]
    assert suppress(boxes, scores, 1.0).tolist() == [1, 2, 0, 4, 3]  # equal scores in order
    none = suppress(as_boxes([]), np.zeros(0, dtype=np.float32), 0.5)
    assert boxes[none].shape == (0, 4)


def test_equal_scores_keep_their_order_however_many_they_are() -> None:
    count = 200
    boxes = as_boxes([(20 * n, 0, 20 * n + 10, 10) for n in range(count)])
    scores = np.array([0.5 + 0.1 * (n % 2) for n in range(count)], dtype=np.float32)
    expected = [*range(1, count, 2), *range(0, count, 2)]
    assert suppress(boxes, scores, 0.5).tolist() == expected


def test_a_face_that_two_detectors_see_counts_once_and_what_one_sees_stays() -> None:
    first = [Face((0, 0, 10, 10), 0.5, "a"), Face((20, 0, 30, 10), 0.4, "a")]
    second = [Face((0, 0, 10, 9), 0.8, "b"), Face((40, 0, 50, 10), 0.6, "b")]
    assert union([first, second], 0.4) == [second[0], second[1], first[1]]
    assert union([], 0.4) == []
    # In single precision, in which detectors tell them, these scores are equal.
    same = [Face((0, 0, 10, 10), 0.5, "a"), Face((0, 0, 10, 9), 0.5 + 1e-9, "b")]
    assert union([same[:1], same[1:]], 0.4) == same[:1]


def test_faces_are_apart_from_others_that_share_at_most_the_limit() -> None:
    faces = [
        Face((0, 0, 10, 10), 1, "a"),
        Face((0, 0, 10, 5), 1, "a"),
        Face((30, 0, 40, 9), 1, "a"),
    ]
    others = [Face((90, 0, 99, 9), 1, "b"), Face((0, 0, 10, 10), 1, "b")]
    assert apart(faces, others, 0.5) == faces[1:]
    assert apart(faces, others, 0.49) == faces[2:]
    assert apart(faces, others, 1) == faces
    assert apart(faces, [], 0) == faces
    assert apart([], others, 0) == []


@pytest.mark.parametrize("seed", range(30))
def test_the_covered_share_is_what_counting_pixels_gives(seed: int) -> None:
    box, *covers = drawn_by_lot(np.random.default_rng(seed), 2 + seed % 6)
    inside = Drawn.of(box) & Drawn.of(*covers)
    assert covered(box, covers) == pytest.approx(inside / (Drawn.of(box) & Drawn.of(box)))


def test_a_box_that_is_covered_whole_is_so_to_the_last_bit() -> None:
    box = (1.1, 3.0, 8.9, 6.5)  # in two cells, the sum of which is a little less
    assert covered(box, [box]) == 1
    assert covered(box, [(0.0, 0.0, 7.7, 9.0), (7.7, 0.0, 9.0, 9.0)]) == 1
    assert covered(box, []) == 0


@pytest.mark.parametrize(
    ("box", "cover"),
    [
        ((0, 3, 10, 7), (2, 0, 20, 20)),
        ((0, 3, 10, 7), (-9, 0, 8, 20)),
        ((3, 0, 7, 10), (0, 2, 20, 20)),
        ((3, 0, 7, 10), (0, -9, 20, 8)),
    ],
)
def test_what_one_side_of_a_cover_leaves_out_counts(box: Box, cover: Box) -> None:
    assert covered(box, [cover]) == pytest.approx(0.8)


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_box_lies_in_the_file_where_its_pixels_are_stored(turn: int) -> None:
    width, height = 9, 5  # as stored
    size = upright_size(width, height, turn)
    assert size == ((9, 5) if turn < 5 else (5, 9))
    upright = Image.new("L", size)
    upright.paste(255, (2, 1, 5, 3))
    x0, y0, x1, y1 = (int(side) for side in to_stored((2, 1, 5, 3), turn, width, height))
    stored = Image.new("L", (width, height))
    stored.paste(255, (x0, y0, x1, y1))
    stored.getexif()[0x0112] = turn
    assert ImageOps.exif_transpose(stored).tobytes() == upright.tobytes()
