"""How the numbers of face detectors become boxes: one module for each family of networks.

A family is a frozen dataclass whose fields are the keys of the table [decode] in a description
(`detectors.description`). Its `roles` name the outputs that it needs, in the order in
which `decode` takes them; these are the keys of the table [outputs]. Decoding takes one image
at a time, and gives boxes in pixels of the padded network image, neither cut nor freed of
doubles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from sfumato.detection.detectors.families.blazeface import BlazeFace
from sfumato.detection.detectors.families.centerface import CenterFace
from sfumato.detection.detectors.families.retinaface import RetinaFace
from sfumato.detection.detectors.families.scrfd import Scrfd
from sfumato.detection.detectors.families.yoloface import YoloFace
from sfumato.detection.detectors.families.yunet import YuNet
from sfumato.detection.detectors.session import Scores, Tensor
from sfumato.types import Boxes

__all__ = ["FAMILIES", "Family"]


class Family(Protocol):
    """A way of decoding, with its settings."""

    @property
    def overlap(self) -> float:
        """Return the IoU above which the weaker of two boxes goes."""
        ...

    @property
    def multiple(self) -> int:
        """Return the number of pixels of which both sides of the network image are a multiple."""
        ...

    @property
    def roles(self) -> tuple[str, ...]:
        """Return what the outputs are, in the order in which `decode` takes them."""
        ...

    def decode(
        self, outputs: Sequence[Tensor], padded: tuple[int, int], threshold: float
    ) -> tuple[Boxes, Scores]:
        """Turn the outputs for one image of padded (height, width) into boxes and scores.

        Raises `ValueError` if an output has another shape than the family gives.
        """
        ...


FAMILIES: Mapping[str, type[Family]] = MappingProxyType(
    {
        "blazeface": BlazeFace,
        "centerface": CenterFace,
        "retinaface": RetinaFace,
        "scrfd": Scrfd,
        "yolo-face": YoloFace,
        "yunet": YuNet,
    }
)
