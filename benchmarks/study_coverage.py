"""How often a study's intervals hold the truth in many worlds, and how small a loss is found.

    python benchmarks/study_coverage.py --draws 1000 --json coverage.json
    python benchmarks/study_coverage.py --power

The worlds are those of study_truth.py with other numbers: classes in confusable pairs; an image is
recognised with a chance of 35 to 70 %; trainings differ overall by `spread` and on a class by 2
points, which its twin loses or wins. Only what the intervals need is drawn of each prediction: the
label, its twin, another one of the five best, or none.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sfumato.stats.bootstrap import Group
from sfumato.study.analysis.estimates import Estimate, contrasts
from sfumato.study.analysis.measures import average_precision_values

RIGHT, TWIN, FIVE = 0, 1, 2
LEVEL: Final = 0.525  # of the images' chances
TRADED: Final = 0.02
REDRAWN: Final = 0.1  # of a model's answers, where it is tested on another arm
ALPHA: Final = 0.05
POWER: Final = 0.9
Contrasts: TypeAlias = Callable[..., list[Estimate]]


@dataclass(frozen=True, slots=True)
class World:
    """What is drawn; shares, not points."""

    classes: int = 20
    images: int = 50  # of each class
    architectures: int = 3
    seeds: int = 3
    spread: float = 0.001  # of trainings, standard deviation
    by_image: float = 0.0  # up for one half of the images, down for the other, by chance
    swapped: float = 0.0  # from the first class to its twin
    lost: float = 0.0  # by the first class

    @property
    def predictions(self) -> int:
        """Return how many predictions there are on one arm."""
        return self.classes * self.images * self.architectures * self.seeds

    @property
    def name(self) -> str:
        """Return the world in words."""
        words = f"{self.architectures} architectures, {self.seeds} seeds, "
        words += f"{self.classes} classes of {self.images}, trainings ±{100 * self.spread:g}"
        more = {"by image": self.by_image, "swapped": self.swapped}
        return words + "".join(f", {what} {100 * by:g}" for what, by in more.items() if by)


# Those that 500 draws of study_truth.py left in doubt.
DOUBTFUL: Final = (World(40, 25, 1, 3, by_image=0.2), World(4, 400, 5, 3, swapped=0.12))


class Case(NamedTuple):
    """What one interval is made of, and the truth in each of its parts."""

    groups: list[Group]
    parts: NDArray[np.intp]
    strata: NDArray[np.intp]
    truths: list[float]


def grid() -> Iterator[World]:
    """Return every world whose intervals are looked at; the largest are left out."""
    sizes = [(20, 15), (20, 50), (40, 400)]
    numbers = itertools.product(sizes, (1, 3, 5, 15), (2, 3, 5, 10), (0, 0.001, 0.01, 0.03))
    for (classes, images), architectures, seeds, spread in numbers:
        world = World(classes, images, architectures, seeds, spread)
        many = architectures > 3 or images > 50
        if world.predictions <= 240_000 and not (many and spread in (0, 0.01)):
            yield world
    for architectures, seeds in ((1, 2), (1, 3), (3, 2), (3, 3), (5, 3)):
        some = World(20, 50, architectures, seeds)
        yield replace(some, by_image=0.2)
        yield replace(some, swapped=0.12)
        yield replace(some, by_image=0.2, swapped=0.12, spread=0.03)
    yield from DOUBTFUL


def cases(world: World, rng: np.random.Generator) -> dict[str, Case]:
    """Draw a world and return what is estimated in it."""
    labels = np.repeat(np.arange(world.classes), world.images)
    before, after, shifted = drawn(world, labels, rng)
    whole, some = np.zeros_like(labels), np.where(labels % 2 == 0, labels // 2 - 1, -1)
    pair = np.where(labels < 2, 0, -1)
    turn = np.where(labels % 2 == 1, 1.0, -1.0)

    def right(codes: NDArray[np.uint8]) -> NDArray[Any]:
        return np.asarray(codes == RIGHT)

    def turned(codes: NDArray[np.uint8]) -> NDArray[Any]:
        return np.asarray(turn * ((codes == RIGHT) * 1.0 - (codes == TWIN)) / 2)

    change = differences(before, after, right)
    five = differences(before, after, lambda codes: codes <= FIVE)
    swap = differences(before, after, turned)
    shift = [
        Group(1 / len(before), (b == RIGHT) * 1.0 - (a == RIGHT))
        for a, b in zip(before, shifted, strict=True)
    ]
    level = [Group(1 / len(before), right(codes)) for codes in before]
    same = [0.0] * (world.classes // 2 - 1)
    return {
        "top-1": Case(change, whole, labels, [0.0]),
        "top-5": Case(five, whole, labels, [0.0] * (not world.swapped)),
        "class": Case(change, some, labels, same),
        "sum of a pair": Case(change, pair, labels, [0.0]),
        "swap": Case(swap, pair, labels, [world.swapped]),
        "accuracy": Case(level, whole, labels, [LEVEL]),
        "same models, other arm": Case(shift, whole, labels, [0.0]),
    }


def differences(
    before: Sequence[NDArray[np.uint8]],
    after: Sequence[NDArray[np.uint8]],
    measure: Callable[[NDArray[np.uint8]], NDArray[Any]],
) -> list[Group]:
    """Return the groups of trainings on two arms."""
    weight = 1 / len(before)
    groups = [Group(-weight, measure(codes)) for codes in before]
    return groups + [Group(weight, measure(codes)) for codes in after]


def drawn(
    world: World, labels: NDArray[np.intp], rng: np.random.Generator
) -> tuple[list[NDArray[np.uint8]], ...]:
    """Return what trainings of each architecture say on the original, after, and shifted."""
    base = rng.uniform(0.42, 0.62, len(labels))
    lucky = world.by_image * rng.choice([-1.0, 1.0], len(labels))
    planted = np.zeros(world.classes)
    planted[:2] = -world.swapped - world.lost, world.swapped
    found: tuple[list[NDArray[np.uint8]], ...] = ([], [], [])
    for _ in range(world.architectures):
        accuracy = base + rng.uniform(-0.07, 0.08, len(labels))
        chances = rng.random((world.seeds, len(labels)), dtype=np.float32)
        own = trainings(world, rng)
        found[0].append(_codes(chances, accuracy, own, 0 * planted, labels))
        again = np.where(rng.random(chances.shape) < REDRAWN, rng.random(chances.shape), chances)
        drift = rng.normal(0, world.spread / 2, (world.seeds, 1))
        found[2].append(_codes(again, accuracy + lucky, own + drift, 0 * planted, labels))
        chances = rng.random((world.seeds, len(labels)), dtype=np.float32)
        other = trainings(world, rng)
        found[1].append(_codes(chances, accuracy + lucky, other, planted, labels))
    return found


def trainings(world: World, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return (seeds, classes) what trainings are better by; a class's twin pays for it."""
    traded = rng.normal(0, TRADED, (world.seeds, world.classes // 2))
    signed = np.repeat(traded, 2, axis=1) * np.tile([-1, 1], world.classes // 2)
    return np.asarray(signed + rng.normal(0, world.spread, (world.seeds, 1)))


def _codes(
    chances: NDArray[Any],
    accuracy: NDArray[np.float64],
    better: NDArray[np.float64],
    planted: NDArray[np.float64],
    labels: NDArray[np.intp],
) -> NDArray[np.uint8]:
    """Return (seeds, n) the label, its twin, another of the five best, or none."""
    right = accuracy + (better + planted)[:, labels]
    twin = np.clip(0.6 * (1 - accuracy) - (better + planted)[:, labels], 0, None)
    five = right + twin + 0.5 * np.clip(1 - right - twin, 0, None)
    codes = (chances >= right).astype(np.uint8)
    codes += chances >= right + twin
    codes += chances >= five
    return codes


def precision(world: World, rng: np.random.Generator) -> Case:
    """Draw scores of one class among all, and return its average precision's change."""
    n = world.classes * world.images
    labels = np.repeat(np.arange(world.classes), world.images)
    positive = labels == 0
    shared = rng.normal(0, 1, n) + 2 * positive
    groups = []
    for _ in range(world.architectures):
        model = shared + rng.normal(0, 0.3, n)
        for sign in (-1, 1):
            scores = model + rng.normal(0, 0.5, (world.seeds, n))
            scores += positive * rng.normal(0, 0.1 + 3 * world.spread, (world.seeds, 1))
            values = np.stack([average_precision_values(positive, row) for row in scores])
            groups.append(Group(sign / world.architectures, values))
    return Case(groups, np.zeros(n, dtype=np.intp), labels, [0.0])


Counts: TypeAlias = dict[str, NDArray[np.intp]]


def count(world: World, draws: int, seed: int, estimate: Contrasts = contrasts) -> Counts:
    """Return for each interval: how many hold the truth, how many claim wrongly, how many."""
    place = [round(1000 * value) for value in (world.spread, world.by_image, world.swapped)]
    sizes = [world.classes, world.images, world.architectures, world.seeds]
    rng = np.random.default_rng([seed, *sizes, *place])
    counts: Counts = {}
    for _ in range(draws):
        made = cases(world, rng)
        if world.classes * world.images <= 1000 and not (world.swapped or world.by_image):
            made["average precision"] = precision(world, rng)
        for name, case in made.items():
            if case.truths:
                found = estimate(case.groups, case.parts, len(case.truths), case.strata)
                counts[name] = counts.get(name, 0) + _judged(case, found)
    return counts


def _judged(case: Case, found: Sequence[Estimate]) -> NDArray[np.intp]:
    pairs = list(zip(found, case.truths, strict=True))
    held = sum(one.low <= truth <= one.high for one, truth in pairs)
    wrong = sum(truth == 0 and one.cautious_p < ALPHA for one, truth in pairs)
    return np.array([held, wrong, len(pairs)])


def interval(found: int, draws: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a share (Clopper and Pearson 1934)."""
    low = stats.beta.ppf(0.025, found, draws - found + 1) if found else 0.0
    high = stats.beta.ppf(0.975, found + 1, draws - found) if found < draws else 1.0
    return float(low), float(high)


@cache
def first_class(world: World, draws: int, seed: int) -> NDArray[np.float64]:
    """Return p of the first class's change in each draw; the same images whatever it loses."""
    rng = np.random.default_rng([seed, world.images, world.architectures, world.seeds])
    labels = np.repeat(np.arange(world.classes), world.images)
    first = np.where(labels == 0, 0, -1)
    found = np.empty(draws)
    for draw in range(draws):
        before, after, _ = drawn(world, labels, rng)
        groups = differences(before, after, lambda codes: np.asarray(codes == RIGHT))
        found[draw] = contrasts(groups, first, 1)[0].cautious_p
    return found


def smallest(world: World, tests: int, draws: int, seed: int) -> float:
    """Return the smallest loss of a class, to half a point, that is found in 90 % of draws.

    Found: p times the number of classes is below 0.05, as Holm asks of the smallest p.
    """

    def is_found(lost: float) -> bool:
        p = first_class(replace(world, lost=lost), draws, seed)
        return bool((p * tests < ALPHA).mean() >= POWER)

    low, high = 0.0, 0.36
    if not is_found(high):
        return float("inf")
    while high - low > 0.006:
        middle = round(100 * (low + high)) / 200
        low, high = (low, middle) if is_found(middle) else (middle, high)
    return high


def show_power(draws: int, seed: int) -> None:
    """Print the table for those who plan a study."""
    print("the smallest loss of one class that is found with 90 %, points, among 40 and 1,000")
    for architectures, seeds in itertools.product((1, 3, 5), (3, 5)):
        for images in (50, 400, 700):
            world = World(2, images, architectures, seeds)
            lost = [100 * smallest(world, tests, draws, seed) for tests in (40, 1000)]
            words = f"{architectures} architectures, {seeds} seeds, {images} images a class"
            print(f"  {words:48} {lost[0]:5.1f} {lost[1]:5.1f}", flush=True)


def draws_of(world: World, draws: int) -> int:
    """Return how many draws a world gets: doubtful ones more, large ones fewer."""
    if world in DOUBTFUL:
        return 5 * draws
    if world.by_image or world.swapped:
        return 2 * draws
    return draws if world.predictions <= 15_000 else 3 * draws // 10


def show(counts: Counts) -> None:
    """Print the shares of one world, or of many."""
    for what, (held, wrong, n) in counts.items():
        low, high = interval(held, n)
        claims = "" if what in ("accuracy", "swap") else f", wrong claims {wrong / n:.1%}"
        print(f"  {what:25} {held / n:6.1%} ({low:.1%} to {high:.1%}){claims}, n = {n}")


def pooled(results: dict[World, Counts]) -> None:
    """Print the shares over all worlds with as many architectures and seeds."""
    for numbers in sorted({(world.architectures, world.seeds) for world in results}):
        total: Counts = {}
        for world, counts in results.items():
            if (world.architectures, world.seeds) == numbers:
                for what, row in counts.items():
                    total[what] = total.get(what, 0) + row
        print("\nall worlds with {} architectures, {} seeds".format(*numbers))
        show(total)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--only", default="", metavar="TEXT", help="worlds with this in their name")
    parser.add_argument("--power", action="store_true", help="how small a loss is found, instead")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    if options.power:
        show_power(options.draws, options.seed)
        return
    began = time.monotonic()
    results = {}
    for world in grid():
        if options.only in world.name:
            results[world] = count(world, draws_of(world, options.draws), options.seed)
            print(f"\n{world.name}", flush=True)
            show(results[world])
    pooled(results)
    print(f"\n{time.monotonic() - began:.0f} s")
    if options.json:
        rows = {
            world.name: {what: row.tolist() for what, row in counts.items()}
            for world, counts in results.items()
        }
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
