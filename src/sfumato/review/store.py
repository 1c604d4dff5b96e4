"""The tables of review, in the ledger's own database; and what can go wrong with them.

    review_items        images in the queue; `open` slots are neither lent nor answered
    review_assignments  one row for each (image, person): lent, answered, lapsed or given back
    review_answers      what people said; append-only
    review_gold         known truths
    review_people       reviewers: secrets (SHA-256), counters, how far they have come
    review_strata       where the random sample was drawn from
    review_views        who saw which unobfuscated image; append-only
    review_campaign     name and value: fingerprint, counters

`docs/review-queue.md` says how the order and the leases work.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final

from sfumato.errors import LedgerError, SfumatoError
from sfumato.ledger import schema
from sfumato.ledger.database import Connection, Database, Dialect, Where, connect, unusable
from sfumato.ledger.records import understood
from sfumato.review.vocabulary import MOST_MARKS, Mark

LAYOUT: Final = 1

# States of an assignment.
LENT: Final = 0
ANSWERED: Final = 1
LAPSED: Final = 2  # the lease ran out and its slot went back; the draft stays
GIVEN_BACK: Final = 3

# Which order an item is served in.
WORK: Final = 0
ADJUDICATION: Final = 1
GOLD: Final = 2  # served by the schedule of gold questions only; takes no slot


class ReviewError(SfumatoError):
    """A reviewer asks for what can't be done; the message is for that person's eyes."""


class UnknownLease(ReviewError):
    """No such lease, or it is another person's."""


class Expired(ReviewError):
    """The lease ran out and somebody else has the image; the draft is kept."""


class Conflict(ReviewError):
    """The image is answered already, and differently."""


class NotAllowed(ReviewError):
    """This person may not do this: not invited, revoked, or of another role."""


class BadMarks(ReviewError):
    """Boxes that can't be stored: not finite, inverted, outside, or too many."""


_TABLES: Final = """
CREATE TABLE IF NOT EXISTS review_campaign (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS review_items (
    id {serial},
    key {key} NOT NULL,
    round SMALLINT NOT NULL,
    queue SMALLINT NOT NULL,
    digest TEXT NOT NULL, width BIGINT NOT NULL, height BIGINT NOT NULL, label TEXT NOT NULL,
    proposals TEXT NOT NULL,
    rank BIGINT NOT NULL,
    reason TEXT NOT NULL,
    replicas BIGINT NOT NULL,
    stratum TEXT NOT NULL,
    whole SMALLINT NOT NULL,
    gallery SMALLINT NOT NULL,
    origin BIGINT,
    open BIGINT NOT NULL,
    returned SMALLINT NOT NULL DEFAULT 0,
    UNIQUE (key, round)
);
CREATE INDEX IF NOT EXISTS review_items_open ON review_items (rank, id)
    WHERE open > 0 AND queue = 0;
-- Not `queue = 0`: a planner would take it where the smaller one above is right.
CREATE INDEX IF NOT EXISTS review_items_ranked ON review_items (rank, id) WHERE queue + 0 = 0;
CREATE INDEX IF NOT EXISTS review_items_gallery ON review_items (rank, id)
    WHERE open > 0 AND gallery = 1;
CREATE INDEX IF NOT EXISTS review_items_adjudication ON review_items (rank, id)
    WHERE open > 0 AND queue = 1;
CREATE INDEX IF NOT EXISTS review_items_returned ON review_items (rank, id) WHERE returned > 0;
CREATE TABLE IF NOT EXISTS review_people (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    secret TEXT NOT NULL UNIQUE,
    invited DOUBLE PRECISION NOT NULL,
    expires DOUBLE PRECISION NOT NULL,
    revoked DOUBLE PRECISION,
    served BIGINT NOT NULL DEFAULT 0,
    answered BIGINT NOT NULL DEFAULT 0,
    slots BIGINT NOT NULL DEFAULT 0,
    gold BIGINT NOT NULL DEFAULT 0,
    passed BIGINT NOT NULL DEFAULT 0,
    seconds DOUBLE PRECISION NOT NULL DEFAULT 0,
    work_rank BIGINT, work_item BIGINT, work_wrapped BIGINT, work_epoch BIGINT,
    gallery_rank BIGINT, gallery_item BIGINT, gallery_wrapped BIGINT, gallery_epoch BIGINT,
    gold_rank BIGINT, gold_item BIGINT, gold_wrapped BIGINT, gold_epoch BIGINT
);
CREATE TABLE IF NOT EXISTS review_assignments (
    id {serial},
    token TEXT NOT NULL UNIQUE,
    item BIGINT NOT NULL,
    person TEXT NOT NULL,
    state SMALLINT NOT NULL,
    gold SMALLINT NOT NULL,
    tutorial SMALLINT NOT NULL,
    gallery SMALLINT NOT NULL,
    whole SMALLINT NOT NULL,
    lent DOUBLE PRECISION NOT NULL,
    expires DOUBLE PRECISION NOT NULL,
    shown TEXT,
    version BIGINT NOT NULL DEFAULT 0,
    draft TEXT,
    UNIQUE (item, person)
);
CREATE INDEX IF NOT EXISTS review_assignments_due ON review_assignments (expires)
    WHERE state = 0;
CREATE INDEX IF NOT EXISTS review_assignments_held ON review_assignments (person, id)
    WHERE state = 0;
CREATE INDEX IF NOT EXISTS review_assignments_left ON review_assignments (person, state, id)
    WHERE state > 1;
CREATE TABLE IF NOT EXISTS review_answers (
    assignment BIGINT PRIMARY KEY,
    item BIGINT NOT NULL,
    person TEXT NOT NULL,
    verdict TEXT NOT NULL,
    marks TEXT NOT NULL,
    scope TEXT NOT NULL,
    seconds DOUBLE PRECISION NOT NULL,
    score DOUBLE PRECISION,
    passed SMALLINT,
    answered DOUBLE PRECISION NOT NULL,
    UNIQUE (item, person)
);
CREATE TABLE IF NOT EXISTS review_gold (
    item BIGINT PRIMARY KEY, truth TEXT NOT NULL, place BIGINT NOT NULL, tutorial SMALLINT NOT NULL
);
CREATE INDEX IF NOT EXISTS review_gold_places ON review_gold (place, item);
CREATE INDEX IF NOT EXISTS review_gold_tutorial ON review_gold (place, item) WHERE tutorial = 1;
CREATE TABLE IF NOT EXISTS review_strata (name TEXT PRIMARY KEY, population BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS review_views (
    id {serial},
    seen DOUBLE PRECISION NOT NULL,
    person TEXT NOT NULL,
    key TEXT NOT NULL,
    what TEXT NOT NULL
);
INSERT INTO review_campaign (name, value) VALUES ('layout', '1'), ('fingerprint', ''),
    ('slots', '0'), ('items', '0'), ('gold', '0'), ('epoch', '0') ON CONFLICT (name) DO NOTHING;
"""

# What may not be there yet when a row is added. A row's number, if none is given, is -1 until then.
_NEW: Final = {
    "review_answers": "assignment = NEW.assignment OR rowid = NEW.rowid "
    "OR (item = NEW.item AND person = NEW.person)",
    "review_views": "id = NEW.id",
}
_APPEND_ONLY: Final[dict[Dialect, str]] = {
    "sqlite": "".join(
        f"CREATE TRIGGER IF NOT EXISTS {table}_{word} {event} ON {table} {when} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END;\n"
        for table, there in _NEW.items()
        for word, event, when in (
            ("stay", "BEFORE UPDATE", ""),
            ("remain", "BEFORE DELETE", ""),
            # INSERT OR REPLACE removes what it replaces without asking those two.
            ("new", "BEFORE INSERT", f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {there})"),  # noqa: S608
            ("numbered", "AFTER INSERT", "WHEN NEW.rowid NOT BETWEEN 1 AND 9007199254740991"),
        )
    ),
    "postgresql": """
CREATE OR REPLACE FUNCTION review_refuse() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN RAISE EXCEPTION USING MESSAGE = TG_TABLE_NAME || '' is append-only''; END';
"""
    + "".join(
        f"CREATE OR REPLACE TRIGGER {table}_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION review_refuse();\n"
        for table in ("review_answers", "review_views")
    ),
}


def open(where: Where) -> Database:  # noqa: A001 (`store.open` says what it does)
    """Open a ledger's database for review, and make the tables that are missing.

    Raises:
        LedgerError: it can't be opened, isn't a ledger, or was written by a newer sfumato.
        UsageError: the URL can't be read, or `sfumato[postgres]` is missing.
    """
    database = connect(where)
    try:
        schema.migrate(database)
        prepare(database)
    except database.errors as error:
        database.close()
        raise unusable(where, error) from error
    except LedgerError:
        database.close()
        raise
    return database


def prepare(database: Database) -> None:
    """Make the tables of review in an open ledger's database, where they are missing.

    Raises:
        LedgerError: it was written by a newer sfumato.
    """
    database.script(_TABLES + _APPEND_ONLY[database.dialect])
    with understood("the layout of a review"):
        layout = int(campaign(database, "layout"))
    if layout > LAYOUT:
        raise LedgerError(
            f"{database.name} was written by a newer sfumato (review layout {layout}, this one "
            f"knows {LAYOUT}): update sfumato."
        )


def campaign(database: Database, name: str, default: str = "") -> str:
    """Return a value that belongs to the campaign, e.g. "fingerprint" (of the detection)."""
    rows = database.rows("SELECT value FROM review_campaign WHERE name = ?", (name,))
    return str(rows[0][0]) if rows else default


def note(database: Database, name: str, value: str) -> None:
    """Set a value of the campaign. The queue's own: layout, slots, items, gold, epoch."""
    with database.transaction() as db:
        put(db, name, value)


def put(db: Connection, name: str, value: str) -> None:
    """Set a value of the campaign in a transaction."""
    db.execute(
        "INSERT INTO review_campaign (name, value) VALUES (?, ?) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )


def count(db: Connection, name: str, more: int) -> None:
    """Add to a counter of the campaign."""
    if more:
        db.execute(
            "UPDATE review_campaign SET value = CAST(CAST(value AS BIGINT) + ? AS TEXT) "
            "WHERE name = ?",
            (more, name),
        )


def written(marks: Iterable[Mark]) -> str:
    """Return marks as JSON, every float exact."""
    rows = [
        [*map(float, mark.box), mark.kind, mark.proposal, mark.score, mark.origin] for mark in marks
    ]
    return json.dumps(rows, separators=(",", ":"))


def marks_from(text: str) -> tuple[Mark, ...]:
    """Return the marks that `written` wrote."""
    with understood("boxes of a review"):
        return tuple(
            Mark((x0, y0, x1, y1), kind, proposal, score, origin)
            for x0, y0, x1, y1, kind, proposal, score, origin in json.loads(text)
        )


def check(marks: Sequence[Mark], width: int, height: int) -> None:
    """Refuse boxes that can't be stored.

    Raises:
        BadMarks: too many, not finite, inverted, without area, or outside the image.
    """
    if len(marks) > MOST_MARKS:
        raise BadMarks(f"{len(marks)} boxes are more than the {MOST_MARKS} that an image may have.")
    for mark in marks:
        x0, y0, x1, y1 = mark.box
        # NaN fails every comparison.
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise BadMarks(f"A box must lie in the image ({width} x {height} pixels).")
        if mark.score is not None and not 0 <= mark.score <= 1:
            raise BadMarks("A score must lie between 0 and 1.")
