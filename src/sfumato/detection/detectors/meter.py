"""The meter of a paid service: consent, price, the most that may be spent, and what was.

A file of its own that every process of a run counts in, so that the limit holds for all of them
together. There is one only while somebody allows images to leave this machine: a detector
that sends them refuses to work without it.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from sfumato.errors import UsageError
from sfumato.sources import private

VARIABLE: Final = "SFUMATO_UPLOAD_METER"  # how workers find the file
EVERY: Final = 1000  # calls after which the count is told

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tariff:
    """A price in US dollars for 1,000 calls, and the most to spend in a run (None: no limit)."""

    price: float
    max_cost: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.price < float("inf"):
            raise UsageError(f"The price of 1,000 images must be at least 0, not {self.price}.")
        if self.max_cost is not None and not self.max_cost >= 0:
            raise UsageError(f"--max-cost must be at least 0, not {self.max_cost}.")

    def cost(self, calls: int) -> float:
        """Return what so many calls cost, in dollars."""
        return calls * self.price / 1000

    def check(self, calls: int, what: str) -> None:
        """Raise `UsageError` if so many calls cost more than is allowed; `what` makes them."""
        if self.max_cost is not None and self.cost(calls) > self.max_cost:
            raise UsageError(
                f"{what} cost ${self.cost(calls):,.2f} at ${self.price:g} for 1,000 calls, more "
                f"than --max-cost {self.max_cost:g} allows."
            )


@contextmanager
def allowed(path: Path, tariff: Tariff) -> Iterator[None]:
    """Let images leave this machine, from this process and those it starts, and count them."""
    private.folder(path.parent)
    private.write(path, json.dumps({**asdict(tariff), "calls": 0}).encode())
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(path)
    try:
        yield
    finally:
        os.environ.pop(VARIABLE)
        if before is not None:
            os.environ[VARIABLE] = before


def consent(detector: str) -> None:
    """Raise `UsageError` unless images may leave this machine."""
    if VARIABLE not in os.environ:
        raise UsageError(
            f"{detector} sends images to a service outside this machine: say --allow-upload if "
            "they may go there (docs/detection.md, Other detectors)."
        )


def count(detector: str) -> None:
    """Count one call before it is made.

    Raises:
        UsageError: nobody allowed it, or it would cost more than is allowed; it isn't counted.
    """
    consent(detector)
    with Path(os.environ[VARIABLE]).open("r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        state = json.load(file)
        calls = state["calls"] + 1
        tariff = Tariff(state["price"], state["max_cost"])
        tariff.check(calls, f"{calls:,} calls to {detector}")
        file.seek(0)
        json.dump({**state, "calls": calls}, file)
        file.truncate()
    if calls % EVERY == 0:
        _LOG.warning("%s: %s calls, about $%.2f.", detector, f"{calls:,}", tariff.cost(calls))


def calls_at(path: Path) -> int:
    """Return how many calls a meter has counted."""
    calls: int = json.loads(path.read_text(encoding="utf-8"))["calls"]
    return calls
