"""Fixtures that every test may use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.postgres_server import Server

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real labelled pictures that lie beside a checkout where people develop; not in a clone."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no labelled pictures at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """A running PostgreSQL of our own; skipped where it isn't installed."""
    from tests.postgres_server import running  # most tests need no client of it

    with running() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: Server) -> Iterator[str]:
    """The URL of an empty database, with user and password; it is gone after the test."""
    url = postgres_server.create()
    yield url
    postgres_server.drop(url)
