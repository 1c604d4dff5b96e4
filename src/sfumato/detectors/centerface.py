"""CenterFace: an anchor-free detector that marks the centres of faces on one fine grid.

Xu, Yan, Yang, Luo, Wang: "CenterFace: Joint Face Detection and Alignment Using Face as Point",
arXiv:1911.03599 (2019). Trained on WIDER FACE; weights under the MIT licence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sfumato.detectors import devices
from sfumato.detectors.batches import find_all
from sfumato.detectors.session import Network, Scores, Tensor, check, find
from sfumato.types import Box, Boxes, Face, Pixels
from sfumato.weights import WEIGHTS

CELL = 4  # pixels between neighbouring cells of the grid


def decode(
    outputs: Sequence[Tensor], _padded: tuple[int, int], threshold: float
) -> tuple[Boxes, Scores]:
    """Turn heat (1, 1, h, w), scale and offset (1, 2, h, w; y before x) into boxes and scores.

    A cell is kept if its heat reaches the threshold. With cell (x, y), sides are
    ``4 exp(scale)`` and the centre is ``4 (cell + offset + 0.5)`` (section 3.2 of the paper).
    Boxes are in pixels of the padded picture, neither cut nor freed of doubles.
    """
    heat, scale, offset = (output[0] for output in outputs)
    rows, columns = np.nonzero(heat[0] >= threshold)
    heights, widths = CELL * np.exp(scale[:, rows, columns])
    down, right = CELL * (offset[:, rows, columns] + np.float32(0.5))
    x, y = CELL * columns + right, CELL * rows + down
    half_width, half_height = widths / 2, heights / 2
    sides = (x - half_width, y - half_height, x + half_width, y + half_height)
    return np.stack(sides, axis=1).astype(np.float32), heat[0, rows, columns]


NETWORK = Network(
    file="centerface",
    origin="centerface-2019",
    order=(0, 1, 2),  # RGB
    outputs=("537", "538", "539"),  # heat, scale, offset; landmarks are not used
    decode=decode,
    overlap=0.30,
)

# The same network in 8 bits (`quantise_weights.py`): twice as fast, for the parts of a finder.
NETWORK_8BIT = replace(
    NETWORK, file="centerface-8bit", origin="centerface-2019-8bit", takes_bytes=True
)


@dataclass(frozen=True, slots=True)
class CenterFace:
    """Find faces with CenterFace; the detector that confuses animals least.

    `long_side` is the length in pixels to which the longer side of a picture is scaled, up or
    down; `threshold` the least score of a face, in (0, 1]. `ValueError` if they can't be used.
    `device` is where it runs, "cpu" or "cuda"; `UsageError` if that isn't there.
    """

    long_side: int = 640
    threshold: float = 0.30
    device: str = devices.CPU

    def __post_init__(self) -> None:
        check(self.long_side, self.threshold)
        devices.check(self.device)

    @property
    def name(self) -> str:
        """Return the versioned name that faces carry as their origin."""
        return NETWORK.origin

    @property
    def spec(self) -> str:
        """Return the specification from which `sfumato.detectors.parse` makes this detector."""
        return f"centerface@{self.long_side}:{self.threshold}{devices.suffix(self.device)}"

    @property
    def weights_sha256(self) -> str:
        """Return the SHA-256 in hex of the weights; a file of other bytes is refused."""
        return WEIGHTS[NETWORK.file].sha256

    def detect(self, images: Sequence[Pixels]) -> list[list[Face]]:
        """Find the faces of each upright RGB picture, (height, width, 3); best score first.

        On a processor they run one after another, where a batch is no faster.
        """
        return find_all(images, self._network(), long_side=self.long_side, threshold=self.threshold)

    def _network(self) -> Network:
        return replace(NETWORK, device=self.device)

    def detect_near(self, image: Pixels, regions: Sequence[Box]) -> list[Face]:
        """Find the faces in and around some rectangles of a picture, at its whole's scale."""
        return find(
            image, self._network(), long_side=self.long_side, threshold=self.threshold, near=regions
        )
