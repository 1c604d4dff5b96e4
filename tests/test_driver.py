"""The driver's steps one by one, on a source in which nobody has to look for a face."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sfumato.errors import Code, UsageError
from sfumato.ledger.ledger import Ledger
from sfumato.pipeline import driver
from sfumato.pipeline.driver import (
    STAGES,
    Job,
    _begun,
    _commit,
    _take,
    _work,
    run,
    write_report,
)
from sfumato.pipeline.executors import Result, Task
from sfumato.pipeline.job import Contents
from sfumato.pipeline.plan import Plan
from sfumato.pipeline.work import Work
from sfumato.recipe import DetectStep, ObfuscateStep, Recipe, VerifyStep
from sfumato.sources import Listing, Note, open_sink, open_source
from sfumato.sources.doors import ImportedBoxes, Shard
from sfumato.sources.folder_sink import FolderSink
from sfumato.sources.private import private_folder
from sfumato.types import (
    Detection,
    Face,
    Failure,
    Finding,
    Output,
    Redetection,
    Sample,
)

RECIPE = Recipe(DetectStep(("a",), ("w",), 9), VerifyStep(("v",), ("x",)))
KEYS = ("a.jpg", "b.jpg")
FACE = Face((1.0, 2.0, 3.0, 4.0), 0.9, "a")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    (tmp_path / "src").mkdir()
    for key in KEYS:
        (tmp_path / "src" / key).write_bytes(b"x")
    source = open_source(tmp_path / "src")
    out = open_sink(tmp_path / "out", like=source)
    return Job(source, RECIPE, private_folder(tmp_path / "out") / "ledger.sqlite", out)


def started(ledger: Ledger, job: Job, command: str, recipe: Recipe | None = None) -> None:
    used = recipe or job.recipe
    told = {**used.as_json(), "selection": job.selection.as_json()}
    ledger.begin(
        started="",
        command=command,
        source=job.source.url,
        fingerprint=used.fingerprint("verify"),
        recipe=json.dumps(told),
        versions='{"searched":1}',
    )


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Nobody:
    """An executor at which each worker is lost; it notes what it was given."""

    def __init__(self) -> None:
        self.known: list[Shard] = []

    def map(self, task: Task, shards: Iterable[Shard]) -> Iterator[Result]:
        self.known += shards
        return iter(())


# --- before the work ----------------------------------------------------------------------------


def test_a_start_that_fails_late_removes_what_it_made_and_nothing_else(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Ledger, "begin", full)
    before = sorted(tmp_path.rglob("*"))
    new = replace(job, out=open_sink(tmp_path / "new" / "out", like=job.source))
    for one in (job, new):
        with pytest.raises(KeyboardInterrupt), _begun(one, STAGES, one.release.begin()):
            raise AssertionError("it never began")
        assert sorted(tmp_path.rglob("*")) == before


def test_two_ledgers_do_not_share_a_release_at_once(job: Job, tmp_path: Path) -> None:
    other = replace(job, ledger=tmp_path / "other" / "l.sqlite")
    with _begun(job, STAGES, job.release.begin()):
        with (
            pytest.raises(UsageError, match=f"Another sfumato works with {tmp_path / 'out'}:"),
            _begun(other, STAGES, other.release.begin()),
        ):
            raise AssertionError("it began")
        assert not (tmp_path / "other").exists()
        with _begun(replace(other, out=None), ("detect",), None):
            pass  # a search writes no release


def test_whose_release_it_is_comes_before_what_other_ledgers_know(job: Job, tmp_path: Path) -> None:
    kept = tmp_path / "kept.sqlite"
    detect = RECIPE.fingerprint("detect")
    with Ledger(kept) as theirs:
        started(theirs, job, "detect")
        theirs.commit([(detect, Detection("a.jpg", "0", 9, 9, (FACE,)))])
    private_folder(tmp_path / "out").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.jpg").write_bytes(b"x")
    other = replace(RECIPE, obfuscate=ObfuscateStep("fill"))
    with Ledger(job.ledger) as ours:
        started(ours, job, "detect+obfuscate", other)
    wanted = replace(job, detections=(kept,))
    with (
        pytest.raises(UsageError, match="made by another recipe"),
        _begun(wanted, STAGES, job.release.begin()),
    ):
        raise AssertionError("it began")
    with Ledger(job.ledger) as ours:
        assert list(ours.latest(detect, ["detection"])) == []
        assert ours.last_run("%verify%") is None
    with _begun(replace(wanted, overwrite=True), STAGES, job.release.begin()) as (ours, content):
        assert [record.key for record in ours.latest(detect, ["detection"])] == ["a.jpg"]
        assert content.listing.images == KEYS
        assert ours.last_run("%verify%") is not None


def test_the_folders_of_the_ledger_are_on_the_disk_before_it_says_that_a_run_began(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = list[str]()
    begin = Ledger.begin

    def noting(self: Ledger, **said: Any) -> None:
        calls.append("begin")
        begin(self, **said)

    monkeypatch.setattr(Ledger, "begin", noting)
    monkeypatch.setattr(driver, "fsync", lambda path: calls.append(str(path)))
    with _begun(job, STAGES, job.release.begin()):
        pass
    assert calls[-1] == "begin"
    assert set(calls[:-1]) == {str(tmp_path / "out.sfumato"), str(tmp_path)}


@pytest.mark.parametrize("stages", [STAGES, ("detect", "obfuscate"), ("verify",)])
def test_what_is_covered_besides_is_said_and_the_manifest_goes_before_the_work(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stages: Sequence[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out.sfumato").mkdir(mode=0o700)
    with Ledger(job.ledger) as ledger:
        started(ledger, job, "detect+obfuscate")
    manifest = tmp_path / "out" / "manifest.parquet"
    manifest.write_bytes(b"of before")
    told = list[str]()
    monkeypatch.setattr(driver, "_tell", lambda plan, *_: told.append(plan.left[0].id))

    def work(plan: Plan, *_: object) -> None:
        assert told == [plan.left[0].id]
        assert manifest.exists() == (stages == ("verify",))
        raise KeyboardInterrupt

    monkeypatch.setattr(driver, "_take", work)
    with pytest.raises(KeyboardInterrupt):
        run(job, stages, Nobody())
    assert told


# --- while it goes on ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stages", "resume", "stays"),
    [
        (STAGES, True, {"detect", "obfuscate"}),
        (STAGES, False, set()),
        (("detect", "obfuscate"), True, {"detect", "obfuscate"}),
        (("detect",), True, set(STAGES)),
        (("detect",), False, set()),
        (("verify",), True, set(STAGES)),
    ],
)
def test_what_is_to_be_done_anew_is_not_done_until_it_is(
    job: Job, stages: Sequence[str], resume: bool, stays: set[str]
) -> None:
    """What will lie in the release isn't what was verified, by whatever detectors."""
    left, other = Shard("left", job.source.url, KEYS), Shard("other", job.source.url, ("c.jpg",))
    content = Contents(Listing(KEYS, (), ()), (left, other), {})
    checked = replace(RECIPE, verify=VerifyStep(("u",), ("z",)))
    foreign = replace(RECIPE, obfuscate=ObfuscateStep("fill"))
    (job.private).mkdir(mode=0o700)
    with Ledger(job.ledger) as ledger:
        for recipe in (RECIPE, checked, foreign):
            started(ledger, job, "detect+obfuscate+verify", recipe)
            for shard in (left, other):
                done = [(stage, recipe.fingerprint(stage)) for stage in STAGES]
                ledger.commit((), done, shard=shard.id)
        wanted = replace(job, resume=resume)
        lost = Nobody()
        _take(Plan(content, (left,)), _work(wanted, stages, job.out), wanted, lost, ledger, None)
        assert [shard.id for shard in lost.known] == ["left"]
        for recipe in (RECIPE, checked, foreign):
            found = {s for s in STAGES if "left" in ledger.done(s, recipe.fingerprint(s))}
            assert found == (stays if recipe is not foreign or not resume else set(STAGES))
            assert all("other" in ledger.done(s, recipe.fingerprint(s)) for s in STAGES)


def test_what_was_seen_read_and_imported_is_known_before_the_work(job: Job) -> None:
    seen = Redetection("a.jpg", "0", (FACE,), ("v",))
    note = Note("b.jpg", "1", "state")
    left = Shard("left", job.source.url, KEYS)
    given = ImportedBoxes((FACE,))
    content = Contents(Listing(KEYS, (), ()), (left,), {"b.jpg": given})
    recipe = replace(RECIPE, detect=DetectStep((), (), 9, "boxes", "faceless"))
    (job.private).mkdir(mode=0o700)
    with Ledger(job.ledger) as ledger:
        for boxes in (None, Path("boxes.csv")):
            wanted, lost = replace(job, recipe=recipe, boxes=boxes), Nobody()
            plan = Plan(content, (left,), (note,), (seen,))
            _take(plan, _work(wanted, STAGES, job.out), wanted, lost, ledger, None)
            (shard,) = lost.known
            assert [one.redetection for one in shard.known] == [seen, None]
            assert [one.imported for one in shard.known] == [None, given if boxes else None]
            assert list(ledger.notes()) == [note]
            assert dict(ledger.listing()) == dict.fromkeys(KEYS, "image")


AFTER = Output("a.jpg", "0", sha256(b"new"), "copied", "identical", "", ())
RESULTS = [
    Result("s", "a.jpg", (AFTER, Finding("a.jpg", Code.VERIFY_COUNT, True, 0, 0, ""))),
    Result("s", "b.jpg", (Failure("b.jpg", "detect", Code.IMAGE_DECODE, ""),)),
    Result("s", "c.jpg", ()),
]
UNKNOWN = Note("a.jpg", "", "")


@pytest.fixture
def staged(job: Job) -> Iterator[tuple[Work, Ledger]]:
    """An image that was staged, where a note tells what lay there before."""
    sink = job.release.begin()
    sink.make()
    job.private.mkdir(mode=0o700)
    sink.stage(Sample("a.jpg", "", b"", "0"), b"new")
    with Ledger(job.ledger) as ledger:
        ledger.commit((), notes=[Note("a.jpg", "of before", "state")])
        yield _work(job, STAGES, sink), ledger


@pytest.mark.parametrize("published", [False, True])
def test_what_is_being_published_is_ours_and_is_not_believed(
    staged: tuple[Work, Ledger], monkeypatch: pytest.MonkeyPatch, published: bool
) -> None:
    """Killed between two renames, nobody knows which bytes lie there."""
    work, ledger = staged
    publish = FolderSink.publish

    def dying(self: FolderSink, keys: Iterable[str]) -> None:
        assert list(ledger.notes()) == [UNKNOWN]
        if published:
            publish(self, keys)
        raise KeyboardInterrupt

    monkeypatch.setattr(FolderSink, "publish", dying)
    with pytest.raises(KeyboardInterrupt):
        _commit("s", RESULTS, work, ledger)
    assert list(ledger.notes()) == [UNKNOWN]
    assert list(ledger.latest(RECIPE.fingerprint("obfuscate"), ["output", "failure"])) == []
    assert list(ledger.read("SELECT id FROM shards")) == []


def test_what_was_published_is_noted_recorded_and_done(staged: tuple[Work, Ledger]) -> None:
    work, ledger = staged
    assert work.sink is not None
    _commit("s", RESULTS, work, ledger)
    (note,) = ledger.notes()
    assert (note.digest, note.state) == (sha256(b"new"), work.sink.state("a.jpg"))
    fates = list(ledger.latest(RECIPE.fingerprint("obfuscate"), ["output", "failure"]))
    assert fates == [AFTER, RESULTS[1].records[0]]
    done = set(ledger.read("SELECT stage, fingerprint, id, from_key, to_key FROM shards"))
    assert done == {(one, RECIPE.fingerprint(one), "s", "a.jpg", "c.jpg") for one in STAGES}


def test_where_nothing_is_released_nothing_is_published(staged: tuple[Work, Ledger]) -> None:
    work, ledger = staged
    assert work.sink is not None
    _commit("s", RESULTS, replace(work, stages=("detect", "verify")), ledger)
    assert not work.sink.holds("a.jpg")
    assert [note.digest for note in ledger.notes()] == ["of before"]
    assert {stage for (stage,) in ledger.read("SELECT stage FROM shards")} == {"detect", "verify"}


# --- a report alone -----------------------------------------------------------------------------


def test_a_report_is_of_the_last_check_if_that_was_of_this_release(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list[tuple[Recipe, str, bool]]()

    def finish(recipe: Recipe, source: Any, *_: object, tidy: bool) -> None:
        told.append((recipe, source.url, tidy))

    monkeypatch.setattr(driver, "finish", finish)
    checked = replace(RECIPE, verify=VerifyStep(("u",), ("z",)))
    fill = replace(RECIPE, obfuscate=ObfuscateStep("fill"))
    (tmp_path / "out").mkdir()
    job.private.mkdir(mode=0o700)
    with Ledger(job.ledger) as ledger:
        started(ledger, job, "detect+obfuscate")
    write_report(tmp_path / "out", job.ledger)
    with Ledger(job.ledger) as ledger:
        started(ledger, job, "verify", checked)
    write_report(tmp_path / "out", job.ledger)
    with Ledger(job.ledger) as ledger:
        started(ledger, job, "detect+obfuscate", fill)
    write_report(tmp_path / "out", job.ledger)
    assert told == [(one, str(tmp_path / "src"), False) for one in (RECIPE, checked, fill)]


def test_a_report_is_not_written_into_a_folder_of_something_else(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "finish", lambda *_, **__: pytest.fail("it was written"))
    ledger = tmp_path / "ledgers" / "l.sqlite"
    ledger.parent.mkdir(mode=0o700)
    with Ledger(ledger) as opened:
        told = {**RECIPE.as_json(), "selection": {}, "out": os.fspath(tmp_path / "out")}
        opened.begin(started="", command="obfuscate", source=job.source.url, fingerprint="",
                     recipe=json.dumps(told), versions="")  # fmt: skip
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "report.html").write_text("mine")
    with pytest.raises(UsageError, match="isn't empty, and the release of the ledger"):
        write_report(mine, ledger)
