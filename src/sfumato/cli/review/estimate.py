"""`sfumato review estimate SRC`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from sfumato.cli.review.desk import common, opened
from sfumato.cli.review.merge import decide
from sfumato.review.capture import INDEPENDENCE
from sfumato.review.effort import Effort, plan
from sfumato.review.estimation import Figure, Part
from sfumato.review.remainder import Remainder
from sfumato.review.wording import sentence


def _share(_: click.Context, __: click.Parameter, value: str) -> float:
    try:
        number = float(value.removesuffix("%"))
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is no share such as 0.2%") from error
    return number / 100 if value.endswith("%") else number


@click.command()
@common
@click.option("--plan", "planned", is_flag=True, help="Say how many more images to check.")
@click.option(
    "--half-width",
    default="0.2%",
    callback=_share,
    metavar="SHARE",
    help="How narrow --plan should make the interval: half of it, as a share of all images.",
)
def estimate(src: Path, **values: Any) -> int:
    """Estimate how many faces are still in there, from the random sample that people checked.

    Decides what was answered first, as `sfumato review merge` does. The first sentences can be
    quoted. Without a checked sample it says "not measured".
    """
    with opened(src, values) as campaign:
        campaign.must_be_set_up()
        _, left = decide(campaign)
    effort = plan(left.strata, values["half_width"]) if values["planned"] and left.strata else None
    if values["as_json"]:
        click.echo(json.dumps({**left.as_json(), "plan": asdict(effort) if effort else None}))
        return 0
    click.echo(sentence(left.estimate))
    if left.disputed:
        click.echo(
            f"In {left.disputed:,} of the images people disagree: until an adjudicator has "
            "decided, every box in doubt counts as a face."
        )
    _tables(left)
    if effort is not None:
        _say_plan(effort, values["half_width"])
    return 0


def _tables(left: Remainder) -> None:
    parts = left.estimate.strata
    if parts:
        click.echo(f"\n{'stratum':<44}{'images':>10}{'checked':>9}{'left, images':>22}")
        for part in parts:
            click.echo(_row(part))
    if left.recapture is not None:
        again = left.recapture
        click.echo(
            f"\nBeside it, by capture and recapture of faces that people added: "
            f"{again.unseen:,.1f} ({again.low - again.seen:,.1f} to {again.high - again.seen:,.1f})"
            f" that neither of two people found. It assumes that {INDEPENDENCE}."
        )


def _row(part: Part) -> str:
    name = part.name if len(part.name) < 44 else f"{part.name[:40]}..."
    checked = part.checked + part.also_checked
    return f"{name:<44}{part.population:>10,}{checked:>9,}{_figure(part.left_images):>22}"


def _figure(figure: Figure) -> str:
    return f"{figure.value:,.0f} ({figure.low:,.0f}-{figure.high:,.0f})"


def _say_plan(effort: Effort, wanted: float) -> None:
    click.echo(
        f"\nFor an interval of ± {wanted:.2%} of all images, people have to check "
        f"{effort.more:,} more images (expected: ± {effort.half_width:.2%}):"
    )
    for part in effort.strata:
        if part.more:
            click.echo(f"{part.stratum:<44}{part.more:>10,}")
