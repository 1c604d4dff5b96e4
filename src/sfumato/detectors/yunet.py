"""YuNet: a very small detector with grids of three cell sizes.

Wu, Peng, Yu: "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 20
(2023) 656-665, doi:10.1007/s11633-023-1423-y. Trained on WIDER FACE; weights under the MIT licence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sfumato.detectors import devices
from sfumato.detectors.session import Network, Scores, Tensor, check, find
from sfumato.types import Box, Boxes, Face, Pixels
from sfumato.weights import WEIGHTS

CELLS = (8, 16, 32)  # pixels between neighbouring cells of each grid


def decode(
    outputs: Sequence[Tensor], padded: tuple[int, int], threshold: float
) -> tuple[Boxes, Scores]:
    """Turn class, objectness (1, n, 1) and box (1, n, 4) of each grid into boxes and scores.

    The outputs are three classes, three objectnesses and three boxes, finest grid first; cells
    go row by row. The score is ``sqrt(class * objectness)``; with a cell of s pixels, the centre
    is ``s (cell + b[:2])`` and the sides are ``s exp(b[2:])``. Boxes are in pixels of the padded
    picture, neither cut nor freed of doubles.
    """
    grids = zip(CELLS, outputs[0:3], outputs[3:6], outputs[6:9], strict=True)
    found = [
        _decode_grid(cell, (c[0, :, 0], o[0, :, 0], b[0]), padded[1] // cell, threshold)
        for cell, c, o, b in grids
    ]
    return np.concatenate([b for b, _ in found]), np.concatenate([s for _, s in found])


def _decode_grid(
    cell: int, outputs: tuple[Tensor, Tensor, Tensor], columns: int, threshold: float
) -> tuple[Boxes, Scores]:
    classes, objects, shapes = outputs
    scores = np.sqrt(np.clip(classes, 0.0, 1.0) * np.clip(objects, 0.0, 1.0))
    index = np.flatnonzero(scores >= threshold)
    corner = np.stack((index % columns, index // columns), axis=1).astype(np.float32)
    centre = cell * (corner + shapes[index, :2])
    half = cell * np.exp(shapes[index, 2:]) / 2
    return np.concatenate((centre - half, centre + half), axis=1), scores[index]


NETWORK = Network(
    file="yunet-2023mar",
    origin="yunet-2023mar",
    order=(2, 1, 0),  # BGR
    outputs=tuple(f"{kind}_{cell}" for kind in ("cls", "obj", "bbox") for cell in CELLS),
    decode=decode,
    overlap=0.45,
)


@dataclass(frozen=True, slots=True)
class YuNet:
    """Find faces with YuNet: three times as fast as CenterFace at the same size.

    `long_side` is the length in pixels to which the longer side of a picture is scaled, up or
    down; `threshold` the least score of a face, in (0, 1]. `ValueError` if they can't be used.
    `device` is where it runs, "cpu" or "cuda"; `UsageError` if that isn't there.
    Trained for faces of about 10 to 300 px: above 960 large faces get lost.
    """

    long_side: int = 960
    threshold: float = 0.53
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
        return f"yunet@{self.long_side}:{self.threshold}{devices.suffix(self.device)}"

    @property
    def weights_sha256(self) -> str:
        """Return the SHA-256 in hex of the weights; a file of other bytes is refused."""
        return WEIGHTS[NETWORK.file].sha256

    def detect(self, images: Sequence[Pixels]) -> list[list[Face]]:
        """Find the faces of each upright RGB picture, (height, width, 3); best score first.

        Pictures run one after another: the network joins the cells of a batch into one picture.
        """
        return [
            find(image, self._network(), long_side=self.long_side, threshold=self.threshold)
            for image in images
        ]

    def _network(self) -> Network:
        return replace(NETWORK, device=self.device)

    def detect_near(self, image: Pixels, regions: Sequence[Box]) -> list[Face]:
        """Find the faces in and around some rectangles of a picture, at its whole's scale."""
        return find(
            image, self._network(), long_side=self.long_side, threshold=self.threshold, near=regions
        )
