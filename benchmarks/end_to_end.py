"""How fast `sfumato run` is beside the `deface` command line, with the recall of both.

    python benchmarks/end_to_end.py                       # ImageNet, 3 rounds
    python benchmarks/end_to_end.py --images DIR --rounds 5 --json end_to_end.json

deface comes from PyPI into an environment of its own and is run with both of its networks'
runtimes: without the package onnx it falls back to OpenCV, without saying so. In each round every
tool makes its whole result anew, one after another: start, reading, detection, covering,
writing; sfumato also searches what it covered again, verifies the release and writes its
reports. A ratio compares the images a second of two tools in the same round.

A face is covered if the stated share of its area lies under what the tool really covers: the
boxes in faces.parquet grown as `sfumato obfuscate` does, or what deface's own drawing touches
(an ellipse) with its own settings. Faces, false boxes and intervals are those of recall.py; the
faces that sfumato found when it looked again count too.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from contenders import BACKENDS, DEFACE, Deface, Labels, Seen, Sfumato, Timing, Tool, environment
from figures import FALSE, Estimates, by_size, estimate, show
from labels import DATA, RULES, read
from tqdm import tqdm

from sfumato.errors import SfumatoError, UsageError
from sfumato.pipeline.executors.local import available_cores
from sfumato.sources.imagefolder import ImageFolder
from sfumato.stats.bootstrap import Numbers
from sfumato.stats.intervals import Estimate
from sfumato.stats.matching import SIZES, size_of
from sfumato.types import JSON

SET = "imagenet"
SHARE = RULES[SET].share
ROOT = Path(__file__).resolve().parents[1]
TARGETS = {"default": 0.9, "fast": 3.5}  # times the images a second of deface
BUSY = 0.1  # cores: more than this taken by other programs spoils the measurement


def count(labels: Labels, looks: Sequence[Seen]) -> Estimates:
    """Return the recall by size and the false boxes an image, as recall.py counts them."""
    sizes = [[size_of(box) for box in image.faces] for image in labels.values()]
    faces = by_size(sizes, [[True] * len(group) for group in sizes])
    covered = by_size(sizes, [[share >= SHARE for share in look.shares] for look in looks])
    columns: dict[str, tuple[Numbers, Numbers]] = {
        row: (covered[:, i], faces[:, i]) for i, row in enumerate(("all", *SIZES))
    }
    columns[FALSE] = (np.array([look.false for look in looks]), np.ones(len(looks)))
    return estimate(columns, seed=0, unbounded=(FALSE,))


def labelled(data: Path, chosen: Path, keys: Sequence[str]) -> Labels:
    """Return those of the images that are in the labelled set, by the same path below it."""
    images = data / RULES[SET].folder / "images"
    if not images.is_dir():
        return {}
    known = {image.path.relative_to(images).as_posix(): image for image in read(SET, data)}
    return {key: replace(known[key], path=chosen / key) for key in keys if key in known}


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with the smallest and the largest value."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        digits = 1 if self.median >= 10 else 2
        return f"{self.median:.{digits}f} ({self.low:.{digits}f}-{self.high:.{digits}f})"


def spread(values: Iterable[float]) -> Spread:
    ordered = sorted(values)
    return Spread(median(ordered), ordered[0], ordered[-1])


def figures(runs: Mapping[str, Sequence[Timing]], title: str, images: int) -> dict[str, Spread]:
    """Return the rows of the table about speed for one tool."""
    timings = runs[title]
    rows = {
        "wall seconds": spread(t.wall for t in timings),
        "images a second": spread(images / t.wall for t in timings),
        "CPU seconds": spread(t.cpu for t in timings),
    }
    for other, baseline in runs.items():
        if other.startswith("deface"):
            pairs = zip(baseline, timings, strict=True)
            rows[f"x {other}"] = spread(theirs.wall / ours.wall for theirs, ours in pairs)
    return rows


def print_table(columns: Mapping[str, Mapping[str, object]]) -> None:
    """Print a column for each tool, with rows of text or `Spread` or `Estimate`."""
    print(" " * 24 + "".join(f"{title:<28}" for title in columns))
    for row in next(iter(columns.values())):
        cells = [columns[title][row] for title in columns]
        percent = row != FALSE
        texts = [show(c, percent=percent) if isinstance(c, Estimate) else str(c) for c in cells]
        print(f"{row:<24}" + "".join(f"{text:<28}" for text in texts))


def print_verdicts(speeds: Mapping[str, Mapping[str, Spread]]) -> None:
    """Print the targets, each beside deface with each of its runtimes."""
    for profile, target in TARGETS.items():
        for row, ratio in speeds[f"sfumato, {profile}"].items():
            if row.startswith("x "):
                verdict = "reached" if ratio.median >= target else "not reached"
                print(f"{profile}: {ratio} {row}, target {target}: {verdict}")


def machine() -> str:
    """Say what this is measured on."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    models = {line.partition(":")[2].strip() for line in lines if line.startswith("model name")}
    model = ", ".join(sorted(models)) or platform.machine()
    return f"{available_cores()} cores of {model}, Python {platform.python_version()}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the labelled sets")
    parser.add_argument("--images", type=Path, help="[default: those of the set imagenet]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--env", type=Path, default=ROOT / "build" / "deface-env")
    parser.add_argument("--backend", dest="backends", action="append", choices=list(BACKENDS))
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args()


def measure(given: argparse.Namespace) -> None:
    """Run every tool in every round, print the table, write JSON if asked."""
    python = environment(given.env)
    images = (given.images or given.data / RULES[SET].folder / "images").absolute()
    keys = ImageFolder(images).scan().images
    if not keys or given.rounds < 1:
        raise UsageError(f"Nothing to measure: {len(keys)} images, {given.rounds} rounds.")
    labels = labelled(given.data, images, keys)
    runs: defaultdict[str, list[Timing]] = defaultdict(list)
    with TemporaryDirectory(prefix="end-to-end-") as work:
        tools: list[Tool] = [
            Deface(python, backend, images, Path(work)) for backend in given.backends or BACKENDS
        ]
        tools += [Sfumato(profile, images, Path(work)) for profile in TARGETS]
        for tool in tqdm(tools * given.rounds, unit="run", leave=False):
            runs[tool.title].append(tool.run(keys))
        seen = {tool.title: count(labels, tool.seen(labels)) for tool in tools if labels}
    speeds = {title: figures(runs, title, len(keys)) for title in runs}
    others = sum(t.others for one in runs.values() for t in one)
    others /= sum(t.wall for one in runs.values() for t in one)
    print(f"{len(keys)} images, {given.rounds} rounds, each tool in turn; {machine()}.")
    warning = ": not an idle machine." if others > BUSY else "."
    print(f"Other programs took {others:.2f} cores{warning}\n")
    print_table({title: {**speeds[title], **seen.get(title, {})} for title in runs})
    words = f"on {len(labels)} labelled images, covered at {SHARE:.0%}" if seen else "not measured"
    print(f"\nCovered and false: {words}.")
    print_verdicts(speeds)
    if given.json:
        setting: JSON = {"images": len(keys), "labelled": len(labels), "cores_of_others": others}
        record = {**setting, **as_json(runs, speeds, seen)}
        given.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def as_json(
    runs: Mapping[str, Sequence[Timing]],
    speeds: Mapping[str, Mapping[str, Spread]],
    seen: Mapping[str, Mapping[str, Estimate]],
) -> JSON:
    """Return the figures of every tool, and what they were made with, as plain data."""
    tools = {
        title: {
            "runs": [asdict(timing) for timing in runs[title]],
            "speed": {row: asdict(value) for row, value in speeds[title].items()},
            "estimates": {r: asdict(e) for r, e in seen.get(title, {}).items() if e.whole},
        }
        for title in runs
    }
    return {
        "machine": machine(),
        "versions": {name: version(name) for name in ("onnxruntime", "numpy", "pillow")},
        "versions_beside_deface": DEFACE,
        "covered_share": SHARE,
        "targets": TARGETS,
        "tools": tools,
    }


def main() -> None:
    """Measure; a sentence and exit code 1 if that isn't possible."""
    try:
        measure(arguments())
    except SfumatoError as error:
        sys.exit(f"end_to_end.py: {error}")


if __name__ == "__main__":
    main()
