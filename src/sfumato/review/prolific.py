"""Prolific: paid participants come to our own page (docs.prolific.com, API version 1).

`offer` makes a *draft* study, which costs nothing; only `publish` and `approve` spend, and only
with `prod=True`. A study is published below a limit, and after Prolific itself has said what it
costs. Participants arrive at ``URL/join/SECRET?PROLIFIC_PID=…`` and leave with a completion code.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from sfumato.errors import UsageError

if TYPE_CHECKING:
    import httpx

State: TypeAlias = Literal["draft", "open", "closed"]
# working: has begun. done: says it is finished. accepted and refused: settled by us.
Progress: TypeAlias = Literal["working", "done", "accepted", "refused", "given up"]

API: Final = "https://api.prolific.com"
TOKEN_VARIABLE: Final = "PROLIFIC_API_TOKEN"
_PARAMETERS: Final = "PROLIFIC_PID={{%PROLIFIC_PID%}}&SESSION_ID={{%SESSION_ID%}}"
_TRIES: Final = 4
_STATES: Final[Mapping[str, State]] = {
    "UNPUBLISHED": "draft",
    "SCHEDULED": "open",
    "PUBLISHING": "open",
    "ACTIVE": "open",
    "PAUSED": "closed",
    "AWAITING REVIEW": "closed",
    "COMPLETED": "closed",
}
_PROGRESS: Final[Mapping[str, Progress]] = {
    "RESERVED": "working",
    "ACTIVE": "working",
    "AWAITING REVIEW": "done",
    "APPROVED": "accepted",
    "PARTIALLY APPROVED": "accepted",
    "REJECTED": "refused",
    "SCREENED OUT": "given up",
    "RETURNED": "given up",
    "TIMED-OUT": "given up",
}


@dataclass(frozen=True, slots=True)
class Offer:
    """A study. `cost` in hundredths, fees included; None: not known yet. `page` is where it is."""

    id: str
    provider: str
    state: State
    cost: int | None = 0
    currency: str = ""
    page: str = ""


@dataclass(frozen=True, slots=True)
class Submission:
    """One person's work for a study; `person` is Prolific's own name for that person."""

    id: str
    person: str
    progress: Progress
    code: str = ""


class ProlificError(UsageError):
    """Prolific refused, or couldn't be reached; the message is its own words and what to do."""


def reachable(url: str | None) -> str:
    """Return the address of the review page, without a slash at its end.

    Raises:
        UsageError: there is none, or participants can't reach it safely.
    """
    if not url:
        raise UsageError("Participants need an address: give --url https://…")
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost"):
        raise UsageError(f"Participants send images' boxes to {url!r}: give an address with https.")
    return url.rstrip("/")


class Prolific:
    """Studies on Prolific.

    `code` is what participants bring back (made up if empty); the token is taken from
    PROLIFIC_API_TOKEN. `prod` allows to spend. `api` is another server for tests.

    Raises:
        ImportError: httpx isn't installed, of the extra `review`.
        UsageError: no token.
    """

    def __init__(
        self, *, token: str = "", code: str = "", prod: bool = False, api: str = API
    ) -> None:
        import httpx

        token = token or os.environ.get(TOKEN_VARIABLE, "")
        if not token:
            raise UsageError(f"Prolific needs a token: put it into {TOKEN_VARIABLE}.")
        self.code = code or secrets.token_hex(5).upper()
        self._prod = prod
        self._client = httpx.Client(
            base_url=f"{api}/api/v1", headers={"Authorization": f"Token {token}"}, timeout=30
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def offer(
        self, url: str, title: str, description: str, *, places: int, minutes: int, reward: int
    ) -> Offer:
        """Make a draft of a study; Prolific says what it would cost.

        `url` is where participants come in, `places` how many there may be, `minutes` how long it
        should take, `reward` what one person gets, in hundredths of Prolific's currency.
        """
        joiner = "&" if urlsplit(url).query else "?"
        study = self._call(
            "POST",
            "/studies/",
            {
                "name": title,
                # Known again if the answer to this call is lost.
                "internal_name": f"sfumato {self.code}",
                "description": description,
                "external_study_url": f"{url}{joiner}{_PARAMETERS}",
                "prolific_id_option": "url_parameters",
                "completion_codes": [
                    {
                        "code": self.code,
                        "code_type": "COMPLETED",
                        "actions": [{"action": "MANUALLY_REVIEW"}],
                    }
                ],
                "total_available_places": places,
                "estimated_completion_time": minutes,
                "reward": reward,
            },
        )
        return self._offer(study)

    def publish(self, offer: Offer, *, most: int) -> Offer:
        """Publish a study: from here on people are paid.

        Raises:
            UsageError: not allowed to spend, no price, or a price above `most` hundredths.
        """
        now = self._offer(self._call("GET", f"/studies/{offer.id}/"))
        if now.state == "open":
            return now
        if now.state == "closed":
            raise UsageError(f"The study {offer.id} is over: make a new draft.")
        if not self._prod:
            raise UsageError(
                "Publishing spends money: say --prod. Without it the study stays a draft."
            )
        if now.cost is None:
            raise UsageError("Prolific doesn't say what the study costs: it stays a draft.")
        if now.cost > most:
            raise UsageError(
                f"The study costs {now.cost / 100:.2f} {now.currency}, more than the "
                f"{most / 100:.2f} that --max-cost allows: it stays a draft."
            )
        self._call("POST", f"/studies/{offer.id}/transition/", {"action": "PUBLISH"})
        return self._offer(self._call("GET", f"/studies/{offer.id}/"))

    def submissions(self, offer: Offer) -> Iterator[Submission]:
        """Yield everybody who began, page by page."""
        page = f"/studies/{offer.id}/submissions/?limit=100"
        while page:
            found = self._call("GET", page)
            for row in found.get("results", []):
                yield self._submission(row)
            page = self._own(((found.get("_links") or {}).get("next") or {}).get("href") or "")

    def _own(self, page: str) -> str:
        """Return the address of a further page; the token goes to no other server."""
        there, here = urlsplit(page), urlsplit(str(self._client.base_url))
        if there.netloc and (there.scheme, there.netloc) != (here.scheme, here.netloc):
            raise ProlificError(
                f"Prolific names a page of another server, {there.netloc}: refused."
            )
        return page

    def approve(self, submission: Submission) -> None:
        """Approve a submission, which pays; one that is settled stays as it is.

        Raises:
            UsageError: not allowed to spend.
        """
        if submission.progress in ("accepted", "refused"):
            return
        if not self._prod:
            raise UsageError("Approving pays a participant: say --prod.")
        self._call("POST", f"/submissions/{submission.id}/transition/", {"action": "APPROVE"})

    def stop(self, offer: Offer) -> Offer:
        """Close a study to newcomers; a draft is deleted."""
        now = self._offer(self._call("GET", f"/studies/{offer.id}/"))
        if now.state == "draft":
            self._call("DELETE", f"/studies/{offer.id}/")
            return Offer(offer.id, "prolific", "closed", 0, now.currency)
        if now.state == "open":
            self._call("POST", f"/studies/{offer.id}/transition/", {"action": "STOP"})
        return self._offer(self._call("GET", f"/studies/{offer.id}/"))

    def _offer(self, study: Mapping[str, Any]) -> Offer:
        status = str(study.get("status", "")).upper()
        if status not in _STATES or not study.get("id"):
            raise ProlificError(f"Prolific answered with a study in a state unknown: {status!r}.")
        cost = study.get("total_cost")
        return Offer(
            str(study["id"]),
            "prolific",
            _STATES[status],
            int(cost) if isinstance(cost, int | float) and not isinstance(cost, bool) else None,
            str(study.get("currency_code") or ""),
            f"https://app.prolific.com/researcher/studies/{study['id']}",
        )

    def _submission(self, row: Mapping[str, Any]) -> Submission:
        status = str(row.get("status", "")).upper()
        if status not in _PROGRESS:
            raise ProlificError(f"Prolific answered with a submission unknown: {status!r}.")
        code = str(row.get("study_code") or row.get("entered_code") or "")
        person = str(row.get("participant_id") or row.get("participant") or "")
        return Submission(str(row.get("id", "")), person, _PROGRESS[status], code)

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Call Prolific; what is safe to repeat is, when it is busy or unreachable."""
        import httpx

        for left in reversed(range(_TRIES)):
            try:
                answer = self._client.request(method, path, json=body)
            except httpx.TransportError as error:
                if left and method == "GET":
                    time.sleep(0.2 * 2 ** (_TRIES - left))
                    continue
                raise ProlificError(
                    f"Prolific can't be reached ({error}): look there what was done, try again."
                ) from error
            if left and (answer.status_code == 429 or (answer.is_server_error and method == "GET")):
                time.sleep(_pause(answer, 0.2 * 2 ** (_TRIES - left)))
                continue
            return _content(answer)
        raise AssertionError("the last try returns or raises")


def _pause(answer: httpx.Response, otherwise: float) -> float:
    wanted = answer.headers.get("Retry-After", "")
    return min(float(wanted), 30.0) if wanted.isdecimal() else otherwise


def _content(answer: httpx.Response) -> Any:
    if answer.is_success:
        return answer.json() if answer.content else {}
    words = answer.text[:300]
    if answer.status_code in (401, 403):
        raise ProlificError(f"Prolific refuses the token in {TOKEN_VARIABLE}: {words}")
    raise ProlificError(f"Prolific refused ({answer.status_code}): {words}")
