"""How many faces the profiles cover, how many boxes are false, and at what cost.

    python benchmarks/recall.py                          # ImageNet, both kinds of labels
    python benchmarks/recall.py --set crowds --profile high --json recall.json

A face is *covered* if the stated share of its area lies inside the union of the boxes, each
grown by 25 % of its width and height on every side (as `sfumato obfuscate` does). A box is
*false* if, not grown, it touches no labelled face and no region labelled as art or unclear; in
sets where some faces have no label (imagenet, crowds), some of these are faces. Intervals are
95 % percentile intervals of a bootstrap over pictures, so that the many faces of one crowd
count as one observation (exact ones where all or nothing was covered). Speed is pictures per
second of process CPU time: scaling, network and decoding of boxes on one thread, without reading
the file.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from labels import DATA, RULES, Labelled, read
from numpy.typing import NDArray
from tqdm import tqdm

from sfumato import boxes
from sfumato.detection import PROFILES, SAME_FACE_IOU
from sfumato.detectors import parse
from sfumato.recipe import ObfuscateStep
from sfumato.types import JSON, Box, Detector, Face

Counts = NDArray[np.int64]

EXPAND = ObfuscateStep().expand
EDGES = (16.0, 32.0, 96.0)  # square root of a face's area, in pixels of the picture
BUCKETS = ("< 16 px", "16-32 px", "32-96 px", ">= 96 px")
ROUNDS = 2000  # of the bootstrap
SEED = 0


@dataclass(frozen=True, slots=True)
class Measured:
    """Counts for each of n pictures: faces and covered ones (n, 4) by size, false boxes (n,)."""

    faces: Counts
    covered: Counts
    false: Counts
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A ratio of two counts with its 95 % interval; `value` is NaN if there is nothing to count."""

    part: int
    whole: int
    value: float
    low: float
    high: float


def measure(pictures: Sequence[Labelled], detectors: Sequence[Detector], share: float) -> Measured:
    """Run the detectors over the pictures and count what they covered and invented."""
    faces = np.zeros((len(pictures), len(BUCKETS)), dtype=np.int64)
    covered = np.zeros_like(faces)
    false = np.zeros(len(pictures), dtype=np.int64)
    seconds = 0.0
    _found(pictures[0], detectors)  # loads the networks, which is not counted
    for i, picture in enumerate(tqdm(pictures, unit="picture", leave=False)):
        found, spent = _found(picture, detectors)
        seconds += spent
        grown = [boxes.grow(face.box, EXPAND) for face in found]
        for box in picture.faces:
            bucket = _bucket(box)
            faces[i, bucket] += 1
            covered[i, bucket] += boxes.covered(box, grown) >= share
        false[i] = _false(found, picture)
    return Measured(faces, covered, false, seconds)


def _found(picture: Labelled, detectors: Sequence[Detector]) -> tuple[list[Face], float]:
    pixels = picture.pixels()
    start = time.process_time()
    groups = [detector.detect([pixels])[0] for detector in detectors]
    found = boxes.union(groups, SAME_FACE_IOU)
    return found, time.process_time() - start


def _bucket(box: Box) -> int:
    side = ((box[2] - box[0]) * (box[3] - box[1])) ** 0.5
    return int(np.searchsorted(EDGES, side, side="right"))


def _false(found: Sequence[Face], picture: Labelled) -> int:
    labelled = boxes.as_boxes([*picture.faces, *picture.ignored])
    overlap = boxes.iou(boxes.as_boxes([face.box for face in found]), labelled)
    return int((~(overlap > 0).any(axis=1)).sum())


def ratio(part: Counts, whole: Counts) -> Estimate:
    """Return the ratio of two counts made on each of n pictures, with a bootstrap interval.

    Where all or nothing was counted, resampling gives an interval of no width. Then its end is
    the exact binomial one (Clopper-Pearson) with the pictures that count as the trials.
    """
    rng = np.random.default_rng(SEED)
    drawn = rng.integers(0, len(part), size=(ROUNDS, len(part)))
    parts, wholes = part[drawn].sum(axis=1), whole[drawn].sum(axis=1)
    filled = wholes > 0
    total = int(whole.sum())
    if not total:
        return Estimate(0, 0, np.nan, np.nan, np.nan)
    low, high = np.percentile(parts[filled] / wholes[filled], [2.5, 97.5])
    value, bound = float(part.sum() / total), 0.025 ** (1 / np.count_nonzero(whole))
    if value in {0.0, 1.0}:
        low, high = (bound, 1.0) if value else (0.0, 1 - bound)
    return Estimate(int(part.sum()), total, value, float(low), float(high))


def summarise(measured: Measured) -> dict[str, Estimate]:
    """Return the estimates by row of the table; the last is false boxes a picture."""
    estimates = {"all": ratio(measured.covered.sum(axis=1), measured.faces.sum(axis=1))}
    for i, bucket in enumerate(BUCKETS):
        estimates[bucket] = ratio(measured.covered[:, i], measured.faces[:, i])
    estimates["false boxes a picture"] = ratio(measured.false, np.ones_like(measured.false))
    return estimates


def show(estimate: Estimate, *, percent: bool) -> str:
    """Return an estimate as text: ``110/113 97.3 % (94.1-99.2)``, or ``0.29 (0.21-0.38)``."""
    if not estimate.whole:
        return "none"
    value, low, high = estimate.value, estimate.low, estimate.high
    if not percent:
        return f"{value:.2f} ({low:.2f}-{high:.2f})"
    count = f"{estimate.part}/{estimate.whole}"
    return f"{count} {value:.1%} ({100 * low:.1f}-{100 * high:.1f})"


def print_table(title: str, columns: Mapping[str, tuple[dict[str, Estimate], float]]) -> None:
    """Print a column for each profile."""
    print(f"\n{title}")
    print(" " * 24 + "".join(f"{profile:<28}" for profile in columns))
    for row in ("all", *BUCKETS, "false boxes a picture"):
        percent = row != "false boxes a picture"
        cells = [show(estimates[row], percent=percent) for estimates, _ in columns.values()]
        print(f"{row:<24}" + "".join(f"{cell:<28}" for cell in cells))
    speeds = [f"{speed:.1f}" for _, speed in columns.values()]
    print(f"{'pictures a CPU-second':<24}" + "".join(f"{speed:<28}" for speed in speeds))


def as_json(estimates: Mapping[str, Estimate], speed: float, specs: Sequence[str]) -> JSON:
    """Return the figures of one profile on one set as plain data."""
    rows = {
        name: {"part": e.part, "whole": e.whole, "value": e.value, "interval_95": [e.low, e.high]}
        for name, e in estimates.items()
        if e.whole
    }
    return {"detectors": list(specs), "pictures_per_cpu_second": speed, "estimates": rows}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the labelled sets")
    parser.add_argument("--set", dest="sets", action="append", choices=list(RULES))
    parser.add_argument("--profile", dest="profiles", action="append", choices=list(PROFILES))
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args()


def main() -> None:
    """Measure each profile on each set, print a table a set, write JSON if asked."""
    given = arguments()
    record: JSON = {
        "expand": EXPAND,
        "versions": {name: version(name) for name in ("onnxruntime", "numpy", "pillow")},
        "machine": platform.machine(),
        "sets": {},
    }
    for name in given.sets or ("imagenet", "blind"):
        rule, pictures = RULES[name], read(name, given.data)
        columns: dict[str, tuple[dict[str, Estimate], float]] = {}
        profiles: JSON = {}
        for profile in given.profiles or PROFILES:
            detectors = [parse(spec) for spec in PROFILES[profile]]
            measured = measure(pictures, detectors, rule.share)
            estimates, speed = summarise(measured), len(pictures) / measured.cpu_seconds
            columns[profile] = (estimates, speed)
            profiles[profile] = as_json(estimates, speed, PROFILES[profile])
        print_table(
            f"{name}: {len(pictures)} pictures, a face is covered at {rule.share:.0%}", columns
        )
        record["sets"][name] = {
            "pictures": len(pictures),
            "covered_share": rule.share,
            "profiles": profiles,
        }
    if given.json:
        given.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
