"""Whatever is sent, nothing breaks and nothing leaks: requests made up by Hypothesis.

They are given to the application as a server would, so that no client tidies them up first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from starlette.types import Message, Scope

from sfumato.web.admission import POLICY
from sfumato.web.limits import Limits
from tests.web_service import FILE, FOLDER, ORIGIN, PERSON, STRATUM, Browser, Service, served

NO_LIMITS = Limits(
    hosts=frozenset({""}), person=(1e9, 10**9), address=(1e9, 10**9), failed_links=(1e9, 10**9)
)
LEAKS = [word.encode() for word in (FOLDER, FILE, PERSON, ORIGIN, STRATUM, "Traceback")]


@dataclass(frozen=True)
class Sent:
    """A request; `{token}` in its path stands for an image that is lent right now."""

    method: str
    path: str
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: tuple[bytes, ...]
    known: bool


numbers = st.one_of(
    st.integers(-3, 110), st.floats(-2, 110), st.floats(), st.integers(), st.sampled_from([1e308])
)
words = st.one_of(st.text(max_size=8), st.sampled_from(["p0", "n1", "n2", "face", "private", ""]))
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, words),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(words, inner, max_size=4)),
    max_leaves=10,
)


def nearly(value: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly what belongs there."""
    return st.one_of(value, value, value, value, value, anything)


boxes = st.sampled_from([[10.0, 8.0, 30.0, 32.0], [0, 0, 5, 5], [50, 20, 96.5, 48]])
sides = st.lists(numbers, max_size=5)
one_mark = st.fixed_dictionaries(
    {"id": nearly(st.sampled_from(["n0", "n1", "n2"])), "box": st.one_of(boxes, boxes, sides)},
    optional={
        "kind": nearly(st.sampled_from(["face", "private"])),
        "proposal": nearly(st.just("")),
        "score": nearly(st.just(0.4)),
    },
)
PROPOSED = {"id": "p0", "box": [10.0, 8.0, 30.0, 32.0], "kind": "face", "proposal": "p0"}
proposed: st.SearchStrategy[list[Any]] = st.sampled_from([[PROPOSED], []])
marks = st.one_of(
    proposed,
    st.lists(one_mark, max_size=2),
    st.tuples(proposed, st.lists(one_mark, max_size=2)).map(lambda two: [*two[0], *two[1]]),
    anything,
)
DRAFT = st.fixed_dictionaries({"version": nearly(st.integers(0, 9)), "marks": marks})
ANSWER = st.fixed_dictionaries(
    {"verdict": st.sampled_from(["accept", "correct", "unsure"]), "marks": marks},
    optional={
        "seconds": nearly(st.floats(0, 99)),
        "scope": nearly(st.sampled_from(["whole", "crops"])),
    },
)
NEXT = st.fixed_dictionaries(
    {}, optional={"count": nearly(st.integers(1, 8)), "gallery": nearly(st.booleans())}
)
NOTHING: st.SearchStrategy[dict[str, Any]] = st.builds(dict)


def as_sent(objects: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[bytes, ...]]:
    """Mostly JSON, in one part or two; sometimes damaged."""
    whole = objects.map(lambda value: json.dumps(value).encode())
    return st.one_of(
        whole.map(lambda body: (body,)),
        whole.map(lambda body: (body,)),
        whole.map(lambda body: (body[:9], body[9:])),
        whole.map(lambda body: (body[:-1],)),
        st.binary(max_size=40).map(lambda body: (body,)),
    )


paths = st.one_of(
    st.sampled_from(
        [
            "/",
            "/r/{token}",
            "/static/review.js",
            "/api/me",
            "/api/status",
            "/api/next",
            "/api/lease/{token}",
            "/api/lease/{token}/answer",
            "/image/{token}",
            "/image/{token}/face/p0",
            "/image/{token}/face/n0",
            "/static/..%2f..%2fledger.sqlite",
            "/image/%00",
        ]
    ),
    st.text(max_size=20).map(lambda text: f"/{text}"),
    st.text(max_size=20).map(lambda text: f"/image/{text}"),
    st.text(max_size=20).map(lambda text: f"/r/{text}"),
    st.text(max_size=20),
)
queries = st.one_of(
    st.just(b""),
    st.lists(numbers, min_size=3, max_size=5).map(
        lambda sides: b"crop=" + ",".join(map(str, sides)).encode()
    ),
    st.binary(max_size=20),
)
usual = (
    (b"host", b"h"),
    (b"x-sfumato", b"1"),
    (b"content-type", b"application/json"),
)
names = st.sampled_from(
    "host origin cookie content-length content-type if-none-match sec-fetch-site sec-fetch-dest "
    "x-sfumato x-forwarded-for range expect".split()
).map(str.encode)
values = st.one_of(
    st.binary(max_size=20),
    st.sampled_from([b"h", b"http://h", b"same-origin", b"3", b"\xff", b"text/plain"]),
)
headers = st.one_of(
    *[st.just(usual)] * 5,
    st.lists(st.tuples(names, values), max_size=4).map(tuple),
    st.lists(st.tuples(names, values), max_size=3).map(lambda more: (*usual, *more)),
    st.integers(0, len(usual) - 1).map(lambda gone: usual[:gone] + usual[gone + 1 :]),
)
methods = st.one_of(
    st.sampled_from("GET POST PUT DELETE HEAD PATCH OPTIONS TRACE".split()),
    st.text("ABCDEFGHIJ", min_size=1, max_size=5),
)


def sent(
    method: st.SearchStrategy[str], path: st.SearchStrategy[str], body: st.SearchStrategy[Any]
) -> st.SearchStrategy[Sent]:
    known = st.sampled_from([True] * 7 + [False])
    return st.builds(Sent, method, path, queries, headers, as_sent(body), known)


IMAGES = st.sampled_from(["/image/{token}", "/image/{token}/face/p0"])
requests = st.one_of(
    sent(st.just("POST"), st.just("/api/next"), NEXT),
    sent(st.just("PUT"), st.just("/api/lease/{token}"), DRAFT),
    sent(st.just("POST"), st.just("/api/lease/{token}/answer"), ANSWER),
    sent(st.just("POST"), st.just("/api/lease/{token}/answer"), ANSWER),
    sent(st.just("DELETE"), st.just("/api/lease/{token}"), NOTHING),
    sent(st.just("GET"), IMAGES, NOTHING),
    sent(methods, paths, st.one_of(DRAFT, ANSWER, anything)),
    sent(methods, paths, st.one_of(DRAFT, ANSWER, anything)),
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with served(tmp_path_factory.mktemp("fuzz"), 12) as service:
        yield service.again(limits=NO_LIMITS)


class Reviewer:
    """Somebody with images on lease; somebody new when there is none left for them."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.browser = service.browser()
        self.tokens: list[str] = []

    def token(self) -> str:
        """Return a token that is good now, most of the time."""
        if not self.tokens:
            leases = self.browser.next(4)
            if not leases:
                self.browser = Browser(self.service)
                self.browser = self.service.browser()
                leases = self.browser.next(4)
            self.tokens = [lease["token"] for lease in leases]
        return self.tokens[-1]

    def tell(self, sent: Sent, status: int) -> None:
        """Forget an image that was answered or given back."""
        if sent.method in ("POST", "DELETE") and "{token}" in sent.path and status == 200:
            self.tokens.pop()


def deliver(reviewer: Reviewer, sent: Sent) -> tuple[int, dict[bytes, bytes], bytes]:
    path = sent.path.replace("{token}", reviewer.token())
    cookie = (b"cookie", f"sfumato={reviewer.browser.secret}".encode())
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": sent.method,
        "path": unquote_to_bytes(path).decode("utf-8", "replace"),
        "raw_path": path.encode("utf-8", "surrogatepass"),
        "query_string": sent.query,
        "root_path": "",
        "headers": [*sent.headers, *([cookie] if sent.known else [])],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    parts = list(sent.body)
    out: list[Message] = []

    async def receive() -> Message:
        if not parts:
            return {"type": "http.disconnect"}
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message: Message) -> None:
        out.append(message)

    async def one() -> None:
        await reviewer.service.app(scope, receive, send)

    reviewer.service.runner.run(one())
    body = b"".join(message.get("body", b"") for message in out[1:])
    return out[0]["status"], dict(out[0]["headers"]), body


def check(reviewer: Reviewer, sent: Sent) -> int:
    status, found, body = deliver(reviewer, sent)
    assert 200 <= status < 500
    assert found[b"content-security-policy"] == POLICY.encode()
    assert found[b"x-content-type-options"] == b"nosniff"
    words = body + b"".join(name + value for name, value in found.items())
    assert not [word for word in LEAKS if word in words]
    if status >= 400 and not sent.path.startswith("/r/") and sent.method != "HEAD":
        assert set(json.loads(body)) == {"error", "code"}
    reviewer.tell(sent, status)
    return status


def run(service: Service, examples: int, *, same: bool) -> set[int]:
    reviewer = Reviewer(service)
    statuses: set[int] = set()

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=same,
        phases=(Phase.generate,) if same else tuple(Phase),
        suppress_health_check=list(HealthCheck),
    )
    @given(requests)
    def one(sent: Sent) -> None:
        statuses.add(check(reviewer, sent))

    one()
    return statuses


@pytest.mark.slow
def test_made_up_requests_get_an_answer(service: Service) -> None:
    statuses = run(service, 30, same=True)
    assert 200 in statuses  # it does get behind the first door
    assert statuses & {400, 422}


@pytest.mark.slow
def test_more_made_up_requests_get_an_answer(service: Service) -> None:
    statuses = run(service, 1_000, same=True)
    assert statuses >= {200, 400, 401, 403, 404, 405, 415, 422}


@pytest.mark.fuzz
@pytest.mark.timeout(3600)
def test_many_made_up_requests_get_an_answer(service: Service) -> None:
    statuses = run(service, 20_000, same=False)
    assert statuses >= {200, 400, 401, 403, 404, 405, 415, 422}
