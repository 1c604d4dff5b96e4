"""The shipped detectors: what their numbers mean, the way in and out, and the registry."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sfumato import boxes
from sfumato.assets import demo_images
from sfumato.assets.weights import WEIGHTS
from sfumato.detection.detectors import names, parse, registry, session, yunet
from sfumato.detection.detectors.centerface import CenterFace
from sfumato.detection.detectors.families import FAMILIES
from sfumato.detection.detectors.session import Network, Scores, Tensor, find, scaled_size, tensor
from sfumato.detection.detectors.yunet import YuNet
from sfumato.errors import UsageError, WeightsError
from sfumato.types import Boxes, Detector, Pixels
from tests.contract.detector import FaceDetectorContract, noise, overlap

RECALL = Path(__file__).resolve().parents[1] / "benchmarks" / "recall.py"


class TestCenterFace(FaceDetectorContract):
    @pytest.fixture
    def detector(self) -> Detector:
        return CenterFace(long_side=320)


class TestYuNet(FaceDetectorContract):
    @pytest.fixture
    def detector(self) -> Detector:
        return YuNet(long_side=320)


class TestCenterFaceDecoding:
    """Made-up outputs of a 64 x 96 network image: planes of 16 x 24 cells of 4 px."""

    @pytest.fixture
    def outputs(self) -> list[Tensor]:
        rng = np.random.default_rng(3)
        heat = rng.uniform(0, 0.29, (1, 1, 16, 24))
        heat[0, 0, 2, 5], heat[0, 0, 15, 23], heat[0, 0, 9, 0] = 0.9, 0.31, 0.5
        scale, offset = rng.normal(1, 0.7, (2, 1, 2, 16, 24))
        return [plane.astype(np.float32) for plane in (heat, scale, offset)]

    def test_boxes_follow_the_formula(self, outputs: list[Tensor]) -> None:
        found, scores = FAMILIES["centerface"]().decode(outputs, (64, 96), 0.3)
        heat, scale, offset = outputs
        expected = {}
        for row, column in [(2, 5), (9, 0), (15, 23)]:
            height = 4 * math.exp(scale[0, 0, row, column])
            width = 4 * math.exp(scale[0, 1, row, column])
            x0 = 4 * (column + float(offset[0, 1, row, column]) + 0.5) - width / 2
            y0 = 4 * (row + float(offset[0, 0, row, column]) + 0.5) - height / 2
            expected[float(heat[0, 0, row, column])] = (x0, y0, x0 + width, y0 + height)
        assert sorted(scores.tolist()) == sorted(expected)
        for box, score in zip(found, scores.tolist(), strict=True):
            np.testing.assert_allclose(box, expected[score], atol=1e-4)

    def test_the_threshold_itself_is_kept(self, outputs: list[Tensor]) -> None:
        _, scores = FAMILIES["centerface"]().decode(outputs, (64, 96), float(np.float32(0.31)))
        assert len(scores) == 3

    def test_nothing_gives_empty_arrays(self, outputs: list[Tensor]) -> None:
        found, scores = FAMILIES["centerface"]().decode(outputs, (64, 96), 0.95)
        assert found.shape == (0, 4)
        assert scores.shape == (0,)


class TestYuNetDecoding:
    """Made-up outputs of a 64 x 96 network image: grids of 8x12, 4x6 and 2x3 cells."""

    CELLS = ((8, 12, 8), (4, 6, 16), (2, 3, 32))  # rows, columns, pixels a cell

    @pytest.fixture
    def outputs(self) -> list[Tensor]:
        rng = np.random.default_rng(4)
        counts = [rows * columns for rows, columns, _ in self.CELLS]
        classes = [rng.uniform(0, 0.4, (1, n, 1)) for n in counts]
        objects = [rng.uniform(0, 0.4, (1, n, 1)) for n in counts]
        shapes = [rng.normal(0, 0.5, (1, n, 4)) for n in counts]
        for grid, index in [(0, 0), (0, 95), (1, 13), (2, 5)]:
            classes[grid][0, index, 0] = 0.64 + index / 1000
            objects[grid][0, index, 0] = 1.2  # sigmoids may overshoot in the last bit; 1.2 is 1
        return [part.astype(np.float32) for part in (*classes, *objects, *shapes)]

    def test_boxes_follow_the_formula(self, outputs: list[Tensor]) -> None:
        found, scores = FAMILIES["yunet"]().decode(outputs, (64, 96), 0.5)
        assert len(found) == 4
        for (grid, index), box, score in zip(
            [(0, 0), (0, 95), (1, 13), (2, 5)], found, scores, strict=True
        ):
            _, columns, cell = self.CELLS[grid]
            b = [float(value) for value in outputs[6 + grid][0, index]]
            x = (index % columns + b[0]) * cell
            y = (index // columns + b[1]) * cell
            width, height = cell * math.exp(b[2]), cell * math.exp(b[3])
            expected = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            np.testing.assert_allclose(box, expected, atol=1e-4)
            assert score == pytest.approx(math.sqrt(0.64 + index / 1000), abs=1e-6)

    def test_nothing_gives_empty_arrays(self, outputs: list[Tensor]) -> None:
        found, scores = FAMILIES["yunet"]().decode(outputs, (64, 96), 0.99)
        assert found.shape == (0, 4)
        assert scores.shape == (0,)


class TestTheWayIn:
    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ((500, 375), (640, 480)),
            ((333, 250), (640, 480)),  # 480.48
            ((375, 500), (480, 640)),
            ((1, 1), (640, 640)),
            ((20000, 10), (640, 1)),  # 0.32
            ((1, 5000), (1, 640)),
        ],
    )
    def test_the_longer_side_is_fixed(
        self, given: tuple[int, int], expected: tuple[int, int]
    ) -> None:
        assert scaled_size(*given, 640) == expected

    @pytest.mark.parametrize(("width", "height"), [(50, 40), (301, 200), (3, 1000), (96, 64)])
    def test_padding_is_zero_and_reaches_32(self, width: int, height: int) -> None:
        filled = tensor(np.full((height, width, 3), 7, np.uint8), 96, order=(0, 1, 2))
        new_width, new_height = scaled_size(width, height, 96)
        padded_height, padded_width = filled.shape[2:]
        assert filled.dtype == np.float32
        assert filled.shape[:2] == (1, 3)
        assert padded_height % 32 == padded_width % 32 == 0
        assert new_height <= padded_height < new_height + 32
        assert new_width <= padded_width < new_width + 32
        assert (filled[0, :, :new_height, :new_width] == 7).all()
        assert filled.sum() == 7 * 3 * new_width * new_height

    def test_pixels_keep_their_places_and_channels_their_order(self) -> None:
        image = noise(96, 64)
        rgb, bgr = (tensor(image, 96, order=order) for order in ((0, 1, 2), (2, 1, 0)))
        np.testing.assert_array_equal(rgb[0], image.transpose(2, 0, 1))
        np.testing.assert_array_equal(bgr[0], rgb[0, ::-1])

    def test_shrinking_averages_areas(self) -> None:
        image = noise(128, 64)
        means = image.reshape(32, 2, 64, 2, 3).mean(axis=(1, 3))
        shrunk = tensor(image, 64, order=(0, 1, 2))[0].transpose(1, 2, 0)
        assert np.abs(shrunk - means).max() <= 1  # Pillow rounds after each direction

    def test_enlarging_interpolates(self) -> None:
        ramp = np.repeat(np.arange(0, 160, 10, dtype=np.uint8)[None, :, None], 3, axis=2)
        enlarged = tensor(ramp, 32, order=(0, 1, 2))[0, 0, 0]
        positions = (np.arange(32) + 0.5) / 2 - 0.5
        expected = 10 * np.clip(positions, 0, 15)
        assert np.abs(enlarged - expected).max() <= 0.5

    @pytest.mark.parametrize("size", [(150, 90), (40, 30), (64, 48)])
    def test_large_images_are_scaled_alike(
        self, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        image = noise(*size)
        expected = tensor(image, 64, order=(2, 1, 0))
        monkeypatch.setattr(session, "LARGE", 0)
        np.testing.assert_array_equal(tensor(image, 64, order=(2, 1, 0)), expected)


def pretending(found: NDArray[np.float64], scores: list[float]) -> Network:
    """A network that finds these boxes, in pixels of the scaled image, whatever it sees."""

    def decode(*_: object) -> tuple[Boxes, Scores]:
        return found.astype(np.float32), np.asarray(scores, dtype=np.float32)

    shipped = yunet.NETWORK
    return Network(shipped.file, "pretended-1", shipped.order, shipped.outputs, decode, 0.3)


class TestTheWayOut:
    def test_exact_ratios_lead_back(self) -> None:
        # 333 x 250 at 64 becomes 64 x 48, not 48.05: the two ratios differ.
        network = pretending(np.array([[8.0, 6.0, 32.0, 24.0]]), [0.7])
        (face,) = find(noise(333, 250), network, long_side=64, threshold=0.5)
        x, y = 333 / 64, 250 / 48
        assert face.box == pytest.approx((8 * x, 6 * y, 32 * x, 24 * y), abs=1e-3)
        assert face.score == pytest.approx(0.7)
        assert face.origin == "pretended-1"

    def test_boxes_are_cut_and_slivers_go(self) -> None:
        found = np.array(
            [
                [-9.0, -9, 10, 10],
                [60, 40, 90, 90],
                [63.5, 0, 80, 20],
                [70, 10, 90, 30],
                [20, 20, 20.5, 40],
                [np.nan, 0, 9, 9],
                [-np.inf, 30, np.inf, 36],
            ]
        )
        network = pretending(found, [0.5, 0.6, 0.9, 0.9, 0.9, 0.9, 0.7])
        faces = find(noise(64, 48), network, long_side=64, threshold=0.5)
        assert [face.box for face in faces] == [(0, 30, 64, 36), (60, 40, 64, 48), (0, 0, 10, 10)]

    def test_doubles_go_and_neighbours_stay(self) -> None:
        found = np.array([[0.0, 0, 20, 20], [1, 1, 21, 21], [12, 0, 32, 20], [30, 0, 50, 20]])
        network = pretending(found, [0.5, 0.6, 0.4, 0.9])
        faces = find(noise(64, 48), network, long_side=64, threshold=0.1)
        assert [face.score for face in faces] == pytest.approx([0.9, 0.6, 0.4])

    def test_only_the_best_are_compared(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(session, "BEST", 5)
        corners = np.arange(0, 40, 4.0)[:, None]
        network = pretending(
            np.hstack([corners, corners, corners + 4, corners + 4]), [i / 10 for i in range(10)]
        )
        faces = find(noise(64, 48), network, long_side=64, threshold=0.1)
        assert [face.score for face in faces] == pytest.approx([0.9, 0.8, 0.7, 0.6, 0.5])


def demo(name: str) -> Pixels:
    with Image.open(demo_images.root() / name) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("detector", [CenterFace(), YuNet()], ids=lambda d: d.name)
class TestPhotographs:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("name", "box"),
        [
            ("people/astronaut.png", (178, 60, 268, 178)),  # by eye
            ("people/grace_hopper.jpg", (178, 122, 355, 335)),
        ],
    )
    def test_one_face(
        self, detector: Detector, name: str, box: tuple[float, float, float, float]
    ) -> None:
        (found,) = detector.detect([demo(name)])
        assert len(found) == 1
        assert overlap(found[0], box) > 0.75

    @pytest.mark.parametrize(
        "name",
        [
            "people/astronaut.png",
            pytest.param("people/grace_hopper.jpg", marks=pytest.mark.slow),
        ],
    )
    def test_swapped_channels_are_worse(self, detector: Detector, name: str) -> None:
        image = demo(name)
        (right,), (swapped,) = detector.detect([image, image[..., ::-1]])
        assert right.score > swapped.score

    def test_a_cup_has_no_face(self, detector: Detector) -> None:
        assert detector.detect([demo("things/coffee.png")]) == [[]]

    @pytest.mark.slow
    def test_a_moved_face_is_found_where_it_went(self, detector: Detector) -> None:
        face = demo("people/astronaut.png")[20:230, 120:330]
        here, there = (np.full((600, 600, 3), 128, np.uint8) for _ in range(2))
        here[40:250, 50:260] = face
        there[300:510, 211:421] = face
        (before,), (after,) = detector.detect([here, there])
        moved = [b - a for a, b in zip(before.box, after.box, strict=True)]
        assert moved == pytest.approx([161, 260, 161, 260], abs=4)


def test_centerface_takes_no_cat_for_a_person() -> None:
    # YuNet at 960 does: 0.56, just above its threshold. The union of the two covers that cat.
    assert CenterFace().detect([demo("animals/chelsea.png")]) == [[]]


class TestSettings:
    def test_defaults_are_those_measured(self) -> None:
        assert CenterFace() == CenterFace(long_side=640, threshold=0.30)
        assert YuNet() == YuNet(long_side=960, threshold=0.53)
        assert (CenterFace().name, YuNet().name) == ("centerface-2019", "yunet-2023mar")

    def test_the_threshold_decides(self) -> None:
        image = demo("people/astronaut.png")
        score = YuNet(320).detect([image])[0][0].score
        assert YuNet(320, score - 1e-3).detect([image])[0]
        assert not YuNet(320, score + 1e-3).detect([image])[0]

    @pytest.mark.parametrize("threshold", [0, -0.1, 1.01, math.nan])
    @pytest.mark.parametrize("kind", [CenterFace, YuNet])
    def test_thresholds_outside_are_refused(
        self, kind: type[CenterFace | YuNet], threshold: float
    ) -> None:
        with pytest.raises(ValueError, match="threshold must lie"):
            kind(threshold=threshold)

    @pytest.mark.parametrize("long_side", [0, 31, 4097, -640])
    @pytest.mark.parametrize("kind", [CenterFace, YuNet])
    def test_sides_outside_are_refused(
        self, kind: type[CenterFace | YuNet], long_side: int
    ) -> None:
        with pytest.raises(ValueError, match="long_side must lie"):
            kind(long_side=long_side)

    @pytest.mark.parametrize("detector", [CenterFace(320, 0.1), YuNet(64, 1e-5)])
    def test_a_specification_makes_the_same_detector(self, detector: CenterFace | YuNet) -> None:
        assert parse(detector.spec) == detector

    def test_weights_are_those_shipped(self) -> None:
        assert CenterFace().weights_sha256 == WEIGHTS["centerface"].sha256
        assert YuNet().weights_sha256 == WEIGHTS["yunet-2023mar"].sha256

    def test_a_session_is_loaded_once_and_runs_one_thread(self) -> None:
        loaded = session.session("yunet-2023mar")
        assert session.session("yunet-2023mar") is loaded
        assert loaded.get_session_options().intra_op_num_threads == 1

    def test_unknown_weights_are_refused(self) -> None:
        with pytest.raises(WeightsError):
            session.session("haar")


def declare(monkeypatch: pytest.MonkeyPatch, *points: EntryPoint) -> None:
    """Let these be the entry points of what is installed."""
    everywhere = {registry.GROUP: points}
    monkeypatch.setattr(registry, "entry_points", lambda *, group: everywhere[group])


class TestRegistry:
    @pytest.mark.parametrize(
        ("spec", "expected"),
        [
            ("centerface", CenterFace()),
            ("yunet@640", YuNet(long_side=640)),
            ("yunet:0.31", YuNet(threshold=0.31)),
            ("yunet:.5", YuNet(threshold=0.5)),
            ("centerface@960:0.14", CenterFace(long_side=960, threshold=0.14)),
            ("centerface:1", CenterFace(threshold=1.0)),
        ],
    )
    def test_specifications(self, spec: str, expected: Detector) -> None:
        assert parse(spec) == expected

    @pytest.mark.parametrize(
        "spec",
        [
            *("", "@640", "yunet@", "yunet:", "yunet@640:", "yunet:0.5@640", "yunet 640", "YuNet"),
            *("yunet@6.4", "yunet@-640", "yunet:-1", "yunet:nan", "yunet@99999999", "yunet:0.5\n"),
        ],
    )
    def test_nonsense_is_refused(self, spec: str) -> None:
        with pytest.raises(UsageError, match="NAME"):
            parse(spec)

    @pytest.mark.parametrize("spec", ["yunet:0", "yunet:1.5", "yunet@16", "centerface@9999"])
    def test_numbers_out_of_range_are_refused(self, spec: str) -> None:
        with pytest.raises(UsageError, match="must lie in"):
            parse(spec)

    def test_an_unknown_name_lists_the_known(self) -> None:
        assert {"centerface", "yunet"} <= set(names())
        with pytest.raises(UsageError, match=r"no detector 'retinaface'.*centerface.*yunet"):
            parse("retinaface@640")

    def test_other_packages_bring_detectors(self, monkeypatch: pytest.MonkeyPatch) -> None:
        brought = EntryPoint("mine", "sfumato.detection.detectors.yunet:YuNet", registry.GROUP)
        declare(monkeypatch, brought)
        everything = ("blazeface", "centerface", "finder", "mine", "rekognition", "yunet")
        assert names() == everything
        assert parse("mine@640") == YuNet(long_side=640)

    def test_a_package_brings_a_detector_by_being_installed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A distribution as pip leaves it: a module, and metadata that name its entry point."""
        (tmp_path / "brought.py").write_text(
            "from sfumato.detection.detectors.yunet import YuNet\n"
            "def small(threshold=0.4):\n    return YuNet(320, threshold)\n"
        )
        metadata = tmp_path / "brought-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: brought\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text("[sfumato.detectors]\nsmall = brought:small\n")
        monkeypatch.syspath_prepend(tmp_path)
        assert "small" in names()
        assert parse("small:0.6") == YuNet(320, 0.6)
        with pytest.raises(UsageError, match=r"detector 'small' has no @LONG_SIDE: leave it out"):
            parse("small@640")
        with pytest.raises(UsageError, match=r"has no choice of device"):
            parse("small#cuda")

    @pytest.mark.parametrize(
        ("spec", "expected"),
        [
            ("yunet", "yunet:0.7#cuda"),
            ("yunet@640:0.5", "yunet@640:0.7#cuda"),
            ("yunet:0.5#cpu", "yunet:0.7#cpu"),
            ("onnx:a b/c@2.toml@640:0.1", "onnx:a b/c@2.toml@640:0.7#cuda"),
            ("onnx:C:/x:y.onnx", "onnx:C:/x:y.onnx:0.7#cuda"),
            ("finder@high", "finder@high:0.7#cuda"),
            ("finder@high:0.2#cpu", "finder@high:0.7#cpu"),
            ("onnx:a@high:0.1", "onnx:a@high:0.7#cuda"),
            ("no Spec", "no Spec"),
        ],
    )
    def test_threshold_and_device_can_be_set(self, spec: str, expected: str) -> None:
        assert registry.adjusted(spec, threshold=0.7, device="cuda") == expected

    def test_weights_of_a_record_must_be_those_of_the_detector(self) -> None:
        made: list[registry.Registered] = [YuNet(), CenterFace()]
        registry.check_weights(made, [one.weights_sha256 for one in made])
        with pytest.raises(UsageError, match=r"yunet@960:0.53 is not the one"):
            registry.check_weights(made, ["00", made[1].weights_sha256])

    def test_a_name_taken_twice_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        other = EntryPoint("yunet", "elsewhere:YuNet", registry.GROUP)
        declare(monkeypatch, other)
        with pytest.raises(UsageError, match=r"yunet.*elsewhere:YuNet"):
            parse("centerface")

    def test_an_installation_declares_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        declare(monkeypatch, *registry.SHIPPED)
        assert names() == ("blazeface", "centerface", "finder", "rekognition", "yunet")


def recall(*arguments: str, timeout: float) -> dict[str, dict[str, float]]:
    """Run the recall benchmark for one set and profile; return its estimates."""
    record = Path(arguments[-1])
    command = [sys.executable, str(RECALL), *arguments]
    subprocess.run(command, check=True, timeout=timeout, capture_output=True)
    (measured,) = json.loads(record.read_text())["sets"].values()
    (profile,) = measured["profiles"].values()
    estimates: dict[str, dict[str, float]] = profile["estimates"]
    return estimates


@pytest.mark.slow
def test_the_benchmark_counts_right(tmp_path: Path) -> None:
    """Two images, four labels: one face found, one that isn't there, one left out, one false."""
    images = tmp_path / "groups" / "images"
    images.mkdir(parents=True)
    for name in ("astronaut", "second", "third"):
        Image.fromarray(demo("people/astronaut.png")).save(images / f"{name}.png")
    with (tmp_path / "groups" / "faces.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "x0", "y0", "x1", "y1", "kind", "set"])
        rows.writerow(["astronaut.png", 178, 60, 268, 178, "face", ""])
        rows.writerow(["astronaut.png", 400, 400, 410, 410, "face", ""])
        rows.writerow(["second.png", 178, 60, 268, 178, "art", ""])
    options = ["--set", "groups", "--profile", "fast", "--json", str(tmp_path / "out.json")]
    estimates = recall("--data", str(tmp_path), *options, timeout=60)
    assert (estimates["all"]["part"], estimates["all"]["whole"]) == (1, 2)
    assert (estimates["< 16 px"]["part"], estimates["< 16 px"]["whole"]) == (0, 1)
    assert estimates[">= 96 px"]["value"] == 1.0
    false = estimates["false boxes an image"]
    assert (false["part"], false["whole"]) == (1, 3)
    assert estimates["one box fits, all"]["part"] == 1
    # Two images are found that show no face; of one of them nobody can say.
    assert estimates["images with a face: found"]["value"] == 1.0
    found = estimates["images found: with a face"]
    assert (found["part"], found["whole"]) == (1, 2)
    # A face of 90 by 118 in one of three images of 512 by 512, grown to 1.5 times its sides.
    expected = 90 * 118 * 1.5**2 / 512**2 / 3
    assert estimates["false pixels"]["value"] == pytest.approx(expected, rel=0.35)


@pytest.mark.slow
def test_the_benchmark_draws_the_whole_curve(tmp_path: Path) -> None:
    images = tmp_path / "groups" / "images"
    images.mkdir(parents=True)
    rows = ["path,x0,y0,x1,y1,kind,set"]
    for name in ("first", "second", "third"):
        small = Image.fromarray(demo("people/astronaut.png")).resize((256, 256))
        small.save(images / f"{name}.png")
        rows.append(f"{name}.png,89,30,134,89,face,")
    (tmp_path / "groups" / "faces.csv").write_text("\n".join(rows))
    record = tmp_path / "out.json"
    command = [sys.executable, str(RECALL), "--data", str(tmp_path), "--set", "groups", "-j", "1"]
    command += ["--detector", "yunet@256:0.5", "--curve", "--json", str(record)]
    done = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True)
    assert "faces covered with at most so many false boxes an image" in done.stdout
    (measured,) = json.loads(record.read_text())["sets"]["groups"]["profiles"].values()
    curve = measured["curve"]
    assert curve["average_precision"]["value"] == 1.0
    assert 0 <= curve["calibration_error"]["value"] < 0.5
    assert sum(one["faces"] for one in curve["reliability"]) == 3
    points = curve["points"]
    assert points[0]["detectors"] == ["yunet@256:0.0474"]
    assert points[15]["recall"] == 1.0  # where the thresholds are as given
    boxes_by_threshold = [point["false_boxes"] for point in points]
    assert boxes_by_threshold == sorted(boxes_by_threshold, reverse=True)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_default_profile_finds_the_labelled_faces(shared_data: Path, tmp_path: Path) -> None:
    """At least 96 % of the faces of real ImageNet images, at most 0.35 false boxes on each."""
    options = ["--set", "imagenet", "--profile", "default", "--json", str(tmp_path / "out.json")]
    estimates = recall("--data", str(shared_data), *options, timeout=900)
    assert estimates["all"]["whole"] >= 100
    assert estimates["all"]["value"] >= 0.96
    assert estimates["false boxes an image"]["value"] <= 0.35


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("labels", "profile", "covered", "false"),
    [
        ("blind", "fast", 0.61, 0.2),
        ("blind", "default", 0.92, 0.3),
        ("blind", "high", 0.95, 1.0),
        ("crowds", "default", 0.93, 1.5),
        ("grey", "default", 0.94, 0.3),
        ("portraits", "default", 0.99, 0.3),
    ],
)
def test_the_profiles_find_what_people_find(
    shared_data: Path, tmp_path: Path, labels: str, profile: str, covered: float, false: float
) -> None:
    """Floors a little below what docs/detection.md prints."""
    options = ["--set", labels, "--profile", profile, "--json", str(tmp_path / "out.json")]
    estimates = recall("--data", str(shared_data), *options, timeout=900)
    assert estimates["all"]["value"] >= covered
    assert estimates["false boxes an image"]["value"] <= false


@pytest.mark.slow
def test_both_detectors_agree_on_a_face() -> None:
    image = demo("people/grace_hopper.jpg")
    groups = [detector.detect([image])[0] for detector in (CenterFace(), YuNet())]
    assert len(boxes.union(groups, 0.45)) == 1
