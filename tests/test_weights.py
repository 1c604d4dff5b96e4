"""The shipped weights: whole, of any input size, and refused when a single byte is wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from sfumato.assets import demo_images, weights
from sfumato.errors import WeightsError

SIZES = [(64, 96), (160, 32)]  # height, width


def open_network(name: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        weights.verified(name), options, providers=["CPUExecutionProvider"]
    )


def shapes(name: str, batch: int, height: int, width: int) -> dict[str, tuple[int, ...]]:
    network = open_network(name)
    (image,) = network.get_inputs()
    bytes_wanted = image.type == "tensor(uint8)"
    last = bytes_wanted or image.shape[1] != 3
    sides = (batch, height, width, 3) if last else (batch, 3, height, width)
    given = {image.name: np.zeros(sides, dtype=np.uint8 if bytes_wanted else np.float32)}
    names = [output.name for output in network.get_outputs()]
    outputs = network.run(names, given)
    return {key: output.shape for key, output in zip(names, outputs, strict=True)}


@pytest.mark.parametrize("name", weights.WEIGHTS)
def test_the_shipped_files_are_the_measured_ones(name: str) -> None:
    assert weights.verified(name) == weights.path(name)
    assert weights.path(name).parent == weights.FOLDER


@pytest.mark.parametrize("name", ["centerface", "yunet-2023mar", "blazeface-back-2020"])
def test_the_one_input_is_a_image_of_any_size(name: str) -> None:
    (image,) = open_network(name).get_inputs()
    last = name.startswith("blazeface")
    assert image.shape == (["B", "H", "W", 3] if last else ["B", 3, "H", "W"])
    assert image.type == "tensor(float)"


def test_the_network_of_8_bits_takes_a_image_as_it_is_in_memory() -> None:
    (image,) = open_network("centerface-8bit").get_inputs()
    assert image.shape == ["B", "H", "W", 3]
    assert image.type == "tensor(uint8)"


@pytest.mark.slow
def test_8_bits_see_what_32_bits_see() -> None:
    with Image.open(demo_images.root() / "people" / "astronaut.png") as opened:
        pixels = np.asarray(opened.convert("RGB").resize((256, 256)))
    planes = pixels.astype(np.float32).transpose(2, 0, 1)[None]
    fine, scale, offset = open_network("centerface").run(("537", "538", "539"), {"input.1": planes})
    heat, scale8, offset8 = open_network("centerface-8bit").run(
        ("537", "538", "539"), {"picture": pixels[None]}
    )
    assert np.abs(heat - fine).max() < 0.12
    face = fine[0, 0] > 0.5
    assert face.any()
    np.testing.assert_allclose(scale8[0][:, face], scale[0][:, face], atol=0.15)  # 16 % of a side
    np.testing.assert_allclose(offset8[0][:, face], offset[0][:, face], atol=0.3)  # cells


@pytest.mark.parametrize("name", weights.WEIGHTS)
def test_no_output_declares_a_size_that_a_image_contradicts(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    for height, width in SIZES:
        shapes(name, 1, height, width)
    assert "does not match actual shape" not in capfd.readouterr().err  # as ONNX Runtime warns


@pytest.mark.parametrize("name", ["centerface", "centerface-8bit"])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_centerface_answers_on_a_grid_of_stride_4_for_each_image(
    name: str, height: int, width: int
) -> None:
    channels = {"537": 1, "538": 2, "539": 2, "540": 10}
    assert shapes(name, 2, height, width) == {
        output: (2, count, height // 4, width // 4) for output, count in channels.items()
    }


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_yunet_answers_on_grids_of_stride_8_16_and_32(height: int, width: int) -> None:
    values = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
    assert shapes("yunet-2023mar", 1, height, width) == {
        f"{output}_{stride}": (1, (height // stride) * (width // stride), count)
        for output, count in values.items()
        for stride in (8, 16, 32)
    }


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The YuNet file in a folder where a test may spoil it."""
    shutil.copy(weights.path("yunet-2023mar"), tmp_path)
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    return weights.verified("yunet-2023mar")


def test_one_flipped_bit_is_refused(copied: Path) -> None:
    data = bytearray(copied.read_bytes())
    data[len(data) // 2] ^= 1
    copied.write_bytes(data)
    with pytest.raises(WeightsError, match=r"SHA-256 .* not 059aeea9.*[Ii]nstall"):
        weights.verified("yunet-2023mar")


def test_a_cut_file_is_refused(copied: Path) -> None:
    copied.write_bytes(copied.read_bytes()[:-1])
    with pytest.raises(WeightsError, match="SHA-256"):
        weights.verified("yunet-2023mar")


def test_a_missing_file_says_what_to_do(copied: Path) -> None:
    copied.unlink()
    with pytest.raises(WeightsError, match=r"missing.*[Ii]nstall"):
        weights.verified("yunet-2023mar")


def test_a_file_that_cannot_be_read_says_why(copied: Path) -> None:
    copied.unlink()
    copied.mkdir()
    with pytest.raises(WeightsError, match="can't be read"):
        weights.verified("yunet-2023mar")


def test_an_unknown_name_lists_the_known_ones() -> None:
    known = "centerface, centerface-8bit, yunet-2023mar, blazeface-back-2020"
    with pytest.raises(WeightsError, match=known):
        weights.path("haar")


@pytest.mark.parametrize("weight", weights.WEIGHTS.values(), ids=lambda weight: weight.file)
def test_licence_and_training_data_are_stated(weight: weights.Weight) -> None:
    if weight.file.startswith("blazeface"):
        assert weight.licence == "Apache-2.0"
        assert "not WIDER FACE" in weight.trained_on
    else:
        assert weight.licence == "MIT"
        assert weight.trained_on == "WIDER FACE"
