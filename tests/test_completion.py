from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sfumato.errors import UsageError
from sfumato.ledger.database import Database
from sfumato.review import store
from sfumato.review.completion import earned, promise
from sfumato.review.vocabulary import Person, Progress

ADA, BEN = Person("a", "reviewer"), Person("b", "reviewer")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = store.open(tmp_path / "ledger.sqlite")
    yield database
    database.close()


def done(answered: int, left: int) -> Progress:
    return Progress(answered, left, 0, 0)


def test_a_code_is_earned_by_the_quota_or_when_nothing_is_left(database: Database) -> None:
    assert earned(database, ADA, done(9, 0)) is None  # nothing is promised
    promise(database, "ALL", 5)
    promise(database, "BEN", 2, person=BEN.id)
    assert [earned(database, ADA, done(*each)) for each in ((4, 1), (5, 1), (4, 0))] == [
        None,
        "ALL",
        "ALL",
    ]
    assert [earned(database, BEN, done(*each)) for each in ((1, 1), (2, 1))] == [None, "BEN"]


def test_who_has_answered_nothing_has_earned_nothing(database: Database) -> None:
    promise(database, "ALL", 1)
    assert earned(database, ADA, done(0, 0)) is None


@pytest.mark.parametrize(("code", "quota"), [("", 1), (" ", 1), ("x" * 201, 1), ("x", 0)])
def test_a_promise_that_cannot_be_kept_is_refused(
    database: Database, code: str, quota: int
) -> None:
    with pytest.raises(UsageError):
        promise(database, code, quota)
