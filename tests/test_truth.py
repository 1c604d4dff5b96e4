"""The manifest tells the truth: whatever ran before, was killed, overwritten or mended.

After every command of sfumato: where there is a manifest, each row's digest is that of the file.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from sfumato.errors import Code, SampleError, UsageError
from sfumato.ledger.ledger import Ledger
from sfumato.pipeline.driver import STAGES, Job, run, write_report
from sfumato.pipeline.executors import Result, Task
from sfumato.release.report.data import Report
from sfumato.sources import Note, Sink, imagefolder, notes, open_sink
from sfumato.sources.doors import Shard
from sfumato.sources.folder_sink import FolderSink
from sfumato.sources.private import private_folder
from sfumato.sources.selection import Selection
from sfumato.types import Decision, Detection, Face
from tests import dataset, planted
from tests.command import Here, sfumato
from tests.dataset import Dataset, files_of
from tests.planted import STRONG, Planted, visible_in
from tests.unprivileged import bound_by_rights


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return dataset.make(tmp_path, count=1)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Planted]:
    made = planted.make(tmp_path)
    with made.watched():
        yield made


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def untrue(out: Path) -> list[str]:
    """Return the rows of the manifest that aren't so; empty if there is no manifest."""
    if not (out / "manifest.parquet").exists():
        return []
    rows = pq.read_table(out / "manifest.parquet").to_pylist()
    return [
        row["path"]
        for row in rows
        if row["sha256_out"] is not None
        and not ((out / row["path"]).is_file() and sha256(out / row["path"]) == row["sha256_out"])
    ]


class Counting(Here):
    """Counts the images that are worked on."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def map(self, task: Task, shards: Iterable[Shard]) -> Iterator[Result]:
        for result in super().map(task, shards):
            self.keys.append(result.key)
            yield result


class Dying(Here):
    """Is interrupted after some images."""

    def __init__(self, after: int) -> None:
        self.after = after

    def map(self, task: Task, shards: Iterable[Shard]) -> Iterator[Result]:
        for number, result in enumerate(super().map(task, shards)):
            if number == self.after:
                raise KeyboardInterrupt
            yield result


# --- another recipe in between ------------------------------------------------------------------


def faceless(data: Dataset) -> Job:
    """Return the job that believes a list without a face."""
    nobody = data.root / "none.csv"
    nobody.write_text("path,x0,y0,x1,y1\n")
    settings = replace(data.settings(), boxes=nobody, unlisted="faceless")
    return replace(data.job(overwrite=True), recipe=settings.recipe(), boxes=nobody)


@pytest.mark.slow
@pytest.mark.parametrize("dies", ["no", "before commit", "in publish"])
def test_a_mark_is_not_believed_after_another_recipe_has_written(
    data: Dataset, dies: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(data.job(), STAGES, Here())
    wanted = files_of(data.out)
    with monkeypatch.context() as patched:
        if dies == "before commit":
            patched.setattr("sfumato.pipeline.driver._notes", _die)
        elif dies == "in publish":
            patched.setattr("sfumato.sources.folder_sink.os.replace", _DieAt(4))
        if dies == "no":
            run(faceless(data), STAGES, Here())
        else:
            with pytest.raises(KeyboardInterrupt):
                run(faceless(data), STAGES, Here())
    key = data.with_face[0]
    assert sha256(data.out / key) == sha256(data.source / key)
    assert untrue(data.out) == []
    assert (data.out / "manifest.parquet").exists() == (dies == "no")
    again = Counting()
    report = run(data.job(overwrite=True), STAGES, again)
    assert report.verdict == "passed"
    assert untrue(data.out) == []
    assert files_of(data.out) == wanted
    if dies == "no":
        assert set(again.keys) == set(data.with_face)  # what B only copied is A's as well


def _die(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


class _DieAt:
    def __init__(self, call: int) -> None:
        self.left = call
        self.real = os.replace

    def __call__(self, origin: Path, path: Path) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        self.real(origin, path)


@pytest.mark.slow
def test_a_recipe_its_successor_and_itself_again(data: Dataset) -> None:
    releases: dict[str, dict[str, bytes]] = {}
    for method in ("pixelate", "imagenet", "pixelate", "imagenet"):
        run(data.job(method=method, overwrite=True), STAGES, Here())
        assert untrue(data.out) == []
        found = files_of(data.out)
        assert releases.setdefault(method, found) == found


@pytest.mark.slow
def test_a_source_that_is_put_back_is_not_taken_for_what_came_between(data: Dataset) -> None:
    """Its shard has its old name again, with the mark of then; the records are of later."""
    key, other = data.with_face[0], data.source / data.with_face[1]
    path = data.source / key
    before, state = path.read_bytes(), path.stat()
    run(data.job(), STAGES, Here())
    wanted = files_of(data.out)
    path.write_bytes(other.read_bytes() if other.suffix == path.suffix else b"no image")
    run(data.job(), STAGES, Here())
    assert untrue(data.out) == []
    path.write_bytes(before)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert run(data.job(), STAGES, Here()).verdict == "passed"
    assert files_of(data.out) == wanted


@pytest.mark.slow
@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_source_that_changed_and_kept_its_size_and_time_is_done_again(
    data: Dataset, elsewhere: bool
) -> None:
    path = data.source / "n03" / "still.bmp"
    pixels = np.zeros((*dataset.SIDE[::-1], 3), np.uint8)
    Image.fromarray(pixels).save(path)
    assert run(data.job(), STAGES, Here()).verdict == "passed"
    state = path.stat()
    Image.fromarray(pixels + 1).save(path)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)
    if elsewhere:  # the release too has to be read to be believed
        os.utime(data.out / "n03" / "still.bmp", ns=(1, 1))
    assert run(data.job(), STAGES, Here()).verdict == "passed"
    assert (data.out / "n03" / "still.bmp").read_bytes() == path.read_bytes()
    assert run(data.job(), ("verify",), Here()).verdict == "passed"


@pytest.mark.slow
def test_detection_alone_searches_what_changed_and_kept_its_size_and_time(data: Dataset) -> None:
    path = data.source / "n03" / "still.bmp"
    pixels = np.zeros((*dataset.SIDE[::-1], 3), np.uint8)
    Image.fromarray(pixels).save(path)
    words = ("obfuscate", data.source, data.out)
    assert sfumato("detect", data.source, "--detector", "yunet").code == 0
    state = path.stat()
    Image.fromarray(pixels + 1).save(path)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert sfumato(*words).code == 3  # the file changed since faces were searched in it
    assert sfumato("detect", data.source, "--detector", "yunet").code == 0
    assert sfumato(*words).code == 0


@pytest.mark.slow
def test_a_source_whose_rights_changed_is_read_and_not_done_again(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(data.job(), STAGES, Here())
    for key in data.keys:
        (data.source / key).chmod(0o640)
    monkeypatch.setattr("sfumato.obfuscation.step.release", _die)
    monkeypatch.setattr("sfumato.detection.step.detect", _die)
    assert run(data.job(), STAGES, Here()).verdict == "passed"


# --- the release is changed by others -----------------------------------------------------------


def _link(path: Path, target: Path) -> None:
    path.unlink()
    path.symlink_to(target)


CHANGES: dict[str, Callable[[Path, Path], object]] = {
    "replaced": lambda path, source: path.write_bytes(source.read_bytes()),
    "same size and time": lambda path, source: _forge(path),
    "cut off": lambda path, source: path.write_bytes(path.read_bytes()[:-5]),
    "emptied": lambda path, source: path.write_bytes(b""),
    "deleted": lambda path, source: path.unlink(),
    "linked to the original": _link,
    "linked to nothing": lambda path, source: _link(path, Path("nothing")),
}


QUICK = {"same size and time", "linked to the original"}


def _forge(path: Path) -> None:
    state = path.stat()
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in sorted(CHANGES)
    ],
)
def test_what_others_changed_is_said_by_report_and_mended_by_run(
    data: Dataset, change: str
) -> None:
    run(data.job(), STAGES, Here())
    wanted = files_of(data.out)
    key = data.with_face[1]
    CHANGES[change](data.out / key, data.source / key)
    report = write_report(data.out, data.job().ledger)
    assert report.verdict == "failed"
    codes = {finding.code for finding in report.failed if finding.key == key}
    assert codes & {Code.VERIFY_BYTES_CHANGED, Code.VERIFY_FILE_MISSING, Code.VERIFY_UNREADABLE}
    assert not (data.out / "manifest.parquet").exists()
    again = Counting()
    assert run(data.job(), STAGES, again).verdict == "passed"
    assert again.keys == [key]
    assert files_of(data.out) == wanted
    assert not (data.out / key).is_symlink()


@pytest.mark.slow
def test_a_link_to_a_copied_original_is_not_in_the_release(data: Dataset) -> None:
    """Its bytes are right today; what is published would follow the source."""
    run(data.job(), STAGES, Here())
    key = data.without[0]
    _link(data.out / key, data.source / key)
    assert run(data.job(), ("verify",), Here()).verdict == "failed"
    again = Counting()
    assert run(data.job(), STAGES, again).verdict == "passed"
    assert again.keys == [key]
    assert not (data.out / key).is_symlink()
    assert untrue(data.out) == []


@pytest.mark.slow
def test_a_link_to_what_the_source_no_longer_has_goes_as_a_file_would(data: Dataset) -> None:
    run(data.job(), STAGES, Here())
    key = data.without[0]
    _link(data.out / key, data.source / key)
    (data.source / key).unlink()
    assert run(data.job(), STAGES, Here()).verdict == "passed"
    assert not os.path.lexists(data.out / key)
    assert untrue(data.out) == []


@pytest.mark.slow
def test_verify_and_report_say_the_same_of_a_changed_file(data: Dataset) -> None:
    words = ("--boxes", data.boxes, "--verify-detector", dataset.WATCHER[0])
    assert sfumato("run", data.source, data.out, *words).code == 0
    key = data.without[0]
    (data.out / key).write_bytes((data.out / data.without[1]).read_bytes())
    for verb in (("report", data.out), ("verify", data.source, data.out), ("report", data.out)):
        done = sfumato(*verb)
        assert done.code == 1
        assert f"VERIFY_BYTES_CHANGED {key}" in done.err
        assert "the same `sfumato run` makes again" in done.err
        assert not (data.out / "manifest.parquet").exists()
    assert sfumato("run", data.source, data.out, *words).code == 0
    assert sfumato("verify", data.source, data.out).code == 0
    assert untrue(data.out) == []
    assert (data.out / "manifest.parquet").exists()


@pytest.mark.slow
def test_a_file_that_was_put_back_by_hand_is_searched_again(data: Dataset) -> None:
    """What verification found in other bytes must not stay for ever."""
    run(data.job(), STAGES, Here())
    key = data.with_face[0]
    released = (data.out / key).read_bytes()
    (data.out / key).write_bytes((data.source / key).read_bytes())
    assert run(data.job(), ("verify",), Here()).verdict == "failed"
    (data.out / key).write_bytes(released)
    again = Counting()
    assert run(data.job(), STAGES, again).verdict == "passed"
    assert again.keys == [key]


@pytest.mark.slow
def test_other_files_are_checked_as_well(data: Dataset) -> None:
    run(data.job(copy_other=True), STAGES, Here())
    (data.out / "labels.txt").write_text("3 4 5")
    report = write_report(data.out, data.job().ledger)
    found = {(finding.key, finding.code) for finding in report.failed}
    assert found == {("labels.txt", Code.VERIFY_BYTES_CHANGED)}
    assert run(data.job(copy_other=True), STAGES, Here()).verdict == "passed"
    assert run(data.job(), STAGES, Here()).verdict == "passed"  # and goes when it isn't asked for
    assert not (data.out / "labels.txt").exists()


# --- what it costs ------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_plain_resume_reads_no_file_and_a_touched_one_only_once(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(data.job(), STAGES, Here())
    read: list[Path] = []
    real = notes.read_notes

    def noting(files: Iterable[tuple[str, Path]]) -> Iterator[Note]:
        files = list(files)
        read.extend(path for _, path in files)
        return real(files)

    monkeypatch.setattr(notes, "read_notes", noting)
    monkeypatch.setattr(FolderSink, "note", lambda self, key: pytest.fail(f"{key} was read"))
    for _ in range(2):
        again = Counting()
        assert run(data.job(), STAGES, again).verdict == "passed"
        assert (again.keys, read) == ([], [])
    touched = data.out / data.without[0]
    os.utime(touched, ns=(1, 1))
    _settle(touched)
    for times in (1, 1):
        again = Counting()
        assert run(data.job(), STAGES, again).verdict == "passed"
        assert (again.keys, read) == ([], [touched] * times)


def _settle(path: Path) -> None:
    """Wait until the clock of files has moved on."""
    probe = path.parent.parent / "probe"
    began = path.stat().st_ctime_ns
    while True:
        probe.write_bytes(b"")
        passed = probe.stat().st_ctime_ns - began
        probe.unlink()
        if passed > 50_000_000:
            return


@pytest.mark.slow
def test_a_ledger_from_before_notes_is_read_once_and_noted(data: Dataset) -> None:
    run(data.job(), STAGES, Here())
    wanted = files_of(data.out)
    with Ledger(data.job().ledger) as ledger, ledger.database.transaction() as db:
        db.execute("DELETE FROM published")
        db.execute("UPDATE shards SET from_key = '', to_key = ''")
    key = data.with_face[0]
    (data.out / key).write_bytes((data.source / key).read_bytes())
    again = Counting()
    assert run(data.job(), STAGES, again).verdict == "passed"
    assert again.keys == [key]
    assert files_of(data.out) == wanted
    with Ledger(data.job().ledger, read_only=True) as ledger:
        assert {note.key for note in ledger.notes()} == set(data.keys)


def _forget_that_was_new(data: Dataset) -> None:
    """Make the ledger one of version 0.1.0, which searched no second images."""
    new = ("content", "state", "second_images", "second_images_removed")
    with Ledger(data.job().ledger) as ledger, ledger.database.transaction() as db:
        db.execute("DROP TRIGGER records_stay")
        db.execute("DROP TRIGGER records_remain")
        db.execute("DELETE FROM published")
        db.execute("UPDATE runs SET versions = ?", ('{"sfumato": "0.1.0"}',))
        rows = list(db.execute("SELECT seq, kind, body FROM records"))
        for seq, kind, body in rows:
            dropped = {"output": new, "finding": ("faces",)}.get(kind, ())
            kept = {name: value for name, value in json.loads(body).items() if name not in dropped}
            text = json.dumps(kept, separators=(",", ":"))
            db.execute("UPDATE records SET body = ? WHERE seq = ?", (text, seq))


@pytest.mark.slow
def test_what_an_older_version_made_is_not_confirmed_but_made_again(data: Dataset) -> None:
    run(data.job(), STAGES, Here())
    wanted = files_of(data.out)
    _forget_that_was_new(data)
    failed = write_report(data.out, data.job().ledger).failed
    assert {one.key for one in failed if one.code is Code.VERIFY_SECOND_IMAGE} == set(data.keys)
    again = Counting()
    assert run(data.job(), STAGES, again).verdict == "passed"
    assert sorted(again.keys) == list(data.keys)
    assert files_of(data.out) == wanted
    assert write_report(data.out, data.job().ledger).verdict == "passed"
    once_more = Counting()
    run(data.job(), STAGES, once_more)
    assert once_more.keys == []


@pytest.mark.slow
def test_a_look_of_this_version_confirms_what_an_older_one_made(data: Dataset) -> None:
    run(data.job(), STAGES, Here())
    _forget_that_was_new(data)
    assert run(data.job(), ("verify",), Here()).verdict == "passed"
    assert write_report(data.out, data.job().ledger).verdict == "passed"


# --- refusals are tried again -------------------------------------------------------------------


def refuse(code: Code, keys: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    real = imagefolder.ImageFolder.sample

    def sample(self: imagefolder.ImageFolder, key: str) -> object:
        if key in keys:
            raise SampleError(code, "for a test")
        return real(self, key)

    monkeypatch.setattr(imagefolder.ImageFolder, "sample", sample)


MENDED = (
    Code.FILE_UNREADABLE,
    Code.FILE_CHANGED,
    Code.LINK_BROKEN,
    Code.DETECTOR_TIMEOUT,
    Code.DETECTOR_FAILED,
    Code.WORKER_DIED,
    Code.INTERNAL_ERROR,
)


@pytest.mark.parametrize(
    "code",
    [MENDED[0], *(pytest.param(code, marks=pytest.mark.slow) for code in MENDED[1:])],
)
def test_what_may_be_mended_is_tried_again(
    data: Dataset, code: Code, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = data.with_face[0]
    with monkeypatch.context() as patched:
        refuse(code, [key], patched)
        assert [one.code for one in run(data.job(), STAGES, Here()).refused] == [code]
        assert not (data.out / key).exists()
    again = Counting()
    assert run(data.job(), STAGES, again).verdict == "passed"
    assert again.keys == [key]
    assert untrue(data.out) == []


@pytest.mark.slow
def test_an_unreadable_file_made_readable(data: Dataset) -> None:
    path = data.source / data.without[0]
    path.chmod(0)
    with bound_by_rights():
        report = run(data.job(), STAGES, Here())
        assert [one.code for one in report.refused] == [Code.FILE_UNREADABLE]
        path.chmod(0o644)
        assert run(data.job(), STAGES, Here()).verdict == "passed"
    assert untrue(data.out) == []


@pytest.mark.slow
def test_bytes_that_are_no_image_are_tried_again_by_other_software_only(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "n03/text.jpg"
    (data.source / key).write_text("This is not an image.")
    assert run(data.job(), STAGES, Here()).verdict == "refused"
    again = Counting()
    assert run(data.job(), STAGES, again).verdict == "refused"
    assert again.keys == []
    with monkeypatch.context() as patched:
        patched.setattr("sfumato.pipeline.plan.software", lambda: {"pi-heif": "1"})
        run(data.job(), STAGES, again)
    assert again.keys == [key]


@pytest.mark.slow
def test_a_box_file_that_was_mended_needs_no_other_command(data: Dataset) -> None:
    good, key = data.boxes.read_text(), data.with_face[0]
    data.boxes.write_text(good.replace("40.0,30.0,72.0,66.0", "72.0,30.0,40.0,66.0", 1))
    report = run(data.job(), STAGES, Here())
    assert [one.code for one in report.refused] == [Code.BOXES_MISSING]
    data.boxes.write_text(good)
    assert run(data.job(), STAGES, Here()).verdict == "passed"
    assert sha256(data.out / key) != sha256(data.source / key)
    assert untrue(data.out) == []


def test_detection_alone_tries_again_as_well(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        refuse(Code.FILE_UNREADABLE, [data.keys[0]], patched)
        assert sfumato("detect", data.source, "--boxes", data.boxes).code == 3
    assert sfumato("detect", data.source, "--boxes", data.boxes).code == 0


# --- what verification sees uncovered -----------------------------------------------------------


def release(site: Planted, *, cover_findings: bool = False) -> Report:
    return run(site.job(cover_findings=cover_findings), STAGES, Here())


def check(site: Planted, verify: str = STRONG) -> Report:
    return run(site.job(verify=verify), ("verify",), Here())


SHY = {"a/2.png", "b/3.png"}


@pytest.mark.slow
def test_what_verification_sees_is_covered_on_request_and_then_it_passes(site: Planted) -> None:
    assert release(site).verdict == "passed"
    assert {key for key in planted.KEYS if "shy" in visible_in(site.out / key)} == SHY
    assert check(site).verdict == "failed"
    assert {one.key for one in release(site).failed} == SHY  # not forgotten by a quicker look
    assert {one.key for one in write_report(site.out, site.job().ledger).failed} == SHY
    again = Counting()
    report = run(site.job(cover_findings=True), STAGES, again)
    assert set(again.keys) == SHY
    assert report.verdict == "passed"
    assert not any(visible_in(site.out / key) for key in planted.KEYS)
    assert check(site).verdict == "passed"
    assert untrue(site.out) == []
    before = files_of(site.out)
    again = Counting()
    assert run(site.job(), STAGES, again).verdict == "passed"
    assert again.keys == []  # and it stays covered without being asked for
    assert files_of(site.out).keys() == before.keys()
    run(site.job("fill", overwrite=True), STAGES, Here())
    assert not any(visible_in(site.out / key) for key in planted.KEYS)


@pytest.mark.slow
def test_covering_what_was_seen_survives_a_kill(site: Planted) -> None:
    release(site)
    check(site)
    with pytest.raises(KeyboardInterrupt):
        run(site.job(cover_findings=True), STAGES, Dying(1))
    assert not (site.out / "manifest.parquet").exists()
    assert release(site).verdict == "passed"  # the plain command goes on with it
    assert not any(visible_in(site.out / key) for key in planted.KEYS)
    assert check(site).verdict == "passed"


@pytest.mark.slow
def test_a_quicker_look_of_the_same_detector_does_not_take_it_back(site: Planted) -> None:
    """As with networks that see more in a whole image than around what was edited."""
    assert release(site).verdict == "passed"
    site.weak.kinds.add("shy")
    assert check(site, planted.WEAK).verdict == "failed"
    site.weak.kinds.discard("shy")
    (site.out / "b/3.png").unlink()  # is made again, and looked at quickly
    report = release(site)
    assert {one.key for one in report.failed} == {"b/3.png"}  # copied ones weren't searched
    site.weak.kinds.add("shy")
    assert release(site, cover_findings=True).verdict == "passed"
    assert check(site, planted.WEAK).verdict == "passed"


@pytest.mark.slow
def test_what_was_verified_before_is_verified_again_in_other_bytes(site: Planted) -> None:
    release(site)
    run(site.job(verify=STRONG), STAGES, Here())  # sees them in what it copies
    strong = replace(site.job(verify=STRONG), cover_findings=True)
    assert run(strong, STAGES, Here()).verdict == "passed"
    assert release(site).verdict == "passed"  # not "unverified": two files are new to this check


@pytest.mark.slow
def test_a_source_that_cannot_be_read_takes_nothing_out_of_the_release(
    site: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`verify` can't check it, so it fails; `run` must not make a refusal of it."""
    release(site)
    before = files_of(site.out)
    with monkeypatch.context() as patched:
        refuse(Code.FILE_UNREADABLE, [planted.KEYS[1]], patched)
        assert check(site, planted.WEAK).verdict == "failed"
        report = release(site)
        assert [(f.key, f.code) for f in report.failed] == [
            (planted.KEYS[1], Code.VERIFY_UNREADABLE)
        ]
        assert report.account.refused == 0
    assert release(site).verdict == "passed"
    assert files_of(site.out) == before


@pytest.mark.slow
def test_what_a_killed_run_put_there_is_ours_to_remove(
    site: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("sfumato.pipeline.driver._notes", _die)
        with pytest.raises(KeyboardInterrupt):
            release(site)
    key = planted.KEYS[3]
    assert (site.out / key).exists()
    (site.source / key).unlink()
    assert release(site).verdict == "passed"
    assert not (site.out / key).exists()


def test_a_half_done_release_gets_no_manifest_from_its_report(site: Planted) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(site.job(), STAGES, Dying(3))
    report = write_report(site.out, site.job().ledger)
    assert report.verdict == "unfinished"
    assert not (site.out / "manifest.parquet").exists()


@pytest.mark.slow
def test_what_people_said_is_no_face_is_none_for_a_later_check(site: Planted) -> None:
    """A verification saw a face at a place where people say there is none."""
    release(site)
    check(site)
    recipe = site.job().recipe
    with Ledger(site.job().ledger) as ledger:
        for key in SHY:
            found = ledger.latest_of(recipe.fingerprint("detect"), ("detection",), key)
            assert isinstance(found, Detection)
            shy = Face(planted.box_of("shy"), 0.1, "weak-1")
            proposed = replace(found, candidates=(shy,))
            decided = Decision(key, found.digest, found.faces, "merged", ("p1",))
            fingerprint = recipe.fingerprint("detect")
            ledger.commit([(fingerprint, proposed), (fingerprint, decided)])
    assert release(site).verdict == "passed"
    assert check(site).verdict == "passed"


@pytest.mark.slow
def test_covering_besides_what_people_decided_is_said(
    site: Planted, caplog: pytest.LogCaptureFixture
) -> None:
    release(site)
    recipe = site.job().recipe
    key = "b/3.png"
    with Ledger(site.job().ledger) as ledger:
        found = ledger.latest_of(recipe.fingerprint("detect"), ("detection",), key)
        assert isinstance(found, Detection)
        decided = Decision(key, found.digest, found.faces, "merged", ("p1",))
        ledger.commit([(recipe.fingerprint("detect"), decided)])
    assert release(site).verdict == "passed"
    check(site)
    assert caplog.text == ""
    assert release(site, cover_findings=True).verdict == "passed"
    assert "In 1 images, faces are covered besides what people decided on" in caplog.text
    assert visible_in(site.out / key) == set()


@pytest.mark.slow
def test_what_was_seen_in_other_bytes_is_not_covered(site: Planted) -> None:
    release(site)
    (site.out / "a/0.png").write_bytes((site.source / "b/3.png").read_bytes())
    assert "a/0.png" in {one.key for one in check(site).failed}
    assert release(site, cover_findings=True).verdict == "passed"
    assert sha256(site.out / "a/0.png") == sha256(site.source / "a/0.png")


@pytest.mark.slow
def test_run_and_verify_say_how(
    data: Dataset, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    words = ("--boxes", data.boxes, "--verify-detector", dataset.WATCHER[0])
    assert sfumato("run", data.source, data.out, *words).code == 0
    eyes = planted.Eyes("seen-1", set())
    face = Face((5.0, 5.0, 30.0, 30.0), 0.9, "seen-1")
    key = data.with_face[0]
    source = (data.source / key).read_bytes()
    seen = [[face]]
    monkeypatch.setattr(eyes, "detect", lambda images: [seen[0] for _ in images])
    monkeypatch.setattr(
        "sfumato.detection.detectors.registry.made", lambda specs, weights=(): (eyes,) * len(specs)
    )
    done = sfumato("verify", data.source, data.out)
    assert done.code == 1
    assert "--cover-findings" in done.err
    seen[0] = []
    done = sfumato("run", data.source, data.out, *words)
    assert done.code == 1
    assert "--cover-findings" in done.err
    done = sfumato("run", data.source, data.out, *words, "--cover-findings")
    assert done.code == 0
    assert "In 6 images, faces are covered besides what the file of boxes lists" in caplog.text
    assert sfumato("verify", data.source, data.out).code == 0
    assert (data.source / key).read_bytes() == source
    assert untrue(data.out) == []


# --- a start that fails -------------------------------------------------------------------------


def starts_that_fail(data: Dataset) -> dict[str, tuple[str | Path, ...]]:
    bad, misspelt, empty, other, file = (
        data.root / name for name in ("bad.csv", "misspelt.csv", "empty", "other", "a-file")
    )
    bad.write_text("no,boxes\n")
    misspelt.write_text(f"path,x0,y0,x1,y1\n{data.keys[0]},1,1,20,20\nn03/no.jpg,1,1,20,20\n")
    empty.mkdir()
    other.mkdir()
    (other / "mine.txt").write_text("keep")
    (other / "report.html").write_text("<title>mine</title>")
    file.write_text("keep")
    page = data.root / "web"
    page.mkdir()
    (page / "sub").mkdir()
    for name in ("manifest.parquet", "faces.parquet"):
        (page / name).write_text("of a release")
    run_ = ("run", data.source)
    good = ("--boxes", data.boxes)
    return {
        "bad box file": (*run_, data.out, "--boxes", bad),
        "missing name": (*run_, data.out, "--boxes", misspelt),
        "missing box file": (*run_, data.out, "--boxes", data.root / "none.csv"),
        "no images": ("run", empty, data.out),
        "no source": ("run", data.root / "nothing", data.out),
        "wrong config": (*run_, data.out, *good, "--config", file),
        "wrong method": (*run_, data.out, *good, "--method", "blur"),
        "wrong threshold": (*run_, data.out, "-t", "7"),
        "somebody's folder": (*run_, other, *good),
        "below a file": (*run_, file / "out", *good),
        "ledger below a file": (*run_, data.out, *good, "--ledger", file / "l.sqlite"),
        "ledger isn't one": (*run_, data.out, *good, "--ledger", other / "mine.txt"),
        "ledger is a folder": (*run_, data.out, *good, "--ledger", other),
        "named as what is private": (*run_, private_folder(data.source), *good),
        "ledger in a release": (*run_, data.out, *good, "--ledger", page / "sub" / "l.sqlite"),
        "ledger beside a page": (*run_, data.out, *good, "--ledger", other / "l.sqlite"),
        "ledger isn't one, its folder new": (
            *run_,
            data.root / "deep" / "er" / "out",
            "--ledger",
            other / "mine.txt",
        ),
        "upload": (*run_, data.out, "--detector", "rekognition"),
    }


@pytest.mark.slow
def test_a_start_that_fails_leaves_nothing_behind(data: Dataset) -> None:
    starts = starts_that_fail(data)
    before = sorted(data.root.rglob("*"))
    for name, some in starts.items():
        words = (*some, "--verify-detector", dataset.WATCHER[0])
        done = sfumato(*words)
        assert (done.code, done.out) == (2, ""), name
        assert sorted(data.root.rglob("*")) == before, name
        dry = sfumato(*words, "--dry-run")
        assert (dry.code, dry.err) == (2, done.err), name
        assert sorted(data.root.rglob("*")) == before, name


def test_faces_that_cant_be_taken_over_are_said_by_a_dry_run_too(data: Dataset) -> None:
    found = private_folder(data.source) / "ledger.sqlite"
    found.parent.mkdir(mode=0o700)
    found.write_text("no ledger")
    before = sorted(data.root.rglob("*"))
    words = ("run", data.source, data.out, "--boxes", data.boxes)
    done, dry = sfumato(*words), sfumato(*words, "--dry-run")
    assert (done.code, dry.code) == (2, 2)
    assert f"{found} can't be used as a ledger" in done.err
    assert done.err == dry.err
    assert sorted(data.root.rglob("*")) == before


@pytest.mark.slow
def test_a_ledger_of_one_release_replaces_nothing_in_another_folder(data: Dataset) -> None:
    """Such as a copy of the source, whose files have the same names."""
    job = replace(data.job(), ledger=data.root / "ledgers" / "l.sqlite")
    run(job, STAGES, Here())
    released = files_of(data.out)
    mine = data.root / "mine"
    shutil.copytree(data.source, mine)
    (mine / "report.html").write_text("mine")
    before = files_of(mine)

    def sink(path: Path) -> Sink:
        return open_sink(path, like=job.source)

    for stages in (STAGES, ("obfuscate",), ("verify",)):
        for overwrite in (False, True):
            with pytest.raises(UsageError, match=r"isn't empty, and the release of the ledger"):
                run(replace(job, out=sink(mine), overwrite=overwrite), stages, Here())
    with pytest.raises(UsageError, match=r"choose another folder, or another ledger"):
        write_report(mine, job.ledger)
    assert files_of(mine) == before
    # What may be meant stays possible: the same folder, also unfinished, a moved one, a new one.
    (data.out / "manifest.parquet").unlink()
    assert run(job, STAGES, Here()).verdict == "passed"
    moved = replace(job, out=sink(data.root / "moved"))
    data.out.rename(data.root / "moved")
    assert run(moved, ("verify",), Here()).verdict == "passed"
    (data.root / "moved" / "manifest.parquet").unlink()
    assert run(moved, STAGES, Here()).verdict == "passed"
    run(replace(job, out=sink(data.root / "new")), STAGES, Here())
    assert files_of(data.root / "new") == files_of(data.root / "moved") == released


@pytest.mark.slow
def test_two_runs_with_two_ledgers_do_not_write_one_release(data: Dataset) -> None:
    class Meanwhile(Here):
        def map(self, task: Task, shards: Iterable[Shard]) -> Iterator[Result]:
            with pytest.raises(UsageError, match=f"Another sfumato works with {data.out}:"):
                run(other, STAGES, Here())
            words = ("run", data.source, data.out, "--boxes", data.boxes, "--ledger", other.ledger)
            assert "Another sfumato works with" in sfumato(*words, "--dry-run").err
            yield from super().map(task, shards)

    other = replace(data.job(), ledger=data.root / "other" / "l.sqlite")
    assert run(data.job(), STAGES, Meanwhile()).verdict == "passed"
    assert not (data.root / "other").exists()
    assert untrue(data.out) == []


def test_detections_that_are_not_there_are_named(data: Dataset) -> None:
    before = sorted(data.root.rglob("*"))
    for where in (data.root / "misspelt.sqlite", data.source):
        for more in ((), ("--dry-run",)):
            done = sfumato("obfuscate", data.source, data.out, "--detections", where, *more)
            assert done.code == 2
            assert f"There is no ledger {where}" in done.err
    assert sorted(data.root.rglob("*")) == before


@pytest.mark.slow
@pytest.mark.parametrize("others", [False, True])
def test_no_run_writes_behind_a_link_to_a_folder(data: Dataset, others: bool) -> None:
    """Somebody saves room by a link from the release to what lies elsewhere, or to the source."""
    if others:
        (data.source / "labels").mkdir()
        (data.source / "labels" / "classes.txt").write_text("n02 cat\n")
    assert run(data.job(), STAGES, Here()).verdict == "passed"
    before = files_of(data.source)
    top = "labels" if others else data.with_face[0].partition("/")[0]
    shutil.rmtree(data.out / top, ignore_errors=True)
    (data.out / top).symlink_to(data.source / top)
    words = ("run", data.source, data.out, "--boxes", data.boxes, "--copy-other")
    done = sfumato(*words, "--verify-detector", dataset.WATCHER[0])
    assert done.code == 2
    assert f"{data.out / top}: a link stands where a folder is needed: remove it" in done.err
    assert files_of(data.source) == before
    assert not (data.out / "manifest.parquet").exists()
    (data.out / top).unlink()
    assert sfumato(*words, "--verify-detector", dataset.WATCHER[0]).code == 0
    assert untrue(data.out) == []
    assert files_of(data.source) == before


@pytest.mark.slow
def test_a_link_that_is_made_meanwhile_costs_no_original(data: Dataset) -> None:
    """What no longer belongs is removed from the release, never from the source behind a link."""
    top = data.without[0].partition("/")[0]
    stale = [key for key in data.keys if key.startswith(f"{top}/")]
    assert run(data.job(), STAGES, Here()).verdict == "passed"

    class Meanwhile(Here):
        def map(self, task: Task, shards: Iterable[Shard]) -> Iterator[Result]:
            yield from super().map(task, shards)
            (data.out / top).rename(data.root / "moved")
            (data.out / top).symlink_to(data.source / top)

    before = files_of(data.source)
    job = replace(data.job(overwrite=True), selection=Selection(exclude=(f"{top}/**",)))
    report = run(job, STAGES, Meanwhile())
    assert report.verdict == "failed"  # the link itself is not ours
    assert files_of(data.source) == before
    assert stale


@pytest.mark.slow
@pytest.mark.parametrize(
    "place",
    [
        "out.sfumato/lock",
        "out.sfumato/report.html",
        "out.sfumato/ledger.sqlite",
        "out.sfumato/ledger.sqlite-wal",
        "out/report.html",
        "out/manifest.parquet",
        "out/.faces.parquet.sfumato-part",
    ],
)
@pytest.mark.parametrize("new", [False, True])
def test_a_folder_in_the_place_of_a_file_is_said_by_a_dry_run_too(
    data: Dataset, place: str, new: bool
) -> None:
    boxes = ("--boxes", data.boxes, "--verify-detector", dataset.WATCHER[0])
    words: tuple[str | Path, ...] = ("run", data.source, data.out, *boxes)
    if not new:
        assert sfumato(*words).code == 0
    in_way = data.root / place
    in_way.unlink(missing_ok=True)
    in_way.mkdir(parents=True)
    (in_way / "mine.txt").write_text("keep")
    before = sorted(data.root.rglob("*"))
    done, dry = sfumato(*words), sfumato(*words, "--dry-run")
    assert (done.code, dry.code) == (2, 2)
    assert f"{in_way}" in done.err
    assert "a folder" in done.err
    assert done.err == dry.err
    assert sorted(data.root.rglob("*")) == before


@pytest.mark.slow
def test_a_dry_run_leaves_nothing_beside_a_ledger(data: Dataset) -> None:
    words = ("run", data.source, data.out, "--boxes", data.boxes)
    assert sfumato(*words, "--verify-detector", dataset.WATCHER[0]).code == 0
    before = files_of(data.root)
    dry = sfumato(*words, "--verify-detector", dataset.WATCHER[0], "--dry-run")
    assert dry.code == 0
    assert files_of(data.root) == before


@pytest.mark.slow
def test_a_start_that_fails_does_not_change_whose_release_it_is(data: Dataset) -> None:
    words = ("run", data.source, data.out, "--verify-detector", dataset.WATCHER[0])
    assert sfumato(*words, "--boxes", data.boxes).code == 0
    before = files_of(data.out)
    misspelt = data.root / "misspelt.csv"
    misspelt.write_text("path,x0,y0,x1,y1\nn03/no.jpg,1,1,20,20\n")
    assert sfumato(*words, "--boxes", misspelt, "--overwrite").code == 2
    assert files_of(data.out) == before
    assert sfumato(*words, "--boxes", data.boxes).code == 0
    for more in ((), ("--dry-run",)):
        done = sfumato(*words, "--boxes", data.boxes, "--method", "fill", *more)
        assert done.code == 2
        assert "made by another recipe" in done.err


@pytest.mark.slow
def test_a_start_that_fails_late_leaves_nothing_behind(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full when the ledger is made: nothing was checked wrongly, it just fails."""
    before = sorted(data.root.rglob("*"))
    job = replace(data.job(data.root / "new" / "out"))
    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "begin", _die)
        with pytest.raises(KeyboardInterrupt):
            run(job, STAGES, Here())
    assert sorted(data.root.rglob("*")) == before
    with monkeypatch.context() as patched:  # one that began is gone on with
        patched.setattr("sfumato.pipeline.driver._file_listing", _die)
        with pytest.raises(KeyboardInterrupt):
            run(job, STAGES, Here())
    assert private_folder(data.root / "new" / "out").is_dir()
    assert run(job, STAGES, Here()).verdict == "passed"
