"""`sfumato calibrate SRC`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np

from sfumato.calibration import (
    GROWTHS,
    SHIFTS,
    Promise,
    Searched,
    Table,
    promise,
    shifted,
    tabulate,
)
from sfumato.cli import options
from sfumato.cli.progress import progress
from sfumato.cli.run import absolute
from sfumato.errors import OutputError, UsageError
from sfumato.stats.bootstrap import ratio
from sfumato.stats.intervals import Estimate
from sfumato.survey import Labels, Survey, Surveyed, fits_labels, look, read_labels
from sfumato.types import JSON

_NAMED = 10


@click.command()
@options.source
@click.option(
    "--boxes",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="The labelled faces of pictures below SRC (COCO, Princeton JSON or CSV).",
)
@click.option(
    "--ignore",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Boxes of regions where a found box is neither right nor wrong: art, unclear faces.",
)
@click.option(
    "--unlisted",
    type=click.Choice(["skip", "faceless"]),
    default="skip",
    show_default=True,
    help="What a picture is that FILE doesn't name: left out, or looked at and without a face.",
)
@click.option(
    "--recall",
    "wanted",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.95,
    show_default=True,
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
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the setting there, for `sfumato run --config FILE`.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything, the curve too, as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@options.config
def calibrate(src: Path, boxes: Path, **values: Any) -> int:
    """Choose thresholds and growth that cover a wanted share of faces like those below SRC.

    SRC holds a sample of your pictures in which people have labelled every face. The detectors
    search it once at low thresholds; the cheapest setting that covers enough is chosen, and what
    it promises is measured on pictures that had no part in the choice. Leaves with exit code 1,
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
    pictures = _judged(labels, surveyed)
    table = tabulate(pictures, specs, share=values["share"], growths=growths)
    made = promise(table, values["wanted"], np.random.default_rng(values["seed"]))
    chosen = tuple(shifted(spec, table.shifts[made.setting.shift]) for spec in specs)
    plain = as_json(made, table, specs, chosen, values)
    print(json.dumps(plain) if values["as_json"] else as_text(plain))
    if values["output"] is not None and made.kept:
        _write(values["output"], as_toml(plain))
    return 0 if made.kept else 1


def _judged(labels: Labels, surveyed: Surveyed) -> list[Searched]:
    """Return the pictures that can be judged, and say which can't."""
    problems = [f"{f.key}: {f.code}, {f.reason}" for f in surveyed.failures]
    problems += [f"{name}: labelled, but not in SRC" for name in labels.unused]
    pictures = []
    for key, detections in surveyed.found.items():
        if fits_labels(labels, key, detections[0]):
            truth = labels.truth(key, detections[0].width, detections[0].height)
            pictures.append(Searched(truth, tuple(one.faces for one in detections)))
        else:
            problems.append(f"{key}: labelled in another size, or with a box outside it")
    for problem in problems[:_NAMED]:
        print(f"left out: {problem}", file=sys.stderr)
    if len(problems) > _NAMED:
        print(f"left out: {len(problems) - _NAMED} more", file=sys.stderr)
    if not pictures:
        raise UsageError("No labelled picture could be searched: see what was left out.")
    return pictures


def as_json(
    made: Promise,
    table: Table,
    specs: tuple[str, ...],
    chosen: tuple[str, ...],
    values: dict[str, Any],
) -> JSON:
    """Return all that is known of the choice as plain data."""
    rng = np.random.default_rng(values["seed"])
    at = made.setting
    return {
        "wanted": values["wanted"],
        "covered_share": values["share"],
        "promised": made.kept,
        "reached": made.reached,
        "enough": made.enough,
        "pictures": table.pictures,
        "pictures_with_faces": int(np.count_nonzero(table.faces)),
        "faces": int(table.faces.sum()),
        "pictures_with_faces_needed": made.needed,
        "setting": {
            "detectors": list(chosen),
            "expand": table.growths[at.growth],
            "shift": table.shifts[at.shift],
            "aim": made.aim,
        },
        "expected": {
            "recall": _plain(made.recall),
            "false_boxes": _plain(made.false_boxes),
            "false_pixels": _plain(made.false_pixels),
            "needless_pixels": _plain(made.needless),
        },
        "on_these_pictures": _at(table, at.shift, at.growth, rng),
        "before": _before(table, specs, rng),
        "curve": _curve(table, specs),
    }


def _curve(table: Table, specs: tuple[str, ...]) -> list[JSON]:
    """Return every setting with what it covers and costs on these pictures."""
    return [
        {
            "shift": shift,
            "detectors": [shifted(spec, shift) for spec in specs],
            "expand": growth,
            "recall": float(table.covered[i, j].sum() / table.faces.sum()),
            "false_boxes": float(table.false_boxes[i].mean()),
            "false_pixels": float(table.false_pixels[i, j].mean()),
            "needless_pixels": float(table.needless[i, j].mean()),
        }
        for i, shift in enumerate(table.shifts)
        for j, growth in enumerate(table.growths)
    ]


def _before(table: Table, specs: tuple[str, ...], rng: np.random.Generator) -> JSON:
    """Return what the detectors do as they are."""
    at = table.usual
    found = _at(table, at.shift, at.growth, rng)
    return {"detectors": list(specs), "expand": table.growths[at.growth], **found}


def _at(table: Table, shift: int, growth: int, rng: np.random.Generator) -> JSON:
    ones = np.ones(table.pictures)
    columns = {
        "false_boxes": table.false_boxes[shift],
        "false_pixels": table.false_pixels[shift, growth],
        "needless_pixels": table.needless[shift, growth],
    }
    figures = {name: _plain(ratio(c, ones, rng, share=False)) for name, c in columns.items()}
    return {"recall": _plain(ratio(table.covered[shift, growth], table.faces, rng)), **figures}


def _plain(estimate: Estimate) -> JSON:
    return {"value": estimate.value, "interval_95": [estimate.low, estimate.high]}


def as_text(plain: JSON) -> str:
    """Return the table and the sentences that are printed."""
    rows = [
        ("as it is", plain["before"]),
        ("chosen, on these pictures", plain["on_these_pictures"]),
        ("chosen, on others like them", plain["expected"]),
    ]
    about = (
        f"{plain['pictures']:,} pictures, {plain['faces']:,} labelled faces in "
        f"{plain['pictures_with_faces']:,} of them; wanted: {plain['wanted']:.1%} of the faces, "
        f"each covered by {plain['covered_share']:.0%}."
    )
    lines = [
        about,
        "",
        f"{'':<29}{'faces covered':<24}{'false boxes':<20}{'false pixels':<14}needless pixels",
    ]
    lines += [f"{name:<29}{_cells(row)}" for name, row in rows]
    lines += ["", *_verdict(plain)]
    return "\n".join(lines)


def _cells(row: JSON) -> str:
    (low, high), recall = row["recall"]["interval_95"], row["recall"]["value"]
    (fewest, most), false = row["false_boxes"]["interval_95"], row["false_boxes"]["value"]
    faces = f"{recall:.1%} ({100 * low:.1f}-{100 * high:.1f})"
    boxes = f"{false:.2f} ({fewest:.2f}-{most:.2f})"
    pixels, needless = row["false_pixels"]["value"], row["needless_pixels"]["value"]
    return f"{faces:<24}{boxes:<20}{pixels:<14.2%}{needless:.2%}"


def _verdict(plain: JSON) -> list[str]:
    setting, wanted = plain["setting"], plain["wanted"]
    words = " ".join(f"--detector {spec}" for spec in setting["detectors"])
    words += f" --expand {setting['expand']:g}"
    if not plain["enough"]:
        per_picture = plain["faces"] / plain["pictures_with_faces"]
        needed = plain["pictures_with_faces_needed"]
        why = (
            f"No promise: with {plain['pictures_with_faces']:,} pictures that show a face, not "
            f"even a sample without a miss could tell that {wanted:.1%} are covered. Label at "
            f"least {needed:,} such pictures (about {round(needed * per_picture):,} faces at "
            f"{per_picture:.1f} a picture), or want less."
        )
        return [why, f"The best guess is {words}"]
    if not plain["reached"]:
        why = (
            f"No promise: no setting of these detectors covers {wanted:.1%} on pictures that it "
            "wasn't chosen on. Try another profile, or want less."
        )
        return [why, f"The nearest is {words}"]
    (low, high), recall = (plain["expected"]["recall"][name] for name in ("interval_95", "value"))
    promised = (
        f"Expect {recall:.1%} (95 % interval {100 * low:.1f}-{100 * high:.1f}) on pictures like "
        "these; of other pictures this says nothing."
    )
    return [f"Chosen: {words}", promised]


def as_toml(plain: JSON) -> str:
    """Return the settings file for `sfumato run --config`, with what it promises as comments."""
    setting = plain["setting"]
    detectors = ", ".join(json.dumps(spec) for spec in setting["detectors"])
    head = "\n".join(f"# {line}" if line else "#" for line in as_text(plain).splitlines())
    return (
        f"# Written by `sfumato calibrate`.\n#\n{head}\n\n"
        f"detector = [{detectors}]\nexpand = {setting['expand']:g}\n"
    )


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path} can't be written: {error.strerror}.") from error
