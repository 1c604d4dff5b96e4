"""What every obfuscator must do: a class of tests to inherit, with the obfuscator."""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sfumato.types import Box, Obfuscator, Pixels
from tests.textures import noise

WIDTH, HEIGHT = 140, 100
INSIDE = (60.0, 40.0, 80.0, 64.0)
# At each border and corner, overlapping each other, off the grid, tiny, larger than the image.
PLACES: dict[str, list[Box]] = {
    "inside": [INSIDE],
    "off the grid": [(60.3, 40.7, 81.1, 63.2)],
    "borders": [(-9.5, 30, 12, 55), (128, 30, 150, 55), (50, -12, 70, 8.25), (50, 92, 70, 115)],
    "corners": [(-10, -10, 12, 12), (128, 88, 150.5, 112)],
    "overlapping": [(30, 20, 70, 70), (60, 40, 76, 58), (64, 44, 68, 49), (66, 30, 110, 80)],
    "one inside another": [(50, 30, 90, 75), (62, 48, 72, 58)],
    "large beside small": [(20, 20, 84, 84), (96, 40, 104, 50)],
    "tiny": [(30.2, 30.2, 30.4, 30.4), (90, 50, 91, 51)],
    "larger than the image": [(-50, -50, 300, 300)],
}
OUTSIDE: list[Box] = [(-40, 5, -1, 30), (140, 5, 170, 30), (5, -40, 30, 0), (5, 101, 30, 140)]
_SAME = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.differing_executors]
)


@st.composite
def boxes(draw: st.DrawFn, width: int, height: int, *, count: int = 4) -> list[Box]:
    """Boxes of 0.2 to 60 px, some of which overhang an image of this size or lie outside."""
    found = []
    for _ in range(draw(st.integers(1, count))):
        x, y = draw(st.floats(-30, width + 10)), draw(st.floats(-30, height + 10))
        found.append((x, y, x + draw(st.floats(0.2, 60)), y + draw(st.floats(0.2, 60))))
    return found


def changed(before: Pixels, after: Pixels) -> NDArray[np.bool_]:
    """Return which pixels differ, (h, w)."""
    difference: NDArray[np.bool_] = (before != after).any(axis=2)
    return difference


def within(shape: tuple[int, ...], rectangles: Sequence[Box]) -> NDArray[np.bool_]:
    """Return which pixels lie in any of some rectangles of whole pixels, (h, w)."""
    mask = np.zeros(shape[:2], dtype=bool)
    for x0, y0, x1, y1 in rectangles:
        mask[max(int(y0), 0) : max(int(y1), 0), max(int(x0), 0) : max(int(x1), 0)] = True
    return mask


def an_image(channels: int = 3) -> Pixels:
    return noise(HEIGHT, WIDTH, channels, seed=3)


class ObfuscatorContract(ABC):
    """Inherit this and say how the obfuscator is made."""

    @abstractmethod
    def made(self) -> Obfuscator: ...

    @pytest.mark.parametrize("place", PLACES)
    @pytest.mark.parametrize("channels", [1, 2, 3, 4])
    def test_nothing_changes_but_within_the_reaches(self, channels: int, place: str) -> None:
        self.check_reaches(an_image(channels), PLACES[place])

    @pytest.mark.slow
    @given(data=st.data(), channels=st.integers(1, 4))
    @_SAME
    def test_nothing_changes_but_within_the_reaches_of_any_boxes(
        self, data: st.DataObject, channels: int
    ) -> None:
        self.check_reaches(noise(90, 120, channels, seed=4), data.draw(boxes(120, 90)))

    def check_reaches(self, before: Pixels, found: Sequence[Box]) -> None:
        kept, method = before.copy(), self.made()
        after = method(before, found)
        assert after.shape == before.shape
        assert after.dtype == np.uint8
        assert not np.shares_memory(after, before)
        assert np.array_equal(before, kept)
        assert not (changed(before, after) & ~within(before.shape, method.reaches(found))).any()

    @pytest.mark.parametrize("channels", [1, 2, 3, 4])
    def test_a_face_is_covered_in_every_channel(self, channels: int) -> None:
        """Of noise hardly any pixel may stay as it was."""
        before = an_image(channels)
        for box in (INSIDE, *PLACES["corners"], *PLACES["larger than the image"]):
            x0, y0, x1, y1 = (max(int(side), 0) for side in box)
            same = (before == self.made()(before, [box]))[y0:y1, x0:x1]
            assert same.mean(axis=(0, 1)).max() < 0.1

    def test_each_of_several_faces_is_covered(self) -> None:
        before = an_image()
        found = [*OUTSIDE, *PLACES["large beside small"], PLACES["borders"][1]]
        hidden = changed(before, self.made()(before, found))
        for box in found[len(OUTSIDE) :]:
            assert hidden[within(before.shape, [box])].mean() > 0.9

    @pytest.mark.parametrize("place", PLACES)
    def test_reaches_are_those_of_the_boxes_in_their_order(self, place: str) -> None:
        found, method = PLACES[place], self.made()
        reaches = method.reaches(found)
        assert len(reaches) == len(found)
        for box, reach in zip(found, reaches, strict=True):
            assert reach[0] <= box[0]
            assert reach[1] <= box[1]
            assert reach[2] >= box[2]
            assert reach[3] >= box[3]
        assert method.reaches(found[::-1]) == reaches[::-1]

    def test_without_a_box_nothing_changes(self) -> None:
        before = an_image()
        for found in ([], OUTSIDE):
            after = self.made()(before, found)
            assert np.array_equal(after, before)
            assert not np.shares_memory(after, before)
        assert self.made().reaches([]) == []
        assert len(self.made().reaches(OUTSIDE)) == len(OUTSIDE)

    def test_boxes_outside_the_image_leave_the_others_as_they_are(self) -> None:
        before, far = an_image(), (400.0, 400.0, 590.0, 590.0)
        alone = self.made()(before, [INSIDE])
        assert np.array_equal(self.made()(before, [far, INSIDE, *OUTSIDE]), alone)

    @pytest.mark.parametrize("place", ["overlapping", "one inside another", "corners"])
    def test_the_order_of_the_boxes_does_not_matter(self, place: str) -> None:
        before, method = an_image(), self.made()
        after = method(before, PLACES[place])
        for found in permutations(PLACES[place]):
            assert np.array_equal(method(before, found), after)

    @pytest.mark.slow
    @given(data=st.data())
    @_SAME
    def test_the_order_of_any_boxes_does_not_matter(self, data: st.DataObject) -> None:
        before, method = noise(80, 100, 3, seed=9), self.made()
        found = data.draw(boxes(100, 80))
        shuffled = data.draw(st.permutations(found))
        assert np.array_equal(method(before, found), method(before, shuffled))

    def test_the_same_image_gives_the_same(self) -> None:
        """Again, by another of its kind, in a worker, from a view that can't be written."""
        before, found = an_image(), PLACES["overlapping"]
        method = self.made()
        after = method(before, found)
        assert np.array_equal(method(before, found), after)
        assert np.array_equal(self.made()(before, found), after)
        worker: Obfuscator = pickle.loads(pickle.dumps(method))
        assert np.array_equal(worker(before, found), after)
        view = np.ascontiguousarray(before[::-1, ::-1])[::-1, ::-1]
        view.flags.writeable = False
        assert np.array_equal(method(view, found), after)

    @given(data=st.data(), channels=st.integers(1, 4))
    @_SAME
    def test_a_crop_that_holds_the_reaches_gives_the_same(
        self, data: st.DataObject, channels: int
    ) -> None:
        """JPEG files are edited in such crops; what reads beyond says so by `whole_image`."""
        method = self.made()
        if getattr(method, "whole_image", False):
            return
        whole = noise(150, 170, channels, seed=8)
        found = data.draw(boxes(170, 150, count=3))
        reaches = np.array(method.reaches(found))
        margins = [data.draw(st.integers(0, 20)) for _ in range(4)]
        left, top = (int(max(reaches[:, i].min() - margins[i], 0)) for i in (0, 1))
        right = int(min(reaches[:, 2].max() + margins[2], 170))
        bottom = int(min(reaches[:, 3].max() + margins[3], 150))
        if right <= left or bottom <= top:
            return
        moved = [(x0 - left, y0 - top, x1 - left, y1 - top) for x0, y0, x1, y1 in found]
        crop = whole[top:bottom, left:right]
        assert np.array_equal(method(crop, moved), method(whole, found)[top:bottom, left:right])
