"""Fit the decision of a finder's profile on labelled images, and say how good it is on others.

    python benchmarks/fit_decision.py default            # prints the coefficients for finder.py
    python benchmarks/fit_decision.py high --set blind   # quicker, on fewer faces

Every proposal is looked at in every way, then labelled: a face if it overlaps a counted face
(IoU at least 0.3), nothing if it touches no label at all, else left out. Two logistic functions
with weights that aren't negative and a small ridge are fitted: an early and a late one
(`detectors.decision`). Images of the target domain count fully (ImageNet: those with
detector-blind labels where there are any); crowds, grey scans and portraits each count as much
as a tenth of it, and of crowds only the faces, since some in the background aren't labelled.
Last, slope and bias are fitted again on the target domain alone, so that the probability is one
there.

What is printed of recall, false boxes and calibration comes from a cross-validation in ten folds
by image: each image is judged by coefficients that never saw it. The expected calibration
error has ten bins of equal width, over all proposals of the target domain above the floor of the
candidates, weighted as they fall.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from labels import DATA, RULES, Labelled, read
from numpy.typing import NDArray
from tqdm import tqdm

from sfumato import boxes
from sfumato.detection.detectors import decision, second_look
from sfumato.detection.detectors.decision import Decision, Model
from sfumato.detection.detectors.finder import CANDIDATE, PLANS, Plan, propose
from sfumato.detection.detectors.images import as_rgb
from sfumato.types import Boxes, Pixels

FOLDS = 10
RIDGE = 0.02  # of a weight of the standardised evidence, for each proposal
SEED = 0
FACE_IOU = 0.3
PRICES = (0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0)  # false boxes an image
TARGET = ("blind", "imagenet")
OTHERS = ("crowds", "grey", "portraits")
UNLABELLED = ("crowds",)  # sets in which a box on no label may still be on a face
SHARE = 0.1  # of the target's weight that each other set has

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Seen:
    """An image, its proposals (n, 4), scores (n, k) and labels (n,): 1, 0 or -1 (unknown)."""

    image: Labelled
    name: str
    boxes: Boxes
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]


def gather(plan: Plan, names: Sequence[str], data: Path) -> list[Seen]:
    """Look at every proposal of every image; an image in two sets counts in the first."""
    seen: list[Seen] = []
    known: set[Path] = set()
    for name in names:
        for image in tqdm(read(name, data), desc=name, leave=False):
            if image.path not in known:
                known.add(image.path)
                found, scores = evidence(image.pixels(), plan)
                labels = label(found, image)
                if name in UNLABELLED:
                    labels[labels == 0] = -1
                seen.append(Seen(image, name, found, scores, labels))
    return seen


def label(found: Boxes, image: Labelled) -> NDArray[np.int64]:
    """Return 1 for a face, 0 for a box that touches no label, -1 for what lies in between."""
    faces, other = boxes.as_boxes(image.faces), boxes.as_boxes(image.ignored)
    on_face = boxes.iou(found, faces).max(axis=1, initial=0.0)
    on_other = boxes.iou(found, other).max(axis=1, initial=0.0)
    return np.where(on_face >= FACE_IOU, 1, np.where((on_face > 0) | (on_other > 0), -1, 0))


def logistic(x: Numbers, y: Numbers, weight: Numbers, *, ridge: float = RIDGE) -> Model:
    """Fit a logistic function with weights of at least 0: Newton's steps, what is negative out.

    x (n, k), y (n,) in {0, 1}, weight (n,). The ridge pulls standardised weights to 0.
    """
    free = np.ones(x.shape[1], dtype=bool)
    while True:
        weights, bias = _newton(x[:, free], y, weight, ridge)
        if (weights >= 0).all():
            full = np.zeros(x.shape[1])
            full[free] = weights
            return Model(tuple(full.tolist()), bias)
        free[np.flatnonzero(free)[weights.argmin()]] = False


def _newton(x: Numbers, y: Numbers, weight: Numbers, ridge: float) -> tuple[Numbers, float]:
    mean, spread = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6)
    design = np.column_stack(((x - mean) / spread, np.ones(len(x))))
    pull = np.append(np.full(x.shape[1], ridge * weight.sum()), 0.0)
    found = np.zeros(design.shape[1])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-design @ found))
        slope = design.T @ (weight * (chance - y)) + pull * found
        curve = (design * (weight * chance * (1 - chance))[:, None]).T @ design
        step = np.linalg.solve(curve + np.diag(pull + 1e-9), slope)
        found -= np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-9:
            break
    weights = found[:-1] / spread
    return weights, float(found[-1] - weights @ mean)


def fit(seen: Sequence[Seen], plan: Plan) -> Decision:
    """Fit both functions; what is undecided in between stays as the plan has it."""
    x = decision.evidence(np.concatenate([one.scores for one in seen]))
    y = np.concatenate([one.labels for one in seen])
    name = np.concatenate([[one.name] * len(one.boxes) for one in seen])
    known, target = y >= 0, np.isin(name, TARGET)
    weight = np.ones(len(y))
    for other in OTHERS:
        of = known & (name == other)
        if of.any():
            weight[of] = SHARE * (known & target).sum() / of.sum()
    early = len(plan.sources) + 1
    models = []
    for columns in (early, x.shape[1]):
        part = x[:, :columns]
        model = logistic(part[known], y[known].astype(float), weight[known])
        models.append(_calibrated(model, part[known & target], y[known & target]))
    return Decision(models[0], models[1], plan.decision.doubt, plan.decision.trust)


def _calibrated(model: Model, x: Numbers, y: NDArray[np.int64]) -> Model:
    """Fit slope and bias again (Platt 1999), without pulling at them."""
    sums = x @ np.asarray(model.weights) + model.bias
    line = logistic(sums[:, None], y.astype(float), np.ones(len(y)), ridge=1e-6)
    (slope,) = line.weights
    return Model(
        tuple(round(slope * one, 4) for one in model.weights),
        round(slope * model.bias + line.bias, 4),
    )


def judged(one: Seen, made: Decision, plan: Plan) -> Numbers:
    """Return the probabilities of an image's proposals as `finder.judge` would."""
    early = len(plan.sources) + 1
    chances = made.early.probability(one.scores[:, :early])
    further = made.undecided(chances)
    if plan.further:
        chances[further] = made.late.probability(one.scores[further])
    return made.settled(chances, one.scores[:, 0])


def validated(seen: Sequence[Seen], plan: Plan) -> list[Numbers]:
    """Judge each image by what was fitted without its fold; sets are spread over the folds."""
    fold = np.random.default_rng(SEED).permutation(len(seen)) % FOLDS
    chances: list[Numbers] = [np.zeros(0)] * len(seen)
    for k in range(FOLDS):
        made = fit([one for one, f in zip(seen, fold, strict=True) if f != k], plan)
        for i in np.flatnonzero(fold == k).tolist():
            chances[i] = judged(seen[i], made, plan)
    return chances


def evidence(image: Pixels, plan: Plan) -> tuple[Boxes, decision.Scores]:
    """Return every proposal and all its scores, none left out: what a decision is fitted on."""
    image = as_rgb(image)
    proposed = propose(image, plan.sources)
    seen = second_look.look_at(image, proposed.boxes, (plan.first, *plan.further))
    scores: NDArray[np.float32] = np.concatenate((proposed.scores, seen.scores), axis=1)
    return seen.boxes, scores


def calibration_error(seen: Sequence[Seen], chances: Sequence[Numbers], floor: float) -> float:
    """Return the expected calibration error over ten bins, of proposals from `floor` on."""
    p = np.concatenate([c[one.labels >= 0] for one, c in zip(seen, chances, strict=True)])
    y = np.concatenate([one.labels[one.labels >= 0] for one in seen])
    p, y = p[p >= floor], y[p >= floor]
    bins = np.minimum((p * 10).astype(int), 9)
    return float(sum(abs((p - y)[bins == b].sum()) for b in range(10)) / max(len(p), 1))


def covered(seen: Sequence[Seen], chances: Sequence[Numbers], at: float) -> tuple[int, int, float]:
    """Return faces covered, faces, and false boxes an image where `at` is the threshold."""
    hit = faces = false = 0
    for one, chance in zip(seen, chances, strict=True):
        kept = [boxes.grow(tuple(box), 0.25) for box in one.boxes[chance >= at].tolist()]
        share = RULES[one.name].share
        hit += sum(boxes.covered(face, kept) >= share for face in one.image.faces)
        faces += len(one.image.faces)
        false += int(((chance >= at) & (one.labels == 0)).sum())
    return hit, faces, false / max(len(seen), 1)


def show(seen: Sequence[Seen], chances: Sequence[Numbers], threshold: float) -> None:
    """Print recall at fixed prices, and at the threshold, for each set."""
    for name in dict.fromkeys(one.name for one in seen):
        of = [i for i, one in enumerate(seen) if one.name == name]
        images, own = [seen[i] for i in of], [chances[i] for i in of]
        wrong = [c[s.labels == 0] for s, c in zip(images, own, strict=True)]
        false = np.sort(np.concatenate(wrong))[::-1]
        print(f"\n{name}: {len(of)} images")
        for price in PRICES:
            k = int(price * len(of))
            at = float(np.nextafter(false[k], 1)) if k < len(false) else CANDIDATE / 100
            hit, faces, _ = covered(images, own, at)
            print(f"  {price:.1f} false boxes an image, from {at:.3f}: {hit} of {faces}")
        for at in (threshold, CANDIDATE):
            hit, faces, each = covered(images, own, at)
            print(f"  from {at:.3f}: {hit} of {faces}, {each:.2f} false boxes an image")


def main() -> None:
    """Fit, cross-validate, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("profile", choices=list(PLANS))
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the labelled sets")
    parser.add_argument("--set", dest="sets", action="append", choices=list(RULES))
    given = parser.parse_args()
    plan = PLANS[given.profile]
    seen = gather(plan, given.sets or (*TARGET, *OTHERS), given.data)
    made, chances = fit(seen, plan), validated(seen, plan)
    print(f"early={made.early!r},\nlate={made.late!r},")
    target = [i for i, one in enumerate(seen) if one.name in TARGET]
    error = calibration_error([seen[i] for i in target], [chances[i] for i in target], CANDIDATE)
    print(f"expected calibration error, cross-validated: {error:.3f}")
    show(seen, chances, plan.threshold)


if __name__ == "__main__":
    main()
