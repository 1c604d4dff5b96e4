"""A door for people whose names we don't know: one address for all participants of an offer.

Each participant of an outside service comes to ``/join/SECRET?PROLIFIC_PID=…`` and becomes a person
of the campaign under a pseudonym, with a link of their own and a code to take back. Whoever comes
again with the same name is the same person; the link that person had ends.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from typing import Final

from sfumato.errors import UsageError
from sfumato.ledger.database import Database
from sfumato.ledger.records import understood
from sfumato.review import completion, people
from sfumato.review.store import campaign, note

_NAME: Final = "join"
_BYTES: Final = 24
_participant: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


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
    completion.check(code, quota)
    secret = secrets.token_urlsafe(_BYTES)
    door = {"hash": _hash(secret), "service": service, "code": code, "quota": quota, "days": days}
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
    if not hmac.compare_digest(_hash(secret), right):
        return None
    name = f"{service}:{participant}"
    known = people.find(database, name)
    if known is not None and (known.role != "reviewer" or people.barred(database, name)):
        return None
    own = people.invite(database, name, "reviewer", days=days)
    person = people.find(database, name)
    assert person is not None
    completion.promise(database, code, quota, person=person.id)
    return own


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
