"""What `sfumato study analyse` and `sfumato study report` have in common."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sfumato.cli import options
from sfumato.cli.run import absolute
from sfumato.errors import MissingExtra
from sfumato.sources.names import shown

if TYPE_CHECKING:
    from sfumato.study.analysis.results import Analysis

# What both verbs take: where predictions are, and how they are analysed.
asking = options.several(
    options.path("folder", metavar="DIR"),
    click.option(
        "--predictions",
        multiple=True,
        metavar="[TRAIN/TEST/SEED[/MODEL]=]FILE",
        help="Analyse these instead of DIR's runs: CSV or Parquet with image, label and "
        "logit:<class> columns, or top1, top2 …; may be repeated.",
    ),
    options.file(
        "--regions",
        help="Parquet with image, face_area_share and perhaps overlap.  [default: "
        "regions.parquet in DIR]",
    ),
    options.file(
        "--supercategories",
        metavar="PATH",
        help="WordNet 3.0's data.noun or its folder, if classes are called by its ids; or a "
        "CSV with class and supercategory.",
    ),
    click.option(
        "--margin",
        type=click.FloatRange(0, 100, min_open=True),
        default=1.0,
        metavar="POINTS",
        help="What counts as equivalent: a change of top-1 smaller than this.",
    ),
    click.option("--seed", type=int, default=0, help="Of the bootstrap."),
    options.as_json,
    click.option("-q", "--quiet", is_flag=True, help="Print nothing but the paths."),
)


def analysed(folder: Path, values: dict[str, Any]) -> tuple[Path, Analysis]:
    """Return the study's folder as an absolute path, and what its predictions answer.

    Raises:
        MissingExtra: SciPy isn't there.
        UsageError: predictions, regions or super-categories can't be read or don't fit.
    """
    if find_spec("scipy") is None:
        raise MissingExtra("`sfumato study` needs SciPy: pip install 'sfumato[study]'.")
    from sfumato.study.analysis.answers import analyse as answer
    from sfumato.study.analysis.matrix import matrices_of, read_matrices
    from sfumato.study.analysis.results import AnalysisChoice
    from sfumato.study.brought import PredictionFile, read_brought
    from sfumato.study.regions import read_regions

    home = absolute(folder)
    regions = None if values["regions"] is None else absolute(values["regions"])
    if values["predictions"]:
        sources = [PredictionFile.of_text(text) for text in values["predictions"]]
        known = None if regions is None else read_regions(regions)
        matrices = matrices_of(read_brought(sources), known)
    else:
        matrices = read_matrices(home, regions)
    choice = AnalysisChoice(values["margin"] / 100, values["seed"], values["supercategories"])
    return home, answer(matrices, choice)


def tell(made: dict[str, Any], paths: list[Path], values: dict[str, Any]) -> None:
    """Print the answers or, with `--json`, what `study.json` holds; the files' paths to stderr."""
    if values["as_json"]:
        print(json.dumps(made))
    elif not values["quiet"]:
        question = ""
        for line in made["headlines"]:
            if line["question"] != question:
                question = line["question"]
                print(question)
            print(shown(f"  {line['answer']}"))
        for part in made["parts"]:
            for note in part["notes"]:
                print(shown(f"Note ({part['protocol']}): {note}"))
    for path in paths:
        print(shown(str(path)), file=sys.stderr)
