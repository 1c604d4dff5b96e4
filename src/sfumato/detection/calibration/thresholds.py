"""Choosing the operating point: from labelled images to thresholds and growth.

Detectors search once, far below their profile's thresholds. All thresholds are then moved
together by a number of log-odds, so that the balance between detectors stays the profile's, and
boxes are grown by several shares. Each such setting has a recall and a price; the cheapest that
covers the wanted share of faces is chosen.

A setting chosen on some images looks better on them than on others. So the choice is repeated
without a tenth of the images, and judged on that tenth, for every tenth and several ways to cut
them; what is promised is that recall. Where it falls short of what was wanted, the choice is made
for a higher aim.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import exp, log
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sfumato import boxes
from sfumato.detection.detect import SAME_FACE_IOU
from sfumato.detection.detectors import registry
from sfumato.errors import UsageError
from sfumato.recipe import ObfuscateStep
from sfumato.stats.bootstrap import ratio
from sfumato.stats.intervals import Estimate, trials_needed
from sfumato.stats.matching import Truth, area_share, shares, touches_nothing
from sfumato.types import Face

SHIFTS: Final = tuple(round(-3 + 0.2 * i, 1) for i in range(26))  # log-odds, -3 to 2
# Not below that of a run: where labels are loose, a narrow margin is cheap and shows more of faces.
GROWTHS: Final = (0.25, 0.3, 0.35, 0.4, 0.5)
FOLDS: Final = 10
CUTS: Final = 3  # ways to cut the images into folds
_USUAL_GROWTH: Final = ObfuscateStep().expand
_AIMS: Final = 8  # steps from the wanted recall up to all faces


def shifted(specification: str, shift: float) -> str:
    """Return a detector's specification with its threshold moved by this many log-odds.

    Raises:
        UsageError: it names no threshold between 0 and 1.
    """
    before = threshold_of(specification)
    moved = 1 / (1 + exp(-(log(before / (1 - before)) + shift)))
    return registry.adjusted(specification, threshold=float(f"{moved:.3g}"))


def threshold_of(specification: str) -> float:
    """Return the threshold of a whole specification such as "yunet@640:0.5" or "yunet:0.5#cuda".

    Raises:
        UsageError: there is none between 0 and 1.
    """
    threshold = registry.threshold_of(specification)
    if threshold is None or not 0 < threshold < 1:
        raise UsageError(
            f"{specification!r} has no threshold between 0 and 1 that could be moved: name one, "
            "as in yunet@640:0.5."
        )
    return threshold


@dataclass(frozen=True, slots=True)
class Searched:
    """A labelled image, and what each detector found in it far below its threshold."""

    truth: Truth
    found: tuple[tuple[Face, ...], ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """Places in a table's `shifts` and `growths`."""

    shift: int
    growth: int


@dataclass(frozen=True)
class Table:
    """What every setting covers and costs on every image.

    Axes are shifts, growths and images; `false_boxes` has no growths, `faces` only images.
    Pixels are shares of the image: `false_pixels` under grown false boxes, `needless` under any
    box but in no face.
    """

    shifts: tuple[float, ...]
    growths: tuple[float, ...]
    faces: NDArray[np.int64]
    covered: NDArray[np.int64]
    false_boxes: NDArray[np.int64]
    false_pixels: NDArray[np.float64]
    needless: NDArray[np.float64]

    @cached_property
    def images(self) -> int:
        """How many images were judged."""
        return len(self.faces)

    @cached_property
    def usual(self) -> Setting:
        """The thresholds as they are, and the growth of a run, or what is nearest to them."""
        shift = np.abs(self.shifts).argmin()
        return Setting(int(shift), int(np.abs(np.subtract(self.growths, _USUAL_GROWTH)).argmin()))

    def price(self, picked: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return what each setting costs on these images: false boxes and needless pixels.

        Each is measured by what the usual setting costs on all images, so that the price of
        that one is about 2. Pixels alone would rather have ten false boxes than a margin, and
        boxes alone the widest margin.
        """
        at, count = self.usual, max(int(picked.sum()), 1)
        box = max(float(self.false_boxes[at.shift].mean()), 0.01) * count
        pixel = max(float(self.needless[at.shift, at.growth].mean()), 1e-4) * count
        boxes = self.false_boxes[:, picked].sum(axis=-1)[:, None] / box
        price: NDArray[np.float64] = boxes + self.needless[..., picked].sum(axis=-1) / pixel
        return price


def tabulate(
    images: Sequence[Searched],
    specifications: Sequence[str],
    *,
    share: float,
    shifts: Sequence[float] = SHIFTS,
    growths: Sequence[float] = GROWTHS,
) -> Table:
    """Judge every setting on every image; `share` of a face's area must be covered."""
    # As they are written, so that a run finds exactly what is counted here.
    thresholds = [[threshold_of(shifted(s, shift)) for s in specifications] for shift in shifts]
    rows = [_judge(image, thresholds, share, growths) for image in images]
    covered, false_boxes, false_pixels, needless = (
        np.stack([row[i] for row in rows], axis=-1) for i in range(4)
    )
    return Table(
        tuple(shifts),
        tuple(growths),
        np.array([len(image.truth.faces) for image in images], dtype=np.int64),
        covered.astype(np.int64),
        false_boxes[:, 0].astype(np.int64),
        false_pixels,
        needless,
    )


def kept_at(image: Searched, thresholds: Sequence[float]) -> list[Face]:
    """Return what a search with these thresholds would have found: see `detection.find`."""
    groups = [
        [face for face in found if face.score >= threshold]
        for found, threshold in zip(image.found, thresholds, strict=True)
    ]
    return boxes.union(groups, SAME_FACE_IOU)


def _judge(
    image: Searched,
    thresholds: Sequence[Sequence[float]],
    share: float,
    growths: Sequence[float],
) -> list[NDArray[np.float64]]:
    """Return covered faces, false boxes, false pixels and needless pixels by shift and growth."""
    known: dict[tuple[Face, ...], NDArray[np.float64]] = {}
    in_faces = area_share(image.truth, image.truth.faces)
    rows = []
    for at in thresholds:
        kept = tuple(kept_at(image, at))
        if kept not in known:
            false = touches_nothing(image.truth, kept).tolist()
            counts = [_count(image.truth, kept, false, share, growth) for growth in growths]
            known[kept] = np.array(counts) - [0, 0, 0, in_faces]
        rows.append(known[kept])
    return list(np.moveaxis(np.stack(rows), -1, 0))


def _count(
    truth: Truth, kept: Sequence[Face], false: Sequence[bool], share: float, growth: float
) -> tuple[float, float, float, float]:
    """Return covered faces, false boxes, their pixels, and pixels in any box or face."""
    grown = [boxes.grow(face.box, growth) for face in kept]
    wrong = [box for box, is_false in zip(grown, false, strict=True) if is_false]
    return (
        sum(part >= share for part in shares(truth.faces, grown)),
        sum(false),
        area_share(truth, wrong) if wrong else 0.0,
        area_share(truth, [*grown, *truth.faces]),
    )


@dataclass(frozen=True, slots=True)
class Promise:
    """What was chosen, and what new images like these can expect of it.

    `recall`, `false_boxes`, `false_pixels` and `needless` (an image) are those of images that
    had no part in the choice; `in_sample` is the recall of the setting on all the images.
    `aim` is what the choice was made for. `reached` is whether `recall` is what was wanted;
    `enough` whether a sample of this size can tell: `needed` images with a face, all of them
    covered, would just put the interval above the wanted recall.
    """

    setting: Setting
    aim: float
    recall: Estimate
    in_sample: Estimate
    false_boxes: Estimate
    false_pixels: Estimate
    needless: Estimate
    reached: bool
    enough: bool
    needed: int

    @property
    def kept(self) -> bool:
        """Whether the promise can be made."""
        return self.reached and self.enough


def promise(table: Table, wanted: float, rng: np.random.Generator) -> Promise:
    """Choose the setting for a wanted recall, and say what it does on images it wasn't chosen on.

    Raises:
        UsageError: no face is labelled.
    """
    with_face = int(np.count_nonzero(table.faces))
    if not with_face:
        raise UsageError("No face is labelled in these images, so recall can't be measured.")
    cuts = [rng.permutation(table.images) % FOLDS for _ in range(CUTS)]
    for step in range(_AIMS + 1):
        aim = wanted + (1 - wanted) * step / _AIMS
        held_out = _held_out(table, aim, cuts)
        if held_out["covered"].sum() >= wanted * table.faces.sum():
            break
    setting = choose(table, aim)
    ones = np.ones(table.images)
    recall = ratio(held_out["covered"], table.faces, rng)
    needed = trials_needed(wanted)
    at = table.covered[setting.shift, setting.growth]
    return Promise(
        setting,
        aim,
        recall,
        in_sample=ratio(at, table.faces, rng),
        false_boxes=ratio(held_out["false_boxes"], ones, rng, share=False),
        false_pixels=ratio(held_out["false_pixels"], ones, rng, share=False),
        needless=ratio(held_out["needless"], ones, rng, share=False),
        reached=recall.value >= wanted,
        enough=with_face >= needed,
        needed=needed,
    )


def choose(table: Table, aim: float, among: NDArray[np.bool_] | None = None) -> Setting:
    """Return the setting of the lowest price that covers this share of the faces.

    Where none covers as much, those that cover most count. `among` picks images.
    """
    picked = np.ones(table.images, dtype=bool) if among is None else among
    covered = table.covered[..., picked].sum(axis=-1)
    least = min(aim * int(table.faces[picked].sum()) - 1e-9, int(covered.max()))
    price = np.where(covered >= least, table.price(picked), np.inf)
    shift, growth = np.unravel_index(int(price.argmin()), price.shape)
    return Setting(int(shift), int(growth))


def _held_out(
    table: Table, aim: float, cuts: Sequence[NDArray[np.intp]]
) -> Mapping[str, NDArray[np.float64]]:
    """Return what each image has covered and costs when it has no part in the choice.

    A mean over the ways to cut the images into folds.
    """
    names = ("covered", "false_boxes", "false_pixels", "needless")
    sums = {name: np.zeros(table.images) for name in names}
    for folds in cuts:
        for fold in np.unique(folds):
            out = folds == fold
            at = choose(table, aim, ~out)
            for name in names:
                there = getattr(table, name)[at.shift]
                sums[name][out] += (there if name == "false_boxes" else there[at.growth])[out]
    return {name: total / len(cuts) for name, total in sums.items()}
