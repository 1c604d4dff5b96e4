"""The routes: what `docs/review-http.md` describes, and nothing besides."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Final, TypeAlias

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sfumato.errors import SfumatoError
from sfumato.ledger.database import Database
from sfumato.review import joining
from sfumato.review.queue import Queue
from sfumato.review.vocabulary import Person
from sfumato.web import sessions, statics
from sfumato.web.admission import Admission, address_of, mark
from sfumato.web.desk import Desk
from sfumato.web.images import ServedImages
from sfumato.web.limits import Limits
from sfumato.web.rates import Rate
from sfumato.web.refusals import Refusal, known, of_review
from sfumato.web.workers import Workers

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]
_LOG: Final = logging.getLogger("sfumato.web")
_STATUS: Final = {404: "NOT_FOUND", 405: "WRONG_METHOD"}


def build(
    database: Database,
    queue: Queue,
    root: Path,
    *,
    limits: Limits = Limits(),  # noqa: B008
    page: Path = statics.FOLDER,
    clock: Callable[[], float] = monotonic,
) -> Starlette:
    """Return the application for a review of the images below `root`.

    `clock` gives the seconds by which rates are limited. Closing the database is the caller's.

    Raises:
        UsageError: the page isn't part of the installation.
    """
    workers = Workers(decodes=limits.decodes, waiting=limits.waiting)
    site = _Site(database, limits, workers, statics.Statics(page), clock)
    desk = Desk(database, queue, ServedImages(root, memory=limits.memory), workers)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        workers.close()

    rate = Rate(*limits.address, clock=clock)
    app = Starlette(
        routes=_routes(site, desk),
        middleware=[Middleware(Admission, limits=limits, addresses=rate)],
        exception_handlers={
            HTTPException: _http,
            SfumatoError: _refused,
            Exception: _mistake,
            **dict.fromkeys(database.errors, _busy),
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # a redirection would repeat the path that was asked for
    return app


def _routes(site: _Site, desk: Desk) -> list[Route]:
    return [
        Route("/", site.index),
        Route("/static/{name}", site.static),
        Route("/r/{secret}", site.enter),
        Route("/join/{secret}", site.join),
        Route("/api/me", site.signed(desk.me)),
        Route("/api/status", site.signed(desk.status)),
        Route("/api/next", site.signed(desk.next), methods=["POST"]),
        Route("/api/lease/{token}", site.signed(desk.save), methods=["PUT"]),
        Route("/api/lease/{token}", site.signed(desk.give_back), methods=["DELETE"]),
        Route("/api/lease/{token}/answer", site.signed(desk.answer), methods=["POST"]),
        Route("/image/{token}", site.signed(desk.image)),
        Route("/image/{token}/face/{mark}", site.signed(desk.face)),
    ]


class _Site:
    """What needs no person: the page, the way in; and who it is that asks."""

    def __init__(
        self,
        database: Database,
        limits: Limits,
        workers: Workers,
        files: statics.Statics,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._workers = workers
        self._files = files
        self._people = Rate(*limits.person, clock=clock)
        self._failed = Rate(*limits.failed_links, clock=clock)

    async def index(self, request: Request) -> Response:
        return self._files.serve(request, statics.INDEX)

    async def static(self, request: Request) -> Response:
        return self._files.serve(request, request.path_params["name"])

    async def enter(self, request: Request) -> Response:
        """Turn a secret link into a cookie."""
        secret: str = request.path_params["secret"]

        def own() -> str | None:
            return secret if sessions.person_of(self._database, secret) else None

        return await self._let_in(request, own)

    async def join(self, request: Request) -> Response:
        """Let a participant of an outside service in; who comes again is the same person."""
        door: str = request.path_params["secret"]
        participant = request.query_params.get("PROLIFIC_PID", "")
        own = partial(joining.come_in, self._database, door, participant)
        return await self._let_in(request, own)

    async def _let_in(self, request: Request, own: Callable[[], str | None]) -> Response:
        """Give the cookie of a person's `own` secret; who tries many links has to wait."""
        address = address_of(request.scope)
        if wait_s := self._failed.wait(address, cost=0):
            raise known("TOO_OFTEN", wait_s=wait_s)
        if request.headers.get("sec-fetch-dest", "document") != "document":
            return sessions.refused()  # an image or a frame of another page
        secret = await self._workers.ledger(own)
        if secret is None:
            self._failed.wait(address)
            return sessions.refused()
        return sessions.entered(request, secret)

    def signed(self, endpoint: Callable[[Request, Person], Awaitable[Response]]) -> Endpoint:
        """Return an endpoint that a person with a cookie may use, so many times in a while."""

        async def signed(request: Request) -> Response:
            secret = request.cookies.get(sessions.COOKIE)
            find = partial(sessions.person_of, self._database, secret)
            person = await self._workers.ledger(find)
            if person is None:
                raise known("NO_SESSION")
            if wait_s := self._people.wait(person.id):
                raise known("TOO_OFTEN", wait_s=wait_s)
            return await endpoint(request, person)

        return signed


async def _refused(_: Request, error: Exception) -> Response:
    if isinstance(error, Refusal):
        return error.response()
    refusal = of_review(error) if isinstance(error, SfumatoError) else known("INTERNAL_ERROR")
    if refusal.status >= 500:
        _LOG.error("A request failed: %s", error)
    return refusal.response()


async def _busy(_: Request, error: Exception) -> Response:
    _LOG.error("The ledger failed: %s", error)
    return known("LEDGER_UNAVAILABLE").response()


async def _mistake(_: Request, __: Exception) -> Response:
    response = known("INTERNAL_ERROR").response()
    mark(response.headers)  # outside of what does it for all others
    return response


async def _http(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    other = Refusal(status, "REFUSED", "This can't be answered.")
    response = (known(_STATUS[status]) if status in _STATUS else other).response()
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response
