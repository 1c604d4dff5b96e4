"""Proposals: what several sources see is joined, and nobody's box is lost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from sfumato.detection.detectors import centerface, finder, yunet
from sfumato.detection.detectors.finder import Source, propose
from sfumato.detection.detectors.session import Network
from sfumato.types import Box, Face, Pixels

IMAGE = np.zeros((100, 100, 3), dtype=np.uint8)
SOURCES = (Source(yunet.NETWORK, 640, 0.2), Source(centerface.NETWORK_8BIT, 640, 0.1))


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[tuple[Box, float]]]:
    """What the networks are made to say, by the file of their weights."""
    said: dict[str, list[tuple[Box, float]]] = {}

    def find(
        image: Pixels,
        network: Network,
        *,
        long_side: int,
        threshold: float,
        near: Sequence[Box] | None = None,
    ) -> list[Face]:
        found = [Face(box, score, network.origin) for box, score in said.get(network.file, [])]
        return [face for face in found if face.score >= threshold]

    monkeypatch.setattr(finder, "find", find)
    return said


def test_each_box_says_what_each_source_thought(
    answers: dict[str, list[tuple[Box, float]]],
) -> None:
    answers["yunet-2023mar"] = [((10, 10, 30, 30), 0.9), ((60, 60, 70, 70), 0.25)]
    answers["centerface-8bit"] = [((11, 10, 31, 30), 0.2)]
    found = propose(IMAGE, SOURCES)
    assert found.boxes.tolist() == [[10, 10, 30, 30], [60, 60, 70, 70]]
    np.testing.assert_allclose(found.scores, [[0.9, 0.2], [0.25, 0.0]])


@pytest.mark.parametrize("score", [0.15, 0.99])
def test_of_two_boxes_on_one_face_that_of_the_earlier_source_stays(
    answers: dict[str, list[tuple[Box, float]]], score: float
) -> None:
    answers["yunet-2023mar"] = [((10, 10, 30, 30), 0.53)]
    answers["centerface-8bit"] = [((11, 10, 31, 30), score)]
    found = propose(IMAGE, SOURCES)
    assert found.boxes.tolist() == [[10, 10, 30, 30]]
    np.testing.assert_allclose(found.scores, [[0.53, score]])


def test_boxes_that_overlap_little_all_stay(answers: dict[str, list[tuple[Box, float]]]) -> None:
    answers["yunet-2023mar"] = [((10, 10, 30, 30), 0.9), ((22, 10, 42, 30), 0.3)]
    assert len(propose(IMAGE, SOURCES).boxes) == 2


def test_nothing_seen_gives_nothing(answers: dict[str, list[tuple[Box, float]]]) -> None:
    answers["yunet-2023mar"] = [((10, 10, 30, 30), 0.1)]  # below its floor
    found = propose(IMAGE, SOURCES)
    assert found.boxes.shape == (0, 4)
    assert found.scores.shape == (0, 2)


def test_the_best_stay_where_there_are_too_many(
    answers: dict[str, list[tuple[Box, float]]],
) -> None:
    rng = np.random.default_rng(1)
    places = [(20.0 * (i % 60), 20.0 * (i // 60)) for i in range(600)]
    scores = rng.uniform(0.3, 0.9, 600).tolist()
    answers["yunet-2023mar"] = [
        ((x, y, x + 15, y + 15), score) for (x, y), score in zip(places, scores, strict=True)
    ]
    found = propose(IMAGE, SOURCES)
    assert len(found.boxes) == finder.MOST
    np.testing.assert_allclose(
        found.scores[:, 0], sorted(scores, reverse=True)[: finder.MOST], rtol=1e-6
    )
