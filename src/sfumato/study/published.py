"""The published study's table of models, to be set beside one's own.

Yang, Yau, Fei-Fei, Deng and Russakovsky, "A Study of Face Obfuscation in ImageNet" (ICML 2022);
the numbers are those of the README of github.com/princetonvisualai/imagenet-face-obfuscation:
ImageNet's 50,000 validation images, three seeds a model and arm, trained and tested on the same
arm, percent. Its standard errors were computed with the wrong number of degrees of freedom
(`scipy.stats.sem(…, ddof=2)` of three seeds) and are too large by a factor of √2; the averages had
no test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sfumato.study.analysis.estimates import Estimate, over_models

ARMS: Final = ("blurred", "overlaid")


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """A model's accuracies in percent: on originals, and what blurring and overlaying cost."""

    name: str
    top1: float
    top1_costs: tuple[float, float]
    top5: float
    top5_costs: tuple[float, float]


MODELS: Final = (
    PublishedModel("alexnet", 56.043, (0.209, 0.569), 78.835, (0.288, 0.663)),
    PublishedModel("squeezenet1_0", 55.989, (0.666, 0.950), 78.602, (0.541, 0.969)),
    PublishedModel("shufflenet_v2_x1_0", 64.646, (0.645, 0.962), 85.927, (0.470, 0.761)),
    PublishedModel("vgg11", 68.905, (0.695, 1.071), 88.682, (0.399, 0.802)),
    PublishedModel("vgg13", 69.925, (0.653, 1.175), 89.324, (0.396, 0.788)),
    PublishedModel("vgg16", 71.657, (0.818, 1.089), 90.456, (0.559, 0.883)),
    PublishedModel("vgg19", 72.363, (0.826, 1.158), 90.866, (0.577, 0.762)),
    PublishedModel("mobilenet_v2", 65.378, (1.011, 1.043), 86.651, (0.682, 0.922)),
    PublishedModel("densenet121", 75.036, (0.792, 0.974), 92.375, (0.417, 0.675)),
    PublishedModel("densenet201", 76.984, (0.433, 0.928), 93.480, (0.257, 0.612)),
    PublishedModel("resnet18", 69.767, (0.755, 0.829), 89.223, (0.485, 0.557)),
    PublishedModel("resnet34", 73.083, (0.776, 0.714), 91.289, (0.534, 0.589)),
    PublishedModel("resnet50", 75.461, (0.458, 0.545), 92.487, (0.127, 0.333)),
    PublishedModel("resnet101", 77.254, (0.519, 0.577), 93.591, (0.281, 0.476)),
    PublishedModel("resnet152", 77.853, (0.573, 0.875), 93.933, (0.260, 0.592)),
)


@dataclass(frozen=True, slots=True)
class Average:
    """The mean of all models on originals, and each arm's mean and change (percent, points)."""

    original: float
    means: tuple[float, float]
    changes: tuple[Estimate, Estimate]


def averages(measure: str) -> Average:
    """Return the averages of "top1" or "top5", with the models as a sample (paired t-test)."""
    levels = [getattr(model, measure) for model in MODELS]
    costs = [getattr(model, f"{measure}_costs") for model in MODELS]
    original = sum(levels) / len(levels)
    changes = tuple(over_models([-cost[arm] for cost in costs]) for arm in range(len(ARMS)))
    blurred, overlaid = changes
    return Average(
        original, (original + blurred.value, original + overlaid.value), (blurred, overlaid)
    )
