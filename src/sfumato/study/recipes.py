"""How networks are trained: recipes by name, the published study's among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

# The fifteen networks of the published study (its README), as torchvision names them.
YANG2022: Final = tuple(
    "alexnet squeezenet1_0 shufflenet_v2_x1_0 vgg11 vgg13 vgg16 vgg19 mobilenet_v2 densenet121 "
    "densenet201 resnet18 resnet34 resnet50 resnet101 resnet152".split()
)
# They have no normalisation of batches (VGG is taken in its plain form) and diverge at 0.1. That
# of AlexNet is published with the code; those of SqueezeNet and VGG are PyTorch's usual ones.
_LOW_RATE: Final = ("alexnet", "squeezenet", "vgg")


@dataclass(frozen=True, slots=True)
class Recipe:
    """Stochastic gradient descent with steps.

    `rate` is that of a whole `batch` (over all devices); it is divided by 10 every `step` epochs,
    or follows half a cosine to 0 where `step` is 0. Training images are a random part of at
    least `smallest_crop` of the area, resized to `size` (sides 3:4 to 4:3), and mirrored half the
    time if `flip`. Tested are images whose shorter side is `resize`, cut to `size` at the centre.
    """

    epochs: int
    batch: int
    rate: float
    momentum: float = 0.9
    weight_decay: float = 1e-4
    step: int = 0
    size: int = 224
    resize: int = 256
    smallest_crop: float = 0.08
    flip: bool = True
    low_rate: float | None = None
    finetune_rate: float = 0.01

    def of(self, architecture: str, *, finetune: bool) -> Recipe:
        """Return the recipe with the rate that this architecture and this start want."""
        name = architecture.rpartition("/")[2]
        if finetune:
            return replace(self, rate=self.finetune_rate)
        if self.low_rate is not None and name.startswith(_LOW_RATE):
            return replace(self, rate=self.low_rate)
        return self


# yang2022: Yang et al., A Study of Face Obfuscation in ImageNet (ICML 2022), the released
# experiments/trainval.py: SGD with momentum 0.9, weight decay 1e-4, batches of 256, 90 epochs,
# the rate by ten every 30; RandomResizedCrop 224 and mirroring; Resize 256, CenterCrop 224.
# small: images of some 32 to 96 pixels, trained in minutes.
RECIPES: Final[Mapping[str, Recipe]] = {
    "yang2022": Recipe(epochs=90, batch=256, rate=0.1, step=30, low_rate=0.01),
    "small": Recipe(
        epochs=30, batch=64, rate=0.05, size=64, resize=64, smallest_crop=0.5, weight_decay=5e-4
    ),
}
