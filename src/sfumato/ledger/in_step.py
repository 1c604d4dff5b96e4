"""Streams in the order of their keys, read in step with a list of keys: no table in memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar


class _Keyed(Protocol):
    @property
    def key(self) -> str: ...


T = TypeVar("T", bound=_Keyed)


class InStep(Generic[T]):
    """A stream in the order of its keys."""

    def __init__(self, records: Iterable[T]) -> None:
        self._records = iter(records)
        self._head = next(self._records, None)

    def at(self, key: str) -> list[T]:
        """Return what has this key; what has smaller keys is passed over."""
        found: list[T] = []
        while self._head is not None and self._head.key <= key:
            if self._head.key == key:
                found.append(self._head)
            self._head = next(self._records, None)
        return found

    def last(self, key: str) -> T | None:
        """Return the last of those with this key, None if there is none."""
        found = self.at(key)
        return found[-1] if found else None
