"""Whether a study's analysis finds what was planted in made-up predictions, and nothing else.

    python benchmarks/study_truth.py --draws 500 --json truth.json

Each draw makes new images, new trainings and their predictions, with a known effect, and analyses
them as `sfumato study analyse` does. The world: 40 classes in 20 confusable pairs, 400 images
each, five architectures, three seeds an arm; an image is recognised with a chance of 35 to 70 %;
a training is better or worse than another by 0.1 points (standard deviation), and on a class by
2 points, which its twin loses or wins.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sfumato.stats.bootstrap import Group, bootstrap, times_drawn
from sfumato.study.analysis.answers import calibration
from sfumato.study.analysis.comparisons import difference, groups_of, top1
from sfumato.study.analysis.estimates import contrast, equivalence
from sfumato.study.analysis.matrix import Cell, Key, Matrix, RunOutcome, matrix_of
from sfumato.study.analysis.pairs import pairs
from sfumato.study.analysis.precision import precisions
from sfumato.study.analysis.subsets import Difference, by_part
from sfumato.study.predictions import Predictions, Run

CLASSES, IMAGES, ARCHITECTURES, SEEDS = 40, 400, 5, 3
MARGIN = 0.01
LOGITS = "intervals of measures that need logits, nothing planted, 10 classes of 100 images"
ALPHA = 0.05
QUESTION = difference("cost", "gaussian", ("original",) * 2, ("gaussian",) * 2, "")
MODELS = [f"net{a}" for a in range(ARCHITECTURES)]


@dataclass(frozen=True, slots=True)
class Effect:
    """What obfuscation does: to all images, to the first class, and from it to its twin."""

    everywhere: float = 0.0
    first_class: float = 0.0
    swapped: float = 0.0
    by_image: float = 0.0  # up for one half of the images, down for the other, by chance
    trainings: float = 0.001  # how they differ, standard deviation; both arms

    @property
    def overall(self) -> float:
        return self.everywhere + self.first_class / CLASSES

    def of_class(self, k: int) -> float:
        moved = {0: self.first_class - self.swapped, 1: self.swapped}
        return self.everywhere + moved.get(k, 0.0)


EFFECTS = {
    "nothing": Effect(),
    "0.6 points everywhere": Effect(everywhere=-0.006),
    "as much as the margin": Effect(everywhere=-MARGIN),
    "one class loses 9 points": Effect(first_class=-0.09),
    "a pair swaps 12 points": Effect(swapped=0.12),
}

WORLDS = {
    "intervals by drawing: nothing planted": Effect(),
    "intervals by drawing: trainings differ by 3 points": Effect(trainings=0.03),
    "intervals by drawing: 20 points up or down by image": Effect(by_image=0.2),
}


def world(
    effect: Effect,
    rng: np.random.Generator,
    images: int = IMAGES,
    models: Sequence[str] = MODELS,
) -> Matrix:
    """Return a matrix of made-up predictions on both arms, `images` of each class."""
    labels = np.repeat(np.arange(CLASSES, dtype=np.int32), images)
    base = rng.uniform(0.42, 0.62, len(labels))
    lucky = rng.choice([-1.0, 1.0], len(labels))
    plain = Effect(trainings=effect.trainings)
    cells = {}
    for model in models:
        accuracy = base + rng.uniform(-0.07, 0.08, len(labels))
        for arm, planted in (("original", plain), ("gaussian", effect)):
            shown = accuracy + planted.by_image * lucky
            said = np.stack([_predictions(labels, shown, planted, rng) for _ in range(SEEDS)])
            rank = np.where(said == labels, 0, 1).astype(np.int32)
            key = Key("scratch", model, arm, arm)
            cells[key] = Cell(key, tuple(range(SEEDS)), said, rank, None, (None,) * SEEDS, (), 1)
    names = tuple(f"class {k}" for k in range(CLASSES))
    return Matrix(tuple(map(str, range(len(labels)))), labels, names, "made up", cells)


def _predictions(
    labels: NDArray[np.int32],
    accuracy: NDArray[np.float64],
    planted: Effect,
    rng: np.random.Generator,
) -> NDArray[np.int32]:
    """Return the classes of one training: right, its twin (2k and 2k + 1), or another one."""
    spread = planted.everywhere + rng.normal(0, planted.trainings)
    traded = np.repeat(rng.normal(0, 0.02, CLASSES // 2), 2) * np.tile([-1, 1], CLASSES // 2)
    traded[:2] += np.array([-1, 1]) * planted.swapped
    lost = np.zeros(CLASSES)
    lost[0] = planted.first_class
    right = accuracy + spread + (traded + lost)[labels]
    twin = 0.6 * (1 - accuracy) - 0.6 * spread - traded[labels]
    chance = rng.random(len(labels))
    other = (labels + 2 + rng.integers(0, CLASSES - 3, len(labels))) % CLASSES
    other = np.where(other // 2 == labels // 2, (other + 2) % CLASSES, other)
    found = np.where(chance < right, labels, np.where(chance < right + twin, labels ^ 1, other))
    return found.astype(np.int32)


@dataclass(frozen=True, slots=True)
class Drawn:
    """What one draw has shown: yes or no for each thing that is counted."""

    counts: dict[str, bool]
    classes: list[bool]  # whether each class's interval holds the truth


def analyse(effect: Effect, rng: np.random.Generator, images: int = IMAGES) -> Drawn:
    """Make one world and look for what was planted."""
    matrix = world(effect, rng, images)
    groups = groups_of(matrix, QUESTION, top1, MODELS)
    whole = contrast(groups, matrix.labels)
    counts = {
        "overall interval holds the truth": whole.low <= effect.overall <= whole.high,
        "overall difference found (p < 0.05)": whole.cautious_p < ALPHA,
        "called equivalent within 1 point": equivalence(whole, MARGIN).holds,
    }
    if effect.everywhere:  # every class differs a little: nothing is false there
        return Drawn(counts, [])
    moved = {k for k in range(CLASSES) if effect.of_class(k)}
    nothing = np.zeros(len(matrix.labels))
    classes = by_part(Difference(groups, nothing, nothing), matrix.labels, matrix.classes)
    flagged = {k for k, row in enumerate(classes) if row.p_holm < ALPHA}
    counts["a class that is the same is found (Holm)"] = bool(flagged - moved)
    if moved:
        counts["every class that differs is found (Holm)"] = moved <= flagged
    counts |= _of_pairs(effect, matrix, moved)
    held = [row.found.low <= effect.of_class(k) <= row.found.high for k, row in enumerate(classes)]
    return Drawn(counts, held)


def _of_pairs(effect: Effect, matrix: Matrix, moved: set[int]) -> dict[str, bool]:
    found = pairs(matrix, QUESTION, MODELS)
    swapped = {pair.first for pair in found if pair.p_holm < ALPHA}
    planted = {"class 0"} if moved else set()
    first = next(pair for pair in found if pair.first == "class 0")
    swap, lost = effect.swapped - effect.first_class / 4, effect.first_class / 2
    counts = {
        "a pair that doesn't swap is found (Holm)": bool(swapped - planted),
        "swap's interval holds the truth": first.swap.low <= swap <= first.swap.high,
        "interval of a pair's sum holds the truth": (
            first.together.low <= lost <= first.together.high
        ),
    }
    if effect.swapped:
        counts["the pair that swaps is found (Holm)"] = planted <= swapped
    return counts


def bootstraps(effect: Effect, rng: np.random.Generator, rounds: int = 300) -> dict[str, bool]:
    """Tell whether percentile intervals hold the truth, with 25 images a class."""
    three = MODELS[:3]
    matrix = world(effect, rng, 25, three)
    groups = groups_of(matrix, QUESTION, top1, three)
    alone = groups_of(matrix, QUESTION, top1, MODELS[:1])
    found = {}
    for name, some in (("three architectures", groups), ("one architecture", alone)):
        exact = contrast(some, matrix.labels)
        found[f"{name}, this analysis"] = exact.low <= 0 <= exact.high
        drawn = {
            "images and seeds drawn": bootstrap(some, rng, rounds=rounds),
            "images drawn in each seed": nested(some, rng, rounds),
        }
        for kind, (low, high) in drawn.items():
            found[f"{name}, bootstrap, {kind}"] = low <= 0 <= high
    return found


def nested(groups: Sequence[Group], rng: np.random.Generator, rounds: int) -> tuple[float, float]:
    """Draw images anew within each drawn seed, as if no image were hard for two models."""
    total = np.zeros(rounds)
    for group in groups:
        values = np.asarray(group.values, dtype=np.float32)
        seeds, n = values.shape
        picked = rng.integers(0, seeds, size=(rounds, seeds))
        means = [
            np.einsum("rn,rn->r", times_drawn(rng, rounds, n) / n, values[picked[:, slot]])
            for slot in range(seeds)
        ]
        total += group.weight * np.mean(means, axis=0)
    low, high = np.percentile(total, [2.5, 97.5])
    return float(low), float(high)


def one_draw(name: str, seed: int, draw: int) -> Drawn:
    """Analyse one draw of a named effect; the same whoever does it."""
    return analyse(EFFECTS[name], np.random.default_rng([seed, list(EFFECTS).index(name), draw]))


def one_bootstrap(name: str, seed: int, draw: int) -> dict[str, bool]:
    """Make one draw for the bootstraps."""
    place = len(EFFECTS) + list(WORLDS).index(name)
    return bootstraps(WORLDS[name], np.random.default_rng([seed, place, draw]))


def of_logits(rng: np.random.Generator, classes: int = 10, images: int = 100) -> dict[str, bool]:
    """Tell whether intervals of measures that need logits hold the truth, that arms are alike."""
    labels = np.repeat(np.arange(classes, dtype=np.int32), images)
    rows = np.arange(len(labels))
    keys = tuple(map(str, rows))
    names = tuple(f"class {k}" for k in range(classes))
    shared = rng.normal(0, 1, (len(labels), classes))
    shared[rows, labels] += 2
    outcomes = []
    for model in MODELS[:3]:
        own = shared + rng.normal(0, 0.3, shared.shape)
        for arm in ("original", "gaussian"):
            for seed in range(SEEDS):
                logits = own + rng.normal(0, 0.5, shared.shape) + rng.normal(0, 0.1, classes)
                run = Run(model, "scratch", arm, arm, seed, names)
                found = Predictions.of_logits(run, keys, labels, 1.5 * logits)
                outcomes.append(RunOutcome.of_predictions(found, found.logits))
    matrix = matrix_of(outcomes)
    made = precisions(matrix, QUESTION, MODELS[:3])
    assert made is not None
    gaps = groups_of(matrix, QUESTION, calibration, MODELS[:3])
    error = contrast(gaps, matrix.labels)
    held = {
        f"average precision of class {k}": row.change.low <= 0 <= row.change.high
        for k, row in enumerate(made[0])
    }
    return held | {
        "mean average precision": made[1].low <= 0 <= made[1].high,
        "calibration error": error.low <= 0 <= error.high,
    }


def one_of_logits(_: str, seed: int, draw: int) -> dict[str, bool]:
    """Make one draw for the measures that need logits."""
    return of_logits(np.random.default_rng([seed, len(EFFECTS) + len(WORLDS), draw]))


def interval(count: int, draws: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a share (Clopper and Pearson 1934)."""
    low = stats.beta.ppf(0.025, count, draws - count + 1) if count else 0.0
    high = stats.beta.ppf(0.975, count + 1, draws - count) if count < draws else 1.0
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", metavar="TEXT", help="parts with this in their name")
    parser.add_argument("-j", "--workers", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    began = time.monotonic()
    results: dict[str, dict[str, tuple[int, int]]] = {}
    parts = [name for name in (*EFFECTS, *WORLDS, LOGITS) if options.only in name]
    with Pool(options.workers) as pool:
        for name in parts:
            jobs = [(name, options.seed, draw) for draw in range(options.draws)]
            if name in EFFECTS:
                results[name] = _of_effects(pool.starmap(one_draw, jobs, chunksize=5))
            else:
                one = one_bootstrap if name in WORLDS else one_of_logits
                results[name] = _counted(pool.starmap(one, jobs, chunksize=5))
    for name, counted in results.items():
        print(f"\n{name}")
        for what, (count, draws) in counted.items():
            low, high = interval(count, draws)
            print(f"  {what:55} {count / draws:6.1%}  ({low:.1%} to {high:.1%}; n = {draws})")
    print(f"\n{options.draws} draws each, {time.monotonic() - began:.0f} s")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _of_effects(drawn: list[Drawn]) -> dict[str, tuple[int, int]]:
    counted = _counted([one.counts for one in drawn])
    held = [one for row in drawn for one in row.classes]
    return counted | ({"class intervals hold the truth": (sum(held), len(held))} if held else {})


def _counted(rows: list[dict[str, bool]]) -> dict[str, tuple[int, int]]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {
        name: (sum(row[name] for row in rows if name in row), sum(name in row for row in rows))
        for name in names
    }


if __name__ == "__main__":
    main()
