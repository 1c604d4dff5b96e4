"""PostgreSQL: a server, through psycopg and its pool of connections."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from sfumato.errors import MissingExtra, UsageError
from sfumato.ledger.database.sql import (
    Connection,
    Cursor,
    Dialect,
    Mine,
    Row,
    as_mine,
    must_not_nest,
    named,
    spelt,
    unusable,
    worded,
)

_CONNECTING: Final[dict[str, Any]] = {"connect_timeout": 10, "client_encoding": "utf8"}
_FETCHED: Final = 1000  # rows at a time
# Advisory locks are numbers that all users of a database share: two of our own.
_SCRIPT_LOCK, _RUN_LOCK = 0x7366756D61746F01, 0x7366756D61746F02


class PostgreSQL:
    """A server; many writers at a time (transactions are READ COMMITTED: lock what you change).

    Opens connections as they are needed, 16 at most. Whoever gets none waits for `patience_s`
    seconds: that is also how long a server may take to restart between two statements.
    """

    dialect: Dialect = "postgresql"
    patience_s = 60.0

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        try:
            import psycopg
            import psycopg_pool
        except ImportError as error:
            raise MissingExtra(
                "A ledger on PostgreSQL needs more packages: pip install 'sfumato[postgres]'."
            ) from error
        # Its warnings come beside the exception that says the same.
        logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
        self.errors: tuple[type[Exception], ...] = (psycopg.Error,)
        self.name = named(url)
        self._url = url
        self._read_only = read_only
        self._mine = Mine()
        _check(url)
        try:
            psycopg.connect(url, **_CONNECTING).close()  # the pool would try for a minute
        except psycopg.Error as error:
            raise unusable(url, error) from error
        self._pool = psycopg_pool.ConnectionPool(
            url,
            min_size=0,
            max_size=16,
            timeout=self.patience_s,
            num_workers=1,
            kwargs=_CONNECTING,
            configure=_configure,
            check=psycopg_pool.ConnectionPool.check_connection,
            open=True,
        )

    @contextmanager
    def _reader(self) -> Iterator[Any]:
        with self._pool.connection() as db:
            db.read_only = True
            yield db

    def read(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[Row]:
        """Yield the rows of a query, a batch at a time."""
        if self._mine.connection is not None:
            yield from self._mine.connection.execute(sql, parameters).fetchall()
            return
        with self._reader() as db, db.cursor(name="sfumato") as cursor:
            cursor.itersize = _FETCHED
            cursor.execute(spelt(sql, "postgresql").encode(), parameters)
            yield from cursor

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Return the rows of a query, all at once."""
        if self._mine.connection is not None:
            return self._mine.connection.execute(sql, parameters).fetchall()
        with self._pool.connection() as db:
            # Without a transaction around it, it is one question to the server instead of three.
            db.autocommit = True
            try:
                found: list[Row] = db.execute(
                    spelt(sql, "postgresql").encode(), parameters
                ).fetchall()
            finally:
                if not db.closed:
                    db.autocommit = False
        return found

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[Connection]:
        """Do all of it or nothing."""
        must_not_nest(self._mine)
        with self._pool.connection() as db:
            db.read_only = self._read_only
            with db.transaction(), as_mine(self._mine, _PostgreSQLConnection(db)) as mine:
                if not durable:
                    db.execute("SET LOCAL synchronous_commit = off")
                yield mine

    def script(self, sql: str) -> None:
        """Run several statements, all or none."""
        with self._pool.connection() as db:
            db.read_only = self._read_only
            with db.transaction():
                # IF NOT EXISTS isn't enough where two make the same table at once.
                db.execute("SELECT pg_advisory_xact_lock(%s)", (_SCRIPT_LOCK,))
                db.execute(worded(sql, "postgresql").encode())

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold a lock on the server; it goes when the process does."""
        import psycopg

        with psycopg.connect(self._url, autocommit=True, **_CONNECTING) as db:
            # The server may notice a little later that a killed run is gone.
            db.execute("SET lock_timeout = '5s'")
            try:
                db.execute("SELECT pg_advisory_lock(%s)", (_RUN_LOCK,))
            except psycopg.errors.LockNotAvailable:
                raise UsageError(
                    f"Another sfumato works with {self.name}: wait until it has finished."
                ) from None
            yield

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()


def _check(url: str) -> None:
    """Refuse a URL that can't be read: libpq's own words would quote it, password included."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    authority, _, rest = url.partition("://")[2].partition("/")
    try:
        conninfo_to_dict(url)
        readable = authority.count("@") <= 1 and "@" not in rest
    except psycopg.Error:
        readable = False
    if not readable:
        raise UsageError(
            f"The URL of the ledger ({named(url)}) can't be read: it is "
            "postgresql://USER:PASSWORD@HOST:PORT/NAME, and in user and password each of @ : / ? # "
            "% is written as %40 %3A %2F %3F %23 %25. Better, keep the password in ~/.pgpass."
        ) from None


def _configure(db: Any) -> None:
    """Let a commit wait for the disk, whatever the server's default; outside of one, only read."""
    db.execute(
        "SELECT set_config('synchronous_commit', 'on', false) "
        "WHERE current_setting('synchronous_commit') = 'off'"
    )
    db.execute("SET default_transaction_read_only = on")
    db.commit()


class _PostgreSQLConnection:
    def __init__(self, db: Any) -> None:
        self._db = db

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> Cursor:
        cursor: Cursor = self._db.execute(spelt(sql, "postgresql").encode(), parameters)
        return cursor

    def executemany(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        with self._db.cursor() as cursor:
            cursor.executemany(spelt(sql, "postgresql").encode(), rows)

    def load(self, table: str, columns: str, rows: Iterable[Sequence[object]]) -> None:
        sql = f"COPY {table} ({', '.join(columns.split())}) FROM STDIN"
        with self._db.cursor() as cursor, cursor.copy(sql.encode()) as copy:
            for row in rows:
                copy.write_row(row)
