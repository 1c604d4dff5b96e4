"""`sfumato demo`."""

from __future__ import annotations

from pathlib import Path

import click

from sfumato.assets import demo_images
from sfumato.cli import options
from sfumato.cli.run import release
from sfumato.pipeline.driver import STAGES
from sfumato.pipeline.executors.local import Local
from sfumato.pipeline.settings import Settings


@click.command()
@options.path("folder", default=Path("sfumato-demo"))
@options.quiet
@options.as_json
def demo(folder: Path, quiet: bool, as_json: bool) -> int:
    """Run everything on four photographs that come with sfumato.

    The release goes to FOLDER/release (default: sfumato-demo/release), what is to be kept
    beside it to FOLDER/release.sfumato.
    """
    values = {"ledger": None, "as_json": as_json, "quiet": quiet, "overwrite": True}
    return release(demo_images.root(), folder / "release", STAGES, Settings(), Local(), values)
