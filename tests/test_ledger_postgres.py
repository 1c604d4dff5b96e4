"""The ledger on a real PostgreSQL: what every ledger must do, and what a server can do to it."""

from __future__ import annotations

import signal
import threading
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from sfumato.errors import LedgerError, OutputError, UsageError
from sfumato.ledger.adoption import adopt
from sfumato.ledger.database import PostgreSQL
from sfumato.ledger.ledger import Ledger
from tests import postgres_server
from tests.contract.ledger import RECORDS, LedgerContract, detections
from tests.postgres_server import PASSWORD, Server

pytestmark = pytest.mark.postgres


class TestPostgreSQL(LedgerContract):
    @pytest.fixture
    def where(self, postgres_url: str) -> str:
        return postgres_url

    @pytest.fixture
    def other(self, postgres_server: Server) -> Iterator[str]:
        url = postgres_server.create()
        yield url
        postgres_server.drop(url)

    def plan(self, ledger: Ledger, sql: str, parameters: Sequence[object]) -> str:
        with ledger.database.transaction() as db:
            db.execute("ANALYZE records")
            # As it is read: by a cursor, of which the first rows are wanted soon.
            rows = db.execute(f"EXPLAIN DECLARE c CURSOR FOR {sql}", parameters).fetchall()
        return " ".join(str(row[0]) for row in rows)

    def test_nor_can_the_table_of_records_be_emptied(self, ledger: Ledger) -> None:
        with (
            pytest.raises(psycopg.Error, match="append-only"),
            ledger.database.transaction() as db,
        ):
            db.execute("TRUNCATE records")

    def test_records_of_a_file_are_adopted(self, ledger: Ledger, tmp_path: Path) -> None:
        with Ledger(tmp_path / "faces.sqlite") as theirs:
            theirs.commit([("f", record) for record in RECORDS.values()])
        adopt(ledger, tmp_path / "faces.sqlite", "f")
        adopted = ("detection", "failure", "decision", "redetection", "assessment")
        for kind, record in RECORDS.items():
            mine = record if kind in adopted else None
            assert ledger.latest_of("f", [kind], record.key) == mine

    def test_one_run_at_a_time_from_any_machine(self, ledger: Ledger, where: str) -> None:
        with Ledger(where) as other:
            with ledger.alone(), pytest.raises(UsageError, match="Another sfumato"), other.alone():
                pass
            with other.alone():
                pass

    def test_a_commit_waits_for_the_disk_whatever_the_default(self, where: str) -> None:
        with psycopg.connect(where, autocommit=True) as db:
            name = where.rpartition("/")[2]
            db.execute(f"ALTER DATABASE {name} SET synchronous_commit = off".encode())
        with Ledger(where) as ledger, ledger.database.transaction() as transaction:
            assert transaction.execute("SHOW synchronous_commit").fetchone() == ("on",)

    def test_a_newer_layout_is_refused(self, where: str) -> None:
        with Ledger(where):
            pass
        with psycopg.connect(where) as db:
            db.execute("UPDATE sfumato_layout SET version = 99")
        for read_only in (False, True):
            with pytest.raises(LedgerError, match="update sfumato"):
                Ledger(where, read_only=read_only)

    def test_somebody_elses_tables_are_left_alone(self, where: str) -> None:
        with psycopg.connect(where) as db:
            db.execute("CREATE TABLE records (mine TEXT)")
        with pytest.raises(LedgerError, match="already exists"):
            Ledger(where)
        with psycopg.connect(where) as db:
            assert db.execute("SELECT count(*) FROM records").fetchone() == (0,)
            assert db.execute("SELECT to_regclass('runs')").fetchone() == (None,)

    def test_text_must_be_unicode(self, postgres_server: Server) -> None:
        with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as db:
            db.execute(
                "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' "
                "TEMPLATE template0"
            )
        url = postgres_server.url("latin")
        with pytest.raises(LedgerError, match="ENCODING 'UTF8'"):
            Ledger(url)
        postgres_server.drop(url)

    def test_no_message_shows_the_password(self, where: str, postgres_server: Server) -> None:
        quoted = where.partition("://")[2].partition("@")[0].partition(":")[2]
        secrets = (quoted, PASSWORD)
        wrong = [
            where.replace(quoted, "an0ther"),
            where.rpartition("/")[0] + "/missing",
            where.replace(f":{postgres_server.port}/", ":1/"),
            where.replace("127.0.0.1", "nowhere.invalid"),
        ]
        for url in wrong:
            with pytest.raises(LedgerError, match="can't be used as a ledger") as refused:
                Ledger(url)
            words = "".join(traceback.format_exception(refused.value))
            assert not any(secret in words for secret in (*secrets, "an0ther"))

    def test_a_pool_is_not_used_up_by_readers_inside_of_transactions(self, where: str) -> None:
        """Each of them would wait for a connection that another holds."""
        database = PostgreSQL(where)
        database.script("CREATE TABLE n (id {serial}, value BIGINT)")
        both = threading.Barrier(16)

        def count(number: int) -> object:
            with database.transaction() as db:
                both.wait()
                db.execute("INSERT INTO n (value) VALUES (?)", (number,))
                return list(database.read("SELECT value FROM n WHERE value = ?", (number,)))

        with ThreadPoolExecutor(16) as pool:
            assert list(pool.map(count, range(16))) == [[(n,)] for n in range(16)]
        database.close()


def test_a_restart_of_the_server_is_survived_and_a_crash_loses_no_commit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(PostgreSQL, "patience_s", 1.0)
    with postgres_server.running() as server:
        url = server.create()
        with Ledger(url) as ledger:
            ledger.commit(detections(*map(str, range(3000))))
            server.stop()
            server.start()
            ledger.commit(detections("y"))
            reader = ledger.latest("f", ["detection"])
            next(reader)
            server.stop(signal.SIGQUIT)
            with pytest.raises(LedgerError, match="can't be read"):
                list(reader)
            with pytest.raises(OutputError, match=r"can't be written.*run the same command"):
                ledger.commit(detections("lost"))
        server.start()
        with Ledger(url) as ledger:
            ledger.commit(detections("z"))
            assert len(list(ledger.latest("f", ["detection"]))) == 3002
