"""The ledger: append-only, the latest record counts, a shard is there whole or not at all."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from sfumato.errors import Code, LedgerError
from sfumato.ledger import Given, Ledger, decode
from sfumato.types import Detection, Face, Failure, Finding, Output, Record, Review

FACE = Face((1.5, 2.0, 30.25, 40.0), 0.75, "yunet-2023mar")
RECORDS: list[Record] = [
    Detection("a/1.jpg", "00", 640, 480, (FACE,), (Face((5.0, 6.0, 9.0, 9.5), 0.03, "finder-1"),)),
    Review("a/1.jpg", "00", "anna", "correct", (FACE, FACE)),
    Output("a/1.jpg", "00", "11", "obfuscated", "reencoded", "gaussian", (FACE,)),
    Finding("a/1.jpg", Code.VERIFY_STRENGTH, False, 0.5, 0.2, "strong", "11"),
    Failure("ä b/ü\n.png", "detect", Code.IMAGE_DECODE, "truncated"),
]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite")


def test_every_kind_of_record_comes_back_as_it_was(ledger: Ledger) -> None:
    with ledger:
        ledger.commit(("f", record) for record in RECORDS)
        for kind, record in zip(
            ("detection", "review", "output", "finding", "failure"), RECORDS, strict=True
        ):
            assert list(ledger.latest("f", [kind])) == [record]
            assert ledger.latest_of("f", [kind], record.key) == record
            assert list(ledger.latest("other", [kind])) == []


def test_a_detection_from_before_there_were_candidates_has_none() -> None:
    body = '{"key":"k","digest":"0","width":4,"height":3,"faces":[]}'
    assert decode("detection", body) == Detection("k", "0", 4, 3, (), ())


def test_the_latest_record_of_a_key_counts(ledger: Ledger) -> None:
    first = Output("k", "0", "1", "copied", "identical", "", ())
    then = Failure("k", "read", Code.FILE_UNREADABLE, "gone")
    with ledger:
        ledger.commit([("f", first)])
        ledger.commit([("f", then)])
        assert list(ledger.latest("f", ["output", "failure"])) == [then]
        assert ledger.latest_of("f", ["output"], "k") == first


def test_keys_come_in_the_order_in_which_python_sorts_them(ledger: Ledger) -> None:
    keys = ["z", "Z", "a b", "a/b", "ä", "日", "𝄞", "a\nb", "~", "_"]
    with ledger:
        ledger.commit(("f", Detection(key, "", 1, 1, ())) for key in keys)
        assert [record.key for record in ledger.latest("f", ["detection"])] == sorted(keys)


def test_records_cannot_be_changed_or_removed(ledger: Ledger) -> None:
    with ledger:
        ledger.commit([("f", RECORDS[0])])
    with sqlite3.connect(ledger.path) as db:
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            db.execute("DELETE FROM records")
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            db.execute("UPDATE records SET body = '{}'")
    db.close()


def test_a_shard_is_committed_whole_or_not_at_all(ledger: Ledger) -> None:
    def records() -> object:
        yield "f", RECORDS[0]
        raise RuntimeError("killed")

    with ledger:
        with pytest.raises(RuntimeError):
            ledger.commit(records(), [("run", "f")], shard="s")  # type: ignore[arg-type]
        assert list(ledger.latest("f", ["detection"])) == []
        assert ledger.done("run", "f") == set()
        ledger.commit([("f", RECORDS[0])], [("run", "f")], shard="s")
        assert ledger.done("run", "f") == {"s"}
        assert ledger.done("run", "g") == ledger.done("detect", "f") == set()
        ledger.forget(["s"])
        assert ledger.done("run", "f") == set()


def test_a_finding_of_each_check_is_replaced_by_the_next_of_the_same(ledger: Ledger) -> None:
    bad = Finding("k", Code.VERIFY_STRENGTH, False, 0.9, 0.2, "", "1")
    other = Finding("k", Code.VERIFY_FACE_FOUND, True, 0, 0, "", "1")
    good = Finding("k", Code.VERIFY_STRENGTH, True, 0.1, 0.2, "", "1")
    with ledger:
        ledger.commit(("f", finding) for finding in (bad, other, good))
        assert set(ledger.findings("f")) == {other, good}


def test_records_of_another_ledger_are_adopted_once(ledger: Ledger, tmp_path: Path) -> None:
    with Ledger(tmp_path / "theirs.sqlite") as theirs:
        theirs.commit([("f", RECORDS[0]), ("g", RECORDS[0])])
    with ledger:
        for _ in range(2):
            ledger.adopt(tmp_path / "theirs.sqlite", "f")
        assert list(ledger.latest("f", ["detection"])) == [RECORDS[0]]
        assert list(ledger.latest("g", ["detection"])) == []
    with sqlite3.connect(ledger.path) as db:
        assert db.execute("SELECT COUNT(*) FROM records").fetchone() == (1,)
    db.close()


def test_given_boxes_are_read_back_with_size_and_problem(ledger: Ledger) -> None:
    given = {"a": Given((FACE,), "", (4, 5)), "b": Given((), "inverted"), "c": Given(())}
    with ledger:
        ledger.give("file", given)
        assert {key: ledger.given("file", key) for key in given} == given
        assert ledger.given("file", "d") is None
        assert ledger.given("other", "a") is None


def test_what_is_no_ledger_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "ledger.sqlite"
    text.write_text("not a database, but long enough to look like one " * 40)
    with pytest.raises(LedgerError, match="can't be used as a ledger"):
        Ledger(text)
    with pytest.raises(LedgerError):
        Ledger(tmp_path / "missing.sqlite", read_only=True)


def test_a_ledger_of_a_newer_version_is_refused(ledger: Ledger) -> None:
    with ledger:
        pass
    with sqlite3.connect(ledger.path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(LedgerError, match="update sfumato"):
        Ledger(ledger.path)
