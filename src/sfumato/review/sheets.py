"""What a server must know of a person's image besides the lease: what was shown, and how.

A lease ends, and its proposals give way to a draft; a late draft, a repeated answer, or a
redacted view still has to be held against what the person was shown. Only reading is done here.
"""

from __future__ import annotations

from dataclasses import dataclass

from sfumato.ledger.database import Database
from sfumato.review.store import LENT, marks_from
from sfumato.review.vocabulary import Mark


@dataclass(frozen=True, slots=True)
class Sheet:
    """An image as it was put before a person; `shown` are the boxes that it began with."""

    width: int
    height: int
    shown: tuple[Mark, ...]


def sheet_of(database: Database, token: str, person: str) -> Sheet | None:
    """Return what this person was shown under this token, also if it is answered or ran out.

    None for a token that never was, and for another person's.
    """
    rows = database.read(
        "SELECT i.width, i.height, a.shown, i.proposals FROM review_assignments AS a "
        "JOIN review_items AS i ON i.id = a.item WHERE a.token = ? AND a.person = ?",
        (token, person),
    )
    for width, height, shown, proposals in rows:
        return Sheet(width, height, marks_from(shown or proposals))
    return None


def in_gallery(database: Database, person: str) -> frozenset[str]:
    """Return the tokens of the images that a person has in the gallery."""
    rows = database.read(
        "SELECT token FROM review_assignments WHERE person = ? AND state = ? AND gallery = 1",
        (person, LENT),
    )
    return frozenset(token for (token,) in rows)
