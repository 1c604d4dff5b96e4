"""What a ledger must do, whatever database it lies in. Subclass `LedgerContract`.

A subclass overrides the fixture `where`, an empty place, and `other`, another one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice

import pytest

from sfumato.errors import Code, LedgerError, OutputError
from sfumato.ledger.adoption import adopt
from sfumato.ledger.database import Where
from sfumato.ledger.ledger import Ledger, append, is_there, latest_query
from sfumato.sources import Note
from sfumato.sources.doors import ImportedBoxes
from sfumato.types import Decision, Detection, Face, Failure, Finding, Output, Record, Redetection

FACE = Face((1.5, 2.0, 30.25, 40.0), 0.75, "yunet-2023mar")
PLATE = Face((3.0, 4.0, 9.5, 7.25), 1.0, "human:p1", "private")
RECORDS: dict[str, Record] = {
    "detection": Detection(
        "a/1.jpg", "00", 640, 480, (FACE,), (Face((5.0, 6.0, 9.0, 9.5), 0.03, "finder-1"),)
    ),
    "decision": Decision("a/1.jpg", "00", (FACE, PLATE), "merged", ("p1", "p2")),
    "redetection": Redetection("a/1.jpg", "00", (FACE,), ("yunet@640:0.5", "onnx:x")),
    "output": Output("a/1.jpg", "00", "11", "obfuscated", "reencoded", "gaussian", (FACE,)),
    "finding": Finding(
        "a/1.jpg", Code.VERIFY_STRENGTH, False, 0.5, 0.2, "strong?'%s", "11", (FACE,)
    ),
    # What a server's JSON type and its text refuse: a NUL, half a surrogate pair.
    "failure": Failure("ä b/ü\n.png", "detect", Code.IMAGE_DECODE, "cut\0 \udc80 off"),
}
KEYS = ["z", "Z", "a b", "a/b", "a-b", "ab", "ä", "日", "𝄞", "\ufffd", "a\nb", "~", "_", "é", "e"]


def detections(*keys: str, digest: str = "") -> list[tuple[str, Record]]:
    return [("f", Detection(key, digest, 1, 1, ())) for key in keys]


class LedgerContract:
    """Abstract: a subclass overrides the fixtures `where` and `other`."""

    @pytest.fixture
    def where(self) -> Where:
        raise NotImplementedError

    @pytest.fixture
    def other(self) -> Where:
        raise NotImplementedError

    @pytest.fixture
    def ledger(self, where: Where) -> Iterator[Ledger]:
        with Ledger(where) as opened:
            yield opened

    @pytest.mark.parametrize("kind", RECORDS)
    def test_every_kind_of_record_comes_back_as_it_was(self, ledger: Ledger, kind: str) -> None:
        ledger.commit(("f", record) for record in RECORDS.values())
        assert list(ledger.latest("f", [kind])) == [RECORDS[kind]]
        assert ledger.latest_of("f", [kind], RECORDS[kind].key) == RECORDS[kind]
        assert list(ledger.latest("other", [kind])) == []
        assert ledger.latest_of("f", [kind], "other") is None

    def test_the_latest_record_of_a_key_counts(self, ledger: Ledger) -> None:
        first = Output("k", "0", "1", "copied", "identical", "", ())
        then = Failure("k", "read", Code.FILE_UNREADABLE, "gone")
        ledger.commit([("f", first)])
        ledger.commit([("f", then), ("f", RECORDS["output"])])
        found = ledger.latest("f", ["output", "failure"])
        assert list(found) == [RECORDS["output"], then]
        assert ledger.latest_of("f", ["output", "failure"], "k") == then
        assert ledger.latest_of("f", ["output"], "k") == first
        ledger.commit([("f", first)])
        assert list(ledger.latest("f", ["failure", "output"])) == [RECORDS["output"], first]

    def test_keys_come_in_the_order_in_which_python_sorts_them(self, ledger: Ledger) -> None:
        ledger.commit(detections(*KEYS))
        ledger.list_source(dict.fromkeys(KEYS, "image"))
        assert [record.key for record in ledger.latest("f", ["detection"])] == sorted(KEYS)
        assert list(ledger.listing()) == [(key, "image") for key in sorted(KEYS)]
        ledger.commit(("f", Finding(key, Code.VERIFY_COUNT, True, 0, 0, "")) for key in KEYS)
        assert [record.key for record in ledger.findings("f")] == sorted(KEYS)

    def test_a_shard_is_committed_whole_or_not_at_all(self, ledger: Ledger) -> None:
        def records() -> Iterator[tuple[str, Record]]:
            yield from detections("k")
            raise RuntimeError("killed")

        with pytest.raises(RuntimeError):
            ledger.commit(records(), [("run", "f")], shard="s")
        assert list(ledger.latest("f", ["detection"])) == []
        assert ledger.done("run", "f") == set()
        for _ in range(2):  # a shard that was done already
            ledger.commit(detections("k"), [("run", "f")], shard="s")
        assert ledger.done("run", "f") == {"s"}
        assert ledger.done("run", "g") == ledger.done("detect", "f") == set()
        ledger.forget(["s"])
        assert ledger.done("run", "f") == set()

    def test_a_mark_goes_when_another_shard_takes_its_keys(self, ledger: Ledger) -> None:
        """What the records say last of these keys is of what the source holds by then."""
        both = [("detect", "f"), ("verify", "f")]
        for shard, span in {"1": ("a", "c"), "2": ("d/é", "日"), "3": ("𝄞", "𝄞")}.items():
            ledger.commit((), both, shard=shard, span=span)
        ledger.commit((), [("detect", "g")], shard="4", span=("a", "𝄞"))
        assert ledger.done("detect", "f") == ledger.done("verify", "f") == {"1", "2", "3"}
        ledger.commit((), [("detect", "f")], shard="1", span=("b", "b"))  # a part of the same
        assert ledger.done("detect", "f") == {"1", "2", "3"}
        ledger.commit((), [("detect", "f")], shard="5", span=("c", "d/é"))
        assert ledger.done("detect", "f") == {"3", "5"}
        assert ledger.done("verify", "f") == {"1", "2", "3"}
        ledger.commit((), [("verify", "f")], shard="6", span=("ca", "cb"))
        assert ledger.done("verify", "f") == {"1", "2", "3", "6"}

    def test_checks_are_forgotten_by_themselves(self, ledger: Ledger) -> None:
        for shard in ("1", "2"):
            marks = [("detect", "f"), ("verify", "f"), ("verify", "g"), ("verify", "h")]
            ledger.commit((), marks, shard=shard, span=(shard, shard))
        ledger.forget(["1"], ["f", "g"])
        assert ledger.done("verify", "f") == ledger.done("verify", "g") == {"2"}
        assert ledger.done("verify", "h") == ledger.done("detect", "f") == {"1", "2"}

    def test_what_lies_in_the_release_is_noted_anew_in_the_order_of_keys(
        self, ledger: Ledger
    ) -> None:
        assert list(ledger.notes()) == []
        notes = [Note(key, "11", "7 1 2 3") for key in KEYS]
        ledger.commit((), notes=notes)
        assert list(ledger.notes()) == sorted(notes, key=lambda note: note.key)
        ledger.commit((), notes=[Note("z", "", "")])
        assert Note("z", "", "") in list(ledger.notes())
        assert len(list(ledger.notes())) == len(KEYS)
        assert set(ledger.written()) == set(KEYS)

        def fail() -> None:
            ledger.commit([("f", Failure("a\0b", "x", Code.IMAGE_EMPTY, ""))], notes=notes)

        with pytest.raises(LedgerError):
            fail()
        assert Note("z", "", "") in list(ledger.notes())  # all of a commit or nothing

    def test_a_name_with_a_nul_is_refused_and_nothing_is_stored(self, ledger: Ledger) -> None:
        with pytest.raises(LedgerError, match="without the NUL"):
            ledger.commit(detections("k", "a\0b"))
        assert list(ledger.latest("f", ["detection"])) == []

    def test_records_cannot_be_changed_or_removed(self, ledger: Ledger) -> None:
        ledger.commit([("f", RECORDS["detection"])])
        row = "(1, 'detection', 'f', 'k', '{}', 0)"
        into = "INTO records (seq, kind, fingerprint, key, body, run) VALUES"
        for sql in (
            "DELETE FROM records",
            "UPDATE records SET body = '{}'",
            f"INSERT {into} {row} ON CONFLICT (seq) DO UPDATE SET body = excluded.body",
            *self.replacing(into, row),
        ):
            with (
                pytest.raises(ledger.database.errors, match="append-only"),
                ledger.database.transaction() as db,
            ):
                db.execute(sql)
        assert list(ledger.latest("f", ["detection"])) == [RECORDS["detection"]]

    def replacing(self, into: str, row: str) -> Sequence[str]:
        """Return other ways of this database to put a row in the place of another."""
        return ()

    def test_a_finding_is_replaced_by_the_next_of_the_same_check(self, ledger: Ledger) -> None:
        bad = Finding("k", Code.VERIFY_STRENGTH, False, 0.9, 0.2, "", "1")
        face = Finding("k", Code.VERIFY_FACE_FOUND, True, 0, 0, "", "1")
        good = Finding("k", Code.VERIFY_STRENGTH, True, 0.1, 0.2, "", "1")
        ledger.commit(("f", finding) for finding in (bad, face, good))
        assert list(ledger.findings("f")) == [face, good]

    def test_what_an_earlier_run_found_in_a_image_is_out_of_date(self, ledger: Ledger) -> None:
        bad = Finding("k", Code.VERIFY_STRENGTH, False, 0.9, 0.2, "", "1")
        left = Finding("l", Code.VERIFY_STRENGTH, True, 0.1, 0.2, "", "1")
        face = Finding("k", Code.VERIFY_FACE_FOUND, True, 0, 0, "", "1")
        self.begin(ledger)
        ledger.commit([("f", bad), ("f", left)])
        self.begin(ledger)
        ledger.commit([("f", face)])
        assert list(ledger.findings("f")) == [face, left]

    @staticmethod
    def begin(ledger: Ledger, command: str = "detect+verify", recipe: str = "{}") -> None:
        ledger.begin(
            started="now",
            command=command,
            source="/ü",
            fingerprint="f",
            recipe=recipe,
            versions="{}",
        )

    def test_the_last_run_of_a_stage_is_found(self, ledger: Ledger) -> None:
        assert ledger.last_run() is None
        self.begin(ledger, "detect+verify", "1")
        self.begin(ledger, "verify", "2")
        assert ledger.last_run() == ("/ü", "f", "2")
        assert ledger.last_run("%detect%") == ("/ü", "f", "1")
        assert ledger.last_run("%obfuscate%") is None

    def test_the_listing_is_replaced_and_every_output_is_remembered(self, ledger: Ledger) -> None:
        ledger.list_source({"a": "image", "b": "refused"})
        ledger.list_source({"c": "ignored"})
        assert list(ledger.listing()) == [("c", "ignored")]
        out = Output("k", "0", "1", "copied", "identical", "", ())
        ledger.commit([("f", out), ("g", out), ("g", RECORDS["output"]), *detections("d")])
        assert sorted(ledger.written()) == ["a/1.jpg", "k"]

    def test_records_of_another_ledger_are_adopted_once(self, ledger: Ledger, other: Where) -> None:
        with Ledger(other) as theirs:
            theirs.commit([("f", RECORDS["detection"]), ("g", RECORDS["detection"])])
            theirs.commit([("f", RECORDS["failure"])])
        for _ in range(2):
            adopt(ledger, other, "f")
        assert list(ledger.latest("f", list(RECORDS))) == [
            RECORDS["detection"],
            RECORDS["failure"],
        ]
        assert ledger.database.rows("SELECT COUNT(*) FROM records") == [(2,)]

    def test_given_boxes_are_read_back_with_size_and_problem(self, ledger: Ledger) -> None:
        ledger.import_boxes(
            "file", {"a": ImportedBoxes((PLATE,)), "d": ImportedBoxes((), "out of date")}
        )
        given = {
            "a": ImportedBoxes((FACE,), "", (4, 5)),
            "b": ImportedBoxes((), "inverted"),
            "c": ImportedBoxes(()),
        }
        ledger.import_boxes("file", given)
        assert ledger.imported("file", "abce") == given
        assert ledger.imported("other", "a") == {}

    def test_a_ledger_is_there_once_it_was_made(self, where: Where) -> None:
        assert not is_there(where)
        with pytest.raises(LedgerError):
            Ledger(where, read_only=True)
        with Ledger(where) as ledger:
            ledger.commit(detections("k"))
        assert is_there(where)
        with Ledger(where, read_only=True) as ledger:
            assert list(ledger.latest("f", ["detection"])) == [detections("k")[0][1]]
            with pytest.raises(OutputError, match="can't be written"):
                ledger.commit(detections("l"))

    def test_two_may_make_it_at_once(self, where: Where) -> None:
        both = threading.Barrier(4)

        def make() -> None:
            both.wait()
            with Ledger(where) as ledger:
                ledger.commit(detections("k"))

        with ThreadPoolExecutor(4) as pool:
            for made in [pool.submit(make) for _ in range(4)]:
                made.result()
        with Ledger(where) as ledger:
            assert ledger.database.rows("SELECT COUNT(*) FROM records") == [(4,)]

    def test_records_go_along_with_another_table_or_not_at_all(self, ledger: Ledger) -> None:
        ledger.database.script("CREATE TABLE mine (id {serial}, n DOUBLE PRECISION NOT NULL)")
        with ledger.database.transaction() as db:
            db.execute("INSERT INTO mine (n) VALUES (?)", (1790000000.25,))
            append(db, [("f", RECORDS["decision"])])

        def fail() -> None:
            with ledger.database.transaction() as db:
                append(db, [("f", RECORDS["decision"])])
                db.execute("INSERT INTO mine (n) VALUES (NULL)")

        with pytest.raises(ledger.database.errors, match=r"(?i)null"):
            fail()
        assert ledger.database.rows("SELECT n FROM mine") == [(1790000000.25,)]
        assert list(ledger.latest("f", ["decision", "output"])) == [RECORDS["decision"]]

    # What the database beneath must do.

    def test_forgotten_readers_hold_nothing(self, ledger: Ledger) -> None:
        """More of them than a pool has connections; each was left in the middle."""
        ledger.commit(detections(*map(str, range(3000))))
        for _ in range(40):
            assert len(list(islice(ledger.latest("f", ["detection"]), 2))) == 2
        open_at_once = [ledger.latest("f", ["detection"]) for _ in range(8)]
        assert {next(one).key for one in open_at_once} == {"0"}
        ledger.commit(detections("new"))
        assert [sum(1 for _ in one) for one in open_at_once] == [2999] * 8

    def test_a_reader_may_outlive_its_ledger(self, where: Where) -> None:
        """As in the frames of a traceback; warnings of what can't be raised are errors here."""
        with Ledger(where) as ledger:
            ledger.commit(detections(*map(str, range(3000))))
            reader, left = (ledger.latest("f", ["detection"]) for _ in range(2))
            next(reader)
            next(left)
        del left
        with suppress(LedgerError):  # what was fetched already may still come
            list(reader)

    def test_a_reader_sees_what_was_there_when_it_began(self, ledger: Ledger) -> None:
        ledger.commit(detections(*(f"{n:04}" for n in range(2500))))
        reader = ledger.latest("f", ["detection"])
        seen = [next(reader).key]
        ledger.commit(detections("9999"))
        ledger.list_source({"k": "image"})
        seen += [record.key for record in reader]
        assert seen == [f"{n:04}" for n in range(2500)]

    def test_inside_a_transaction_a_thread_reads_what_it_wrote(self, ledger: Ledger) -> None:
        database = ledger.database

        def count() -> object:
            return database.rows("SELECT COUNT(*) FROM records")[0][0]

        with database.transaction() as db, ThreadPoolExecutor(1) as elsewhere:
            append(db, detections("k"))
            assert count() == 1
            assert next(database.read("SELECT key FROM records")) == ("k",)
            assert ledger.latest_of("f", ["detection"], "k") == detections("k")[0][1]
            assert elsewhere.submit(count).result() == 0
        assert count() == 1

    def test_transactions_do_not_nest_and_the_outer_one_goes_on(self, ledger: Ledger) -> None:
        with ledger.database.transaction() as db:
            with pytest.raises(RuntimeError, match="don't nest"):
                ledger.commit(detections("k"))
            append(db, detections("l"))
        assert [record.key for record in ledger.latest("f", ["detection"])] == ["l"]

    def test_outside_of_a_transaction_nothing_is_written(self, ledger: Ledger) -> None:
        sql = "INSERT INTO listing (key, kind) VALUES ('k', 'image') RETURNING key"
        with pytest.raises(ledger.database.errors):
            ledger.database.rows(sql)
        with pytest.raises(ledger.database.errors):
            list(ledger.database.read(sql))
        assert list(ledger.listing()) == []

    def test_many_threads_write_and_none_is_lost(self, ledger: Ledger) -> None:
        def write(number: int) -> None:
            ledger.commit(detections(f"{number}"))
            assert ledger.latest_of("f", ["detection"], f"{number}") is not None

        with ThreadPoolExecutor(24) as pool:
            list(pool.map(write, range(96)))
        assert len(list(ledger.latest("f", ["detection"]))) == 96

    def test_question_marks_and_percents_in_literals_stay(self, ledger: Ledger) -> None:
        sql = """SELECT 'it''s 100 %s?', ? AS "what? %" -- isn't it?\n WHERE 'a?' LIKE '%?'"""
        assert ledger.database.rows(sql, ("p",)) == [("it's 100 %s?", "p")]
        with ledger.database.transaction() as db:
            assert db.execute(sql, ("q",)).fetchone() == ("it's 100 %s?", "q")
        ledger.database.script(
            "CREATE TABLE q (a TEXT DEFAULT '100 %s?'); CREATE TABLE r (a TEXT);"
        )
        with ledger.database.transaction() as db:
            db.execute("INSERT INTO q DEFAULT VALUES")
        assert ledger.database.rows("SELECT a FROM q WHERE a LIKE '100 %'") == [("100 %s?",)]

    def test_a_script_is_run_whole_or_not_at_all(self, ledger: Ledger) -> None:
        database = ledger.database
        with pytest.raises(database.errors):
            database.script("CREATE TABLE one (a TEXT); CREATE TABLE one (a TEXT);")
        database.script("CREATE TABLE one (a TEXT)")

    def test_the_latest_of_several_kinds_is_read_without_sorting(self, ledger: Ledger) -> None:
        """Else the first of 1.5 million records comes after all have been sorted on the disk."""
        keys = [f"{n:05}" for n in range(5000)]
        ledger.commit(detections(*keys))
        ledger.commit(("f", Failure(key, "x", Code.IMAGE_EMPTY, "")) for key in keys)
        plan = self.plan(ledger, *latest_query("f", ["detection", "failure"]))
        assert "records_by_key" in plan
        assert "SORT" not in plan.upper().replace("SORT KEY", "")
        assert "B-TREE" not in plan.upper()

    def plan(self, ledger: Ledger, sql: str, parameters: Sequence[object]) -> str:
        """Return how the database means to do this."""
        raise NotImplementedError
