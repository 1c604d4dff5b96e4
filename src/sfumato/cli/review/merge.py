"""`sfumato review merge SRC`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from sfumato.cli.review.desk import Campaign, common, opened
from sfumato.review import outcome, people
from sfumato.review.assessment import assess
from sfumato.review.campaign import draw_of, searched
from sfumato.review.outcome import Merged
from sfumato.review.remainder import Remainder, recall_of, remainder
from sfumato.review.sampling import Draw


@click.command()
@common
def merge(src: Path, **values: Any) -> int:
    """Decide every image that enough people answered, and write the decisions to the ledger.

    Where people disagree, the image goes to adjudicators; until one has decided, every box in
    doubt counts as a face. Raw detections and everybody's boxes stay. Decisions count in the next
    `sfumato run` or `sfumato obfuscate`.
    """
    with opened(src, values) as campaign:
        campaign.must_be_set_up()
        merged, left = decide(campaign)
    if values["as_json"]:
        told = {name: getattr(merged, name) for name in Merged.__dataclass_fields__}
        click.echo(json.dumps({**told, "estimate": left.as_json()}))
    else:
        click.echo(
            f"{merged.decided:,} images decided, {merged.disputed:,} wait for an adjudicator, "
            f"{merged.waiting:,} for more answers; {merged.written:,} decisions are new"
        )
    return 0


def decide(campaign: Campaign) -> tuple[Merged, Remainder]:
    """Merge what was said, and write decisions and the assessment to the ledger."""
    judges = {
        one.person.id for one in people.people(campaign.database) if one.person.role != "reviewer"
    }
    fingerprint = campaign.fingerprint
    given = list(campaign.queue.given())
    merged = outcome.merge(campaign.queue, given, campaign.ledger, fingerprint, judges)
    step = campaign.recipe.obfuscate
    drawn, recall = draw_of(campaign.database), recall_of(given)
    if recall is not None and not recall.found:
        click.echo(
            f"People found none of the {recall.planted} faces of gold images that had no box: "
            "whatever they say of misses can't be relied on.",
            err=True,
        )
        recall = None
    _compare(campaign, drawn)
    left = remainder(campaign.ledger, fingerprint, drawn, given, step=step, recall=recall)
    assessment = assess(given, merged, left)
    if campaign.ledger.latest_of(fingerprint, ("assessment",), "") != assessment:
        campaign.ledger.commit([(fingerprint, assessment)])
    return merged, left


def _compare(campaign: Campaign, drawn: Draw | None) -> None:
    """Say so if the sample was drawn from other images than there are now."""
    now = searched(campaign.ledger, campaign.fingerprint)
    then = sum(stratum.population for stratum in drawn.strata) if drawn else now
    if now != then:
        click.echo(
            f"The sample was drawn from {then:,} images and there are {now:,} now: the estimate "
            f"speaks of the former. `sfumato review serve {campaign.source}` draws anew.",
            err=True,
        )
