"""What the verbs of review share: the options, and a campaign opened from its ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from sfumato.cli import options
from sfumato.cli.run import absolute
from sfumato.errors import UsageError
from sfumato.ledger.database import Database
from sfumato.ledger.ledger import Ledger, is_there
from sfumato.pipeline.settings import last_recipe
from sfumato.recipe import Recipe
from sfumato.review import store
from sfumato.review.campaign import of_these_settings
from sfumato.review.queue import Queue, Rules

days = click.option(
    "--days",
    type=click.FloatRange(0, 3660, min_open=True),
    default=14.0,
    help="How long a link is valid.",
)
common = options.several(options.source, options.ledger, options.as_json, options.config)


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign's parts: the ledger with the recipe that its images were searched by, its queue.

    `fingerprint` is that of the detections.
    """

    source: Path
    ledger: Ledger
    database: Database
    queue: Queue
    recipe: Recipe

    @property
    def fingerprint(self) -> str:
        """The fingerprint that detections, reviews and decisions are filed under."""
        return self.recipe.fingerprint("detect")

    def must_be_set_up(self) -> None:
        """Raise `UsageError` unless the queue was filled, with what was searched last.

        People's answers about the boxes of other settings would decide on boxes nobody has seen.
        """
        if not store.campaign(self.database, "fingerprint"):
            raise UsageError(
                f"No review of {self.source} has begun: start one with `sfumato review serve "
                f"{self.source}`."
            )
        of_these_settings(self.database, self.fingerprint)


@contextmanager
def opened(src: Path, values: Mapping[str, Any], rules: Rules | None = None) -> Iterator[Campaign]:
    """Open the campaign of a searched source.

    Raises:
        UsageError: no faces were searched in it.
    """
    source = absolute(src)
    where = options.ledger_of(values, source)
    words = f"No faces were searched in {source}: run `sfumato detect {source}` first."
    if not is_there(where):
        raise UsageError(words)
    recipe = last_recipe([where], "detect", words)
    with Ledger(where) as ledger, closing(store.open(where)) as database:
        queue = Queue(database, settings=rules or Rules())
        yield Campaign(source, ledger, database, queue, recipe)
