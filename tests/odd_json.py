"""JSON as a newer version or a damaged disk might leave it: each place exchanged in turn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_ODD: list[Any] = [None, True, -1, 7, 1.5, float("nan"), 10**400, "?", "1.5", [], [1], {}, {"a": 1}]


def variants(value: Any) -> Iterator[Any]:
    """Yield the value with something else at one place, one field more, or one less."""
    yield from _ODD
    if isinstance(value, dict):
        yield {**value, "newer": 1}
        for name, inside in value.items():
            yield {other: kept for other, kept in value.items() if other != name}
            yield from ({**value, name: odd} for odd in variants(inside))
    elif isinstance(value, list) and value:
        yield value[1:]
        yield from ([odd, *value[1:]] for odd in variants(value[0]))
