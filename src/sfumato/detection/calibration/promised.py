"""What was chosen and what it promises: as plain data, as a table, and as a settings file."""

from __future__ import annotations

import json

import numpy as np

from sfumato.detection.calibration.thresholds import Promise, Setting, Table, shifted
from sfumato.stats.bootstrap import ratio
from sfumato.stats.intervals import Estimate
from sfumato.types import JSON


def as_json(
    made: Promise, table: Table, specs: tuple[str, ...], *, wanted: float, share: float, seed: int
) -> JSON:
    """Return all that is known of the choice as plain data."""
    rng = np.random.default_rng(seed)
    at = made.setting
    chosen = tuple(shifted(spec, table.shifts[at.shift]) for spec in specs)
    return {
        "wanted": wanted,
        "covered_share": share,
        "promised": made.kept,
        "reached": made.reached,
        "enough": made.enough,
        "images": table.images,
        "images_with_faces": int(np.count_nonzero(table.faces)),
        "faces": int(table.faces.sum()),
        "images_with_faces_needed": made.needed,
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
        "on_these_images": _at(table, at, rng),
        "before": {
            "detectors": list(specs),
            "expand": table.growths[table.usual.growth],
            **_at(table, table.usual, rng),
        },
        "curve": _curve(table, specs),
    }


def _curve(table: Table, specs: tuple[str, ...]) -> list[JSON]:
    """Return every setting with what it covers and costs on these images."""
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


def _at(table: Table, at: Setting, rng: np.random.Generator) -> JSON:
    ones = np.ones(table.images)
    columns = {
        "false_boxes": table.false_boxes[at.shift],
        "false_pixels": table.false_pixels[at.shift, at.growth],
        "needless_pixels": table.needless[at.shift, at.growth],
    }
    figures = {name: _plain(ratio(c, ones, rng, share=False)) for name, c in columns.items()}
    recall = ratio(table.covered[at.shift, at.growth], table.faces, rng)
    return {"recall": _plain(recall), **figures}


def _plain(estimate: Estimate) -> JSON:
    return {"value": estimate.value, "interval_95": [estimate.low, estimate.high]}


def as_text(plain: JSON) -> str:
    """Return the table and the sentences that are printed."""
    rows = [
        ("as it is", plain["before"]),
        ("chosen, on these images", plain["on_these_images"]),
        ("chosen, on others like them", plain["expected"]),
    ]
    about = (
        f"{plain['images']:,} images, {plain['faces']:,} labelled faces in "
        f"{plain['images_with_faces']:,} of them; wanted: {plain['wanted']:.1%} of the faces, "
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
        per_image = plain["faces"] / plain["images_with_faces"]
        needed = plain["images_with_faces_needed"]
        why = (
            f"No promise: with {plain['images_with_faces']:,} images that show a face, not "
            f"even a sample without a miss could tell that {wanted:.1%} are covered. Label at "
            f"least {needed:,} such images (about {round(needed * per_image):,} faces at "
            f"{per_image:.1f} an image), or want less."
        )
        return [why, f"The best guess is {words}"]
    if not plain["reached"]:
        why = (
            f"No promise: no setting of these detectors covers {wanted:.1%} on images that it "
            "wasn't chosen on. Try another profile, or want less."
        )
        return [why, f"The nearest is {words}"]
    (low, high), recall = (plain["expected"]["recall"][name] for name in ("interval_95", "value"))
    promised = (
        f"Expect {recall:.1%} (95 % interval {100 * low:.1f}-{100 * high:.1f}) on images like "
        "these; of other images this says nothing."
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
