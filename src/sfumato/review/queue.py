"""The queue: images go out to people on leases, and answers come back, each exactly once.

Every call is one transaction, so a server killed at any moment has either stored an answer, with
all that follows from it, or nothing; whoever got no receipt sends it again. `choice` says who
gets what, `intake` how images get in, `docs/review-queue.md` how it all works.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sfumato.ledger.database import Connection, Database, Row
from sfumato.review import answers, gold, intake, quality
from sfumato.review.choice import Desk, Pick, choose, leave, pool, sit_down
from sfumato.review.likeness import Pool
from sfumato.review.store import (
    ADJUDICATION,
    ANSWERED,
    GIVEN_BACK,
    LAPSED,
    LENT,
    Conflict,
    Expired,
    UnknownLease,
    check,
    count,
    marks_from,
    written,
)
from sfumato.review.vocabulary import (
    Answer,
    Extent,
    Given,
    Item,
    Lease,
    Mark,
    Person,
    Progress,
)

_TOKEN_BYTES: Final = 24
_RECLAIMED: Final = 50  # leases that ran out, taken back by one request
_LEASE: Final = (
    "SELECT a.token, i.key, i.digest, i.width, i.height, a.draft, "
    "COALESCE(a.shown, i.proposals), a.expires, a.version, a.whole, i.queue, a.gallery, a.state "
    "FROM review_assignments AS a JOIN review_items AS i ON i.id = a.item "
)
_LEND: Final = (
    "INSERT INTO review_assignments (token, item, person, state, gold, tutorial, gallery, whole, "
    "lent, expires, shown) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_PROGRESS: Final = """
SELECT (SELECT value FROM review_campaign WHERE name = 'slots'),
    (SELECT value FROM review_campaign WHERE name = 'gold'),
    (SELECT value FROM review_campaign WHERE name = 'items'),
    SUM(slots), SUM(CASE WHEN id = ? THEN answered END), SUM(CASE WHEN id = ? THEN gold END)
FROM review_people
"""


@dataclass(frozen=True, slots=True)
class Rules:
    """How images are lent.

    `lease_s`: seconds until a lease that isn't renewed goes back. `hold`: the most open leases of
    a person, besides the `gallery`'s. `gold_iou`: what an answer to a gold question must reach.
    `redact`: images that needn't be seen whole are lent as crops. `tutorial`: how many gold
    questions come first, with their score shown.
    """

    lease_s: float = 900.0
    hold: int = 8
    gallery: int = 50
    gold_iou: float = quality.GOLD_IOU
    redact: bool = False
    tutorial: int = 3


class Queue:
    """The queue of one campaign, in a database that `store.open` opened. Any thread may use it."""

    def __init__(
        self,
        database: Database,
        *,
        settings: Rules = Rules(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self._db = database
        self._clock = clock

    def fill(self, items: Iterable[Item], *, strata: Mapping[str, int] | None = None) -> int:
        """Add the items that aren't there yet; return how many. Killed, it goes on when repeated.

        `strata`: how many images there are in each stratum that samples were drawn from. An
        item with the reason "adjudication" is a second item of an image that has one.
        """
        return intake.fill(self._db, items, strata or {})

    def add_gold(self, truths: Mapping[str, tuple[Mark, ...]]) -> int:
        """Make these images of the queue gold questions; return how many of them there are."""
        return gold.add(self._db, truths)

    def strata(self) -> dict[str, int]:
        """Return how many images there are in each stratum."""
        rows = self._db.rows("SELECT name, population FROM review_strata ORDER BY name")
        return dict(rows)

    def lease(self, person: Person, *, count: int = 1, gallery: bool = False) -> list[Lease]:
        """Lend up to `count` more images; none are left for this person if it gives none.

        Raises:
            NotAllowed: nobody of this id is invited.
        """
        now = self._clock()
        most = self.settings.gallery if gallery else self.settings.hold
        # A power cut may undo a lease of the last second; never one with a draft or an answer.
        with self._db.transaction(durable=False) as db:
            tutorial = self.settings.tutorial
            desk = sit_down(db, person.id, now, gallery=gallery, tutorial=tutorial)
            if desk.due:
                _reclaim(db, now)
                desk.left = desk.returned = desk.disputes = True  # perhaps
            lenders = pool(db, desk) if desk.gold > 0 and not gallery else None
            picks = choose(db, desk, min(count, most - desk.held), gallery=gallery)
            leases = self._lend(db, desk, picks, lenders, gallery=gallery)
            desk.served += sum(1 for pick in picks if not pick.again)
            leave(db, desk)
        return leases

    def _lend(
        self,
        db: Connection,
        desk: Desk,
        picks: Sequence[Pick],
        lenders: Pool | None,
        *,
        gallery: bool,
    ) -> list[Lease]:
        expires = desk.now + self.settings.lease_s
        _take(db, picks)
        leases, rows = [], []
        for pick in picks:
            golden = pick.truth is not None
            whole = not gallery and (pick.whole or golden or not self.settings.redact)
            if pick.again:
                leases.append(_again(db, pick, expires, gallery=gallery, whole=whole))
                continue
            would = gold.shown(desk, pick, lenders) if lenders is not None else None
            shown = would if golden else None  # made for every image: it takes its time
            marks = marks_from(shown or pick.proposals)
            lease = Lease(
                *(secrets.token_urlsafe(_TOKEN_BYTES), pick.key, pick.digest),
                *(pick.width, pick.height, marks),
                shown=marks,
                expires=expires,
                whole=whole,
                adjudication=pick.queue == ADJUDICATION,
                gallery=gallery,
            )
            leases.append(lease)
            rows.append(
                (
                    *(lease.token, pick.id, desk.person, LENT, int(golden), int(pick.tutorial)),
                    *(int(gallery), int(whole), desk.now, expires, shown),
                )
            )
        db.executemany(_LEND, rows)
        return leases

    def held(self, person: Person) -> list[Lease]:
        """Return what the person has on lease and hasn't answered, with the latest drafts."""
        now = self._clock()
        rows = self._db.rows(
            _LEASE + "WHERE a.person = ? AND a.state = 0 AND a.expires > ? ORDER BY a.id",
            (person.id, now),
        )
        return [_lease(row, now) for row in rows]

    def lease_of(self, token: str, person: Person) -> Lease | None:
        """Return the lease of this token, open or not; None if it never was, or isn't theirs."""
        rows = self._db.rows(_LEASE + "WHERE a.token = ? AND a.person = ?", (token, person.id))
        return _lease(rows[0], self._clock()) if rows else None

    def others(self, lease: Lease) -> list[tuple[Mark, ...]]:
        """Return what people said of a disputed image, in no order that tells who they are."""
        if not lease.adjudication:
            return []
        rows = self._db.rows(
            "SELECT b.marks FROM review_items AS i JOIN review_answers AS b ON b.item = i.origin "
            "WHERE i.key = ? AND i.round = 1 ORDER BY b.marks",
            (lease.key,),
        )
        return [marks_from(marks) for (marks,) in rows]

    def save(self, token: str, person: Person, version: int, marks: tuple[Mark, ...]) -> int:
        """Keep a draft and renew the lease; return the version that is stored now.

        A draft is stored if its version is greater than the stored one.

        Raises:
            UnknownLease: of this person there is none of that token.
            Expired: it ran out and others have the image; the draft is kept all the same.
            Conflict: the image is answered.
            BadMarks: these boxes can't be stored.
        """
        with self._db.transaction() as db:
            work = answers.find(db, token, person.id)
            if work.state == ANSWERED:
                raise Conflict("This image is answered already.")
            check(marks, work.width, work.height)
            stored = max(version, work.version)
            draft = written(marks) if version > work.version else work.draft
            held = work.state == LENT or answers.take_slot(db, work)
            _keep(
                db,
                work.assignment,
                (LENT if held else work.state, stored, draft),
                expires=self._clock() + self.settings.lease_s,
            )
        if not held:
            raise Expired("Time ran out and somebody else has this image; your draft is kept.")
        return stored

    def submit(self, token: str, person: Person, answer: Answer) -> float | None:
        """Store an answer, once; return its score, in [0, 1], after a tutorial, else None.

        The same answer again changes nothing, and gives the same.

        Raises:
            UnknownLease: of this person there is none of that token.
            Expired: it ran out and others have the image; the boxes are kept as a draft.
            Conflict: the image is answered already, differently.
            BadMarks: these boxes can't be stored.
        """
        with self._db.transaction() as db:
            work = answers.find(db, token, person.id)
            check(answer.marks, work.width, work.height)
            if work.state == ANSWERED:
                return answers.repeated(db, work, answer)
            if work.state != LENT:
                # Who waits for an image's row holds their own first: no two wait crosswise.
                db.execute("SELECT 1 FROM review_people WHERE id = ? {lock}", (person.id,))
            held = work.state == LENT or answers.take_slot(db, work)
            if held:
                score = answers.store(
                    db, work, answer, iou=self.settings.gold_iou, now=self._clock()
                )
            else:
                draft = written(answer.marks)
                _keep(db, work.assignment, (work.state, work.version + 1, draft), expires=0.0)
        if not held:
            raise Expired("Time ran out and somebody else has this image; your boxes are kept.")
        return score

    def give_back(self, token: str, person: Person) -> None:
        """End a lease without an answer; others get the image, this person only at the end.

        Raises:
            UnknownLease: of this person there is none of that token.
            Conflict: the image is answered.
        """
        with self._db.transaction() as db:
            work = answers.find(db, token, person.id)
            if work.state == ANSWERED:
                raise Conflict("This image is answered already.")
            if work.state == LENT:
                _put_back(db, (work.assignment, work.item, work.gold), GIVEN_BACK, self._clock())

    def saw(self, person: Person, token: str, what: Extent) -> None:
        """Log that the person was sent the image of this lease, or a part of it.

        Raises:
            UnknownLease: of this person there is none of that token.
        """
        with self._db.transaction() as db:
            logged = db.execute(
                "INSERT INTO review_views (seen, person, key, what) "
                "SELECT ?, a.person, i.key, ? FROM review_assignments AS a "
                "JOIN review_items AS i ON i.id = a.item WHERE a.token = ? AND a.person = ?",
                (self._clock(), what, token, person.id),
            )
        if not logged.rowcount:
            raise UnknownLease("There is no such image.")

    def given(self) -> Iterator[Given]:
        """Yield all answers by the names of images; of one image the oldest first."""
        return answers.given(self._db)

    def replicas(self) -> dict[str, int]:
        """Return how many people each answered image should go to, by key."""
        rows = self._db.read(
            "SELECT i.key, i.replicas FROM review_items AS i WHERE i.round = 0 AND EXISTS "
            "(SELECT 1 FROM review_answers AS b WHERE b.item = i.id)"
        )
        return dict(rows)

    def progress(self, person: Person | None = None) -> Progress:
        """Return how far the work is. It reads counters: no table is counted."""
        who = "" if person is None else person.id
        ((slots, golden, all_items, done, answered, own_gold),) = [
            [int(value or 0) for value in row] for row in self._db.rows(_PROGRESS, (who, who))
        ]
        left = max(0, slots - done)
        if person is None:
            return Progress(done, left, done, left)
        mine = min(left, all_items - golden - (answered - own_gold))
        # One less for each answer, gold too, but not nothing while something is left.
        shown = max(mine - own_gold, min(mine, 1))
        tutorial = golden > 0 and answered < self.settings.tutorial
        return Progress(answered, shown, done, left, tutorial=tutorial)


def _take(db: Connection, picks: Sequence[Pick]) -> None:
    """Take a slot of each item; a gold question has none, but takes its time like the others."""
    db.executemany(
        "UPDATE review_items SET open = open - ?, "
        "returned = CASE WHEN open > 1 THEN returned ELSE 0 END WHERE id = ?",
        [(int(pick.truth is None), pick.id) for pick in picks],
    )


def _lease(row: Row, now: float) -> Lease:
    token, key, digest, width, height, draft, shown, *rest = row
    expires, version, whole, queue, gallery, state = rest
    begun = marks_from(shown)
    return Lease(
        *(token, key, digest, width, height),
        *(marks_from(draft) if draft else begun, begun, expires, version),
        whole=bool(whole),
        adjudication=queue == ADJUDICATION,
        gallery=bool(gallery),
        open=state == LENT and expires > now,
    )


def _again(db: Connection, pick: Pick, expires: float, *, gallery: bool, whole: bool) -> Lease:
    """Lend what the person had before, under its token and with its draft."""
    db.execute(
        "UPDATE review_assignments SET state = ?, expires = ?, gallery = ?, whole = ? WHERE id = ?",
        (LENT, expires, int(gallery), int(whole), pick.again),
    )
    row = db.execute(_LEASE + "WHERE a.id = ?", (pick.again,)).fetchone()
    assert row is not None
    return _lease(row, expires - 1)


def _keep(
    db: Connection, assignment: int, draft: tuple[int, int, str | None], *, expires: float
) -> None:
    """Store state, version and draft of a lease."""
    db.execute(
        "UPDATE review_assignments SET state = ?, version = ?, draft = ?, expires = ? WHERE id = ?",
        (*draft, expires, assignment),
    )


def _reclaim(db: Connection, now: float) -> None:
    """Take back leases that ran out. In the order of items, so that two never wait crosswise."""
    due = db.execute(
        "SELECT id, item, gold FROM review_assignments WHERE state = 0 AND expires <= ? "
        "ORDER BY expires LIMIT ? {skip_locked}",
        (now, _RECLAIMED),
    ).fetchall()
    for row in sorted(due, key=lambda row: row[1]):
        _put_back(db, row, LAPSED, now)


def _put_back(db: Connection, assignment: Row, state: int, now: float) -> None:
    number, item, gold = assignment
    db.execute(
        "UPDATE review_assignments SET state = ?, expires = ? WHERE id = ?", (state, now, number)
    )
    if gold:
        return
    freed = db.execute(
        "UPDATE review_items SET open = open + 1, returned = 1 WHERE id = ? AND queue <> 2", (item,)
    )
    if not freed.rowcount:
        count(db, "slots", -1)  # it became a gold question meanwhile
