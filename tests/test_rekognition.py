"""The cloud adapter, against botocore's Stubber and a service on 127.0.0.1 and no other."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import numpy as np
import pytest
from botocore.stub import ANY, Stubber
from PIL import Image

from sfumato.detection.detectors import meter, parse, rekognition
from sfumato.detection.detectors.rekognition import Rekognition
from sfumato.errors import Code, MissingExtra, SampleError, UsageError
from sfumato.types import Detector, Pixels
from tests.command import sfumato
from tests.contract.detector import DetectorContract, noise
from tests.rekognition_service import Service, face, serving, trouble


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The stand-in, and an environment in which boto3 can find nothing else."""
    nothing = tmp_path_factory.mktemp("aws") / "nothing"
    rekognition._client.cache_clear()
    with serving() as service, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            patch.setenv(name, str(nothing))
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
        patch.setenv("AWS_REGION", "eu-west-1")
        patch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        patch.setenv("AWS_ENDPOINT_URL_REKOGNITION", service.url)
        yield service
    rekognition._client.cache_clear()


@pytest.fixture
def service(running: Service) -> Service:
    for asked in (running.images, running.targets, running.script):
        asked.clear()
    return running


@pytest.fixture
def new_client(service: Service) -> Iterator[None]:
    """The next client is made with the environment of the test, and forgotten after it."""
    client = rekognition._client
    client.cache_clear()
    yield
    client.cache_clear()


@pytest.fixture
def allowed(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "meter.json"
    with meter.allowed(path, meter.Tariff(1.0)):
        yield path


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have been waited."""
    seconds: list[float] = []
    monkeypatch.setattr(time, "sleep", seconds.append)
    return seconds


@pytest.fixture
def grey() -> Pixels:
    return np.full((100, 200, 3), 90, dtype=np.uint8)


class TestRekognition(DetectorContract):
    @pytest.fixture
    def detector(self, service: Service, allowed: Path) -> Detector:
        return Rekognition()


class TestBoxes:
    def test_ratios_become_pixels_and_are_cut(
        self, service: Service, allowed: Path, grey: Pixels
    ) -> None:
        faces = [face(-0.1, 0.5, 0.3, 0.7, 80), face(0.5, 0.25, 0.25, 0.5, 99), face(1.1, 0, 1, 1)]
        service.script = [(200, {"FaceDetails": faces})]
        (found,) = Rekognition().detect([grey])
        assert [f.box for f in found] == [
            pytest.approx((100, 25, 150, 75)),
            pytest.approx((0, 50, 40, 100)),
        ]
        assert [f.score for f in found] == pytest.approx([0.99, 0.8])
        assert service.targets == ["RekognitionService.DetectFaces"]

    def test_the_threshold_decides(self, service: Service, allowed: Path, grey: Pixels) -> None:
        service.script = [(200, {"FaceDetails": [face(0, 0, 0.5, 0.5, 80)]})] * 2
        assert Rekognition(0.81).detect([grey]) == [[]]
        assert len(Rekognition(0.79).detect([grey])[0]) == 1

    def test_a_full_answer_is_asked_again_in_quarters(
        self, service: Service, allowed: Path
    ) -> None:
        image = np.full((400, 400, 3), 90, dtype=np.uint8)
        crowd = [face(i / 100, 0, 0.005, 0.5) for i in range(100)]
        service.script = [
            (200, {"FaceDetails": crowd}),
            (200, {"FaceDetails": []}),
            (200, {"FaceDetails": [face(0, 0.5, 0.1, 0.2)]}),  # bottom left
            (200, {"FaceDetails": []}),
            (200, {"FaceDetails": [face(0.9, 0.9, 0.1, 0.1)]}),  # bottom right
        ]
        (found,) = Rekognition().detect([image])
        assert len(service.images) == 5
        assert service.sizes() == [(400, 400), *[(240, 240)] * 4]
        boxes = [f.box for f in found]
        assert pytest.approx((0, 160 + 120, 24, 160 + 120 + 48)) in boxes
        assert pytest.approx((160 + 216, 160 + 216, 400, 400)) in boxes
        assert len(boxes) == 102

    def test_a_part_that_stays_full_is_refused_not_cut_off(
        self, service: Service, allowed: Path, grey: Pixels
    ) -> None:
        crowd = [face(i / 100, 0, 0.005, 0.5) for i in range(100)]
        service.script = [(200, {"FaceDetails": crowd})] * 100
        with pytest.raises(SampleError, match="100 faces at most") as told:
            Rekognition().detect([grey])
        assert told.value.code is Code.DETECTOR_FAILED

    def test_a_face_in_two_quarters_counts_once(self, service: Service, allowed: Path) -> None:
        image = np.full((400, 400, 3), 90, dtype=np.uint8)
        service.script = [
            (200, {"FaceDetails": [face(i / 100, 0, 0.005, 0.01) for i in range(100)]}),
            (200, {"FaceDetails": [face(180 / 240, 180 / 240, 40 / 240, 40 / 240)]}),
            (200, {"FaceDetails": []}),
            (200, {"FaceDetails": []}),
            (200, {"FaceDetails": [face(20 / 240, 20 / 240, 40 / 240, 40 / 240)]}),
        ]
        (found,) = Rekognition().detect([image])
        large = [f.box for f in found if f.box[2] - f.box[0] > 10]
        assert large == [pytest.approx((180, 180, 220, 220))]


class TestBytes:
    @pytest.mark.slow
    def test_a_large_image_is_scaled_until_it_fits(self, service: Service, allowed: Path) -> None:
        rng = np.random.default_rng(0)
        image = rng.integers(0, 256, (2600, 3000, 3), dtype=np.uint8)  # 11 MB as a JPEG
        image[650:1300, 750:1500] = 255
        (found,) = Rekognition(0.9).detect([image])
        assert all(len(data) <= 5_000_000 for data in service.images)
        assert service.sizes()[0][0] < 3000
        # Cells (2 to 3, 2 to 3) of the grid of 375 x 325 pixels are white: boxes lead back.
        hull = np.array([f.box for f in found])
        assert hull[:, :2].min(axis=0) == pytest.approx([656, 569], abs=3)
        assert hull[:, 2:].max(axis=0) == pytest.approx([1594, 1381], abs=3)

    def test_a_tiny_image_is_enlarged(self, service: Service, allowed: Path) -> None:
        white = np.full((3, 500, 3), 255, dtype=np.uint8)
        (found,) = Rekognition().detect([white])
        assert service.sizes() == [(500, 80)]
        assert found
        assert max(f.box[3] for f in found) == 3.0


class TestTrouble:
    @pytest.mark.parametrize(
        "code", ["ThrottlingException", "ProvisionedThroughputExceededException"]
    )
    def test_a_busy_service_is_asked_again_later_and_later(
        self, code: str, service: Service, allowed: Path, waits: list[float], grey: Pixels
    ) -> None:
        service.script = [trouble(code)] * 4 + [(200, {"FaceDetails": [face(0, 0, 1, 1)]})]
        assert len(Rekognition().detect([grey])[0]) == 1
        assert len(waits) == 4
        assert all(0 <= wait <= 0.5 * 2**i for i, wait in enumerate(waits))
        assert meter.calls_at(allowed) == 5

    def test_one_that_stays_busy_costs_the_image(
        self, service: Service, allowed: Path, waits: list[float], grey: Pixels
    ) -> None:
        service.script = [trouble("ThrottlingException")] * 50
        with pytest.raises(SampleError, match="busy 8 times in a row") as told:
            Rekognition().detect([grey])
        assert told.value.code is Code.DETECTOR_FAILED
        assert len(service.images) == 8

    def test_pauses_grow_and_are_spread(self) -> None:
        rng = np.random.default_rng(0)
        drawn = np.array([[rekognition.pause(i, rng) for i in range(9)] for _ in range(500)])
        limits = [0.5, 1, 2, 4, 8, 16, 20, 20, 20]
        assert (drawn >= 0).all()
        assert (drawn.max(axis=0) <= limits).all()
        np.testing.assert_allclose(drawn.mean(axis=0), np.array(limits) / 2, rtol=0.15)

    @pytest.mark.parametrize("code", ["ImageTooLargeException", "InvalidImageFormatException"])
    def test_a_image_that_it_cannot_read_is_a_sample_error(
        self, code: str, service: Service, allowed: Path, grey: Pixels
    ) -> None:
        service.script = [trouble(code)]
        with pytest.raises(SampleError, match=f"can't read it: {code}"):
            Rekognition().detect([grey])

    @pytest.mark.parametrize(
        "code", ["AccessDeniedException", "UnrecognizedClientException", "ExpiredTokenException"]
    )
    def test_credentials_end_the_run(
        self, code: str, service: Service, allowed: Path, grey: Pixels
    ) -> None:
        service.script = [trouble(code)]
        with pytest.raises(UsageError, match=rf"{code}.*AWS_PROFILE, AWS_REGION"):
            Rekognition().detect([grey])
        assert len(service.images) == 1

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "names",
        [("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), ("AWS_REGION", "AWS_DEFAULT_REGION")],
    )
    def test_what_is_missing_is_said(
        self,
        names: tuple[str, str],
        new_client: None,
        service: Service,
        allowed: Path,
        grey: Pixels,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        for name in names:
            monkeypatch.delenv(name)
        with pytest.raises(UsageError, match="Check credentials and region"):
            Rekognition().detect([grey])
        assert not service.images

    @pytest.mark.slow
    def test_a_service_that_is_not_there(
        self,
        new_client: None,
        allowed: Path,
        waits: list[float],
        grey: Pixels,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL_REKOGNITION", "http://127.0.0.1:1")
        with pytest.raises(UsageError, match=r"can't be reached.*network"):
            Rekognition().detect([grey])
        assert len(waits) == 7

    @pytest.mark.slow
    def test_boto3_itself_agrees_with_the_request(
        self, service: Service, allowed: Path, grey: Pixels, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """botocore's Stubber checks parameters and answer against the service's own model."""
        client = boto3.client("rekognition")
        stub = Stubber(client)
        answer = {"FaceDetails": [face(0.25, 0.25, 0.5, 0.5)]}
        stub.add_response("detect_faces", answer, {"Image": {"Bytes": ANY}})
        stub.add_client_error("detect_faces", "AccessDeniedException", "no")
        monkeypatch.setattr(rekognition, "_client", lambda: client)
        stub.activate()
        (found,) = Rekognition().detect([grey])
        assert found[0].box == pytest.approx((50, 25, 150, 75))
        with pytest.raises(UsageError, match="AccessDeniedException"):
            Rekognition().detect([grey])
        stub.assert_no_pending_responses()
        assert not service.images

    def test_without_boto3_the_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rekognition, "find_spec", lambda _: None)
        with pytest.raises(MissingExtra, match=r"pip install 'sfumato\[cloud\]'"):
            parse("rekognition")


class TestMeter:
    def test_without_consent_nothing_is_sent(self, service: Service, grey: Pixels) -> None:
        with pytest.raises(UsageError, match="say --allow-upload"):
            Rekognition().detect([grey])
        assert not service.images

    @pytest.mark.slow
    def test_the_limit_stops_before_the_call(
        self, service: Service, tmp_path: Path, grey: Pixels
    ) -> None:
        path = tmp_path / "meter.json"
        with meter.allowed(path, meter.Tariff(price=1.0, max_cost=0.002)):
            Rekognition().detect([grey, grey])
            with pytest.raises(UsageError, match=r"3 calls to rekognition cost \$0.00 .*max-cost"):
                Rekognition().detect([grey])
            assert meter.calls_at(path) == len(service.images) == 2
        assert meter.VARIABLE not in os.environ

    @pytest.mark.slow
    def test_processes_count_together(self, tmp_path: Path) -> None:
        path = tmp_path / "meter.json"
        program = (
            "from sfumato.detection.detectors import meter\nfor _ in range(50): meter.count('x')"
        )
        with meter.allowed(path, meter.Tariff(1.0)):
            running = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(2)]
            assert [process.wait() for process in running] == [0, 0]
        assert meter.calls_at(path) == 100

    @pytest.mark.parametrize(("price", "most"), [(-1, None), (1, -1), (float("nan"), None)])
    def test_nonsense_is_refused(self, price: float, most: float | None) -> None:
        with pytest.raises(UsageError, match="at least 0"):
            meter.Tariff(price, most)


class TestCommandLine:
    @pytest.fixture
    def images(self, tmp_path: Path) -> Path:
        folder = tmp_path / "src"
        folder.mkdir()
        for i in range(3):
            Image.fromarray(noise(90, 100, seed=i)).save(folder / f"{i}.png")
        return folder

    def test_it_needs_consent(self, service: Service, images: Path) -> None:
        done = sfumato("detect", images, "--detector", "rekognition")
        assert done.code == 2
        assert "would send images out of this machine" in done.err
        assert not service.images

    def test_too_costly_a_run_makes_no_call(self, service: Service, images: Path) -> None:
        limits = ["--allow-upload", "--max-cost", "2.9", "--upload-price", "1000"]
        done = sfumato("detect", images, "--detector", "rekognition", *limits)
        assert done.code == 2
        assert "3 calls for 3 images cost $3.00 at $1000 for 1,000 calls" in done.err
        assert not service.images

    @pytest.mark.slow
    def test_it_says_where_images_go_and_what_it_cost(self, service: Service, images: Path) -> None:
        options = ["--detector", "rekognition:0.5", "--allow-upload", "--max-cost", "1", "-j", "2"]
        done = sfumato("detect", images, *options)
        assert done.code == 0, done.err
        assert "Images leave this machine: rekognition:0.5. 3 images" in done.err
        assert "3 calls were made, about $0.00." in done.err
        assert len(service.images) == 3
        again = sfumato("detect", images, *options)
        assert "0 images are left" in again.err
        assert len(service.images) == 3
