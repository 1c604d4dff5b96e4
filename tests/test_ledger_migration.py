"""A ledger that 0.1.0 has written: read as it is, and taken on by a run."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path

import pytest

import sfumato
from sfumato.assets import demo_images
from sfumato.ledger import schema
from sfumato.ledger.ledger import Ledger
from sfumato.pipeline.settings import Settings
from sfumato.types import Detection, Output

WRITTEN = Path(__file__).parent / "ledgers" / "0.1.0.sql"
SOURCE = demo_images.root()
FOUND = "9099f04dd7b30e51993e2229df26b184501aa4b7e495f360715c5dce62a4e687"
MADE = "af2eacdb062d5134b6a15e5cecc1af1f0f11196a0ca2f6559138571ab5062db4"
CHECKED = "dab64f1f2d8b497bd80a451d5a2f4626306f51f7881af41b1cb6d378121f0888"
KEYS = ["animals/chelsea.png", "people/astronaut.png", "people/grace_hopper.jpg"]
KEYS += ["things/coffee.png"]


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "out.sfumato" / "ledger.sqlite"
    path.parent.mkdir()
    db = sqlite3.connect(path)
    db.executescript(WRITTEN.read_text().replace("{source}", str(SOURCE)))
    db.close()
    return path


@pytest.mark.parametrize("read_only", [True, False])
def test_all_that_it_holds_is_read(ledger: Path, read_only: bool) -> None:
    with Ledger(ledger, read_only=read_only) as opened:
        found = list(opened.latest(FOUND, ("detection",)))
        made = list(opened.latest(MADE, ("output",)))
        assert [one.key for one in found if isinstance(one, Detection)] == KEYS
        assert [one.label for one in found if isinstance(one, Detection)] == [
            key.partition("/")[0] for key in KEYS
        ]
        assert [len(one.faces) for one in found if isinstance(one, Detection)] == [0, 1, 1, 0]
        assert [one.action for one in made if isinstance(one, Output)] == [
            *("copied", "obfuscated", "obfuscated", "copied")
        ]
        checks = list(opened.findings(CHECKED))
        assert len(checks) == 12
        assert all(one.passed for one in checks)
        assert dict(opened.listing()) == dict.fromkeys(KEYS, "image")
        assert opened.still_there([*KEYS, "other.png"]) == set(KEYS)


def test_opened_to_write_it_has_todays_layout(ledger: Path) -> None:
    with Ledger(ledger):
        pass
    db = sqlite3.connect(ledger)
    assert db.execute("PRAGMA user_version").fetchone() == (len(schema.STEPS["sqlite"]),)
    assert set(db.execute("SELECT kind FROM listing")) == {("image",)}
    db.close()


@pytest.mark.slow
def test_a_run_goes_on_with_it_and_the_release_is_what_it_was(ledger: Path) -> None:
    """Nothing lies in OUT any more: it is made again, from the faces that 0.1.0 has found."""
    with Ledger(ledger, read_only=True) as opened:
        before = {one.key: one for one in opened.latest(MADE, ("output",))}
    out = ledger.parents[1] / "out"
    report = sfumato.run(SOURCE, out, settings=Settings(method="pixelate"), workers=1)
    assert report.verdict == "passed"
    summary = json.loads((out / "summary.json").read_text())
    assert summary["account"]["out"] == len(KEYS)
    for key, was in before.items():
        assert isinstance(was, Output)
        assert hashlib.sha256((out / key).read_bytes()).hexdigest() == was.written
