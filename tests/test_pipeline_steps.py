"""What the driver does with results: in which order, under which settings, and what it leaves."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from sfumato.errors import Code, LedgerError, OutputError, UsageError
from sfumato.ledger.ledger import Ledger
from sfumato.pipeline import driver
from sfumato.pipeline.driver import (
    STAGES,
    Job,
    _file_listing,
    _notes,
    _tell,
    _work,
    run,
    search,
    write_report,
)
from sfumato.pipeline.executors import Result, Task
from sfumato.pipeline.job import Contents, private_files, private_of
from sfumato.pipeline.plan import Plan
from sfumato.pipeline.settings import software
from sfumato.pipeline.work import Work
from sfumato.recipe import DetectStep, Recipe, VerifyStep
from sfumato.sources import Listing, Note, open_sink, open_source
from sfumato.sources.disk import PART_SUFFIX
from sfumato.sources.doors import Known, Shard
from sfumato.sources.folder_sink import FolderSink
from sfumato.sources.imagefolder import ImageFolder
from sfumato.sources.notes import state_of
from sfumato.sources.private import private_folder
from sfumato.types import Decision, Detection, Failure, Finding, Output, Redetection
from tests import dataset, text_images
from tests.command import Here
from tests.dataset import BOX, Dataset, files_of


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    made = dataset.make(tmp_path, count=1)
    (made.source / "n03" / "text.jpg").write_text("This is not an image.")
    return made


@dataclass
class Noting(Here):
    """An executor that gives its results the wrong way round, and notes what it was asked for."""

    asked: list[str] = field(default_factory=list)

    def map(self, task: Task, shards: Iterable[Shard]) -> Iterator[Result]:
        taken = list(shards)
        self.asked += [key for shard in taken for key in shard.keys]
        yield from list(super().map(task, taken))[::-1]


class Forgetful(Here):
    """An executor that leaves out the last key."""

    def map(self, task: Task, shards: Iterable[Shard]) -> Iterator[Result]:
        yield from list(super().map(task, shards))[:-1]


def keys_of(data: Dataset) -> list[str]:
    return sorted([*data.keys, "n03/text.jpg"])


# --- results ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_results_may_come_in_any_order(data: Dataset) -> None:
    run(data.job(), STAGES, Here())
    other = data.job(data.root / "other")
    run(other, STAGES, Noting())
    assert files_of(data.root / "other") == files_of(data.out)


@pytest.mark.slow
def test_a_key_that_never_came_back_is_no_finished_release(data: Dataset) -> None:
    with pytest.raises(LedgerError, match="left out keys of 1 shards"):
        run(data.job(), STAGES, Forgetful())
    assert not (data.out / "manifest.parquet").exists()
    with Ledger(data.job().ledger, read_only=True) as ledger:
        assert list(ledger.latest(data.job().recipe.fingerprint("obfuscate"), ["output"])) == []
    assert run(data.job(), STAGES, Here()).account.images_out == len(data.keys)


@pytest.mark.slow
def test_nothing_is_recorded_as_done_that_was_not_published(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OutputError("no space left")

    job = data.job()
    with monkeypatch.context() as patch:
        patch.setattr(FolderSink, "publish", full)
        with pytest.raises(OutputError):
            run(job, STAGES, Here())
    with Ledger(job.ledger, read_only=True) as ledger:
        for stage in STAGES:
            assert ledger.done(stage, job.recipe.fingerprint(stage)) == set()
        assert list(ledger.latest(job.recipe.fingerprint("obfuscate"), ["output"])) == []
    assert run(job, STAGES, Here()).account.images_out == len(data.keys)


@pytest.mark.slow
def test_progress_starts_with_what_was_done_and_ends_with_all(data: Dataset) -> None:
    told: list[tuple[int, int]] = []
    run(data.job(), STAGES, Here(), progress=lambda *counts: told.append(counts))
    total = len(keys_of(data))
    assert told == [(count, total) for count in range(total + 1)]
    told.clear()
    run(data.job(), STAGES, Here(), progress=lambda *counts: told.append(counts))
    assert told == [(total, total)]


@pytest.mark.slow
def test_each_record_lies_under_the_settings_that_it_depends_on(data: Dataset) -> None:
    job = data.job()
    run(job, STAGES, Here())
    prints = {stage: job.recipe.fingerprint(stage) for stage in STAGES}
    assert len(set(prints.values())) == 3
    with Ledger(job.ledger, read_only=True) as ledger:
        found = {
            kind: {stage for stage, mark in prints.items() if list(ledger.latest(mark, [kind]))}
            for kind in ("detection", "output", "finding", "failure")
        }
        shards = {stage: ledger.done(stage, mark) for stage, mark in prints.items()}
    assert found == {
        "detection": {"detect"},
        "output": {"obfuscate"},
        "finding": {"verify"},
        "failure": {"obfuscate"},
    }
    assert shards["detect"] == shards["obfuscate"] == shards["verify"] != set()


def test_a_search_writes_records_and_no_image(data: Dataset) -> None:
    job = data.job()
    search(replace(job, out=None), Here())
    assert not data.out.exists()
    prints = {stage: job.recipe.fingerprint(stage) for stage in STAGES}
    with Ledger(job.ledger, read_only=True) as ledger:
        found = list(ledger.latest(prints["detect"], ["detection", "failure"]))
        assert list(ledger.latest(prints["obfuscate"], ["output", "failure"])) == []
        assert ledger.done("detect", prints["detect"]) != set()
        assert ledger.done("obfuscate", prints["obfuscate"]) == set()
        listed = dict(ledger.listing())
        assert list(ledger.read("SELECT command FROM runs")) == [("detect",)]
    assert [one.key for one in found] == keys_of(data)
    assert [one.key for one in found if isinstance(one, Failure)] == ["n03/text.jpg"]
    boxes = {one.key: [face.box for face in one.faces] for one in found
             if isinstance(one, Detection)}  # fmt: skip
    assert boxes == {key: [BOX] if key in data.with_face else [] for key in data.keys}
    assert listed == dict.fromkeys(keys_of(data), "image") | {"labels.txt": "ignored"}


@pytest.mark.slow
def test_a_run_is_noted_with_all_that_it_depends_on(data: Dataset) -> None:
    job = data.job()
    run(job, ("detect", "obfuscate"), Here())
    with Ledger(job.ledger, read_only=True) as ledger:
        ((started, *told, recipe, versions),) = ledger.read(
            "SELECT started, command, source, fingerprint, recipe, versions FROM runs"
        )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", started)
    assert told == ["detect+obfuscate", str(data.source), job.recipe.fingerprint("verify")]
    whole = {**job.recipe.as_json(), "selection": job.selection.as_json()}
    whole["out"] = os.path.realpath(data.out)
    assert recipe == json.dumps(whole, sort_keys=True)
    assert json.loads(versions) == software()


def test_a_note_says_what_was_read_where_no_check_has_passed(data: Dataset) -> None:
    """A check that failed, or another one, has not seen these bytes; what is gone has no note."""
    sink = FolderSink(data.out, token="t", like=ImageFolder(data.source))
    data.out.mkdir()
    outputs = [Output(key, "0", "written", "copied", "identical", "", ()) for key in "abcde"]
    for key in "abcd":
        sink.final(key).write_bytes(key.encode())
    findings = [
        Finding("a", Code.VERIFY_BYTES_CHANGED, True, 0, 0, ""),
        Finding("b", Code.VERIFY_BYTES_CHANGED, False, 1, 0, ""),
        Finding("c", Code.VERIFY_STRENGTH, True, 0, 0, ""),
    ]
    notes = {note.key: note for note in _notes(outputs, [*outputs, *findings], sink)}
    assert {key: note.digest for key, note in notes.items()} == {
        "a": "written",
        **{key: hashlib.sha256(key.encode()).hexdigest() for key in "bcd"},
    }
    assert all(note.state == state_of(sink.final(key)) for key, note in notes.items())


def test_what_is_covered_besides_is_told_by_what_it_comes_on_top_of(
    data: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    job = data.job()
    searched = replace(job.recipe, detect=replace(job.recipe.detect, boxes=""))
    seen = tuple(Redetection(key, "0", (), ()) for key in "abcde")
    plan = Plan(Contents(Listing((), (), ()), (), {}), (), (), seen)
    people, listed = (
        f"In {count} images, faces are covered besides what {what}."
        for count, what in ((2, "people decided on"), (3, "the file of boxes lists"))
    )
    with Ledger(data.root / "ledger.sqlite") as ledger:
        for recipe in (job.recipe, searched):
            decisions = [Decision(key, "0", (), "merged") for key in "abx"]
            ledger.commit((recipe.fingerprint("detect"), one) for one in decisions)
        for one, some, told in (
            (job, seen, [people, listed]),
            (job, seen[:2], [people]),
            (job, (), []),
            (replace(job, recipe=searched), seen, [people]),
        ):
            caplog.clear()
            _tell(replace(plan, uncovered=some), one, ledger)
            assert caplog.messages == told


def test_a_worker_is_told_what_the_job_asks_for(data: Dataset) -> None:
    job = data.job()
    for asked in (False, True):
        work = _work(replace(job, second_reader=asked), STAGES, job.out)
        assert work == Work(job.recipe, job.source, STAGES, job.out, asked)


# --- what the source holds ----------------------------------------------------------------------

NO_LINK = Failure("broken.jpg", "read", Code.LINK_BROKEN, "leads nowhere")
LISTING = Listing(
    ("a.jpg", "b.jpg"), ("kept.txt", "new.txt", "out.txt"), (NO_LINK,), (".DS_Store",), ("x.jpg",)
)
LISTED = {"a.jpg": "image", "b.jpg": "image", ".DS_Store": "ignored", "x.jpg": "excluded",
          "broken.jpg": "refused"}  # fmt: skip
IGNORED = dict.fromkeys(LISTING.others, "ignored")


@pytest.fixture
def texts(tmp_path: Path) -> Iterator[tuple[Job, FolderSink, Ledger]]:
    """Three files that are no images, of which earlier runs have copied one and withheld one."""
    for name in LISTING.others:
        (tmp_path / "src").mkdir(exist_ok=True)
        (tmp_path / "src" / name).write_text(name)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "kept.txt").write_text("kept.txt")
    recipe = Recipe(DetectStep(("a",), ("w",), 9), VerifyStep(("v",), ("x",)))
    source = ImageFolder(tmp_path / "src")
    sink = FolderSink(tmp_path / "out", token="t", like=source)
    job = Job(source, recipe, tmp_path / "ledger.sqlite", sink)
    with Ledger(job.ledger) as ledger:
        ledger.list_source({"gone.txt": "copied", "kept.txt": "copied", "out.txt": "withheld",
                            "old.txt": "ignored", "new.txt": "ignored"})  # fmt: skip
        yield job, sink, ledger


def test_a_run_lists_what_the_source_holds_and_refuses_what_cannot_be_reached(
    texts: tuple[Job, FolderSink, Ledger],
) -> None:
    job, sink, ledger = texts
    ledger.commit((), notes=[Note("kept.txt", "digest", "state")])
    _file_listing(job, STAGES, LISTING, sink, ledger)
    assert dict(ledger.listing()) == LISTED | IGNORED
    assert list(ledger.latest(job.recipe.fingerprint("obfuscate"), ["failure"])) == [NO_LINK]
    # What was copied is ours, whoever has kept no record of it; what was noted stays noted.
    assert list(ledger.notes()) == [Note("gone.txt", "", ""), Note("kept.txt", "digest", "state")]
    _file_listing(job, ("detect",), LISTING, None, ledger)
    assert dict(ledger.listing()) == LISTED | IGNORED
    assert list(ledger.latest(job.recipe.fingerprint("detect"), ["failure"])) == [NO_LINK]
    assert not sink.holds("new.txt")


def test_a_search_decides_nothing_on_other_files(texts: tuple[Job, FolderSink, Ledger]) -> None:
    job, _, ledger = texts
    _file_listing(replace(job, copy_other=True), ("detect",), LISTING, None, ledger)
    assert dict(ledger.listing()) == LISTED | IGNORED
    assert list(ledger.notes()) == []


def test_verification_looks_at_what_was_copied_and_leaves_the_rest_as_it_was_decided(
    texts: tuple[Job, FolderSink, Ledger],
) -> None:
    job, sink, ledger = texts
    decided = {"kept.txt": "copied", "out.txt": "withheld", "new.txt": "ignored"}
    for where in (None, sink):
        _file_listing(replace(job, copy_other=True), ("verify",), LISTING, where, ledger)
        assert dict(ledger.listing()) == LISTED | decided
        found = [(one.key, one.code, one.passed)
                 for one in ledger.findings(job.recipe.fingerprint("verify"))]  # fmt: skip
        unreadable = ("broken.jpg", Code.VERIFY_UNREADABLE, False)
        looked = [("kept.txt", Code.VERIFY_OTHER, True)] if where else []
        assert found == [unreadable, *looked]
        broken = next(iter(ledger.findings(job.recipe.fingerprint("verify"))))
        assert (broken.value, broken.limit) == (1, 0)
    assert list(ledger.notes()) == []


def test_what_is_copied_or_not_is_listed_and_recorded(
    texts: tuple[Job, FolderSink, Ledger],
) -> None:
    job, sink, ledger = texts
    (sink.root.parent / "src" / "new.txt").write_bytes(b"text\n" * 9 + text_images.jpeg(48))
    _file_listing(replace(job, copy_other=True), STAGES, LISTING, sink, ledger)
    fates = {"kept.txt": "copied", "new.txt": "withheld", "out.txt": "copied"}
    assert dict(ledger.listing()) == LISTED | fates
    found = ledger.latest(job.recipe.fingerprint("obfuscate"), ["output", "failure"])
    assert [(one.key, isinstance(one, Output)) for one in found] == [
        *(("broken.jpg", False), ("kept.txt", True), ("new.txt", False), ("out.txt", True)),
    ]
    assert (sink.root / "out.txt").read_text() == "out.txt"
    there = {key: hashlib.sha256(key.encode()).hexdigest() for key in ("kept.txt", "out.txt")}
    assert {note.key: note.digest for note in ledger.notes()} == {"gone.txt": "", **there}


def test_what_was_decided_on_a_image_is_not_decided_on_another_file_of_its_name(
    texts: tuple[Job, FolderSink, Ledger],
) -> None:
    """Nor is what somebody else put into the release looked at as if it had been copied."""
    job, sink, ledger = texts
    ledger.list_source({"new.txt": "excluded", "kept.txt": "image", "out.txt": "withheld"})
    (sink.root / "out.txt").write_text("theirs")
    _file_listing(job, ("verify",), LISTING, sink, ledger)
    decided = {"kept.txt": "ignored", "new.txt": "ignored", "out.txt": "withheld"}
    assert dict(ledger.listing()) == LISTED | decided
    found = {one.key for one in ledger.findings(job.recipe.fingerprint("verify"))}
    assert found == {"broken.jpg"}


# --- what is done again -------------------------------------------------------------------------


@pytest.mark.slow
def test_what_is_done_is_not_asked_for_again_unless_that_was_said(data: Dataset) -> None:
    first, second, third = Noting(), Noting(), Noting()
    run(data.job(), STAGES, first)
    run(data.job(), STAGES, second)
    before = files_of(data.out)
    run(replace(data.job(), resume=False), STAGES, third)
    assert (first.asked, second.asked, third.asked) == (keys_of(data), [], keys_of(data))
    assert files_of(data.out) == before


class Telling(Here):
    """An executor that notes what is known of each image."""

    def __init__(self) -> None:
        self.known = dict[str, Known]()

    def map(self, task: Task, shards: Iterable[Shard]) -> Iterator[Result]:
        taken = list(shards)
        for shard in taken:
            self.known |= zip(shard.keys, shard.known, strict=True)
        yield from super().map(task, taken)


@pytest.mark.slow
def test_what_is_done_anew_is_searched_anew(data: Dataset) -> None:
    run(data.job(), STAGES, Here())
    for job, found in (
        (data.job(method="fill", overwrite=True), True),
        (replace(data.job(method="fill"), resume=False), False),
    ):
        told = Telling()
        run(job, STAGES, told)
        assert {told.known[key].detection is not None for key in data.keys} == {found}


class Stopped(Here):
    """An executor that is interrupted before it begins."""

    def map(self, task: Task, shards: Iterable[Shard]) -> Iterator[Result]:
        raise KeyboardInterrupt


@pytest.mark.slow
def test_what_shall_be_done_anew_is_no_longer_done_if_that_is_interrupted(data: Dataset) -> None:
    run(data.job(), STAGES, Here())
    with pytest.raises(KeyboardInterrupt):
        run(replace(data.job(), resume=False), STAGES, Stopped())
    again = Noting()
    run(data.job(), STAGES, again)
    assert again.asked == keys_of(data)


@pytest.mark.slow
def test_verification_looks_each_time(data: Dataset) -> None:
    run(data.job(), STAGES, Here())
    for _ in range(2):
        again = Noting()
        run(data.job(), ("verify",), again)
        assert again.asked == keys_of(data)


@pytest.mark.slow
def test_what_was_refused_unsearched_is_tried_again_once_it_was_searched(data: Dataset) -> None:
    job = data.job()
    assert run(job, ("obfuscate",), Here()).account.images_out == 0
    search(replace(job, out=None), Here())
    report = run(job, ("obfuscate",), Here())
    assert [(one.key, one.code) for one in report.refused] == [
        ("n03/text.jpg", Code.IMAGE_UNRECOGNISED)
    ]
    assert report.account.images_out == len(data.keys)


class Dying(Here):
    """An executor whose worker dies at an image."""

    def __init__(self, key: str) -> None:
        self.key = key

    def map(self, task: Task, shards: Iterable[Shard]) -> Iterator[Result]:
        for result in super().map(task, shards):
            lost = Failure(result.key, "verify", Code.WORKER_DIED, "the process is gone")
            yield replace(result, records=(lost,)) if result.key == self.key else result


@pytest.mark.slow
def test_a_image_at_which_verification_dies_has_not_passed_and_stays_released(
    data: Dataset,
) -> None:
    job, key = data.job(), data.keys[0]
    run(job, STAGES, Here())
    report = run(job, ("verify",), Dying(key))
    (found,) = report.failed
    assert (found.key, found.code) == (key, Code.VERIFY_UNREADABLE)
    assert (found.value, found.limit) == (1, 0)
    assert report.account.images_out == len(data.keys)
    with Ledger(job.ledger, read_only=True) as ledger:
        fate = ledger.latest_of(job.recipe.fingerprint("obfuscate"), ("output", "failure"), key)
    assert isinstance(fate, Output)
    assert run(job, ("verify",), Here()).failed == ()


# --- what lies about ----------------------------------------------------------------------------


@pytest.mark.slow
def test_leftovers_of_a_killed_run_are_swept_away_also_where_nothing_is_left_to_do(
    data: Dataset,
) -> None:
    run(data.job(), STAGES, Here())
    before = files_of(data.out)
    sink = FolderSink(data.out, token="killed", like=ImageFolder(data.source))
    left = sink.staged(data.keys[0])
    assert left.name.endswith(PART_SUFFIX)
    left.write_bytes(b"half")
    run(data.job(), STAGES, Here())
    assert files_of(data.out) == before


class Looking(Here):
    """An executor that looks at the release before and after its work."""

    def __init__(self, out: Path) -> None:
        self.out, self.seen = out, list[list[str]]()

    def map(self, task: Task, shards: Iterable[Shard]) -> Iterator[Result]:
        self.seen.append(sorted(files_of(self.out)))
        yield from super().map(task, shards)


@pytest.mark.slow
def test_while_images_change_there_is_no_manifest_and_no_leftover(data: Dataset) -> None:
    run(data.job(), STAGES, Here())
    left = FolderSink(data.out, token="killed", like=ImageFolder(data.source))
    left.staged(data.keys[0]).write_bytes(b"x")
    looking = Looking(data.out)
    run(data.job(method="fill", overwrite=True), STAGES, looking)
    assert looking.seen == [sorted(data.keys)]


class Littering(Here):
    """An executor whose worker dies behind the staging of an image, which another then refuses."""

    def map(self, task: Task, shards: Iterable[Shard]) -> Iterator[Result]:
        assert isinstance(task, Work)
        assert isinstance(task.sink, FolderSink)
        task.sink.staged("left.png").write_bytes(b"staged and never published")
        yield from super().map(task, shards)


@pytest.mark.slow
def test_what_was_staged_and_never_published_is_gone_at_the_end(data: Dataset) -> None:
    run(data.job(), STAGES, Littering())
    assert not any(name.endswith(PART_SUFFIX) for name in files_of(data.out))


@pytest.mark.slow
def test_what_changes_no_image_leaves_the_manifest_where_it_is(data: Dataset) -> None:
    run(data.job(), STAGES, Here())
    looking = Looking(data.out)
    run(data.job(), STAGES, looking)  # nothing is left to do
    run(data.job(), ("verify",), looking)
    assert all("manifest.parquet" in seen for seen in looking.seen)
    assert len(looking.seen) == 2


@pytest.mark.slow
def test_there_is_no_manifest_while_other_files_are_copied(data: Dataset) -> None:
    run(data.job(), STAGES, Here())
    looking = Looking(data.out)
    run(data.job(copy_other=True), STAGES, looking)
    assert looking.seen == [sorted([*data.keys, "labels.txt"])]
    (data.source / "labels.txt").unlink()
    run(data.job(copy_other=True), STAGES, Here())
    run(data.job(copy_other=True), STAGES, looking)  # none is left to copy
    assert "manifest.parquet" in looking.seen[-1]


@pytest.mark.slow
def test_a_hard_link_is_one_to_the_original(data: Dataset) -> None:
    linked = open_sink(data.out, like=open_source(data.source), link="hard")
    run(replace(data.job(), out=linked), ("detect", "obfuscate"), Here())
    same = {key for key in data.keys if (data.out / key).samefile(data.source / key)}
    assert same == set(data.without)
    before = files_of(data.out)
    write_report(data.out, data.job().ledger)  # nobody has checked it
    assert files_of(data.out) == before


def test_a_run_keeps_its_lock_its_report_and_the_ledger_if_that_is_a_file(data: Dataset) -> None:
    job = replace(data.job(), ledger=data.root / "kept" / "l.sqlite")
    names = ("lock", "report.html", "l.sqlite", "l.sqlite-wal", "l.sqlite-shm")
    assert private_files(job) == [data.root / "kept" / name for name in names]
    remote = replace(job, ledger="postgresql://server/faces")
    kept = [private_folder(data.out) / name for name in ("lock", "report.html")]
    assert private_files(remote) == kept


@pytest.mark.slow
def test_what_was_found_for_another_release_is_found_for_this_one(data: Dataset) -> None:
    first = data.job()
    search(replace(first, out=None), Here())
    second = replace(data.job(data.root / "other"), detections=(first.ledger,))
    assert run(second, ("obfuscate",), Here()).account.images_out == len(data.keys)
    with Ledger(second.ledger, read_only=True) as ledger:  # no run of this ledger has found it
        adopted = set(ledger.read("SELECT run FROM records WHERE kind = 'detection'"))
    assert adopted == {(0,)}
    assert run(data.job(data.root / "third"), ("obfuscate",), Here()).account.images_out == 0


@pytest.mark.slow
def test_a_image_that_was_taken_from_the_source_goes_from_the_release(data: Dataset) -> None:
    run(data.job(), STAGES, Here())
    gone = data.without[0]
    (data.source / gone).unlink()
    (data.source / "n03" / "text.jpg").unlink()
    # Verification says so, and takes nothing away.
    assert run(data.job(), ("verify",), Here()).verdict == "failed"
    assert write_report(data.out, data.job().ledger).verdict == "failed"
    assert (data.out / gone).exists()
    assert run(data.job(), STAGES, Here()).verdict == "passed"
    assert not (data.out / gone).exists()


# --- what is refused ----------------------------------------------------------------------------


def test_a_release_needs_a_folder(data: Dataset) -> None:
    before = sorted(data.root.rglob("*"))
    with pytest.raises(UsageError, match="needs an OUT folder"):
        run(replace(data.job(), out=None), STAGES, Here())
    assert sorted(data.root.rglob("*")) == before


@pytest.mark.slow
def test_another_sources_release_is_not_touched(data: Dataset) -> None:
    run(data.job(), STAGES, Here())
    before = files_of(data.out)
    (data.root / "src").rename(data.root / "moved")
    moved = replace(data.job(), source=open_source(data.root / "moved"))
    with pytest.raises(UsageError, match="different: source"):
        run(moved, STAGES, Here())
    assert files_of(data.out) == before
    assert run(replace(moved, overwrite=True), STAGES, Here()).account.images_out == 6


@pytest.mark.slow
def test_an_empty_folder_is_a_place_for_a_release(data: Dataset) -> None:
    data.out.mkdir()
    assert run(data.job(), STAGES, Here()).account.images_out == len(data.keys)


@pytest.mark.slow
def test_the_private_folder_may_lie_neither_in_the_source_nor_in_the_release(
    data: Dataset,
) -> None:
    wrong: list[tuple[Job, str]] = [
        (replace(data.job(), ledger=data.source / "ledger.sqlite"), "must lie apart"),
        (replace(data.job(), ledger=data.source / "n03" / "l.sqlite"), "must lie apart"),
        (replace(data.job(), ledger=data.out / "ledger.sqlite"), "must not lie in OUT"),
        (replace(data.job(), ledger=data.out / "deep" / "l.sqlite"), "must not lie in OUT"),
    ]
    for job, words in wrong:
        with pytest.raises(UsageError, match=words):
            run(job, STAGES, Here())
    # Around the source is no place in it.
    above = replace(data.job(), ledger=data.root / "ledger.sqlite")
    assert run(above, STAGES, Here()).account.images_out == len(data.keys)


def test_the_private_folder_is_beside_what_is_published() -> None:
    assert private_folder(Path("/d/photos")) == Path("/d/photos.sfumato")
    assert private_of(Path("/l/ledger.sqlite"), Path("/d/beside")) == Path("/l")
    assert private_of("postgresql://server/faces", Path("/d/beside")) == Path("/d/beside")


# --- a report alone -----------------------------------------------------------------------------


@pytest.mark.slow
def test_a_report_is_written_again_as_it_was(data: Dataset) -> None:
    run(data.job(), STAGES, Here())
    private = data.job().private / "report.html"
    before = files_of(data.out), private.read_bytes()
    (data.out / "manifest.parquet").unlink()
    (data.out / "summary.json").unlink()
    write_report(data.out, data.job().ledger)
    assert (files_of(data.out), private.read_bytes()) == before


def test_a_report_needs_a_release(data: Dataset) -> None:
    ledger = data.job().ledger
    with pytest.raises(UsageError, match="no release in"):
        write_report(data.out, ledger)
    data.out.mkdir()
    with pytest.raises(UsageError, match="no release in"):
        write_report(data.out, ledger)
    assert not Path(ledger).parent.exists()
    data.out.rmdir()
    search(replace(data.job(), out=None), Here())
    with pytest.raises(UsageError, match="no release in"):
        write_report(data.out, ledger)
    data.out.mkdir()
    with pytest.raises(UsageError, match="knows of no release"):
        write_report(data.out, ledger)
    assert list(data.out.iterdir()) == []


@pytest.mark.slow
def test_the_last_recipe_holds_for_a_report_after_other_commands(data: Dataset) -> None:
    job = data.job()
    run(job, STAGES, Here())
    run(job, ("verify",), Here())
    report = write_report(data.out, job.ledger)
    assert report.account.images_out == len(data.keys)
    with Ledger(job.ledger, read_only=True) as ledger:
        outputs = ledger.latest(job.recipe.fingerprint("obfuscate"), ["output"])
        assert [one.key for one in outputs if isinstance(one, Output)] == list(data.keys)
        assert all(one.passed
                   for one in ledger.findings(job.recipe.fingerprint("verify")))  # fmt: skip


@pytest.mark.slow
def test_a_report_is_of_the_last_check_with_whatever_detectors(data: Dataset) -> None:
    run(data.job(), STAGES, Here())
    verify = replace(data.job().recipe.verify, detectors=("yunet@160:0.97",))
    other = replace(data.job(), recipe=replace(data.job().recipe, verify=verify))
    run(other, ("verify",), Here())
    before = files_of(data.out)
    assert b"yunet@160:0.97" in before["summary.json"]
    write_report(data.out, data.job().ledger)
    assert files_of(data.out) == before
    # That was of a release that isn't there any more.
    run(data.job(method="fill", overwrite=True), ("obfuscate",), Here())
    before = files_of(data.out)
    write_report(data.out, data.job().ledger)
    assert files_of(data.out) == before


def test_what_is_offered_is_there() -> None:
    assert all(hasattr(driver, name) for name in driver.__all__)
