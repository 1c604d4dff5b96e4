"""What follows from people's answers: decisions, and disputes for adjudicators.

Decisions are new records of the ledger; raw detections and every person's boxes stay beside them.
An image in dispute gets a provisional decision, in which every box in doubt is covered, and goes
to an adjudicator. An image that only few people looked at waits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sfumato.ledger.ledger import Ledger
from sfumato.review.merging import decide
from sfumato.review.queue import Queue
from sfumato.review.store import marks_from
from sfumato.review.vocabulary import MOST_MARKS, Given, Item, Mark
from sfumato.types import Decision, Detection


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge has done: how many decisions hold, how many of them are new, what waits."""

    decided: int
    written: int
    disputed: int
    waiting: int


def merge(
    queue: Queue,
    given: Sequence[Given],
    ledger: Ledger,
    fingerprint: str,
    adjudicators: Iterable[str],
) -> Merged:
    """Decide every image that enough people answered, and send disputes to adjudicators.

    `given` are all answers of the queue.
    """
    needed = queue.replicas()
    complete = _complete(given, needed)
    decisions = list(decide(complete, adjudicators=frozenset(adjudicators)))
    disputes = [one for one in decisions if one.basis == "provisional"]
    waiting = len({one.key for one in given}) - len(decisions)
    decisions += _unasked_gold(ledger, {one.key for one in decisions})
    decisions = _with_unshown(decisions, complete, ledger, fingerprint)
    queue.fill(_for_adjudicators(disputes, ledger, fingerprint))
    known = ledger.latest_among(fingerprint, ("decision",), (one.key for one in decisions))
    before = {was.key: _unscored(was) for was in known if isinstance(was, Decision)}
    fresh = [(fingerprint, one) for one in decisions if before.get(one.key) != _unscored(one)]
    ledger.commit(fresh)
    return Merged(len(decisions) - len(disputes), len(fresh), len(disputes), waiting)


def _unasked_gold(ledger: Ledger, decided: Container[str]) -> list[Decision]:
    """Decide gold images that nobody was asked about yet: their faces are known all the same."""
    rows = ledger.database.read(
        "SELECT i.key, i.digest, g.truth FROM review_gold AS g JOIN review_items AS i "
        "ON i.id = g.item ORDER BY i.key"
    )
    return [
        Decision(
            key,
            digest,
            tuple(mark.face("human:gold", 1.0) for mark in marks_from(truth)),
            "adjudicated",
        )
        for key, digest, truth in rows
        if key not in decided
    ]


def _unscored(decision: Decision) -> Decision:
    """Return what a decision comes to: without probabilities, which every answer anywhere moves.

    Else each merge would decide all images anew, and each release make them anew.
    """
    faces = sorted(decision.faces, key=lambda face: (face.box, face.kind))
    return replace(decision, faces=tuple(replace(face, score=1.0) for face in faces))


def _with_unshown(
    decisions: Sequence[Decision], given: Iterable[Given], ledger: Ledger, fingerprint: str
) -> list[Decision]:
    """Add the faces that were found beyond the most that people are shown: they stay faces."""
    full = {one.key for one in given if len(one.proposals) >= MOST_MARKS}
    unshown = {
        found.key: found.faces[MOST_MARKS:]
        for found in ledger.latest_among(fingerprint, ("detection",), full)
        if isinstance(found, Detection)
    }
    return [replace(one, faces=(*one.faces, *unshown.get(one.key, ()))) for one in decisions]


def _complete(given: Sequence[Given], needed: Mapping[str, int]) -> list[Given]:
    """Return the answers to images that as many people answered as should."""
    people: defaultdict[str, set[str]] = defaultdict(set)
    for one in given:
        people[one.key].add(one.person)
    return [
        one
        for one in given
        if one.gold is not None or len(people[one.key]) >= needed.get(one.key, 1)
    ]


def _for_adjudicators(
    disputes: Iterable[Decision], ledger: Ledger, fingerprint: str
) -> Iterable[Item]:
    of_key = {dispute.key: dispute for dispute in disputes}
    for rank, found in enumerate(ledger.latest_among(fingerprint, ("detection",), of_key)):
        if isinstance(found, Detection):
            dispute = of_key[found.key]
            yield Item(
                key=dispute.key,
                digest=dispute.digest,
                width=found.width,
                height=found.height,
                label="",
                proposals=tuple(map(Mark.of, dispute.faces)),
                rank=rank,
                reason="adjudication",
                replicas=1,
            )
