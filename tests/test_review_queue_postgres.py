from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from sfumato.ledger.database import Database
from tests.contract.review_queue import QueueContract
from tests.postgres_server import Server
from tests.review_states import QueueStates

pytestmark = pytest.mark.postgres


class TestOnPostgreSQL(QueueContract):
    @pytest.fixture
    def where(self, postgres_url: str) -> str:
        return postgres_url

    def test_a_killed_server_loses_and_doubles_nothing(
        self, where: str, database: Database
    ) -> None:
        self.survives_kills(where, database, 12)


def test_any_order_of_anything(postgres_server: Server) -> None:
    class OnPostgreSQL(QueueStates):
        def where(self) -> str:
            self.url = postgres_server.create()
            return self.url

        def teardown(self) -> None:
            try:
                super().teardown()
            finally:
                postgres_server.drop(self.url)

    run_state_machine_as_test(
        OnPostgreSQL, settings=settings(max_examples=6, stateful_step_count=25, deadline=None)
    )
