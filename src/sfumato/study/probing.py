"""Linear probes: multinomial logistic regression on frozen features, with an L2 penalty.

Features are shifted and scaled by the mean and deviation of those it is trained on. With weights W
(classes, d) and offsets b, the loss is

    mean over images of the cross-entropy  +  (l2 / 2) * sum of W ** 2

which is convex with one solution; L-BFGS with a strong Wolfe search finds it from zero, in double
precision and one thread, so that the same features give the same probe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sfumato.errors import UsageError
from sfumato.study.features import Floats, one_thread
from sfumato.study.files import write_arrays

_ITERATIONS: Final = 300
_GRADIENT: Final = 1e-5
_LEAST_DEVIATION: Final = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A fitted probe: logits = ((features − mean) / deviation) @ weights.T + offsets."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    weights: NDArray[np.float64]
    offsets: NDArray[np.float64]

    def logits(self, features: Floats) -> NDArray[np.float64]:
        """Return the (n, classes) logits of (n, d) features."""
        with one_thread() as torch:
            scaled = torch.from_numpy((features - self.mean) / self.deviation)
            product = scaled @ torch.from_numpy(self.weights).T
            result: NDArray[np.float64] = product.numpy() + self.offsets
            return result


def fit(features: Floats, labels: NDArray[np.int64], classes: int, l2: float) -> Fitted:
    """Fit a probe to (n, d) features and (n,) labels below `classes`.

    Raises:
        UsageError: features that are no numbers.
    """
    if not np.isfinite(features).all():
        raise UsageError(
            "A network's features hold values that are not numbers (NaN or infinite): its weights "
            "are damaged or don't fit it."
        )
    mean = features.mean(axis=0, dtype=np.float64)
    deviation = np.maximum(features.std(axis=0, dtype=np.float64), _LEAST_DEVIATION)
    with one_thread() as torch:
        x = torch.from_numpy((features - mean) / deviation)
        weights, offsets = _minimise(torch, x, torch.from_numpy(labels), classes, l2)
    return Fitted(mean, deviation, weights, offsets)


def keep(path: Path, fitted: Fitted) -> None:
    """Write a probe.

    Raises:
        OutputError: the disk refuses.
    """
    write_arrays(path, **{part.name: getattr(fitted, part.name) for part in fields(fitted)})


def read(path: Path) -> Fitted | None:
    """Return the probe that was kept there, None if there is none."""
    if not path.exists():
        return None
    with np.load(path) as parts:
        return Fitted(**{part.name: parts[part.name] for part in fields(Fitted)})


def folds(labels: Mapping[str, int], parts: int, seed: int) -> list[list[str]]:
    """Cut keys into parts with about the same share of every class, as `seed` draws."""
    rng = np.random.default_rng([seed, parts])
    by_class: dict[int, list[str]] = {}
    for key in sorted(labels):
        by_class.setdefault(labels[key], []).append(key)
    cut: list[list[str]] = [[] for _ in range(parts)]
    start = 0
    for place in sorted(by_class):
        keys = by_class[place]
        for i, index in enumerate(rng.permutation(len(keys))):
            cut[(start + i) % parts].append(keys[index])
        start += len(keys)  # so that small classes don't all fill the first parts
    return [sorted(part) for part in cut]


def resample(keys: Sequence[str], labels: Mapping[str, int], seed: int) -> list[str]:
    """Draw as many keys of each class with replacement: another training set of the same kind."""
    rng = np.random.default_rng([seed, 1])
    by_class: dict[int, list[str]] = {}
    for key in sorted(keys):
        by_class.setdefault(labels[key], []).append(key)
    return [
        members[index]
        for _, members in sorted(by_class.items())
        for index in rng.integers(len(members), size=len(members))
    ]


def _minimise(
    torch: Any, x: Any, y: Any, classes: int, l2: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    weights = torch.zeros(classes, x.shape[1], dtype=torch.float64, requires_grad=True)
    offsets = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS(
        [weights, offsets],
        max_iter=_ITERATIONS,
        tolerance_grad=_GRADIENT,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Any:
        search.zero_grad()
        value = torch.nn.functional.cross_entropy(x @ weights.T + offsets, y)
        value = value + 0.5 * l2 * (weights**2).sum()
        value.backward()
        return value

    search.step(loss)
    return weights.detach().numpy(), offsets.detach().numpy()
