"""`sfumato study init DIR`."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

from sfumato.cli import options
from sfumato.cli.run import absolute
from sfumato.errors import OutputError, UsageError
from sfumato.sources import private
from sfumato.study.configuration import FILE


@click.command()
@options.path("folder", metavar="DIR")
def init(folder: Path) -> int:
    """Write a commented study.toml into DIR, to be edited."""
    path = absolute(folder) / FILE
    try:
        private.folder(path.parent)
        with path.open("x", encoding="utf-8") as stream:
            stream.write(
                files("sfumato").joinpath("assets/templates/study.toml").read_text("utf-8")
            )
    except FileExistsError as error:
        raise UsageError(f"{path} is there already: edit it, or choose another folder.") from error
    except OSError as error:
        raise OutputError(f"{path} can't be written: {error.strerror}.") from error
    print(f"Wrote {path}: edit it, then `sfumato study run {folder}`.")
    return 0
