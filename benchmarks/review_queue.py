"""How long a reviewer waits for the next image, with 1,500,000 of them in the queue.

It fills a SQLite file and a real PostgreSQL (Debian's package, in a temporary folder), then lets
simulated reviewers work, on the queue and (`--http`) through the server: each takes the next
image, thinks (exponential, mean 1 second: faster than people are), saves a draft, and submits.
Each reviewer is a thread with its own session. At the end it checks that every answer that was
acknowledged is there, once, and that no image went to one person twice or to more people than
it should.
"""

from __future__ import annotations

import argparse
import http.client
import importlib
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))  # tests/ has the PostgreSQL server

from sfumato.ledger.database import Database
from sfumato.review import people, store
from sfumato.review.queue import Queue, Rules
from sfumato.review.vocabulary import Answer, Item, Lease, Mark, Person

REPLICAS = 2


@dataclass
class Times:
    """Seconds that each request took, by what was asked for; and what was acknowledged."""

    next: list[float] = field(default_factory=list)
    save: list[float] = field(default_factory=list)
    submit: list[float] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def items(number: int) -> Iterator[Item]:
    """Images as a data set has them: 1,000 classes, a proposed face in 3 of 10, 2 % drawn."""
    rng = random.Random(0)
    for i in range(number):
        marks: tuple[Mark, ...] = ()
        if rng.random() < 0.3:
            x, y = rng.random() * 300, rng.random() * 200
            marks = (Mark((x, y, x + 80, y + 100), score=rng.random(), origin="yunet-2023mar"),)
        label = f"n{i % 1000:08d}"
        yield Item(
            f"{label}/{label}_{i}.JPEG",
            f"{i:064x}",
            500,
            375,
            label,
            marks,
            i,
            "risk" if i % 50 else "sample",
            REPLICAS,
            "" if i % 50 else label,
            whole=not (marks and i % 50),
        )


@contextmanager
def sqlite() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="sfumato-bench-") as folder:
        yield str(Path(folder) / "ledger.sqlite")


@contextmanager
def postgresql() -> Iterator[str]:
    from tests.postgres_server import running

    with running() as server:
        yield server.create()


def filled(where: str, number: int) -> tuple[Database, dict[str, float]]:
    """Return the database with its queue, and how long it took to fill it."""
    database = store.open(where)
    queue = Queue(database)
    start = time.perf_counter()
    added = queue.fill(items(number))
    took = time.perf_counter() - start
    assert added == number, (added, number)
    step = max(1, number // 1000)
    gold = {
        item.key: (Mark((100.0, 100.0, 180.0, 200.0)),)
        for item in items(number)
        if item.rank % step == step // 2
    }
    queue.add_gold(gold)
    return database, {"seconds": took, "per_second": number / took, "gold": float(len(gold))}


class Session(Protocol):
    """What a reviewer does: `next` returns the token of an image, the others are about it."""

    def next(self) -> str | None: ...

    def save(self) -> None: ...

    def submit(self, seconds: float) -> None: ...


class Direct:
    """A reviewer's session on the queue itself."""

    def __init__(self, queue: Queue, person: Person) -> None:
        self._queue, self._person = queue, person
        self._lease: Lease

    def next(self) -> str | None:
        leases = self._queue.lease(self._person)
        if not leases:
            return None
        (self._lease,) = leases
        return self._lease.token

    def save(self) -> None:
        lease = self._lease
        self._queue.save(lease.token, self._person, lease.version + 1, lease.marks)

    def submit(self, seconds: float) -> None:
        answer = Answer("accept", self._lease.marks, seconds)
        self._queue.submit(self._lease.token, self._person, answer)


class Browser:
    """A reviewer's session over HTTP, on a connection that is kept; images aren't fetched."""

    def __init__(self, address: str, secret: str) -> None:
        self._http = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
        self._http.connect()
        self._http.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._cookie = ""
        self._http.request("GET", f"/r/{secret}")
        response = self._http.getresponse()
        response.read()
        self._cookie = (response.getheader("set-cookie") or "").partition(";")[0]
        self._lease: dict[str, Any] = {}

    def _ask(self, method: str, path: str, body: object) -> Any:
        headers = {"Cookie": self._cookie, "X-Sfumato": "1", "Content-Type": "application/json"}
        self._http.request(method, path, json.dumps(body), headers)
        response = self._http.getresponse()
        data = response.read()
        assert response.status == 200, (method, path, response.status, data)
        return json.loads(data)

    def next(self) -> str | None:
        leases = self._ask("POST", "/api/next", {"count": 1, "gallery": False})["leases"]
        if not leases:
            return None
        (self._lease,) = leases
        return str(self._lease["token"])

    def save(self) -> None:
        lease = self._lease
        body = {"version": lease["version"] + 1, "marks": lease["marks"]}
        self._ask("PUT", f"/api/lease/{lease['token']}", body)

    def submit(self, seconds: float) -> None:
        body = {"verdict": "accept", "marks": self._lease["marks"], "seconds": seconds}
        self._ask("POST", f"/api/lease/{self._lease['token']}/answer", body | {"scope": "whole"})


@contextmanager
def served(where: str) -> Iterator[str]:
    """Run the review server as a process of its own; yield its address."""
    with tempfile.TemporaryDirectory(prefix="sfumato-bench-") as page:
        (Path(page) / "index.html").write_text("<!doctype html>")
        command = [sys.executable, __file__, "--serve", where, page]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address.startswith("http://"), "the server doesn't start"
            yield address
        finally:
            process.terminate()
            process.wait()


def serve(where: str, page: str) -> None:
    """Be that server. Its limits are those of a server, but for addresses: all share one here."""
    web = importlib.import_module("sfumato.web")
    serving = importlib.import_module("sfumato.web.serving")
    limits = importlib.import_module("sfumato.web.limits")
    database = store.open(where)
    app = web.build(
        database,
        Queue(database),
        Path(page),
        limits=limits.Limits(address=(1e5, 10**6)),
        page=Path(page),
    )
    serving.serve(
        app,
        serving.Place(port=0),
        say=lambda _: None,
        ready=lambda address: print(address, flush=True),
    )


def work(session: Session, until: float, think: float, seed: int) -> Times:
    """One reviewer's day; waits are drawn, requests are timed."""
    rng, times = random.Random(seed), Times()

    def timed(into: list[float], call: Callable[[], object]) -> object:
        start = time.perf_counter()
        result = call()
        into.append(time.perf_counter() - start)
        return result

    time.sleep(rng.random() * think)  # they don't come at the same moment
    while time.perf_counter() < until:
        token = timed(times.next, session.next)
        if token is None:
            times.failed.append("nothing left")
            break
        seconds = rng.expovariate(1 / think)
        time.sleep(seconds)
        timed(times.save, session.save)
        timed(times.submit, partial(session.submit, seconds))
        times.acknowledged.append(str(token))
    return times


def crowd(database: Database, address: str, options: argparse.Namespace, reviewers: int) -> Times:
    """Let so many reviewers work at once, over HTTP if there is an address; return all times."""
    queue = Queue(database, settings=Rules())
    sessions: list[Session] = []
    for i in range(reviewers):
        secret = people.invite(database, f"{bool(address)} {reviewers} {i}", "reviewer")
        person = people.recognise(database, secret)
        assert person is not None
        sessions.append(Browser(address, secret) if address else Direct(queue, person))
    until = time.perf_counter() + options.seconds
    results: list[Times] = []

    def run(session: Session, seed: int) -> None:
        results.append(work(session, until, options.think, seed))

    threads = [
        threading.Thread(target=run, args=(session, seed)) for seed, session in enumerate(sessions)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == reviewers, "a reviewer's thread died"
    whole = Times()
    for times in results:
        for name in ("next", "save", "submit", "acknowledged", "failed"):
            getattr(whole, name).extend(getattr(times, name))
    return whole


def check(database: Database, acknowledged: list[str]) -> dict[str, int]:
    """Count what must not be: answers lost or doubled, images lent too often or twice to one."""

    def one(sql: str) -> int:
        ((value,),) = database.read(sql)
        return int(value)

    stored = [
        token
        for (token,) in database.read(
            "SELECT a.token FROM review_answers AS b "
            "JOIN review_assignments AS a ON a.id = b.assignment"
        )
    ]
    return {
        "acknowledged": len(acknowledged),
        "stored": len(stored),
        "lost": len(set(acknowledged) - set(stored)),
        "doubled": len(stored) - len(set(stored)),
        "twice_to_one": one(
            "SELECT COUNT(*) FROM (SELECT 1 FROM review_assignments GROUP BY item, person "
            "HAVING COUNT(*) > 1) AS twice"
        ),
        "slots_wrong": one(
            "SELECT COUNT(*) FROM review_items AS i JOIN (SELECT item, COUNT(*) AS used "
            "FROM review_assignments WHERE state < 2 AND gold = 0 GROUP BY item) AS a "
            "ON a.item = i.id WHERE i.open + a.used <> i.replicas OR i.open < 0"
        ),
    }


def summary(values: list[float]) -> dict[str, float]:
    ms = 1000 * np.asarray(values)
    return {
        "requests": float(len(ms)),
        "median_ms": float(np.median(ms)),
        "p99_ms": float(np.percentile(ms, 99)),
        "max_ms": float(ms.max()),
    }


def measure(kind: str, options: argparse.Namespace) -> dict[str, object]:
    """Fill one database and let crowds of each size work on it."""
    with ExitStack() as stack:
        where = stack.enter_context(sqlite() if kind == "sqlite" else postgresql())
        database, filling = filled(where, options.items)
        stack.callback(database.close)
        print(f"{kind}: {options.items:,} items in {filling['seconds']:.0f} s")
        result: dict[str, object] = {"fill": filling}
        acknowledged: list[str] = []
        for way in ("queue", "HTTP") if options.http else ("queue",):
            address = stack.enter_context(served(where)) if way == "HTTP" else ""
            for reviewers in options.reviewers:
                times = crowd(database, address, options, reviewers)
                acknowledged += times.acknowledged
                lines = {name: summary(getattr(times, name)) for name in ("next", "save", "submit")}
                load = os.getloadavg()[0]
                name = f"{way}, {reviewers} reviewers"
                result[name] = lines | {"failed": times.failed, "load": load}
                print(f"{kind}, {name} (load {load:.1f})")
                for asked, line in lines.items():
                    print(
                        f"    {asked:7} {line['requests']:7,.0f} requests"
                        f"  median {line['median_ms']:6.1f}  p99 {line['p99_ms']:6.1f}"
                        f"  max {line['max_ms']:6.1f} ms",
                        flush=True,
                    )
        result["check"] = check(database, acknowledged)
        print(f"{kind:11} {result['check']}")
        return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_500_000)
    parser.add_argument("--reviewers", type=int, nargs="+", default=[10, 50])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--think", type=float, default=1.0, help="mean seconds an image")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], action="append")
    parser.add_argument("--http", action="store_true", help="also through the server")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(*options.serve)
        return
    results = {
        kind: measure(kind, options) for kind in options.database or ["sqlite", "postgresql"]
    }
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
