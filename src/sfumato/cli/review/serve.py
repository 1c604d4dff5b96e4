"""`sfumato review serve SRC`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from sfumato.cli import options
from sfumato.cli.review.desk import Campaign, common, days, opened
from sfumato.review import people, planning
from sfumato.review.campaign import SAMPLE, Plan, Prepared, replicas_of, set_up
from sfumato.review.queue import Rules
from sfumato.web import serving
from sfumato.web.limits import Limits
from sfumato.web.serving import Place

OWNER = "owner"


@click.command()
@common
@click.option(
    "--reviewer",
    "reviewers",
    multiple=True,
    metavar="NAME",
    help="Make a link for this person; may be repeated. A new one for a name ends the old one.",
)
@days
@click.option(
    "--replicas",
    type=click.IntRange(1, 20),
    metavar="N",
    help="How many people look at each image; may be raised later.  [default: as before, or 1]",
)
@click.option(
    "--sample",
    type=click.IntRange(1),
    metavar="N",
    help="How many images are drawn at random, to estimate what is missed; a larger number "
    f"later keeps those drawn before.  [default: {SAMPLE}, later as many as there are]",
)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Queue every image, not only the sample and those where something may be wrong.",
)
@options.file(
    "--gold",
    help="Boxes of images below SRC whose faces are known (COCO, Princeton JSON or CSV): they "
    "are shown with wrong boxes, and tell how good a reviewer is.",
)
@options.file(
    "--persons",
    help="A CSV of images (column path) in which a detector of yours saw a person: without a "
    "face found, they come earlier. sfumato itself looks for no persons.",
)
@click.option("--redact", is_flag=True, help="Show only crops where the whole image isn't needed.")
@click.option(
    "--lease",
    type=click.FloatRange(1, 1440),
    default=15.0,
    metavar="MINUTES",
    help="How long an image is kept for a person who does nothing.",
)
@click.option("--seed", type=int, default=0, help="Of the random sample.")
@click.option("--host", default="127.0.0.1", help="Where to listen.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8765,
    help="0 takes any free one.",
)
@click.option("--expose", is_flag=True, help="Let other machines in, without encryption.")
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="HOST",
    help="A name by which others reach the server, such as a proxy's; may be repeated.",
)
@click.option(
    "--proxy",
    "proxies",
    multiple=True,
    metavar="ADDRESS",
    help="A proxy whose X-Forwarded-For and -Proto are believed; may be repeated.",
)
def serve(src: Path, **values: Any) -> int:
    """Serve the review page for the images below SRC.

    Images come by risk, with a random sample among the first. Links are secret: they are shown
    once, here. Without --reviewer there is one, for whoever started this (role manager). Stop with
    Ctrl-C; nothing is lost, and the same command goes on.
    """
    from sfumato.web.application import build  # needs the extra `review`

    rules = Rules(lease_s=60 * values["lease"], redact=values["redact"])
    place = Place(
        values["host"], values["port"], values["expose"], values["names"], values["proxies"]
    )
    with opened(src, values, rules) as campaign:
        prepared = set_up(
            campaign.queue,
            campaign.database,
            campaign.ledger,
            campaign.recipe,
            _plan(values, campaign),
        )

        def ready(where: str) -> None:
            # Not before the address is ours: a new link ends the one that is in use.
            links = _invite(campaign, values["reviewers"], values["days"])
            _announce(where, links, prepared, as_json=values["as_json"])

        site = build(
            campaign.database, campaign.queue, campaign.source, limits=Limits(hosts=place.hosts)
        )
        serving.serve(site, place, say=lambda words: click.echo(words, err=True), ready=ready)
    return 0


def _plan(values: dict[str, Any], campaign: Campaign) -> Plan:
    rules = planning.Rules(replicas=values["replicas"] or replicas_of(campaign.database))
    if values["everything"]:
        rules = replace(rules, least=0.0)
    return Plan(values["sample"], values["seed"], rules, values["gold"], values["persons"])


def _invite(campaign: Campaign, names: tuple[str, ...], days: float) -> list[tuple[str, str, str]]:
    """Return (name, role, secret) of new links; who had a role keeps it."""
    links: list[tuple[str, str, str]] = []
    for name in dict.fromkeys(name.strip() for name in names or (OWNER,)):
        known = people.find(campaign.database, name)
        role = known.role if known else "reviewer" if names else "manager"
        links.append((name, role, people.invite(campaign.database, name, role, days=days)))
    return links


def _announce(
    where: str, links: list[tuple[str, str, str]], prepared: Prepared, *, as_json: bool
) -> None:
    rows = [{"name": n, "role": role, "link": f"{where}/r/{secret}"} for n, role, secret in links]
    if as_json:
        told = {"address": where, "links": rows, "added": prepared.added, "gold": prepared.gold}
        click.echo(json.dumps({**told, "sample": prepared.sample}))
        return
    click.echo(
        f"{prepared.added:,} images added to the queue; {prepared.sample:,} are drawn at random "
        f"from {prepared.strata} strata, {prepared.gold:,} are gold.",
        err=True,
    )
    for row in rows:
        click.echo(f"{row['name']} ({row['role']}): {row['link']}")
