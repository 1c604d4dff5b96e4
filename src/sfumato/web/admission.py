"""What a request must be before anything looks at it, and what every response carries.

A plain ASGI layer: who asks too often, for another host, from another page, or sends what isn't
JSON or is too large, is refused here. Everything that leaves is marked as not to be stored,
framed, sniffed, embedded elsewhere or told about to other sites.
"""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sfumato.web.limits import Limits
from sfumato.web.rates import Rate
from sfumato.web.refusals import Refusal, known

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "X-Robots-Tag": "noindex, nofollow, noarchive",
}
# Another site may lead here: a link in a message does, and the service that sends participants.
_OPEN: Final = ("/static/", "/r/", "/join/")


class Admission:
    """Wraps an application: see the module."""

    def __init__(self, app: ASGIApp, *, limits: Limits, addresses: Rate) -> None:
        self.app = app
        self._limits = limits
        self._addresses = addresses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                mark(MutableHeaders(scope=message))
            await send(message)

        try:
            receive = await self._admit(scope, receive)
        except Refusal as refusal:
            await refusal.response()(scope, receive, guarded)
            return
        await self.app(scope, receive, guarded)

    async def _admit(self, scope: Scope, receive: Receive) -> Receive:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not {"", _name(host)} & self._limits.hosts:
            raise Refusal(421, "WRONG_HOST", "This server isn't called by that name.")
        if wait_s := self._addresses.wait(address_of(scope)):
            raise known("TOO_OFTEN", wait_s=wait_s)
        if scope["path"] != "/" and not scope["path"].startswith(_OPEN):
            _from_own_page(headers, host)
        if scope["method"] in ("GET", "HEAD"):
            return receive
        _deliberate(headers)
        return _once(await self._body(headers, receive))

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        """Read the body, as far as it may go: whatever Content-Length says, or without one."""
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            raise Refusal(400, "WRONG_LENGTH", "Content-Length must be a number.")
        if len(length) > 12 or int(length) > self._limits.body_bytes:
            raise known("TOO_LARGE")
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._limits.body_s):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refusal(400, "CUT_SHORT", "The body ended too early.")
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > self._limits.body_bytes:
                        raise known("TOO_LARGE")
                    more = message.get("more_body", False)
        except TimeoutError as error:
            raise Refusal(408, "TOO_SLOW", "The body took too long to arrive.") from error
        return b"".join(parts)


def address_of(scope: Scope) -> str:
    """Return the address that a connection comes from."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def _name(host: str) -> str:
    """Return a Host header without its port, in lower case; an IPv6 address keeps its brackets."""
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdigit() else host.lower()


def _from_own_page(headers: Headers, host: str) -> None:
    """Refuse what another page makes a browser ask for.

    SameSite cookies don't do it alone: another port of the same machine is the same site.
    """
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        raise known("OTHER_ORIGIN")
    for origin in headers.getlist("origin"):
        if not host or origin.lower().partition("://")[2] != host.lower():
            raise known("OTHER_ORIGIN")


def _deliberate(headers: Headers) -> None:
    """Refuse what a form of another page could send."""
    if headers.getlist("x-sfumato") != ["1"]:
        raise Refusal(403, "NOT_DELIBERATE", "Requests that change something need X-Sfumato: 1.")
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" or "content-encoding" in headers:
        raise Refusal(415, "NOT_JSON", "The body must be application/json.")


def _once(body: bytes) -> Receive:
    """Return what gives this body, and then that nothing follows."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive


def mark(headers: MutableHeaders) -> None:
    """Say to browsers and caches what may be done with a response: next to nothing."""
    for name, value in _HEADERS.items():
        headers[name] = value
    headers.setdefault("Cache-Control", "private, no-store")
