"""Training a network, from scratch or from weights, on the images of an arm.

Every draw follows from the seed, the epoch and the image: neither the processes that read, nor
where a killed training goes on, change what is learnt. On a processor a training runs in one
thread (several trainings run beside each other), so the same seed gives the same weights. Started
by torch's own launcher (`torchrun`), all processes train one network together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from sfumato.errors import UsageError
from sfumato.study.arms import Stored
from sfumato.study.configuration import Precision, Remedy
from sfumato.study.features import Floats, one_thread, pixels_of
from sfumato.study.files import whole
from sfumato.study.group import ALONE, ProcessGroup
from sfumato.study.networks import Network, NetworkSource, load, need_torch, with_classes
from sfumato.study.placement import draws
from sfumato.study.preparation import Preparation, random_cut
from sfumato.study.recipes import Recipe
from sfumato.study.transforms import RandomFaceObfuscation
from sfumato.types import Box, Pixels

_IN_MEMORY: Final = 2**30  # bytes of decoded images that a reading process keeps


@dataclass(frozen=True, slots=True)
class Example:
    """A training image as an arm shows it, its class, its faces, and the key that seeds draws."""

    stored: Stored
    label: int
    faces: tuple[Box, ...]
    key: str


@dataclass(frozen=True, slots=True)
class Training:
    """Everything that trained weights depend on, and where they are written.

    `source` has no weights for training from scratch; with some, its last layer is replaced.
    `remedy` changes each image each time it is seen; `readers` is a number of processes.
    """

    source: NetworkSource
    classes: int
    examples: tuple[Example, ...]
    recipe: Recipe
    seed: int
    checkpoint: Path
    remedy: Remedy | None = None
    shapes: tuple[Box, ...] = ()
    precision: Precision = "float32"
    device: str = "cpu"
    readers: int = 0

    @property
    def preparation(self) -> Preparation:
        """Return how an image is tested; mean and deviation are ImageNet's."""
        return Preparation(self.recipe.size, self.recipe.resize)


def trained(training: Training) -> NetworkSource:
    """Return the trained network, as it can be loaded."""
    return NetworkSource(
        training.source.name,
        str(training.checkpoint),
        training.classes,
        preparation=training.preparation,
    )


def train(training: Training, group: ProcessGroup = ALONE) -> Path:
    """Train, unless it is done, and return where the weights are.

    Raises:
        UsageError: the loss became no number, or the network doesn't fit.
    """
    if training.checkpoint.exists():
        return training.checkpoint
    alone = one_thread() if training.device == "cpu" else nullcontext(need_torch())
    with alone as torch:
        run = _Run(torch, training, group)
        run.resume()
        run.learn()
    return training.checkpoint


@dataclass(slots=True)
class _TrainingImages:
    """What a reading process gives: the (epoch, index)-th image, changed as its draws say."""

    training: Training
    preparation: Preparation
    kept: dict[int, Pixels] = field(default_factory=dict)
    size: int = 0

    def __len__(self) -> int:
        return len(self.training.examples)

    def __getitem__(self, at: tuple[int, int]) -> tuple[Floats, int]:
        epoch, index = at
        example, recipe = self.training.examples[index], self.training.recipe
        rng = draws(self.training.seed, epoch, example.key)
        pixels = self._pixels(index)
        remedy = self.training.remedy
        if remedy is not None:
            change = RandomFaceObfuscation(
                remedy.p, remedy.methods, elsewhere=remedy.elsewhere, shapes=self.training.shapes
            )
            pixels = change.apply(pixels, example.faces, rng)
        cut = random_cut(pixels, recipe.size, recipe.smallest_crop, rng, flip=recipe.flip)
        return self.preparation.numbers(cut), example.label

    def _pixels(self, index: int) -> Pixels:
        pixels = self.kept.get(index)
        if pixels is None:
            pixels = pixels_of(self.training.examples[index].stored)
            if self.size + pixels.nbytes <= _IN_MEMORY:
                self.kept[index] = pixels
                self.size += pixels.nbytes
        return pixels


class _Run:
    """A training on its way."""

    def __init__(self, torch: Any, training: Training, group: ProcessGroup) -> None:
        self._torch, self._training, self._group = torch, training, group
        network = _start(training)
        self._module = network.module.to(training.device).train()
        self._learner = group.together(self._module)
        recipe = training.recipe
        self._descent = torch.optim.SGD(
            self._module.parameters(),
            lr=recipe.rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
        )
        halved = training.precision == "float16" and training.device != "cpu"
        kind = training.device.partition(":")[0]
        self._scaler = torch.amp.GradScaler(kind, enabled=halved)
        self._epoch = 0
        self._part = training.checkpoint.with_suffix(".part")
        count = len(training.examples)
        self._batch = min(recipe.batch, count) // group.size * group.size
        if self._batch < 1:
            raise UsageError(f"{count} training images are too few for {group.size} processes.")
        self._steps = count // self._batch

    def resume(self) -> None:
        """Go on after the last epoch that was written, if there is one."""
        self._epoch = self._group.agreed(resumed(self._part, **self._parts()))

    def learn(self) -> None:
        """Run the epochs that are left and write the weights."""
        recipe = self._training.recipe
        batches = iter(
            self._torch.utils.data.DataLoader(
                _TrainingImages(self._training, self._training.preparation),
                batch_sampler=list(self._batches()),
                num_workers=self._training.readers,
                pin_memory=self._training.device != "cpu",
            )
        )
        for epoch in range(self._epoch, recipe.epochs):
            loss = sum(self._step(epoch, step, next(batches)) for step in range(self._steps))
            if not math.isfinite(loss):
                raise UsageError(
                    f"{self._training.source.name}: the loss became no number in epoch "
                    f"{epoch + 1}, so training diverged. Lower training.rate."
                )
            if self._group.leads:
                keep(self._part, epoch + 1, **self._parts())
        if self._group.leads:
            keep(self._training.checkpoint, model=self._module)
            self._part.unlink(missing_ok=True)
        self._group.wait()

    def _step(self, epoch: int, step: int, batch: tuple[Any, Any]) -> float:
        torch, device = self._torch, self._training.device
        images, labels = (part.to(device, non_blocking=True) for part in batch)
        rate = _rate(self._training.recipe, epoch, step / self._steps)
        for part in self._descent.param_groups:
            part["lr"] = rate
        self._descent.zero_grad(set_to_none=True)
        kind = getattr(torch, self._training.precision)
        mixed = torch.autocast(device.partition(":")[0], kind, enabled=kind is not torch.float32)
        with mixed:
            loss = torch.nn.functional.cross_entropy(self._learner(images), labels)
        self._scaler.scale(loss).backward()
        self._scaler.step(self._descent)
        self._scaler.update()
        return float(loss.detach())

    def _batches(self) -> Iterator[list[tuple[int, int]]]:
        """Yield this process's part of every batch that is left, as (epoch, index)."""
        for epoch in range(self._epoch, self._training.recipe.epochs):
            rng = np.random.default_rng([self._training.seed, epoch])
            order = rng.permutation(len(self._training.examples))
            for step in range(self._steps):
                whole = order[step * self._batch : (step + 1) * self._batch]
                yield [(epoch, int(i)) for i in whole[self._group.rank :: self._group.size]]

    def _parts(self) -> dict[str, Any]:
        return {"model": self._module, "descent": self._descent, "scaler": self._scaler}


def resumed(part: Path, **parts: Any) -> int:
    """Give these parts the state that `keep` wrote, and return how many epochs are done."""
    if not part.exists():
        return 0
    state = need_torch().load(part, map_location="cpu", weights_only=True)
    for name, one in parts.items():
        one.load_state_dict(state[name])
    return int(state["epoch"])


def keep(path: Path, epoch: int | None = None, **parts: Any) -> None:
    """Write the state of these parts, and how many epochs are done."""
    state = {name: one.state_dict() for name, one in parts.items()}
    # Into a stream: given a name, torch keeps it in the file.
    with whole(path) as part, part.open("wb") as stream:
        need_torch().save(state if epoch is None else {**state, "epoch": epoch}, stream)


def _start(training: Training) -> Network:
    source = training.source
    if not source.weights:
        return load(NetworkSource(source.name, "", training.classes, training.seed))
    return with_classes(load(source), training.classes, training.seed)


def _rate(recipe: Recipe, epoch: int, passed: float) -> float:
    """Return the rate at a share of an epoch: by ten every `step` epochs, or half a cosine."""
    if recipe.step:
        return float(recipe.rate * 0.1 ** (epoch // recipe.step))
    return recipe.rate * 0.5 * (1 + math.cos(math.pi * (epoch + passed) / recipe.epochs))


def shapes_of(faces: Sequence[tuple[Box, ...]]) -> tuple[Box, ...]:
    """Return the shapes of all faces, at the origin, for patches where no face is."""
    return tuple((0.0, 0.0, box[2] - box[0], box[3] - box[1]) for boxes in faces for box in boxes)
