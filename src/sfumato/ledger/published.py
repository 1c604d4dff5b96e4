"""What lies in the release, as it was last seen: a note for each file that sfumato put there."""

from __future__ import annotations

from collections.abc import Iterable

from sfumato.ledger.database import Connection
from sfumato.sources.doors import Note, Sink


def write(connection: Connection, notes: Iterable[Note]) -> None:
    """Put notes in the place of earlier ones, in a transaction of the ledger's database."""
    connection.executemany(
        "INSERT INTO published (key, digest, state) VALUES (?, ?, ?) "
        "ON CONFLICT (key) DO UPDATE SET digest = excluded.digest, state = excluded.state",
        [(note.key, note.digest, note.state) for note in notes],
    )


def is_as_noted(sink: Sink, key: str, note: Note | None, digest: str) -> bool:
    """Say whether a file is known to hold the bytes with this digest, without reading it.

    Only the digest decides; where the state differs, or there is no note, it is to be read.
    """
    return (
        note is not None
        and note.digest == digest
        and note.state != ""
        and note.state == sink.state(key)
    )
