"""Whether `sfumato calibrate` keeps what it promises: one half of a set chooses, the other checks.

    python benchmarks/promises.py --set crowds --recall 0.95 --json promises.json

The set is cut in half at random, again and again. On one half the setting is chosen and its recall
promised; on the other it is counted. Means over the cuts are printed; a mean promise above what
the other halves give would be too good to be true.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from labels import DATA, RULES, images_of, read
from numpy.typing import NDArray
from recall import LowSearch
from tqdm import tqdm

from sfumato.detection.calibration.thresholds import Table, promise, tabulate
from sfumato.detection.detect import PROFILES
from sfumato.detection.detectors import parse
from sfumato.types import JSON


def half(table: Table, picked: NDArray[np.bool_]) -> Table:
    """Return the table of some of the images."""
    return replace(
        table,
        faces=table.faces[picked],
        covered=table.covered[..., picked],
        false_boxes=table.false_boxes[:, picked],
        false_pixels=table.false_pixels[..., picked],
        needless=table.needless[..., picked],
    )


def check(table: Table, wanted: float, cuts: int, rng: np.random.Generator) -> JSON:
    """Cut the images in half so often; return mean recalls and how many promises were made."""
    rows = []
    for _ in tqdm(range(cuts), unit="cut", leave=False):
        picked = rng.permutation(table.images) < table.images // 2
        made, other = promise(half(table, picked), wanted, rng), half(table, ~picked)
        found = other.covered[made.setting.shift, made.setting.growth].sum() / other.faces.sum()
        rows.append((made.recall.value, float(found), made.in_sample.value, float(made.kept)))
    names = ("promised", "on the other half", "on the half that chose", "promises made")
    return dict(zip(names, np.mean(rows, axis=0).tolist(), strict=True))


def main() -> None:
    """Search the set once, check, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the labelled sets")
    parser.add_argument("--set", dest="name", choices=list(RULES), default="crowds")
    parser.add_argument("--profile", choices=list(PROFILES), default="default")
    parser.add_argument("--recall", type=float, default=0.95, help="the wanted recall")
    parser.add_argument("--cuts", type=int, default=40, help="how often the set is cut in half")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-j", dest="workers", type=int, default=0, help="processes")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args()
    specs = tuple(parse(spec).spec for spec in PROFILES[given.profile])
    images = images_of(given.name, given.data)
    names = LowSearch(specs, given.workers).searched(read(given.name, given.data), images)
    table = tabulate(names, specs, share=RULES[given.name].share)
    figures = check(table, given.recall, given.cuts, np.random.default_rng(given.seed))
    print(f"{given.name}, {given.profile}: {given.recall:.1%} wanted, {given.cuts} cuts in half")
    for name, value in figures.items():
        print(f"{name:<26}{value:.1%}")
    if given.json:
        record = {"set": given.name, "profile": given.profile, "wanted": given.recall, **figures}
        given.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
