"""What was decoded or encoded last, kept by bytes: a cache that forgets what was used longest ago.

It lives in memory only: no image is ever written to a disk.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Shelf(Generic[T]):
    """Holds at most `limit` bytes of things; any thread may use it.

    `weigh` gives the bytes of a thing. One heavier than the limit isn't kept. Two threads that
    want the same thing at once make it once: the second waits.
    """

    def __init__(self, limit: int, weigh: Callable[[T], int]) -> None:
        self.limit = limit
        self.bytes = 0
        self._weigh = weigh
        self._kept: OrderedDict[Hashable, T] = OrderedDict()
        self._guard = threading.Lock()
        self._making = tuple(threading.Lock() for _ in range(64))

    def get(self, name: Hashable, make: Callable[[], T]) -> T:
        """Return the thing of this name, made now if it isn't here; raises what `make` raises."""
        with self._making[hash(name) % len(self._making)]:
            with self._guard:
                if name in self._kept:
                    self._kept.move_to_end(name)
                    return self._kept[name]
            thing = make()
            self._put(name, thing)
            return thing

    def _put(self, name: Hashable, thing: T) -> None:
        weight = self._weigh(thing)
        if weight > self.limit:
            return
        with self._guard:
            self._kept[name] = thing
            self.bytes += weight
            while self.bytes > self.limit:
                _, oldest = self._kept.popitem(last=False)
                self.bytes -= self._weigh(oldest)
