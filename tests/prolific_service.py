"""A local HTTP server that answers as Prolific does, and remembers what was asked of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "token-of-the-tests"
PER_PAGE = 2
FEE = 1.4


@dataclass
class Service:
    """What the service holds. `busy` makes the next requests fail with this status."""

    url: str = ""
    studies: dict[str, dict[str, Any]] = field(default_factory=dict)
    submissions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    busy: list[int] = field(default_factory=list)
    with_cost: bool = True

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        self.asked.append((method, path, body))
        if self.busy:
            return self.busy.pop(0), {"error": "busy"}
        parts = urlsplit(path)
        names = parts.path.removeprefix("/api/v1/").strip("/").split("/")
        if (method, names) == ("POST", ["studies"]):
            return self._create(body)
        if names[0] == "studies" and names[1] in self.studies:
            return self._study(method, names[1:], parts.path, parse_qs(parts.query), body)
        if names[0] == "submissions":
            done = {"APPROVE": "APPROVED", "REJECT": "REJECTED"}[body["action"]]
            for row in (row for rows in self.submissions.values() for row in rows):
                if row["id"] == names[1]:
                    row["status"] = done
            return 200, {}
        return 404, {"error": {"detail": "not found"}}

    def _study(
        self, method: str, names: list[str], path: str, query: dict[str, list[str]], body: Any
    ) -> tuple[int, Any]:
        study = self.studies[names[0]]
        if names[1:] == ["submissions"]:
            return 200, self._page(names[0], path, query)
        if names[1:] == ["transition"]:
            study["status"] = {"PUBLISH": "ACTIVE", "STOP": "AWAITING REVIEW"}[body["action"]]
        elif method == "DELETE" and study["status"] == "UNPUBLISHED":
            del self.studies[names[0]]
            return 204, None
        return 200, study

    def _create(self, body: dict[str, Any]) -> tuple[int, Any]:
        if body["reward"] < 100:
            return 400, {"error": {"detail": "reward is below the minimum"}}
        one = f"study{len(self.studies) + 1}"
        cost = {"total_cost": round(body["reward"] * body["total_available_places"] * FEE)}
        self.studies[one] = {
            **body,
            "id": one,
            "status": "UNPUBLISHED",
            "currency_code": "GBP",
            **(cost if self.with_cost else {}),
        }
        return 201, self.studies[one]

    def _page(self, one: str, path: str, query: dict[str, list[str]]) -> dict[str, Any]:
        start = int(query.get("offset", ["0"])[0])
        rows = self.submissions.get(one, [])
        after = start + PER_PAGE
        more = f"{self.url}{path}?offset={after}" if after < len(rows) else None
        return {"results": rows[start:after], "_links": {"next": {"href": more}}}


@contextmanager
def serving() -> Iterator[Service]:
    """Run the service on a free port of this machine."""
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            body = json.loads(self.rfile.read(length)) if length else None
            service.tokens.add(self.headers.get("Authorization", ""))
            status = 401
            content: Any = {"error": {"detail": "Invalid token."}}
            if self.headers.get("Authorization") == f"Token {TOKEN}":
                status, content = service.answer(self.command, self.path, body)
            data = b"" if content is None else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            if status == 429:
                self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = _do  # noqa: N815 (names that the base class looks for)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
