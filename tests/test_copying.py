"""Other files in a release: what is copied, what the manifest says of them, and later runs."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sfumato.ledger.ledger import Ledger
from sfumato.sources import others, reading
from sfumato.sources.disk import PART_SUFFIX
from sfumato.sources.folder_sink import FolderSink
from sfumato.sources.imagefolder import ImageFolder
from sfumato.sources.selection import Globs
from sfumato.types import Failure, Output
from tests import dataset, text_images
from tests.command import Done, sfumato
from tests.dataset import WATCHER, Dataset

IMAGE = dict(text_images.encodings(text_images.jpeg(48)))["base64 in lines"]
HEADS = {
    "JPEG": text_images.jpeg(48),
    "ID3": b"ID3\x03\0\0\0\0\x0f\0APIC",
    "msgpack": b"\x81\xa5",
}


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    made = dataset.make(tmp_path, count=1)
    (made.source / "n03" / "0.json").write_text('{"a": 1}')
    (made.source / "n03" / "bad.json").write_bytes(IMAGE)
    return made


def run(data: Dataset, *more: str | Path) -> Done:
    words: list[str | Path] = [data.source, data.out, "--boxes", data.boxes]
    words += ["--verify-detector", WATCHER[0]]
    return sfumato("run", *words, "--json", *more)


def verify(data: Dataset) -> Done:
    return sfumato("verify", data.source, data.out, "--json")


def summary(done: Done) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = json.loads(done.out)
    return found


def rows(data: Dataset) -> dict[str, dict[str, object]]:
    table = pq.read_table(data.out / "manifest.parquet").to_pylist()
    return {row["path"]: row for row in table if row["content"] != "image"}


@pytest.mark.slow
def test_each_other_file_has_a_row_in_the_manifest(data: Dataset) -> None:
    done = run(data, "--copy-other")
    assert done.code == 3
    digest = hashlib.sha256(b'{"a": 1}').hexdigest()
    found = rows(data)
    assert found.keys() == {"labels.txt", "n03/0.json", "n03/bad.json"}
    copied, refused = found["n03/0.json"], found["n03/bad.json"]
    assert (copied["action"], copied["encoding"], copied["content"]) == (
        *("copied", "identical", "other"),
    )
    assert copied["sha256_in"] == copied["sha256_out"] == digest
    assert (refused["action"], refused["code"]) == ("refused", "OTHER_MAY_HOLD_FACES")
    assert "n03/bad.json: not copied, could hold an image" in done.err
    said = summary(done)
    assert said["other_files"] == {"copied": 2, "unchecked": 0, "refused": 1}
    assert said["account"]["in"] == said["account"]["out"] == len(data.keys)
    assert said["refusals"] == {"OTHER_MAY_HOLD_FACES": 1}
    assert "2 other files were copied" in (data.out / "report.html").read_text()
    assert "1 other file wasn’t copied" in (data.out / "report.html").read_text()
    assert verify(data).code == 3


@pytest.mark.slow
def test_a_pattern_copies_unchecked_and_that_is_said(data: Dataset) -> None:
    (data.source / "blob.bin").write_bytes(bytes(range(256)))
    done = run(data, "--copy-other", "n03/*.json", "--copy-other", "*.bin")
    assert done.code == 0
    assert "3 other files were copied that nobody looked through" in done.err
    assert summary(done)["other_files"] == {"copied": 4, "unchecked": 3, "refused": 0}
    assert {key for key, row in rows(data).items() if row["content"] == "unchecked"} == {
        *("blob.bin", "n03/0.json", "n03/bad.json"),
    }
    assert "but for 3 that nobody looked through" in (data.out / "report.html").read_text()
    assert verify(data).code == 0
    # Without the pattern they go again.
    assert run(data, "--copy-other").code == 3
    assert rows(data)["n03/0.json"]["content"] == "other"
    assert not (data.out / "blob.bin").exists()
    assert not (data.out / "n03" / "bad.json").exists()


@pytest.mark.slow
def test_the_flag_by_itself_may_stand_anywhere_but_before_a_folder(data: Dataset) -> None:
    (data.source / "n03" / "bad.json").unlink()
    words: list[str | Path] = ["--boxes", data.boxes, "--verify-detector", WATCHER[0], "-q"]
    wrong = sfumato("run", "--copy-other", data.source, data.out, *words)
    assert wrong.code == 2
    assert "is a folder, and was taken for a pattern" in wrong.err
    assert sfumato("run", "--copy-other", "-q", data.source, data.out, *words).code == 0
    assert (data.out / "labels.txt").exists()


@pytest.mark.slow
@pytest.mark.parametrize("value", ["true", "false"])
def test_a_settings_file_may_say_it(data: Dataset, value: str) -> None:
    (data.source / "n03" / "bad.json").unlink()
    file = data.root / "settings.toml"
    file.write_text(f"copy-other = {value}\n")
    assert run(data, "--config", file).code == 0
    assert (data.out / "labels.txt").exists() is (value == "true")


@pytest.mark.slow
def test_a_copied_file_that_was_changed_is_found_and_mended(data: Dataset) -> None:
    assert run(data, "--copy-other").code == 3
    (data.out / "labels.txt").write_text("0 1 3")
    found = verify(data)
    assert found.code == 1
    assert "VERIFY_BYTES_CHANGED labels.txt" in found.err
    assert run(data, "--copy-other").code == 3
    assert (data.out / "labels.txt").read_text() == "0 1 2"
    assert verify(data).code == 3
    (data.out / "labels.txt").unlink()
    assert "VERIFY_FILE_MISSING labels.txt" in verify(data).err
    assert run(data, "--copy-other").code == 3
    assert (data.out / "labels.txt").exists()


@pytest.mark.slow
def test_what_changed_in_the_source_is_refreshed_or_removed(data: Dataset) -> None:
    assert run(data, "--copy-other").code == 3
    (data.source / "labels.txt").write_text("5 6 7")
    (data.source / "n03" / "0.json").write_bytes(IMAGE)
    assert "its source changed" in verify(data).err
    done = run(data, "--copy-other")
    assert summary(done)["other_files"] == {"copied": 1, "unchecked": 0, "refused": 2}
    assert (data.out / "labels.txt").read_text() == "5 6 7"
    assert not (data.out / "n03" / "0.json").exists()
    (data.source / "labels.txt").unlink()
    assert summary(run(data, "--copy-other"))["other_files"]["copied"] == 0
    assert not (data.out / "labels.txt").exists()
    assert verify(data).code == 3


@pytest.mark.slow
def test_without_the_option_what_was_copied_goes(data: Dataset) -> None:
    assert run(data, "--copy-other").code == 3
    assert run(data).code == 0
    assert not (data.out / "labels.txt").exists()
    assert rows(data) == {}
    assert verify(data).code == 0


@pytest.mark.slow
def test_what_is_the_same_isnt_read_again(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    (data.source / "n03" / "bad.json").unlink()
    os.utime(data.source / "labels.txt", ns=(10**18, 10**18))
    assert run(data, "--copy-other").code == 0
    assert run(data, "--copy-other").code == 0  # now the notes have settled
    before = {path: path.stat().st_mtime_ns for path in data.out.rglob("*.*") if path.is_file()}
    manifest = (data.out / "manifest.parquet").read_bytes()
    with Ledger(data.root / "out.sfumato" / "ledger.sqlite", read_only=True) as ledger:
        records = ledger.database.rows("SELECT COUNT(*) FROM records WHERE kind = 'output'")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(others, "_looked_through", refuse)
    assert run(data, "--copy-other").code == 0
    assert (data.out / "manifest.parquet").read_bytes() == manifest
    key = data.out / "labels.txt"
    assert key.stat().st_mtime_ns == before[key]
    with Ledger(data.root / "out.sfumato" / "ledger.sqlite", read_only=True) as ledger:
        again = ledger.database.rows("SELECT COUNT(*) FROM records WHERE kind = 'output'")
    assert again == records


@pytest.mark.slow
def test_a_release_of_an_older_version_is_looked_at_too(data: Dataset) -> None:
    """Version 0.1.0 copied by the first bytes alone, and kept no records of it."""
    (data.source / "n03" / "bad.json").write_bytes(b'{"imageData": "' + IMAGE + b'"}')
    assert run(data).code == 0
    with Ledger(data.root / "out.sfumato" / "ledger.sqlite") as ledger:
        listing = dict(ledger.listing())
        listing |= dict.fromkeys(("n03/bad.json", "labels.txt"), "copied")
        ledger.list_source(listing)
    for key in ("n03/bad.json", "labels.txt"):
        (data.out / key).write_bytes((data.source / key).read_bytes())
    found = verify(data)
    assert found.code == 1
    assert "VERIFY_OTHER n03/bad.json" in found.err
    assert "labels.txt" not in found.err
    (data.out / "labels.txt").write_text("changed")
    assert "VERIFY_BYTES_CHANGED labels.txt" in verify(data).err
    assert run(data, "--copy-other").code == 3
    assert not (data.out / "n03" / "bad.json").exists()
    assert verify(data).code == 3


@pytest.mark.slow
def test_the_release_keeps_its_own_names(data: Dataset) -> None:
    (data.source / "summary.json").write_text("{}")
    (data.source / "n03" / "summary.json").write_text("{}")
    run(data, "--copy-other")
    assert json.loads((data.out / "summary.json").read_text())["layout"] == 2
    assert (data.out / "n03" / "summary.json").read_text() == "{}"


# --- one file -----------------------------------------------------------------------------------


def stage(root: Path, *keys: str, unchecked: str = "") -> list[Output | Failure]:
    source = ImageFolder(root / "src")
    sink = FolderSink(root / "out", token="t", like=source)
    globs = Globs((unchecked,) if unchecked else ())
    return list(others.stage_others(keys, source, sink, globs, {}))


@pytest.mark.parametrize("name", HEADS)
def test_what_is_refused_leaves_nothing_behind(tmp_path: Path, name: str) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "x").write_bytes(b"text\n" * 300_000 + HEADS[name])
    (failure,) = stage(tmp_path, "x")
    assert isinstance(failure, Failure)
    assert failure.code == "OTHER_MAY_HOLD_FACES"
    assert list((tmp_path / "out").iterdir()) == []


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    os.mkfifo(tmp_path / "src" / "pipe")
    (tmp_path / "src" / "gone").symlink_to("nowhere")
    found = stage(tmp_path, "pipe", "gone", unchecked="*")
    assert [one.code for one in found if isinstance(one, Failure)] == [
        *("FILE_NOT_REGULAR", "LINK_BROKEN"),
    ]


def test_a_file_that_grows_meanwhile_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "src").mkdir()
    path = tmp_path / "src" / "x.txt"
    path.write_bytes(b"text\n")
    read = reading._part

    def growing(file: Any) -> bytes:
        part: bytes = read(file)
        if part:
            with path.open("ab") as more:
                more.write(b"x")
        return part if len(part) > 1 else b""

    monkeypatch.setattr(reading, "_part", growing)
    (failure,) = stage(tmp_path, "x.txt")
    assert isinstance(failure, Failure)
    assert failure.code == "FILE_CHANGED"


@pytest.mark.slow
def test_a_file_named_as_what_isnt_finished_is_taken_for_none(data: Dataset) -> None:
    """Only the very names that sfumato gives are swept away, and those are never copied."""
    ours = f".{'0' * 24}.12345678{PART_SUFFIX}"
    for name in (f"film.txt{PART_SUFFIX}", f"n03/.x{PART_SUFFIX}", f"n03/{ours}"):
        (data.source / name).write_text("words")
    for _ in range(2):
        run(data, "--copy-other", "*")
        assert (data.out / f"film.txt{PART_SUFFIX}").read_text() == "words"
        assert (data.out / f"n03/.x{PART_SUFFIX}").read_text() == "words"
        assert not (data.out / f"n03/{ours}").exists()
        assert (data.out / "manifest.parquet").exists()
