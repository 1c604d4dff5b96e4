"""The code that tells an outside marketplace that a person has done their part.

It is kept among the campaign's values: one for all, or one for a person, which goes first.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from sfumato.errors import UsageError
from sfumato.ledger.database import Database
from sfumato.ledger.records import understood
from sfumato.review.store import campaign, note
from sfumato.review.vocabulary import Person, Progress

_NAME = "completion"


@dataclass(frozen=True, slots=True)
class Promise:
    """The `code` is given after `quota` answers, or when nothing is left for the person."""

    code: str
    quota: int


def promise(database: Database, code: str, quota: int, *, person: str = "") -> None:
    """Set the code and the quota, of one person (by id) or of all.

    Raises:
        UsageError: no code, or a quota below 1.
    """
    check(code, quota)
    note(database, _place(person), json.dumps({"code": code, "quota": quota}))


def check(code: str, quota: int) -> None:
    """Raise `UsageError` for a code or a quota that can't be promised."""
    if not code.strip() or len(code) > 200:
        raise UsageError("A completion code has 1 to 200 characters.")
    if quota < 1:
        raise UsageError("A quota is one answer at least.")


def quota(database: Database, person: Person) -> int | None:
    """Return after how many answers this person gets a code; None if none was promised."""
    text = campaign(database, _place(person.id)) or campaign(database, _place(""))
    return _promise(text).quota if text else None


def earned(database: Database, person: Person, progress: Progress) -> str | None:
    """Return the person's code if it is earned: who has answered nothing has earned nothing."""
    text = campaign(database, _place(person.id)) or campaign(database, _place(""))
    if not text or not progress.answered:
        return None
    found = _promise(text)
    return found.code if progress.answered >= found.quota or not progress.left else None


def _promise(text: str) -> Promise:
    with understood("what was promised to a reviewer"):
        return Promise(**json.loads(text))


def _place(person: str) -> str:
    return f"{_NAME}:{person}" if person else _NAME
