"""Who saw which unobfuscated image, and when: a log that only grows.

Triggers of the database refuse to change or delete a line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from sfumato.ledger.database import Database

# whole: the image. crop: a magnified part. gallery: one face of it.
Extent: TypeAlias = Literal["whole", "crop", "gallery"]


@dataclass(frozen=True, slots=True)
class View:
    """A person was sent this much of this image; `seen` in seconds since 1970."""

    seen: float
    person: str
    key: str
    what: Extent


def log(db: Database, view: View) -> None:
    """Append a line."""
    with db.transaction() as writing:
        writing.execute(
            "INSERT INTO review_views (seen, person, key, what) VALUES (?, ?, ?, ?)",
            (view.seen, view.person, view.key, view.what),
        )
