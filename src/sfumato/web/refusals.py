"""What the server says when it refuses: a sentence for people, a code for the page, a status.

Sentences are fixed texts. Nothing of the request, of the source or of the machine goes into one.
"""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from sfumato.errors import Code, LedgerError, SampleError, SfumatoError
from sfumato.review.store import BadMarks, Conflict, Expired, NotAllowed, UnknownLease


class Refusal(SfumatoError):
    """A request that isn't answered: HTTP status, stable code, sentence.

    `retry_after_s` is what the header of that name says, if it isn't 0.
    """

    def __init__(self, status: int, code: str, sentence: str, *, retry_after_s: int = 0) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.sentence = sentence
        self.retry_after_s = retry_after_s

    def response(self) -> Response:
        """Return it as it goes out."""
        body = {"error": self.sentence, "code": self.code}
        headers = {"Retry-After": str(self.retry_after_s)} if self.retry_after_s else None
        return JSONResponse(body, self.status, headers)


def unknown_lease() -> Refusal:
    """Refuse a token; whether it is somebody else's, ran out or never was isn't told."""
    return Refusal(404, "UNKNOWN_LEASE", "This image isn't lent to you; ask for the next one.")


def no_session() -> Refusal:
    """Refuse a request without a valid cookie."""
    return Refusal(401, "NO_SESSION", "Open the link that you were given; it isn't open here.")


def not_allowed() -> Refusal:
    """Refuse what a person's role doesn't include."""
    return Refusal(403, "NOT_ALLOWED", "Your link doesn't allow this.")


def too_often(wait_s: int) -> Refusal:
    """Refuse somebody who asks too often; `wait_s` seconds from now it may go."""
    return Refusal(
        429, "TOO_OFTEN", "Too many requests; wait a moment and try again.", retry_after_s=wait_s
    )


def changed_image() -> Refusal:
    """Refuse to show a file with other bytes than those that were searched."""
    sentence = "The image isn't the one any more that was searched for faces; give it back."
    return Refusal(409, "IMAGE_CHANGED", sentence)


def unreadable_image(error: SampleError) -> Refusal:
    """Refuse to show a file that went or can't be read; the reason stays here."""
    if error.code == Code.LINK_BROKEN:  # not 410: the lease is still theirs
        return Refusal(422, "IMAGE_GONE", "The image isn't there any more; give it back.")
    return Refusal(422, "IMAGE_UNREADABLE", "The image can't be read; give it back.")


def database_busy() -> Refusal:
    """Refuse because the ledger fails: what was sent isn't stored."""
    sentence = "The ledger doesn't answer, so nothing was stored. Try again."
    return Refusal(503, "LEDGER_UNAVAILABLE", sentence, retry_after_s=2)


def internal_error() -> Refusal:
    """Refuse because of a mistake of ours."""
    sentence = "Something went wrong on this side. Try again, or tell who sent you the link."
    return Refusal(500, "INTERNAL_ERROR", sentence, retry_after_s=2)


def of_review(error: SfumatoError) -> Refusal:
    """Return what a reviewer is told of an error of the queue."""
    expired = "The time for this image has run out, and somebody else has it; ask for the next."
    known: dict[type[SfumatoError], Refusal] = {
        UnknownLease: unknown_lease(),
        Expired: Refusal(410, "EXPIRED", expired),
        Conflict: Refusal(409, "CONFLICT", "Another answer to this image is stored already."),
        BadMarks: Refusal(422, "WRONG_BOX", "These boxes can't be stored."),
        NotAllowed: not_allowed(),
        LedgerError: database_busy(),
    }
    return next((known[kind] for kind in type(error).__mro__ if kind in known), internal_error())
