"""What the ledger answers, about a handful of records in a file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sfumato.errors import Code, LedgerError
from sfumato.ledger import ledger as ledgers
from sfumato.ledger import schema
from sfumato.ledger.adoption import _same, adopt
from sfumato.ledger.database import SQLite, Where
from sfumato.ledger.ledger import Ledger, append, encode, is_there
from sfumato.ledger.schema import batches
from sfumato.sources.doors import ImportedBoxes
from sfumato.types import Assessment, Decision, Detection, Failure, Finding, Output, Record
from tests.contract.ledger import FACE, RECORDS

OUT = Output("k", "0", "1", "copied", "identical", "", ())
GONE = Failure("k", "read", Code.FILE_UNREADABLE, "gone")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger(path) as opened:
        yield opened


def detection(key: str, digest: str = "0") -> Detection:
    return Detection(key, digest, 1, 1, ())


def decision(key: str, digest: str = "0") -> Decision:
    return Decision(key, digest, (), "merged")


def begin(ledger: Ledger, command: str = "detect") -> None:
    ledger.begin(
        started="now", command=command, source="/s", fingerprint="f", recipe="{}", versions="{}"
    )


# --- the latest ---------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(OUT, GONE), (GONE, OUT), (OUT, GONE, OUT), (GONE, OUT, GONE)])
def test_of_several_kinds_what_was_said_last_counts(
    ledger: Ledger, order: tuple[Record, ...]
) -> None:
    for record in order:
        ledger.commit([("f", record)])
    for kinds in (("output", "failure"), ("failure", "output")):
        assert ledger.latest_of("f", kinds, "k") == order[-1]
        assert list(ledger.latest("f", kinds)) == [order[-1]]
        assert list(ledger.latest_among("f", kinds, ["k"])) == [order[-1]]


def test_of_many_keys_the_latest_of_each_comes_and_nothing_else(ledger: Ledger) -> None:
    ledger.commit([("f", detection("a", "old")), ("f", detection("b")), ("f", detection("c"))])
    ledger.commit([("f", detection("a")), ("f", decision("b")), ("g", detection("a", "other"))])
    found = ledger.latest_among("f", ("detection",), ["a", "b", "missing"])
    assert sorted(found, key=lambda one: one.key) == [detection("a"), detection("b")]
    both = ledger.latest_among("f", ("detection", "decision"), ["b", "a"])
    assert sorted(both, key=lambda one: one.key) == [detection("a"), decision("b")]
    assert list(ledger.latest_among("f", ("detection",), [])) == []


def test_more_keys_than_fit_into_one_question(ledger: Ledger) -> None:
    keys = [f"{number:04}" for number in range(1001)]
    ledger.commit(("f", detection(key)) for key in keys)
    ledger.list_source(dict.fromkeys(keys, "image"))
    assert [len(some) for some in batches(keys)] == [500, 500, 1]
    assert [one.key for one in ledger.latest_among("f", ("detection",), keys)] == keys
    assert ledger.still_there(keys) == set(keys)


def test_what_was_a_image_at_the_last_run_is_still_there(ledger: Ledger) -> None:
    ledger.list_source({"a": "image", "b": "refused", "c": "image", "d": "copied"})
    assert ledger.still_there(["a", "b", "d", "e"]) == {"a"}
    assert ledger.still_there([]) == set()


# --- decisions ----------------------------------------------------------------------------------


def test_what_was_decided_after_it_was_released_is_told(ledger: Ledger) -> None:
    def record(*pairs: tuple[str, Record]) -> None:
        ledger.commit(pairs)

    record(("found", decision("before")), ("out", replace(OUT, key="before")))
    record(("out", replace(OUT, key="after")), ("found", decision("after")))
    record(("out", replace(GONE, key="refused")), ("found", decision("refused")))
    record(("found", decision("unreleased")), ("out", replace(OUT, key="undecided")))
    record(("other", decision("undecided")), ("found", detection("undecided")))
    record(("elsewhere", replace(OUT, key="unreleased")))
    record(("elsewhere", replace(OUT, key="unmade")), ("found", decision("unmade")))
    # Whatever was said of it earlier: the last of both counts.
    record(("found", decision("again")), ("out", replace(OUT, key="again")))
    record(("found", decision("again")), ("found", decision("mended")))
    record(("out", replace(GONE, key="mended")), ("found", decision("mended")))
    record(("out", replace(OUT, key="mended")))
    assert ledger.redecided("found", "out") == {"after", "refused", "again"}


# --- findings -----------------------------------------------------------------------------------


def test_findings_are_those_of_the_last_run_that_looked_in_a_fixed_order(ledger: Ledger) -> None:
    def finding(key: str, code: Code, *, passed: bool = True) -> tuple[str, Record]:
        return "f", Finding(key, code, passed, 0, 0, "")

    begin(ledger)
    first = [finding("b", Code.VERIFY_STRENGTH, passed=False), finding("a", Code.VERIFY_COUNT)]
    ledger.commit([*first, finding("b", Code.VERIFY_COUNT)])
    begin(ledger)
    ledger.commit([finding("b", Code.VERIFY_STRENGTH), finding("b", Code.VERIFY_COUNT)])
    ledger.commit([("g", Finding("b", Code.VERIFY_UNREADABLE, False, 1, 0, ""))])
    ledger.commit([("f", OUT)])
    found = [(one.key, one.code, one.passed) for one in ledger.findings("f")]
    assert found == [
        ("a", Code.VERIFY_COUNT, True),
        ("b", Code.VERIFY_COUNT, True),
        ("b", Code.VERIFY_STRENGTH, True),
    ]
    assert all(isinstance(one.code, Code) for one in ledger.findings("f"))


# --- shards -------------------------------------------------------------------------------------


def test_shards_are_done_by_stage_and_settings_and_forgotten_by_name(ledger: Ledger) -> None:
    done = [("detect", "f"), ("verify", "g")]
    for shard in ("s", "t"):
        ledger.commit((), done, shard=shard)
    assert ledger.done("detect", "f") == ledger.done("verify", "g") == {"s", "t"}
    assert ledger.done("detect", "g") == ledger.done("verify", "f") == set()
    ledger.forget(["s", "never"])
    assert ledger.done("detect", "f") == ledger.done("verify", "g") == {"t"}
    ledger.forget([])
    assert ledger.done("detect", "f") == {"t"}


def test_records_say_which_run_they_are_of(ledger: Ledger) -> None:
    ledger.commit([("f", detection("a"))])  # of none
    with ledger.database.transaction() as db:
        append(db, [("f", detection("b"))])
    begin(ledger)
    ledger.commit([("f", detection("c"))])
    begin(ledger)
    ledger.commit([("f", detection("d"))])
    runs: dict[str, int] = dict(ledger.database.rows("SELECT key, run FROM records"))
    first = runs["c"]
    assert runs == {"a": 0, "b": 0, "c": first, "d": first + 1}
    assert first > 0


def test_kinds_are_stored_by_the_names_that_questions_use(ledger: Ledger) -> None:
    records: dict[str, Record] = {**RECORDS, "assessment": Assessment("", "{}")}
    assert all(encode(record)[0] == kind for kind, record in records.items())


# --- adoption -----------------------------------------------------------------------------------


def test_what_another_ledger_says_otherwise_is_adopted(ledger: Ledger, tmp_path: Path) -> None:
    others: list[Record]
    same, old, new = detection("a"), detection("b", "old"), detection("b", "new")
    ours = detection("c")
    ledger.commit([("f", same), ("f", old), ("f", ours), ("f", detection("e"))])
    theirs = tmp_path / "theirs.sqlite"
    with Ledger(theirs) as other:
        others = [same, new, detection("aa"), detection("d"), detection("z"), decision("a")]
        others += [detection("e"), RECORDS["redetection"]]
        other.commit(("f", one) for one in others)
        other.commit([("f", Assessment("", "{}")), ("g", detection("y"))])
    before = ledger.database.rows("SELECT COUNT(*) FROM records")[0][0]
    adopt(ledger, theirs, "f")
    found = [(one.key, one.digest) for one in ledger.latest("f", ["detection"])
             if isinstance(one, Detection)]  # fmt: skip
    everything = [("a", "0"), ("aa", "0"), ("b", "new"), ("c", "0"), ("d", "0"), ("e", "0")]
    assert found == [*everything, ("z", "0")]
    assert list(ledger.latest("f", ["decision"])) == [decision("a")]
    assert list(ledger.latest("f", ["assessment"])) == [Assessment("", "{}")]
    assert list(ledger.latest("f", ["redetection"])) == [RECORDS["redetection"]]
    assert ledger.database.rows("SELECT COUNT(*) FROM records")[0][0] == before + 7


def test_a_ledger_that_is_missing_or_is_this_one_says_nothing_new(
    ledger: Ledger, path: Path, tmp_path: Path
) -> None:
    ledger.commit([("f", detection("a"))])
    link = tmp_path / "link.sqlite"
    link.symlink_to(path)
    for other in (path, link, tmp_path / "missing.sqlite"):
        adopt(ledger, other, "f")
    assert ledger.database.rows("SELECT COUNT(*) FROM records") == [(1,)]
    assert not (tmp_path / "missing.sqlite").exists()


def test_a_ledger_that_is_asked_stays_as_it_is(ledger: Ledger, tmp_path: Path) -> None:
    other = tmp_path / "theirs.sqlite"
    earlier_layout(other)
    adopt(ledger, other, "f")
    assert list(ledger.latest("f", ["detection"])) == [detection("a")]
    with sqlite3.connect(other) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
    db.close()


def test_two_urls_are_one_ledger_if_they_are_spelt_alike() -> None:
    url = "postgresql://server/faces"
    assert _same(url, url)
    for other in (f"{url}2", "postgresql://server/x/../faces", Path("/faces")):
        assert not _same(url, other)
        assert not _same(other, url)


# --- files that are no ledger, or not any more --------------------------------------------------


def open_files(path: Path) -> int:
    held = Path("/proc/self/fd")
    if not held.is_dir():
        pytest.skip("only Linux says which files are open")
    return sum(
        os.path.realpath(one).startswith(str(path)) for one in held.iterdir() if one.is_symlink()
    )


def test_a_ledger_that_is_closed_holds_no_file_open(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.commit([("f", detection("a"))])
        assert list(ledger.latest("f", ["detection"])) == [detection("a")]
        assert open_files(path) > 0
    assert open_files(path) == 0


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("layout", [len(schema.STEPS["sqlite"]), 99])
def test_another_programs_database_is_refused_and_let_go(
    path: Path, layout: int, read_only: bool
) -> None:
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {layout}")
        db.execute("CREATE TABLE addresses (name TEXT)")
    db.close()
    with pytest.raises(LedgerError):
        Ledger(path, read_only=read_only)
    assert open_files(path) == 0


def earlier_layout(path: Path) -> None:
    """Make a ledger of the first layout, with one detection."""
    with sqlite3.connect(path) as db:
        db.executescript(schema.STEPS["sqlite"][0])
        db.execute("PRAGMA user_version = 1")
        kind, body = encode(detection("a"))
        db.execute(
            "INSERT INTO records (kind, fingerprint, key, body) VALUES (?, 'f', 'a', ?)",
            (kind, body),
        )
    db.close()


def test_a_ledger_of_an_earlier_layout_is_read_as_it_is(path: Path) -> None:
    earlier_layout(path)
    with Ledger(path, read_only=True) as ledger:
        assert list(ledger.latest("f", ["detection"])) == [detection("a")]
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
    db.close()


def test_a_server_is_asked_whether_it_holds_a_ledger_and_let_go(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, asked = "postgresql://server/faces", list[Where]()

    def connect(where: Where, *, read_only: bool) -> SQLite:
        assert read_only
        asked.append(where)
        return SQLite(path, read_only=True)

    monkeypatch.setattr("sfumato.ledger.ledger.connect", connect)
    path.touch()
    assert not is_there(url)
    earlier_layout(path)
    assert is_there(url)
    assert open_files(path) == 0
    path.write_bytes(b"This is no database. " * 200)
    with pytest.raises(LedgerError, match="postgresql://server/faces"):
        is_there(url)
    assert open_files(path) == 0
    assert asked == [url] * 3
    assert is_there(path)  # a file is only looked for
    assert not is_there(path.with_name("missing"))
    assert asked == [url] * 3


QUESTIONS: list[Callable[[Ledger], object]] = [
    lambda ledger: list(ledger.listing()),
    lambda ledger: list(ledger.latest("f", ["detection"])),
    lambda ledger: ledger.latest_of("f", ["detection"], "a"),
    lambda ledger: ledger.last_run(),
    lambda ledger: ledger.done("detect", "f"),
    lambda ledger: ledger.imported("boxes", "a"),
    lambda ledger: ledger.still_there(["a"]),
    lambda ledger: ledger.redecided("f", "g"),
]


@pytest.mark.parametrize("ask", QUESTIONS)
def test_a_question_that_cannot_be_answered_is_a_sentence_not_an_empty_answer(
    ledger: Ledger, ask: Callable[[Ledger], object]
) -> None:
    tables = ("listing", "records", "runs", "shards", "given")
    ledger.database.script("".join(f"DROP TABLE {table};" for table in tables))
    with pytest.raises(LedgerError, match="can't be read"):
        ask(ledger)


def test_one_run_holds_a_ledger_at_a_time(ledger: Ledger) -> None:
    with ledger.alone():  # beside a file, a lock file sees to it
        ledger.commit([("f", detection("a"))])


# --- boxes that were given ----------------------------------------------------------------------


def test_boxes_of_a_file_are_asked_for_by_its_digest(ledger: Ledger) -> None:
    ledger.import_boxes(
        "one", {"a": ImportedBoxes((FACE,)), "b": ImportedBoxes((), "inverted", (4, 3))}
    )
    ledger.import_boxes("two", {"a": ImportedBoxes(())})
    ledger.import_boxes("one", {"b": ImportedBoxes((FACE,), "", (3, 4))})  # mended
    assert ledger.imported("one", ["a", "b", "c"]) == {
        "a": ImportedBoxes((FACE,), "", None),
        "b": ImportedBoxes((FACE,), "", (3, 4)),
    }
    assert ledger.imported("two", "ab") == {"a": ImportedBoxes(())}
    assert not ImportedBoxes(()).problem


def test_a_detection_of_a_version_that_searched_less_is_not_adopted(
    ledger: Ledger, tmp_path: Path
) -> None:
    told = {"started": "", "source": "s", "fingerprint": "f", "recipe": "{}"}
    for versions, adopted in (('{"sfumato": "0.1.0"}', False), ('{"searched": "all"}', True)):
        other = tmp_path / f"{adopted}.sqlite"
        with Ledger(other) as theirs:
            theirs.begin(command="detect", versions=versions, **told)
            theirs.commit([("f", Detection("a", "d", 4, 4, ()))])
        adopt(ledger, other, "f")
        assert (ledger.latest_of("f", ("detection",), "a") is not None) is adopted
    assert ledger.searched_less("f", "a") == set()


def test_only_what_an_older_version_searched_stays_behind(ledger: Ledger, tmp_path: Path) -> None:
    told = {"started": "", "source": "s", "fingerprint": "f", "recipe": "{}"}
    with Ledger(tmp_path / "theirs.sqlite") as theirs:
        theirs.begin(command="detect", versions='{"sfumato": "0.1.0"}', **told)
        theirs.commit([("f", detection("a")), ("f", detection("b")), ("f", detection("c"))])
        theirs.begin(command="detect", versions='{"searched": "all"}', **told)
        theirs.commit([("f", detection("b", "new")), ("f", replace(GONE, key="c"))])
        theirs.commit([("f", decision("a"))])
    adopt(ledger, tmp_path / "theirs.sqlite", "f")
    found = [detection("b", "new"), replace(GONE, key="c")]
    assert list(ledger.latest("f", ["detection", "failure"])) == found
    assert list(ledger.latest("f", ["decision"])) == [decision("a")]


def test_what_is_offered_is_there() -> None:
    assert all(hasattr(ledgers, name) for name in ledgers.__all__)
