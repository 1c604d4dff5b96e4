from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sfumato.web.admission import POLICY, Admission
from sfumato.web.limits import Limits
from sfumato.web.rates import Rate

GOOD = {"X-Sfumato": "1", "Content-Type": "application/json", "Origin": "http://h:1"}
ANY_HOST = Limits(frozenset({""}))


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    await Response(body, headers={"Cache-Control": "no-cache"} if body == b"static" else None)(
        scope, receive, send
    )


def ask(
    method: str = "POST",
    path: str = "/api/x",
    content: bytes | AsyncIterator[bytes] = b"{}",
    *,
    headers: dict[str, str] | list[tuple[str, str]] = GOOD,
    limits: Limits = ANY_HOST,
    rate: Rate | None = None,
) -> httpx.Response:
    app = Admission(echo, limits=limits, addresses=rate or Rate(1, 100, lambda: 0.0))

    async def one() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://h:1") as client:
            return await client.request(method, path, content=content, headers=headers)

    return asyncio.run(one())


def test_a_good_request_passes_with_its_body() -> None:
    assert ask(content=b'{"a": 1}').text == '{"a": 1}'


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in GOOD.items() if key != name}


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        (without("X-Sfumato"), 403, "NOT_DELIBERATE"),
        ({**GOOD, "X-Sfumato": "0"}, 403, "NOT_DELIBERATE"),
        ({**GOOD, "Origin": "http://evil"}, 403, "OTHER_ORIGIN"),
        ({**GOOD, "Origin": "http://h:2"}, 403, "OTHER_ORIGIN"),
        ({**GOOD, "Origin": "null"}, 403, "OTHER_ORIGIN"),
        ({**GOOD, "Origin": ""}, 403, "OTHER_ORIGIN"),
        ([*GOOD.items(), ("Origin", "http://evil")], 403, "OTHER_ORIGIN"),
        ({**GOOD, "Sec-Fetch-Site": "cross-site"}, 403, "OTHER_ORIGIN"),
        ({**GOOD, "Sec-Fetch-Site": "same-site"}, 403, "OTHER_ORIGIN"),
        (without("Content-Type"), 415, "NOT_JSON"),
        ({**GOOD, "Content-Type": "text/plain"}, 415, "NOT_JSON"),
        ({**GOOD, "Content-Type": "application/x-www-form-urlencoded"}, 415, "NOT_JSON"),
        ({**GOOD, "Content-Encoding": "gzip"}, 415, "NOT_JSON"),
        ({**GOOD, "Content-Length": "-1"}, 400, "WRONG_LENGTH"),
        ({**GOOD, "Content-Length": "9" * 30}, 413, "TOO_LARGE"),
    ],
)
def test_what_another_page_could_send_is_refused(
    headers: dict[str, str], status: int, code: str
) -> None:
    response = ask(headers=headers)
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_without_an_origin_and_with_a_charset_it_passes() -> None:
    plain = {**without("Origin"), "Content-Type": "Application/JSON; charset=utf-8"}
    assert ask(headers=plain).status_code == 200


@pytest.mark.parametrize("path", ["/api/me", "/image/abc"])
def test_other_pages_cannot_even_look(path: str) -> None:
    for site in ("cross-site", "same-site"):
        response = ask("GET", path, b"", headers={"Sec-Fetch-Site": site})
        assert response.status_code == 403
    assert ask("GET", path, b"", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/r/secret", "/static/review.js"])
def test_a_link_in_a_message_leads_in(path: str) -> None:
    assert ask("GET", path, b"", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_a_body_may_have_a_megabyte_and_no_more() -> None:
    assert ask(content=b" " * 1_000_000).status_code == 200
    response = ask(content=b" " * 1_000_001)
    assert (response.status_code, response.json()["code"]) == (413, "TOO_LARGE")


def test_a_body_without_a_length_is_counted_as_it_comes() -> None:
    taken: list[int] = []

    async def endless() -> AsyncIterator[bytes]:
        for number in range(1_000):
            taken.append(number)
            yield b" " * 65_536

    # httpx's transport without a socket would put all parts together first.
    async def one() -> list[int]:
        parts = endless()
        sent: list[int] = []

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": await anext(parts), "more_body": True}

        async def send(message: object) -> None:
            if isinstance(message, dict) and message["type"] == "http.response.start":
                sent.append(message["status"])

        headers = [(key.lower().encode(), value.encode()) for key, value in GOOD.items()]
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/api/x",
            "headers": [*headers, (b"host", b"h:1")],
        }
        await Admission(echo, limits=ANY_HOST, addresses=Rate(1, 9, lambda: 0.0))(
            scope,
            receive,
            send,
        )
        await parts.aclose()  # type: ignore[attr-defined] # a generator, which has it
        return sent

    assert asyncio.run(one()) == [413]
    assert len(taken) == 16


def test_a_body_that_never_comes_is_given_up() -> None:
    async def one() -> int:
        status: list[int] = []

        async def receive() -> dict[str, object]:
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: object) -> None:
            if isinstance(message, dict) and message["type"] == "http.response.start":
                status.append(message["status"])

        headers = [(key.lower().encode(), value.encode()) for key, value in GOOD.items()]
        scope = {
            "type": "http",
            "method": "PUT",
            "path": "/api/x",
            "headers": [*headers, (b"host", b"h:1")],
        }
        limits = Limits(frozenset({""}), body_s=0.01)
        await Admission(echo, limits=limits, addresses=Rate(1, 9, lambda: 0.0))(
            scope,
            receive,
            send,
        )
        return status[0]

    assert asyncio.run(one()) == 408


def test_only_known_names_are_answered_to() -> None:
    limits = Limits(hosts=frozenset({"h", "[::1]"}))
    assert ask(limits=limits).status_code == 200
    for host in ("evil", "evil:1", "h.evil:1", ""):
        response = ask(limits=limits, headers={**GOOD, "Host": host})
        assert (response.status_code, response.json()["code"]) == (421, "WRONG_HOST")
    six = {**GOOD, "Host": "[::1]:1", "Origin": "http://[::1]:1"}
    assert ask(limits=limits, headers=six).status_code == 200


def test_every_response_says_what_a_browser_may_do_with_it() -> None:
    for response in (ask(), ask(headers={}), ask("GET", "/", b"", headers={})):
        assert response.headers["content-security-policy"] == POLICY
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "no-referrer"
        assert response.headers["cross-origin-opener-policy"] == "same-origin"
        assert response.headers["cross-origin-resource-policy"] == "same-origin"
        assert response.headers["cache-control"] == "private, no-store"
    assert ask(content=b"static").headers["cache-control"] == "no-cache"


def test_who_asks_too_often_has_to_wait() -> None:
    now = [0.0]
    rate = Rate(2.0, 3, lambda: now[0])
    assert [ask(rate=rate).status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = ask(rate=rate)
    assert (refused.json()["code"], refused.headers["retry-after"]) == ("TOO_OFTEN", "1")
    now[0] += 1.0
    assert [ask(rate=rate).status_code for _ in range(3)] == [200, 200, 429]


@pytest.mark.slow
def test_a_rate_is_each_names_own_and_forgets() -> None:
    rate = Rate(0.5, 1, lambda: 0.0)
    assert (rate.wait("a"), rate.wait("a"), rate.wait("b")) == (0, 2, 0)
    assert rate.wait("c", cost=0) == rate.wait("c", cost=0) == 0
    for number in range(20_001):
        rate.wait(str(number))
    assert rate.wait("a") == 0  # long forgotten
