"""Detectors of other kinds on the command line: described files, and weights without WIDER FACE."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.command import sfumato
from tests.onnx_models import described


def test_the_doctor_tells_the_licence_of_a_described_detector(tmp_path: Path) -> None:
    path = described(tmp_path, "yunet")
    done = sfumato("doctor", "--detector", f"onnx:{path}")
    assert done.code == 0
    assert re.search(r"tiny-yunet-1, SHA-256 [0-9a-f]{64}, CC0-1\.0", done.out)
    path.write_text("origin = 3")
    done = sfumato("doctor", "--detector", f"onnx:{path}", "--json")
    assert done.code == 1
    assert "family must be one of" in json.loads(done.out)["problems"][f"onnx:{path}"]


@pytest.mark.slow
def test_the_loss_of_clean_weights_is_said_and_is_that_of_the_docs(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "black.png")
    done = sfumato("detect", tmp_path, "--profile", "clean-weights")
    assert done.code == 0
    assert "finds fewer faces than default: it covers 45 of 75" in done.err
    docs = (Path(__file__).resolve().parents[1] / "docs" / "detection.md").read_text()
    for figure in ("45 of 75, 60 %", "69 of 75, 92 %", "56 % (51–61)", "94 % (92–95)", "0.32 ("):
        assert figure in docs
    shutil.rmtree(tmp_path.with_name(f"{tmp_path.name}.sfumato"))
    done = sfumato("detect", tmp_path, "--profile", "clean-weights", "--detector", "yunet")
    assert "clean-weights" not in done.err


@pytest.mark.slow
def test_a_described_detector_goes_the_whole_way(tmp_path: Path) -> None:
    """Real workers: they make it from the recipe; nothing published says where the file lies."""
    model = described(tmp_path, "scrfd")
    source = tmp_path / "src"
    source.mkdir()
    image = np.zeros((96, 160, 3), np.uint8)
    image[32:64, 64:96] = np.random.default_rng(0).integers(200, 256, (32, 32, 3))
    Image.fromarray(image).save(source / "a.png")
    program = "from sfumato.cli import main; main()"
    command = [sys.executable, "-c", program, "run", str(source), str(tmp_path / "out")]
    command += ["--detector", f"onnx:{model}", "-j", "1", "--expand", "0.5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "1 obfuscated" in done.stdout, done.stderr
    published = (tmp_path / "out" / "summary.json").read_text()
    assert '"onnx:scrfd.toml@160:0.7"' in published
    assert str(tmp_path) not in published
    assert str(tmp_path) not in (tmp_path / "out" / "report.html").read_text()
    # What the recipe recorded is held: a description that changes afterwards is refused.
    model.write_text(model.read_text().replace("fill = 3", "fill = 4"))
    again = sfumato("verify", source, tmp_path / "out")
    assert again.code == 2
    assert "its weights or its description changed" in again.err
