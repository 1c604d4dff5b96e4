"""Where a network looks: the share of its Grad-CAM that lies inside face regions.

Selvaraju et al., Grad-CAM (ICCV 2017), equations 1 and 2: with A the last maps that have more than
one place and y the logit of a class, each channel weighs the mean over places of dy/dA, and the map
is the ReLU of the weighted sum. Each image's map is normalised by its own sum (the published
study's code took the extremes of a whole batch), so the mass inside the faces is a share; a face
that has s % of the image's area would get s % from a map that looks nowhere in particular.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sfumato.boxes import grow
from sfumato.study.arms import Stored
from sfumato.study.features import one_thread, pixels_of
from sfumato.study.networks import Network, NetworkSource, load
from sfumato.study.processes import spread
from sfumato.types import Box

_DRAWS: Final = 2000
_FINE: Final = 8  # parts of a cell along each side, to cut faces that end inside it


@dataclass(frozen=True, slots=True)
class Looked:
    """An image to look at: as each arm shows it, its class, its grown faces, and its size."""

    versions: tuple[Stored, ...]
    label: int
    faces: tuple[Box, ...]
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Mass:
    """The mean share of the map inside faces with its 95 % interval, and that of n images.

    `area` is the mean share of the faces' area in what the network sees.
    """

    share: float
    low: float
    high: float
    area: float
    n: int


def masses(source: NetworkSource, images: Sequence[Looked], workers: int) -> NDArray[np.float64]:
    """Return (n, versions + 1) shares inside faces: of each version's map, and of the area.

    NaN where the map is empty (the class gets nothing from any place) or no face is in view.
    """
    step = 16
    batches = [images[i : i + step] for i in range(0, len(images), step)]
    return np.concatenate(list(spread(partial(_look, source), batches, workers)))


def summary(shares: NDArray[np.float64], area: NDArray[np.float64]) -> Mass | None:
    """Return the mean of (n,) shares with a bootstrap interval over images; None without any."""
    kept = ~np.isnan(shares)
    values, n = shares[kept], int(kept.sum())
    if n < 2:
        return None
    rng = np.random.default_rng(0)
    means = values[rng.integers(n, size=(_DRAWS, n))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Mass(float(values.mean()), float(low), float(high), float(area[kept].mean()), n)


def heatmap(network: Network, image: NDArray[np.float32], label: int) -> NDArray[np.float64]:
    """Return the (h, w) map of a class for a (3, size, size) input; its sum is 1, or all is 0."""
    with one_thread() as torch:
        kept: list[Any] = []

        def keep(_: Any, __: Any, result: Any) -> None:
            if isinstance(result, torch.Tensor) and result.ndim == 4 and min(result.shape[2:]) > 1:
                kept[:] = [result]

        # Without the head: where it is a convolution its maps are the classes themselves.
        layers = [
            one
            for one in network.module.modules()
            if not list(one.children()) and one is not network.head
        ]
        hooks = [layer.register_forward_hook(keep) for layer in layers]
        try:
            given = torch.from_numpy(image[None]).requires_grad_()
            logits = network.module(given)
        finally:
            for hook in hooks:
                hook.remove()
        if not kept:
            raise ValueError("the network has no map with more than one place")
        (slope,) = torch.autograd.grad(logits[0, label], kept)
        maps = kept[0].detach()
        weights = slope.mean(dim=(2, 3), keepdim=True)
        found: NDArray[np.float64] = torch.relu((weights * maps).sum(dim=1))[0].double().numpy()
    total = found.sum()
    return found / total if total > 0 else found


def inside(found: NDArray[np.float64], faces: Sequence[Box], size: int) -> tuple[float, float]:
    """Return the shares of a map's mass and of the area that lie in faces of the cut image.

    `faces` are in pixels of the `size` by `size` input; a cell of the map counts by the share of
    it that they cover.
    """
    rows, columns = (side * _FINE for side in found.shape)
    fine = np.zeros((rows, columns), dtype=np.float64)
    for x0, y0, x1, y1 in faces:
        left, right = (round(min(max(x / size, 0.0), 1.0) * columns) for x in (x0, x1))
        top, bottom = (round(min(max(y / size, 0.0), 1.0) * rows) for y in (y0, y1))
        fine[top:bottom, left:right] = 1.0
    shape = (found.shape[0], _FINE, found.shape[1], _FINE)
    cells = fine.reshape(shape).mean(axis=(1, 3))
    return float((found * cells).sum()), float(cells.mean())


def _look(source: NetworkSource, images: Sequence[Looked]) -> NDArray[np.float64]:
    network = load(source)
    for parameter in network.module.parameters():
        parameter.requires_grad_(False)
    preparation = network.preparation
    rows: list[list[float]] = []
    for one in images:
        faces = [preparation.moved(grow(face, 0.25), *one.size) for face in one.faces]
        row: list[float] = []
        area = float("nan")
        for version in one.versions:
            image = preparation.prepare(pixels_of(version))
            found = heatmap(network, image, one.label)
            mass, area = inside(found, faces, preparation.size)
            row.append(mass if found.any() and area > 0 else float("nan"))
        rows.append([*row, area])
    return np.asarray(rows, dtype=np.float64).reshape(len(rows), -1)
