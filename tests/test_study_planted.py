"""A shortcut that was planted is found and named, its remedy works, and nothing else alarms."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sfumato.study import consequences, runs
from sfumato.study.configuration import load
from sfumato.study.predictions import read_run
from tests import study_images

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MARGIN = 0.05
COUNT = 60
STUDY = """
seeds = [0, 1]
workers = 2
[data]
images = "clear"
boxes = "faces.csv"
folds = 2
[arms]
train = [{train}]
test = ["original", "fill"]
releases.fill = "release"
[[architectures]]
name = "small-cnn"
protocols = ["scratch"]
[training]
recipe = "small"
epochs = 30
batch = 30
size = 32
resize = 40
smallest-crop = 0.6
flip = false
[remedy]
methods = ["fill"]
elsewhere = 0.5
[consequences]
images = 120
gradcam = false
"""


@dataclass(frozen=True)
class Done:
    folder: Path
    probe: dict[str, Any]

    def accuracy(self, train_arm: str, test_arm: str = "original") -> float:
        """Mean over seeds of top-1."""
        values = []
        for seed in (0, 1):
            name = f"small-cnn-scratch-{train_arm}-{test_arm}-seed{seed}"
            found = read_run(self.folder / "runs" / name)
            values.append(np.mean(found.label_rank == 0))
        return float(np.mean(values))


def study(folder: Path, faceless: Any, covered: Any, train: str) -> Done:
    faces = study_images.write(folder / "clear", count=COUNT, faceless=faceless)
    study_images.write(folder / "release", count=COUNT, faceless=faceless, covered=covered)
    study_images.write_faces(folder / "faces.csv", faces)
    (folder / "study.toml").write_text(STUDY.replace("{train}", train), encoding="utf-8")
    outcome = runs.run(folder, load(folder))
    paths = consequences.look(outcome.plan)
    (probe,) = [path for path in paths if path.name.startswith("shortcut")]
    return Done(folder, json.loads(probe.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Every image of class a has a face, and it is covered; half of the others', clear."""
    return study(
        tmp_path_factory.mktemp("planted"),
        lambda name, number: name != "a" and number % 2 == 0,
        lambda name, number: name == "a",
        '"original", "fill", "remedy-fill"',
    )


@pytest.fixture(scope="module")
def even(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Half of the images of every class have a face, and all are covered."""
    return study(
        tmp_path_factory.mktemp("even"),
        lambda name, number: number % 2 == 0,
        lambda name, number: True,
        '"original", "fill"',
    )


def test_the_class_with_the_planted_shortcut_is_named_and_no_other(planted: Done) -> None:
    learnt = [one for one in planted.probe["alarms"] if one["train_arm"] == "fill"]
    assert [one["class"] for one in learnt] == ["a"], planted.probe["headline"]
    assert "a" in planted.probe["headline"]
    assert planted.probe["images"]
    for one in planted.probe["images"]:
        assert (planted.folder / "probes" / one["file"]).is_file()


def test_the_shortcut_costs_accuracy_on_clear_faces_and_the_remedy_brings_it_back(
    planted: Done,
) -> None:
    clean = planted.accuracy("original")
    assert clean > 0.8, "the task must be learnable, or nothing is shown"
    assert planted.accuracy("fill", "fill") > planted.accuracy("fill") + 2 * MARGIN
    assert planted.accuracy("fill") < clean - 2 * MARGIN
    assert planted.accuracy("remedy-fill") > clean - MARGIN


def test_the_remedied_model_has_no_shortcut(planted: Done) -> None:
    assert not [one for one in planted.probe["alarms"] if one["train_arm"] == "remedy-fill"]


def test_nothing_planted_raises_no_alarm(even: Done) -> None:
    assert even.probe["alarms"] == []
    assert "no class gains" in even.probe["headline"]
