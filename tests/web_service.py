"""A review of a few images made on the spot, its server, and browsers that speak with it.

Names, labels and people are words that must never reach a reviewer: `SECRETS` lists them.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image
from starlette.applications import Starlette

from sfumato.ledger.database import Database
from sfumato.review import people, store
from sfumato.review.queue import Queue, Rules
from sfumato.review.vocabulary import Item, Mark, Role
from sfumato.web.application import build as application
from sfumato.web.limits import Limits

WIDTH, HEIGHT = 96, 48
BOX = (10.0, 8.0, 30.0, 32.0)
FOLDER = "zebrafolder"  # the class
FILE = "quokkafile"  # the beginning of every name
PERSON = "Wilhelmina"  # the beginning of everybody's name
ORIGIN = "narwhal-detector"
STRATUM = "stratumname"
SECRETS = (FOLDER, FILE, PERSON, ORIGIN, STRATUM, "gold", "Traceback")
HEADERS = {"X-Sfumato": "1", "Content-Type": "application/json"}


@dataclass
class Time:
    """A clock that stands still until it is told."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Service:
    """A campaign and its server."""

    root: Path
    database: Database
    queue: Queue
    app: Starlette
    time: Time
    page: Path
    runner: asyncio.Runner = field(default_factory=asyncio.Runner)
    invited: int = 0

    def stranger(self, address: str = "127.0.0.1") -> Browser:
        """Return a browser that nobody has opened a link in."""
        return Browser(self, address)

    def invite(self, role: Role = "reviewer") -> tuple[str, str]:
        """Invite somebody new; return name and secret."""
        self.invited += 1
        name = f"{PERSON} {role} {self.invited}"
        return name, people.invite(self.database, name, role, days=1)

    def browser(self, role: Role = "reviewer") -> Browser:
        """Return a browser in which somebody new has opened their link."""
        browser = Browser(self)
        browser.name, browser.secret = self.invite(role)
        assert browser.get(f"/r/{browser.secret}").status_code == 303
        return browser

    def again(self, *, rules: Rules = Rules(), limits: Limits = Limits()) -> Service:  # noqa: B008
        """Return the same campaign behind another server."""
        queue = Queue(self.database, settings=rules, clock=self.time)
        app = application(
            self.database, queue, self.root, limits=limits, page=self.page, clock=self.time
        )
        return replace(self, queue=queue, app=app, invited=1000 * (self.invited + 1))

    def stored(self) -> dict[str, list[tuple[Any, ...]]]:
        """All rows that an answer or a draft would change, for comparison."""
        tables = ("review_assignments", "review_answers", "records")
        return {name: list(self.database.read(f"SELECT * FROM {name}")) for name in tables}


class Browser:
    """Speaks with the application without a socket; keeps cookies and all responses."""

    def __init__(self, service: Service, address: str = "127.0.0.1") -> None:
        self._runner = service.runner
        transport = httpx.ASGITransport(app=service.app, client=(address, 40_000))
        self.client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8765")
        self.seen: list[httpx.Response] = []
        self.name = self.secret = ""

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        response = self._runner.run(self.client.request(method, path, **more))
        self.seen.append(response)
        return response

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, **more)

    def send(self, method: str, path: str, body: object = None, **more: Any) -> httpx.Response:
        """Send JSON with all headers that the page sends."""
        headers = {**HEADERS, **more.pop("headers", {})}
        if body is not None:
            more["json"] = body
        return self.request(method, path, headers=headers, **more)

    def next(self, count: int = 1, *, gallery: bool = False) -> list[dict[str, Any]]:
        response = self.send("POST", "/api/next", {"count": count, "gallery": gallery})
        assert response.status_code == 200, response.text
        leases: list[dict[str, Any]] = response.json()["leases"]
        return leases

    def code(self, method: str, path: str, body: object = None, **more: Any) -> tuple[int, str]:
        """Send, and return status and code of the refusal."""
        response = self.send(method, path, body, **more)
        return response.status_code, response.json().get("code", "")


async def in_parts(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    """A body without a Content-Length."""
    for part in parts:
        yield part


def make_item(root: Path, number: int, *, rank: int | None = None, replicas: int = 10**6) -> Item:
    """Write an image below `root` and return it as an item with one proposal.

    Of odd numbers the whole image needn't be seen.
    """
    key = f"{FOLDER}/{FILE}{number}.png"
    path = root / key
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(number).integers(0, 100, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(noise).save(path)
    os.utime(path, (1, 1))  # not written just now: reading need not wait
    return Item(
        key=key,
        digest=hashlib.sha256(path.read_bytes()).hexdigest(),
        width=WIDTH,
        height=HEIGHT,
        label=FOLDER,
        proposals=(Mark(BOX, "face", "p0", 0.4, ORIGIN),),
        rank=number if rank is None else rank,
        reason="risk",
        replicas=replicas,
        stratum=STRATUM,
        whole=number % 2 == 0,
    )


def make_page(folder: Path) -> Path:
    """Write a page of the right shape; the real one has tests of its own."""
    folder.mkdir()
    (folder / "index.html").write_text("<!doctype html><title>Review</title>")
    (folder / "review.js").write_text("export {};")
    (folder / "notes.txt").write_text("not to be served")
    return folder


@contextmanager
def served(folder: Path, count: int, where: str | None = None) -> Iterator[Service]:
    """Open a campaign of `count` images in `folder`, and its server; `where`: another ledger."""
    root = folder / "src"
    database = store.open(where or folder / "ledger.sqlite")
    time = Time()
    queue = Queue(database, clock=time)
    queue.fill([make_item(root, number) for number in range(count)], strata={STRATUM: 100})
    page = make_page(folder / "page")
    app = application(database, queue, root, page=page, clock=time)
    service = Service(root, database, queue, app, time, page)
    try:
        yield service
    finally:
        service.runner.close()
        database.close()
