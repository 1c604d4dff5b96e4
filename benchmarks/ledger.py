"""How long the ledger takes: a commit for each shard, and the latest records of a whole data set.

    python benchmarks/ledger.py --ledger /tmp/bench.sqlite
    python benchmarks/ledger.py --ledger postgresql:///bench

The place must be empty. A shard is 1,000 pictures; of each come a detection with one face, an
output and a finding. Times are those of this one process by the clock, encoding and decoding of
records included.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sfumato.database import Where, is_url
from sfumato.errors import Code
from sfumato.ledger import Ledger, is_there
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


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(ledger: Ledger, shards: int) -> dict[str, float]:
    def commit(shard: int) -> float:
        done = [(stage, SETTINGS) for stage in ("detect", "obfuscate", "verify")]
        return timed(lambda: ledger.commit(records(shard), done, shard=f"{shard}"))

    commits = sorted(commit(shard) for shard in range(shards))
    keys = [f"n{shard:08}/n{shard:08}_{n}.JPEG" for shard in range(shards) for n in range(SHARD)]
    looked = sorted(
        timed(lambda key=key: ledger.latest_of(SETTINGS, ("output", "failure"), key))  # type: ignore[misc]
        for key in keys[:: max(len(keys) // 2000, 1)]
    )
    both = ("output", "failure")
    return {
        "pictures": len(keys),
        "records": 3 * len(keys),
        "commit_median_ms": statistics.median(commits) * 1e3,
        "commit_p99_ms": commits[int(len(commits) * 0.99)] * 1e3,
        "latest_first_ms": timed(lambda: next(ledger.latest(SETTINGS, both))) * 1e3,
        "latest_all_s": timed(lambda: sum(1 for _ in ledger.latest(SETTINGS, both))),
        "findings_all_s": timed(lambda: sum(1 for _ in ledger.findings(SETTINGS))),
        "latest_of_median_ms": statistics.median(looked) * 1e3,
        "latest_of_p99_ms": looked[int(len(looked) * 0.99)] * 1e3,
        "list_source_s": timed(lambda: ledger.list_source(dict.fromkeys(keys, "picture"))),
        "listing_s": timed(lambda: sum(1 for _ in ledger.listing())),
        "written_s": timed(lambda: sum(1 for _ in ledger.written())),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ledger", required=True)
    parser.add_argument("--pictures", type=int, default=500_000)
    given = parser.parse_args()
    where: Where = given.ledger if is_url(given.ledger) else Path(given.ledger)
    if is_there(where):
        parser.error("there is a ledger already: give an empty place")
    with Ledger(where) as ledger:
        figures = measure(ledger, max(given.pictures // SHARD, 1))
    print(json.dumps({name: round(figure, 3) for name, figure in figures.items()}, indent=2))


if __name__ == "__main__":
    main()
