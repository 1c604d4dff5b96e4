"""What a start that failed made is removed again, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from sfumato.pipeline.traces import Start


def begin(start: Start, *files: Path, done: bool = False) -> None:
    with start.tidied():
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"new")
        start.done = done
        raise KeyboardInterrupt


@pytest.mark.parametrize("below", ["new", "here"])
def test_what_was_made_goes_with_the_folders_above_it(tmp_path: Path, below: str) -> None:
    (tmp_path / "here").mkdir()
    folder = tmp_path / below / "deep" / "er"
    start = Start([folder], [folder / "lock", folder / "ledger"])
    with pytest.raises(KeyboardInterrupt):
        begin(start, folder / "lock")  # the other wasn't made yet
    assert list(tmp_path.rglob("*")) == [tmp_path / "here"]


def test_what_was_there_stays_and_so_does_what_somebody_else_put_there(tmp_path: Path) -> None:
    kept, folder = tmp_path / "kept", tmp_path / "folder"
    kept.write_bytes(b"old")
    start = Start([tmp_path, folder / "deep"], [kept, folder / "lock"])
    with pytest.raises(KeyboardInterrupt):
        begin(start, folder / "deep" / "theirs", folder / "lock")
    assert kept.read_bytes() == b"old"
    assert sorted(tmp_path.rglob("*")) == [
        *(folder, folder / "deep", folder / "deep" / "theirs", kept),
    ]


def test_a_file_that_cannot_be_removed_keeps_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    start = Start([folder, tmp_path / "other"], [folder, tmp_path / "other" / "lock"])
    with pytest.raises(KeyboardInterrupt):  # a folder stands where a file was to be
        begin(start, tmp_path / "other" / "lock", folder / "theirs")
    assert sorted(tmp_path.rglob("*")) == [folder, folder / "theirs"]


def test_once_it_is_done_all_stays_and_so_it_does_without_an_error(tmp_path: Path) -> None:
    start = Start([tmp_path / "a"], [tmp_path / "a" / "lock"])
    assert not start.done
    with pytest.raises(KeyboardInterrupt):
        begin(start, tmp_path / "a" / "lock", done=True)
    assert (tmp_path / "a" / "lock").exists()
    start = Start([tmp_path / "b"], [tmp_path / "b" / "lock"])
    with start.tidied():
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "lock").write_bytes(b"new")
    assert (tmp_path / "b" / "lock").exists()
