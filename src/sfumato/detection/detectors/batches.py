"""Several images in one run of a network: worth it on a graphics card, never on a processor.

Images whose scaled and padded sizes are the same share a run. What a network finds in one of
them depends on that one alone, up to the last bits of a sum.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Final, TypeVar

import numpy as np

from sfumato.detection.detectors.devices import CPU
from sfumato.detection.detectors.images import as_rgb
from sfumato.detection.detectors.session import Network, faces, find, scaled_size, session, tensor
from sfumato.types import Face, Pixels

Item = TypeVar("Item")

LARGEST: Final = 16  # images in one run: 16 of 640 x 640 are 79 MB of input


def alike(
    items: Sequence[Item], key: Callable[[Item], Hashable], *, largest: int = LARGEST
) -> Iterator[list[int]]:
    """Yield the indices of items with the same key together, at most `largest` at once."""
    groups: defaultdict[Hashable, list[int]] = defaultdict(list)
    for index, item in enumerate(items):
        groups[key(item)].append(index)
    for group in groups.values():
        for start in range(0, len(group), largest):
            yield group[start : start + largest]


def find_all(
    images: Sequence[Pixels], network: Network, *, long_side: int, threshold: float
) -> list[list[Face]]:
    """Find the faces of each image, as `session.find` does; in batches on a graphics card.

    On a processor, where a batch is no faster, images run one after another; so they do through a
    network that takes no batches, such as YuNet, which joins the cells of a batch into one image.
    """
    if network.device == CPU or not network.batch:
        return [find(image, network, long_side=long_side, threshold=threshold) for image in images]
    coloured = [as_rgb(image) for image in images]
    tensors = [tensor(one, long_side, order=network.order) for one in coloured]
    runtime = session(network.file, network.device)
    found: list[list[Face]] = [[] for _ in coloured]
    for group in alike(tensors, lambda one: one.shape):
        given = np.concatenate([tensors[index] for index in group])
        outputs = runtime.run(network.outputs, {runtime.get_inputs()[0].name: given})
        for place, index in enumerate(group):
            one = [output[place : place + 1] for output in outputs]
            boxes, scores = network.decode(one, (given.shape[2], given.shape[3]), threshold)
            height, width = coloured[index].shape[:2]
            size = scaled_size(width, height, long_side)
            back = np.array([width / size[0], height / size[1]] * 2, dtype=np.float32)
            found[index] = faces(boxes * back, scores, (width, height), network)
    return found
