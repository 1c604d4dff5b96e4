"""Does a model look for obfuscation? Two questions, with the controls that they need.

*Can it be seen?* A linear probe on the model's features tells obfuscated pictures from clear ones.
Both versions of a picture are in the same fold, so the probe can't know the picture. The AUC is the
mean over folds of the share of (obfuscated, clear) pairs in the right order; 0.5 is chance. That it
can be seen is no harm yet: whatever changes a picture can be seen.

*Does it matter?* A patch is obfuscated where no face is, and the probabilities are compared with
those for the same picture with a clear patch of itself pasted there: what is lost is the same, the
obfuscation isn't. A class that gains is one that obfuscation speaks for. Some patches look like
some class to any network, so a model is compared with the one that learnt from originals: what the
training on obfuscated pictures has added is the shortcut.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sfumato.stats.comparison import holm
from sfumato.study import probing
from sfumato.study.features import Floats

LEAST: Final = 0.05  # of probability; what is less isn't called a shortcut
LEVEL: Final = 0.05
FEWEST: Final = 30
_FOLDS: Final = 5
_DRAWS: Final = 1000


@dataclass(frozen=True, slots=True)
class Seen:
    """How well obfuscated pictures are told from clear ones: AUC with a 95 % interval, n pairs."""

    auc: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Moved:
    """What a patch does to one class: the mean change of its probability over other pictures.

    `low` and `high` hold it at 95 % for all classes together (Bonferroni over the classes);
    `p` is Holm's. `n` pictures, none of the class itself.
    """

    name: str
    change: float
    low: float
    high: float
    p: float
    n: int


@dataclass(frozen=True, slots=True)
class Finding:
    """A class, its place among the classes, its changes in each seed, and whether it alarms."""

    name: str
    place: int
    changes: tuple[Moved, ...]
    alarm: bool

    @property
    def change(self) -> float:
        """Return the mean change over the seeds."""
        return float(np.mean([one.change for one in self.changes]))


def visibility(clear: Floats, changed: Floats, l2: float, seed: int = 0) -> Seen | None:
    """Return how well (n, d) features of changed pictures are told from those of the same, clear.

    None with fewer than 30 pictures. The interval is a bootstrap over pictures within the folds,
    which takes the fitted probes as they are.
    """
    n = len(clear)
    if n < FEWEST:
        return None
    rng = np.random.default_rng([seed, 2])
    order = rng.permutation(n)
    counted: list[NDArray[np.float64]] = []
    for fold in range(_FOLDS):
        tested, learnt = order[fold::_FOLDS], np.delete(order, np.s_[fold::_FOLDS])
        both = np.concatenate([clear[learnt], changed[learnt]])
        truth = np.repeat(np.arange(2, dtype=np.int64), len(learnt))
        fitted = probing.fit(both, truth, 2, l2)
        before, after = (_score(fitted.logits(one[tested])) for one in (clear, changed))
        pairs = after[:, None] - before[None, :]
        counted.append((pairs > 0) + 0.5 * (pairs == 0))
    sizes = np.asarray([len(pairs) for pairs in counted], dtype=np.float64)
    value = float(np.average([pairs.mean() for pairs in counted], weights=sizes))
    drawn = [
        np.average([_redrawn(pairs, rng) for pairs in counted], weights=sizes)
        for _ in range(_DRAWS)
    ]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Seen(value, float(low), float(high), n)


def changes(
    patched: NDArray[Any], control: NDArray[Any], labels: NDArray[np.int64], names: Sequence[str]
) -> NDArray[np.float64]:
    """Return (n, classes) changes of probability from control to patched, NaN for the own class.

    Both are logits (n, classes).
    """
    if patched.shape != control.shape or patched.shape != (len(labels), len(names)):
        raise ValueError(f"shapes {patched.shape}, {control.shape} don't fit {len(names)} classes")
    moved = _probabilities(patched) - _probabilities(control)
    moved[np.arange(len(labels)), labels] = np.nan
    return moved


def per_class(moved: NDArray[np.float64], names: Sequence[str]) -> list[Moved]:
    """Return what (n, classes) changes say of each class: a t test of the mean against 0."""
    rows: list[tuple[str, float, float, float, int]] = []
    tests: list[float] = []
    share = LEVEL / max(len(names), 1)
    for place, name in enumerate(names):
        values = moved[:, place]
        values = values[~np.isnan(values)]
        n = len(values)
        mean = float(values.mean()) if n else 0.0
        error = float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.inf
        if error > 0 and n > 1:
            tests.append(float(2 * stats.t.sf(abs(mean) / error, n - 1)))
            half = float(stats.t.isf(share / 2, n - 1)) * error
        else:  # nothing varies, or there is nothing to vary
            tests.append(0.0 if error == 0 and mean else 1.0)
            half = error
        rows.append((name, mean, mean - half, mean + half, n))
    corrected = holm(tests)
    return [
        Moved(name, mean, low, high, float(p), n)
        for (name, mean, low, high, n), p in zip(rows, corrected, strict=True)
    ]


def findings(per_seed: Sequence[Sequence[Moved]], least: float = LEAST) -> list[Finding]:
    """Return the classes, most moved first; an alarm is one that gains in every seed.

    In every seed the class's probability must rise by `least` or more, its interval leave out 0
    and Holm's p be below 0.05. Seeds vote by unanimity because pictures can't tell what chance did
    to one training.
    """
    found: list[Finding] = []
    for place, same in enumerate(zip(*per_seed, strict=True)):
        alarm = all(_gains(one, least) for one in same)
        found.append(Finding(same[0].name, place, tuple(same), alarm))
    return sorted(found, key=lambda one: -one.change)


def _gains(moved: Moved, least: float) -> bool:
    enough = moved.n >= FEWEST and moved.change >= least
    return enough and moved.low > 0 and moved.p < LEVEL


def _score(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    score: NDArray[np.float64] = logits[:, 1] - logits[:, 0]
    return score


def _redrawn(pairs: NDArray[np.float64], rng: np.random.Generator) -> float:
    n = len(pairs)
    weight = np.bincount(rng.integers(n, size=n), minlength=n)
    return float(weight @ pairs @ weight) / n**2


def _probabilities(logits: NDArray[Any]) -> NDArray[np.float64]:
    scores = np.asarray(logits, dtype=np.float64)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares
