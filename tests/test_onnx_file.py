"""`onnx:FILE`: every family on a tiny network, the shipped networks described, and bad files."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from sfumato.assets import weights
from sfumato.detection.detectors import canvas, parse
from sfumato.detection.detectors.centerface import CenterFace
from sfumato.detection.detectors.description import Input
from sfumato.detection.detectors.families import FAMILIES
from sfumato.detection.detectors.onnx_file import OnnxFile
from sfumato.detection.detectors.yunet import YuNet
from sfumato.errors import Code, SampleError, UsageError
from sfumato.types import Detector, Pixels
from tests.contract.detector import DetectorContract, noise, overlap
from tests.onnx_models import Nodes, described, save


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {name: described(folder, name) for name in FAMILIES}


@pytest.fixture
def white_square() -> Pixels:
    """Black, 160 x 96, with one white square; cells of 32 fit into it."""
    image = np.zeros((96, 160, 3), dtype=np.uint8)
    image[32:64, 64:96] = 255
    return image


class TestEveryFamily(DetectorContract):
    @pytest.fixture(params=FAMILIES)
    def detector(self, request: pytest.FixtureRequest, models: dict[str, Path]) -> Detector:
        return parse(f"onnx:{models[request.param]}")

    def test_finds_what_is_bright(self, detector: Detector, white_square: Pixels) -> None:
        found, nothing = detector.detect([white_square, np.zeros_like(white_square)])
        assert nothing == []
        assert found
        centres = [((f.box[0] + f.box[2]) / 2, (f.box[1] + f.box[3]) / 2) for f in found]
        # SCRFD counts from the corners of cells, so half a cell is allowed besides the square.
        assert all(64 - 8 <= x <= 96 + 8 and 32 - 8 <= y <= 64 + 8 for x, y in centres)

    def test_scale_and_padding_lead_back(self, detector: Detector, white_square: Pixels) -> None:
        """The image twice as large gives the same boxes, twice as large."""
        double = white_square.repeat(2, axis=0).repeat(2, axis=1)
        small, large = detector.detect([white_square, double])
        assert len(small) == len(large) > 0
        for a, b in zip(small, large, strict=True):
            assert b.box == pytest.approx([2 * side for side in a.box], abs=0.05)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_fixed_input_size_finds_the_same_place(
    name: str, tmp_path: Path, white_square: Pixels
) -> None:
    fixed = OnnxFile(described(tmp_path, name, size=(320, 320)))
    (found,) = fixed.detect([white_square])
    assert found
    for face in found:
        x, y = (face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2
        assert 56 <= x <= 104
        assert 24 <= y <= 72
    assert fixed.spec == f"onnx:{tmp_path / name}.toml:0.7"
    assert parse(fixed.spec) == fixed
    with pytest.raises(UsageError, match=r"takes 320 × 320 pixels only: leave @SIDE out"):
        OnnxFile(fixed.path, long_side=640)


@pytest.mark.parametrize("size", [(1, 1), (640, 10), (10, 640), (33, 77), (640, 640)])
@pytest.mark.parametrize("fixed", [None, (320, 192)])
def test_images_lie_inside_the_network_image(
    size: tuple[int, int], fixed: tuple[int, int] | None
) -> None:
    aligns: tuple[Literal["corner"], Literal["centre"]] = ("corner", "centre")
    for align in aligns:
        shape = Input(size=fixed, align=align, fill=9)
        laid = canvas.lay(size, 160, shape, 32)
        filled = canvas.fill(np.zeros((size[1], size[0], 3), np.uint8), laid, shape)
        assert filled.shape[2:] == laid.padded[::-1]
        assert fixed is None or laid.padded == fixed
        assert (filled == 0).sum() == 3 * laid.scaled[0] * laid.scaled[1]
        x, y = laid.offset
        edges = np.array([[x, y, x + laid.scaled[0], y + laid.scaled[1]]], dtype=np.float32)
        np.testing.assert_allclose(laid.back(edges), [[0, 0, *size]], atol=1e-3)


CENTERFACE = """
origin = "centerface-2019"
family = "centerface"
licence = "MIT"
trained_on = "WIDER FACE"
file = "{file}"
threshold = 0.3
[outputs]
heat = "537"
scale = "538"
offset = "539"
"""
YUNET = """
origin = "yunet-2023mar"
family = "yunet"
licence = "MIT"
file = "{file}"
long_side = 960
threshold = 0.53
[input]
channels = "BGR"
[outputs]
""" + "\n".join(f'{role} = "{role}"' for role in FAMILIES["yunet"]().roles)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "name", "shipped"),
    [(CENTERFACE, "centerface", CenterFace(320)), (YUNET, "yunet-2023mar", YuNet(320))],
    ids=["centerface", "yunet"],
)
def test_a_shipped_network_described_finds_exactly_the_same(
    text: str, name: str, shipped: CenterFace | YuNet, tmp_path: Path
) -> None:
    path = tmp_path / "model.toml"
    path.write_text(text.format(file=weights.path(name)), encoding="utf-8")
    images = [noise(301, 200), noise(40, 90)]
    from tests.test_detectors import demo

    images += [demo("people/astronaut.png"), demo("people/grace_hopper.jpg")[::-1]]
    found = OnnxFile(path, 320).detect(images)
    assert found == shipped.detect(images)
    assert overlap(found[2][0], (178, 60, 268, 178)) > 0.6
    assert (OnnxFile(path).long_side, OnnxFile(path).threshold) == (
        type(shipped)().long_side,
        shipped.threshold,
    )


class TestWhatIsRecorded:
    def test_the_hash_is_of_model_and_description(self, tmp_path: Path) -> None:
        path = described(tmp_path, "scrfd")
        before = OnnxFile(path).weights_sha256
        text = path.read_text()
        path.write_text("# a comment\n" + text.replace("batch = true", "batch    =   true"))
        assert OnnxFile(path).weights_sha256 == before
        path.write_text(text.replace("fill = 3", "fill = 4"))
        other = OnnxFile(path).weights_sha256
        assert other != before
        path.write_text(text)
        model = onnx.load(tmp_path / "scrfd.onnx")
        model.doc_string = "another file"
        onnx.save(model, tmp_path / "scrfd.onnx")
        assert len({OnnxFile(path).weights_sha256, before, other}) == 3

    def test_settings_are_in_the_specification_not_in_the_hash(self, tmp_path: Path) -> None:
        path = described(tmp_path, "yunet")
        plain, set_ = parse(f"onnx:{path}"), parse(f"onnx:{path}@64:.25")
        assert plain.spec == f"onnx:{path}@160:0.7"
        assert set_.spec == f"onnx:{path}@64:0.25"
        assert parse(set_.spec) == set_
        assert plain.weights_sha256 == set_.weights_sha256

    def test_the_model_can_be_named_with_its_description_beside_it(self, tmp_path: Path) -> None:
        path = described(tmp_path, "yunet")
        assert parse(f"onnx:{path.with_suffix('.onnx')}").name == "tiny-yunet-1"

    def test_a_file_that_changes_afterwards_is_refused(self, tmp_path: Path) -> None:
        path = described(tmp_path, "retinaface")
        detector = OnnxFile(path)
        path.write_text(path.read_text().replace("0.7", "0.6"))
        from sfumato.detection.detectors import onnx_file

        onnx_file._model.cache_clear()
        with pytest.raises(UsageError, match="has changed since the run began"):
            detector.detect([noise(40, 40)])

    def test_the_licence_is_told(self, models: dict[str, Path], tmp_path: Path) -> None:
        assert OnnxFile(models["scrfd"]).licence == "CC0-1.0"
        told = OnnxFile(described(tmp_path, "scrfd", extra='trained_on = "WIDER FACE"'))
        assert told.licence == "CC0-1.0, trained on WIDER FACE"


def edited(path: Path, old: str, new: str) -> Path:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path


class TestDescriptionsThatAreWrong:
    @pytest.mark.parametrize(
        ("old", "new", "words"),
        [
            ("[input]", "colour = 1\n[input]", r"keys that aren't known: colour. Known are"),
            ("[input]", "[input]\nmeen = 3", r"aren't known in input: meen"),
            ("[outputs]", "[decode]\nanchor = 3\n[outputs]", r"aren't known in decode: anchor\."),
            ("[outputs]", "[decode]\nanchors = 0\n[outputs]", "anchors must be above zero"),
            (
                "[outputs]",
                "[decode]\nanchors = 2.5\n[outputs]",
                r"decode\.anchors can't be 2\.5: it must be a whole number",
            ),
            (
                "[outputs]",
                "[decode]\nstrides = 8\n[outputs]",
                r"decode\.strides can't be 8: it must be a list",
            ),
            ('score_8 = "out_score_8"', "", r"\[outputs\] must name score_8"),
            (
                'score_8 = "out_score_8"',
                "score_8 = 3",
                r"outputs\.score_8 can't be 3: it must be text",
            ),
            ('score_8 = "out_score_8"', 'score_8 = "443"', "no output 443; .*out_score_8"),
            ('family = "scrfd"', 'family = "ssd"', "family must be one of blazeface,.*'ssd'"),
            ('origin = "tiny-scrfd-1"', 'origin = "scrfd"', "a name with a version"),
            ('licence = "CC0-1.0"', "", "the file lacks licence"),
            ('licence = "CC0-1.0"', 'licence = " "', "licence is empty"),
            ("threshold = 0.7", "threshold = 1.5", "threshold must lie in"),
            ("threshold = 0.7", 'threshold = "high"', "threshold can't be .*: it must be a number"),
            ("threshold = 0.7", "threshold = true", "threshold can't be .*: it must be a number"),
            ("threshold = 0.7", f"threshold = 1{400 * '0'}", "threshold can't be .*: it must be"),
            ("long_side = 160", "long_side = 5", "long_side must lie in"),
            ("long_side = 160", "long_side = 1.5", "long_side can't be 1.5: it must be a whole"),
            ("long_side = 160", "long_side = 160\nlong-side = 320", "long_side twice, with - and"),
            ("fill = 3", "fill = 300", r"input\.fill must lie in \[0, 255\]"),
            ("fill = 3", "mean = [1, 2]", "input.mean must be a number or three"),
            ("fill = 3", "mean = nan", "must be finite"),
            ("scale = 0.00392156862745098", "scale = 0", "scale must not be zero"),
            (
                "fill = 3",
                "layout = 'HWC'",
                r"input\.layout can't be 'HWC': choose one of 'NCHW', 'NHWC'",
            ),
            ("fill = 3", "size = [640]", r"input\.size must be \[width, height\]"),
            ("fill = 3", "size = [0, 640]", r"input\.size must lie in"),
            ("fill = 3", "name = 'pixels'", "must have one input, named .* image"),
            ("fill = 3", "layout = 'NHWC'", "fixed to .* 3 pixels|doesn't fit its description"),
            ("[outputs]", "[outputs", "is not TOML"),
        ],
    )
    def test_it_is_said_what_is_wrong(self, old: str, new: str, words: str, tmp_path: Path) -> None:
        path = edited(described(tmp_path, "scrfd"), old, new)
        with pytest.raises(UsageError, match=words) as told:
            parse(f"onnx:{path}")
        assert "\n" not in str(told.value)

    def test_a_missing_description_is_asked_for(self, tmp_path: Path) -> None:
        path = described(tmp_path, "scrfd")
        path.unlink()
        with pytest.raises(UsageError, match=r"scrfd\.toml can't be read .*needs a description"):
            parse(f"onnx:{path.with_suffix('.onnx')}")

    def test_a_missing_model_is_named(self, tmp_path: Path) -> None:
        path = described(tmp_path, "scrfd")
        path.with_suffix(".onnx").unlink()
        with pytest.raises(UsageError, match=r"The model .*scrfd\.onnx can't be read: No such"):
            parse(f"onnx:{path}")


def not_onnx(path: Path) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\nno model at all")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:300])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def without_outputs_of_use(path: Path) -> None:
    """The outputs are there, but each is one number."""
    nodes = Nodes()
    for role in ("loc", "conf"):
        nodes.named(nodes.add("ReduceMean", "image", keepdims=0), f"out_{role}")
    save(path, nodes.nodes, ["out_loc", "out_conf"], constants=nodes.constants)


def _answering(path: Path, number: float) -> None:
    nodes = Nodes()
    nodes.add("Mul", nodes.brightness("image", 8), nodes.constant(0.0))
    cells = 2 * (8 * 12 + 4 * 6 + 2 * 3)
    for role, width in (("loc", 4), ("conf", 2)):
        nodes.constants[role] = np.full((1, cells, width), number, dtype=np.float32)
        nodes.named(role, f"out_{role}")
    save(path, nodes.nodes, ["out_loc", "out_conf"], constants=nodes.constants)


def of_nan(path: Path) -> None:
    _answering(path, float("nan"))


def of_logits(path: Path) -> None:
    _answering(path, 7.5)


def of_text(path: Path) -> None:
    nodes = Nodes()
    nodes.named("text", "out_loc")
    nodes.named("text", "out_conf")
    nodes.constants["text"] = np.array(["a"], dtype=object)
    save(path, nodes.nodes, ["out_loc", "out_conf"], constants=nodes.constants)


def of_bytes_in(path: Path) -> None:
    nodes = Nodes()
    for role in ("loc", "conf"):
        nodes.add("Cast", "image", to=TensorProto.FLOAT, name=f"out_{role}")
    save(path, nodes.nodes, ["out_loc", "out_conf"], kind=TensorProto.UINT8)


def of_two_inputs(path: Path) -> None:
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))
    onnx.save(model, path)


def with_weights_elsewhere(path: Path) -> None:
    """Weights in a second file, which no hash would cover."""
    _answering(path, 0.1)
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (not_onnx, "can't load the model .* ONNX file"),
        (cut, "can't load the model|has no output"),
        (empty, "can't load the model"),
        (without_outputs_of_use, r"output for 'loc' has the shape \(\), where 252 rows of 4"),
        (of_nan, "NaN, which is not a number"),
        (of_logits, "scores from 7.5 to 7.5 come out"),
        (of_text, "holds no floating-point numbers|can't load the model"),
        (of_bytes_in, r"takes tensor\(uint8\) of .*, where four axes of tensor\(float\)"),
        (of_two_inputs, "must have one input, .* it has image, more"),
        (with_weights_elsewhere, "weights in another file .*weights inside"),
    ],
)
def test_a_model_that_cannot_be_right_is_refused_when_the_detector_is_made(
    spoil: Callable[[Path], None], words: str, tmp_path: Path
) -> None:
    path = described(tmp_path, "retinaface")
    spoil(path.with_suffix(".onnx"))
    with pytest.raises(UsageError, match=words) as told:
        parse(f"onnx:{path}")
    assert re.search(r"retinaface\.toml", str(told.value))
    assert "\n" not in str(told.value)


def test_half_precision_is_taken(tmp_path: Path, white_square: Pixels) -> None:
    path = described(tmp_path, "centerface")
    expected = OnnxFile(path).detect([white_square])
    model = onnx.load(path.with_suffix(".onnx"))
    (given,) = model.graph.input
    given.type.tensor_type.elem_type = TensorProto.FLOAT16
    for node in model.graph.node:
        node.input[:] = ["wide" if name == "image" else name for name in node.input]
    cast = helper.make_node("Cast", ["image"], ["wide"], to=TensorProto.FLOAT)
    model.graph.node.insert(0, cast)
    onnx.save(model, path.with_suffix(".onnx"))
    assert OnnxFile(path).detect([white_square]) == expected


def test_a_fixed_size_that_is_not_described_is_told(tmp_path: Path) -> None:
    path = edited(described(tmp_path, "yunet", size=(320, 256)), "size = [320, 256]", "")
    with pytest.raises(UsageError, match=r"fixed to 320 × 256 pixels. Say size = \[320, 256\]"):
        parse(f"onnx:{path}")


def test_a_network_that_fails_on_one_image_costs_that_image(tmp_path: Path) -> None:
    """Log of a darkness that black and noise don't have: NaN for white images only."""
    path = described(tmp_path, "centerface")
    nodes = Nodes()
    light = nodes.score("image", 4, 255.0)
    low = nodes.add("Sub", nodes.constant(0.999), light)
    spoilt = nodes.add("Mul", nodes.add("Log", low), nodes.constant(0.0))
    nodes.add("Add", light, spoilt, name="out_heat")
    for role in ("scale", "offset"):
        nodes.named(nodes.repeated(light, [0.0, 0.0], rows=False), f"out_{role}")
    outputs = ["out_heat", "out_scale", "out_offset"]
    save(path.with_suffix(".onnx"), nodes.nodes, outputs, constants=nodes.constants)
    detector = parse(f"onnx:{path}")
    white = np.full((40, 40, 3), 255, dtype=np.uint8)
    assert detector.detect([np.zeros_like(white)]) == [[]]
    with pytest.raises(SampleError, match=r"tiny-centerface-1 failed on it.*NaN") as told:
        detector.detect([white])
    assert told.value.code is Code.DETECTOR_FAILED
