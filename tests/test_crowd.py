"""The simulated crowd: merging beats its careful people and the majority; spam has no weight."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "crowd.py"


@pytest.fixture(scope="module")
def crowd() -> Iterator[ModuleType]:
    sys.path.insert(0, str(SCRIPT.parent))
    spec = importlib.util.spec_from_file_location("crowd", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["crowd"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(SCRIPT.parent))


def made_up(crowd: ModuleType, count: int) -> list[object]:
    """Images with faces, for lack of data."""
    return list(crowd.scenes(Path("/nowhere"), crowd.SETS))[:count]


@pytest.mark.slow
@pytest.mark.parametrize(("replicas", "rival"), [(3, "mean careful"), (5, "best careful")])
def test_merging_beats_the_careful_and_the_majority(
    crowd: ModuleType, replicas: int, rival: str
) -> None:
    scenes = made_up(crowd, 400)
    tried = [crowd.attempt(scenes, replicas, seed, gold=60) for seed in range(3)]
    sums = {n: c.sum(axis=(0, 1)) for n, c in crowd.tables(scenes, tried, 0.5).items()}
    recall = {name: float(crowd.recall(s)) for name, s in sums.items()}
    precision = {name: float(crowd.precision(s)) for name, s in sums.items()}
    # Nobody having judged, many more faces than by the majority.
    assert recall["covered"] >= recall["merged"] > recall["majority"] + 0.05
    # With disputes judged, both are better.
    assert recall["judged"] > recall[rival] + 0.01
    assert precision["judged"] > precision[rival]
    assert recall["judged"] > recall["majority"] + 0.08
    assert precision["judged"] > precision["majority"] + 0.005
    assert recall["judged"] > 0.93
    assert precision["judged"] > 0.97
    assert max(one.disputed for one in tried) < 0.25
    weights = crowd.weights(tried)
    assert max(weights[name]["largest"] for name in crowd.SPAMMERS) < 0.1
    assert weights["careful"]["smallest"] > 0.6


@pytest.mark.slow
def test_the_real_labels_are_enough_images(crowd: ModuleType, shared_data: Path) -> None:
    scenes = crowd.scenes(shared_data, crowd.SETS)
    assert len(scenes) - crowd.GOLD >= 500
    for scene in scenes:
        for x0, y0, x1, y1 in scene.faces:
            assert 0 <= x0 < x1 <= scene.width
            assert 0 <= y0 < y1 <= scene.height


@pytest.mark.slow
def test_the_benchmark_runs_without_any_data(tmp_path: Path) -> None:
    out = tmp_path / "crowd.json"
    command = [sys.executable, str(SCRIPT), "--data", str(tmp_path), "--crowds", "2"]
    done = subprocess.run(
        [*command, "--replicas", "2", "--json", str(out)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "800 images (made up)" in done.stdout
    (run,) = json.loads(out.read_text())["runs"]
    for figure in run["figures"].values():
        assert figure["low"] <= figure["value"] <= figure["high"]
    assert run["weights"]["accepts all"]["largest"] < 0.15


@pytest.mark.slow
def test_the_same_seed_is_the_same_crowd(crowd: ModuleType) -> None:
    scenes = made_up(crowd, 120)
    one, other = (crowd.attempt(scenes, 2, 7, gold=20) for _ in range(2))
    assert one.boxes == other.boxes
    assert one.crowd == other.crowd
    third = crowd.attempt(scenes, 2, 8, gold=20)
    assert third.boxes != one.boxes
    counts = crowd.table(scenes, one.boxes["merged"], 0.5)
    assert np.count_nonzero(counts[:, 0]) <= 100
