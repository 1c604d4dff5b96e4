"""Reviewers and their secret links.

A link holds 256 random bits; the database holds only their SHA-256, so whoever reads it can't
become a reviewer. Names stay here: records and answers carry the random `Person.id`.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import Final, get_args

from sfumato.errors import UsageError
from sfumato.ledger.database import Database
from sfumato.review.vocabulary import Person, Role

_BYTES: Final = 32
_DAY: Final = 86400.0


@dataclass(frozen=True, slots=True)
class Invited:
    """A reviewer as a manager sees them; times in seconds since 1970, `seconds` in all images.

    `gold` and `passed` are the gold questions answered and those answered well.
    """

    person: Person
    expires: float
    revoked: float | None
    answered: int
    gold: int
    passed: int
    seconds: float


def invite(db: Database, name: str, role: Role, *, days: float = 30, now: float = 0) -> str:
    """Return the secret of a person's link, valid for `days`. It can't be shown again.

    Inviting a name again gives a new link and role, and ends the old link; the work stays theirs.

    Raises:
        UsageError: no name, an unknown role, or no time.
    """
    if not name.strip():
        raise UsageError("A reviewer needs a name.")
    if role not in get_args(Role):
        raise UsageError(f"A role is one of {', '.join(get_args(Role))}; not {role!r}.")
    if not 0 < days <= 3660:
        raise UsageError(f"A link is valid for more than 0 and up to 3660 days; not {days}.")
    now = now or time.time()
    secret = secrets.token_urlsafe(_BYTES)
    with db.transaction() as writing:
        writing.execute(
            "INSERT INTO review_people (id, name, role, secret, invited, expires) "
            "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET role = excluded.role, "
            "secret = excluded.secret, expires = excluded.expires, revoked = NULL",
            (secrets.token_hex(8), name.strip(), role, hashed(secret), now, now + days * _DAY),
        )
    return secret


def barred(db: Database, name: str) -> bool:
    """Say whether the link of the person of this name was revoked."""
    return bool(
        db.rows("SELECT 1 FROM review_people WHERE name = ? AND revoked IS NOT NULL", (name,))
    )


def enlist(db: Database, name: str) -> Person:
    """Return the person of this name, made without a link if there is none.

    That is an annotator of a file, who never comes to our page.
    """
    known = find(db, name)
    if known is not None:
        return known
    now = time.time()
    with db.transaction() as writing:
        writing.execute(
            "INSERT INTO review_people (id, name, role, secret, invited, expires) "
            "VALUES (?, ?, 'reviewer', ?, ?, ?) ON CONFLICT (name) DO NOTHING",
            (secrets.token_hex(8), name, hashed(secrets.token_urlsafe(_BYTES)), now, now),
        )
    made = find(db, name)
    assert made is not None
    return made


def recognise(db: Database, secret: str, *, now: float = 0) -> Person | None:
    """Return whose secret this is; None if it is nobody's, has expired or was revoked.

    The hash is looked up, so how long this takes says nothing of how near a guess comes.
    """
    found = db.rows(
        "SELECT id, role, name FROM review_people "
        "WHERE secret = ? AND revoked IS NULL AND expires > ?",
        (hashed(secret), now or time.time()),
    )
    return Person(*found[0]) if found else None


def revoke(db: Database, who: str, *, now: float = 0) -> int:
    """End the link of the person with this name or id; return how many links that were."""
    with db.transaction() as writing:
        done = writing.execute(
            "UPDATE review_people SET revoked = ? WHERE (name = ? OR id = ?) AND revoked IS NULL",
            (now or time.time(), who, who),
        )
        return done.rowcount


def find(db: Database, who: str) -> Person | None:
    """Return the person with this name or id, invited still or not."""
    found = db.rows("SELECT id, role, name FROM review_people WHERE name = ? OR id = ?", (who, who))
    return Person(*found[0]) if found else None


def people(db: Database) -> list[Invited]:
    """Return everybody who was ever invited, by name."""
    rows = db.rows(
        "SELECT id, role, name, expires, revoked, answered, gold, passed, seconds "
        "FROM review_people ORDER BY name"
    )
    return [Invited(Person(*row[:3]), *row[3:]) for row in rows]


def hashed(secret: str) -> str:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
