"""Secret links and the cookie that one of them becomes.

The cookie holds the link's own secret, out of reach of scripts. At rest there is only its
SHA-256, with the person, the role, and when it ends, in the ledger: a session outlives the server,
a revoked link is dead with the next request, and nothing has to be kept twice.
"""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from sfumato.ledger.database import Database
from sfumato.review.people import recognise
from sfumato.review.vocabulary import Person

COOKIE: Final = "sfumato"
_KEPT_S: Final = 30 * 86_400  # by the browser; when the link ends is the server's business
_SECRET = re.compile(r"[A-Za-z0-9_-]{16,200}", re.ASCII)

_REFUSED: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Link refused</title>
<h1>This link doesn't open anything</h1>
<p>It is wrong, has run out, or was revoked. Ask for a new one where you got it.</p>
</html>
"""


def person_of(database: Database, secret: str | None) -> Person | None:
    """Return whose secret this is; None for none, a wrong one, one that ended or was revoked."""
    if secret is None or not _SECRET.fullmatch(secret):
        return None
    return recognise(database, secret)


def entered(request: Request, secret: str) -> Response:
    """Return the way in: the cookie, and on to the page, whose address holds no secret.

    The cookie is for HTTPS alone where the link was. `/` itself must not ask for it: a browser
    that comes from a message's link doesn't send a SameSite=Strict cookie along the redirection.
    """
    response = RedirectResponse("/", 303)
    response.set_cookie(
        COOKIE,
        secret,
        max_age=_KEPT_S,
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return response


def refused() -> Response:
    """Return the page for a link that opens nothing: the same for all reasons."""
    return HTMLResponse(_REFUSED, 403)
