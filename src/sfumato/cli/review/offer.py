"""`sfumato review offer SRC`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from sfumato.cli.review.desk import Campaign, common, opened
from sfumato.errors import UsageError
from sfumato.ledger.records import understood
from sfumato.review import people, store
from sfumato.review.joining import close_door, open_door, promised
from sfumato.review.providers import Offer, Submission, Work
from sfumato.review.providers.prolific import Prolific

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
        told = _STEPS_BY_NAME[step](campaign, values)
    click.echo(json.dumps(told) if values["as_json"] else "\n".join(_lines(told)))
    return 0


def _draft(campaign: Campaign, values: dict[str, Any]) -> dict[str, Any]:
    if not values["url"]:
        raise UsageError("Participants need an address: give --url https://…")
    before = _stored(campaign)
    if before is not None and before[0].state != "closed":
        raise UsageError(f"There is an offer already ({before[0].id}): stop it first.")
    work = Work(
        values["title"],
        values["description"],
        values["places"],
        values["images"],
        values["minutes"],
        round(100 * values["reward"]),
    )
    with _prolific(f"{values['url'].rstrip('/')}/join/-", values) as provider:
        code = provider.code
    secret = open_door(campaign.database, "prolific", code=code, quota=values["images"], days=2)
    with _prolific(f"{values['url'].rstrip('/')}/join/{secret}", values, code) as provider:
        made = provider.offer(work)
    _store(campaign, made, code)
    return _told(made)


def _publish(campaign: Campaign, values: dict[str, Any]) -> dict[str, Any]:
    made, code = _there(campaign)
    with _prolific("https://unused.invalid", values, code) as provider:
        open_ = provider.publish(made, most=round(100 * values["max_cost"]))
    _store(campaign, open_, code)
    return _told(open_)


def _status(campaign: Campaign, values: dict[str, Any]) -> dict[str, Any]:
    made, code = _there(campaign)
    with _prolific("https://unused.invalid", values, code) as provider:
        submissions = list(provider.submissions(made))
    rows = [_row(campaign, one, code) for one in submissions]
    return {**_told(made), "submissions": rows}


def _settle(campaign: Campaign, values: dict[str, Any]) -> dict[str, Any]:
    made, code = _there(campaign)
    paid = 0
    with _prolific("https://unused.invalid", values, code) as provider:
        for one in list(provider.submissions(made)):
            if one.progress == "done" and one.code == code and _has_worked(campaign, one):
                provider.settle(one, accepted=True)
                paid += 1
    return {**_told(made), "approved": paid}


def _has_worked(campaign: Campaign, one: Submission) -> bool:
    """Say whether the page gave this participant the code: it is the same for all of them."""
    known = people.find(campaign.database, f"prolific:{one.person}")
    kept = promised(campaign.database, known) if known else None
    if known is None or kept is None:
        return False
    return kept.earned(campaign.queue.progress(known)) is not None


def _stop(campaign: Campaign, values: dict[str, Any]) -> dict[str, Any]:
    made, code = _there(campaign)
    with _prolific("https://unused.invalid", values, code) as provider:
        closed = provider.stop(made)
    close_door(campaign.database)
    _store(campaign, closed, code)
    return _told(closed)


_STEPS_BY_NAME = {
    "draft": _draft,
    "publish": _publish,
    "status": _status,
    "settle": _settle,
    "stop": _stop,
}


def _prolific(url: str, values: dict[str, Any], code: str = "") -> Prolific:
    more = {"api": values["api"]} if values["api"] else {}
    return Prolific(url, code=code, prod=values["prod"], **more)


def _stored(campaign: Campaign) -> tuple[Offer, str] | None:
    text = store.campaign(campaign.database, _STORED)
    if not text:
        return None
    with understood("an offer to an outside service"):
        kept = json.loads(text)
        cost = kept["cost"], kept["currency"]
        return Offer(kept["id"], kept["provider"], kept["state"], (), *cost), kept["code"]


def _there(campaign: Campaign) -> tuple[Offer, str]:
    found = _stored(campaign)
    if found is None:
        raise UsageError("There is no offer: make one with `sfumato review offer SRC draft`.")
    return found


def _store(campaign: Campaign, made: Offer, code: str) -> None:
    kept = {**_told(made), "code": code}
    store.note(campaign.database, _STORED, json.dumps(kept))


def _told(made: Offer) -> dict[str, Any]:
    return {
        "id": made.id,
        "provider": made.provider,
        "state": made.state,
        "cost": made.cost,
        "currency": made.currency,
        "page": made.places[0] if made.places else "",
    }


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
