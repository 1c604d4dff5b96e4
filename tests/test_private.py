"""What isn't published is its owner's alone, whatever the umask, from the moment it is made."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sfumato.detection.detectors import meter
from sfumato.ledger.database import SQLite
from sfumato.ledger.ledger import Ledger
from sfumato.pipeline.lock import locked
from sfumato.sources import private
from sfumato.study import files
from tests import dataset
from tests.command import sfumato
from tests.variants import slow_unless


@contextmanager
def masked(umask: int) -> Iterator[None]:
    before = os.umask(umask)
    try:
        yield
    finally:
        os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def modes(folder: Path) -> dict[str, int]:
    return {path.name: mode(path) for path in folder.rglob("*")} | {"": mode(folder)}


@pytest.mark.parametrize("umask", slow_unless([0, 0o022, 0o077, 0o227], {0, 0o227}.__contains__))
def test_all_that_a_run_keeps_is_the_owners_alone(tmp_path: Path, umask: int) -> None:
    data = dataset.make(tmp_path, count=1)
    data.source.chmod(0o755)
    words = ("--boxes", data.boxes, "--verify-detector", "yunet@160:0.95")
    with masked(umask):
        assert sfumato("detect", data.source, "--boxes", data.boxes).code == 0
    with masked(umask & 0o077):
        done = sfumato("run", data.source, data.out, *words)
    assert done.code == 0, done.err
    assert "chmod" not in done.err
    for folder in (tmp_path / "out.sfumato", tmp_path / "src.sfumato"):
        found = modes(folder)
        assert found.pop("") == 0o700
        assert set(found.values()) == {0o600}
        assert {"ledger.sqlite", "lock"} <= found.keys()
    assert "report.html" in modes(tmp_path / "out.sfumato")
    # What is published keeps the umask, and the source its mode.
    assert mode(data.out) == 0o777 & ~(umask & 0o077)
    assert mode(data.out / "report.html") == 0o666 & ~(umask & 0o077)
    assert mode(data.source) == 0o755


def test_nobody_gets_in_between_making_and_closing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any chmod afterwards, the rights are the same."""
    for name in ("chmod", "fchmod"):
        monkeypatch.setattr(os, name, lambda *_: None)
    with masked(0):
        private.write(tmp_path / "new", b"1")
        private.write(tmp_path / "new", b"2")
        assert (tmp_path / "new").read_bytes() == b"2"
        with locked(tmp_path / "deep" / "x.sfumato"), Ledger(tmp_path / "l.sqlite") as ledger:
            ledger.forget(["s"])
            assert isinstance(ledger.database, SQLite)
            beside = {path.name for path in tmp_path.glob("l.sqlite*")}
            assert beside == {"l.sqlite", "l.sqlite-wal", "l.sqlite-shm"}
            for path in tmp_path.glob("l.sqlite*"):
                assert mode(path) == 0o600
        assert modes(tmp_path / "deep" / "x.sfumato") == {"": 0o700, "lock": 0o600}
        with meter.allowed(tmp_path / "m.sfumato" / "uploads.json", meter.Tariff(1.0)):
            assert modes(tmp_path / "m.sfumato") == {"": 0o700, "uploads.json": 0o600}
        files.write(tmp_path / "study" / "cache" / "a.png", b"")
        assert mode(tmp_path / "study" / "cache") == 0o700
        assert sfumato("study", "init", tmp_path / "plan").code == 0
        assert mode(tmp_path / "plan") == 0o700


def test_what_is_open_already_is_named_and_left(tmp_path: Path) -> None:
    data = dataset.make(tmp_path, count=1)
    words = ("detect", data.source, "--boxes", data.boxes)
    assert sfumato(*words).code == 0
    folder = tmp_path / "src.sfumato"
    for path in (folder, folder / "ledger.sqlite"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    told = _told(folder / "ledger.sqlite")
    assert told.count("chmod -R go-rwx") == 1
    assert f"`chmod -R go-rwx {folder}`" in told
    assert (mode(folder), mode(folder / "ledger.sqlite")) == (0o755, 0o644)
    # A closed folder keeps everybody from the file; in one that isn't ours, the file counts.
    folder.chmod(0o700)
    assert _told(folder / "ledger.sqlite") == ""
    apart = tmp_path / "it's a ledger.sqlite"
    apart.touch(0o644)
    assert "`chmod go-rwx '" in _told(apart)
    apart.chmod(0o600)
    assert _told(apart) == ""


def _told(ledger: Path) -> str:
    import logging

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    lines: list[str] = []
    handler = Kept()
    private._said.clear()
    logging.getLogger("sfumato.sources.private").addHandler(handler)
    try:
        for _ in range(2):  # a verb of review opens it twice
            with Ledger(ledger):
                pass
    finally:
        logging.getLogger("sfumato.sources.private").removeHandler(handler)
    return "\n".join(lines)
