"""`sfumato review status SRC`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from sfumato.cli.review.desk import Campaign, common, opened
from sfumato.ledger.records import figures_from
from sfumato.review import crowd, people
from sfumato.review.campaign import draw_of, kinds
from sfumato.review.people import Invited
from sfumato.review.performance import Performance, performances
from sfumato.review.places import images
from sfumato.sources.names import shown
from sfumato.types import JSON, Assessment, Decision


@click.command()
@common
def status(src: Path, **values: Any) -> int:
    """Show how far the review is, who reviews, and how good everybody is.

    Recall and precision are of gold images, agreement of places where most others agree; weight
    is how far the merge believes a person, from 0 to 1. --json has the intervals.
    """
    with opened(src, values) as campaign:
        campaign.must_be_set_up()
        told = _told(campaign)
    if values["as_json"]:
        click.echo(json.dumps(told))
    else:
        _say(told)
    return 0


def _told(campaign: Campaign) -> JSON:
    progress = campaign.queue.progress()
    drawn = draw_of(campaign.database)
    decisions = campaign.ledger.latest(campaign.fingerprint, ("decision",))
    bases = [one.basis for one in decisions if isinstance(one, Decision)]
    last = campaign.ledger.latest_of(campaign.fingerprint, ("assessment",), "")
    now = time.time()
    answered = list(images(campaign.queue.given()))
    believed = crowd.estimate(answered)
    known = {one.person: one for one in performances(answered, crowd=believed)}
    return {
        "answered": progress.all_answered,
        "left": progress.all_left,
        "sample": dict(kinds(drawn)) if drawn else {},
        "decided": sum(basis != "provisional" for basis in bases),
        "disputed": bases.count("provisional"),
        "people": [
            _person(one, known.get(one.person.id), now) for one in people.people(campaign.database)
        ],
        "assessment": figures_from(last.figures) if isinstance(last, Assessment) else None,
    }


def _person(one: Invited, work: Performance | None, now: float) -> JSON:
    link = "revoked" if one.revoked is not None else "valid" if one.expires > now else "expired"
    return {
        "person": one.person.id,
        "name": one.person.name,
        "role": one.person.role,
        "link": link,
        "answered": one.answered,
        "gold": one.gold,
        "gold_passed": one.passed,
        "performance": work.as_json() if work else None,
    }


def _say(told: JSON) -> None:
    click.echo(
        f"{told['answered']:,} answers, {told['left']:,} wanted; {told['decided']:,} images "
        f"decided, {told['disputed']:,} wait for an adjudicator"
    )
    heads = ("answers", "recall", "precision", "agreement", "gold", "weight", "s an image")
    click.echo(f"{'name':<22}{'role':<12}{'link':<9}" + "".join(f"{head:>12}" for head in heads))
    for one in told["people"]:
        cells = "".join(f"{cell:>12}" for cell in _cells(one))
        click.echo(f"{shown(one['name'])[:21]:<22}{one['role']:<12}{one['link']:<9}{cells}")


def _cells(one: JSON) -> tuple[str, ...]:
    work: JSON = one["performance"] or {}
    weight, seconds = work.get("weight"), work.get("seconds")
    return (
        f"{one['answered']:,}",
        *(_share(work.get(name)) for name in ("recall", "precision", "agreement")),
        f"{one['gold_passed']}/{one['gold']}" if one["gold"] else "–",
        "–" if weight is None else f"{weight:.2f}",
        "–" if seconds is None else f"{seconds:.1f}",
    )


def _share(figure: JSON | None) -> str:
    """Return a share with one decimal; a dash for what was not measured."""
    value = figure["value"] if figure else None
    return "–" if value is None else f"{value:.1%}"
