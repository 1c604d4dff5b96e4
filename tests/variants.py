"""Parameters of which one of each kind runs every day; `make test TESTS=all` runs the rest."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any

import pytest


def slow_unless(values: Iterable[Any], fast: Callable[[Any], bool]) -> list[Any]:
    """Return all values in their order, marked slow where `fast` says no; tuples are rows."""
    found = []
    for value in values:
        row = value if isinstance(value, tuple) else (value,)
        found.append(value if fast(value) else pytest.param(*row, marks=pytest.mark.slow))
    return found


def one_of_each(values: Iterable[Any], kind: Callable[[Any], Hashable]) -> list[Any]:
    """Return all values in their order, those of a kind that came before marked slow."""
    seen: set[Hashable] = set()

    def first(value: Any) -> bool:
        known = len(seen)
        seen.add(kind(value))
        return len(seen) > known

    return slow_unless(values, first)


def first_word(name: str) -> str:
    """Return what comes before a blank or hyphen: of most names of files, the format."""
    return name.replace("-", " ").split()[0]
