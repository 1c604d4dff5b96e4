"""SQL on SQLite or PostgreSQL, as far as the two differ for us.

A database is given as the path of a file (SQLite, WAL mode) or as a URL
(``postgresql://user@host/name``; extra ``sfumato[postgres]``). SQL is written once, with ``?`` for
parameters; ``{serial}``, ``{key}``, ``{lock}`` and ``{skip_locked}`` stand for what is spelt
differently.
Both understand ``BIGINT``, ``DOUBLE PRECISION`` (PostgreSQL's ``REAL`` has 4 bytes), ``RETURNING``
and ``ON CONFLICT``; a flag is a ``BIGINT`` of 0 or 1. PostgreSQL stores no NUL character in text.

Any thread may use a database. A transaction belongs to the thread that opened it: what that
thread reads meanwhile, it reads inside of it. Transactions write and don't nest; outside of them
statements only read.
"""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

from sfumato.ledger.database.postgresql import PostgreSQL
from sfumato.ledger.database.sql import (
    Connection,
    Cursor,
    Database,
    Dialect,
    Row,
    Where,
    in_words,
    is_url,
    named,
    spelt,
    unusable,
)
from sfumato.ledger.database.sqlite import SQLite

__all__ = [
    "Connection",
    "Cursor",
    "Database",
    "Dialect",
    "PostgreSQL",
    "Row",
    "SQLite",
    "Where",
    "connect",
    "failures",
    "in_words",
    "is_url",
    "named",
    "spelt",
    "unusable",
]


def failures() -> tuple[type[Exception], ...]:
    """Return the exceptions that a database's statements may raise, of those that are loaded."""
    psycopg = sys.modules.get("psycopg")
    return (sqlite3.Error,) if psycopg is None else (sqlite3.Error, psycopg.Error)


def connect(where: Where, *, read_only: bool = False) -> Database:
    """Open a database; a file is made if it isn't there.

    Raises:
        MissingExtra: it is a URL and `sfumato[postgres]` isn't installed.
        UsageError: it is a URL that can't be read.
        LedgerError: the file isn't there or isn't a database, nobody answers at the URL.
    """
    if is_url(where):
        return PostgreSQL(str(where), read_only=read_only)
    return SQLite(Path(where), read_only=read_only)
