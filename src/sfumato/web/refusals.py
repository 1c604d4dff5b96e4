"""What the server says when it refuses: a sentence for people, a code for the page, a status.

Sentences are fixed texts. Nothing of the request, of the source or of the machine goes into one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.responses import JSONResponse, Response

from sfumato.errors import LedgerError, SfumatoError
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


# Status and sentence of what several places refuse.
_KNOWN: Final[Mapping[str, tuple[int, str]]] = {
    # Whether it is somebody else's, ran out or never was isn't told.
    "UNKNOWN_LEASE": (404, "This image isn't lent to you; ask for the next one."),
    "NOT_FOUND": (404, "There is nothing here."),
    "WRONG_METHOD": (405, "This address isn't used in that way."),
    "NO_SESSION": (401, "Open the link that you were given; it isn't open here."),
    "NOT_ALLOWED": (403, "Your link doesn't allow this."),
    "OTHER_ORIGIN": (403, "This must be asked from the review page itself."),
    "TOO_OFTEN": (429, "Too many requests; wait a moment and try again."),
    "CONFLICT": (409, "Another answer to this image is stored already."),
    "EXPIRED": (
        410,
        "The time for this image has run out, and somebody else has it; ask for the next.",
    ),
    "IMAGE_CHANGED": (
        409,
        "The image isn't the one any more that was searched for faces; give it back.",
    ),
    # Not 410: the lease is still theirs.
    "IMAGE_GONE": (422, "The image isn't there any more; give it back."),
    "IMAGE_UNREADABLE": (422, "The image can't be read; give it back."),
    "WRONG_BOX": (422, "These boxes can't be stored."),
    "TOO_LARGE": (413, "The body is too large."),
    "LEDGER_UNAVAILABLE": (503, "The ledger doesn't answer, so nothing was stored. Try again."),
    "INTERNAL_ERROR": (
        500,
        "Something went wrong on this side. Try again, or tell who sent you the link.",
    ),
}
_AGAIN_S: Final = {"TOO_OFTEN": 1, "LEDGER_UNAVAILABLE": 2, "INTERNAL_ERROR": 2}
_OF_REVIEW: Final[Mapping[type[SfumatoError], str]] = {
    UnknownLease: "UNKNOWN_LEASE",
    Expired: "EXPIRED",
    Conflict: "CONFLICT",
    BadMarks: "WRONG_BOX",
    NotAllowed: "NOT_ALLOWED",
    LedgerError: "LEDGER_UNAVAILABLE",
}


def known(code: str, *, wait_s: int = 0) -> Refusal:
    """Return the refusal of this code; `wait_s` seconds from now it may go."""
    status, sentence = _KNOWN[code]
    return Refusal(status, code, sentence, retry_after_s=wait_s or _AGAIN_S.get(code, 0))


def of_review(error: SfumatoError) -> Refusal:
    """Return what a reviewer is told of an error of the queue."""
    codes = (_OF_REVIEW[kind] for kind in type(error).__mro__ if kind in _OF_REVIEW)
    return known(next(codes, "INTERNAL_ERROR"))
