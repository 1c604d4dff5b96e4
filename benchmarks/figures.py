"""From judged images to figures with intervals, and from figures to tables and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TypeAlias

import numpy as np
from judging import (
    Bin,
    Outcome,
    calibration_error,
    estimated_precision,
    is_face,
    reliability,
)
from numpy.typing import NDArray

from sfumato.detection.calibration.thresholds import (
    Searched,
    kept_at,
    shifted,
    tabulate,
    threshold_of,
)
from sfumato.recipe import ObfuscateStep
from sfumato.stats.bootstrap import Numbers, from_draws, resampled
from sfumato.stats.intervals import Estimate
from sfumato.stats.matching import SIZES
from sfumato.types import JSON

Estimates: TypeAlias = dict[str, Estimate]

EXPAND = ObfuscateStep().expand
FALSE = "false boxes an image"
PIXELS = "false pixels"
IMAGES = "images with a face: found"
FLAGGED = "images found: with a face"
BUDGETS = (0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0)  # false boxes an image
# Scores mean something from here on. Below lie thousands of boxes that nobody covers; each score
# near 0 is right about them, and their number alone would make any error small.
FROM_SCORE = 0.1
_ROUNDS_OF_ERROR = 500  # of the bootstrap of the calibration error, which bins anew each time


def matched(row: str) -> str:
    """Return the name of the row of recall by IoU beside the one of covered faces."""
    return f"one box fits, {row}"


def by_size(sizes: Sequence[Sequence[int]], hits: Sequence[Sequence[bool]]) -> NDArray[np.int64]:
    """Return (n, 1 + sizes) counts of faces that are hits in each image: all, then by size."""
    counts = np.zeros((len(sizes), 1 + len(SIZES)), dtype=np.int64)
    for i, (group, right) in enumerate(zip(sizes, hits, strict=True)):
        for size, hit in zip(group, right, strict=True):
            counts[i, [0, 1 + size]] += hit
    return counts


def estimate(
    columns: Mapping[str, tuple[Numbers, Numbers]], seed: int, unbounded: Sequence[str] = ()
) -> Estimates:
    """Return the ratio of each pair of counts an image, all from the same drawn images."""
    stacked: list[Numbers] = [column for pair in columns.values() for column in pair]
    sums = resampled([np.array(stacked, dtype=np.float64)], np.random.default_rng(seed))[0]
    return {
        name: from_draws(*pair, sums[2 * i], sums[2 * i + 1], share=name not in unbounded)
        for i, (name, pair) in enumerate(columns.items())
    }


def summarise(outcomes: Sequence[Outcome], share: float, seed: int) -> Estimates:
    """Return the figures of a setting on a set, by row of the table."""
    sizes = [o.sizes for o in outcomes]
    faces = by_size(sizes, [[True] * len(group) for group in sizes])
    covered = by_size(sizes, [[part >= share for part in o.covered] for o in outcomes])
    fitted = by_size(sizes, [o.matched for o in outcomes])
    shows = np.array([o.shows for o in outcomes], dtype=np.int64)
    flagged = np.array([o.boxes > 0 for o in outcomes], dtype=np.int64)
    # An image of art alone is neither rightly nor wrongly found.
    counts = np.array([o.shows or not o.ignorable for o in outcomes], dtype=np.int64)
    ones = np.ones(len(outcomes), dtype=np.int64)
    columns: dict[str, tuple[Numbers, Numbers]] = {
        row: (covered[:, i], faces[:, i]) for i, row in enumerate(("all", *SIZES))
    }
    columns[FALSE] = (np.array([o.false_boxes for o in outcomes]), ones)
    columns[PIXELS] = (np.array([o.false_pixels for o in outcomes]), ones)
    for i, row in enumerate(("all", *SIZES)):
        columns[matched(row)] = (fitted[:, i], faces[:, i])
    columns[IMAGES] = (shows * flagged, shows)
    columns[FLAGGED] = (shows * flagged, flagged * counts)
    return estimate(columns, seed, unbounded=(FALSE, PIXELS))


@dataclass(frozen=True, slots=True)
class Curve:
    """What lies beyond one setting: the whole curve, precision, and what scores mean.

    `points` are covered recall, false boxes and false pixels an image for thresholds moved
    together by so many log-odds. `bins` and `error` are of scores from a stated one on.
    """

    points: tuple[JSON, ...]
    precision: Estimate
    bins: tuple[Bin, ...]
    error: Estimate

    def within(self, budget: float) -> JSON | None:
        """Return the point of the highest recall with at most so many false boxes an image."""
        affordable = [point for point in self.points if point["false_boxes"] <= budget]
        return max(affordable, key=lambda point: float(point["recall"]), default=None)


def draw_curve(
    images: Sequence[Searched],
    specs: Sequence[str],
    *,
    share: float,
    iou: float,
    seed: int,
    from_score: float = FROM_SCORE,
) -> Curve:
    """Judge what was found at low thresholds at every threshold above them."""
    table = tabulate(images, specs, share=share, growths=(EXPAND,))
    faces = max(int(table.faces.sum()), 1)
    points = tuple(
        {
            "shift": shift,
            "detectors": [shifted(spec, shift) for spec in specs],
            "recall": float(table.covered[i, 0].sum() / faces),
            "false_boxes": float(table.false_boxes[i].mean()),
            "false_pixels": float(table.false_pixels[i, 0].mean()),
        }
        for i, shift in enumerate(table.shifts)
    )
    lowest = [threshold_of(shifted(spec, table.shifts[0])) for spec in specs]
    found = [(image.truth, kept_at(image, lowest)) for image in images]
    scores, answers = [], []
    for truth, kept in found:
        likely = [face for face in kept if face.score >= from_score]
        answers.append(is_face(truth, likely, iou))
        scores.append(np.array([face.score for face in likely]))
    rng = np.random.default_rng(seed)
    bins, error = _error(scores, answers, rng)
    return Curve(points, estimated_precision(found, rng, iou=0.5), bins, error)


def _error(
    scores: Sequence[NDArray[np.float64]],
    answers: Sequence[NDArray[np.float64]],
    rng: np.random.Generator,
) -> tuple[tuple[Bin, ...], Estimate]:
    """Return the reliability of the scores, and the calibration error with its interval."""
    sure = [~np.isnan(answer) for answer in answers]
    pairs = [(s[k], a[k]) for s, a, k in zip(scores, answers, sure, strict=True)]
    bins = _bins(pairs)
    errors = [
        calibration_error(_bins([pairs[i] for i in rng.integers(0, len(pairs), len(pairs))]))
        for _ in range(_ROUNDS_OF_ERROR)
    ]
    low, high = np.nanpercentile(errors, [2.5, 97.5])
    faces, count = sum(one.faces for one in bins), sum(one.count for one in bins)
    return bins, Estimate(faces, count, calibration_error(bins), float(low), float(high))


def _bins(pairs: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> tuple[Bin, ...]:
    scores = np.concatenate([score for score, _ in pairs])
    return reliability(scores, np.concatenate([face for _, face in pairs]))


def show(found: Estimate, *, percent: bool) -> str:
    """Return an estimate as text: ``110/113 97.3 % (94.1-99.2)``, or ``0.29 (0.21-0.38)``."""
    if not found.whole:
        return "none"
    value, low, high = found.value, found.low, found.high
    if not percent:
        return f"{value:.2f} ({low:.2f}-{high:.2f})"
    count = f"{found.part:.0f}/{found.whole:.0f}"
    return f"{count} {value:.1%} ({100 * low:.1f}-{100 * high:.1f})"


def print_table(title: str, columns: Mapping[str, tuple[Estimates, float]]) -> None:
    """Print a column for each setting."""
    print(f"\n{title}")
    print(" " * 30 + "".join(f"{name:<30}" for name in columns))
    rows = next(iter(columns.values()))[0]
    for row in rows:
        if row == PIXELS:
            shown = [f"{e[PIXELS].value:.2%}" for e, _ in columns.values()]
            low = [(100 * e[PIXELS].low, 100 * e[PIXELS].high) for e, _ in columns.values()]
            cells = [f"{v} ({a:.2f}-{b:.2f})" for v, (a, b) in zip(shown, low, strict=True)]
        else:
            cells = [show(e[row], percent=row != FALSE) for e, _ in columns.values()]
        print(f"{row:<30}" + "".join(f"{cell:<30}" for cell in cells))
    speeds = [f"{speed:.1f}" for _, speed in columns.values()]
    print(f"{'images a CPU-second':<30}" + "".join(f"{speed:<30}" for speed in speeds), flush=True)


def print_curves(curves: Mapping[str, Curve]) -> None:
    """Print recall by false boxes, average precision and reliability, a column a setting."""
    print("\nfaces covered with at most so many false boxes an image")
    for budget in BUDGETS:
        cells = []
        for curve in curves.values():
            point = curve.within(budget)
            cells.append(f"{point['recall']:.1%} at {point['false_boxes']:.2f}" if point else "-")
        print(f"{budget:<30g}" + "".join(f"{cell:<30}" for cell in cells))
    for row, name in (("average precision, IoU 0.5", "precision"), ("calibration error", "error")):
        found = [getattr(curve, name) for curve in curves.values()]
        cells = [f"{e.value:.3f} ({e.low:.3f}-{e.high:.3f})" for e in found]
        print(f"{row:<30}" + "".join(f"{cell:<30}" for cell in cells))
    for name, curve in curves.items():
        print(f"\n{name}: boxes by score, mean score, share of faces among them")
        for one in curve.bins:
            print(f"{one.low:.3f}-{one.high:.3f}  {one.count:>6}  {one.score:.3f}  {one.share:.3f}")


def plain(estimates: Mapping[str, Estimate]) -> JSON:
    """Return estimates as plain data; those of nothing are left out."""
    return {
        name: {"part": e.part, "whole": e.whole, "value": e.value, "interval_95": [e.low, e.high]}
        for name, e in estimates.items()
        if e.whole
    }


def plain_curve(curve: Curve) -> JSON:
    """Return a curve as plain data."""
    return {
        **plain({"average_precision": curve.precision, "calibration_error": curve.error}),
        "reliability": [{**asdict(one), "share": one.share} for one in curve.bins],
        "points": list(curve.points),
    }
