"""The fit: what it finds on made-up scores, and that it runs from images to coefficients."""

from __future__ import annotations

import csv
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from sfumato.assets import demo_images

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "fit_decision.py"


@pytest.fixture(scope="module")
def fit_decision() -> ModuleType:
    sys.path.insert(0, str(SCRIPT.parent))
    try:
        spec = importlib.util.spec_from_file_location("fit_decision", SCRIPT)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["fit_decision"] = module  # dataclasses look there
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(SCRIPT.parent))
    return module


def drawn(seed: int, weights: list[float], bias: float) -> tuple[np.ndarray, np.ndarray]:
    """Evidence of 4,000 proposals and labels drawn with the probabilities of these weights."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1.5, (4000, len(weights)))
    chances = 1 / (1 + np.exp(-(x @ np.array(weights) + bias)))
    return x, (rng.uniform(size=4000) < chances).astype(float)


def test_the_weights_that_made_the_labels_are_found(fit_decision: ModuleType) -> None:
    x, y = drawn(1, [0.8, 0.3, 1.2], -2.0)
    model = fit_decision.logistic(x, y, np.ones(len(y)), ridge=1e-6)
    np.testing.assert_allclose(model.weights, [0.8, 0.3, 1.2], atol=0.15)
    assert model.bias == pytest.approx(-2.0, abs=0.2)


def test_what_speaks_against_a_face_gets_no_weight(fit_decision: ModuleType) -> None:
    x, y = drawn(2, [0.8, -0.5, 1.2], -1.0)
    model = fit_decision.logistic(x, y, np.ones(len(y)))
    assert model.weights[1] == 0
    assert min(model.weights[0], model.weights[2]) > 0.5


def test_a_proposal_counts_as_often_as_its_weight_says(fit_decision: ModuleType) -> None:
    x, y = drawn(3, [1.0, 0.5], -1.0)
    twice = fit_decision.logistic(
        np.concatenate((x, x[:500])), np.concatenate((y, y[:500])), np.ones(4500), ridge=0
    )
    weight = np.ones(4000)
    weight[:500] = 2
    once = fit_decision.logistic(x, y, weight, ridge=0)
    np.testing.assert_allclose(once.weights, twice.weights, rtol=1e-6)


def test_the_calibration_error_is_that_of_its_bins(fit_decision: ModuleType) -> None:
    image = fit_decision.Labelled(Path("a"), (), ())

    def seen(labels: list[int]) -> object:
        n = len(labels)
        return fit_decision.Seen(
            image, "blind", np.zeros((n, 4)), np.zeros((n, 1)), np.array(labels)
        )

    # In the bin of 0.2 to 0.3: 4 proposals, 2 faces; at 0.95: one face; what is unknown is out.
    both = [seen([1, 1, 0, 0, -1]), seen([1, 0])]
    chances = [np.array([0.25, 0.25, 0.25, 0.25, 0.9]), np.array([0.95, 0.001])]
    wanted = (4 * 0.25 + 0.05) / 5
    assert fit_decision.calibration_error(both, chances, 0.01) == pytest.approx(wanted)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_from_labelled_images_to_coefficients(tmp_path: Path) -> None:
    images = tmp_path / "imagenet" / "images"
    images.mkdir(parents=True)
    with Image.open(demo_images.root() / "people" / "astronaut.png") as opened:
        portrait = opened.convert("RGB")
    rows = [["path", "x0", "y0", "x1", "y1", "kind", "set"]]
    for number in range(16):
        side = 140 + 20 * number
        portrait.resize((side, side)).save(images / f"{number:02}.png")
        if number % 4:  # a quarter isn't labelled, as if there were no face
            box = [side / 512 * edge for edge in (178.0, 60.0, 268.0, 178.0)]
            rows.append([f"{number:02}.png", *map(str, box), "face", "blind"])
    with (tmp_path / "imagenet" / "faces_blind.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    listed = "\n".join(f"{number:02}.png" for number in range(16))
    (tmp_path / "imagenet" / "faces_blind_images.txt").write_text(listed)
    done = subprocess.run(
        [sys.executable, SCRIPT, "fast", "--data", tmp_path, "--set", "blind"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "early=Model(weights=(" in done.stdout
    assert "expected calibration error, cross-validated: 0." in done.stdout
    assert "3.0 false boxes an image, from 0.000: 12 of 12" in done.stdout
