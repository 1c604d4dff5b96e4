"""Fixtures that every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real labelled pictures that lie beside a checkout where people develop; not in a clone."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no labelled pictures at {SHARED_DATA}")
    return SHARED_DATA
