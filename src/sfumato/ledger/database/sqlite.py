"""SQLite: a file, in WAL mode."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

from sfumato.ledger.database.sql import (
    Connection,
    Cursor,
    Dialect,
    Mine,
    Row,
    as_mine,
    must_not_nest,
    spelt,
    unusable,
    worded,
)
from sfumato.sources import private
from sfumato.sources.disk import may_write


class SQLite:
    """A file; one writer at a time, readers never wait.

    Each reader has a connection of its own for as long as it reads: on a shared one, a half-read
    query would see what is written meanwhile, and would keep its connection from writing.
    """

    dialect: Dialect = "sqlite"
    errors: tuple[type[Exception], ...] = (sqlite3.Error,)

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.name = str(path)
        self._read_only = read_only
        self._mode = _to_be_read(path) if read_only else "rwc"
        self._mine = Mine()
        # Taken again where the collector ends a forgotten reader in the middle of what holds it.
        self._guard = threading.RLock()
        self._all: list[sqlite3.Connection] = []
        self._idle: list[sqlite3.Connection] = []
        # Waiting here wakes at once; SQLite's own waiting polls, and starves.
        self._writing = threading.Lock()
        try:
            if not read_only:
                # SQLite gives what it puts beside a file (-wal, -shm, -journal) that file's mode.
                private.file(path)
                private.say_if_open(path)
            self._writer = self._open()
            if not read_only:
                self._writer.execute("PRAGMA journal_mode = WAL")
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise unusable(path, error) from error

    def _open(self) -> sqlite3.Connection:
        uri = f"{self.path.absolute().as_uri()}?mode={self._mode}"
        made = sqlite3.connect(
            uri, uri=True, timeout=60, isolation_level=None, check_same_thread=False
        )
        with self._guard:
            self._all.append(made)
        if self._read_only:
            made.execute("PRAGMA query_only = ON")
        return made

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        with self._guard:
            db = self._idle.pop() if self._idle else None
        if db is None:
            db = self._open()
            db.execute("PRAGMA query_only = ON")
        try:
            yield db
        finally:
            with self._guard:
                self._idle.append(db)

    def read(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[Row]:
        """Yield the rows of a query."""
        if self._mine.connection is not None:
            yield from map(_of_text, self._mine.connection.execute(sql, parameters).fetchall())
            return
        with self._reader() as db:
            cursor = _executed(db, sql, parameters)
            try:
                # Not from the cursor itself: `yield from` would close it where nothing catches.
                yield from map(_of_text, iter(cursor.fetchone, None))
            finally:
                with suppress(sqlite3.ProgrammingError):  # the database was closed before
                    cursor.close()  # ends the snapshot

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Return the rows of a query."""
        return list(self.read(sql, parameters))

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[Connection]:
        """Do all of it or nothing."""
        must_not_nest(self._mine)
        db = self._writer
        with self._writing:
            if not self._read_only:
                # FULL: a commit survives a power cut, as fsynced images do. NORMAL: once the
                # WAL, which is written in order, is next synced.
                db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            db.execute("BEGIN IMMEDIATE")
            try:
                with as_mine(self._mine, _SQLiteConnection(db)) as mine:
                    yield mine
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def script(self, sql: str) -> None:
        """Run several statements, all or none."""
        with self.transaction() as db:
            for statement in _statements(worded(sql, "sqlite")):
                db.execute(statement)

    def alone(self) -> AbstractContextManager[None]:
        """Do nothing: whoever opens the file holds the lock file beside it."""
        return nullcontext()

    def close(self) -> None:
        """Close all connections."""
        with self._guard:
            for connection in self._all:
                connection.close()
            self._all.clear()
            self._idle.clear()


def _to_be_read(path: Path) -> str:
    """Return the mode in which a file is opened that is only to be read.

    Opened "ro", SQLite leaves the -wal and -shm behind that reading needs; whoever may write
    removes them at the end. What others left there, "ro" leaves as it is. Where nothing can be put
    beside the file, such as on a read-only disk, and there is no -wal of somebody who writes, it
    is read as a file that doesn't change.
    """
    real = Path(os.path.realpath(path))
    if os.path.exists(f"{real}-wal"):
        return "ro"
    return "rw" if may_write(real.parent) else "ro&immutable=1"


def _executed(db: sqlite3.Connection, sql: str, parameters: Sequence[object]) -> sqlite3.Cursor:
    try:
        return db.execute(spelt(sql, "sqlite"), parameters)
    except UnicodeDecodeError as error:  # the message itself quotes what is damaged
        raise sqlite3.DatabaseError("its tables are damaged") from error


def _of_text(row: Row) -> Row:
    """Return a row: SQLite stores bytes in columns of text as well, and no ledger holds any."""
    if bytes in map(type, row):
        raise sqlite3.DatabaseError("its tables are damaged: bytes stand for text")
    return row


def _statements(sql: str) -> Iterator[str]:
    """Cut a script into statements; a trigger holds semicolons of its own."""
    statement = ""
    for piece in sql.split(";"):
        statement += f"{piece};"
        if sqlite3.complete_statement(statement):
            if statement.strip(" \n;"):
                yield statement
            statement = ""


class _SQLiteConnection:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> Cursor:
        return _executed(self._db, sql, parameters)

    def executemany(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        self._db.executemany(spelt(sql, "sqlite"), rows)

    def load(self, table: str, columns: str, rows: Iterable[Sequence[object]]) -> None:
        names = columns.split()
        marks = ", ".join("?" * len(names))
        sql = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608
        self._db.executemany(sql, rows)
