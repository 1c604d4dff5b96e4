from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from sfumato.errors import LedgerError, UsageError
from sfumato.ledger.database import Database, SQLite
from sfumato.review import people, store
from sfumato.review.queue import Queue
from sfumato.review.vocabulary import Answer, Person, Role
from tests.contract.review_queue import QueueContract, item, truth
from tests.review_states import QueueStates

SHARED = Path("/dev/shm")


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory, where there is one: these tests ask nothing of the disk."""
    with tempfile.TemporaryDirectory(dir=SHARED if SHARED.is_dir() else None) as folder:
        yield Path(folder)


class TestOnSQLite(QueueContract):
    @pytest.fixture
    def where(self, memory: Path) -> str:
        return str(memory / "ledger.sqlite")

    @pytest.mark.parametrize(
        "statement",
        [
            (
                "INSERT OR REPLACE INTO review_answers SELECT assignment, item, person, 'accept', "
                "marks, scope, seconds, score, passed, answered FROM review_answers"
            ),
            (
                "REPLACE INTO review_answers SELECT assignment + 1, item, person, 'accept', marks, "
                "scope, seconds, score, passed, answered FROM review_answers"
            ),
            (
                "REPLACE INTO review_answers (rowid, assignment, item, person, verdict, marks, "
                "scope, seconds, answered) SELECT rowid, 99, 99, '', 'accept', '[]', '', 0, 0 "
                "FROM review_answers"
            ),
            (
                "INSERT INTO review_answers SELECT * FROM review_answers WHERE true "
                "ON CONFLICT DO UPDATE SET verdict = 'accept'"
            ),
            "UPDATE OR REPLACE review_answers SET verdict = 'accept'",
            "REPLACE INTO review_views SELECT id, seen, 'nobody', key, what FROM review_views",
            "INSERT INTO review_views VALUES (-5, 0, 'nobody', '', '')",
        ],
    )
    def test_answers_and_views_are_not_replaced(
        self, queue: Queue, database: Database, statement: str
    ) -> None:
        self.test_answers_and_views_stay(queue, database, statement)

    @pytest.mark.slow
    def test_a_killed_server_loses_and_doubles_nothing(
        self, where: str, database: Database
    ) -> None:
        self.survives_kills(where, database, 12)

    @pytest.mark.slow
    def test_no_statement_reads_a_table_from_end_to_end(
        self, database: Database, queue: Queue
    ) -> None:
        """With 1.5 million images, whatever scans takes a second."""
        queue.fill([item(i, replicas=2, whole=i % 2 == 0) for i in range(40)])
        queue.add_gold(truth(*range(30, 40)))
        queue.fill([item(1, reason="adjudication")])
        ann = self.person(database, "ann", "manager")
        statements: set[str] = set()
        assert isinstance(database, SQLite)
        database._writer.set_trace_callback(statements.add)
        for gallery in (False, True, False):
            for lease in queue.lease(ann, count=6, gallery=gallery):
                queue.save(lease.token, ann, 1, lease.marks)
                queue.submit(lease.token, ann, Answer("accept", lease.marks))
        for lease in queue.lease(ann, count=3):
            queue.give_back(lease.token, ann)
        while queue.lease(ann, count=8):
            for lease in queue.held(ann):
                queue.submit(lease.token, ann, Answer("accept", lease.marks))
        database._writer.set_trace_callback(None)
        asked = [text for text in statements if text.startswith(("SELECT", "UPDATE"))]
        assert len(asked) > 20
        for statement in asked:
            plan = database.rows(f"EXPLAIN QUERY PLAN {statement}")
            for *_, step in plan:
                assert not step.startswith("SCAN") or step in _SHORT, (step, statement)


# Of an index in its order: disputes and what is back in the queue (few), people, and, once at a
# person's end of the queue, whether anything is left.  Since: at most 32 rows.
_INDEXES = ("returned", "adjudication", "open", "gallery")
_SHORT = {"SCAN p", "SCAN since"} | {
    f"SCAN i USING INDEX review_items_{which}" for which in _INDEXES
}


@pytest.fixture
def database(memory: Path) -> Iterator[Database]:
    database = store.open(memory / "ledger.sqlite")
    yield database
    database.close()


def test_a_newer_layout_is_refused(memory: Path, database: Database) -> None:
    store.note(database, "layout", "2")
    database.close()
    with pytest.raises(LedgerError, match="newer sfumato"):
        store.open(memory / "ledger.sqlite")


@pytest.mark.parametrize(
    ("name", "role", "days"), [(" ", "reviewer", 1), ("ann", "boss", 1), ("ann", "reviewer", 0)]
)
def test_an_invitation_must_make_sense(
    database: Database, name: str, role: Role, days: float
) -> None:
    with pytest.raises(UsageError):
        people.invite(database, name, role, days=days)
    assert people.people(database) == []


def test_people_are_found_by_name_and_pseudonym(database: Database) -> None:
    ann = people.recognise(database, people.invite(database, "ann", "reviewer"))
    assert ann is not None
    assert people.find(database, "ann") == people.find(database, ann.id) == ann
    assert people.find(database, "ben") is None
    assert isinstance(ann, Person)


class OnSQLite(QueueStates):
    def where(self) -> str:
        self.folder = tempfile.TemporaryDirectory(dir=SHARED if SHARED.is_dir() else None)
        return str(Path(self.folder.name) / "ledger.sqlite")

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


@pytest.mark.slow
def test_any_order_of_anything() -> None:
    run_state_machine_as_test(
        OnSQLite, settings=settings(max_examples=60, stateful_step_count=40, deadline=None)
    )
