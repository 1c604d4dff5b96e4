"""The ledger: every record of a run, append-only, in one SQLite file (WAL mode).

A correction is a new record; the latest one of a key counts. One transaction per shard holds
its records and the mark that the shard is done, so a killed run never shows half a shard.
Only the driver writes; workers may read.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from sfumato.errors import Code, LedgerError, OutputError
from sfumato.types import (
    JSON,
    Assessment,
    Decision,
    Detection,
    Face,
    Failure,
    Finding,
    Output,
    Record,
    Review,
)

# Append-only as well: a new version of the schema is a new entry.
MIGRATIONS: Final = (
    """
    CREATE TABLE records (
        seq INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        key TEXT NOT NULL,
        body TEXT NOT NULL
    );
    CREATE INDEX records_by_key ON records (fingerprint, kind, key, seq);
    CREATE TABLE shards (
        stage TEXT NOT NULL, fingerprint TEXT NOT NULL, id TEXT NOT NULL,
        PRIMARY KEY (stage, fingerprint, id)
    ) WITHOUT ROWID;
    CREATE TABLE runs (
        seq INTEGER PRIMARY KEY, started TEXT NOT NULL, command TEXT NOT NULL, source TEXT NOT NULL,
        fingerprint TEXT NOT NULL, recipe TEXT NOT NULL, versions TEXT NOT NULL
    );
    CREATE TABLE given (
        boxes TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (boxes, key)
    ) WITHOUT ROWID;
    CREATE TABLE listing (key TEXT PRIMARY KEY, kind TEXT NOT NULL) WITHOUT ROWID;
    CREATE TRIGGER records_stay BEFORE UPDATE ON records
        BEGIN SELECT RAISE(ABORT, 'records are append-only'); END;
    CREATE TRIGGER records_remain BEFORE DELETE ON records
        BEGIN SELECT RAISE(ABORT, 'records are append-only'); END;
    """,
    # The run that a record comes from: a verification replaces all findings of the one before.
    "ALTER TABLE records ADD COLUMN run INTEGER NOT NULL DEFAULT 0;",
)

_KINDS: Final[dict[str, type[Record]]] = {
    "detection": Detection,
    "review": Review,
    "decision": Decision,
    "assessment": Assessment,
    "output": Output,
    "finding": Finding,
    "failure": Failure,
}
_NAMES: Final = {record_type: kind for kind, record_type in _KINDS.items()}


def encode(record: Record) -> tuple[str, str]:
    """Return a record's kind and its body as JSON."""
    return _NAMES[type(record)], json.dumps(asdict(record), separators=(",", ":"))


def decode(kind: str, body: str) -> Record:
    """Return the record that `encode` wrote."""
    fields = json.loads(body)
    for name in fields.keys() & {"faces", "ghosts", "candidates", "rejected"}:
        fields[name] = faces_from(fields[name])
    if "reviewers" in fields:
        fields["reviewers"] = tuple(fields["reviewers"])
    if "code" in fields:
        fields["code"] = Code(fields["code"])
    return _KINDS[kind](**fields)


def faces_from(rows: Iterable[JSON]) -> tuple[Face, ...]:
    """Return faces from their JSON form."""
    return tuple(
        Face(tuple(row["box"]), row["score"], row["origin"], row.get("kind", "face"))
        for row in rows
    )


def _newer(theirs: Iterable[Record], ours: Iterable[Record]) -> Iterator[Record]:
    """Yield their records, in the order of the keys, to which ours have no equal."""
    mine = iter(ours)
    head = next(mine, None)
    for record in theirs:
        while head is not None and head.key < record.key:
            head = next(mine, None)
        if head != record:
            yield record


@dataclass(frozen=True, slots=True)
class Given:
    """What a file of boxes says of a picture: its faces, or the problem with them, and its size."""

    faces: tuple[Face, ...]
    problem: str = ""
    size: tuple[int, int] | None = None


class Ledger:
    """One ledger file; use it as a context manager.

    Raises:
        LedgerError: the file can't be opened or isn't a ledger of this program.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._run = 0
        uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
        try:
            self._db = sqlite3.connect(uri, uri=True, timeout=60, isolation_level=None)
            if not read_only:
                self._db.execute("PRAGMA journal_mode = WAL")
                # FULL: a committed shard survives a power cut, as its fsynced pictures do.
                self._db.execute("PRAGMA synchronous = FULL")
                self._migrate()
            self._db.execute("SELECT 1 FROM records LIMIT 1")
        except sqlite3.Error as error:
            raise LedgerError(
                f"{path} can't be used as a ledger ({error}): make room or mend it if the disk is "
                "the reason, else choose another file with --ledger."
            ) from error

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._db.close()

    def _migrate(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise LedgerError(
                f"{self.path} was written by a newer sfumato (layout {version}, this one knows "
                f"{len(MIGRATIONS)}): update sfumato."
            )
        for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
            self._db.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise OutputError(
                f"The ledger {self.path} can't be written ({error}): make room or mend it, then "
                "run the same command again to go on."
            ) from error
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def begin(
        self,
        *,
        started: str,
        command: str,
        source: str,
        fingerprint: str,
        recipe: str,
        versions: str,
    ) -> None:
        """Note that a run began: when, from what, with which recipe and software."""
        with self._transaction() as db:
            row = db.execute(
                "INSERT INTO runs (started, command, source, fingerprint, recipe, versions) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (started, command, source, fingerprint, recipe, versions),
            )
        self._run = row.lastrowid or 0

    def last_run(self, command: str = "%") -> tuple[str, str, str] | None:
        """Return source, fingerprint and recipe (JSON) of the last run; None if there was none."""
        row = self._db.execute(
            "SELECT source, fingerprint, recipe FROM runs WHERE command LIKE ? "
            "ORDER BY seq DESC LIMIT 1",
            (command,),
        ).fetchone()
        return None if row is None else (row[0], row[1], row[2])

    def commit(
        self,
        records: Iterable[tuple[str, Record]],
        done: Sequence[tuple[str, str]] = (),
        *,
        shard: str = "",
    ) -> None:
        """Append (fingerprint, record) pairs and mark (stage, fingerprint) done for the shard."""
        rows = [
            (self._run, fingerprint, record.key, *encode(record)) for fingerprint, record in records
        ]
        with self._transaction() as db:
            db.executemany(
                "INSERT INTO records (run, fingerprint, key, kind, body) VALUES (?, ?, ?, ?, ?)",
                rows,
            )
            db.executemany(
                "INSERT OR IGNORE INTO shards (stage, fingerprint, id) VALUES (?, ?, ?)",
                [(stage, fingerprint, shard) for stage, fingerprint in done],
            )

    def done(self, stage: str, fingerprint: str) -> set[str]:
        """Return the ids of the shards that this stage has finished with these settings."""
        rows = self._db.execute(
            "SELECT id FROM shards WHERE stage = ? AND fingerprint = ?", (stage, fingerprint)
        )
        return {row[0] for row in rows}

    def forget(self, shards: Iterable[str]) -> None:
        """Unmark shards as done, so that they are done again; their records stay."""
        with self._transaction() as db:
            db.executemany("DELETE FROM shards WHERE id = ?", [(shard,) for shard in shards])

    def latest(self, fingerprint: str, kinds: Sequence[str]) -> Iterator[Record]:
        """Yield the latest record of these kinds for each key, in the order of the keys."""
        marks = ", ".join("?" * len(kinds))
        rows = self._db.execute(
            # Only question marks are put in. SQLite: bare columns come from the row of the MAX.
            "SELECT kind, body, MAX(seq) FROM records "  # noqa: S608
            f"WHERE fingerprint = ? AND kind IN ({marks}) GROUP BY key ORDER BY key",
            (fingerprint, *kinds),
        )
        for kind, body, _ in rows:
            yield decode(kind, body)

    def latest_of(self, fingerprint: str, kinds: Sequence[str], key: str) -> Record | None:
        """Return the latest record of these kinds for one key, or None."""
        marks = ", ".join("?" * len(kinds))
        row = self._db.execute(
            # Only question marks are put in.
            f"SELECT kind, body FROM records WHERE fingerprint = ? AND kind IN ({marks}) "  # noqa: S608
            "AND key = ? ORDER BY seq DESC LIMIT 1",
            (fingerprint, *kinds, key),
        ).fetchone()
        return None if row is None else decode(*row)

    def findings(self, fingerprint: str) -> Iterator[Finding]:
        """Yield what the last run that checked a key found there, in the order of the keys.

        What an earlier one found is out of date: a file that was mended must not fail, and one
        that can't be read any more has passed nothing. Of a check that one run made twice, the
        latest finding counts. A finding speaks of one output: whoever reads them compares
        `digest`.
        """
        rows = self._db.execute(
            "SELECT kind, body, MAX(seq) FROM records AS found "
            "WHERE fingerprint = ? AND kind = 'finding' AND run = (SELECT MAX(run) FROM records "
            "WHERE fingerprint = found.fingerprint AND kind = 'finding' AND key = found.key) "
            "GROUP BY key, json_extract(body, '$.code') ORDER BY key, json_extract(body, '$.code')",
            (fingerprint,),
        )
        for kind, body, _ in rows:
            record = decode(kind, body)
            if isinstance(record, Finding):
                yield record

    def list_source(self, kinds: Mapping[str, str]) -> None:
        """Store what the source holds now: key to "picture", "refused", "ignored" or "copied"."""
        with self._transaction() as db:
            db.execute("DELETE FROM listing")
            db.executemany("INSERT INTO listing (key, kind) VALUES (?, ?)", kinds.items())

    def listing(self) -> Iterator[tuple[str, str]]:
        """Yield (key, kind) of what the source held at the last run, in the order of the keys."""
        yield from self._db.execute("SELECT key, kind FROM listing ORDER BY key")

    def adopt(self, other: Path, fingerprint: str) -> None:
        """Take over what another ledger says last with this fingerprint, where ours says otherwise.

        Reviews stay where they were made; what follows from them, the decisions, comes along.
        """
        with Ledger(other, read_only=True) as theirs:
            for kinds in (("detection", "failure"), ("decision",), ("assessment",)):
                ours = self.latest(fingerprint, kinds)
                fresh = list(_newer(theirs.latest(fingerprint, kinds), ours))
                self.commit((fingerprint, record) for record in fresh)

    def redecided(self, decided: str, released: str) -> set[str]:
        """Return the keys on which people decided after they were released or refused.

        `decided` and `released` are the fingerprints of detection and of obfuscation.
        """
        rows = self._db.execute(
            "SELECT decided.key FROM (SELECT key, MAX(seq) AS last FROM records "
            "WHERE fingerprint = ? AND kind = 'decision' GROUP BY key) AS decided "
            "JOIN (SELECT key, MAX(seq) AS last FROM records WHERE fingerprint = ? "
            "AND kind IN ('output', 'failure') GROUP BY key) AS fate "
            "ON decided.key = fate.key WHERE decided.last > fate.last",
            (decided, released),
        )
        return {row[0] for row in rows}

    def written(self) -> Iterator[str]:
        """Yield every key that any run has ever written to the release."""
        rows = self._db.execute("SELECT DISTINCT key FROM records WHERE kind = 'output'")
        yield from (row[0] for row in rows)

    def give(self, boxes: str, given: Mapping[str, Given]) -> None:
        """Store boxes that came from a file (`boxes`: its SHA-256), for workers to read."""
        rows = [
            (boxes, key, json.dumps(asdict(what), separators=(",", ":")))
            for key, what in given.items()
        ]
        with self._transaction() as db:
            db.executemany("INSERT OR REPLACE INTO given (boxes, key, body) VALUES (?, ?, ?)", rows)

    def given(self, boxes: str, key: str) -> Given | None:
        """Return the boxes that a file gave for a picture; None if it didn't name it."""
        row = self._db.execute(
            "SELECT body FROM given WHERE boxes = ? AND key = ?", (boxes, key)
        ).fetchone()
        if row is None:
            return None
        what = json.loads(row[0])
        size = None if what["size"] is None else (what["size"][0], what["size"][1])
        return Given(faces_from(what["faces"]), what["problem"], size)
