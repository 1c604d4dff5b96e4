"""What was learnt changes what is urgent: the queue is put in a new order.

Classes in which people found misses come first from then on. Images that are lent or answered
stay as they are; everybody begins at the front again, past what they have seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from sfumato.ledger.database import Database
from sfumato.review.remainder import Checked
from sfumato.review.sampling import Draw
from sfumato.review.store import count
from sfumato.review.vocabulary import Item

_BATCH: Final = 20_000
_LOAD: Final = "CREATE TEMP TABLE review_ranks (key {key} PRIMARY KEY, rank BIGINT NOT NULL)"
# `queue` 0: neither gold nor disputed.
_MOVE: Final = (
    "UPDATE review_items SET rank = review_ranks.rank FROM review_ranks "
    "WHERE review_items.key = review_ranks.key AND round = 0 AND queue = 0 AND open > 0"
)
# An image of the sample must be seen whole, whatever it was queued for first.
_WHOLE: Final = (
    "UPDATE review_items SET stratum = ?, reason = 'sample', whole = 1, gallery = 0 "
    "WHERE key = ? AND round = 0 AND queue = 0 AND (whole = 0 OR stratum <> ?)"
)
_AGAIN: Final = (
    "UPDATE review_items SET open = 1, replicas = replicas + 1 WHERE key = ? AND round = 0 "
    "AND queue = 0 AND open = 0 AND "
    "(SELECT COUNT(*) FROM review_answers AS b WHERE b.item = review_items.id) = replicas AND "
    "NOT EXISTS (SELECT 1 FROM review_answers AS b "
    "WHERE b.item = review_items.id AND b.scope = 'whole')"
)
_RESTART: Final = "UPDATE review_people SET work_rank = NULL, gallery_rank = NULL"


def misses(checked: Iterable[Checked]) -> dict[str, tuple[int, int]]:
    """Return for each class how many of its images were checked, and in how many faces missed."""
    seen: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    for one in checked:
        label = one.found.label
        seen[label] += 1
        missed[label] += one.missed > 0
    return {label: (images, missed[label]) for label, images in seen.items()}


def reorder(database: Database, items: Iterable[Item]) -> int:
    """Give the images that wait the ranks of these items; return how many wait."""
    moved = 0
    source: Iterator[Item] = iter(items)
    while batch := list(islice(source, _BATCH)):
        with database.transaction() as db:
            db.execute(_LOAD)
            db.load("review_ranks", "key rank", ((item.key, item.rank) for item in batch))
            moved += db.execute(_MOVE).rowcount
            db.execute("DROP TABLE review_ranks")
    with database.transaction() as db:
        db.execute(_RESTART)
        count(db, "epoch", 1)
    return moved


def see_whole(database: Database, drawn: Draw) -> int:
    """Have the sample seen whole; return how many images go to one more person for that.

    Those are images that were queued before they were drawn, and of which everybody saw crops.
    """
    again = 0
    with database.transaction() as db:
        for key, (stratum, _) in sorted(drawn.order().items()):
            db.execute(_WHOLE, (stratum, key, stratum))
            again += db.execute(_AGAIN, (key,)).rowcount
        count(db, "slots", again)
    return again
