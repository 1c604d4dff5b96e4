"""Gold questions: images of the queue whose truth is known, shown with wrong boxes.

`likeness` makes the boxes, so that nothing tells a gold question from another image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from sfumato.ledger.database import Connection, Database, Row
from sfumato.review.choice import Desk, Pick
from sfumato.review.likeness import Pool, wrong
from sfumato.review.store import count, marks_from, put, written
from sfumato.review.vocabulary import Mark


def add(database: Database, truths: Mapping[str, tuple[Mark, ...]]) -> int:
    """Make images of the queue gold questions, or change their truth; return how many."""
    done = 0
    with database.transaction() as db:
        for key, truth in truths.items():
            row = db.execute(
                "SELECT id, open, reason FROM review_items WHERE key = ? AND round = 0 {lock}",
                (key,),
            ).fetchone()
            if row is not None:
                _make(db, key, row, written(truth))
                done += 1
        row = db.execute(
            "SELECT COUNT(*), COUNT(CASE WHEN truth = '[]' THEN 1 END) FROM review_gold"
        ).fetchone()
        for name, number in zip(("gold", "gold_empty"), row or (0, 0), strict=True):
            put(db, name, str(number))
    return done


def _make(db: Connection, key: str, row: Row, truth: str) -> None:
    item, opened, reason = row
    # A place that has nothing to do with the name or the rank: nobody can guess the order.
    place = int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[:7])
    db.execute(
        "INSERT INTO review_gold (item, truth, place, tutorial) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (item) DO UPDATE SET truth = excluded.truth",
        (item, truth, place, int(reason == "tutorial")),
    )
    db.execute(
        "UPDATE review_items SET queue = 2, open = 0, returned = 0, gallery = 0 WHERE id = ?",
        (item,),
    )
    count(db, "slots", -opened)


def shown(desk: Desk, pick: Pick, pool: Pool) -> str:
    """Return the boxes that a person would be shown if this were a gold question, as JSON.

    Of any image: it takes as long whether it is one or not. Always the same for a person.
    """
    truth = marks_from(pick.truth or pick.proposals)
    seed = hashlib.sha256(f"{desk.person} {pick.id}".encode()).digest()
    return written(wrong(truth, (pick.width, pick.height), pool, desk.empty, seed))
