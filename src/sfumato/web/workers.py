"""Threads for what blocks: the ledger's, and a few that decode.

They live as long as the server: a database keeps a connection for each thread, and threads that
come and go would leave theirs behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from sfumato.web.refusals import known

T = TypeVar("T")
_LEDGER: Final = 8


class Workers:
    """Two pools. `decodes` images are decoded at a time, and at most `waiting` wait for it."""

    def __init__(self, *, decodes: int, waiting: int) -> None:
        self._ledger = ThreadPoolExecutor(_LEDGER, "ledger")
        self._decoding = ThreadPoolExecutor(decodes, "decoding")
        self._most = decodes + waiting
        self._asked = 0

    async def ledger(self, work: Callable[[], T]) -> T:
        """Run what reads or writes the ledger."""
        return await asyncio.get_running_loop().run_in_executor(self._ledger, work)

    async def decoding(self, work: Callable[[], T]) -> T:
        """Run what decodes an image.

        Raises:
            Refusal: 429, as many wait as may.
        """
        if self._asked >= self._most:
            raise known("TOO_OFTEN")
        self._asked += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._decoding, work)
        finally:
            self._asked -= 1

    def close(self) -> None:
        """End the threads once they are done with what was begun."""
        self._decoding.shutdown(cancel_futures=True)
        self._ledger.shutdown()
