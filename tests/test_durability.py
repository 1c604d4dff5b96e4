"""What is on the disk when: a power cut at any moment leaves no manifest over other files.

The calls to the system are recorded, and their order is what is tested: a file is synced before
it gets its name, a folder after names in it changed and before what relies on it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sfumato.errors import Code, OutputError, SampleError
from sfumato.ledger.ledger import Ledger
from sfumato.pipeline.driver import STAGES, run
from sfumato.sources import reading
from sfumato.sources.disk import PART_SUFFIX, cannot_write, fsync, make_folder, write_atomically
from sfumato.sources.folder_sink import FolderSink
from sfumato.sources.reading import read_steadily
from sfumato.types import Output
from tests import dataset
from tests.command import Here
from tests.dataset import Dataset

Call = tuple[str, Path]


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return dataset.make(tmp_path, count=1)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Record fsync (of a path), unlink, rename (its target), mkdir and commit, in their order."""
    found: list[Call] = []

    def record(name: str, path_of: Callable[..., Path]) -> None:
        real = getattr(os, name)

        def call(*args: Any, **more: Any) -> Any:
            path = path_of(*args)
            result = real(*args, **more)
            found.append((name, path))
            return result

        monkeypatch.setattr(os, name, call)

    record("fsync", lambda handle: Path(os.readlink(f"/proc/self/fd/{handle}")))
    record("unlink", Path)
    record("replace", lambda origin, path: Path(path))
    record("mkdir", lambda path, *_: Path(path))
    commit = Ledger.commit

    def committing(self: Ledger, *args: Any, **more: Any) -> None:
        commit(self, *args, **more)
        if more.get("shard"):
            found.append(("commit", Path(str(self.where))))

    monkeypatch.setattr(Ledger, "commit", committing)
    return found


def at(calls: list[Call], name: str, path: Path) -> list[int]:
    return [number for number, call in enumerate(calls) if call == (name, path)]


@pytest.mark.slow
def test_the_old_manifest_is_gone_from_the_disk_before_a_image_is_renamed(
    data: Dataset, calls: list[Call]
) -> None:
    run(data.job(), STAGES, Here())
    calls.clear()
    run(data.job(method="fill", overwrite=True), STAGES, Here())
    (gone,) = at(calls, "unlink", data.out / "manifest.parquet")
    synced = min(n for n in at(calls, "fsync", data.out) if n > gone)
    renamed = [at(calls, "replace", data.out / key) for key in data.keys]
    assert all(len(times) == 1 for times in renamed)
    assert gone < synced < min(n for (n,) in renamed)


@pytest.mark.slow
def test_images_are_on_the_disk_before_their_records_are(data: Dataset, calls: list[Call]) -> None:
    run(data.job(), STAGES, Here())
    (committed,) = at(calls, "commit", Path(str(data.job().ledger)))
    for key in data.keys:
        path = data.out / key
        (renamed,) = at(calls, "replace", path)
        before = [p for name, p in calls[:renamed] if name == "fsync" and p.parent == path.parent]
        assert any(p.name.endswith(PART_SUFFIX) for p in before)
        for folder in (path.parent, *path.parent.parents):
            if data.out in (folder, *folder.parents):
                assert any(renamed < n < committed for n in at(calls, "fsync", folder)), folder


@pytest.mark.slow
def test_the_ledger_has_its_name_on_the_disk_before_it_says_anything(
    data: Dataset, calls: list[Call]
) -> None:
    run(data.job(), STAGES, Here())
    (committed,) = at(calls, "commit", Path(str(data.job().ledger)))
    for folder in (data.job().private, data.job().private.parent):
        assert any(n < committed for n in at(calls, "fsync", folder)), folder


@pytest.mark.slow
def test_the_manifest_is_last_and_its_folder_is_synced(data: Dataset, calls: list[Call]) -> None:
    run(data.job(), STAGES, Here())
    (renamed,) = at(calls, "replace", data.out / "manifest.parquet")
    assert renamed > max(n for n, (name, _) in enumerate(calls) if name == "commit")
    assert calls[renamed - 1] == ("fsync", data.out / f".manifest.parquet{PART_SUFFIX}")
    assert calls[renamed + 1 :] == [("fsync", data.out)]
    for name in ("faces.parquet", "report.html", "summary.json"):
        (other,) = at(calls, "replace", data.out / name)
        assert other < renamed
        assert min(n for n in at(calls, "fsync", data.out) if n > other) == other + 1


@pytest.mark.slow
def test_what_no_longer_belongs_goes_after_the_manifest(data: Dataset, calls: list[Call]) -> None:
    (data.source / "n04").mkdir()
    (data.source / "n04" / "notes.txt").write_text("x")
    run(data.job(copy_other=True), STAGES, Here())
    assert (data.out / "n04").is_dir()
    calls.clear()
    run(data.job(), STAGES, Here())  # no image is left to do, and these two go
    gone = [
        n for name in ("labels.txt", "n04/notes.txt") for n in at(calls, "unlink", data.out / name)
    ]
    assert len(gone) == 2
    assert not (data.out / "n04").exists()
    (forgotten,) = at(calls, "unlink", data.out / "manifest.parquet")
    (written,) = at(calls, "replace", data.out / "manifest.parquet")
    synced = at(calls, "fsync", data.out)
    assert any(forgotten < n < min(gone) for n in synced)
    assert any(max(gone) < n < written for n in synced)


def test_new_folders_are_on_the_disk(tmp_path: Path, calls: list[Call]) -> None:
    make_folder(tmp_path / "a" / "b")
    for path in (tmp_path / "a", tmp_path / "a" / "b"):
        (made,) = at(calls, "mkdir", path)
        assert any(n > made for n in at(calls, "fsync", path.parent))
    calls.clear()
    make_folder(tmp_path / "a" / "b")
    assert [name for name, _ in calls if name == "fsync"] == []


def test_a_file_that_is_written_whole_stays(tmp_path: Path, calls: list[Call]) -> None:
    write_atomically(tmp_path / "x", b"x")
    part = tmp_path / f".x{PART_SUFFIX}"
    assert calls == [("fsync", part), ("replace", tmp_path / "x"), ("fsync", tmp_path)]


def test_what_is_written_whole_is_its_owners_alone(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"theirs")
    for name in ("x", f".x{PART_SUFFIX}"):  # links, behind which nothing is to be written
        (tmp_path / name).symlink_to(elsewhere)
    before = os.umask(0o022)
    try:
        write_atomically(tmp_path / "x", b"ours")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").lstat().st_mode) == 0o600
    assert (tmp_path / "x").read_bytes() == b"ours"
    assert elsewhere.read_bytes() == b"theirs"
    assert set(os.listdir(tmp_path)) == {"x", "elsewhere"}


def test_a_file_that_is_synced_does_not_stay_open(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        fsync(tmp_path)
    assert os.listdir("/proc/self/fd") == before


REFUSED = {
    errno.ENOSPC: "the disk is full: make room",
    errno.EDQUOT: "the quota is used up: make room",
    errno.EROFS: "the disk is read-only: choose another folder",
    errno.EACCES: "permission is denied: change it or choose another folder",
    errno.EEXIST: "a file stands where a folder is needed: remove it",
    errno.EISDIR: "a folder stands where a file is needed: remove it",
    errno.ENOTDIR: "a file stands where a folder is needed: remove it",
    errno.ENAMETOOLONG: "a name is too long for this file system: shorten it",
    errno.EIO: "it fails: mend it",
}


@pytest.mark.parametrize("code", REFUSED)
def test_a_disk_that_refuses_is_a_sentence_that_says_what_to_do(tmp_path: Path, code: int) -> None:
    error = OSError(code, "it fails")
    end = f"{REFUSED[code]}, then run the same command again to go on."
    assert cannot_write(Path("d"), error) == f"Can't write to d: {end}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sfumato.sources.disk.fsync", _raiser(error))
        with pytest.raises(OutputError, match=REFUSED[code]):
            write_atomically(tmp_path / "x", b"x")
    assert not (tmp_path / "x").exists()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    with pytest.raises(OutputError, match=f"{tmp_path}/x/y can't be made"):
        make_folder(tmp_path / "x" / "y")


def _raiser(error: OSError) -> Callable[[Path], None]:
    def fail(path: Path) -> None:
        raise error

    return fail


# --- a shard is published, then committed -------------------------------------------------------


@pytest.mark.slow
def test_records_never_come_before_what_they_speak_of(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in between, the ledger must not say that something is done which isn't there."""
    commit = Ledger.commit
    seen: list[str] = []

    def committing(self: Ledger, records: Any, *args: Any, **more: Any) -> None:
        records = list(records)
        for _, record in records:
            if isinstance(record, Output):
                written = (data.out / record.key).read_bytes()
                assert hashlib.sha256(written).hexdigest() == record.written
                seen.append(record.key)
        commit(self, records, *args, **more)

    monkeypatch.setattr(Ledger, "commit", committing)
    run(data.job(), STAGES, Here())
    assert seen == list(data.keys)
    monkeypatch.setattr(FolderSink, "publish", _die)
    other = replace(data.job(), resume=False)
    with pytest.raises(KeyboardInterrupt):
        run(other, STAGES, Here())
    with Ledger(data.job().ledger, read_only=True) as ledger:
        assert ledger.done("obfuscate", data.job().recipe.fingerprint("obfuscate")) == set()


def _die(*_: object) -> None:
    raise KeyboardInterrupt


# --- a file is read while somebody writes it ----------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "x.jpg"
    path.write_bytes(b"before")
    return path


def test_a_file_written_within_a_tick_of_the_clock_is_read_twice(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its times don't show the second write: only the bytes do."""
    frozen = os.stat(file)
    monkeypatch.setattr(os, "fstat", lambda handle: frozen)
    monkeypatch.setattr("sfumato.sources.reading.time.time_ns", lambda: frozen.st_mtime_ns)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        file.write_bytes(b"after!")

    monkeypatch.setattr("sfumato.sources.reading.time.sleep", sleep)
    with pytest.raises(SampleError) as refused:
        read_steadily(file)
    assert refused.value.code is Code.FILE_CHANGED
    assert len(slept) == 1
    assert slept[0] >= 0.01
    assert read_steadily(file, settle_s=0) == b"after!"  # of our own: once


def test_a_file_written_between_opening_and_reading_is_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of one size: only its times show it."""
    os.utime(file, ns=(1, 1))
    real, changes = os.fstat, [b"after!"]

    def fstat(handle: int) -> os.stat_result:
        state = real(handle)
        if changes:
            file.write_bytes(changes.pop())
        return state

    monkeypatch.setattr(os, "fstat", fstat)
    for settle_s in (0.0, 0.001):
        changes[:] = [b"after!"]
        with pytest.raises(SampleError) as refused:
            read_steadily(file, settle_s=settle_s)
        assert refused.value.code is Code.FILE_CHANGED
        os.utime(file, ns=(1, 1))
    assert read_steadily(file) == b"after!"


def test_a_file_written_while_it_settles_is_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the same bytes are there again: nobody knows what comes next."""
    monkeypatch.setattr(reading, "_just_written", lambda state: True)

    def sleep(seconds: float) -> None:
        file.write_bytes(b"between")
        file.write_bytes(b"before")
        os.utime(file, ns=(1, 1))

    monkeypatch.setattr("sfumato.sources.reading.time.sleep", sleep)
    with pytest.raises(SampleError) as refused:
        read_steadily(file)
    assert refused.value.code is Code.FILE_CHANGED


def test_a_file_that_shrinks_or_grows_is_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen = os.stat(file)
    monkeypatch.setattr(os, "fstat", lambda handle: frozen)
    for now in (b"short", b"longer than before"):
        file.write_bytes(now)
        with pytest.raises(SampleError) as refused:
            read_steadily(file, settle_s=0)
        assert refused.value.code is Code.FILE_CHANGED
