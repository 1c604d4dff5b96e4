"""`sfumato review invite SRC NAME`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import click

from sfumato.cli.review.desk import common, days, opened
from sfumato.review import people
from sfumato.review.vocabulary import Role


@click.command()
@common
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(get_args(Role)),
    default="reviewer",
    help="An adjudicator settles disputes; a manager also sees how everybody does.",
)
@days
@click.option(
    "--url",
    default="http://127.0.0.1:8765",
    help="Where the review page is reached.",
)
def invite(src: Path, name: str, role: Role, url: str, **values: Any) -> int:
    """Make the secret link of NAME, which is shown once; an older link of that name ends."""
    with opened(src, values) as campaign:
        secret = people.invite(campaign.database, name, role, days=values["days"])
    link = f"{url.rstrip('/')}/r/{secret}"
    click.echo(
        json.dumps({"name": name, "role": role, "link": link}) if values["as_json"] else link
    )
    return 0
