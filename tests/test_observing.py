"""Observers: each image is looked at in workers, and the whole set is judged once at the end."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from sfumato.errors import Code, SampleError, UsageError
from sfumato.ledger.ledger import Ledger
from sfumato.pipeline.driver import STAGES, Job, run, write_report
from sfumato.types import JSON, Face, Finding, Observation, Output, Sample
from sfumato.verification import observing
from sfumato.verification.cover_area import CoverArea
from sfumato.verification.observing import Judgement, Released
from tests import dataset
from tests.command import Here, sfumato
from tests.dataset import WATCHER, Dataset, files_of


class Twins:
    """An attack of a test: the same image is in the release twice, once covered and once not."""

    name: ClassVar[str] = "twins-1"

    def observe(self, image: Released) -> JSON | None:
        covered = image.output.action == "obfuscated"
        return {"pixels": int(image.before.sum()), "covered": covered, "changed": bool(
            (image.before != image.after).any()
        )}  # fmt: skip

    def judge(self, observations: Iterable[Observation]) -> Judgement:
        alike = defaultdict(list)
        for one in observations:
            assert one.values["covered"] == one.values["changed"]
            alike[one.values["pixels"]].append(one)
        wrong = [
            Finding(bare.key, Code.VERIFY_JUDGED, False, 1, 0, "uncovered elsewhere", bare.digest)
            for some in alike.values()
            if len({one.values["covered"] for one in some}) == 2
            for bare in some
            if not bare.values["covered"]
        ]
        count = sum(map(len, alike.values()))
        return Judgement(f"{len(wrong)} of {count} are twins <b>.", {"n": count}, tuple(wrong))


class Newer(Twins):
    name: ClassVar[str] = "twins-2"


class TwinsOf2(Twins):
    name: ClassVar[str] = "twins-of-2-1"


class Nameless(Twins):
    name = None  # type: ignore[assignment]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterable[Dataset]:
    bring(monkeypatch, "Twins")
    yield dataset.make(tmp_path, count=1)
    observing.observers.cache_clear()


def bring(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Add the observer as a package would."""
    point = EntryPoint("twins", f"{__name__}:{what}", observing.GROUP)
    monkeypatch.setattr(observing, "SHIPPED", (*observing.SHIPPED[:1], point))
    observing.observers.cache_clear()


def watched(data: Dataset, *names: str) -> Job:
    job = data.job()
    return replace(job, recipe=replace(job.recipe, observe=names or ("twins-1",)))


def bare_twin(data: Dataset) -> str:
    """Put a copy of an image with a face beside it; the file of boxes doesn't name it."""
    key = "n03/twin.png"
    (data.source / key).write_bytes((data.source / data.with_face[0]).read_bytes())
    return key


def test_an_attack_is_added_and_what_it_finds_is_a_finding(data: Dataset) -> None:
    key = bare_twin(data)
    report = run(watched(data), STAGES, Here())
    assert report.verdict == "failed"
    assert [(one.key, one.code) for one in report.failed] == [(key, Code.VERIFY_JUDGED)]
    summary = json.loads((data.out / "summary.json").read_text())
    count = len(data.keys) + 1
    assert summary["observed"] == {
        "twins-1": {"sentence": f"1 of {count} are twins <b>.", "n": count}
    }
    for page in (data.out / "report.html", data.job().private / "report.html"):
        assert f"1 of {count} are twins &lt;b&gt;." in page.read_text()
    before = files_of(data.out)
    assert write_report(data.out, data.job().ledger).verdict == "failed"
    assert files_of(data.out) == before


@pytest.mark.slow
def test_without_an_observer_the_release_is_what_it_was(data: Dataset) -> None:
    run(data.job(), STAGES, Here())
    plain = files_of(data.out)
    assert "observed" not in json.loads((data.out / "summary.json").read_text())
    job = watched(data)
    report = run(job, ("verify",), Here())
    assert report.verdict == "passed"
    changed = {name for name, held in files_of(data.out).items() if plain[name] != held}
    assert changed == {"summary.json", "report.html"}
    with Ledger(job.ledger) as ledger:  # what checks find holds though somebody observed
        commands = [row[0] for row in ledger.read("SELECT command FROM runs ORDER BY seq")]
    assert commands == ["detect+obfuscate+verify", "verify"]


@pytest.mark.slow
def test_what_was_noted_of_other_bytes_does_not_count(data: Dataset) -> None:
    key = bare_twin(data)
    run(watched(data), STAGES, Here())
    (data.source / key).unlink()
    report = run(watched(data), STAGES, Here())
    assert report.verdict == "passed"
    assert dict(report.judged)["twins-1"].figures == {"n": len(data.keys)}
    image = data.source / data.without[0]
    image.write_bytes((data.source / data.with_face[0]).read_bytes())
    report = run(watched(data), STAGES, Here())
    assert [one.key for one in report.failed] == [data.without[0]]


@pytest.mark.slow
def test_what_cannot_be_read_any_more_is_not_observed(data: Dataset) -> None:
    run(data.job(), STAGES, Here())
    (data.out / data.with_face[0]).write_bytes(b"no image")
    report = run(watched(data), ("verify",), Here())
    assert dict(report.judged)["twins-1"].figures == {"n": len(data.keys) - 1}
    assert report.verdict == "failed"  # as the checks say


@pytest.mark.slow
def test_an_observer_of_another_version_is_said_and_stops_no_report(
    data: Dataset, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run(watched(data), STAGES, Here())
    bring(monkeypatch, "Newer")
    report = write_report(data.out, data.job().ledger)
    assert dict(report.judged)["twins-1"].sentence.startswith("Not measured")
    assert "observe again by 'twins-2'" in caplog.text
    with pytest.raises(UsageError, match="observe again by 'twins-2'"):
        observing.observers(("twins-1",))


@pytest.mark.slow
def test_what_else_is_installed_here_is_not_published(
    data: Dataset, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run(watched(data), STAGES, Here())
    mine = EntryPoint("secret-project", f"{__name__}:Twins", observing.GROUP)
    for points in ((mine,), (mine, EntryPoint("twins", f"{__name__}:Gone", observing.GROUP))):
        monkeypatch.setattr(observing, "SHIPPED", points)
        observing.observers.cache_clear()
        write_report(data.out, data.job().ledger)
        for name in ("summary.json", "report.html"):
            text = (data.out / name).read_text()
            assert ("Not measured: this observer" in text, "secret" in text) == (True, False)
            assert __name__ not in text
    assert "choose one of secret-project" in caplog.text
    assert "The observer 'twins' can't be loaded (AttributeError" in caplog.text


@pytest.mark.slow
def test_a_release_is_verified_where_the_observer_of_its_run_is_gone(
    data: Dataset, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run(watched(data), STAGES, Here())
    bring(monkeypatch, "Newer")
    done = sfumato("verify", data.source, data.out)
    assert (done.code, done.err.count("Traceback")) == (0, 0)
    assert "twins-1' isn't asked" in caplog.text
    assert "observed" not in json.loads((data.out / "summary.json").read_text())
    assert sfumato("verify", data.source, data.out, "--observe", "twins").code == 0
    assert list(json.loads((data.out / "summary.json").read_text())["observed"]) == ["twins-2"]


@pytest.mark.parametrize(
    ("name", "what", "words"),
    [
        ("twins", "Gone", "can't be loaded .AttributeError"),
        ("twins", "Twins.name", "can't be loaded .TypeError"),
        ("triplets", "Twins", "calls itself 'twins-1': its name must be triplets-NUMBER"),
        ("twins", "Nameless", "calls itself None"),
    ],
)
def test_an_observer_that_cannot_be_one_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, what: str, words: str
) -> None:
    point = EntryPoint(name, f"{__name__}:{what}", observing.GROUP)
    monkeypatch.setattr(observing, "SHIPPED", (point,))
    observing.observers.cache_clear()
    with pytest.raises(UsageError, match=words):
        observing.observers((name,))


def test_an_observer_whose_kind_ends_with_a_number_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    point = EntryPoint("twins-of-2", f"{__name__}:TwinsOf2", observing.GROUP)
    monkeypatch.setattr(observing, "SHIPPED", (point,))
    observing.observers.cache_clear()
    assert [one.name for one in observing.observers(("twins-of-2", "twins-of-2-1"))] == (
        ["twins-of-2-1"] * 2
    )


@pytest.mark.parametrize("values", [{"n": np.float32(1)}, {"n": float("nan")}, ["n"]])
def test_notes_that_cannot_be_stored_end_the_run_with_a_sentence(
    data: Dataset, monkeypatch: pytest.MonkeyPatch, values: JSON
) -> None:
    monkeypatch.setattr(Twins, "observe", lambda _, image: values)
    with pytest.raises(UsageError, match=r"observer 'twins-1' notes of '.*' what is no plain JSON"):
        run(watched(data), STAGES, Here())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("judgement", "words"),
    [
        (None, "can't judge .ZeroDivisionError: nothing"),
        ("fine", "returns no Judgement"),
        (Judgement("s", {"sentence": "another"}), "returns no Judgement"),
        (Judgement("s", {"x": float("inf")}), "gives as figures what is no plain JSON"),
    ],
)
def test_a_judgement_that_cannot_be_published_is_refused_with_a_sentence(
    data: Dataset, monkeypatch: pytest.MonkeyPatch, judgement: Judgement | None, words: str
) -> None:
    def judge(_: Twins, observations: Iterable[Observation]) -> Judgement:
        assert list(observations)
        if judgement is None:
            raise ZeroDivisionError("nothing")
        return judgement

    monkeypatch.setattr(Twins, "judge", judge)
    with pytest.raises(UsageError, match=words):
        run(watched(data), STAGES, Here())
    assert not (data.out / "manifest.parquet").exists()
    assert run(data.job(), STAGES, Here()).verdict == "passed"  # as the sentence says


@pytest.mark.slow
def test_what_checks_found_holds_though_an_observer_refuses_the_image(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def observe(_: Twins, image: Released) -> None:
        raise SampleError(Code.IMAGE_DECODE, "not for me")

    run(data.job(), STAGES, Here())
    monkeypatch.setattr(Twins, "observe", observe)
    job, key = watched(data), data.with_face[0]
    (data.out / key).write_bytes((data.source / key).read_bytes())
    run(job, ("verify",), Here())
    with Ledger(job.ledger) as ledger:
        found = [one for one in ledger.findings(job.recipe.fingerprint("verify")) if one.key == key]
    failed = {one.code for one in found if not one.passed}
    assert failed >= {Code.VERIFY_BYTES_CHANGED, Code.VERIFY_UNREADABLE}


@pytest.mark.slow
def test_the_area_of_covers_is_measured_by_the_command(data: Dataset) -> None:
    words = ("--boxes", data.boxes, "--verify-detector", *WATCHER, "--observe", "cover-area")
    assert sfumato("run", data.source, data.out, *words).code == 0
    told = json.loads((data.out / "summary.json").read_text())["observed"]["cover-area-1"]
    changed = boxes = 0.0
    for key in data.with_face:
        with Image.open(data.source / key) as one, Image.open(data.out / key) as other:
            pair = [np.asarray(image.convert("RGB")) for image in (one, other)]
        changed += (pair[0] != pair[1]).any(axis=2).sum()
        x0, y0, x1, y1 = dataset.BOX
        boxes += (x1 - x0) * (y1 - y0)
    assert told["images"] == len(data.with_face)
    assert told["ratio"] == pytest.approx(changed / boxes)
    assert told["low"] <= told["ratio"] <= told["high"] <= told["most"] * 1.001
    done = sfumato("verify", data.source, data.out, "--observe", "nobody")
    assert (done.code, "cover-area, twins" in done.err) == (2, True)


def test_without_an_edited_image_the_area_is_not_measured() -> None:
    assert CoverArea().judge([]).sentence.startswith("Not measured")


def test_specks_of_boxes_are_not_measured() -> None:
    before = np.zeros((8, 8, 3), np.uint8)
    face = Face((1.0, 1.0, 1.1, 1.1), 1.0, "file")
    output = Output("a.png", "0", "1", "obfuscated", "exact", "fill", (face,))
    image = Released(Sample("a.png", "", b"", "0"), output, before, before + np.uint8(1))
    assert CoverArea().observe(image) is None
    large = replace(output, faces=(replace(face, box=(1.0, 1.0, 3.0, 3.0)),))
    assert CoverArea().observe(replace(image, output=large)) == {"changed": 64, "boxes": 4.0}
