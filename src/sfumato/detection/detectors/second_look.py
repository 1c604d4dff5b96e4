"""The second look: what the networks say of a proposal when they see it enlarged.

A face that is small, dark or oddly placed gets a low score from the whole image. A crop in
which it has the size the networks were trained for tells it from a wheel or a dog much better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfumato.boxes import iou
from sfumato.detection.detectors import centerface, yunet
from sfumato.detection.detectors.crop import Crop, View, crop, stretched
from sfumato.detection.detectors.session import Network, Tensor, session
from sfumato.types import Boxes, Pixels

AT_ONCE = 16  # crops of one run; more take memory and no less time
FLOOR = 0.02  # scores below count as nothing
SAME = 0.3  # IoU with the proposal from which a box in the crop speaks of it
DRAWS = (0.3, 0.5)  # score and IoU from which it also draws the face anew


@dataclass(frozen=True, slots=True)
class Look:
    """One way of looking again: a network, a view of the proposal, its contrast stretched or not.

    YuNet sees one crop a run; CenterFace in 8 bits sees up to `AT_ONCE`.
    """

    network: Network
    view: View
    stretch: bool = False


NEAR = Look(centerface.NETWORK_8BIT, View(side=128, face=40))
STRETCHED = Look(centerface.NETWORK_8BIT, View(side=128, face=40), stretch=True)
CLOSE = Look(centerface.NETWORK_8BIT, View(side=128, face=64))
WIDE = Look(centerface.NETWORK_8BIT, View(side=192, face=32))
NEAR_BY_YUNET = Look(yunet.NETWORK, View(side=128, face=40))


@dataclass(frozen=True, slots=True)
class Seen:
    """What the looks saw of n proposals: scores (n, looks) in [0, 1], and boxes (n, 4).

    A score is that of the best box that a network finds on the proposal, 0 if there is none. A
    box is the proposal with what the looks saw of the same face beyond it: boxes are joined,
    never averaged.
    """

    scores: NDArray[np.float32]
    boxes: Boxes


def look_at(image: Pixels, boxes: Boxes, looks: Sequence[Look]) -> Seen:
    """Look at each box (n, 4) in each way; each has its own crop, so that none affects another."""
    found = np.zeros((len(boxes), len(looks)), dtype=np.float32)
    drawn = boxes.copy()
    crops: dict[View, list[Crop]] = {}
    for column, look in enumerate(looks):
        if look.view not in crops:
            crops[look.view] = [crop(image, tuple(box), look.view) for box in boxes.tolist()]
        for row, (there, scores) in enumerate(_answers(crops[look.view], look)):
            overlap = iou(there, boxes[row : row + 1])[:, 0]
            said = np.where(overlap >= SAME, scores, np.float32(0))
            if not len(said):
                continue
            best = int(said.argmax())
            found[row, column] = min(float(said[best]), 1.0)
            if said[best] >= DRAWS[0] and overlap[best] >= DRAWS[1]:
                drawn[row, :2] = np.minimum(drawn[row, :2], there[best, :2])
                drawn[row, 2:] = np.maximum(drawn[row, 2:], there[best, 2:])
    width, height = image.shape[1], image.shape[0]
    return Seen(found, drawn.clip(0, np.array([width, height] * 2, dtype=np.float32)))


def _answers(crops: Sequence[Crop], look: Look) -> list[tuple[Boxes, NDArray[np.float32]]]:
    """Return what the network sees in each crop, in pixels of the image, and the scores."""
    pixels = [stretched(one.pixels) if look.stretch else one.pixels for one in crops]
    answers: list[list[Tensor]] = []
    step = AT_ONCE if look.network.takes_bytes else 1
    for first in range(0, len(pixels), step):
        batch = np.stack(pixels[first : first + step])
        outputs = _run(look.network, batch)
        answers += [[output[i : i + 1] for output in outputs] for i in range(len(batch))]
    size = (look.view.side, look.view.side)
    decoded = [look.network.decode(answer, size, FLOOR) for answer in answers]
    return [(one.outward(b), said) for one, (b, said) in zip(crops, decoded, strict=True)]


def _run(network: Network, batch: Pixels) -> Sequence[Tensor]:
    given: Pixels | Tensor = batch
    if not network.takes_bytes:
        planes = batch[..., list(network.order)].transpose(0, 3, 1, 2)
        given = np.ascontiguousarray(planes, dtype=np.float32)
    runtime = session(network.file, network.device)
    outputs: Sequence[Tensor] = runtime.run(network.outputs, {runtime.get_inputs()[0].name: given})
    return outputs
