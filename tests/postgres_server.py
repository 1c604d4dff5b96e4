"""A real PostgreSQL for tests, from Debian's package `postgresql`, in a temporary folder.

It listens on a Unix socket and on 127.0.0.1, there with a password; commits wait for the disk as
they do in use. Its order of text is not that of bytes, so that whoever relies on that must say so.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

USER, PASSWORD = "sfumato", "pa55 w/ord"
_QUOTED = "pa55%20w%2Ford"
_OPTIONS = {"fsync": "on", "synchronous_commit": "on", "max_connections": "200"}


@dataclass
class Server:
    """A running server; `create` makes an empty database and returns its URL."""

    binaries: Path
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def url(self, database: str, *, local: bool = False) -> str:
        """Return the URL of a database, over TCP with a password or by the Unix socket."""
        if local:
            return f"postgresql:///{database}?host={self.folder}&port={self.port}&user={USER}"
        return f"postgresql://{USER}:{_QUOTED}@127.0.0.1:{self.port}/{database}"

    def create(self) -> str:
        """Make an empty database; return its URL with the password."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as db:
            db.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def drop(self, url: str) -> None:
        """Remove a database, whoever is still connected."""
        name = url.rpartition("/")[2]
        with psycopg.connect(self.url("postgres"), autocommit=True) as db:
            db.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = {"listen_addresses": "127.0.0.1", "port": str(self.port), **_OPTIONS}
        options["unix_socket_directories"] = str(self.folder)
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        program = str(self.binaries / "postgres")
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*_as_user(), program, "-D", str(self.folder / "data"), *words],
                stdout=log,
                stderr=log,
                cwd="/",
            )
        until = time.monotonic() + 60
        while time.monotonic() < until and self.process.poll() is None:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=5).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        log_text = (self.folder / "log").read_text(errors="replace")
        raise AssertionError(f"PostgreSQL doesn't start:\n{log_text[-2000:]}")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it; SIGQUIT is a crash: nothing is tidied up."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=60)
            self.process = None


def _as_user() -> list[str]:
    """Return the words that run a program as a user that PostgreSQL accepts, until we are gone."""
    words = ["setpriv", "--pdeathsig", "INT"]
    if os.geteuid() == 0:
        words += ["--reuid", "postgres", "--regid", "postgres", "--init-groups"]
    return [*words, "--"]


def _binaries() -> Path:
    found = sorted(
        (path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")),
        key=lambda path: float(path.parent.name),
    )
    if not found:
        pytest.skip("no PostgreSQL: install the Debian package postgresql")
    return found[-1]


@contextmanager
def running() -> Iterator[Server]:
    """Make a server in a temporary folder, run it, and remove all of it at the end."""
    binaries = _binaries()
    folder = Path(tempfile.mkdtemp(prefix="sfumato-pg-", dir="/tmp"))  # a socket's path is short
    try:
        password = folder / "password"
        password.write_text(PASSWORD)
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            for path in (folder, password):
                os.chown(path, user.pw_uid, user.pw_gid)
        made = subprocess.run(
            [
                *_as_user(),
                *(str(binaries / "initdb"), "-D", str(folder / "data"), "-U", USER),
                *("--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={password}"),
                *("--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"),
                *("--locale-provider=icu", "--icu-locale=en-US"),
            ],
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
        )
        assert made.returncode == 0, made.stderr
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = Server(binaries, folder, port)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
