"""BlazeFace: MediaPipe's small detector, trained on Google's own images and not on WIDER FACE.

The network for the back camera, made for images of 256 x 256 with faces of a tenth of their width
or more. It has no fully connected layer, so it takes any size; a larger one makes smaller faces
visible, and large ones are lost. Weights under the Apache licence 2.0. Its paper: the family's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from sfumato.detection.detectors.description import Description, Input
from sfumato.detection.detectors.families.blazeface import BlazeFace as Family
from sfumato.detection.detectors.shipped import Shipped

DESCRIPTION: Final = Description(
    origin="blazeface-back-2020",
    family=Family(range="back"),
    licence="Apache-2.0",
    # Scores of the grids of 16 and 32 pixels, then boxes.
    outputs=("Identity:0", "Identity_1:0", "Identity_2:0", "Identity_3:0"),
    input=Input(layout="NHWC", mean=(127.5, 127.5, 127.5), scale=(1 / 127.5,) * 3, batch=True),
    file="blazeface-back-2020",
)


@dataclass(frozen=True, slots=True)
class BlazeFace(Shipped):
    """Find faces with BlazeFace; weaker than the others, and of other terms."""

    called: ClassVar[str] = "blazeface"
    network: ClassVar[Description] = DESCRIPTION
    long_side: int = 512
    threshold: float = 0.5
