"""The ledger's tables, and how a database comes to have them.

The steps are append-only as well: a new layout is a new entry for each database. Where a ledger
stands is written in it: in SQLite's `user_version`, in PostgreSQL's table `sfumato_layout`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from sfumato.errors import LedgerError
from sfumato.ledger.database import Database, Dialect

STEPS: Final[dict[Dialect, tuple[str, ...]]] = {
    "sqlite": (
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
            seq INTEGER PRIMARY KEY, started TEXT NOT NULL, command TEXT NOT NULL,
            source TEXT NOT NULL, fingerprint TEXT NOT NULL, recipe TEXT NOT NULL,
            versions TEXT NOT NULL
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
        # What lies in the release (`published`), and the first and last key of what is done.
        """
        CREATE TABLE published (
            key TEXT PRIMARY KEY, digest TEXT NOT NULL, state TEXT NOT NULL
        ) WITHOUT ROWID;
        ALTER TABLE shards ADD COLUMN from_key TEXT NOT NULL DEFAULT '';
        ALTER TABLE shards ADD COLUMN to_key TEXT NOT NULL DEFAULT '';
        """,
        # INSERT OR REPLACE removes what it replaces without asking the triggers above. Of a row
        # whose number isn't given yet, NEW.seq is -1 before, and the number after.
        """
        CREATE TRIGGER records_new BEFORE INSERT ON records
            WHEN EXISTS (SELECT 1 FROM records WHERE seq = NEW.seq)
            BEGIN SELECT RAISE(ABORT, 'records are append-only'); END;
        CREATE TRIGGER records_numbered AFTER INSERT ON records
            WHEN NEW.seq NOT BETWEEN 1 AND 9007199254740991
            BEGIN SELECT RAISE(ABORT, 'records are append-only: no such number'); END;
        """,
        "UPDATE listing SET kind = 'image' WHERE kind = 'picture';",
    ),
    "postgresql": (
        """
        CREATE TABLE sfumato_layout (version BIGINT NOT NULL);
        INSERT INTO sfumato_layout (version) VALUES (0);
        CREATE TABLE records (
            seq {serial},
            kind {key} NOT NULL,
            fingerprint {key} NOT NULL,
            key {key} NOT NULL,
            body TEXT NOT NULL,
            run BIGINT NOT NULL DEFAULT 0
        );
        CREATE INDEX records_by_key ON records (fingerprint, kind, key, seq);
        CREATE TABLE shards (
            stage {key} NOT NULL, fingerprint {key} NOT NULL, id {key} NOT NULL,
            PRIMARY KEY (stage, fingerprint, id)
        );
        CREATE TABLE runs (
            seq {serial}, started TEXT NOT NULL, command TEXT NOT NULL, source TEXT NOT NULL,
            fingerprint TEXT NOT NULL, recipe TEXT NOT NULL, versions TEXT NOT NULL
        );
        CREATE TABLE given (
            boxes {key} NOT NULL, key {key} NOT NULL, body TEXT NOT NULL, PRIMARY KEY (boxes, key)
        );
        CREATE TABLE listing (key {key} PRIMARY KEY, kind TEXT NOT NULL);
        CREATE FUNCTION records_stay() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'records are append-only'; END $$;
        CREATE TRIGGER records_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON records
            FOR EACH STATEMENT EXECUTE FUNCTION records_stay();
        """,
        """
        CREATE TABLE published (
            key {key} PRIMARY KEY, digest TEXT NOT NULL, state TEXT NOT NULL
        );
        ALTER TABLE shards ADD COLUMN from_key {key} NOT NULL DEFAULT '';
        ALTER TABLE shards ADD COLUMN to_key {key} NOT NULL DEFAULT '';
        """,
        "UPDATE listing SET kind = 'image' WHERE kind = 'picture';",
    ),
}
_BEFORE_PUBLISHED: Final[dict[Dialect, int]] = {"sqlite": 2, "postgresql": 1}
_MARK: Final[dict[Dialect, str]] = {
    "sqlite": "PRAGMA user_version = {version};",
    "postgresql": "UPDATE sfumato_layout SET version = {version};",
}


_AT_ONCE: Final = 500  # keys in one question


def batches(keys: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Yield the keys in parts that fit into one question."""
    source = iter(keys)
    while some := tuple(islice(source, _AT_ONCE)):
        yield some


def marks(values: Sequence[str]) -> str:
    """Return a question mark for each value: all that is ever put into SQL."""
    return ", ".join("?" * len(values))


def migrate(database: Database) -> None:
    """Bring a database to the newest layout; several may do so at once.

    Raises:
        LedgerError: it is of a newer version or another program, or text in it isn't Unicode.
    """
    steps = STEPS[database.dialect]
    if database.dialect == "sqlite" and version(database) == 0:
        _must_be_empty(database)
    while (known := version(database)) < len(steps):
        mark = _MARK[database.dialect].format(version=known + 1)
        try:
            database.script(f"{steps[known]} {mark}")
        except database.errors:
            if version(database) == known:  # else another has just made this step
                raise


def knows_published(database: Database) -> bool:
    """Say whether it has the table `published`: one that was only opened to be read may not."""
    return version(database) > _BEFORE_PUBLISHED[database.dialect]


def _must_be_empty(database: Database) -> None:
    """Refuse the file of another program, before our tables are put into it."""
    found = database.rows("SELECT name FROM sqlite_master LIMIT 1")
    if found and version(database) == 0:  # another may have made the tables just now
        raise LedgerError(
            f"{database.name} is a database of another program, or a ledger that lost its layout: "
            "choose another file with --ledger, or restore it from a backup."
        )


def version(database: Database) -> int:
    """Return the layout of a database, 0 for an empty one; raises `LedgerError` as `migrate`."""
    if database.dialect == "sqlite":
        found = int(database.rows("PRAGMA user_version")[0][0])
    else:
        found = _version_there(database)
    if found > len(STEPS[database.dialect]):
        raise LedgerError(
            f"{database.name} was written by a newer sfumato (layout {found}, this one knows "
            f"{len(STEPS[database.dialect])}): update sfumato."
        )
    return found


def _version_there(database: Database) -> int:
    encoding, table = database.rows(
        "SELECT current_setting('server_encoding'), to_regclass('sfumato_layout')::text"
    )[0]
    if encoding != "UTF8":
        raise LedgerError(
            f"{database.name} stores text as {encoding}, which can't hold every name of a file: "
            "make a database with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0."
        )
    return 0 if table is None else int(database.rows("SELECT version FROM sfumato_layout")[0][0])
