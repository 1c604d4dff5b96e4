"""A stream that is read in step with a list of keys: none of either is lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sfumato.ledger.in_step import InStep
from sfumato.sources import Note


def notes(*keys: str) -> list[Note]:
    return [Note(key, str(number), "") for number, key in enumerate(keys)]


def test_each_key_gets_what_has_it_and_only_that() -> None:
    stream = notes("a", "b", "b", "d", "f")
    assert [InStep(stream).at(key) for key in "abcdefg"] == [
        *(stream[:1], stream[1:3], [], stream[3:4], [], stream[4:], []),
    ]
    known = InStep(stream)
    assert [known.at(key) for key in "bcdg"] == [stream[1:3], [], stream[3:4], []]
    assert known.at("f") == []  # it was passed over


def test_the_last_of_several_counts_and_none_is_none() -> None:
    first, second, third = notes("b", "b", "c")
    known = InStep([first, second, third])
    assert [known.last(key) for key in "abcd"] == [None, second, third, None]
    assert InStep[Note]([]).last("a") is None


def test_what_comes_later_is_not_read_yet() -> None:
    def stream() -> Iterator[Note]:
        yield from notes("a", "b")
        pytest.fail("read ahead")

    assert InStep(stream()).at("a") == notes("a")
