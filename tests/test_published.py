"""Notes of files: what is believed without reading, and that no change slips through."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from sfumato.ledger.ledger import Ledger
from sfumato.sources import Note, open_sink, open_source
from sfumato.sources.notes import is_as_noted, note_all, read_note, read_notes, state_of

NOTES = "sfumato.sources.notes"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def is_noted(file: Path, note: Note | None, digest: str) -> bool:
    sink = open_sink(file.parent, like=open_source(file.parent))
    return is_as_noted(sink, file.name, note, digest)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "x"
    path.write_bytes(b"before")
    return path


@pytest.mark.slow
def test_a_change_right_after_the_note_shows(file: Path) -> None:
    """Of the same size, and its time put back: only the clock that ticks tells them apart."""
    for _ in range(10):
        file.write_bytes(b"before")
        state = file.stat()
        (note,) = note_all([("k", file, sha256(b"before"))])
        assert is_noted(file, note, note.digest)
        with file.open("r+b") as same:  # nor another inode
            same.write(b"after!")
        os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
        assert not is_noted(file, note, note.digest)


def test_what_changes_while_it_is_noted_has_no_state(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{NOTES}.time.sleep", lambda s: file.write_bytes(b"longer now"))
    (note,) = note_all([("k", file, sha256(b"before"))])
    assert note == Note("k", sha256(b"before"), "")
    assert list(note_all([])) == []


def test_only_a_note_of_these_bytes_in_this_state_is_believed(file: Path) -> None:
    digest, state = sha256(b"before"), state_of(file)
    assert is_noted(file, Note("k", digest, state), digest)
    assert not is_noted(file, None, digest)
    assert not is_noted(file, Note("k", "", state), digest)
    assert not is_noted(file, Note("k", digest, state), sha256(b"other"))
    assert not is_noted(file, Note("k", digest, ""), digest)
    assert not is_noted(file.with_name("y"), Note("k", digest, ""), digest)
    size, mtime, ctime, inode = state.split()
    for other in (
        f"7 {mtime} {ctime} {inode}",
        f"{size} 1 {ctime} {inode}",
        f"{size} {mtime} 1 {inode}",
        f"{size} {mtime} {ctime} 1",
    ):
        assert not is_noted(file, Note("k", digest, other), digest)


def test_a_file_is_read_and_noted_once_it_has_settled(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = file.stat().st_ctime_ns
    monkeypatch.setattr(f"{NOTES}.time.time_ns", lambda: changed + 1_000_000)
    assert read_note("k", file) == Note("k", sha256(b"before"), "")
    monkeypatch.setattr(f"{NOTES}.time.time_ns", lambda: changed + 10**9)
    assert read_note("k", file) == Note("k", sha256(b"before"), state_of(file))


def test_what_is_no_file_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    (tmp_path / "link").symlink_to("x")
    (tmp_path / "dead").symlink_to("nothing")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "dead", "folder", "pipe", "missing", "x/below"):
        assert read_note(name, tmp_path / name) is None
        assert state_of(tmp_path / name) == ""
    keys = ["missing", "x", "dead", "link"]
    assert [note.key for note in read_notes((key, tmp_path / key) for key in keys)] == ["x"]


def test_exactly_a_tick_is_too_soon_and_a_time_to_come_is_no_matter(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = file.stat().st_ctime_ns
    for later, settled in ((20_000_000, False), (20_000_001, True), (-(10**9), True)):
        monkeypatch.setattr(f"{NOTES}.time.time_ns", lambda later=later: changed + later)
        note = read_note("k", file)
        assert note is not None
        assert (note.state != "") is settled


@pytest.mark.parametrize("replaced", [False, True])
def test_what_changes_while_it_is_read_has_no_state(
    replaced: bool, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed, digest = file.stat().st_ctime_ns, hashlib.file_digest

    def meddled(*given: Any) -> Any:
        found = digest(*given)
        if replaced:  # the open file stays as it was
            file.with_name("y").write_bytes(b"after!")
            os.replace(file.with_name("y"), file)
        else:
            file.write_bytes(b"longer now")
        return found

    monkeypatch.setattr(f"{NOTES}.hashlib.file_digest", meddled)
    monkeypatch.setattr(f"{NOTES}.time.time_ns", lambda: changed + 10**9)
    assert read_note("k", file) == Note("k", sha256(b"before"), "")


def test_a_note_waits_for_a_tick_of_the_clock(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(f"{NOTES}.time.sleep", waited.append)
    assert len(list(note_all([("k", file, sha256(b"before"))]))) == 1
    assert waited == [0.02]


def test_a_later_note_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.commit((), notes=[Note("a", "1", "x"), Note("b", "2", "y")])
        ledger.commit((), notes=[Note("a", "", "")])
        assert list(ledger.notes()) == [Note("a", "", ""), Note("b", "2", "y")]
