"""Which images a person gets next. No query scans: each follows an index from where it stands.

Images are served in the order of `rank`. Each person has a place in that order and goes
onward from it, past images that others hold; at the end they begin again, once. Images whose
lease ran out behind everybody's place come first, from an index of their own.

All of this happens inside the transaction of `Queue.lease`, which holds the person's row: two
requests of one person never choose at once, and what two persons choose is locked row by row.
Joins are spelt CROSS JOIN because SQLite then keeps to their order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple, TypeAlias

from sfumato.ledger.database import Connection, Row
from sfumato.review import quality
from sfumato.review.likeness import FEWEST, POOL, Donor, Pool
from sfumato.review.store import GIVEN_BACK, LAPSED, NotAllowed, marks_from

Course: TypeAlias = Literal["work", "gallery", "gold"]

_COLUMNS: Final = "i.id, i.rank, i.key, i.digest, i.width, i.height, i.proposals, i.whole, i.queue"
# A scalar subquery, so that PostgreSQL looks each one up and never hashes all of a person's work.
_UNSEEN: Final = (
    "(SELECT 1 FROM review_assignments AS a WHERE a.item = i.id AND a.person = ?) IS NULL"
)
_OF: Final[dict[Course, str]] = {
    "work": "i.open > 0 AND i.queue = 0",
    "gallery": "i.open > 0 AND i.gallery = 1",
}
_COURSES: Final[tuple[Course, ...]] = ("work", "gallery", "gold")
_START: Final = (-(2**62), 0)
_PLACES: Final = [
    f"{course}_{part}" for course in _COURSES for part in ("rank", "item", "wrapped", "epoch")
]
_LOCK: Final = (
    f"SELECT role, served, gold, {', '.join(_PLACES)} FROM review_people "  # noqa: S608
    "WHERE id = ? AND revoked IS NULL {lock}"
)
# What there is at all, in one question: most of it is rare, and need not be asked for one by one.
_SITUATION: Final = """
SELECT (SELECT value FROM review_campaign WHERE name = 'epoch'),
    (SELECT value FROM review_campaign WHERE name = 'gold'),
    (SELECT value FROM review_campaign WHERE name = 'gold_empty'),
    (SELECT COUNT(*) FROM review_assignments
        WHERE person = ? AND state = 0 AND gallery = ? AND expires > ?),
    EXISTS (SELECT 1 FROM review_assignments WHERE state = 0 AND expires <= ?),
    EXISTS (SELECT 1 FROM review_assignments WHERE person = ? AND state > 1),
    EXISTS (SELECT 1 FROM review_items WHERE returned > 0),
    EXISTS (SELECT 1 FROM review_items WHERE open > 0 AND queue = 1)
"""
# Whether others would have taken the slot of a gold question that was lent and not answered, if it
# had one: they were lent enough since. Else whatever always comes back would be gold.
GONE: Final = (
    "(SELECT COUNT(*) FROM (SELECT 1 FROM review_assignments AS o "
    "WHERE o.id > a.id AND o.person <> a.person AND o.lent >= a.expires LIMIT 32) AS since) "
    "> (SELECT a.id % r.replicas FROM review_items AS r WHERE r.id = a.item)"
)
_LEAVE: Final = f"UPDATE review_people SET served = ?, {' = ?, '.join(_PLACES)} = ? WHERE id = ?"  # noqa: S608


class Place(NamedTuple):
    """How far a person has come: behind (rank, item) of the order.

    `wrapped`: images served when they last looked from the beginning and found nothing.
    `epoch`: the campaign's when they were last here.
    """

    rank: int
    item: int
    wrapped: int = -1
    epoch: int = -1


@dataclass(slots=True)
class Desk:
    """A person as the choice sees them, and the campaign; `places` move as images are chosen."""

    person: str
    adjudicates: bool
    served: int
    now: float
    places: dict[Course, Place]
    epoch: int = 0  # grows when images are added
    gold: int = 0  # how many gold questions there are that the person hasn't answered
    empty: float = 0.0  # the share of gold questions without a face
    tutorial: int = 0  # how many gold questions come first
    held: int = 0
    due: bool = False  # leases have run out
    left: bool = False  # the person left something without an answer
    returned: bool = False
    disputes: bool = False


def sit_down(db: Connection, person: str, now: float, *, gallery: bool, tutorial: int) -> Desk:
    """Lock a person's row, and look what there is to do.

    Raises:
        NotAllowed: nobody of this id is invited.
    """
    row = db.execute(_LOCK, (person,)).fetchone()
    if row is None:
        raise NotAllowed("Nobody is invited under this link: ask whoever sent it for a new one.")
    role, served, answered, *places = row
    desk = Desk(person, role != "reviewer", served, now, {}, tutorial=tutorial)
    for number, course in enumerate(_COURSES):
        rank, item, wrapped, epoch = places[4 * number : 4 * number + 4]
        if rank is not None:
            desk.places[course] = Place(rank, item, wrapped, epoch)
        elif course == "gold":  # each person's order begins elsewhere
            desk.places[course] = Place(int(chance(person, -1) * 2**56), 0)
        else:
            desk.places[course] = Place(*_START)
    # A statement of its own: it sees what whoever held the lock has done.
    found = db.execute(_SITUATION, (person, int(gallery), now, now, person)).fetchone()
    assert found is not None
    epoch, gold, empty, desk.held, desk.due, desk.left, desk.returned, desk.disputes = found
    desk.epoch, desk.gold = int(epoch), int(gold) - answered
    desk.empty = int(empty or 0) / max(int(gold), 1)
    return desk


def leave(db: Connection, desk: Desk) -> None:
    """Store how far the person has come."""
    values = [value for course in _COURSES for value in desk.places[course]]
    db.execute(_LEAVE, (desk.served, *values, desk.person))


@dataclass(frozen=True, slots=True)
class Pick:
    """An item to lend; `again` is the person's own earlier assignment of it, 0 if there is none."""

    id: int
    rank: int
    key: str
    digest: str
    width: int
    height: int
    proposals: str
    whole: bool
    queue: int
    again: int = 0
    truth: str | None = None
    tutorial: bool = False


def choose(db: Connection, desk: Desk, count: int, *, gallery: bool) -> list[Pick]:
    """Return up to `count` items for this person, locked until the transaction ends."""
    picks = _own(db, desk, LAPSED, count, gallery=gallery) if desk.left else []
    if desk.disputes and desk.adjudicates and not gallery:
        picks += _adjudications(db, desk, count - len(picks))
    golden = [] if gallery else _gold_due(db, desk, count - len(picks))
    picks += golden
    course: Course = "gallery" if gallery else "work"
    if desk.returned:
        picks += _returned(db, desk, course, count - len(picks))
    taken = {pick.id for pick in picks}
    picks += _onward(db, desk, course, count - len(picks), taken, spare=len(golden))
    if not picks and desk.left:
        picks = _own(db, desk, GIVEN_BACK, count, gallery=gallery)
    # Gold questions come where the draw put them, not in front; and where there is none this time,
    # the order tells that no more than another would.
    apart = desk.gold > 0 and not gallery
    return sorted(picks, key=lambda pick: _shade(desk, pick.key)) if apart else picks


def _items(db: Connection, where: str, values: Sequence[object], count: int) -> list[Pick]:
    """Return the first items, in the order of rank, that these words of SQL fit, and lock them."""
    if count <= 0:
        return []
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM review_items AS i WHERE {where} "  # noqa: S608
        "ORDER BY i.rank, i.id LIMIT ? {skip_locked}",
        (*values, count),
    ).fetchall()
    return [_pick(row) for row in rows]


def _own(db: Connection, desk: Desk, state: int, count: int, *, gallery: bool) -> list[Pick]:
    """Return what the person had before and hasn't answered; drafts are kept."""
    if count <= 0:
        return []
    rows = db.execute(
        f"SELECT {_COLUMNS}, a.id, a.gold, a.tutorial FROM review_assignments AS a "  # noqa: S608
        "CROSS JOIN review_items AS i WHERE i.id = a.item "
        f"AND a.person = ? AND a.state > 1 AND a.state = ? AND ((a.gold = 1 AND NOT ({GONE})) "
        "OR i.open > 0) AND (i.gallery = 1 OR ? = 0) ORDER BY a.id LIMIT ? {skip_locked}",
        (desk.person, state, int(gallery), count),
    ).fetchall()
    return [
        replace(_pick(row), again=row[9], truth="" if row[10] else None, tutorial=bool(row[11]))
        for row in rows
    ]


def _adjudications(db: Connection, desk: Desk, count: int) -> list[Pick]:
    """Return disputed images: those that the person hasn't answered; others if nobody else is."""
    answered = (
        "(SELECT 1 FROM review_assignments AS b "
        "WHERE b.item = i.origin AND b.person = {who} AND b.state = 1)"
    )
    fresh = answered.format(who="?") + " IS NULL"
    alone = (
        "NOT EXISTS (SELECT 1 FROM review_people AS p WHERE p.id <> ? AND p.role <> 'reviewer' "  # noqa: S608
        f"AND p.revoked IS NULL AND p.expires > ? AND {answered.format(who='p.id')} IS NULL)"
    )
    unseen = f"i.open > 0 AND i.queue = 1 AND {_UNSEEN} AND "
    who = (desk.person, desk.person)
    found = _items(db, unseen + fresh, who, count)
    return found or _items(db, unseen + alone, (*who, desk.now), count)


def pool(db: Connection, desk: Desk) -> Pool:
    """Return the images whose boxes a gold question may borrow: those around the person's place.

    As many before it as behind it, since the order is one of risk; at the beginning, few.
    """
    place = desk.places["work"]
    start = (place.rank, place.item) if place.epoch == desk.epoch else _START
    # `queue + 0` names the index.
    columns = (
        "SELECT i.width, i.height, i.proposals FROM review_items AS i WHERE i.queue + 0 = 0 AND "
    )
    before = db.execute(
        columns + "(i.rank, i.id) <= (?, ?) ORDER BY i.rank DESC, i.id DESC LIMIT ?",
        (*start, POOL),
    ).fetchall()
    after = db.execute(
        columns + "(i.rank, i.id) > (?, ?) ORDER BY i.rank, i.id LIMIT ?",
        (*start, max(FEWEST, len(before))),
    ).fetchall()
    return Pool(Donor(w, h, marks_from(marks)) for w, h, marks in (*before, *after))


def _gold_due(db: Connection, desk: Desk, count: int) -> list[Pick]:
    """Return the gold questions among the person's next images: the same ones at every try."""
    picks: list[Pick] = []
    for number in range(desk.served, desk.served + (count if desk.gold > 0 else 0)):
        tutorial = number < desk.tutorial
        share = quality.gold_share(max(number, 3))  # the first three are the tutorial's
        place = desk.places["gold"]
        found = _gold(db, desk, tutorial=tutorial)  # also where none is due: it takes its time
        if not tutorial and chance(desk.person, number) >= share:
            desk.places["gold"] = place
        else:
            # Once all have been seen, the order begins again where this request began; and the
            # tutorial's may be found a second time, as no tutorial.
            taken = {pick.id for pick in picks}
            picks += [pick for pick in found if pick.id not in taken]
    return picks


def chance(person: str, number: int) -> float:
    """Return what decides on a person's image of this number: uniform in [0, 1), always same."""
    digest = hashlib.sha256(f"{person} {number}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def _gold(db: Connection, desk: Desk, *, tutorial: bool) -> list[Pick]:
    """Return the next gold question in this person's order, which begins where chance says."""
    place = desk.places["gold"]
    for only in (" AND g.tutorial = 1", "") if tutorial else ("",):
        query = (
            "SELECT g.item, g.place, g.truth FROM review_gold AS g "  # noqa: S608
            f"WHERE (g.place, g.item) > (?, ?){only} AND (SELECT 1 FROM review_assignments AS a "
            "WHERE a.item = g.item AND a.person = ?) IS NULL ORDER BY g.place, g.item LIMIT 1"
        )
        for start in ((place.rank, place.item), _START):
            found = db.execute(query, (*start, desk.person)).fetchone()
            if found is not None:
                desk.places["gold"] = Place(found[1], found[0])
                row = db.execute(
                    f"SELECT {_COLUMNS} FROM review_items AS i WHERE i.id = ?",  # noqa: S608
                    (found[0],),
                ).fetchone()
                assert row is not None
                return [replace(_pick(row), truth=found[2], tutorial=tutorial)]
    return []


def _returned(db: Connection, desk: Desk, course: Course, count: int) -> list[Pick]:
    """Return images whose slot came back: they may lie behind everybody's place."""
    where = f"i.returned > 0 AND {_OF[course]} AND {_UNSEEN}"
    return _items(db, where, (desk.person,), count)


def _onward(
    db: Connection, desk: Desk, course: Course, count: int, taken: set[int], *, spare: int = 0
) -> list[Pick]:
    """Return the next images from the person's place on, and move it; `spare` more are read."""
    if count + spare <= 0:
        return []
    place = desk.places[course]
    start = (place.rank, place.item) if place.epoch == desk.epoch else _START
    wrapped = place.wrapped
    room = count + spare + len(taken)
    picks = [pick for pick in _after(db, desk, course, start, room) if pick.id not in taken]
    if not picks and start != _START and wrapped != desk.served:
        found = _after(db, desk, course, _START, room)
        picks = [pick for pick in found if pick.id not in taken]
        if not found and not _any(db, desk, course):
            wrapped = desk.served  # until they have done more, they needn't look again
    picks = picks[:count]
    end = (picks[-1].rank, picks[-1].id) if picks else start
    desk.places[course] = Place(*end, wrapped, desk.epoch)
    return picks


def _after(
    db: Connection, desk: Desk, course: Course, start: tuple[int, int], count: int
) -> list[Pick]:
    where = f"{_OF[course]} AND (i.rank, i.id) > (?, ?) AND {_UNSEEN}"
    return _items(db, where, (*start, desk.person), count)


def _any(db: Connection, desk: Desk, course: Course) -> bool:
    """Say whether there is an image for this person that others only hold locked right now."""
    row = db.execute(
        f"SELECT 1 FROM review_items AS i WHERE {_OF[course]} AND {_UNSEEN} "  # noqa: S608
        "ORDER BY i.rank, i.id LIMIT 1",
        (desk.person,),
    ).fetchone()
    return row is not None


def _pick(row: Row) -> Pick:
    number, rank, key, digest, width, height, proposals, whole, queue = row[:9]
    return Pick(number, rank, key, digest, width, height, proposals, bool(whole), queue)


def _shade(desk: Desk, key: str) -> bytes:
    return hashlib.sha256(f"{desk.person} {key}".encode("utf-8", "surrogatepass")).digest()
