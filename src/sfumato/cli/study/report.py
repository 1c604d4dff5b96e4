"""`sfumato study report DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sfumato.cli.study.asking import analysed, asking, tell


@click.command()
@asking
@click.option(
    "--images",
    is_flag=True,
    help="Also show the probes' images: originals, so keep that page to yourself.",
)
def report(folder: Path, **values: Any) -> int:
    """Analyse DIR, and write DIR/study.html and DIR/study.json."""
    home, found = analysed(folder, values)
    from sfumato.study.report import JSON_FILE, write_html, write_json

    made = write_json(home, found)
    page = write_html(home, found, images=values["images"])
    tell(made, [page, home / JSON_FILE], values)
    return 0
