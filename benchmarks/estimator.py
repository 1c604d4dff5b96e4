"""Whether the estimate of what is still missed is honest: data sets whose misses are known.

    python benchmarks/estimator.py --sets 20000 --json estimator.json
    python benchmarks/estimator.py --sets 500 --draw      # by the product's own draw of keys
    python benchmarks/estimator.py --crowds --allow 50
    python benchmarks/estimator.py --recall 0.85

Each made-up data set has 3 to 20 classes of unequal size (3,000 to 60,000 images in all), a share
of images with found faces that differs by class, and missed faces at an overall rate between
0.1 and 10 % of the images (log-uniform) that differs by class and by what was found, up to
manyfold (gamma-distributed with shape 1/2). An image with missed faces has a geometric number of
them, 1 to 3 on average. A sample of 1 to 30 % is shared out by the product's rules, or in
proportion to the strata, and checked; in every third set, people also check images by risk,
among which misses are up to 20 times as frequent. Then the truth is compared with the 95 %
interval. `--crowds` breaks what the estimate takes for granted: one in fifty images with missed
faces holds 10 to 50 of them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sfumato.review import sampling
from sfumato.review.estimation import CROWD, Figure, Recall, Stratum, estimate, part
from sfumato.review.sampling import Cell, State
from sfumato.stats import intervals
from sfumato.types import JSON, Detection, Face

BANDS: Final = ((0.0, 0.001), (0.001, 0.003), (0.003, 0.01), (0.01, 0.03), (0.03, 0.1))
CROWDED: Final = 0.02
PLANTED: Final = 200
FIGURES: Final = ("missed_images", "missed_faces", "left_images", "left_faces")
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class World:
    """A data set: how many faces were missed in each image of each stratum, in random order.

    `allowed` is how many the estimate takes an image to hold that nobody saw (`crowd`).
    """

    cells: tuple[Cell, ...]
    faces: tuple[Counts, ...]
    rate: float
    allowed: int = CROWD


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether one interval held the truth, and by how much it is wide, as a share of images."""

    figure: str
    where: str
    rate: float
    below: bool  # the truth lies below the interval
    above: bool
    width: float
    found: int


def world(rng: np.random.Generator, *, crowds: bool = False, allowed: int = CROWD) -> World:
    """Make a data set."""
    classes = int(rng.integers(3, 21))
    sizes = np.exp(rng.normal(0, 1, classes))
    images = np.maximum(40, sizes / sizes.sum() * rng.integers(3000, 60000)).astype(int)
    with_faces = (images * rng.beta(0.7, 1.5, classes)).astype(int)
    strata = np.concatenate([images - with_faces, with_faces])
    relative = rng.gamma(0.5, 2.0, 2 * classes)
    rate = float(10 ** rng.uniform(-3, -1))
    wanted = np.minimum(relative * rate * strata.sum() / (relative * strata).sum(), 0.9)
    mean = rng.uniform(1, 3)
    states: tuple[State, State] = ("nothing", "faces")
    cells, faces = [], []
    for i, (population, chance) in enumerate(zip(strata.tolist(), wanted.tolist(), strict=True)):
        if population:
            cells.append((f"class {i % classes}", states[i // classes]))
            each = rng.geometric(1 / mean, population)
            if crowds:
                crowd = rng.random(population) < CROWDED
                each = np.where(crowd, rng.integers(10, 51, population), each)
            counts = each * (rng.random(population) < chance)
            faces.append(counts.astype(np.int64))
    true = sum(int((counts > 0).sum()) for counts in faces) / sum(map(len, faces))
    return World(tuple(cells), tuple(faces), true, allowed)


def checked(made: World, rng: np.random.Generator, *, draw: bool) -> list[Stratum]:
    """Draw a sample, let people check it, and in every third set others by risk."""
    populations = {cell: len(counts) for cell, counts in zip(made.cells, made.faces, strict=True)}
    size = max(int(sum(populations.values()) * 10 ** rng.uniform(-2, -0.5)), 3 * len(populations))
    if draw:
        return drawn(made, size, rng)
    if rng.random() < 0.5:
        sizes = sampling.share_out(populations, size)
    else:
        share = size / sum(populations.values())
        sizes = {cell: max(1, round(of * share)) for cell, of in populations.items()}
    by_risk = rng.random() < 1 / 3
    strata = []
    for cell, counts in zip(made.cells, made.faces, strict=True):
        # The images are in random order, so that the first are a random sample.
        seen, rest = counts[: sizes[cell]], counts[sizes[cell] :]
        also = risky(rest, rng) if by_risk else rest[:0]
        strata.append(
            Stratum(
                f"{cell}",
                len(counts),
                len(seen),
                tuple(seen[seen > 0].tolist()),
                len(also),
                tuple(also[also > 0].tolist()),
                cell[0],
            )
        )
    return strata


def risky(rest: Counts, rng: np.random.Generator) -> Counts:
    """Pick up to a tenth of the images, those with misses up to 20 times as often."""
    weights = np.where(rest > 0, rng.uniform(1, 20), 1.0)
    number = int(len(rest) * rng.uniform(0, 0.1))
    return (
        rng.choice(rest, number, replace=False, p=weights / weights.sum()) if number else rest[:0]
    )


def drawn(made: World, size: int, rng: np.random.Generator) -> list[Stratum]:
    """Make detections of the images and let `sampling` draw keys, pool classes and tally."""
    found = (Face((0, 0, 1, 1), 0.9, "file"),)
    detections, missed = [], {}
    for (name, state), counts in zip(made.cells, made.faces, strict=True):
        for i, count in enumerate(counts.tolist()):
            key = f"{name}/{state}{i}.jpg"
            missed[key] = count
            detections.append(Detection(key, "", 9, 9, found if state == "faces" else ()))
    taken = sampling.draw(detections, size, rng)
    return list(sampling.tally(taken, {key: missed[key] for of in taken.strata for key in of.keys}))


def korn_graubard(
    strata: Sequence[tuple[int, int, int]], level: float = intervals.LEVEL
) -> tuple[float, float]:
    """Return the interval of a stratified share from (population, drawn, hits) of each stratum.

    E. L. Korn and B. I. Graubard, Survey Methodology 24 (1998), 193-201; to compare with.

    Clopper and Pearson's with n* = p (1 - p) / v trials and n* p hits, v the design's variance of
    p; n* is at most what was drawn, and just that where v is 0. If strata of large weight had few
    drawn and no hit, it is too narrow: v doesn't know of them.
    """
    size = sum(population for population, _, _ in strata)
    trials = float(sum(drawn for _, drawn, _ in strata))
    share = sum(population * hits / drawn for population, drawn, hits in strata) / size
    variance = sum(
        (population / size) ** 2
        * (1 - drawn / population)
        * (hits / drawn * (1 - hits / drawn))
        / max(drawn - 1, 1)
        for population, drawn, hits in strata
    )
    if variance > 0:
        trials = min(trials, share * (1 - share) / variance)
    return intervals.clopper_pearson(share * trials, trials, level)


def outcomes(made: World, strata: list[Stratum], *, parts: bool) -> Iterator[Outcome]:
    """Compare the intervals with the truth; with `parts` also those of each stratum and group."""
    everything = np.concatenate(made.faces)
    yield from _compare(made, strata, everything, "overall")
    share = float((everything > 0).mean())
    seen = [(of.population, of.checked, of.with_missed) for of in strata]
    low, high = korn_graubard(seen)
    found = sum(of.with_missed + len(of.also_missed) for of in strata)
    missed = share < low, share > high
    yield Outcome("Korn-Graubard", "overall", made.rate, *missed, high - low, found)
    if not parts:
        return
    truth = dict(zip(map(str, made.cells), made.faces, strict=True))
    result = estimate(strata, crowd=made.allowed)
    for stratum in strata:
        yield from _compare(made, [stratum], truth[stratum.name], "stratum")
    for group in result.groups:
        of = [stratum for stratum in strata if stratum.group == group.name]
        counts = np.concatenate([truth[stratum.name] for stratum in of])
        yield from _compare(made, of, counts, "class")


def _compare(made: World, strata: list[Stratum], counts: Counts, where: str) -> Iterator[Outcome]:
    of = part(where, strata, intervals.LEVEL, made.allowed)
    for name in FIGURES:
        figure: Figure = getattr(of, name)
        truth = int(counts.sum()) if name.endswith("faces") else int((counts > 0).sum())
        if name.startswith("left"):
            truth -= of.found_faces if name.endswith("faces") else of.found_images
        width = (figure.high - figure.low) / of.population
        below, above = truth < figure.low, truth > figure.high
        yield Outcome(name, where, made.rate, below, above, width, of.found_images)


def simulate(
    sets: int,
    seed: int,
    *,
    draw: bool = False,
    parts: bool = False,
    crowds: bool = False,
    allowed: int = CROWD,
) -> list[Outcome]:
    """Make so many data sets, estimate each and compare."""
    found: list[Outcome] = []
    for stream in tqdm(np.random.SeedSequence(seed).spawn(sets), unit="set", leave=False):
        rng = np.random.default_rng(stream)
        made = world(rng, crowds=crowds, allowed=allowed)
        found += outcomes(made, checked(made, rng, draw=draw), parts=parts)
    return found


def imperfect(sets: int, seed: int, recall: float) -> list[Outcome]:
    """The same where people see each face with this chance, as 200 planted ones show as well."""
    found = []
    for stream in tqdm(np.random.SeedSequence(seed).spawn(sets), unit="set", leave=False):
        rng = np.random.default_rng(stream)
        made = world(rng)
        seen = tuple(rng.binomial(counts, recall) for counts in made.faces)
        strata = checked(replace(made, faces=seen), rng, draw=False)
        planted = Recall(int(rng.binomial(PLANTED, recall)), PLANTED)
        result = estimate(strata, recall=planted)
        assert result.overall is not None
        assert result.corrected is not None
        everything = np.concatenate(made.faces)
        for name, figure in (("as if perfect", result.overall), ("corrected", result.corrected)):
            for what in ("images", "faces"):
                counts = everything if what == "faces" else everything > 0
                # What people overlook in a checked image is left in it.
                known = getattr(result.overall, f"found_{what}")
                truth, of = int(counts.sum()) - known, getattr(figure, f"left_{what}")
                width = (of.high - of.low) / len(everything)
                sides = truth < of.low, truth > of.high
                found.append(Outcome(f"{what}, {name}", "overall", made.rate, *sides, width, known))
    return found


def coverage(found: list[Outcome]) -> JSON:
    """Return the share of intervals that hold the truth, with its own exact interval."""
    held = sum(not (one.below or one.above) for one in found)
    low, high = intervals.clopper_pearson(held, len(found))
    return {
        "intervals": len(found),
        "coverage": held / len(found),
        "low": low,
        "high": high,
        "truth_below": sum(one.below for one in found) / len(found),
        "truth_above": sum(one.above for one in found) / len(found),
        "width": float(np.median([one.width for one in found])),
    }


def rows(found: list[Outcome]) -> list[JSON]:
    """Return the coverage of each figure: overall, by band of rates, by what was found."""
    told = []
    for where in ("overall", "stratum", "class"):
        for figure in dict.fromkeys(one.figure for one in found):
            of = [one for one in found if (one.where, one.figure) == (where, figure)]
            cuts = {"all rates": of}
            for low, high in BANDS:
                cuts[f"{100 * low:g} to {100 * high:g} %"] = [
                    one for one in of if low <= one.rate < high
                ]
            cuts["nothing found"] = [one for one in of if not one.found]
            told += [
                {"where": where, "figure": figure, "cut": cut, **coverage(members)}
                for cut, members in cuts.items()
                if members
            ]
    return told


def main() -> None:
    """Simulate, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sets", type=int, default=2000, help="made-up data sets")
    parser.add_argument("--draw", action="store_true", help="draw keys by sfumato.review.sampling")
    parser.add_argument("--parts", action="store_true", help="also each stratum and class")
    parser.add_argument("--crowds", action="store_true", help="some images hold 10 to 50")
    parser.add_argument("--allow", type=int, default=CROWD, help="faces an image may hold unseen")
    parser.add_argument("--recall", type=float, help="of the people who check, 0 to 1")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args()
    if given.draw and given.parts:
        parser.error("--draw pools classes: without --parts")
    if given.recall:
        told = rows(imperfect(given.sets, given.seed, given.recall))
    else:
        options = {"draw": given.draw, "parts": given.parts, "crowds": given.crowds}
        told = rows(simulate(given.sets, given.seed, allowed=given.allow, **options))
    for row in told:
        print(
            f"{row['where']:8} {row['figure']:23} {row['cut']:14} {row['intervals']:7d} "
            f"{row['coverage']:7.2%} ({row['low']:.2%} to {row['high']:.2%}) "
            f"truth below {row['truth_below']:.2%}, above {row['truth_above']:.2%}, "
            f"median width {row['width']:.3%}"
        )
    if given.json:
        given.json.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
