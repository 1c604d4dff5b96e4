"""The PostgreSQL that the tests start: it keeps commits through a crash, and is gone at the end."""

from __future__ import annotations

import signal

import psycopg
import pytest

from tests import postgres_server
from tests.postgres_server import Server

pytestmark = pytest.mark.postgres


def test_each_test_has_an_empty_database(postgres_server: Server, postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as db:
        tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        assert db.execute(tables).fetchone() == (0,)
        # An order of text that isn't that of bytes: else nobody would notice a forgotten COLLATE.
        assert db.execute("SELECT 'a' < 'B', 'a' COLLATE \"C\" < 'B'").fetchone() == (True, False)
        assert db.execute("SHOW fsync").fetchone() == ("on",)
    name = postgres_url.rpartition("/")[2]
    psycopg.connect(postgres_server.url(name, local=True)).close()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(postgres_url.replace("pa55", "other"))


def test_a_crash_keeps_what_was_committed_and_the_end_leaves_nothing() -> None:
    with postgres_server.running() as server:
        url = server.create()
        with psycopg.connect(url) as db:
            db.execute("CREATE TABLE kept (n int)")
        server.stop(signal.SIGQUIT)
        server.start()
        with psycopg.connect(url) as db:
            assert db.execute("SELECT count(*) FROM kept").fetchone() == (0,)
        process, folder = server.process, server.folder
    assert process is not None
    assert process.returncode == 0
    assert not folder.exists()
