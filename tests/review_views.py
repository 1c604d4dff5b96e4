"""The log of who saw what, read as its owner would: by SQL."""

from __future__ import annotations

from sfumato.ledger.database import Database
from sfumato.review.access import View


def views(database: Database) -> list[View]:
    """Return all lines, oldest first."""
    rows = database.read("SELECT seen, person, key, what FROM review_views ORDER BY id")
    return [View(*row) for row in rows]
