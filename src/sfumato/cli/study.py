"""`sfumato study init|run|analyse|report`."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from sfumato.cli.run import absolute
from sfumato.errors import MissingExtra

if TYPE_CHECKING:
    from sfumato.study.analysis.records import Analysis

# Verbs of the group that another module has; it is imported when one is asked for.
ELSEWHERE: Final = {"init": "sfumato.cli.study_run", "run": "sfumato.cli.study_run"}
_PATH = click.Path(path_type=Path)


class _Group(click.Group):
    """Imports torch only for the verbs that need it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order in which they are used."""
        there = [name for name, module in ELSEWHERE.items() if find_spec(module)]
        return [*there, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a verb's command, importing its module."""
        if cmd_name in ELSEWHERE and find_spec(ELSEWHERE[cmd_name]):
            found: click.Command = getattr(import_module(ELSEWHERE[cmd_name]), cmd_name)
            return found
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Group)
def study() -> None:
    """Ask whether recognition survives the obfuscation, and what else it does."""


def _asking(function: Any) -> Any:
    """Add what both verbs take: where predictions are, and how they are analysed."""
    options = [
        click.argument("folder", type=_PATH, metavar="DIR"),
        click.option(
            "--predictions",
            multiple=True,
            metavar="[TRAIN/TEST/SEED[/MODEL]=]FILE",
            help="Analyse these instead of DIR's runs: CSV or Parquet with image, label and "
            "logit:<class> columns, or top1, top2 …; may be repeated.",
        ),
        click.option(
            "--regions",
            type=_PATH,
            metavar="FILE",
            help="Parquet with image, face_area_share and perhaps overlap.  [default: "
            "regions.parquet in DIR]",
        ),
        click.option(
            "--supercategories",
            type=_PATH,
            metavar="FILE",
            help="CSV with class (such as a wnid) and supercategory.",
        ),
        click.option(
            "--margin",
            type=click.FloatRange(0, 100, min_open=True),
            default=1.0,
            show_default=True,
            metavar="POINTS",
            help="What counts as equivalent: a change of top-1 smaller than this.",
        ),
        click.option("--seed", type=int, default=0, show_default=True, help="Of the bootstrap."),
        click.option("--json", "as_json", is_flag=True, help="Print study.json."),
        click.option("-q", "--quiet", is_flag=True, help="Print nothing but the paths."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@study.command()
@_asking
def analyse(folder: Path, **values: Any) -> int:
    """Answer, from the predictions in DIR alone, what obfuscation does; write DIR/study.json.

    Accuracy, average precision and calibration of each arm; differences with 95 % intervals over
    trainings and images; equivalence within the margin; classes and confusable pairs with Holm's
    correction; the gap between obfuscated and clear pictures. Needs no torch.
    """
    home, found = _analysed(folder, values)
    from sfumato.study.report import JSON_FILE, write_json

    made = write_json(home, found)
    _tell(made, [home / JSON_FILE], values)
    return 0


@study.command()
@_asking
@click.option(
    "--pictures",
    is_flag=True,
    help="Also show the probes' pictures: originals, so keep that page to yourself.",
)
def report(folder: Path, **values: Any) -> int:
    """Analyse DIR, and write DIR/study.html and DIR/study.json."""
    home, found = _analysed(folder, values)
    from sfumato.study.report import JSON_FILE, write_html, write_json

    made = write_json(home, found)
    page = write_html(home, found, pictures=values["pictures"])
    _tell(made, [page, home / JSON_FILE], values)
    return 0


def _analysed(folder: Path, values: dict[str, Any]) -> tuple[Path, Analysis]:
    if find_spec("scipy") is None:
        raise MissingExtra("`sfumato study` needs SciPy: pip install 'sfumato[study]'.")
    from sfumato.study.analysis.answers import analyse as answer
    from sfumato.study.analysis.matrix import matrices_of, read_matrices
    from sfumato.study.analysis.records import Choice
    from sfumato.study.brought import Source, read_brought
    from sfumato.study.regions import read_regions

    home = absolute(folder)
    regions = None if values["regions"] is None else absolute(values["regions"])
    if values["predictions"]:
        sources = [Source.of_text(text) for text in values["predictions"]]
        known = None if regions is None else read_regions(regions)
        matrices = matrices_of(read_brought(sources), known)
    else:
        matrices = read_matrices(home, regions)
    choice = Choice(values["margin"] / 100, values["seed"], values["supercategories"])
    return home, answer(matrices, choice)


def _tell(made: dict[str, Any], paths: list[Path], values: dict[str, Any]) -> None:
    if values["as_json"]:
        print(json.dumps(made))
    elif not values["quiet"]:
        question = ""
        for line in made["headlines"]:
            if line["question"] != question:
                question = line["question"]
                print(question)
            print(_printable(f"  {line['answer']}"))
        for part in made["parts"]:
            for note in part["notes"]:
                print(_printable(f"Note ({part['protocol']}): {note}"))
    for path in paths:
        print(path, file=sys.stderr)


def _printable(text: str) -> str:
    """Return a line without what could steer a terminal; names come from files."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
