"""`--device`: what is there is used, what isn't is said, and nothing falls back on its own."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from sfumato.detection.detectors import devices, network, onnx_file, parse, session
from sfumato.detection.detectors.centerface import CenterFace
from sfumato.detection.detectors.session import Tensor
from sfumato.detection.detectors.yunet import YuNet
from sfumato.errors import UsageError
from sfumato.pipeline.settings import Settings
from tests.contract.detector import noise
from tests.onnx_models import described
from tests.test_detectors import demo


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """ "cuda" is there, and is the processor: what is tested is the way to it, not CUDA."""
    monkeypatch.setitem(devices.PROVIDERS, "cuda", "CPUExecutionProvider")
    session.session.cache_clear()
    onnx_file._model.cache_clear()
    yield
    session.session.cache_clear()
    onnx_file._model.cache_clear()


def providers(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(names))


class TestWithoutCuda:
    @pytest.fixture(autouse=True)
    def cpu_only(self, monkeypatch: pytest.MonkeyPatch) -> None:
        providers(monkeypatch, "AzureExecutionProvider", "CPUExecutionProvider")

    @pytest.mark.parametrize("spec", ["yunet#cuda", "centerface@640:0.3#cuda"])
    def test_a_detector_stops_and_says_what_to_install(self, spec: str) -> None:
        with pytest.raises(UsageError, match=r"no CUDAExecutionProvider.*'sfumato\[gpu\]'"):
            parse(spec)

    def test_settings_stop_too(self) -> None:
        with pytest.raises(UsageError, match=r"pip install 'sfumato\[gpu\]'.*--device cuda,cpu"):
            Settings(device="cuda").recipe()

    def test_the_processor_is_taken_only_if_it_is_named_and_that_is_said(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING):
            recipe = Settings(device="cuda,cpu").recipe()
        assert recipe == Settings().recipe()
        assert "No cuda here: networks run on cpu." in caplog.text

    def test_nothing_is_said_about_what_was_asked_for(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        Settings(device="cpu,cuda").recipe()
        Settings(device="cpu").recipe()
        assert not caplog.text

    @pytest.mark.parametrize("device", ["gpu", "cpu,gpu", "", "cuda;cpu"])
    def test_an_unknown_device_is_refused(self, device: str) -> None:
        with pytest.raises(UsageError, match=r"There is no device .*: choose from cpu, cuda"):
            Settings(device=device).recipe()

    def test_so_it_is_in_a_specification(self) -> None:
        with pytest.raises(UsageError, match="There is no device 'tpu'"):
            parse("yunet#tpu")


class TestWithCuda:
    @pytest.fixture(autouse=True)
    def cuda(self, monkeypatch: pytest.MonkeyPatch) -> None:
        providers(monkeypatch, "CUDAExecutionProvider", "CPUExecutionProvider")

    def test_it_is_in_the_recipe_and_its_fingerprint(self) -> None:
        wanted = ("yunet@640:0.5",)
        recipe = Settings(detectors=wanted, device="cuda").recipe()
        assert recipe.detect.detectors == recipe.verify.detectors == ("yunet@640:0.5#cuda",)
        assert recipe == Settings(detectors=wanted, device="cuda,cpu").recipe()
        there = recipe.fingerprint("detect")
        assert there != Settings(detectors=wanted).recipe().fingerprint("detect")

    @pytest.mark.parametrize("profile", ["fast", "default", "high"])
    def test_the_finder_says_that_it_runs_on_the_processor_only(self, profile: str) -> None:
        with pytest.raises(UsageError, match=r"processor only.*--detector centerface@640"):
            Settings(profile=profile, device="cuda").recipe()
        recipe = Settings(detectors=(f"finder@{profile}#cpu", "yunet"), device="cuda").recipe()
        assert recipe.detect.detectors == (parse(f"finder@{profile}").spec, "yunet@960:0.53#cuda")

    def test_a_specification_keeps_its_own(self) -> None:
        recipe = Settings(detectors=("yunet#cpu", "centerface"), device="cuda").recipe()
        assert recipe.detect.detectors == ("yunet@960:0.53", "centerface@640:0.3#cuda")
        assert recipe.verify.detectors == recipe.detect.detectors

    def test_a_threshold_for_all_keeps_it_too(self) -> None:
        recipe = Settings(detectors=("yunet#cuda",), threshold=0.4).recipe()
        assert recipe.detect.detectors == ("yunet@960:0.4#cuda",)

    def test_specifications_make_the_same_detector(self) -> None:
        assert parse("yunet@640:0.5#cuda") == YuNet(640, 0.5, "cuda")
        assert parse(CenterFace(device="cuda").spec) == CenterFace(device="cuda")

    def test_onnx_runtime_may_not_take_another(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It warns and goes to the processor when a library of CUDA is missing."""
        made = onnxruntime.InferenceSession

        def falling_back(*given: object, providers: list[str]) -> onnxruntime.InferenceSession:
            assert providers == ["CUDAExecutionProvider"]
            return made(*given, providers=["CPUExecutionProvider"])

        monkeypatch.setattr(onnxruntime, "InferenceSession", falling_back)
        with pytest.raises(UsageError, match=r"could not start it.*libraries are missing"):
            YuNet(320, device="cuda").detect([noise(40, 40)])


class TestBatches:
    def test_alike_ones_share_a_run(self) -> None:
        groups = list(network.alike("abcabca", lambda letter: letter, largest=2))
        assert groups == [[0, 3], [6], [1, 4], [2, 5]]

    @pytest.mark.slow
    def test_centerface_finds_in_a_batch_what_it_finds_alone(self, pretended: None) -> None:
        portrait = demo("people/astronaut.png")
        images = [portrait, portrait[::-1], noise(90, 300), portrait[:, ::-1], portrait[..., :1]]
        alone = CenterFace(192).detect(images)
        together = CenterFace(192, device="cuda").detect(images)
        assert [len(found) for found in together] == [len(found) for found in alone]
        pairs = zip(chain(*alone), chain(*together), strict=True)
        for a, b in pairs:
            assert b.box == pytest.approx(a.box, abs=1e-2)
            assert b.score == pytest.approx(a.score, abs=1e-4)

    @pytest.mark.parametrize("family", ["scrfd", "yunet"])  # takes batches; does not
    def test_described_ones_too(
        self, family: str, pretended: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = described(tmp_path, family)
        runs: list[int] = []
        run = network.Model.run

        def counted(self: network.Model, given: Tensor) -> list[Tensor]:
            runs.append(len(given))
            return run(self, given)

        monkeypatch.setattr(network.Model, "run", counted)
        light = np.full((60, 90, 3), 220, dtype=np.uint8)
        images = [light, noise(90, 60), light[::-1], noise(200, 50)]
        alone = parse(f"onnx:{path}").detect(images)
        assert runs[-4:] == [1, 1, 1, 1]
        together = parse(f"onnx:{path}#cuda").detect(images)
        assert together == alone
        assert together[0]
        assert runs[-2:] == ([3, 1] if family == "scrfd" else [1, 1])
