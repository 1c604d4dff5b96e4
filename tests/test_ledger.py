"""The ledger in an SQLite file: what every ledger must do, and what a file can be."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from sfumato.errors import Code, LedgerError, OutputError, UsageError
from sfumato.ledger import schema
from sfumato.ledger.database import Where, named
from sfumato.ledger.ledger import Ledger, decode
from sfumato.types import Decision, Detection, Face, Finding
from tests.contract.ledger import RECORDS, LedgerContract
from tests.unprivileged import bound_by_rights

FINDING = (
    '{"key":"k","code":"VERIFY_COUNT","passed":true,"value":1,"limit":1,"detail":"","digest":"0"}'
)


class TestSQLite(LedgerContract):
    @pytest.fixture
    def where(self, tmp_path: Path) -> Path:
        return tmp_path / "ledger ?%.sqlite"

    @pytest.fixture
    def other(self, tmp_path: Path) -> Path:
        return tmp_path / "theirs.sqlite"

    def replacing(self, into: str, row: str) -> Sequence[str]:
        return (
            f"INSERT OR REPLACE {into} {row}",
            f"REPLACE {into} {row}",
            f"INSERT OR REPLACE {into.replace('seq', 'rowid')} {row}",
            f"INSERT OR REPLACE {into} (-1, 'detection', 'f', 'k', '{{}}', 0)",
            f"INSERT {into} ({2**62}, 'detection', 'f', 'k', '{{}}', 0)",
            f"INSERT OR IGNORE {into} {row}",
            "UPDATE OR REPLACE records SET seq = 1, body = '{}'",
        )

    def plan(self, ledger: Ledger, sql: str, parameters: Sequence[object]) -> str:
        rows = ledger.database.rows(f"EXPLAIN QUERY PLAN {sql}", parameters)
        return " ".join(str(row[3]) for row in rows)


def test_bodies_from_before_fields_were_added_are_read() -> None:
    face = '{"box":[1,2,3,4],"score":0.5,"origin":"yunet"}'
    faces = (Face((1, 2, 3, 4), 0.5, "yunet", "face"),)
    body = f'{{"key":"k","digest":"0","width":4,"height":3,"faces":[{face}]}}'
    assert decode("detection", body) == Detection("k", "0", 4, 3, faces, ())
    body = f'{{"key":"k","digest":"0","faces":[{face}],"basis":"adjudicated"}}'
    assert decode("decision", body) == Decision("k", "0", faces, "adjudicated", ())


@pytest.mark.slow
def test_a_file_of_an_earlier_layout_is_opened_and_keeps_what_it_holds(tmp_path: Path) -> None:
    for layout in range(1, len(schema.STEPS["sqlite"]) + 1):
        path = tmp_path / f"{layout}.sqlite"
        with sqlite3.connect(path) as db:
            for step in schema.STEPS["sqlite"][:layout]:
                db.executescript(step)
            db.execute(f"PRAGMA user_version = {layout}")
            db.execute(
                "INSERT INTO records (kind, fingerprint, key, body) VALUES (?, 'f', 'k', ?)",
                ("finding", FINDING),
            )
        db.close()
        with Ledger(path, read_only=True) as ledger:  # as by --dry-run
            assert list(ledger.notes()) == []
        with Ledger(path) as ledger:
            found = Finding("k", Code.VERIFY_COUNT, True, 1, 1, "", "0")
            assert list(ledger.findings("f")) == [found]
            ledger.commit([("f", RECORDS["decision"])])
        with sqlite3.connect(path) as db:
            assert db.execute("PRAGMA user_version").fetchone() == (len(schema.STEPS["sqlite"]),)
        db.close()


def test_the_first_layouts_are_what_was_shipped() -> None:
    """A changed step would leave the ledgers of before it as they are, unlike new ones."""
    first, second = schema.STEPS["sqlite"][:2]
    with sqlite3.connect(":memory:") as db:
        db.executescript(first + second)
        columns = [row[1] for row in db.execute("PRAGMA table_info(records)")]
        names = {row[0] for row in db.execute("SELECT name FROM sqlite_master")}
    db.close()
    assert columns == ["seq", "kind", "fingerprint", "key", "body", "run"]
    assert {"shards", "runs", "given", "listing", "records_stay", "records_remain"} <= names


def read(path: Path) -> list[tuple[str, str]]:
    with Ledger(path, read_only=True) as ledger:
        with pytest.raises(OutputError, match="can't be written"):
            ledger.list_source({})
        return list(ledger.listing())


def test_reading_leaves_nothing_beside_a_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        ledger.list_source({"k": "image"})
    before = path.read_bytes()
    (tmp_path / "link.sqlite").symlink_to(path)
    for one in (path, tmp_path / "link.sqlite"):
        assert read(one) == [("k", "image")]
        assert {each.name for each in tmp_path.iterdir()} == {path.name, "link.sqlite"}
    assert path.read_bytes() == before


def test_reading_takes_nothing_from_a_run_that_writes(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    (tmp_path / "link.sqlite").symlink_to(path)
    with Ledger(path) as writing:
        for number in range(3):
            writing.list_source({f"{number}": "image"})
            for one in (path, tmp_path / "link.sqlite"):
                assert read(one) == [(f"{number}", "image")]
                assert Path(f"{path}-wal").exists()
    assert sorted(tmp_path.iterdir()) == [path, tmp_path / "link.sqlite"]
    reading = Ledger(path, read_only=True)  # opened before somebody begins to write
    with Ledger(path) as writing:
        writing.list_source({"new": "image"})
        assert list(reading.listing()) == [("new", "image")]
    reading.database.close()
    assert sorted(tmp_path.iterdir()) == [path, tmp_path / "link.sqlite"]
    assert read(path) == [("new", "image")]


def test_what_a_killed_run_left_beside_a_ledger_is_read_and_stays(tmp_path: Path) -> None:
    (tmp_path / "killed").mkdir()
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.list_source({"k": "image"})
        for path in tmp_path.glob("ledger.sqlite*"):
            shutil.copy(path, tmp_path / "killed")
    path = tmp_path / "killed" / "ledger.sqlite"
    before = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    assert read(path) == [("k", "image")]
    assert (path.read_bytes(), Path(f"{path}-wal").read_bytes()) == before


def test_a_ledger_is_read_where_nothing_may_be_written(tmp_path: Path) -> None:
    """As on a read-only disk: what reading needs beside it can't be made there."""
    path = tmp_path / "archive" / "ledger.sqlite"
    path.parent.mkdir()
    with Ledger(path) as ledger:
        ledger.list_source({"k": "image"})
    path.parent.chmod(0o555)
    for mode in (0o600, 0o400):
        path.chmod(mode)
        with bound_by_rights():
            assert read(path) == [("k", "image")]
        assert list(path.parent.iterdir()) == [path]
    path.parent.chmod(0o755)


def test_what_is_no_ledger_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "ledger.sqlite"
    text.write_text("not a database, but long enough to look like one " * 40)
    with pytest.raises(LedgerError, match="can't be used as a ledger"):
        Ledger(text)
    with pytest.raises(LedgerError):
        Ledger(tmp_path / "missing.sqlite", read_only=True)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_ledger_of_a_newer_version_is_refused(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path):
        pass
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(LedgerError, match="update sfumato"):
        Ledger(path, read_only=read_only)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("postgresql://anna:secret@db.example:5433/faces?sslmode=require", "db.example:5433/faces"),
        ("postgres://anna:se@cr/et@db/faces", "db/faces"),
        ("postgresql:///faces?host=/run/pg&password=secret", "/faces"),
        ("postgresql://db/faces", "db/faces"),
    ],
)
def test_of_a_url_messages_say_only_the_place(where: Where, said: str) -> None:
    assert named(where) == f"postgresql://{said}"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://anna:se%zzcret@127.0.0.1:1/faces",
        "postgresql://anna:secr@et@127.0.0.1:1/faces",
        "postgresql://anna:secr/et@127.0.0.1:1/faces",
        "postgresql://anna:secret@127.0.0.1:1/faces?secret=1",
        "postgresql://127.0.0.1:1/faces?password=sec=ret",
    ],
)
def test_a_url_that_cannot_be_read_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(UsageError, match="can't be read") as refused:
        Ledger(url)
    assert "anna" not in str(refused.value)
    assert "secr" not in str(refused.value)
    assert refused.value.__cause__ is None
