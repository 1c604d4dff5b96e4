"""How long the ledger takes: a commit for each shard, and the latest records of a whole data set.

    python benchmarks/ledger.py --ledger /tmp/bench.sqlite
    python benchmarks/ledger.py --ledger postgresql:///bench

The place must be empty. A shard is 1,000 images; of each come a detection with one face, an
output and a finding. Times are by the clock, encoding and decoding of records included; `cpu`
is what this process used of the processor meanwhile, without a server's share.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sfumato.errors import Code
from sfumato.ledger.database import Where, is_url
from sfumato.ledger.ledger import Ledger, is_there
from sfumato.types import Detection, Face, Finding, Output, Record

SHARD = 1000
SETTINGS = "0" * 64  # in the place of a fingerprint
DIGEST = "a" * 64


def records(shard: int) -> Iterator[tuple[str, Record]]:
    face = Face((101.5, 33.25, 160.0, 99.75), 0.973, "finder@default:0.5")
    for number in range(SHARD):
        key = f"n{shard:08}/n{shard:08}_{number}.JPEG"
        yield SETTINGS, Detection(key, DIGEST, 500, 375, (face,))
        yield SETTINGS, Output(key, DIGEST, DIGEST, "obfuscated", "exact", "gaussian", (face,))
        yield SETTINGS, Finding(key, Code.VERIFY_STRENGTH, True, 0.11, 0.2, "", DIGEST)


@dataclass(frozen=True)
class Spent:
    """Seconds by the clock, and of the processor."""

    wall: float
    cpu: float


def timed(work: Callable[[], object]) -> Spent:
    began, before = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - began, time.process_time() - before)


def spread(name: str, all_spent: Sequence[Spent]) -> dict[str, float]:
    """Return milliseconds: median and 99th percentile by the clock, mean of the processor."""
    walls = sorted(spent.wall for spent in all_spent)
    return {
        f"{name}_median_ms": statistics.median(walls) * 1e3,
        f"{name}_p99_ms": walls[int(len(walls) * 0.99)] * 1e3,
        f"{name}_cpu_ms": statistics.mean(spent.cpu for spent in all_spent) * 1e3,
    }


def measure(ledger: Ledger, shards: int) -> dict[str, float]:
    def commit(shard: int) -> Spent:
        done = [(stage, SETTINGS) for stage in ("detect", "obfuscate", "verify")]
        return timed(lambda: ledger.commit(records(shard), done, shard=f"{shard}"))

    def look_up(key: str) -> Spent:
        return timed(lambda: ledger.latest_of(SETTINGS, both, key))

    both = ("output", "failure")
    figures = spread("commit", [commit(shard) for shard in range(shards)])
    keys = [f"n{shard:08}/n{shard:08}_{n}.JPEG" for shard in range(shards) for n in range(SHARD)]
    figures |= spread("latest_of", [look_up(key) for key in keys[:: max(len(keys) // 2000, 1)]])
    figures |= spread("first", [timed(lambda: next(ledger.latest(SETTINGS, both)))])
    whole: dict[str, Callable[[], object]] = {
        "latest": lambda: sum(1 for _ in ledger.latest(SETTINGS, both)),
        "findings": lambda: sum(1 for _ in ledger.findings(SETTINGS)),
        "list_source": lambda: ledger.list_source(dict.fromkeys(keys, "image")),
        "listing": lambda: sum(1 for _ in ledger.listing()),
        "written": lambda: sum(1 for _ in ledger.written()),
    }
    for name, work in whole.items():
        spent = timed(work)
        figures |= {f"{name}_s": spent.wall, f"{name}_cpu_s": spent.cpu}
    return {"records": 3.0 * len(keys), **figures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ledger", required=True)
    parser.add_argument("--images", type=int, default=500_000)
    given = parser.parse_args()
    where: Where = given.ledger if is_url(given.ledger) else Path(given.ledger)
    if is_there(where):
        parser.error("there is a ledger already: give an empty place")
    with Ledger(where) as ledger:
        figures = measure(ledger, max(given.images // SHARD, 1))
    print(json.dumps({name: round(figure, 3) for name, figure in figures.items()}, indent=2))


if __name__ == "__main__":
    main()
