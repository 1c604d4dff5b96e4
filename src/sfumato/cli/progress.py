"""Progress on standard error: a bar on a terminal, a line every 30 seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from sfumato.pipeline.driver import Progress

_EVERY_S = 30.0


@contextmanager
def progress(what: str, *, quiet: bool) -> Iterator[Progress | None]:
    """Give a callback for `pipeline.run`, or None if nothing is to be shown."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with tqdm(desc=what, unit="images", dynamic_ncols=True, smoothing=0.05) as bar:
            yield lambda done, of: _move(bar, done, of)
    else:
        yield _Lines(what)


def _move(bar: tqdm[None], done: int, of: int) -> None:
    if bar.total != of:
        bar.total, bar.initial = of, done
        bar.n = done
        bar.refresh()
    bar.update(done - bar.n)


class _Lines:
    """Prints how far a run is, at most every 30 seconds."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._began = self._last = time.monotonic()
        self._first: int | None = None

    def __call__(self, done: int, of: int) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = done
        if now - self._last < _EVERY_S:
            return
        self._last = now
        rate = (done - self._first) / (now - self._began)
        left = f", {(of - done) / rate:.0f} s left" if rate > 0 else ""
        print(f"{self._what}: {done} of {of}, {rate:.1f} a second{left}", file=sys.stderr)
