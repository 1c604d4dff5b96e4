"""Images that go to another annotation tool, and what its annotators said of them.

Each annotator of a file becomes a person of the campaign, under a pseudonym like everybody else,
and each image that one worked on an answer. A box that came back as it went out keeps its
detector; one that was moved keeps its proposal.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from sfumato.annotations.annotations import Annotated
from sfumato.annotations.name_match import pair
from sfumato.boxes import as_boxes, clip, iou, misplaced
from sfumato.errors import UsageError
from sfumato.ledger.database import Connection, Database
from sfumato.review import answers, people
from sfumato.review.quality import GOLD_IOU
from sfumato.review.store import ANSWERED, LENT, Conflict, count, marks_from
from sfumato.review.vocabulary import MOST_MARKS, Answer, Mark, Person
from sfumato.types import Detection

_EVERYTHING: Final = 1 << 40
_SAME: Final = 0.999
_ROUNDED: Final = 0.011  # pixels: tools round to 0.01, which is much of a small box
_MOVED: Final = 0.45


@dataclass(slots=True)
class Taken:
    """What became of a file: how many answers are new, and what wasn't taken, by name."""

    answers: int = 0
    again: int = 0
    people: set[str] = field(default_factory=set)
    unknown: list[str] = field(default_factory=list)
    conflicting: list[str] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)


def outgoing(database: Database, first: int | None = None) -> Iterator[Detection]:
    """Yield the images that still want answers, the most urgent first, with their proposals."""
    rows = database.read(
        "SELECT key, digest, width, height, proposals FROM review_items "
        "WHERE open > 0 AND queue = 0 ORDER BY rank, id LIMIT ?",
        (_EVERYTHING if first is None else first,),
    )
    for key, digest, width, height, proposals in rows:
        faces = tuple(
            mark.face(mark.origin, 1.0 if mark.score is None else mark.score)
            for mark in marks_from(proposals)
        )
        yield Detection(key, digest, width, height, faces)


def incoming(database: Database, annotated: Iterable[Annotated], tool: str) -> Taken:
    """Store what annotators left, each answer once; an image that is no item is named.

    Raises:
        UsageError: no name of the file is an image of the campaign.
    """
    sheets = list(annotated)
    keys = [key for (key,) in database.read("SELECT key FROM review_items WHERE round = 0")]
    pairing = pair({sheet.name for sheet in sheets}, keys)
    of_name = {name: key for key, name in pairing.names.items()}
    if sheets and not of_name:
        raise UsageError(
            f"No image of the review has a name such as {sheets[0].name!r}: is this its file?"
        )
    taken = Taken()
    for sheet in sheets:
        if sheet.name not in of_name:
            taken.unknown.append(sheet.name)
        elif sheet.problem:
            taken.problems.append((sheet.name, sheet.problem))
        else:
            person = people.enlist(database, f"{tool}:{sheet.annotator or 'file'}")
            taken.people.add(person.id)
            _take(database, of_name[sheet.name], sheet, person, taken)
    return taken


def _take(database: Database, key: str, sheet: Annotated, person: Person, taken: Taken) -> None:
    now = time.time()
    with database.transaction() as db:
        row = db.execute(
            "SELECT width, height FROM review_items WHERE key = ? AND round = 0", (key,)
        ).fetchone()
        assert row is not None
        reason = _fault(sheet, (row[0], row[1]))
        if reason:  # before anything is lent for it
            taken.problems.append((sheet.name, reason))
            return
        work = _assigned(db, key, person, now)
        answer = _answer(sheet, marks_from(work.shown), (work.width, work.height))
        if work.state == ANSWERED:
            try:
                answers.repeated(db, work, answer)
            except Conflict:
                taken.conflicting.append(sheet.name)
            else:
                taken.again += 1
        else:
            if work.state != LENT and not answers.take_slot(db, work):
                count(db, "slots", 1)  # one more than was wanted: nobody's work is thrown away
            answers.store(db, work, answer, iou=GOLD_IOU, now=now)
            taken.answers += 1


def _fault(sheet: Annotated, size: tuple[int, int]) -> str:
    """Say what is wrong with the boxes of an image of this size; "" if nothing is."""
    if sheet.size is not None and sheet.size != size:
        wide, high = sheet.size
        return f"{wide}×{high} pixels, but the image has {size[0]}×{size[1]}"
    if len(sheet.faces) > MOST_MARKS:
        return f"{len(sheet.faces)} boxes are more than {MOST_MARKS}"
    return next(filter(None, (misplaced(face.box, *size) for face in sheet.faces)), "")


def _assigned(db: Connection, key: str, person: Person, now: float) -> answers.Work:
    """Return the person's assignment of an image, made now if there is none."""
    row = db.execute(
        "SELECT a.token FROM review_assignments AS a JOIN review_items AS i ON i.id = a.item "
        "WHERE i.key = ? AND i.round = 0 AND a.person = ?",
        (key, person.id),
    ).fetchone()
    if row is not None:
        return answers.find(db, row[0], person.id)
    token = secrets.token_urlsafe(24)
    db.execute(
        "INSERT INTO review_assignments (token, item, person, state, gold, tutorial, gallery, "
        "whole, lent, expires, shown) SELECT ?, id, ?, ?, CASE WHEN queue = 2 THEN 1 ELSE 0 END, "
        "0, 0, 1, ?, ?, NULL FROM review_items WHERE key = ? AND round = 0",
        (token, person.id, LENT, now, now, key),
    )
    work = answers.find(db, token, person.id)
    if not answers.take_slot(db, work):
        count(db, "slots", 1)
    return work


def _answer(sheet: Annotated, shown: Sequence[Mark], size: tuple[int, int]) -> Answer:
    """Return the answer that boxes without a fault are."""
    cut = [(clip(face.box, *size), face.kind) for face in sheet.faces]
    traced = _traced([Mark(box, kind) for box, kind in cut if box is not None], shown)
    same = sorted(mark.proposal for mark in traced) == sorted(mark.proposal for mark in shown)
    unchanged = same and all(any(mark == one for one in shown) for mark in traced)
    return Answer("accept" if unchanged else "correct", tuple(traced), sheet.seconds)


def _traced(marks: Sequence[Mark], shown: Sequence[Mark]) -> list[Mark]:
    """Tell which proposal each box was made from: best overlaps first, each proposal once."""
    overlap = iou(*(as_boxes([mark.box for mark in some]) for some in (marks, shown)))
    traced = list(marks)
    while overlap.size and overlap.max() > _MOVED:
        row, column = (int(i) for i in np.unravel_index(overlap.argmax(), overlap.shape))
        mark, proposed = marks[row], shown[column]
        sides = zip(mark.box, proposed.box, strict=True)
        near = max(abs(one - other) for one, other in sides) <= _ROUNDED
        same = (near or overlap[row, column] >= _SAME) and mark.kind == proposed.kind
        traced[row] = proposed if same else replace(mark, proposal=proposed.proposal)
        overlap[row, :] = overlap[:, column] = 0
    return traced
