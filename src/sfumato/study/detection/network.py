"""Faster R-CNN on the maps of a classifier, by torchvision; needs its compiled operators.

Ren et al. 2015 (Faster R-CNN), with the feature pyramid of Lin et al. 2017. Any convolutional
classifier serves: where its maps have a quarter to a 32nd of the image's sides is found by
watching it look at an image.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import torch
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from sfumato.errors import UsageError
from sfumato.study.networks import Network

_STRIDES: Final = (4, 8, 16, 32)
_WATCHED: Final = 256  # sides of the image that is watched: strides divide it
_WIDTH: Final = 256  # channels of the pyramid
_ANCHOR: Final = 8  # sides of a map's anchors, in places of the map
# Their maps have a fixed number of places, or lack some at random.
_NO_MAPS: Final = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Dropout, nn.Dropout2d)
_RATIOS: Final = (0.5, 1.0, 2.0)


@dataclass(slots=True)
class _Call:
    """A module that was called, what it gave, and the calls inside it, in their order."""

    module: nn.Module
    stride: int = 0  # of a map with as many rows as columns; 0: no map
    channels: int = 0
    tokens: bool = False  # it gave the places in a row, or behind the channels
    inside: list[_Call] = field(default_factory=list)


class Backbone(nn.Module):
    """A classifier's last maps at each stride, and a pyramid of 256 channels over them.

    Takes (n, 3, h, w) and gives a map for each level, the coarsest twice as coarse as the
    network's. With `frozen`, batches are normalised as the weights' training left it, since a
    batch of images for detection is small; without, as in training.
    """

    def __init__(self, network: Network, name: str, *, frozen: bool) -> None:
        super().__init__()
        self.body = network.module
        self.out_channels = _WIDTH
        self._frozen = frozen
        self._maps: dict[int, Any] = {}
        found = _last_maps(network, name)
        self.strides = tuple(found)
        for stride, call in found.items():
            call.module.register_forward_hook(self._keep(stride))
        self.pyramid = FeaturePyramidNetwork(
            [call.channels for call in found.values()], _WIDTH, extra_blocks=LastLevelMaxPool()
        )
        if frozen:
            for module in self._normalisations():
                for parameter in module.parameters(recurse=False):
                    parameter.requires_grad_(False)

    def forward(self, images: torch.Tensor) -> OrderedDict[str, torch.Tensor]:
        """Return the pyramid's maps by level."""
        self._maps.clear()
        self.body(images)
        maps = OrderedDict((str(stride), self._maps[stride]) for stride in self.strides)
        found: OrderedDict[str, torch.Tensor] = self.pyramid(maps)
        self._maps.clear()
        return found

    def train(self, mode: bool = True) -> Backbone:  # noqa: FBT001, FBT002 (torch's signature)
        """Switch to training, but for frozen normalisations."""
        super().train(mode)
        if self._frozen:
            for module in self._normalisations():
                module.eval()
        return self

    def _normalisations(self) -> list[nn.Module]:
        kind = nn.modules.batchnorm._BatchNorm  # noqa: SLF001 (its base)
        return [module for module in self.body.modules() if isinstance(module, kind)]

    def _keep(self, stride: int) -> Any:
        def keep(_: Any, __: Any, result: Any) -> None:
            self._maps[stride] = result

        return keep


def build(network: Network, name: str, classes: int, *, size: int, frozen: bool) -> FasterRCNN:
    """Return a detector of so many classes; images' shorter sides become `size`.

    Its new layers are drawn by torch's generator.

    Raises:
        UsageError: the network gives no maps.
    """
    backbone = Backbone(network, name, frozen=frozen)
    strides = [*backbone.strides, 2 * backbone.strides[-1]]
    anchors = AnchorGenerator(
        tuple((_ANCHOR * stride,) for stride in strides), (_RATIOS,) * len(strides)
    )
    return FasterRCNN(
        backbone,
        num_classes=classes + 1,  # the first is the background
        min_size=size,
        max_size=size * 5 // 3,
        image_mean=list(network.preparation.mean),
        image_std=list(network.preparation.deviation),
        rpn_anchor_generator=anchors,
        box_roi_pool=MultiScaleRoIAlign([str(stride) for stride in backbone.strides], 7, 2),
    )


def _last_maps(network: Network, name: str) -> dict[int, _Call]:
    """Return for each stride the last part of the network whose map has it.

    A part that divides the sides by two at most is taken whole: within it, the first layers of
    what comes next may still have the finer map.
    """
    parts: list[_Call] = []
    _parts(_watched(network), network.head, parts)
    found = {call.stride: call for call in parts if call.stride in _STRIDES}
    strides = [stride for stride in _STRIDES if stride in found]
    # Behind its last map a transformer goes on with tokens: the map is all but its input.
    ends_in_maps = bool(parts) and not parts[-1].tokens and {4, 16} <= found.keys()
    if not ends_in_maps or any(later != 2 * one for one, later in pairwise(strides)):
        raise UsageError(
            f"{name} doesn't halve its maps from a quarter to a 16th or 32nd of an image's "
            "sides up to its last layer, so no detector can be built on it: take it out of the "
            "study, or [[detection]]."
        )
    return {stride: found[stride] for stride in strides}


def _watched(network: Network) -> _Call:
    """Return the calls while the network looks at an image."""
    root = _Call(network.module)
    open_ = [root]

    def begin(module: nn.Module, _: Any) -> None:
        open_.append(_Call(module))

    def end(_: nn.Module, __: Any, result: Any) -> None:
        call = open_.pop()
        call.stride, call.channels = _stride(result)
        call.tokens = _are_tokens(result)
        open_[-1].inside.append(call)

    hooks: list[Any] = []
    for module in network.module.modules():
        if module is not network.module:
            hooks.append(module.register_forward_pre_hook(begin))
            hooks.append(module.register_forward_hook(end))
    try:
        with torch.inference_mode():
            network.module.eval()(torch.zeros(1, 3, _WATCHED, _WATCHED))
    except (RuntimeError, AssertionError):
        root.inside.clear()  # it takes images of one size alone
    finally:
        for hook in hooks:
            hook.remove()
    return root


def _stride(result: Any) -> tuple[int, int]:
    if not isinstance(result, torch.Tensor) or result.ndim != 4:
        return 0, 0
    _, channels, rows, columns = result.shape
    if rows != columns or rows < 2:
        return 0, 0
    return 2 ** round(torch.log2(torch.tensor(_WATCHED / rows)).item()), channels


def _are_tokens(result: Any) -> bool:
    if not isinstance(result, torch.Tensor) or result.ndim not in (3, 4):
        return False
    _, first, *_, last = result.shape
    return first > 1 and last > 1 and (result.ndim == 3 or result.shape[2] != last)


def _parts(call: _Call, head: nn.Module, found: list[_Call]) -> bool:
    """Add the parts of a call that are taken whole, in their order; tell if the head was met.

    What gave tokens is added too, behind its own parts.
    """
    for one in call.inside:
        if one.module is head:
            return True
        before = next((part.stride for part in reversed(found) if part.stride), 1)
        if one.stride and (one.stride <= 2 * before or not one.inside):
            if not isinstance(one.module, _NO_MAPS):
                found.append(one)
        elif _parts(one, head, found):
            return True
        elif one.tokens:
            found.append(one)
    return False
