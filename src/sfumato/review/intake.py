"""How images get into the queue: in batches, and again without harm."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Final

from sfumato.ledger.database import Database
from sfumato.review.store import ADJUDICATION, GOLD, WORK, count, written
from sfumato.review.vocabulary import Item, Mark

_BATCH: Final = 20_000  # items in a transaction
_COLUMNS: Final = (
    "key round queue digest width height label proposals rank reason replicas stratum whole "
    "gallery open"
)
_NAMES: Final = ", ".join(_COLUMNS.split())
_QUEUES: Final = {"adjudication": ADJUDICATION, "gold": GOLD, "tutorial": GOLD}
_LOAD: Final = """
CREATE TEMP TABLE review_load (
    key {key} NOT NULL, round SMALLINT, queue SMALLINT, digest TEXT, width BIGINT,
    height BIGINT, label TEXT, proposals TEXT, rank BIGINT, reason TEXT,
    replicas BIGINT, stratum TEXT, whole SMALLINT, gallery SMALLINT, open BIGINT
)
"""
# Only our own names are put in.
# An adjudication is a second item of the same image; `origin` is the first.
_MOVE: Final = f"""
INSERT INTO review_items ({_NAMES}, origin)
SELECT {_NAMES}, CASE WHEN round = 1 THEN (
    SELECT first.id FROM review_items AS first WHERE first.key = review_load.key
    AND first.round = 0) END
FROM review_load WHERE true
ON CONFLICT (key, round) DO NOTHING RETURNING open
"""  # noqa: S608


def fill(database: Database, items: Iterable[Item], strata: Mapping[str, int]) -> int:
    """Add the items that aren't there yet; return how many. What was added before stays as it is.

    Each batch is a transaction: killed in the middle and called again, it goes on.
    """
    added = 0
    source = iter(items)
    while batch := list(islice(source, _BATCH)):
        with database.transaction() as db:
            db.execute(_LOAD)
            db.load("review_load", _COLUMNS, map(_row, batch))
            opened = [row[0] for row in db.execute(_MOVE).fetchall()]
            db.execute("DROP TABLE review_load")
            count(db, "items", len(opened))
            count(db, "slots", sum(opened))
            count(db, "epoch", 1 if opened else 0)
        added += len(opened)
    with database.transaction() as db:
        for name, population in strata.items():
            db.execute(
                "INSERT INTO review_strata (name, population) VALUES (?, ?) "
                "ON CONFLICT (name) DO UPDATE SET population = excluded.population",
                (name, population),
            )
    if added >= _BATCH:
        database.script("ANALYZE review_items;")  # a planner that knows the size takes the index
    return added


def show_to(database: Database, replicas: int) -> int:
    """Have each image go to so many people at least; return how many more answers that makes."""
    with database.transaction() as db:
        found = db.execute(
            "SELECT COALESCE(SUM(? - replicas), 0) FROM review_items "
            "WHERE round = 0 AND queue = 0 AND replicas < ?",
            (replicas, replicas),
        ).fetchone()
        more = int(found[0]) if found else 0
        db.execute(
            "UPDATE review_items SET open = open + ? - replicas, replicas = ? "
            "WHERE round = 0 AND queue = 0 AND replicas < ?",
            (replicas, replicas, replicas),
        )
        count(db, "slots", more)
        count(db, "epoch", 1 if more else 0)
    return more


def _row(item: Item) -> tuple[object, ...]:
    queue = _QUEUES.get(item.reason, WORK)
    return (
        item.key,
        int(queue == ADJUDICATION),
        queue,
        item.digest,
        item.width,
        item.height,
        item.label,
        written(named(item.proposals)),
        item.rank,
        item.reason,
        item.replicas,
        item.stratum,
        int(item.whole),
        int(queue == WORK and not item.whole and bool(item.proposals)),
        0 if queue == GOLD else item.replicas,
    )


def named(marks: Iterable[Mark]) -> Iterator[Mark]:
    """Give each proposal its id, "p0" and so on, where it has none."""
    for number, mark in enumerate(marks):
        yield mark if mark.proposal else replace(mark, proposal=f"p{number}")
