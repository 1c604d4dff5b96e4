"""A detector trained on some images and run on others: what it finds, kept by all it depends on.

As in `training`, every draw follows from the seed, the epoch and the image, and on a processor
one thread computes, so the same seed gives the same boxes whatever the number of workers. A
killed training goes on after its last epoch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sfumato.errors import MissingExtra, UsageError
from sfumato.study.configuration import DetectionSettings
from sfumato.study.detection.objects import THINNEST, Scene, thickness
from sfumato.study.features import available, one_thread, pixels_of
from sfumato.study.files import write_arrays
from sfumato.study.networks import NetworkSource, load, need_torch, need_torchvision
from sfumato.study.placement import draws
from sfumato.study.training import keep, resumed
from sfumato.types import Pixels

_MOMENTUM: Final = 0.9
_DECAY: Final = 1e-4
_WARM: Final = 100  # steps
_LAYOUT: Final = 1
_WATCHED: Final = 480  # size of a detector that is only built


@dataclass(frozen=True, slots=True)
class DetectorTraining:
    """A detector to be trained on `learnt` and run on `tested`; its boxes go to `path`.

    `source` is the classifier whose maps it uses. `settings` are everything else that counts.
    """

    source: NetworkSource
    settings: DetectionSettings
    classes: int
    learnt: tuple[Scene, ...]
    tested: tuple[Scene, ...]
    seed: int
    path: Path
    device: str = "cpu"


@dataclass(frozen=True, slots=True, eq=False)
class FoundObjects:
    """What a detector found in n images, m boxes in all.

    `scene` (m,) is the index of the image, `boxes` (m, 4) are x0 y0 x1 y1 in its pixels,
    `classes` (m,) indices and `scores` (m,) in [0, 1].
    """

    scene: NDArray[np.int64]
    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]
    scores: NDArray[np.float32]


def file_name(
    source: NetworkSource, settings: DetectionSettings, digests: Sequence[str], seed: int
) -> str:
    """Return the name of the boxes of a detector: the SHA-256 of all that they depend on."""
    numbers = (settings.epochs, settings.batch, settings.rate, settings.size)
    parts = (_LAYOUT, source.fingerprint(), numbers, tuple(digests), seed)
    return f"{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}.npz"


def need_operators(device: str = "cpu") -> None:
    """Return if torchvision's compiled operators work on a device.

    Raises:
        UsageError: there is no such device.
        MissingExtra: they don't, or torchvision isn't there.
    """
    need_torchvision()
    torch, operators = need_torch(), import_module("torchvision.ops")
    available(device)
    some = {"device": device}  # a build for processors has none for graphics cards
    try:
        operators.nms(torch.zeros(1, 4, **some), torch.zeros(1, **some), 0.5)
        operators.roi_align(torch.zeros(1, 1, 4, 4, **some), torch.zeros(1, 5, **some), (1, 1))
    except (RuntimeError, NotImplementedError) as error:
        said = str(error).partition("\n")[0].partition(". ")[0][:200]
        raise MissingExtra(
            "Transfer to object detection needs torchvision's compiled operators, which don't "
            f"work here on {device} ({said}): install the build of torchvision that was made for "
            "this torch, or take [[detection]] out of study.toml."
        ) from error


def need_maps(name: str) -> None:
    """Return if a detector can be built on a network.

    Raises:
        UsageError: it can't; there is no such network.
    """
    building = import_module("sfumato.study.detection.network")
    with _drawn(need_torch(), "cpu"):
        building.build(load(NetworkSource(name)), name, 1, size=_WATCHED, frozen=False)


def fit(task: DetectorTraining) -> Path:
    """Train a detector and keep what it finds, unless that is there; return where.

    Raises:
        UsageError: the loss became no number, or no detector can be built on the network.
        OutputError: the disk refuses.
    """
    if not task.path.exists():
        alone = one_thread() if task.device == "cpu" else nullcontext(need_torch())
        with alone as torch, _drawn(torch, task.device):
            run = _Run(torch, task)
            run.resume()
            run.learn()
            run.find()
    return task.path


def read(path: Path) -> FoundObjects:
    """Return the boxes that were kept."""
    with np.load(path) as parts:
        return FoundObjects(parts["scene"], parts["boxes"], parts["classes"], parts["scores"])


@contextmanager
def _drawn(torch: Any, device: str) -> Iterator[None]:
    """Leave torch's generators as they were."""
    index = [] if device == "cpu" else [torch.device(device).index or 0]
    with torch.random.fork_rng(devices=index):
        yield


class _Run:
    """A detector on its way."""

    def __init__(self, torch: Any, task: DetectorTraining) -> None:
        self._torch, self._task = torch, task
        settings = task.settings
        network = load(task.source)
        torch.manual_seed(task.seed)
        building = import_module("sfumato.study.detection.network")
        self._module = building.build(
            network,
            task.source.name,
            task.classes,
            size=settings.size,
            frozen=bool(task.source.weights),
        ).to(task.device)
        learning = [one for one in self._module.parameters() if one.requires_grad]
        self._descent = torch.optim.SGD(
            learning, lr=settings.rate, momentum=_MOMENTUM, weight_decay=_DECAY
        )
        self._epoch = 0
        self._part = task.path.with_suffix(".part")
        self._batch = min(settings.batch, len(task.learnt))
        self._steps = len(task.learnt) // self._batch

    def resume(self) -> None:
        """Go on after the last epoch that was written, if there is one."""
        self._epoch = resumed(self._part, model=self._module, descent=self._descent)

    def learn(self) -> None:
        """Run the epochs that are left."""
        task = self._task
        self._module.train()
        for epoch in range(self._epoch, task.settings.epochs):
            # The proposals that count are drawn by torch's own generator.
            self._torch.manual_seed(int(draws(task.seed, epoch, "proposals").integers(2**31)))
            order = draws(task.seed, epoch, "order").permutation(len(task.learnt))
            for step in range(self._steps):
                chosen = order[step * self._batch : (step + 1) * self._batch]
                self._step(epoch, step, [task.learnt[i] for i in chosen])
            keep(self._part, epoch + 1, model=self._module, descent=self._descent)

    def find(self) -> None:
        """Run the detector on the tested images and keep its boxes."""
        self._module.eval()
        parts: list[dict[str, Any]] = []
        for one in self._task.tested:
            given = self._image(pixels_of(one.stored))
            with self._torch.inference_mode():
                parts.append(self._module([given])[0])
        numbers = [len(part["scores"]) for part in parts]
        write_arrays(
            self._task.path,
            scene=np.repeat(np.arange(len(parts)), numbers),
            boxes=_joined(parts, "boxes").astype(np.float32).reshape(-1, 4),
            classes=_joined(parts, "labels").astype(np.int64) - 1,
            scores=_joined(parts, "scores").astype(np.float32),
        )
        self._part.unlink(missing_ok=True)

    def _step(self, epoch: int, step: int, scenes: Sequence[Scene]) -> None:
        rate = self._rate(epoch, step)
        for group in self._descent.param_groups:
            group["lr"] = rate
        images, targets = zip(*(self._example(epoch, one) for one in scenes), strict=True)
        losses = self._module(list(images), list(targets))
        loss = sum(losses.values())
        if not self._torch.isfinite(loss):
            raise UsageError(
                f"{self._task.source.name}: the detector's loss became no number in epoch "
                f"{epoch + 1}, so training diverged. Lower rate in [[detection]] "
                f"{self._task.settings.name!r}."
            )
        self._descent.zero_grad(set_to_none=True)
        loss.backward()
        self._descent.step()

    def _rate(self, epoch: int, step: int) -> float:
        settings = self._task.settings
        warm = min(_WARM, settings.epochs * self._steps // 10)
        done = epoch * self._steps + step
        passed = epoch / settings.epochs
        slow = 0.01 if passed >= 8 / 9 else 0.1 if passed >= 2 / 3 else 1.0
        return settings.rate * slow * min(1.0, (done + 1) / (warm + 1))

    def _example(self, epoch: int, scene: Scene) -> tuple[Any, dict[str, Any]]:
        """Return an image and its objects, mirrored half the time."""
        pixels = pixels_of(scene.stored)
        objects = [(box, number) for box, number in scene.objects if thickness(box) >= THINNEST]
        boxes = np.asarray([box for box, _ in objects], dtype=np.float32).reshape(-1, 4)
        if draws(self._task.seed, epoch, scene.key).random() < 0.5:
            pixels = pixels[:, ::-1]
            boxes[:, [0, 2]] = pixels.shape[1] - boxes[:, [2, 0]]
        torch, device = self._torch, self._task.device
        labels = torch.tensor([number + 1 for _, number in objects], dtype=torch.int64)
        target = {"boxes": torch.from_numpy(boxes).to(device), "labels": labels.to(device)}
        return self._image(pixels), target

    def _image(self, pixels: Pixels) -> Any:
        scaled = np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32) / 255
        return self._torch.from_numpy(scaled).to(self._task.device)


def _joined(parts: Sequence[dict[str, Any]], name: str) -> NDArray[Any]:
    arrays = [part[name].cpu().numpy() for part in parts]
    joined: NDArray[Any] = np.concatenate(arrays)
    return joined
