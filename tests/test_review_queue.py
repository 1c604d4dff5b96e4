from __future__ import annotations

from pathlib import Path

import pytest

from sfumato.database import Database, SQLite
from sfumato.review import people, store
from sfumato.review.queue import Queue
from sfumato.review.records import Answer, Person
from tests.contract.review_queue import QueueContract, item, truth


class TestOnSQLite(QueueContract):
    @pytest.fixture
    def where(self, tmp_path: Path) -> str:
        return str(tmp_path / "ledger.sqlite")

    @pytest.mark.slow
    def test_a_killed_server_loses_and_doubles_nothing(
        self, where: str, database: Database
    ) -> None:
        self.survives_kills(where, database, 12)

    def test_no_statement_reads_a_table_from_end_to_end(
        self, database: Database, queue: Queue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With 1.5 million pictures, whatever scans takes a second."""
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
                # Along one of our partial indexes, in its order, isn't end to end.
                assert (
                    not step.startswith("SCAN")
                    or "USING INDEX" in step
                    or "review_people" in (statement)
                ), (step, statement)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return store.open(tmp_path / "ledger.sqlite")


def test_a_newer_layout_is_refused(tmp_path: Path, database: Database) -> None:
    store.note(database, "layout", "2")
    database.close()
    with pytest.raises(store.LedgerError, match="newer sfumato"):
        store.open(tmp_path / "ledger.sqlite")


@pytest.mark.parametrize(
    ("name", "role", "days"), [(" ", "reviewer", 1), ("ann", "boss", 1), ("ann", "reviewer", 0)]
)
def test_an_invitation_must_make_sense(
    database: Database, name: str, role: people.Role, days: float
) -> None:
    with pytest.raises(people.UsageError):
        people.invite(database, name, role, days=days)
    assert people.people(database) == []


def test_people_are_found_by_name_and_pseudonym(database: Database) -> None:
    ann = people.recognise(database, people.invite(database, "ann", "reviewer"))
    assert ann is not None
    assert people.find(database, "ann") == people.find(database, ann.id) == ann
    assert people.find(database, "ben") is None
    assert isinstance(ann, Person)
