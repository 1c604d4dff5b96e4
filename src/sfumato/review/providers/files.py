"""People who work with another tool: a file goes out, and a file comes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sfumato.database import Database
from sfumato.formats.annotations import Tool, export, load
from sfumato.review.exchange import incoming, outgoing
from sfumato.review.providers import Offer, Submission, Work


class Files:
    """Files of one tool. `path` goes out; `back` is where the annotated one is put."""

    name = "files"

    def __init__(
        self, database: Database, path: Path, tool: Tool, *, back: Path, prefix: str = ""
    ) -> None:
        self._database = database
        self._path, self._back = path, back
        self._tool: Tool = tool
        self._prefix = prefix

    def offer(self, work: Work) -> Offer:
        """Write the `work.pictures` most urgent pictures."""
        pictures = outgoing(self._database, work.pictures)
        export(self._path, pictures, self._tool, prefix=self._prefix)
        return Offer(str(self._path), self.name, "open", (str(self._path),))

    def publish(self, offer: Offer, *, most: int) -> Offer:  # noqa: ARG002 (nothing is spent)
        """Give the offer back: the file is written."""
        return offer

    def submissions(self, offer: Offer) -> Iterator[Submission]:  # noqa: ARG002 (one file)
        """Take the file that came back; yield its annotators, by pseudonym. Again is no harm."""
        if self._back.is_file():
            taken = incoming(self._database, load(self._back, self._tool), self._tool)
            for person in sorted(taken.people):
                yield Submission(person, person, "done")

    def settle(self, submission: Submission, *, accepted: bool) -> None:
        """Do nothing: who annotates elsewhere is settled with elsewhere."""

    def stop(self, offer: Offer) -> Offer:
        """Close the offer; what was written stays."""
        return Offer(offer.id, self.name, "closed", offer.places)
