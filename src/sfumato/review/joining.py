"""A door for people whose names we don't know: one address for all participants of an offer.

Each participant of an outside service comes to ``/join/SECRET?PROLIFIC_PID=…`` and becomes a person
of the campaign under a pseudonym, with a link of their own and a code to take back: it tells the
service that they have done their part. Whoever comes again with the same name is the same person;
the link that person had ends.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
from dataclasses import dataclass
from typing import Final

from sfumato.errors import UsageError
from sfumato.ledger.database import Database
from sfumato.ledger.records import understood
from sfumato.review import people
from sfumato.review.store import campaign, note
from sfumato.review.vocabulary import Person, Progress

_NAME: Final = "join"
_BYTES: Final = 24
_participant: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Promise:
    """The `code` is given after `quota` answers, or when nothing is left for the person."""

    code: str
    quota: int

    def earned(self, progress: Progress) -> str | None:
        """Return the code if it is earned: who has answered nothing has earned nothing."""
        enough = progress.answered >= self.quota or not progress.left
        return self.code if progress.answered and enough else None


def promise(database: Database, person: Person, code: str, quota: int) -> None:
    """Note what this person is promised, in the place of what was promised before."""
    note(database, f"completion:{person.id}", json.dumps({"code": code, "quota": quota}))


def promised(database: Database, person: Person) -> Promise | None:
    """Return what this person was promised; None for nothing."""
    text = campaign(database, f"completion:{person.id}")
    if not text:
        return None
    with understood("what was promised to a reviewer"):
        return Promise(**json.loads(text))


def open_door(database: Database, service: str, *, code: str, quota: int, days: float) -> str:
    """Return the secret of a new door; an earlier one is closed.

    Participants get `code` after `quota` answers, and links of `days`.

    Raises:
        UsageError: no code, a quota below 1, or no time.
    """
    if not 0 < days <= 365:
        raise UsageError(
            f"A participant's link is valid for more than 0 and up to 365 days: {days}"
        )
    if not code.strip() or len(code) > 200:
        raise UsageError("A completion code has 1 to 200 characters.")
    if quota < 1:
        raise UsageError("A quota is one answer at least.")
    secret = secrets.token_urlsafe(_BYTES)
    door = {
        "hash": people.hashed(secret),
        "service": service,
        "code": code,
        "quota": quota,
        "days": days,
    }
    note(database, _NAME, json.dumps(door))
    return secret


def close_door(database: Database) -> None:
    """Let nobody else in; who is in stays."""
    note(database, _NAME, "")


def come_in(database: Database, secret: str, participant: str) -> str | None:
    """Return the secret of a participant's own link.

    None at a wrong door, for no real name, and for somebody whose link was revoked.
    """
    text = campaign(database, _NAME)
    if not text or not _participant.fullmatch(participant):
        return None
    with understood("the link of an outside service"):
        door = json.loads(text)
        right, service, days = door["hash"], door["service"], door["days"]
        code, quota = door["code"], door["quota"]
    if not hmac.compare_digest(people.hashed(secret), right):
        return None
    name = f"{service}:{participant}"
    known = people.find(database, name)
    if known is not None and (known.role != "reviewer" or people.barred(database, name)):
        return None
    own = people.invite(database, name, "reviewer", days=days)
    person = people.find(database, name)
    assert person is not None
    promise(database, person, code, quota)
    return own
