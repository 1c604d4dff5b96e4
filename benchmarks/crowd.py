"""What merging makes of a crowd of 20 people of known quality, on labelled images.

    python benchmarks/crowd.py --json crowd.json
    python benchmarks/crowd.py --replicas 3 --crowds 10

The images are the labelled sets `crowds`, `blind`, `grey` and `portraits` (without them, 800
made-up ones); only their labels are read. 100 of them, drawn anew for each crowd, are gold. Ten
people are careful, five sloppy, three draw shaky boxes, one accepts everything and one rejects
everything (`simulated.py` has the numbers, and the detector's planted errors). Each image goes to
`--replicas` different people, and gold images come in between as `gold_share` says.

Compared are, on the same answers:

- `merged`: boxes that more likely show something than not, nobody having judged a dispute;
- `covered`: those, and every box in dispute (what a release covers that can't wait);
- `judged`: disputes answered by one more person, as careful as the careful ones, who starts from
  the covered boxes;
- `majority`: boxes joined at an IoU of 0.5, more than half of the people, mean of the sides;
- `best careful`: of the ten careful people, each answering every image alone, the one with
  the best F1. `mean careful` is the mean of the ten.

A face is found and a box right if they match one to one at an IoU of 0.5 (`--iou`). Intervals
(95 %) draw crowds and images anew, both with replacement; those of gains are of the difference.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from labels import DATA, RULES
from numpy.typing import NDArray
from simulated import CAREFUL, SPAMMERS, Campaign, Scene, campaign, look, reviewed, scenes
from tqdm import tqdm

from sfumato.review.crowd import Crowd, estimate
from sfumato.review.merging import decide
from sfumato.review.places import images, places
from sfumato.review.vocabulary import Given, Mark
from sfumato.stats.matching import Truth, match
from sfumato.types import JSON, Box, Decision, Face

SETS = ("crowds", "blind", "grey", "portraits")
METHODS = ("merged", "covered", "judged", "majority")
ALONE = ("best careful", "mean careful")
GAINS = [(one, other) for one in ("merged", "judged") for other in ("best careful", "majority")]
GOLD = 100
ROUNDS = 2000

# For each image: faces, boxes, matches.
Counts = NDArray[np.float64]


def count(scene: Scene, found: Sequence[Box], iou: float) -> tuple[int, int, int]:
    """Return the numbers of faces, boxes and matches of an image."""
    faces = [Face(box, 0.5, "merged") for box in found]
    fits = match(Truth(scene.width, scene.height, scene.faces), faces, iou)
    return len(scene.faces), len(found), int((fits.face >= 0).sum())


def majority(given: Sequence[Given]) -> list[Box]:
    """Return the mean boxes that more than half of the people have, all the same to it."""
    found = []
    for place in places(given, overlap=0.5):
        yes = [place.marks[vote.person].box for vote in place.votes if vote.yes]
        if 2 * len(yes) > len(place.votes):
            x0, y0, x1, y1 = np.mean(yes, axis=0).tolist()
            found.append((x0, y0, x1, y1))
    return found


@dataclass(frozen=True, slots=True)
class Tried:
    """One simulated crowd: boxes by method and image, and what it took."""

    boxes: Mapping[str, Mapping[str, list[Box]]]
    careful: Sequence[Mapping[str, list[Box]]]
    disputed: float
    crowd: Crowd
    made: Campaign
    answers: int
    gold: int


def attempt(scenes_: Sequence[Scene], replicas: int, seed: int, gold: int = GOLD) -> Tried:
    """Let one crowd review the images, and merge in each way."""
    rng = np.random.default_rng(seed)
    made = campaign(scenes_, gold, rng)
    given = reviewed(made, replicas, rng)
    open_ = {scene.key: scene for scene in made.open_}
    crowd = estimate(list(images(given)))
    results = [r for r in decide(given, crowd=crowd) if r.key in open_]
    covered = {d.key: [face.box for face in d.faces] for d in results}
    merged = {d.key: [face.box for face in d.faces if face.score >= 0.5] for d in results}
    disputes = [r for r in results if r.basis == "provisional"]
    judgements = [_judged(open_[d.key], d, rng) for d in disputes]
    after = decide([*given, *judgements], adjudicators={"judge"}, crowd=crowd)
    judged = {d.key: [face.box for face in d.faces] for d in after if d.key in open_}
    by_image = groupby(sorted(given, key=lambda g: g.key), key=lambda g: g.key)
    plain = {key: majority(list(some)) for key, some in by_image if key in open_}
    return Tried(
        {"merged": merged, "covered": covered, "judged": judged, "majority": plain},
        _alone(made, rng),
        len(disputes) / len(open_),
        crowd,
        made,
        len(given),
        sum(one.gold is not None for one in given),
    )


def _judged(scene: Scene, dispute: Decision, rng: np.random.Generator) -> Given:
    shown = tuple(Mark(f.box, f.kind, f"p{i}") for i, f in enumerate(dispute.faces))
    answer = look(scene, CAREFUL, shown, rng.normal(0.3, 0.7, len(shown)).tolist(), rng)
    return Given(scene.key, dispute.digest, "judge", answer, shown)


def _alone(made: Campaign, rng: np.random.Generator) -> list[dict[str, list[Box]]]:
    """Return what each careful person would say of every image."""
    careful = [habit for habit in made.people.values() if habit.name == CAREFUL.name]
    return [
        {
            s.key: [m.box for m in look(s, own, made.proposals[s.key], made.tell[s.key], rng).marks]
            for s in made.open_
        }
        for own in careful
    ]


# --- figures ------------------------------------------------------------------------------------


def table(scenes_: Sequence[Scene], found: Mapping[str, list[Box]], iou: float) -> Counts:
    """Return (images, 3) counts in the order of the scenes; gold images count nothing."""
    rows = [count(s, found[s.key], iou) if s.key in found else (0, 0, 0) for s in scenes_]
    return np.array(rows, dtype=np.float64)


def recall(sums: Counts) -> NDArray[np.float64]:
    """Return matches per face of (…, 3) sums."""
    return np.asarray(sums[..., 2] / sums[..., 0])


def precision(sums: Counts) -> NDArray[np.float64]:
    """Return matches per box of (…, 3) sums."""
    return np.asarray(sums[..., 2] / sums[..., 1])


FIGURES: Mapping[str, Callable[[Counts], NDArray[np.float64]]] = {
    "recall": recall,
    "precision": precision,
}


def tables(scenes_: Sequence[Scene], tried: Sequence[Tried], iou: float) -> dict[str, Counts]:
    """Return (crowds, images, 3) counts by method; of careful people, the best and their mean."""
    counts = {
        name: np.stack([table(scenes_, one.boxes[name], iou) for one in tried]) for name in METHODS
    }
    best, mean = [], []
    for one in tried:
        alone = np.stack([table(scenes_, found, iou) for found in one.careful])
        sums = alone.sum(axis=1)
        best.append(alone[int(np.argmax(sums[:, 2] / (sums[:, 0] + sums[:, 1])))])
        mean.append(alone.mean(axis=0))
    return counts | {"best careful": np.stack(best), "mean careful": np.stack(mean)}


def drawn(counts: Mapping[str, Counts], rng: np.random.Generator) -> dict[str, Counts]:
    """Return (rounds, 3) sums of each method over the same crowds and images drawn anew."""
    crowds, n, _ = next(iter(counts.values())).shape
    which = rng.multinomial(crowds, [1 / crowds] * crowds, ROUNDS)
    images_ = rng.multinomial(n, [1 / n] * n, ROUNDS)
    return {
        name: np.einsum("rc,rcx->rx", which, np.einsum("rp,cpx->rcx", images_, c, optimize=True))
        for name, c in counts.items()
    }


def summary(counts: Mapping[str, Counts], rng: np.random.Generator) -> JSON:
    """Return each method's recall and precision with intervals, and the gains of merging."""
    sums = drawn(counts, rng)
    whole = {name: c.sum(axis=(0, 1)) for name, c in counts.items()}
    figures: JSON = {}
    for name, figure in FIGURES.items():
        for method in (*METHODS, *ALONE):
            figures[f"{method}: {name}"] = _ends(figure(whole[method]), figure(sums[method]))
        for one, other in GAINS:
            gain = figure(whole[one]) - figure(whole[other])
            draws = figure(sums[one]) - figure(sums[other])
            figures[f"{one} over {other}: {name}"] = _ends(gain, draws)
    return figures


def _ends(value: NDArray[np.float64], draws: NDArray[np.float64]) -> JSON:
    low, high = np.percentile(draws, [2.5, 97.5]).tolist()
    return {"value": float(value), "low": low, "high": high}


def weights(tried: Sequence[Tried]) -> JSON:
    """Return the mean and the largest weight of people of each habit."""
    by_habit: dict[str, list[float]] = {}
    for one in tried:
        for person, habit in one.made.people.items():
            by_habit.setdefault(habit.name, []).append(one.crowd.weight(person).value)
    return {
        name: {"mean": float(np.mean(v)), "smallest": min(v), "largest": max(v)}
        for name, v in by_habit.items()
    }


def measure(scenes_: Sequence[Scene], replicas: int, given: argparse.Namespace) -> JSON:
    """Simulate so many crowds at this number of people an image; return figures as plain data."""
    seeds = range(given.seed, given.seed + given.crowds)
    tried = [
        attempt(scenes_, replicas, seed)
        for seed in tqdm(seeds, unit="crowd", leave=False, desc=f"{replicas} an image")
    ]
    figures = summary(tables(scenes_, tried, given.iou), np.random.default_rng(given.seed))
    return {
        "replicas": replicas,
        "crowds": len(tried),
        "disputed": float(np.mean([one.disputed for one in tried])),
        "answers": float(np.mean([one.answers for one in tried])),
        "gold": float(np.mean([one.gold for one in tried])),
        "weights": weights(tried),
        "figures": figures,
    }


def show(record: JSON) -> None:
    """Print the figures of one number of people an image."""
    print(
        f"\n{record['replicas']} people an image, {record['crowds']} crowds:"
        f" {record['answers']:.0f} answers, {record['gold']:.0f} of them to gold;"
        f" {record['disputed']:.1%} of images in dispute"
    )
    for name, one in record["figures"].items():
        sign = "+" if " over " in name else ""
        value, low, high = (f"{one[end]:{sign}.1%}" for end in ("value", "low", "high"))
        print(f"{name:<40}{value} ({low} to {high})")
    for name, one in record["weights"].items():
        value, least, most = (f"{one[end]:.2f}" for end in ("mean", "smallest", "largest"))
        spam = "  (spam)" if name in SPAMMERS else ""
        print(f"weight, {name:<32}{value} ({least} to {most}){spam}")


def main() -> None:
    """Simulate, merge, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the labelled sets")
    parser.add_argument(
        "--replicas", type=int, action="append", help="people an image (1, 2, 3 and 5)"
    )
    parser.add_argument("--crowds", type=int, default=40, help="simulated crowds")
    parser.add_argument("--iou", type=float, default=0.5, help="at which a box matches a face")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args()
    found = scenes(given.data, SETS)
    faces = sum(len(scene.faces) for scene in found)
    real = ", ".join(SETS) if all((given.data / RULES[n].folder).is_dir() for n in SETS) else ""
    print(f"{len(found)} images ({real or 'made up'}) with {faces} faces; {GOLD} are gold")
    records = []
    for replicas in given.replicas or (1, 2, 3, 5):
        records.append(measure(found, replicas, given))
        show(records[-1])
    if given.json:
        about: JSON = {"sets": real, "images": len(found), "faces": faces, "gold": GOLD}
        about |= {"crowds": given.crowds, "seed": given.seed, "iou": given.iou, "runs": records}
        given.json.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
