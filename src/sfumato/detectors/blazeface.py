"""BlazeFace: MediaPipe's small detector, trained on Google's own pictures and not on WIDER FACE.

Bazarevsky, Kartynnik, Vakunov, Raveendran, Grundmann: "BlazeFace: Sub-millisecond Neural Face
Detection on Mobile GPUs", arXiv:1907.05047 (2019). The network for the back camera, made for
pictures of 256 x 256 with faces of a tenth of their width or more. It has no fully connected
layer, so it takes any size; a larger one makes smaller faces visible, and large ones are lost.
Weights under the Apache licence 2.0. How its numbers become boxes stands in the family.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from sfumato.detectors import devices
from sfumato.detectors.description import Description, Input
from sfumato.detectors.families.blazeface import BlazeFace as Family
from sfumato.detectors.network import Model, search
from sfumato.detectors.session import check, session
from sfumato.types import Face, Pixels
from sfumato.weights import WEIGHTS

FILE: Final = "blazeface-back-2020"
DESCRIPTION: Final = Description(
    origin=FILE,
    family=Family(range="back"),
    licence="Apache-2.0",
    # Scores of the grids of 16 and 32 pixels, then boxes.
    outputs=("Identity:0", "Identity_1:0", "Identity_2:0", "Identity_3:0"),
    input=Input(layout="NHWC", mean=(127.5, 127.5, 127.5), scale=(1 / 127.5,) * 3, batch=True),
)


@dataclass(frozen=True, slots=True)
class BlazeFace:
    """Find faces with BlazeFace; weaker than the others, and of other terms.

    `long_side` is the length in pixels to which the longer side of a picture is scaled, up or
    down; `threshold` the least score of a face, in (0, 1]. `ValueError` if they can't be used.
    `device` is where it runs, "cpu" or "cuda"; `UsageError` if that isn't there.
    """

    long_side: int = 512
    threshold: float = 0.5
    device: str = devices.CPU

    def __post_init__(self) -> None:
        check(self.long_side, self.threshold)
        devices.check(self.device)

    @property
    def name(self) -> str:
        """Return the versioned name that faces carry as their origin."""
        return DESCRIPTION.origin

    @property
    def spec(self) -> str:
        """Return the specification from which `sfumato.detectors.parse` makes this detector."""
        return f"blazeface@{self.long_side}:{self.threshold}{devices.suffix(self.device)}"

    @property
    def weights_sha256(self) -> str:
        """Return the SHA-256 in hex of the weights; a file of other bytes is refused."""
        return WEIGHTS[FILE].sha256

    def detect(self, images: Sequence[Pixels]) -> list[list[Face]]:
        """Find the faces of each upright picture, (h, w, 1, 3 or 4); best score first."""
        return search(
            _model(self.device),
            images,
            long_side=self.long_side,
            threshold=self.threshold,
            device=self.device,
        )


@functools.cache
def _model(device: str) -> Model:
    loaded = session(FILE, device)
    return Model(DESCRIPTION, loaded, loaded.get_inputs()[0].name, np.float32)
