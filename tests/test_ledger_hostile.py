"""Ledgers that are damaged, of a newer version or of another program, and URLs written wrongly.

Whatever is wrong with it: a sentence that says what to do, exit code 2, and nothing is made.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path

import pytest

from sfumato.errors import LedgerError, UsageError
from sfumato.ledger.database import Where, named
from sfumato.ledger.ledger import Ledger, decode, encode, is_there
from sfumato.ledger.records import imported_from, recipe_from
from sfumato.pipeline.job import private_of
from sfumato.recipe import DetectStep, ObfuscateStep, Recipe, VerifyStep
from sfumato.sources import Note
from sfumato.types import Finding
from sfumato.web import serving
from tests import dataset
from tests.command import Done, sfumato
from tests.contract.ledger import RECORDS
from tests.odd_json import variants

TRIGGERS = ("records_stay", "records_remain", "records_new", "records_numbered")
# Of every field: what a newer version, or a disk, might have made of it.
ODD = ["null", "1", "true", '"?"', "[]", "{}", "[[1]]", '[{"box":[1,2],"score":1,"origin":""}]']


@pytest.mark.parametrize(
    "where",
    [
        "postgresql:/anna:secret@db/faces",
        "postgres:anna:secret@db",
        "postgresql:anna:secret@db/faces",
        "PostgreSQL://anna:secret@db/faces",
        " postgresql://anna:secret@db/faces",
        "postgresql+psycopg://anna:secret@db/faces",
        "jdbc:postgresql://anna:secret@db/faces",
        "'postgresql://anna:secret@db/faces'",
        "postgresql//anna:secret@db/faces",
        "postgresql;//anna:secret@db/faces",
        "mysql://anna:secret@db/faces",
        "anna:secret@db/faces",
        "//anna:secret@db/faces",
        "host=db user=anna password=secret dbname=faces",
        Path("postgresql://anna:secret@db/faces"),  # a path makes one slash of two
    ],
)
def test_what_looks_like_a_url_makes_no_file_of_that_name(
    where: Where, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    uses: tuple[Callable[[Where], object], ...] = (
        Ledger,
        is_there,
        lambda place: private_of(place, tmp_path / "out.sfumato"),
    )
    for use in uses:
        with pytest.raises(UsageError, match="two slashes") as refused:
            use(where)
        assert "secret" not in str(refused.value)
    assert "secret" not in named(where)
    (tmp_path / "src").mkdir()
    quoted = str(where).replace("'", "\\u0027")
    (tmp_path / "settings.toml").write_text(f'ledger = "{quoted}"')
    for words, variable in (
        (("run", "src", "out", "--ledger", where), ""),
        (("obfuscate", "src", "out", "--detections", where), ""),
        (("run", "src", "out", "--config", "settings.toml"), ""),
        (("report", "out"), "SFUMATO_REPORT_LEDGER"),
    ):
        done = sfumato(*words, env={variable: str(where)} if variable else {})
        assert (done.code, done.out) == (2, "")
        assert "two slashes" in done.err
        assert "secret" not in done.err
    assert sorted(os.listdir(tmp_path)) == ["settings.toml", "src"]
    (tmp_path / "study.toml").write_text(f'[data]\nimages = "src"\nledger = "{quoted}"')
    done = sfumato("study", "run", tmp_path)
    assert done.code == 2
    assert "secret" not in done.err
    assert "two slashes" in done.err


def test_a_name_that_only_resembles_a_url_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a@b", "C:x", "12:30 Uhr", "postgresql", "passwords", tmp_path / "x:y@z"):
        with Ledger(name) as ledger:
            ledger.commit([("f", RECORDS["decision"])])
        assert Path(name).is_file()


@pytest.mark.parametrize("kind", RECORDS)
def test_every_field_of_a_record_is_held_to_its_type(kind: str) -> None:
    _, body = encode(RECORDS[kind])
    fields = json.loads(body)
    for name in fields:
        of_type = type(getattr(RECORDS[kind], name))
        taken = [odd for odd in ODD if _taken(kind, json.dumps({**fields, name: json.loads(odd)}))]
        assert all(_fits(json.loads(odd), of_type) for odd in taken)
    changes: list[object] = [
        {**fields, "newer": 1},
        {name: value for name, value in fields.items() if name != "key"},
        {**fields, "faces": [{"box": [1, 2, 3, 4], "score": 1, "origin": "", "angle": 3}]},
        {**fields, "faces": [{"box": [1, 2, 3, 4], "score": 1, "origin": "", "kind": "newer"}]},
        [],
    ]
    for changed in changes:
        with pytest.raises(LedgerError, match="update sfumato"):
            decode(kind, json.dumps(changed))
    with pytest.raises(LedgerError, match="'mask'"):
        decode("mask", body)


def _taken(kind: str, body: str) -> bool:
    try:
        decode(kind, body)
    except LedgerError:
        return False
    return True


def _fits(value: object, of_type: type) -> bool:
    if of_type is tuple:
        return value == []
    return type(value) in ((int, float) if of_type is float else (of_type,))


@pytest.mark.parametrize("body", ["", "x", "[" * 100_000, '{"a":' * 100_000, "NaN", '"\\ud800"'])
def test_text_that_is_no_record_is_a_sentence(body: str) -> None:
    with pytest.raises(LedgerError, match="can't read") as refused:
        decode("detection", body)
    assert len(str(refused.value)) < 600
    with pytest.raises(LedgerError, match="the boxes of a file"):
        imported_from(body)


def test_the_settings_of_a_run_are_held_to_their_types() -> None:
    step = ObfuscateStep("fill", colour=(1, 2, 3), require_review=True)
    recipe = Recipe(
        DetectStep(("a",), ("w",), 9, "0", "faceless"), VerifyStep(("v",), ("x",)), step
    )
    plain = {name: recipe.as_json()[name] for name in ("detect", "obfuscate", "verify")}
    assert recipe_from(json.dumps({**plain, "selection": {}, "out": "/x"})) == recipe
    taken = list[Recipe]()
    for odd in variants(plain):
        with suppress(LedgerError):
            taken.append(recipe_from(json.dumps(odd)))
    assert taken
    for one in taken:
        for name, value in asdict(one.obfuscate).items():
            of_type = type(getattr(step, name))
            assert (name, value) == ("colour", None) or type(value) in (of_type, int)
        assert one.published()
        assert len(one.fingerprint("verify")) == 64
    wrongs = ({"expand": "0.25"}, {"expand": inf}, {"colour": [1, 2]}, {"colour": [1, 2, 3, 4]})
    for wrong in wrongs:
        with pytest.raises(LedgerError, match=r"holds the settings of a run that this version"):
            recipe_from(json.dumps({**plain, "obfuscate": wrong}))


@pytest.mark.parametrize(("kind", "name"), [("detection", "width"), ("output", "second_images")])
def test_what_is_counted_is_a_number_that_tables_hold(kind: str, name: str) -> None:
    _, body = encode(RECORDS[kind])
    for count in (0, 1, 2**31 - 1):
        found = decode(kind, json.dumps({**json.loads(body), name: count}))
        assert getattr(found, name) == count
    for wrong in (-1, 2**31, 10**400, 1.0):
        with pytest.raises(LedgerError, match="TypeError"):
            decode(kind, json.dumps({**json.loads(body), name: wrong}))


def test_what_is_measured_is_a_number() -> None:
    _, body = encode(RECORDS["finding"])
    for value in (0, 1, 2.5, -1):
        found = decode("finding", json.dumps({**json.loads(body), "value": value}))
        assert isinstance(found, Finding)
        assert (found.value, type(found.value)) == (value, type(value))  # nothing is rewritten
    for wrong in ("1.5", True, None, 10**400):
        with pytest.raises(LedgerError, match="can't read"):
            decode("finding", json.dumps({**json.loads(body), "value": wrong}))


def test_what_a_box_says_is_held_to_its_type() -> None:
    face = {"box": [1, 2, 3.5, 4], "score": 0.5, "origin": "file", "kind": "private"}
    for odd in variants(face):
        with suppress(LedgerError):
            (found,) = imported_from(
                json.dumps({"faces": [odd], "problem": "", "size": None})
            ).faces
            assert all(type(side) in (int, float) for side in (*found.box, found.score))
            assert type(found.origin) is str


COLUMNS = [
    ("source", "runs"),
    ("fingerprint", "runs"),
    ("versions", "runs"),
    ("recipe", "runs"),
    ("key", "listing"),
    ("kind", "listing"),
    ("digest", "published"),
    ("body", "records"),
    ("run", "records"),
]


@pytest.mark.parametrize(("column", "table"), COLUMNS)
def test_bytes_in_the_place_of_text_are_a_sentence(tmp_path: Path, column: str, table: str) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        ledger.begin(started="", command="", source="s", fingerprint="f", recipe="", versions="")
        ledger.list_source({"k": "image"})
        ledger.commit([("f", RECORDS["finding"])] * 2, notes=[Note("k", "d", "s")])
    rows(f"UPDATE {table} SET {column} = x'6162'")(path)
    with Ledger(path) as ledger, pytest.raises(LedgerError, match="bytes stand for text"):
        for _ in ledger.read(f"SELECT {column} FROM {table}"):
            pass


def test_text_in_the_place_of_a_number_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        ledger.commit([("f", RECORDS["finding"])] * 2)
    rows("UPDATE records SET run = '?' WHERE seq = 1")(path)
    with Ledger(path) as ledger, pytest.raises(LedgerError, match="the number of a run"):
        list(ledger.findings("f"))


@dataclass(frozen=True)
class Kept:
    """A release and a review with their ledgers, to be damaged."""

    root: Path
    data: dataset.Dataset

    @property
    def ledgers(self) -> list[Path]:
        return [self.root / name / "ledger.sqlite" for name in ("src.sfumato", "out.sfumato")]

    def verbs(self) -> Iterator[tuple[str | Path, ...]]:
        """Yield every verb that opens a ledger."""
        src, out, boxes = self.data.source, self.data.out, self.data.boxes
        yield "run", src, out, "--boxes", boxes, "--verify-detector", "yunet@160:0.95"
        yield "run", src, out, "--boxes", boxes, "--dry-run"
        yield "detect", src, "--boxes", boxes
        yield "obfuscate", src, out
        yield "verify", src, out
        yield "report", out
        yield "faces", "export", out
        yield "faces", "export", src, "--candidates"
        yield "audit", "groups", src, "--boxes", boxes, "--groups", boxes, "--out", out
        for verb in ("status", "merge", "estimate"):
            yield "review", verb, src
        yield "review", "serve", src, "--reviewer", "ben"
        yield "review", "invite", src, "carl"
        yield "review", "revoke", src, "anna"
        yield "review", "export", src, "--format", "cvat", "-o", self.root / "tasks.xml"

    def damage(self, how: Callable[[Path], None]) -> list[Done]:
        """Run every verb on ledgers that were damaged; a traceback would be an exception here."""
        done = []
        for words in self.verbs():
            for name in ("src.sfumato", "out.sfumato", "out"):
                shutil.rmtree(self.root / name, ignore_errors=True)
                shutil.copytree(self.root / "kept" / name, self.root / name)
            for ledger in self.ledgers:
                how(ledger)
            done.append(sfumato(*words))
        return done


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    root = tmp_path_factory.mktemp("damaged")
    data = dataset.make(root, count=1)
    found = Kept(root, data)

    def served(_: object, __: object, *, ready: Callable[[str], None], **___: object) -> None:
        ready("http://127.0.0.1:1")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving, "serve", served)
        for words in (
            ("detect", data.source, "--boxes", data.boxes),
            ("run", data.source, data.out, "--boxes", data.boxes, "--verify-detector", "yunet@160"),
            ("review", "serve", data.source, "--reviewer", "anna", "--all"),
        ):
            assert sfumato(*words).code in (0, 1)
        for name in ("src.sfumato", "out.sfumato", "out"):
            shutil.copytree(root / name, root / "kept" / name)
        yield found


def file(how: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda path: void(path.write_bytes(how(path.read_bytes())))


def rows(*statements: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            for name in TRIGGERS:
                db.execute(f"DROP TRIGGER IF EXISTS {name}")
            for statement in statements:
                db.execute(statement)

    return change


def void(_: object) -> None:
    return None


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE: dict[str, Callable[[Path], None]] = {
    "cut in half": file(lambda data: data[: len(data) // 2]),
    "no header": file(lambda data: bytes(100) + data[100:]),
    "text": file(lambda _: b"not a database, but long enough to look like one " * 100),
    "another program's": rows("PRAGMA user_version = 0"),
    "a newer version's": rows("PRAGMA user_version = 99"),
    "without a table": rows("DROP TABLE records"),
    "other columns": rows("ALTER TABLE records RENAME COLUMN body TO corpus"),
    "an unknown field": rows("UPDATE records SET body = json_set(body, '$.newer', 1)"),
    "an unknown kind": rows("UPDATE records SET kind = 'mask'"),
    "bytes for text": rows("UPDATE records SET body = x'00ff', key = x'ff'"),
    "nested": rows(f"UPDATE records SET body = '{'[' * 100_000}'"),
    "unknown settings": rows("UPDATE runs SET recipe = json_set(recipe, '$.detect.newer', 1)"),
    "settings of another type": rows(
        "UPDATE runs SET recipe = json_set(recipe, '$.obfuscate.expand', '?')"
    ),
    "bytes for a source": rows("UPDATE runs SET source = x'00ff'"),
    "bytes for versions": rows("UPDATE runs SET versions = x'00ff', fingerprint = x'ff'"),
    "bytes for names": rows("UPDATE OR IGNORE published SET key = x'ff'"),
    "figures of a newer version": rows(
        "INSERT INTO records (kind, fingerprint, key, body) SELECT DISTINCT 'assessment', "
        'fingerprint, \'\', \'{"key":"","figures":"{}"}\' FROM records'
    ),
    "no settings": rows("UPDATE runs SET recipe = 'x'"),
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_ledger_is_a_sentence_for_every_verb(kept: Kept, damage: str) -> None:
    ended = kept.damage(DAMAGE[damage])
    assert {done.code for done in ended} <= {0, 1, 2, 3}  # 3: no faces known, so all refused
    refused = [done for done in ended if done.code == 2]
    # Records are asked for by their kind: those of another one are passed over. Some damage
    # concerns few verbs.
    few = damage.startswith(("an unknown kind", "bytes for ", "figures", "settings"))
    assert len(refused) >= (int(damage != "an unknown kind") if few else len(ended) // 3)
    assert all(done.err.strip() and "Traceback" not in done.err for done in refused)


@pytest.mark.slow
def test_pages_that_were_overwritten_are_a_sentence_for_every_verb(kept: Kept) -> None:
    rng = random.Random(11)

    def overwrite(data: bytes) -> bytes:
        pages = bytearray(data)
        page = rng.randrange(len(data) // 4096) * 4096
        for _ in range(rng.choice([1, 30, 500])):
            pages[page + rng.randrange(4096)] = rng.randrange(256)
        return bytes(pages)

    for _ in range(8):
        ended = kept.damage(file(overwrite))
        assert {done.code for done in ended} <= {0, 1, 2, 3}


def test_a_folder_or_a_file_of_another_program_is_left_as_it_is(tmp_path: Path) -> None:
    theirs = tmp_path / "places.sqlite"
    with closing(sqlite3.connect(theirs)) as db:
        db.execute("CREATE TABLE places (x)")
    before = theirs.read_bytes()
    (tmp_path / "src").mkdir()
    (tmp_path / "folder").mkdir()
    for place in (theirs, tmp_path / "folder"):
        with pytest.raises(LedgerError, match="--ledger"):
            Ledger(place)
    with closing(sqlite3.connect(theirs)) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("places",)]
    assert theirs.read_bytes()[100:] == before[100:]


@pytest.mark.slow
def test_a_ledger_that_is_locked_or_cannot_be_written_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = dataset.make(tmp_path, count=1)
    words = ("detect", data.source, "--boxes", data.boxes)
    assert sfumato(*words).code == 0
    ledger = tmp_path / "src.sfumato" / "ledger.sqlite"
    connect = sqlite3.connect

    def impatient(*args: object, **more: object) -> sqlite3.Connection:
        return connect(*args, **{**more, "timeout": 0.01})  # type: ignore[call-overload,no-any-return]

    with closing(connect(ledger, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr(sqlite3, "connect", impatient)
        for again in (words, ("review", "serve", data.source, "--reviewer", "a")):
            done = sfumato(*again)
            assert done.code == 2
            assert "locked" in done.err
    done = sfumato("detect", data.source, "--boxes", data.boxes, "--ledger", "/proc/x/l.sqlite")
    assert done.code == 2
    assert done.err.startswith("sfumato: Can't write to /proc/x")
