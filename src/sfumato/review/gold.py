"""Gold questions: pictures of the queue whose truth is known, shown with wrong boxes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from sfumato.database import Connection, Database, Row
from sfumato.review import quality
from sfumato.review.choice import Desk, Pick
from sfumato.review.records import Mark
from sfumato.review.store import count, marks_from, written


def add(database: Database, truths: Mapping[str, tuple[Mark, ...]]) -> int:
    """Make pictures of the queue gold questions, or change their truth; return how many."""
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
        row = db.execute("SELECT COUNT(*) FROM review_gold").fetchone()
        db.execute(
            "UPDATE review_campaign SET value = ? WHERE name = 'gold'", (str(row[0] if row else 0),)
        )
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


def spoilt(desk: Desk, pick: Pick) -> list[Mark]:
    """Return the wrong boxes that a person is shown, always the same, as proposals look."""
    truth = marks_from(pick.truth or "[]")
    digest = hashlib.sha256(f"{desk.person} {pick.id}".encode()).digest()
    wrong = quality.spoil(truth, pick.width, pick.height, int.from_bytes(digest[:4]))
    return [_as_found(mark, f"p{i}", digest[4 + i % 28]) for i, mark in enumerate(wrong)]


def _as_found(mark: Mark, name: str, grain: int) -> Mark:
    """Return a box with digits as a detector's have: single precision, no round scores."""
    values = np.array([*mark.box, (mark.score or 0.5) - grain * 3.7e-6], np.float32)
    x0, y0, x1, y1, score = map(float, values)
    return replace(mark, box=(x0, y0, x1, y1), proposal=name, score=score, origin="")
