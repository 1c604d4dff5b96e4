"""CenterFace, trained on WIDER FACE; weights under the MIT licence. Its paper: the family's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from sfumato.detection.detectors.families.centerface import CenterFace as Family
from sfumato.detection.detectors.session import Network
from sfumato.detection.detectors.shipped import Windowed

NETWORK = Network(
    file="centerface",
    origin="centerface-2019",
    order=(0, 1, 2),  # RGB
    outputs=("537", "538", "539"),  # heat, scale, offset; landmarks are not used
    decode=Family().decode,
    overlap=Family().overlap,
    batch=True,
)

# The same network in 8 bits (`quantise_weights.py`): twice as fast, for the parts of a finder.
NETWORK_8BIT = replace(
    NETWORK, file="centerface-8bit", origin="centerface-2019-8bit", takes_bytes=True
)


@dataclass(frozen=True, slots=True)
class CenterFace(Windowed):
    """Find faces with CenterFace; the detector that confuses animals least."""

    called: ClassVar[str] = "centerface"
    network: ClassVar[Network] = NETWORK
    long_side: int = 640
    threshold: float = 0.30
