"""The second look: what the networks say of a proposal when they see it enlarged.

A face that is small, dark or oddly placed gets a low score from the whole picture. A crop in
which it has the size the networks were trained for tells it from a wheel or a dog much better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfumato.boxes import iou
from sfumato.detectors import centerface, yunet
from sfumato.detectors.crop import Crop, View, crop, stretched
from sfumato.detectors.session import Network, Tensor, session
from sfumato.types import Boxes, Pixels

AT_ONCE = 16  # crops of one run; more take memory and no less time
FLOOR = 0.02  # scores below count as nothing
SAME = 0.3  # IoU with the proposal from which a box in the crop speaks of it


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


def scores(image: Pixels, boxes: Boxes, looks: Sequence[Look]) -> NDArray[np.float32]:
    """Look at each box (n, 4) in each way; return (n, looks) scores in [0, 1].

    A score is that of the best box that the network finds on the proposal, 0 if there is none.
    Each proposal has its own crop, so that none affects another.
    """
    found = np.zeros((len(boxes), len(looks)), dtype=np.float32)
    crops: dict[View, list[Crop]] = {}
    for column, look in enumerate(looks):
        if look.view not in crops:
            crops[look.view] = [crop(image, tuple(box), look.view) for box in boxes.tolist()]
        for row, (part, seen) in enumerate(_seen(crops[look.view], look)):
            found[row, column] = _best(part, seen, boxes[row])
    return found


def _seen(
    crops: Sequence[Crop], look: Look
) -> list[tuple[Crop, tuple[Boxes, NDArray[np.float32]]]]:
    """Run the network of a look over crops of one size."""
    pixels = [stretched(one.pixels) if look.stretch else one.pixels for one in crops]
    answers: list[list[Tensor]] = []
    step = AT_ONCE if look.network.takes_bytes else 1
    for first in range(0, len(pixels), step):
        batch = np.stack(pixels[first : first + step])
        outputs = _run(look.network, batch)
        answers += [[output[i : i + 1] for output in outputs] for i in range(len(batch))]
    size = (look.view.side, look.view.side)
    return [
        (one, look.network.decode(answer, size, FLOOR))
        for one, answer in zip(crops, answers, strict=True)
    ]


def _run(network: Network, batch: Pixels) -> Sequence[Tensor]:
    given: Pixels | Tensor = batch
    if not network.takes_bytes:
        planes = batch[..., list(network.order)].transpose(0, 3, 1, 2)
        given = np.ascontiguousarray(planes, dtype=np.float32)
    runtime = session(network.file)
    outputs: Sequence[Tensor] = runtime.run(network.outputs, {runtime.get_inputs()[0].name: given})
    return outputs


def _best(part: Crop, seen: tuple[Boxes, NDArray[np.float32]], proposed: Boxes) -> float:
    boxes, said = seen
    overlap = iou(part.outward(boxes), proposed[None])[:, 0]
    return float(said[overlap >= SAME].max(initial=0.0).clip(0.0, 1.0))
