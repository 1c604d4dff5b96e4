"""A detector that is one network of the package: what those three share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from sfumato.assets.weights import WEIGHTS
from sfumato.detection.detectors import devices
from sfumato.detection.detectors.description import Description
from sfumato.detection.detectors.network import loaded, search, shipped
from sfumato.detection.detectors.session import check, find
from sfumato.types import Box, Face, Pixels


@dataclass(frozen=True, slots=True)
class Shipped:
    """Find faces with the network of its class; `called` is the detector's name in a specification.

    `long_side` is the length in pixels to which the longer side of an image is scaled, up or
    down; `threshold` the least score of a face, in (0, 1]. `ValueError` if they can't be used.
    `device` is where it runs, "cpu" or "cuda"; `UsageError` if that isn't there.
    """

    called: ClassVar[str]
    network: ClassVar[Description]
    long_side: int
    threshold: float
    device: str = devices.CPU

    def __post_init__(self) -> None:
        check(self.long_side, self.threshold)
        devices.check(self.device)

    @property
    def name(self) -> str:
        """Return the versioned name that faces carry as their origin."""
        return self.network.origin

    @property
    def spec(self) -> str:
        """Return the specification from which `registry.parse` makes this detector."""
        return f"{self.called}@{self.long_side}:{self.threshold}{devices.suffix(self.device)}"

    @property
    def weights_sha256(self) -> str:
        """Return the SHA-256 in hex of the weights; a file of other bytes is refused."""
        return WEIGHTS[self.network.file].sha256

    def detect(self, images: Sequence[Pixels]) -> list[list[Face]]:
        """Find the faces of each upright image, (h, w, 1, 3 or 4); best score first."""
        model, side = loaded(self.network, self.device), self.long_side
        return search(model, images, long_side=side, threshold=self.threshold, device=self.device)


@dataclass(frozen=True, slots=True)
class Windowed(Shipped):
    """A detector that can look at parts of an image alone."""

    def detect_near(self, image: Pixels, regions: Sequence[Box]) -> list[Face]:
        """Find the faces in and around some rectangles of an image, at its whole's scale."""
        network = replace(shipped(self.network), device=self.device)
        return find(
            image, network, long_side=self.long_side, threshold=self.threshold, near=regions
        )
