"""`sfumato review revoke SRC NAME`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from sfumato.cli.review.desk import common, opened
from sfumato.errors import UsageError
from sfumato.review import people


@click.command()
@common
@click.argument("name")
def revoke(src: Path, name: str, **values: Any) -> int:
    """End the link of NAME (or of a pseudonym) at once; what that person said stays."""
    with opened(src, values) as campaign:
        ended = people.revoke(campaign.database, name)
    if not ended:
        raise UsageError(f"{name!r} has no link that is valid: see `sfumato review status {src}`.")
    click.echo(json.dumps({"revoked": ended}) if values["as_json"] else f"{name}: link ended")
    return 0
