"""How an answer is stored: once, with what follows from it, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from sfumato.ledger.database import Connection, Database
from sfumato.review import quality
from sfumato.review.choice import GONE
from sfumato.review.store import (
    ADJUDICATION,
    ANSWERED,
    GOLD,
    Conflict,
    UnknownLease,
    marks_from,
    written,
)
from sfumato.review.vocabulary import Answer, Given, Mark

# The lock is inside: the image's own row stays free.
_FIND: Final = """
SELECT a.id, a.token, a.person, a.state, a.gold, a.tutorial, a.whole, a.version, a.draft,
    COALESCE(a.shown, i.proposals), i.id, i.key, i.digest, i.width, i.height
FROM (SELECT * FROM review_assignments WHERE token = ? AND person = ? {lock}) AS a
CROSS JOIN review_items AS i WHERE i.id = a.item
"""


@dataclass(frozen=True, slots=True)
class Work:
    """An assignment, locked until the transaction ends, and its image; flags are 0 or 1."""

    assignment: int
    token: str
    person: str
    state: int
    gold: int
    tutorial: int
    whole: int
    version: int
    draft: str | None
    shown: str
    item: int
    key: str
    digest: str
    width: int
    height: int


def find(db: Connection, token: str, person: str) -> Work:
    """Return a person's assignment and lock it.

    Raises:
        UnknownLease: of this person there is none of that token.
    """
    row = db.execute(_FIND, (token, person)).fetchone()
    if row is None:
        raise UnknownLease("There is no such image.")
    return Work(*row)


def take_slot(db: Connection, work: Work) -> bool:
    """Take a free slot for a lease that ran out; False if others have them all."""
    if work.gold:  # it has no slot: what would have become of one decides
        gone = db.execute(
            f"SELECT 1 FROM review_assignments AS a WHERE a.id = ? AND {GONE}",  # noqa: S608
            (work.assignment,),
        )
        return gone.fetchone() is None
    taken = db.execute(
        "UPDATE review_items SET open = open - 1, "
        "returned = CASE WHEN open > 1 THEN returned ELSE 0 END WHERE id = ? AND open > 0",
        (work.item,),
    )
    return bool(taken.rowcount)


def store(db: Connection, work: Work, answer: Answer, *, iou: float, now: float) -> float | None:
    """Store an answer and the person's counters; return the score if this was a tutorial."""
    answer = _settled(work, answer)
    # Of every answer, used of those to gold questions: it takes as long for each.
    row = db.execute("SELECT truth FROM review_gold WHERE item = ?", (work.item,)).fetchone()
    truth = marks_from(row[0] if row else "[]" if work.gold else work.shown)
    score: float | None = quality.union_iou(answer.marks, truth)
    passed: bool | None = quality.passes(answer.marks, truth, iou=iou)
    if not work.gold:
        score = passed = None
    db.execute(
        "INSERT INTO review_answers (assignment, item, person, verdict, marks, scope, seconds, "
        "score, passed, answered) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(work.assignment, work.item, work.person, answer.verdict, written(answer.marks)),
            *(answer.scope, answer.seconds, score, None if passed is None else int(passed), now),
        ),
    )
    db.execute(
        "UPDATE review_assignments SET state = ?, draft = NULL WHERE id = ?",
        (ANSWERED, work.assignment),
    )
    db.execute(
        "UPDATE review_people SET answered = answered + 1, slots = slots + ?, gold = gold + ?, "
        "passed = passed + ?, seconds = seconds + ? WHERE id = ?",
        (int(not work.gold), int(work.gold), int(passed or 0), answer.seconds, work.person),
    )
    return score if work.tutorial else None


def repeated(db: Connection, work: Work, answer: Answer) -> float | None:
    """Return what `store` returned if the stored answer is the same; `seconds` don't count.

    Raises:
        Conflict: it is another.
    """
    row = db.execute(
        "SELECT verdict, marks, score FROM review_answers WHERE assignment = ?", (work.assignment,)
    ).fetchone()
    assert row is not None
    if (answer.verdict, written(_settled(work, answer).marks)) != (row[0], row[1]):
        raise Conflict("This image is answered already, and differently.")
    return float(row[2]) if work.tutorial else None


def given(database: Database) -> Iterator[Given]:
    """Yield all stored answers, in the order of keys."""
    rows = database.read(
        "SELECT i.key, i.digest, b.person, b.verdict, b.marks, b.seconds, b.scope, "
        "COALESCE(a.shown, i.proposals), g.truth, i.queue FROM review_answers AS b "
        "JOIN review_items AS i ON i.id = b.item "
        "JOIN review_assignments AS a ON a.id = b.assignment "
        "LEFT JOIN review_gold AS g ON g.item = b.item AND i.queue = ? "
        "ORDER BY i.key, i.round, a.id",
        (GOLD,),
    )
    for key, digest, person, verdict, marks, seconds, scope, shown, truth, queue in rows:
        yield Given(
            key,
            digest,
            person,
            Answer(verdict, marks_from(marks), seconds, scope),
            marks_from(shown),
            None if truth is None else marks_from(truth),
            adjudication=queue == ADJUDICATION,
        )


def _settled(work: Work, answer: Answer) -> Answer:
    """Return the answer as it is stored: a box left as it was keeps its detector and score.

    What a browser says of scores and detectors doesn't count, nor that it saw more than crops.
    """
    shown = {mark.proposal: mark for mark in marks_from(work.shown)}
    return replace(
        answer,
        marks=tuple(_traced(mark, shown.get(mark.proposal)) for mark in answer.marks),
        scope=answer.scope if work.whole else "crops",
    )


def _traced(mark: Mark, proposed: Mark | None) -> Mark:
    if proposed is None:
        return Mark(mark.box, mark.kind)
    if (mark.box, mark.kind) == (proposed.box, proposed.kind):
        return proposed
    return Mark(mark.box, mark.kind, mark.proposal)
