"""How much one person, or one address, may ask for in a while: token buckets in memory."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

_MOST_NAMES: Final = 20_000  # beyond that the one that asked longest ago starts anew


class Rate:
    """`burst` requests at once, and `per_second` more each second, for each name.

    Memory is bounded however many names there are. `clock` gives seconds that never go back.
    """

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # left, when
        self._guard = threading.Lock()

    def wait(self, name: str, cost: float = 1.0) -> int:
        """Take from a name's bucket; 0 if there was enough, else whole seconds to wait.

        A cost of 0 asks without taking whether anything is left.
        """
        now = self._clock()
        with self._guard:
            left, when = self._buckets.pop(name, (self._burst, now))
            left = min(self._burst, left + (now - when) * self._per_second)
            need = max(cost, 1.0) - left
            if need <= 0:
                left -= cost
            self._buckets[name] = (left, now)
            if len(self._buckets) > _MOST_NAMES:
                self._buckets.popitem(last=False)
        return 0 if need <= 0 else max(1, math.ceil(need / self._per_second))
