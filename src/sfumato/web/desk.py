"""Where a person works: the next images, what is seen of them, drafts, answers.

Everything is asked for by the token of a lease. It belongs to one person: to all others, there is
no such lease.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sfumato.ledger.database import Database
from sfumato.review import people
from sfumato.review.joining import Promise, promised
from sfumato.review.people import Invited
from sfumato.review.queue import Queue
from sfumato.review.vocabulary import Extent, Lease, Mark, Person, Progress
from sfumato.types import JSON
from sfumato.web import bodies
from sfumato.web.images import CROP, ServedImages, Wanted, seen_around
from sfumato.web.refusals import Refusal, known
from sfumato.web.workers import Workers

_TOKEN = re.compile(r"[A-Za-z0-9_-]{8,128}", re.ASCII)


class Desk:
    """The endpoints of one campaign; see `docs/review-http.md`."""

    def __init__(
        self, database: Database, queue: Queue, images: ServedImages, workers: Workers
    ) -> None:
        self._database = database
        self._queue = queue
        self._images = images
        self._workers = workers

    async def me(self, _: Request, person: Person) -> Response:
        """Say who asks, how far they have come, and the code that they have earned by it."""

        def work() -> tuple[Progress, Promise | None]:
            return self._queue.progress(person), promised(self._database, person)

        progress, kept = await self._workers.ledger(work)
        shown: JSON = {
            "role": person.role,
            "answered": progress.answered,
            "left": progress.left,
            "redact": self._queue.settings.redact,
            "tutorial": progress.tutorial,
        }
        if kept is not None:
            shown["quota"] = kept.quota
            if code := kept.earned(progress):
                shown["completion"] = code
        return JSONResponse(shown)

    async def next(self, request: Request, person: Person) -> Response:
        """Give what the person holds, with drafts, and new images up to the number asked for."""
        count, gallery = bodies.wanted(bodies.parse(await request.body()))

        def work() -> JSON:
            held = [lease for lease in self._queue.held(person) if lease.gallery == gallery]
            missing = count - len(held)
            if missing > 0:
                held += self._queue.lease(person, count=missing, gallery=gallery)
            leases = [self._shown(lease, person) for lease in held[:count]]
            return {"leases": leases, "left": self._queue.progress(person).left}

        return JSONResponse(await self._workers.ledger(work))

    async def save(self, request: Request, person: Person) -> Response:
        """Store a draft, and renew the lease."""
        lease = await self._lease(request, person)
        version, marks = bodies.draft(bodies.parse(await request.body()), _frame(lease))
        save = partial(self._queue.save, lease.token, person, version, marks)
        return JSONResponse({"version": await self._workers.ledger(save)})

    async def answer(self, request: Request, person: Person) -> Response:
        """Store the answer; the same again changes nothing."""
        lease = await self._lease(request, person)
        answer = bodies.answer(bodies.parse(await request.body()), _frame(lease))
        submit = partial(self._queue.submit, lease.token, person, answer)
        return JSONResponse({"score": await self._workers.ledger(submit)})

    async def give_back(self, request: Request, person: Person) -> Response:
        """Let somebody else have the image."""
        lease = await self._lease(request, person)
        await self._workers.ledger(partial(self._queue.give_back, lease.token, person))
        return JSONResponse({})

    async def image(self, request: Request, person: Person) -> Response:
        """Show an image at the size of a screen, or a window of it pixel by pixel."""
        lease = await self._open(request, person)
        wanted = self._wanted(lease)
        text = request.query_params.get("crop")
        if text is None:
            make = partial(self._images.screen, wanted)
            return await self._seen(lease.token, person, "whole", make)
        window = bodies.crop(text, _frame(lease), CROP)
        make = partial(self._images.crop, wanted, window)
        return await self._seen(lease.token, person, "crop", make)

    async def face(self, request: Request, person: Person) -> Response:
        """Show what one mark holds, for the gallery."""
        lease = await self._open(request, person)
        marks = {**_named(lease.shown), **_named(lease.marks)}
        mark = marks.get(request.path_params["mark"])
        if mark is None:
            raise Refusal(404, "UNKNOWN_MARK", "There is no such box in this image.")
        make = partial(self._images.face, self._wanted(lease), mark.box)
        return await self._seen(lease.token, person, "gallery", make)

    async def status(self, _: Request, person: Person) -> Response:
        """Tell a manager how far all have come, and how well each works."""
        if person.role != "manager":
            raise known("NOT_ALLOWED")

        def work() -> JSON:
            progress = self._queue.progress()
            return {
                "progress": {"answered": progress.all_answered, "left": progress.all_left},
                "people": [_figures(each) for each in people.people(self._database)],
            }

        return JSONResponse(await self._workers.ledger(work))

    async def _lease(self, request: Request, person: Person) -> Lease:
        """Return the lease of this request: open, late or answered."""
        token: str = request.path_params["token"]
        if not _TOKEN.fullmatch(token):
            raise known("UNKNOWN_LEASE")
        lease = await self._workers.ledger(partial(self._queue.lease_of, token, person))
        if lease is None:
            raise known("UNKNOWN_LEASE")
        return lease

    async def _open(self, request: Request, person: Person) -> Lease:
        """Return the lease of this request, which must be open: to look is a matter of now."""
        lease = await self._lease(request, person)
        if not lease.open:
            raise known("UNKNOWN_LEASE")
        return lease

    async def _seen(
        self, token: str, person: Person, what: Extent, make: Callable[[], bytes]
    ) -> Response:
        """Make the image, note who sees it, then send it: never without the note."""
        data = await self._workers.decoding(make)
        await self._workers.ledger(partial(self._queue.saw, person, token, what))
        return Response(data, media_type="image/jpeg")

    def _wanted(self, lease: Lease) -> Wanted:
        """Return what may be seen; what was drawn since uncovers nothing."""
        redacted = self._queue.settings.redact and not lease.whole
        shown = seen_around([mark.box for mark in lease.shown]) if redacted else None
        return Wanted(lease.key, lease.digest, lease.width, lease.height, shown, eye=lease.token)

    def _shown(self, lease: Lease, person: Person) -> JSON:
        """Return a lease as the browser may have it: no key, no digest, no reason, no person."""
        shown: JSON = {
            "token": lease.token,
            "width": lease.width,
            "height": lease.height,
            "image": f"/image/{lease.token}",
            "marks": _listed(lease.marks),
            "version": lease.version,
            "expires": lease.expires,
            "whole": lease.whole,
            "adjudication": lease.adjudication,
        }
        if lease.adjudication and person.role != "reviewer":
            shown["others"] = [_listed(marks) for marks in self._queue.others(lease)]
        return shown


def _frame(lease: Lease) -> bodies.Frame:
    return bodies.Frame(lease.width, lease.height, _named(lease.shown))


def _figures(invited: Invited) -> JSON:
    """Return what a manager sees of a person; `gold` is the share passed, null for none yet."""
    return {
        "id": invited.person.id,
        "name": invited.person.name,
        "role": invited.person.role,
        "expires": invited.expires,
        "revoked": invited.revoked is not None,
        "answered": invited.answered,
        "gold": invited.passed / invited.gold if invited.gold else None,
        "seconds": invited.seconds,
    }


def _named(marks: Sequence[Mark]) -> dict[str, Mark]:
    """Return marks by the ids that a browser knows them by: p<k> proposed, n<k> drawn."""
    return {mark.proposal or f"n{place}": mark for place, mark in enumerate(marks)}


def _listed(marks: Sequence[Mark]) -> list[JSON]:
    return [
        {
            "id": name,
            "box": list(mark.box),
            "kind": mark.kind,
            "proposal": mark.proposal,
            "score": mark.score,
        }
        for name, mark in _named(marks).items()
    ]
