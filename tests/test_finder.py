"""The finder: a detector like the others, cheap where nothing is, and never silent about doubt."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from types import MappingProxyType

import numpy as np
import pytest
from PIL import Image

from sfumato.assets import demo_images
from sfumato.detection.detectors import finder, parse, second_look, session
from sfumato.detection.detectors.decision import Model
from sfumato.detection.detectors.finder import CANDIDATE, PLANS, Finder, propose
from sfumato.errors import UsageError
from sfumato.types import Boxes, Detector, Pixels
from tests.contract.detector import FaceDetectorContract, noise, overlap

FACE = FaceDetectorContract.FACE


@pytest.mark.slow
class TestFast(FaceDetectorContract):
    @pytest.fixture
    def detector(self) -> Detector:
        return Finder("fast")


class TestDefault(FaceDetectorContract):
    @pytest.fixture
    def detector(self) -> Detector:
        return Finder("default")


@pytest.mark.slow
class TestHigh(FaceDetectorContract):
    @pytest.fixture
    def detector(self) -> Detector:
        return Finder("high")


@pytest.fixture(scope="module")
def portrait() -> Pixels:
    with Image.open(demo_images.root() / "people" / "astronaut.png") as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each network runs over a whole image ("whole") and over crops (a box each)."""
    counted: Counter[str] = Counter()
    find, look_at = session.find, second_look.look_at

    def finding(*given: object, **words: object) -> object:
        counted["whole"] += 1
        return find(*given, **words)  # type: ignore[arg-type]

    def looking(image: Pixels, boxes: Boxes, looks: Sequence[second_look.Look]) -> second_look.Seen:
        counted["crops"] += len(boxes) * len(looks)
        return look_at(image, boxes, looks)

    monkeypatch.setattr("sfumato.detection.detectors.finder.find", finding)
    monkeypatch.setattr("sfumato.detection.detectors.finder.second_look.look_at", looking)
    return counted


def test_a_image_in_which_nothing_is_proposed_gets_no_second_look(runs: Counter[str]) -> None:
    assert Finder("default").detect([np.full((300, 400, 3), 120, dtype=np.uint8)]) == [[]]
    assert runs == {"whole": len(PLANS["default"].sources)}


@pytest.mark.slow
def test_a_plain_face_is_settled_by_one_crop(portrait: Pixels, runs: Counter[str]) -> None:
    (found,) = Finder("default").detect([portrait])
    assert overlap(found[0], FACE) > 0.6
    proposed = len(propose(portrait, PLANS["default"].sources).boxes)
    assert runs["crops"] <= proposed + 4 * (proposed - 1)  # the others may be looked at further


@pytest.mark.slow
def test_the_score_is_a_probability_and_the_portrait_is_certain(portrait: Pixels) -> None:
    for profile in PLANS:
        (found,) = Finder(profile).detect([portrait])
        assert found[0].score > 0.9


@pytest.mark.slow
def test_faces_and_candidates_part_at_the_threshold(portrait: Pixels) -> None:
    images = [portrait, portrait[::-1].copy(), noise(300, 200)]
    low, high = Finder("default", 0.02), Finder("default", 0.9)
    for (faces, doubtful), (sure, more) in zip(
        low.search(images), high.search(images), strict=True
    ):
        assert all(face.score >= 0.02 for face in faces)
        assert all(CANDIDATE <= face.score < 0.02 for face in doubtful)
        assert all(face.score >= 0.9 for face in sure)
        assert [*faces, *doubtful] == [*sure, *more]


def test_near_a_region_the_same_face_is_found(portrait: Pixels) -> None:
    detector = Finder("default")
    (whole,) = detector.detect([portrait])
    near = detector.detect_near(portrait, [(150.0, 40.0, 300.0, 200.0)])
    assert overlap(near[0], whole[0].box) > 0.9
    assert abs(near[0].score - whole[0].score) < 0.1
    assert detector.detect_near(portrait, []) == []


def test_a_specification_says_it_all_and_comes_back() -> None:
    for profile, plan in PLANS.items():
        made = parse(f"finder@{profile}")
        assert made.spec == f"finder@{profile}:{plan.threshold}"
        assert parse(made.spec) == made
    assert parse("finder") == Finder("default")
    assert parse("finder@high:0.5") == Finder("high", 0.5)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("finder@best", "no profile 'best'.*fast, default, high"),
        ("finder@640:0.3", "'finder' takes a profile, such as @default"),
        ("yunet@default", "'yunet' takes a side in pixels, such as @640"),
        ("finder@fast:1.5", r"\(0, 1\]"),
        ("finder@fast:0", r"\(0, 1\]"),
    ],
)
def test_what_cannot_be_a_finder_says_why(spec: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse(spec)


def test_another_coefficient_is_another_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Finder("fast").weights_sha256
    assert Finder("default").weights_sha256 != before
    plan = PLANS["fast"]
    weights = tuple(weight + 0.0001 for weight in plan.decision.early.weights)
    early = Model(weights, plan.decision.early.bias)
    changed = dataclasses.replace(plan, decision=dataclasses.replace(plan.decision, early=early))
    monkeypatch.setattr(finder, "PLANS", MappingProxyType({**PLANS, "fast": changed}))
    assert Finder("fast").weights_sha256 != before
    assert len(before) == 64


def test_each_plan_has_a_weight_for_each_score() -> None:
    for plan in PLANS.values():
        early = len(plan.sources) + 1
        assert len(plan.decision.early.weights) == early
        assert len(plan.decision.late.weights) == early + len(plan.further)
        assert CANDIDATE < plan.threshold < 1
