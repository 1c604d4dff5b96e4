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

from sfumato.errors import Code, UsageError
from sfumato.ledger.ledger import Ledger
from sfumato.pipeline.driver import STAGES, Job, run, write_report
from sfumato.types import JSON, Finding, Observation
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


def test_an_observer_of_another_version_is_said_and_stops_no_report(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(watched(data), STAGES, Here())
    bring(monkeypatch, "Newer")
    report = write_report(data.out, data.job().ledger)
    assert "twins-2" in dict(report.judged)["twins-1"].sentence
    with pytest.raises(UsageError, match="observe again by 'twins-2'"):
        observing.observers(("twins-1",))


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
