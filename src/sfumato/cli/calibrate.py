"""`sfumato calibrate SRC`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np

from sfumato.cli import options, told
from sfumato.cli.progress import progress
from sfumato.cli.run import absolute
from sfumato.detection.calibration.promised import as_json, as_text, as_toml
from sfumato.detection.calibration.thresholds import GROWTHS, SHIFTS, promise, shifted, tabulate
from sfumato.errors import UsageError
from sfumato.pipeline.survey import Survey, look, read_labels, searched


@click.command()
@options.source
@options.file(
    "--boxes",
    required=True,
    help="The labelled faces of images below SRC (COCO, Princeton JSON or CSV).",
)
@options.file(
    "--ignore",
    help="Boxes of regions where a found box is neither right nor wrong: art, unclear faces.",
)
@click.option(
    "--unlisted",
    type=click.Choice(["skip", "faceless"]),
    default="skip",
    help="How to treat images that FILE doesn't name: skip them, or search them as images "
    "without a face.",
)
@click.option(
    "--recall",
    "wanted",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.95,
    metavar="SHARE",
    help="The share of faces that shall be covered.",
)
@click.option(
    "--expand",
    type=click.FloatRange(0, 1),
    metavar="FRACTION",
    help="Grow boxes by just this share.  [default: what costs least, from 0.25 to 0.5]",
)
@options.labels
@options.searching
@options.workers
@options.file("-o", "--output", help="Write the setting there, for `sfumato run --config FILE`.")
@options.as_json
@options.quiet
@options.config
def calibrate(src: Path, boxes: Path, **values: Any) -> int:
    """Choose thresholds and growth that cover a wanted share of faces like those below SRC.

    SRC holds a sample of your images in which people have labelled every face. The detectors
    search it once at low thresholds; the cheapest setting that covers enough is chosen, and what
    it promises is measured on images that had no part in the choice. Leaves with exit code 1,
    and writes nothing, if the sample can't carry the promise.
    """
    source = absolute(src)
    recipe = options.search_settings(values).recipe()
    specs = recipe.detect.detectors
    labels = read_labels(source, boxes, ignore=values["ignore"], unlisted=values["unlisted"])
    survey = Survey(source, tuple(shifted(spec, SHIFTS[0]) for spec in specs))
    with progress("calibrate", quiet=values["quiet"]) as shown:
        surveyed = look(survey, list(labels.faces), options.executor(values), progress=shown)
    growths = GROWTHS if values["expand"] is None else (values["expand"],)
    images, problems = searched(labels, surveyed)
    told.left_out(*problems)
    if not images:
        raise UsageError("No labelled image could be searched: see what was left out.")
    table = tabulate(images, specs, share=values["share"], growths=growths)
    made = promise(table, values["wanted"], np.random.default_rng(values["seed"]))
    asked = {name: values[name] for name in ("wanted", "share", "seed")}
    plain = as_json(made, table, specs, **asked)
    print(json.dumps(plain) if values["as_json"] else as_text(plain))
    if values["output"] is not None and made.kept:
        told.write(values["output"], as_toml(plain))
    return 0 if made.kept else 1
