"""`sfumato review status SRC`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from sfumato.cli.review.desk import Campaign, common, opened
from sfumato.review import people
from sfumato.review.campaign import draw_of, kinds
from sfumato.review.people import Invited
from sfumato.types import JSON, Assessment, Decision


@click.command()
@common
def status(src: Path, **values: Any) -> int:
    """Show how far the review is, who reviews, and how good they are by gold pictures."""
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
    return {
        "answered": progress.all_answered,
        "left": progress.all_left,
        "sample": dict(kinds(drawn)) if drawn else {},
        "decided": sum(basis != "provisional" for basis in bases),
        "disputed": bases.count("provisional"),
        "people": [_person(one, now) for one in people.people(campaign.database)],
        "assessment": json.loads(last.figures) if isinstance(last, Assessment) else None,
    }


def _person(one: Invited, now: float) -> JSON:
    link = "revoked" if one.revoked is not None else "valid" if one.expires > now else "expired"
    return {
        "person": one.person.id,
        "name": one.person.name,
        "role": one.person.role,
        "link": link,
        "answered": one.answered,
        "gold": one.gold,
        "gold_passed": one.passed,
        "seconds_per_picture": one.seconds / one.answered if one.answered else None,
    }


def _say(told: JSON) -> None:
    click.echo(
        f"{told['answered']:,} answers, {told['left']:,} wanted; {told['decided']:,} pictures "
        f"decided, {told['disputed']:,} wait for an adjudicator"
    )
    click.echo(f"{'name':<24}{'role':<13}{'link':<9}{'answers':>8}{'gold':>10}{'s a picture':>13}")
    for one in told["people"]:
        gold = f"{one['gold_passed']}/{one['gold']}" if one["gold"] else "–"
        pace = one["seconds_per_picture"]
        shown = "–" if pace is None else f"{pace:.1f}"
        click.echo(
            f"{one['name'][:23]:<24}{one['role']:<13}{one['link']:<9}{one['answered']:>8,}"
            f"{gold:>10}{shown:>13}"
        )
