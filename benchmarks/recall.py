"""How many faces the profiles cover, how many boxes are false, and at what cost.

    python benchmarks/recall.py --curve --json recall.json     # everything that the docs quote
    python benchmarks/recall.py --set blind --profile high     # one set, one profile
    python benchmarks/recall.py --set crowds --detector yunet@640:0.4

A face is *covered* if the stated share of its area lies inside the union of the boxes, each
grown by 25 % of its width and height on every side (as `sfumato obfuscate` does); rows without
another name say this. *One box fits* if it reaches the stated IoU, each box fitting one face at
most. A box is *false* if, not grown, it touches no labelled face and no region labelled as art or
unclear; in sets where some faces have no label (imagenet, crowds), some of these are faces.
*False pixels* are the share of an image under grown false boxes. An image is *found* if there
is any box in it. Sizes are square roots of the labels' areas.

Intervals are 95 % percentile intervals of a bootstrap over images, so that the many faces of
one crowd count as one observation (exact ones where all or nothing was hit). Speed is images
per second of process CPU time on one thread: scaling, network and decoding of boxes, without
reading the file.

With --curve, images are searched once more with thresholds 3 log-odds lower, on all cores:
recall at every price, average precision as pycocotools defines it, and what the scores mean, with
the expected calibration error in ten bins of equal numbers (Nixon et al. 2019) of scores from
0.1 on (--from-score).
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias

from figures import (
    EXPAND,
    FROM_SCORE,
    Curve,
    Estimates,
    draw_curve,
    plain,
    plain_curve,
    print_curves,
    print_table,
    summarise,
)
from judging import Outcome, judge
from labels import DATA, RULES, Labelled, Rule, images_of, read
from tqdm import tqdm

from sfumato import boxes
from sfumato.detection.calibration.thresholds import SHIFTS, Searched, shifted
from sfumato.detection.detect import PROFILES, SAME_FACE_IOU
from sfumato.detection.detectors import parse
from sfumato.pipeline.executors.local import Local
from sfumato.pipeline.survey import Survey, look
from sfumato.types import JSON, Detection, Detector, Face


class Search:
    """Searches images in this process, each once however many sets it is in."""

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self._detectors = detectors
        self._known: dict[Path, tuple[list[Face], tuple[int, int], float]] = {}

    def outcomes(self, images: Sequence[Labelled], rule: Rule) -> tuple[list[Outcome], float]:
        """Return each image judged, and the CPU seconds that searching them all takes."""
        outcomes: list[Outcome] = []
        seconds = 0.0
        if not self._known:
            self._look(images[0])  # loads the networks, which is not counted
        for image in tqdm(images, unit="image", leave=False):
            if image.path not in self._known:
                self._known[image.path] = self._look(image)
            found, size, spent = self._known[image.path]
            outcomes.append(judge(image.truth(*size), found, expand=EXPAND, iou=rule.iou))
            seconds += spent
        return outcomes, seconds

    def _look(self, image: Labelled) -> tuple[list[Face], tuple[int, int], float]:
        pixels = image.pixels()
        start = time.process_time()
        groups = [detector.detect([pixels])[0] for detector in self._detectors]
        found = boxes.union(groups, SAME_FACE_IOU)
        return found, (pixels.shape[1], pixels.shape[0]), time.process_time() - start


class LowSearch:
    """Searches folders at low thresholds with all cores, each image once."""

    def __init__(self, specs: Sequence[str], workers: int) -> None:
        self._specs = tuple(shifted(spec, SHIFTS[0]) for spec in specs)
        self._workers = workers
        self._known: dict[Path, tuple[Detection, ...]] = {}

    def searched(self, chosen: Sequence[Labelled], images: Path) -> list[Searched]:
        """Return the images with what each detector found in them."""
        new = [p.path for p in chosen if p.path not in self._known]
        keys = [path.relative_to(images).as_posix() for path in new]
        surveyed = look(Survey(images, self._specs), keys, Local(self._workers))
        self._known.update({images / key: found for key, found in surveyed.found.items()})
        searched = []
        for image in chosen:
            found = self._known[image.path]
            truth = image.truth(found[0].width, found[0].height)
            searched.append(Searched(truth, tuple(one.faces for one in found)))
        return searched


# Whole specifications, and how they are searched: as they are, and at low thresholds.
Searches: TypeAlias = tuple[tuple[str, ...], Search, LowSearch]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the labelled sets")
    parser.add_argument("--set", dest="sets", action="append", choices=list(RULES))
    parser.add_argument("--profile", dest="profiles", action="append", choices=list(PROFILES))
    parser.add_argument(
        "--detector",
        dest="detectors",
        action="append",
        metavar="SPEC",
        help="measure the union of these instead of the profiles",
    )
    parser.add_argument("--curve", action="store_true", help="also look below the thresholds")
    parser.add_argument(
        "--from-score", type=float, default=FROM_SCORE, help="reliability of scores from here on"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    parser.add_argument("-j", dest="workers", type=int, default=0, help="processes for --curve")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args()


def settings(given: argparse.Namespace) -> Mapping[str, tuple[str, ...]]:
    """Return what is measured: names and whole specifications of detectors."""
    named = {name: PROFILES[name] for name in given.profiles or PROFILES}
    if given.detectors:
        named = {" + ".join(given.detectors): tuple(given.detectors)}
    return {name: tuple(parse(spec).spec for spec in specs) for name, specs in named.items()}


def measure(name: str, given: argparse.Namespace, searches: Mapping[str, Searches]) -> JSON:
    """Measure each setting on a set, print its table, and return the figures as plain data."""
    rule, images = RULES[name], read(name, given.data)
    columns: dict[str, tuple[Estimates, float]] = {}
    curves: dict[str, Curve] = {}
    for setting, (specs, search, low) in searches.items():
        outcomes, seconds = search.outcomes(images, rule)
        estimates = summarise(outcomes, rule.share, given.seed)
        columns[setting] = (estimates, len(images) / seconds)
        if given.curve:
            curves[setting] = draw_curve(
                low.searched(images, images_of(name, given.data)),
                specs,
                share=rule.share,
                iou=rule.iou,
                seed=given.seed,
                from_score=given.from_score,
            )
    about = f"covered at {rule.share:.0%}, one box fits at an IoU of {rule.iou:g}"
    print_table(f"{name}: {len(images)} images; {about}", columns)
    if curves:
        print_curves(curves)
    profiles = {
        setting: {
            "detectors": list(searches[setting][0]),
            "images_per_cpu_second": speed,
            "estimates": plain(estimates),
            **({"curve": plain_curve(curves[setting])} if curves else {}),
        }
        for setting, (estimates, speed) in columns.items()
    }
    about_set: JSON = {"images": len(images), "covered_share": rule.share, "iou": rule.iou}
    return {**about_set, "profiles": profiles}


def main() -> None:
    """Measure each profile on each set, print a table a set, write JSON if asked."""
    given = arguments()
    searches = {
        name: (specs, Search([parse(spec) for spec in specs]), LowSearch(specs, given.workers))
        for name, specs in settings(given).items()
    }
    sets = {name: measure(name, given, searches) for name in given.sets or RULES}
    if given.json:
        record: JSON = {
            "expand": EXPAND,
            "seed": given.seed,
            "from_score": given.from_score,
            "versions": {name: version(name) for name in ("onnxruntime", "numpy", "pillow")},
            "machine": platform.machine(),
            "sets": sets,
        }
        given.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
