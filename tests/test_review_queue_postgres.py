from __future__ import annotations

import pytest

from sfumato.database import Database
from tests.contract.review_queue import QueueContract

pytestmark = pytest.mark.postgres


class TestOnPostgreSQL(QueueContract):
    @pytest.fixture
    def where(self, postgres_url: str) -> str:
        return postgres_url

    def test_a_killed_server_loses_and_doubles_nothing(
        self, where: str, database: Database
    ) -> None:
        self.survives_kills(where, database, 12)
