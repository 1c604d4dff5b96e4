"""People one knows: each gets a secret link to our own page, by whatever way one likes."""

from __future__ import annotations

from collections.abc import Iterator

from sfumato.database import Database
from sfumato.review import people
from sfumato.review.providers import Offer, Submission, Work


class LocalPeople:
    """Links to the page at `url`, valid for `days`. Nothing is spent."""

    name = "local"

    def __init__(self, database: Database, url: str, *, days: float = 30) -> None:
        self._database = database
        self._url = url.rstrip("/")
        self._days = days

    def offer(self, work: Work) -> Offer:
        """Make `work.places` links; each is shown this once."""
        links = tuple(
            f"{self._url}/r/{self._invite(f'{work.title} {number}')}"
            for number in range(1, work.places + 1)
        )
        return Offer(work.title, self.name, "open", links)

    def _invite(self, name: str) -> str:
        return people.invite(self._database, name, "reviewer", days=self._days)

    def publish(self, offer: Offer, *, most: int) -> Offer:  # noqa: ARG002 (nothing is spent)
        """Give the offer back: its links work already."""
        return offer

    def submissions(self, offer: Offer) -> Iterator[Submission]:
        """Yield who has a link, by pseudonym."""
        for one in people.people(self._database):
            if one.person.name.rpartition(" ")[0] == offer.id:
                done = one.revoked is not None
                yield Submission(one.person.id, one.person.id, "accepted" if done else "working")

    def settle(self, submission: Submission, *, accepted: bool) -> None:  # noqa: ARG002
        """End a person's link; what they said stays, and counts by how good it is."""
        people.revoke(self._database, submission.person)

    def stop(self, offer: Offer) -> Offer:
        """End all links of the offer."""
        for one in list(self.submissions(offer)):
            people.revoke(self._database, one.person)
        return Offer(offer.id, self.name, "closed", ())
