from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sfumato.errors import UsageError
from sfumato.ledger.database import Database
from sfumato.review import store
from sfumato.review.joining import open_door, promise, promised
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
    assert promised(database, ADA) is None
    promise(database, ADA, "ADA", 5)
    promise(database, BEN, "BEN", 2)
    ada, ben = promised(database, ADA), promised(database, BEN)
    assert ada is not None
    assert ben is not None
    assert [ada.earned(done(*each)) for each in ((4, 1), (5, 1), (4, 0))] == [None, "ADA", "ADA"]
    assert [ben.earned(done(*each)) for each in ((1, 1), (2, 1))] == [None, "BEN"]
    assert ben.earned(done(0, 0)) is None  # who has answered nothing has earned nothing


@pytest.mark.parametrize(("code", "quota"), [("", 1), (" ", 1), ("x" * 201, 1), ("x", 0)])
def test_a_promise_that_cannot_be_kept_is_refused(
    database: Database, code: str, quota: int
) -> None:
    with pytest.raises(UsageError):
        open_door(database, "prolific", code=code, quota=quota, days=2)
