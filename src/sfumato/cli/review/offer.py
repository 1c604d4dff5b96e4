"""`sfumato review offer SRC`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from sfumato.cli.review.desk import Campaign, common, opened
from sfumato.errors import UsageError
from sfumato.ledger.records import understood
from sfumato.review import people, store
from sfumato.review.joining import close_door, open_door, promised
from sfumato.review.prolific import Offer, Prolific, Submission, reachable

_STORED = "offer"
_STEPS = ("draft", "publish", "status", "settle", "stop")


@click.command()
@common
@click.argument("step", type=click.Choice(_STEPS))
@click.option("--url", metavar="HTTPS", help="Where participants reach the review page.")
@click.option("--title", default="Mark faces in images")
@click.option(
    "--description",
    default="You look at images and mark every human face, on a page of our own.",
)
@click.option("--places", type=click.IntRange(1), default=10, metavar="N")
@click.option(
    "--images",
    type=click.IntRange(1),
    default=50,
    metavar="N",
    help="How many images each participant answers.",
)
@click.option("--minutes", type=click.IntRange(1), default=15)
@click.option(
    "--reward",
    type=click.FloatRange(0),
    default=2.5,
    help="What each participant gets, in the service's currency.",
)
@click.option("--prod", is_flag=True, help="Spend money: without it, nothing is published or paid.")
@click.option(
    "--max-cost",
    type=click.FloatRange(0),
    default=0.0,
    help="The most that publishing may cost, fees included.",
)
@click.option("--api", hidden=True, default=None)
def offer(src: Path, step: str, **values: Any) -> int:
    """Offer the review to participants of Prolific, who work on our own page and are paid there.

    draft makes a study, which is free, and says what it would cost. publish spends, with --prod
    and up to --max-cost. status shows who works. settle pays those who have brought the code that
    the page gave them; it refuses nobody: do that by hand, with a reason. stop lets nobody else
    in. The token is taken from PROLIFIC_API_TOKEN.
    """
    with opened(src, values) as campaign:
        campaign.must_be_set_up()
        told = _draft(campaign, values) if step == "draft" else _go_on(step, campaign, values)
    click.echo(json.dumps(told) if values["as_json"] else "\n".join(_lines(told)))
    return 0


def _draft(campaign: Campaign, values: dict[str, Any]) -> dict[str, Any]:
    address = reachable(values["url"])
    before = _stored(campaign)
    if before is not None and before[0].state != "closed":
        raise UsageError(f"There is an offer already ({before[0].id}): stop it first.")
    with _prolific(values) as provider:
        code, quota = provider.code, values["images"]
        secret = open_door(campaign.database, "prolific", code=code, quota=quota, days=2)
        made = provider.offer(
            f"{address}/join/{secret}",
            values["title"],
            values["description"],
            places=values["places"],
            minutes=values["minutes"],
            reward=round(100 * values["reward"]),
        )
    return _store(campaign, made, code)


def _go_on(step: str, campaign: Campaign, values: dict[str, Any]) -> dict[str, Any]:
    """Publish the offer that there is, look at it, pay for it, or stop it."""
    found = _stored(campaign)
    if found is None:
        raise UsageError("There is no offer: make one with `sfumato review offer SRC draft`.")
    made, code = found
    with _prolific(values, code) as provider:
        if step == "publish":
            made = provider.publish(made, most=round(100 * values["max_cost"]))
        elif step == "stop":
            made = provider.stop(made)
            close_door(campaign.database)
        else:
            submissions = list(provider.submissions(made))
            if step == "status":
                return {
                    **asdict(made),
                    "submissions": [_row(campaign, o, code) for o in submissions],
                }
            done = [one for one in submissions if one.progress == "done" and one.code == code]
            paid = [one for one in done if _has_worked(campaign, one)]
            for one in paid:
                provider.approve(one)
            return {**asdict(made), "approved": len(paid)}
    return _store(campaign, made, code)


def _has_worked(campaign: Campaign, one: Submission) -> bool:
    """Say whether the page gave this participant the code: it is the same for all of them."""
    known = people.find(campaign.database, f"prolific:{one.person}")
    kept = promised(campaign.database, known) if known else None
    if known is None or kept is None:
        return False
    return kept.earned(campaign.queue.progress(known)) is not None


def _prolific(values: dict[str, Any], code: str = "") -> Prolific:
    more = {"api": values["api"]} if values["api"] else {}
    return Prolific(code=code, prod=values["prod"], **more)


def _stored(campaign: Campaign) -> tuple[Offer, str] | None:
    text = store.campaign(campaign.database, _STORED)
    if not text:
        return None
    with understood("an offer to an outside service"):
        kept = json.loads(text)
        code = kept.pop("code")
        return Offer(**kept), code


def _store(campaign: Campaign, made: Offer, code: str) -> dict[str, Any]:
    told = asdict(made)
    store.note(campaign.database, _STORED, json.dumps({**told, "code": code}))
    return told


def _row(campaign: Campaign, one: Submission, code: str) -> dict[str, Any]:
    known = people.find(campaign.database, f"prolific:{one.person}")
    return {
        "submission": one.id,
        "person": known.id if known else None,
        "progress": one.progress,
        "code": "right" if one.code == code else "wrong" if one.code else "none",
    }


def _lines(told: dict[str, Any]) -> list[str]:
    cost = "unknown" if told["cost"] is None else f"{told['cost'] / 100:.2f} {told['currency']}"
    lines = [f"{told['provider']} {told['id']}: {told['state']}, costs {cost}  {told['page']}"]
    if "approved" in told:
        lines.append(f"{told['approved']} submissions approved")
    lines.extend(
        f"{row['submission']}  {row['person'] or '–'}  {row['progress']}  code {row['code']}"
        for row in told.get("submissions", ())
    )
    return lines
