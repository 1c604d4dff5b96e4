"""Where the server listens; and a real one that is killed in the middle of everything."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from sfumato.errors import UsageError
from sfumato.review import people, store
from sfumato.review.queue import Queue
from sfumato.web.serving import Place, address, listen, serve
from tests.web_service import HEADERS, make_item, make_page

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_other_machines_are_let_in_only_if_that_was_said(host: str) -> None:
    with pytest.raises(UsageError, match="--expose"):
        listen(Place(host, 0))


def test_this_machine_is_the_default_and_any_port_will_do() -> None:
    with listen(Place(port=0)) as listening:
        host, port = listening.getsockname()
        assert (host, port > 0) == ("127.0.0.1", True)
        assert address(Place(port=0), port) == f"http://127.0.0.1:{port}"
        with pytest.raises(UsageError, match="another program listens there"):
            listen(Place(port=port))


def test_exposed_it_listens_everywhere() -> None:
    with listen(Place("0.0.0.0", 0, exposed=True)) as listening:
        assert listening.getsockname()[0] == "0.0.0.0"


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("nobody asks")


def test_the_operator_is_told_who_can_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn.Server, "run", lambda *_, **__: None)
    for place, words in (
        (Place(port=0), ["for this machine only"]),
        (Place("0.0.0.0", 0, exposed=True), ["every machine", "doesn't encrypt"]),
    ):
        said: list[str] = []
        ready: list[str] = []
        serve(nothing, place, say=said.append, ready=ready.append)
        assert len(said) == len(words)
        assert all(word in sentence for word, sentence in zip(words, said, strict=True))
        assert ready[0] in said[0]


def test_a_place_that_is_not_here_is_said() -> None:
    with pytest.raises(UsageError, match="there is no such place here"):
        listen(Place("192.0.2.1", 0, exposed=True))
    with pytest.raises(UsageError, match="from 0 to 65535"):
        listen(Place(port=70_000))


def test_only_own_names_are_answered_to() -> None:
    assert Place().hosts == {"127.0.0.1", "localhost", "[::1]"}
    assert Place(names=("Review.example",)).hosts >= {"review.example", "127.0.0.1"}
    assert "" in Place("0.0.0.0", exposed=True).hosts
    assert "" not in Place("0.0.0.0", exposed=True, names=("review.example",)).hosts


@dataclass
class Running:
    """A server process and its address."""

    process: subprocess.Popen[str]
    where: str

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def end(self) -> None:
        """End it as an operator does, in order."""
        assert self._end(signal.SIGTERM) == 0

    def _end(self, how: signal.Signals) -> int:
        assert self.process.stdout is not None
        self.process.send_signal(how)
        code = self.process.wait(timeout=20)
        self.process.stdout.close()
        return code


def start(folder: Path, port: int = 0) -> Running:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.web_process", str(folder), str(port)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))},
    )
    assert process.stdout is not None
    said = process.stdout.readline()
    assert "for this machine only" in said
    return Running(process, process.stdout.readline().strip())


@contextmanager
def campaign(folder: Path, images: int, reviewers: int) -> Iterator[list[str]]:
    """Make a campaign on disk; give the secrets of its reviewers."""
    make_page(folder / "page")
    database = store.open(folder / "ledger.sqlite")
    Queue(database).fill([make_item(folder / "src", number) for number in range(images)])
    secrets = [
        people.invite(database, f"reviewer {number}", "reviewer") for number in range(reviewers)
    ]
    database.close()
    yield secrets


def client(where: str, secret: str) -> httpx.Client:
    browser = httpx.Client(base_url=where, headers=HEADERS, timeout=20)
    assert browser.get(f"/r/{secret}").status_code == 303
    return browser


def correct(number: int) -> dict[str, object]:
    box = [1.0, 2.0, 10.0 + number, 20.0]
    return {"verdict": "correct", "marks": [{"id": "n1", "box": box}], "seconds": 1.0}


@pytest.mark.slow
def test_a_killed_server_has_what_it_acknowledged(tmp_path: Path) -> None:
    with campaign(tmp_path, 6, 1) as secrets:
        running = start(tmp_path)
        browser = client(running.where, secrets[0])
        first, second = browser.post("/api/next", json={"count": 2}).json()["leases"]
        draft = {"version": 1, "marks": [{"id": "n1", "box": [3, 4, 50, 40]}]}
        assert browser.put(f"/api/lease/{second['token']}", json=draft).json() == {"version": 1}
        answer = f"/api/lease/{first['token']}/answer"
        assert browser.post(answer, json=correct(0)).status_code == 200
        running.kill()
        with pytest.raises(httpx.TransportError):
            browser.get("/api/me")
        running = start(tmp_path, int(running.where.rpartition(":")[2]))
        try:
            # The cookie from before, and the answer again: it may have been the last thing lost.
            assert browser.get("/api/me").json()["answered"] == 1
            assert browser.post(answer, json=correct(0)).status_code == 200
            assert browser.post(answer, json=correct(1)).status_code == 409
            (held,) = browser.post("/api/next", json={"count": 1}).json()["leases"]
            assert (held["token"], held["version"]) == (second["token"], 1)
            assert [mark["box"] for mark in held["marks"]] == [[3.0, 4.0, 50.0, 40.0]]
            assert browser.get(held["image"]).headers["content-type"] == "image/jpeg"
        finally:
            browser.close()
            running.end()
    database = store.open(tmp_path / "ledger.sqlite")
    assert len(list(Queue(database).given())) == 1
    database.close()


@dataclass
class Crowd:
    """Reviewers who answer as fast as they can, and try again when the server doesn't."""

    where: str
    stop: float
    acknowledged: Counter[str] = field(default_factory=Counter)
    sent: dict[str, int] = field(default_factory=dict)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def work(self, secret: str) -> None:
        """Answer until nothing is left."""
        with httpx.Client(base_url=self.where, headers=HEADERS, timeout=20) as browser:
            browser.cookies.set("sfumato", secret)
            while time.monotonic() < self.stop:
                try:
                    leases = browser.post("/api/next", json={"count": 2}).json()["leases"]
                    for lease in leases:
                        self.answer(browser, lease["token"])
                except httpx.TransportError:
                    time.sleep(0.05)  # as the page does: wait, and try again
                    continue
                if not leases:
                    return

    def answer(self, browser: httpx.Client, token: str) -> None:
        number = self.sent.setdefault(token, len(self.sent) % 50)
        if browser.post(f"/api/lease/{token}/answer", json=correct(number)).status_code == 200:
            with self.guard:
                self.acknowledged[token] += 1

    def wait(self, enough: int) -> None:
        """Return once so many images are acknowledged."""
        while len(self.acknowledged) < enough and time.monotonic() < self.stop:
            time.sleep(0.005)


@pytest.mark.slow
def test_many_answers_at_once_survive_kills_each_once(tmp_path: Path) -> None:
    """Eight reviewers answer as fast as they can; the server is killed three times meanwhile."""
    reviewers, images = 8, 40
    with campaign(tmp_path, images, reviewers) as secrets:
        running = start(tmp_path)
        port = int(running.where.rpartition(":")[2])
        crowd = Crowd(running.where, time.monotonic() + 60)
        threads = [threading.Thread(target=crowd.work, args=(secret,)) for secret in secrets]
        for thread in threads:
            thread.start()
        for enough in (40, 120, 200):
            crowd.wait(enough)
            running.kill()
            running = start(tmp_path, port)
        for thread in threads:
            thread.join()
        running.end()
    database = store.open(tmp_path / "ledger.sqlite")
    rows = database.read(
        "SELECT a.token FROM review_answers AS b JOIN review_assignments AS a "
        "ON a.id = b.assignment"
    )
    answered = Counter(token for (token,) in rows)
    ((counted,),) = database.read("SELECT SUM(answered) FROM review_people")
    given = list(Queue(database).given())
    database.close()
    assert len(given) == counted == reviewers * images
    assert crowd.acknowledged.keys() <= answered.keys()
    assert set(answered.values()) == {1}
    assert len({(each.person, each.key) for each in given}) == len(given)


@pytest.mark.slow
def test_the_real_server_refuses_what_is_too_large_or_not_http(tmp_path: Path) -> None:
    with campaign(tmp_path, 2, 1) as secrets:
        running = start(tmp_path)
        try:
            browser = client(running.where, secrets[0])
            (lease,) = browser.post("/api/next", json={}).json()["leases"]
            path = f"/api/lease/{lease['token']}"

            def endless() -> Iterator[bytes]:
                for _ in range(100):
                    yield b" " * 65_536

            with suppress(httpx.WriteError):  # the server may hang up in the middle
                assert browser.put(path, content=endless()).status_code == 413
            assert browser.get("/api/me", headers={"Host": "evil.example"}).status_code == 421
            assert "server" not in browser.get("/api/me").headers
            browser.close()
            port = int(running.where.rpartition(":")[2])
            for raw in (b"\x16\x03\x01\x00\xff", b"GET /../../etc/passwd HTTP/1.1\r\n\r\n"):
                with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
                    plain.sendall(raw + b"\r\n\r\n")
                    assert plain.recv(100).startswith(b"HTTP/1.1 4")
        finally:
            running.end()
