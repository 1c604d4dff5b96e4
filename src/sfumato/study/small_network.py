"""A small convolutional network of our own, for small images and for trying things out.

Four blocks of 3 by 3 convolution, batch normalisation, ReLU and halving, 32 to 128 channels; the
mean over places; one linear layer. 0.24 million parameters; needs nothing but torch.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import nn

_CHANNELS: Final = (32, 64, 128, 128)


class SmallNetwork(nn.Module):
    """Takes (n, 3, h, w), sides of 16 at least, and gives (n, classes) logits."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for channels in _CHANNELS:
            layers += [
                nn.Conv2d(before, channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(2),
            ]
            before = channels
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(before, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        maps: torch.Tensor = self.features(images)
        logits: torch.Tensor = self.head(maps.mean(dim=(2, 3)))
        return logits
