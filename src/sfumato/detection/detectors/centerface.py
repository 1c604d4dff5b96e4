"""CenterFace, trained on WIDER FACE; weights under the MIT licence. Its paper: the family's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Final

from sfumato.detection.detectors.description import Description, Input
from sfumato.detection.detectors.families.centerface import CenterFace as Family
from sfumato.detection.detectors.network import shipped
from sfumato.detection.detectors.shipped import Windowed

DESCRIPTION: Final = Description(
    origin="centerface-2019",
    family=Family(),
    licence="MIT",
    outputs=("537", "538", "539"),  # heat, scale, offset; landmarks are not used
    input=Input(batch=True),
    file="centerface",
)

# The same network in 8 bits (`quantise_weights.py`): twice as fast, for the parts of a finder.
NETWORK_8BIT: Final = replace(
    shipped(DESCRIPTION), file="centerface-8bit", origin="centerface-2019-8bit", takes_bytes=True
)


@dataclass(frozen=True, slots=True)
class CenterFace(Windowed):
    """Find faces with CenterFace; the detector that confuses animals least."""

    called: ClassVar[str] = "centerface"
    network: ClassVar[Description] = DESCRIPTION
    long_side: int = 640
    threshold: float = 0.30
