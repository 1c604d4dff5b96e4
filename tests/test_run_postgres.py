"""The whole way with the ledger on PostgreSQL: the same release, and nothing of the password."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from sfumato.ledger.database import named
from sfumato.sources.private import private_folder
from tests import dataset
from tests.command import Done, sfumato
from tests.dataset import Dataset, files_of
from tests.postgres_server import Server

pytestmark = pytest.mark.postgres

ROOT = Path(__file__).resolve().parents[1]
SECRETS = (b"pa55", b"w/ord", b"w%2Ford")


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return dataset.make(tmp_path)


def words(data: Dataset, out: Path, *more: str) -> list[str]:
    watcher = [word for spec in dataset.WATCHER for word in ("--verify-detector", spec)]
    return ["run", str(data.source), str(out), "--boxes", str(data.boxes), *watcher, *more]


def process(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", "from sfumato.cli import main; main()", *command],
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def assert_discreet(data: Dataset, done: Done, url: str) -> None:
    """Look for the password in what was printed, and in every file and every row."""
    with psycopg.connect(url) as db:
        rows = [
            str(row)
            for table in ("runs", "records", "listing", "shards", "given")
            for row in db.execute(f"SELECT * FROM {table}".encode()).fetchall()
        ]
    said = [done.out.encode(), done.err.encode(), *(row.encode() for row in rows)]
    for text in (*said, *files_of(data.root).values()):
        assert not any(secret in text for secret in SECRETS)


def test_a_run_gives_the_release_that_it_gives_with_sqlite(
    data: Dataset, postgres_url: str
) -> None:
    whole = data.root / "whole"
    assert sfumato(*words(data, whole)).code == 0
    run = words(data, data.out, "--ledger", postgres_url)
    assert sfumato(*run, "--dry-run").out.startswith("18 images, 0 done, 18 left")
    done = sfumato(*run)
    assert done.code == 0, done.err
    assert files_of(data.out) == files_of(whole)
    assert f"originals: {private_folder(data.out)}/report.html" in done.err
    assert set(files_of(private_folder(data.out))) == {"lock", "report.html"}
    assert_discreet(data, done, postgres_url)
    known = sfumato(*run[:-2], "--dry-run", env={"SFUMATO_RUN_LEDGER": postgres_url})
    assert known.out.startswith("18 images, 18 done, 0 left")


def test_every_verb_takes_the_url(data: Dataset, postgres_url: str) -> None:
    whole = data.root / "whole"
    assert sfumato(*words(data, whole)).code == 0
    source, out, ledger = str(data.source), str(data.out), ("--ledger", postgres_url)
    done = sfumato("detect", source, "--boxes", str(data.boxes), *ledger)
    assert done.out.startswith("18 images: 9 faces in 9"), done.err
    for command in (
        ("obfuscate", source, out, *ledger),
        ("verify", source, out, "--verify-detector", *dataset.WATCHER, *ledger),
        ("report", out, *ledger),
    ):
        done = sfumato(*command)
        assert done.code == 0, (command, done.err)
        assert_discreet(data, done, postgres_url)
    same = [key for key in data.keys if (whole / key).read_bytes() == (data.out / key).read_bytes()]
    assert same == list(data.keys)
    faces = sfumato("faces", "export", out, "--format", "csv", *ledger)
    assert faces.code == 0, faces.err
    assert all(key in faces.out for key in data.with_face)


def test_faces_found_into_a_server_cover_a_release_with_a_file(
    data: Dataset, postgres_url: str
) -> None:
    found = ("detect", str(data.source), "--boxes", str(data.boxes), "--ledger", postgres_url)
    assert sfumato(*found).code == 0
    done = sfumato("obfuscate", str(data.source), str(data.out), "--detections", postgres_url)
    assert done.code == 0, done.err
    assert (private_folder(data.out) / "ledger.sqlite").exists()
    assert sfumato("verify", str(data.source), str(data.out)).code == 0


@pytest.mark.timeout(400)  # it starts many runs, one after another
def test_killed_at_any_moment_the_same_command_finishes_the_same_work(
    tmp_path: Path, postgres_server: Server
) -> None:
    data = dataset.make(tmp_path, count=4)
    whole = data.root / "whole"
    assert sfumato(*words(data, whole)).code == 0
    chance = random.Random(5)
    for number in range(3):
        out, url = data.root / f"killed-{number}", postgres_server.create()
        run = words(data, out, "--ledger", url, "-q", "-j", "1")
        killed = process(*run)
        time.sleep(chance.uniform(0.5, 3))
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        again = process(*run)
        _, said = again.communicate()
        assert again.returncode == 0, said
        assert files_of(out) == files_of(whole)
        with psycopg.connect(url) as db:
            rows = db.execute(
                "SELECT key, count(*) FROM records WHERE kind = 'output' GROUP BY key"
            ).fetchall()
        assert sorted(rows) == [(key, 1) for key in sorted(data.keys)]


def test_wrong_urls_are_refused_in_a_sentence_without_the_password(
    data: Dataset, postgres_url: str
) -> None:
    for url, words_said in (
        (postgres_url.rpartition("/")[0] + "/missing", "does not exist"),
        (postgres_url.replace("@127", "@@127"), "can't be read"),
        ("mysql://anna:pa55@host/db", "write postgresql://HOST/NAME"),
    ):
        done = sfumato(*words(data, data.out, "--ledger", url))
        assert done.code == 2
        assert words_said in done.err
        assert not any(secret in done.err.encode() for secret in SECRETS)
    assert not data.out.exists()
    done = sfumato("verify", str(data.source), str(data.out), "--ledger", postgres_url)
    assert done.code == 2
    assert f"{named(postgres_url)} knows of no release" in done.err
