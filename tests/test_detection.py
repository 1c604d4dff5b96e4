"""The stage that finds faces: profiles, the union of detectors, and what stays doubtful."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from sfumato.detection.detect import PROFILES, detect, specifications
from sfumato.detection.detectors import parse
from sfumato.detection.detectors.finder import PLANS
from sfumato.imaging import codec
from sfumato.imaging.codec import DecodedImage
from sfumato.types import Box, Face, Pixels, Sample

A: Box = (10.0, 10.0, 30.0, 30.0)
B: Box = (50.0, 50.0, 70.0, 70.0)


class Certain:
    """A detector that always sees the same face."""

    name = "certain"

    def __init__(self, box: Box) -> None:
        self.box = box

    def detect(self, images: Sequence[Pixels]) -> list[list[Face]]:
        return [[Face(self.box, 0.9, self.name)] for _ in images]


class Doubting(Certain):
    """A detector that is certain of one face, and in doubt about two others."""

    name = "doubting"

    def search(self, images: Sequence[Pixels]) -> list[tuple[list[Face], list[Face]]]:
        doubts = [Face(A, 0.04, self.name), Face(B, 0.03, self.name)]
        return [(faces, doubts) for faces in self.detect(images)]


@pytest.fixture
def image() -> tuple[Sample, DecodedImage]:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((100, 120, 3), dtype=np.uint8)).save(stream, "PNG")
    data = stream.getvalue()
    return Sample("a.png", "", data, "00"), codec.decode(data)


def test_what_is_in_doubt_is_a_candidate_unless_another_is_sure(
    image: tuple[Sample, DecodedImage],
) -> None:
    found = detect(*image, [Doubting((90.0, 5.0, 100.0, 20.0)), Certain(A)])
    assert {face.box for face in found.faces} == {(90.0, 5.0, 100.0, 20.0), A}
    assert [(face.box, face.origin) for face in found.candidates] == [(B, "doubting")]
    assert (found.width, found.height) == (120, 100)


def test_who_has_no_doubts_has_no_candidates(image: tuple[Sample, DecodedImage]) -> None:
    assert detect(*image, [Certain(A)]).candidates == ()


def test_the_profiles_are_the_plans_of_the_finder() -> None:
    assert PROFILES.keys() == {*PLANS, "clean-weights"}
    for profile in PLANS:
        assert PROFILES[profile] == (parse(f"finder@{profile}").spec,)


def test_one_threshold_for_a_profile() -> None:
    assert specifications("high", threshold=0.5) == ("finder@high:0.5",)
