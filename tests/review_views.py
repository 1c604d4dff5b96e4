"""The log of who saw what, read as its owner would: by SQL."""

from __future__ import annotations

from typing import NamedTuple

from sfumato.ledger.database import Database


class View(NamedTuple):
    """A person was sent this much of this image, then (seconds since 1970)."""

    seen: float
    person: str
    key: str
    what: str


def views(database: Database) -> list[View]:
    """Return all lines, oldest first."""
    rows = database.read("SELECT seen, person, key, what FROM review_views ORDER BY id")
    return [View(*row) for row in rows]
