"""Does a model look for obfuscation? Two questions, with the controls that they need.

*Can it be seen?* A linear probe on the model's features tells obfuscated images from clear ones.
Both versions of an image are in the same fold, so the probe can't know the image. The AUC is the
mean over folds of the share of (obfuscated, clear) pairs in the right order; 0.5 is chance. That it
can be seen is no harm yet: whatever changes an image can be seen.

*Does it matter?* A patch is obfuscated where no face is, and the probabilities are compared with
those for the same image with a clear patch of itself pasted there: what is lost is the same, the
obfuscation isn't. A class that gains is one that obfuscation speaks for. Some patches look like
some class to any network, so a model is compared with the one that learnt from originals: what the
training on obfuscated images has added is the shortcut.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import special, stats

from sfumato.sources import private
from sfumato.stats.comparison import holm
from sfumato.study import probing
from sfumato.study.arms import Stored
from sfumato.study.configuration import method_of
from sfumato.study.features import Floats, pixels_of
from sfumato.study.looking import ModelLook
from sfumato.study.patches import Patch, patch_of
from sfumato.study.plan import PlannedRun
from sfumato.study.runs import seen_by
from sfumato.types import JSON

LEAST: Final = 0.05  # of probability; what is less isn't called a shortcut
LEVEL: Final = 0.05
FEWEST: Final = 30
_FOLDS: Final = 5
_DRAWS: Final = 1000
_ROWS: Final = 20
_TOO_FEW: Final = "not measured: fewer than 30 affected images"
_SHOWN_CLASSES: Final = 3
_SHOWN_IMAGES: Final = 3
_SHOWN_SIZE: Final = (720, 360)

Moves = dict[tuple[str, str], list[NDArray[np.float64]]]  # by train arm and patch; one a seed


@dataclass(frozen=True, slots=True)
class Visibility:
    """How well obfuscated images are told from clear ones: AUC with a 95 % interval, n pairs."""

    auc: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Moved:
    """What a patch does to one class: the mean change of its probability over other images.

    `low` and `high` hold it at 95 % for all classes together (Bonferroni over the classes);
    `p` is Holm's. `n` images, none of the class itself.
    """

    name: str
    change: float
    low: float
    high: float
    p: float
    n: int


@dataclass(frozen=True, slots=True)
class ClassFinding:
    """A class, its place among the classes, its changes in each seed, and whether it alarms."""

    name: str
    place: int
    changes: tuple[Moved, ...]
    alarm: bool

    @property
    def change(self) -> float:
        """Return the mean change over the seeds."""
        return float(np.mean([one.change for one in self.changes]))


@dataclass(frozen=True, slots=True)
class Patched:
    """The images that are patched: clear, with the control, and one for each method."""

    keys: tuple[str, ...]
    control: tuple[Stored, ...]
    methods: dict[str, tuple[Stored, ...]]


def search(look: ModelLook, protocol: str, path: Path) -> JSON:
    """Return how well obfuscation is seen and what it speaks for, with tables and images.

    Images are written beside `path`.
    """
    patched = patch(look, protocol)
    moves = _moves(look, protocol, patched)
    found = judge(moves, look.labelling(protocol).classes)
    visible = _visible(look, protocol)
    alarms = [
        {"class": one.name, "train_arm": arm, "points": 100 * one.change}
        for (arm, _), all_ in found.items()
        for one in all_
        if one.alarm
    ]
    shown = [
        image
        for (arm, method), all_ in found.items()
        for image in _show(patched, method, all_, moves[arm, method], f"{path}-{arm}-{method}")
    ]
    return {
        "headline": _headline(look.architecture.name, alarms, len(patched.keys)),
        "alarms": alarms,
        "tables": [_visible_table(visible), *(_table(*of, all_) for of, all_ in found.items())],
        "images": shown,
        "patched_images": len(patched.keys),
        "visible": {arm: None if one is None else asdict(one) for arm, one in visible.items()},
    }


def patch(look: ModelLook, protocol: str) -> Patched:
    """Return the test images with a patch where no face is, up to the number configured."""
    study = look.plan.study
    labels, images = look.labelling(protocol).labels, look.images
    files = look.plan.test.arms["original"].files
    trained_on = study.arms.test if protocol == "as-is" else study.arms.train
    methods = sorted({method_of(arm) for arm in trained_on} - {""})
    placed: list[tuple[str, Patch]] = []
    keys = look.by_hash(key for key in files if key in labels)
    faceless = [key for key in keys if not images[key].faces]
    # A face beside the patch says something too: images without one come first.
    for key in faceless if len(faceless) >= FEWEST else keys:
        if len(placed) == study.consequences.images:
            break
        one = images[key]
        found = patch_of("", key, (one.width, one.height), one.faces, study.arms.seed)
        if found is not None:
            placed.append((key, found))
    return Patched(
        tuple(key for key, _ in placed),
        tuple(files[key].changed(one) for key, one in placed),
        {
            method: tuple(files[key].changed(replace(one, method=method)) for key, one in placed)
            for method in methods
        },
    )


def judge(moves: Moves, names: Sequence[str]) -> dict[tuple[str, str], list[ClassFinding]]:
    """Return the findings by train arm and patch.

    Where there is a model that learnt from originals, with the same seed, what its classes do is
    taken away from what the others' do, image by image; itself it raises no alarm.
    """
    compared = any(arm != "original" for arm, _ in moves)
    found: dict[tuple[str, str], list[ClassFinding]] = {}
    for (arm, method), seeds in moves.items():
        base = moves.get(("original", method))
        taken = seeds
        if arm != "original" and base is not None:
            taken = [one - other for one, other in zip(seeds, base, strict=True)]
        least = np.inf if arm == "original" and compared else LEAST
        per_seed = [per_class(one, names) for one in taken]
        found[arm, method] = findings(per_seed, float(least))
    return found


def _moves(look: ModelLook, protocol: str, patched: Patched) -> Moves:
    moves: Moves = {}
    if not patched.keys:
        return moves
    seen = None
    if protocol in ("probe", "as-is"):
        seen = look.see([one for of in (patched.control, *patched.methods.values()) for one in of])
    for cell in look.cells(protocol):
        arm = cell.train_arm
        wanted = [one for one in patched.methods if arm == "original" or method_of(arm) == one]
        for method, change in _moved(look, cell, patched, wanted, seen).items():
            moves.setdefault((arm, method), []).append(change)
    return moves


def _moved(
    look: ModelLook, cell: PlannedRun, patched: Patched, methods: Sequence[str], seen: Any
) -> dict[str, NDArray[np.float64]]:
    """Return the (n, classes) changes of a cell's probabilities, by method."""
    if not methods:
        return {}
    labelling = look.labelling(cell.protocol)
    truth = np.asarray([labelling.labels[key] for key in patched.keys], dtype=np.int64)
    place = {key: i for i, key in enumerate(patched.keys)}
    versions = {"": patched.control, **{method: patched.methods[method] for method in methods}}
    logits = {one: np.zeros((len(place), len(labelling.classes))) for one in versions}
    for tested, say in look.judges(cell, seen):
        rows = [place[key] for key in tested if key in place]
        if cell.protocol == "as-is":
            rows = list(place.values())
        files = [of[row] for of in versions.values() for row in rows]
        if files:  # all at once: each asking has its price
            said = say(files).reshape(len(versions), len(rows), -1)
            for version, found in zip(versions, said, strict=True):
                logits[version][rows] = found
    return {
        method: changes(logits[method], logits[""], truth, labelling.classes) for method in methods
    }


def _visible(look: ModelLook, protocol: str) -> dict[str, Visibility | None]:
    """Return how well each test arm is told from the originals of the images it changes."""
    plan, images = look.plan, look.images
    names = [name for name in plan.study.arms.test if name != "original"]
    seen = seen_by(plan, look.network_of(look.cells(protocol)[0]), names)
    clear = plan.test.arms["original"]
    found: dict[str, Visibility | None] = {}
    for name in names:
        arm = plan.test.arms[name]
        keys = sorted(
            key
            for key in arm.files
            if images[key].faces and arm.files[key].id != clear.files[key].id
        )
        before, after = (seen.features[seen.rows(one, keys)] for one in (clear, arm))
        found[name] = visibility(before, after, plan.study.probe.l2)
    return found


def _show(
    patched: Patched,
    method: str,
    findings: Sequence[ClassFinding],
    moves: Sequence[NDArray[np.float64]],
    name: str,
) -> list[JSON]:
    """Write images, control beside patch, of the classes that gain most, and most of them.

    Those with an alarm, or else the first; `moves` are the changes (n, classes) of each seed.
    """
    shown: list[JSON] = []
    moved = np.mean(moves, axis=0)
    chosen = [one for one in findings if one.alarm][:_SHOWN_CLASSES] or list(findings[:1])
    for number, finding in enumerate(chosen):
        gains = np.nan_to_num(moved[:, finding.place], nan=-np.inf)
        for rank, row in enumerate(np.argsort(-gains, kind="stable")[:_SHOWN_IMAGES]):
            path = Path(f"{name}-{number}-{rank}.jpg")
            private.folder(path.parent)
            pair = [pixels_of(files[row]) for files in (patched.control, patched.methods[method])]
            image = Image.fromarray(np.concatenate(pair, axis=1))
            image.thumbnail(_SHOWN_SIZE)
            image.save(path, "JPEG", quality=90)
            caption = (
                f"{patched.keys[row]}: a clear patch left, {method} right. {finding.name} gains "
                f"{100 * gains[row]:.1f} points here, {100 * finding.change:.1f} on average"
            )
            shown.append({"file": path.name, "caption": caption})
    return shown


def _headline(name: str, alarms: Sequence[JSON], images: int) -> str:
    if images < FEWEST:
        return f"{name}: {images} images could be patched, too few to look for a shortcut."
    if not alarms:
        return (
            f"{name}: no class gains 5 points or more in every seed from an obfuscated patch "
            f"({images} images)."
        )
    told = ", ".join(f"{one['class']} +{one['points']:.0f} ({one['train_arm']})" for one in alarms)
    return f"{name} has learnt a shortcut: an obfuscated patch alone speaks for {told}."


def _visible_table(visible: dict[str, Visibility | None]) -> JSON:
    rows = [
        [arm, *(asdict(one).values() if one else (_TOO_FEW, "", "", ""))]
        for arm, one in visible.items()
    ]
    columns = ["arm", "AUC against original", "low", "high", "n"]
    return {"title": "Can obfuscation be seen in the features?", "columns": columns, "rows": rows}


def _table(arm: str, method: str, findings: Sequence[ClassFinding]) -> JSON:
    rows = [
        [
            one.name,
            one.change,
            min(seed.low for seed in one.changes),
            max(seed.high for seed in one.changes),
            max(seed.p for seed in one.changes),
            one.changes[0].n,
            len(one.changes),
            "yes" if one.alarm else "no",
        ]
        for one in findings[:_ROWS]
    ]
    columns = ["class", "change", "lowest low", "highest high", "largest p (Holm)"]
    columns += ["n", "seeds", "alarm"]
    title = f"A {method} patch where no face is: change of probability, trained on {arm}"
    return {"title": title, "columns": columns, "rows": rows}


def visibility(clear: Floats, changed: Floats, l2: float) -> Visibility | None:
    """Return how well (n, d) features of changed images are told from those of the same, clear.

    None with fewer than 30 images. The interval is a bootstrap over images within the folds,
    which takes the fitted probes as they are.
    """
    n = len(clear)
    if n < FEWEST:
        return None
    rng = np.random.default_rng([0, 2])
    order = rng.permutation(n)
    counted: list[NDArray[np.float64]] = []
    for fold in range(_FOLDS):
        tested, learnt = order[fold::_FOLDS], np.delete(order, np.s_[fold::_FOLDS])
        both = np.concatenate([clear[learnt], changed[learnt]])
        truth = np.repeat(np.arange(2, dtype=np.int64), len(learnt))
        fitted = probing.fit(both, truth, 2, l2)
        said = [fitted.logits(one[tested]) for one in (clear, changed)]
        before, after = (logits[:, 1] - logits[:, 0] for logits in said)
        pairs = after[:, None] - before[None, :]
        counted.append((pairs > 0) + 0.5 * (pairs == 0))
    sizes = np.asarray([len(pairs) for pairs in counted], dtype=np.float64)
    value = float(np.average([pairs.mean() for pairs in counted], weights=sizes))
    drawn = [
        np.average([_redrawn(pairs, rng) for pairs in counted], weights=sizes)
        for _ in range(_DRAWS)
    ]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Visibility(value, float(low), float(high), n)


def changes(
    patched: NDArray[Any], control: NDArray[Any], labels: NDArray[np.int64], names: Sequence[str]
) -> NDArray[np.float64]:
    """Return (n, classes) changes of probability from control to patched, NaN for the own class.

    Both are logits (n, classes).
    """
    if patched.shape != control.shape or patched.shape != (len(labels), len(names)):
        raise ValueError(f"shapes {patched.shape}, {control.shape} don't fit {len(names)} classes")
    before, after = (special.softmax(one.astype(np.float64), axis=1) for one in (control, patched))
    moved: NDArray[np.float64] = after - before
    moved[np.arange(len(labels)), labels] = np.nan
    return moved


def per_class(moved: NDArray[np.float64], names: Sequence[str]) -> list[Moved]:
    """Return what (n, classes) changes say of each class: a t test of the mean against 0."""
    rows: list[Moved] = []
    share = LEVEL / max(len(names), 1)
    for place, name in enumerate(names):
        values = moved[:, place]
        values = values[~np.isnan(values)]
        n = len(values)
        mean = float(values.mean()) if n else 0.0
        error = float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.inf
        if error > 0 and n > 1:
            p = float(2 * stats.t.sf(abs(mean) / error, n - 1))
            half = float(stats.t.isf(share / 2, n - 1)) * error
        else:  # nothing varies, or there is nothing to vary
            p, half = 0.0 if error == 0 and mean else 1.0, error
        rows.append(Moved(name, mean, mean - half, mean + half, p, n))
    corrected = holm([one.p for one in rows])
    return [replace(one, p=float(p)) for one, p in zip(rows, corrected, strict=True)]


def findings(per_seed: Sequence[Sequence[Moved]], least: float = LEAST) -> list[ClassFinding]:
    """Return the classes, most moved first; an alarm is one that gains in every seed.

    In every seed the class's probability must rise by `least` or more, its interval leave out 0
    and Holm's p be below 0.05. Seeds vote by unanimity because images can't tell what chance did
    to one training.
    """
    found: list[ClassFinding] = []
    for place, same in enumerate(zip(*per_seed, strict=True)):
        alarm = all(
            one.n >= FEWEST and one.change >= least and one.low > 0 and one.p < LEVEL
            for one in same
        )
        found.append(ClassFinding(same[0].name, place, same, alarm))
    return sorted(found, key=lambda one: -one.change)


def _redrawn(pairs: NDArray[np.float64], rng: np.random.Generator) -> float:
    n = len(pairs)
    weight = np.bincount(rng.integers(n, size=n), minlength=n)
    return float(weight @ pairs @ weight) / n**2
