"""The whole way: nothing is lost, nothing changes but the faces, a killed run goes on."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sfumato.errors import Code, UsageError
from sfumato.imaging import codec
from sfumato.ledger.ledger import Ledger
from sfumato.pipeline.driver import STAGES, Job, run, search
from sfumato.pipeline.executors import Result, Task
from sfumato.pipeline.executors.local import Local
from sfumato.release.report.data import Account
from sfumato.sources import open_source
from sfumato.sources.doors import Shard
from sfumato.sources.private import private_folder
from sfumato.types import Output
from tests import dataset
from tests.command import Here
from tests.dataset import BOX, Dataset, files_of

ROOT = Path(__file__).resolve().parents[1]
WRITTEN_LAST = {"manifest.parquet", "faces.parquet", "summary.json", "report.html"}


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return dataset.make(tmp_path, count=2)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A data set with its finished release; tests only look at it."""
    made = dataset.make(tmp_path_factory.mktemp("done"))
    run(made.job(), STAGES, Local(1))
    return made


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def rows(path: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = pq.read_table(path).to_pylist()
    return found


def test_every_image_is_accounted_for(done: Dataset) -> None:
    manifest = rows(done.out / "manifest.parquet")
    assert [row["path"] for row in manifest] == list(done.keys)
    for row in manifest:
        key = str(row["path"])
        assert row["sha256_in"] == sha256(done.source / key)
        assert row["sha256_out"] == sha256(done.out / key)
        assert row["action"] == ("obfuscated" if key in done.with_face else "copied")
        assert row["faces"] == (key in done.with_face)
        assert row["fingerprint"] == done.job().recipe.fingerprint("obfuscate")
    assert set(files_of(done.out)) == set(done.keys) | WRITTEN_LAST
    summary = json.loads((done.out / "summary.json").read_text())
    assert summary["account"]["in"] == len(done.keys) == summary["account"]["out"]
    assert summary["ignored"] == {"count": 1, "first": ["labels.txt"]}


def test_images_without_a_face_leave_byte_for_byte(done: Dataset) -> None:
    for key in done.without:
        assert (done.out / key).read_bytes() == (done.source / key).read_bytes()


def test_only_faces_change(done: Dataset) -> None:
    actions = {str(row["path"]): row for row in rows(done.out / "manifest.parquet")}
    for key in done.with_face:
        before = codec.decode((done.source / key).read_bytes()).frames[0].astype(int)
        after = codec.decode((done.out / key).read_bytes()).frames[0].astype(int)
        change = abs(after - before).max(axis=2)
        x0, y0, x1, y1 = (int(side) for side in BOX)
        assert change[y0:y1, x0:x1].mean() > 20
        if actions[key]["encoding"] == "exact":
            # A JPEG changes by whole blocks of 16 pixels, colour by one pixel more.
            assert change[:, :15].max() == 0


def test_the_table_of_faces_holds_boxes_as_given(done: Dataset) -> None:
    faces = rows(done.out / "faces.parquet")
    assert [face["path"] for face in faces] == sorted(done.with_face)
    assert all(tuple(face[side] for side in ("x0", "y0", "x1", "y1")) == BOX for face in faces)
    assert {face["origin"] for face in faces} == {"file"}


def test_nothing_that_is_published_names_the_machine(done: Dataset) -> None:
    for name in WRITTEN_LAST:
        assert os.fsencode(done.root) not in (done.out / name).read_bytes()


@pytest.mark.slow
def test_a_second_run_does_nothing_and_changes_nothing(data: Dataset) -> None:
    run(data.job(), STAGES, Here())
    before = files_of(data.out)
    times = {key: (data.out / key).stat().st_mtime_ns for key in data.keys}
    run(data.job(), STAGES, _Refuse())
    assert files_of(data.out) == before
    assert times == {key: (data.out / key).stat().st_mtime_ns for key in data.keys}


class _Refuse(Local):
    """An executor that must not be needed."""

    def map(self, task: Task, shards: Iterable[Shard]) -> Iterator[Result]:
        assert list(shards) == []
        return iter(())


@pytest.mark.slow
def test_files_that_come_go_and_change_between_runs(data: Dataset) -> None:
    run(data.job(), STAGES, Here())
    gone, changed = data.without[0], data.without[1]
    (data.source / gone).unlink()
    (data.source / changed).write_bytes((data.source / data.without[2]).read_bytes())
    new = data.source / "n04" / "new.png"
    new.parent.mkdir()
    new.write_bytes((data.source / data.without[0].replace("0 ä.JPEG", "2 ä.webp")).read_bytes())
    report = run(data.job(), STAGES, Here())
    assert report.verdict == "passed"
    assert not (data.out / gone).exists()
    assert sha256(data.out / changed) == sha256(data.source / changed)
    assert (data.out / "n04/new.png").exists()
    assert report.account.images_in == len(data.keys)


@pytest.mark.slow
def test_images_that_were_lost_from_the_release_are_made_again(data: Dataset) -> None:
    run(data.job(), STAGES, Here())
    before = files_of(data.out)
    (data.out / data.with_face[0]).unlink()
    (data.out / "manifest.parquet").unlink()
    run(data.job(), STAGES, Here())
    assert files_of(data.out) == before


@pytest.mark.slow
def test_the_verbs_one_after_the_other_give_what_run_gives(data: Dataset) -> None:
    run(data.job(), STAGES, Here())
    step = data.root / "step"
    search(replace(data.job(step), out=None), Here())
    run(data.job(step), ("obfuscate",), Here())
    run(data.job(step), ("verify",), Here())
    assert files_of(step) == files_of(data.out)


@pytest.mark.slow
def test_a_release_of_another_recipe_is_not_touched(data: Dataset) -> None:
    run(data.job(), STAGES, Here())
    before = files_of(data.out)
    with pytest.raises(UsageError, match=r"different: obfuscate\.method.*--overwrite"):
        run(data.job(method="fill"), STAGES, Here())
    assert files_of(data.out) == before
    run(data.job(method="fill", overwrite=True), STAGES, Here())
    fill = files_of(data.out)
    changed = {key for key in fill if fill[key] != before[key]}
    assert changed == set(data.with_face) | WRITTEN_LAST - {"faces.parquet"}


@pytest.mark.slow
def test_wrong_folders_are_refused_before_anything_is_written(data: Dataset) -> None:
    before = files_of(data.root)
    other = data.root / "other"
    other.mkdir()
    (other / "mine.txt").write_text("keep")
    empty = data.root / "empty"
    empty.mkdir()
    wrong: list[tuple[Job, str]] = [
        (data.job(data.source / "out"), "must lie apart"),
        (data.job(data.root), "must lie apart"),
        (data.job(data.source), "must lie apart"),
        (data.job(data.boxes), "is a file"),
        (data.job(other), "isn't empty and wasn't made by sfumato"),
        (replace(data.job(), source=open_source(data.root / "nothing")), "is not a folder"),
        (replace(data.job(data.root / "new"), source=open_source(empty)), "holds no images"),
    ]
    for job, words in wrong:
        with pytest.raises(UsageError, match=words):
            run(job, STAGES, Local(1))
    found = files_of(data.root)
    kept = {name: text for name, text in found.items() if ".sfumato/" not in name}
    assert kept == {**before, "other/mine.txt": b"keep"}
    assert not (data.root / "new").exists()


def test_one_run_at_a_time(data: Dataset) -> None:
    folder = private_folder(data.out)
    folder.mkdir()
    with (folder / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="Another sfumato works"):
            run(data.job(), STAGES, Local(1))


@pytest.mark.slow
def test_other_files_are_copied_on_request_unless_they_may_hold_faces(data: Dataset) -> None:
    (data.source / "n03" / "image-without-ending").write_bytes(
        (data.source / data.without[0]).read_bytes()
    )
    (data.source / "report.html").write_text("somebody else's")
    report = run(data.job(copy_other=True), STAGES, Here())
    assert (data.out / "labels.txt").read_text() == "0 1 2"
    assert not (data.out / "n03" / "image-without-ending").exists()
    assert [failure.code for failure in report.refused] == [Code.OTHER_MAY_HOLD_FACES]
    assert b"somebody else's" not in (data.out / "report.html").read_bytes()
    assert report.verdict == "refused"


@pytest.mark.slow
def test_a_box_that_cannot_be_right_refuses_its_image(data: Dataset) -> None:
    with data.boxes.open("a") as file:
        file.write(f"{data.without[0]},50,50,10,10\n")
    report = run(data.job(), STAGES, Here())
    assert [(f.key, f.code) for f in report.refused] == [(data.without[0], Code.BOXES_MISSING)]
    assert not (data.out / data.without[0]).exists()


def test_a_misspelt_name_in_a_list_of_faces_exposes_nobody(data: Dataset) -> None:
    with data.boxes.open("a") as file:
        file.write("n03/misspelt.jpg,1,1,20,20\n")
    with pytest.raises(UsageError, match=r"misspelt.*--unlisted refuse"):
        run(data.job(), STAGES, Local(1))


@pytest.mark.timeout(400)  # it starts many runs, one after another
@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, 20])
def test_killed_at_any_moment_the_same_command_finishes_the_same_work(
    tmp_path: Path, kills: int
) -> None:
    data = dataset.make(tmp_path, count=4)
    whole = data.root / "whole"
    run(data.job(whole), STAGES, Here())
    chance = random.Random(kills)
    began = time.monotonic()
    assert _command(data).wait() == 0
    length = time.monotonic() - began
    for number in range(kills):
        out = data.root / f"killed-{number}"
        process = _command(data, out)
        time.sleep(chance.uniform(0.2, length))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert _command(data, out).wait() == 0
        assert files_of(out) == files_of(whole)


def _command(data: Dataset, out: Path | None = None) -> subprocess.Popen[bytes]:
    words = [str(data.source), str(out or data.out), "--boxes", str(data.boxes), "-q", "-j", "1"]
    watcher = [word for spec in dataset.WATCHER for word in ("--verify-detector", spec)]
    # Whoever starts the tests in the background has Ctrl-C ignored, and children inherit that.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{heard}; from sfumato.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", program, "run", *words, *watcher],
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}"},
        stdout=subprocess.DEVNULL,
    )


@pytest.mark.slow
def test_an_interrupted_run_leaves_130_and_goes_on(tmp_path: Path) -> None:
    codes = []
    for number, pause in enumerate((0.4, 0.1, 0.0)):  # a quick machine may be done before
        data = dataset.make(tmp_path / str(number), count=30)
        process = _command(data)
        ledger = private_folder(data.out) / "ledger.sqlite"
        while not ledger.exists():
            time.sleep(0.02)
        time.sleep(pause)
        process.send_signal(signal.SIGINT)
        codes.append(process.wait())
        if codes[-1]:
            break
    assert codes[-1] == 130
    assert _command(data).wait() == 0
    assert len(rows(data.out / "manifest.parquet")) == len(data.keys)


def test_the_ledger_says_what_was_done_with_what(done: Dataset) -> None:
    recipe = done.job().recipe
    with Ledger(done.job().ledger, read_only=True) as ledger:
        outputs = list(ledger.latest(recipe.fingerprint("obfuscate"), ["output"]))
        assert [record.key for record in outputs] == list(done.keys)
        assert all(isinstance(record, Output) for record in outputs)
        assert ledger.last_run() is not None


@pytest.mark.slow
def test_the_account_adds_up(done: Dataset) -> None:
    report = run(done.job(), ("verify",), Here())
    faces = len(done.with_face)
    assert report.account == Account(copied=len(done.without), obfuscated=faces)
    assert report.verdict == "passed"
