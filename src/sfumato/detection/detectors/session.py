"""What every network here shares: the runtime, the way in and the way out.

In: the upright image is scaled so that its longer side has a fixed length, and padded with
zeros at the right and the bottom to a multiple of 32. Out: boxes are mapped back by the exact
ratios, cut to the image and freed of doubles. What a network's numbers mean stands in its
family; which network it is in its own module, as a `Network`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from PIL import Image

from sfumato.assets.weights import read
from sfumato.boxes import as_boxes, suppress
from sfumato.detection.detectors._enlarge import enlarge, neighbours
from sfumato.detection.detectors.devices import CPU, open_session
from sfumato.detection.detectors.images import as_rgb
from sfumato.types import Box, Boxes, Face, Pixels

if TYPE_CHECKING:
    from sfumato.detection.detectors._enlarge import Neighbours
    from sfumato.detection.detectors.description import Description

Tensor: TypeAlias = NDArray[np.float32]  # (1, channels, height, width), 0..255 going in
Scores: TypeAlias = NDArray[np.float32]  # (n,), 0..1
Window: TypeAlias = tuple[int, int, int, int]  # x0 y0 x1 y1 of a network's input, in pixels
# Outputs of the network, its padded (height, width) and the threshold give boxes in its pixels.
Decode: TypeAlias = Callable[[Sequence[Tensor], tuple[int, int], float], tuple[Boxes, Scores]]

CONTEXT = 32  # pixels of the scaled image seen around a rectangle, at least
PRICE_OF_A_RUN = 8  # a run of its own costs as much as this many cells of 32 by 32 pixels
STRIDE = 32  # both networks halve five times; another padding fails at their skip connections
SIDES = (32, 4096)  # beyond, an image has one cell, or a network takes gigabytes
BEST = 3000  # candidates that are left to the suppression
LARGE = 48_000_000  # bytes of pixels above which channels are scaled one by one


@dataclass(frozen=True, slots=True)
class Network:
    """A trained network: the file, its channel order, the outputs that are used, their meaning.

    `origin` is the versioned name its faces carry, `order` the channels of an RGB image in the
    order in which it takes them, `overlap` the IoU above which the weaker of two boxes goes,
    `device` where it runs. With `takes_bytes` it takes (1, height, width, 3) uint8 RGB and does
    the rest itself.
    """

    file: str
    origin: str
    order: tuple[int, int, int]
    outputs: tuple[str, ...]
    decode: Decode
    overlap: float
    device: str = CPU
    takes_bytes: bool = False


@functools.cache
def session(file: str, device: str = CPU) -> ort.InferenceSession:
    """Return this process's ONNX Runtime session for a weights file; loaded once.

    Raises `WeightsError` if the file is missing or not the expected bytes, `UsageError` if the
    device can't be used.
    """
    return open_session(read(file), device)


def check(long_side: int, threshold: float) -> None:
    """Raise `ValueError` unless a network can run with these settings."""
    low, high = SIDES
    if not low <= long_side <= high:
        raise ValueError(f"long_side must lie in [{low}, {high}] pixels, got {long_side}")
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"threshold must lie in (0, 1], got {threshold}")


def scaled_size(width: int, height: int, long_side: int) -> tuple[int, int]:
    """Return width and height with the longer one at `long_side`, and neither below 1."""
    factor = long_side / max(width, height)
    return max(1, round(width * factor)), max(1, round(height * factor))


def tensor(
    image: Pixels, long_side: int, *, order: tuple[int, int, int], window: Window | None = None
) -> Tensor:
    """Scale an RGB image and lay it out as a network wants it: (1, 3, height, width), 0..255.

    The image is enlarged bilinearly or shrunk by area; its longer side becomes `long_side`.
    Height and width of the tensor are multiples of 32, with zeros at the right and the bottom.
    With a `window` only that part of the tensor is made.
    """
    width, height = size = scaled_size(image.shape[1], image.shape[0], long_side)
    x0, y0, x1, y1 = window or (0, 0, _whole_strides(width), _whole_strides(height))
    filled = np.empty((1, 3, y1 - y0, x1 - x0), dtype=np.float32)
    part = (x0, y0, min(x1, width), min(y1, height))
    if width < image.shape[1] or height < image.shape[0]:
        rows, columns = part[3] - y0, part[2] - x0
        filled[:, :, rows:], filled[..., columns:] = 0, 0
        # Planes of one channel convert four times as fast as interleaved pixels.
        for plane, channel in zip(filled[0], _channels(image, size, part, order), strict=True):
            plane[:rows, :columns] = np.asarray(channel)
    else:
        across = _neighbours(image.shape[1], width, x0, x1)
        down = _neighbours(image.shape[0], height, y0, y1)
        enlarge(image, filled[0], across, down, order)
    return filled


def scaled_bytes(image: Pixels, long_side: int, window: Window) -> Pixels:
    """Scale an RGB image as `tensor` does, to whole grey levels: (1, height, width, 3) uint8.

    The whole image is scaled whatever the window, so that both show the same pixels.
    """
    width, height = size = scaled_size(image.shape[1], image.shape[0], long_side)
    shrinks = width < image.shape[1] or height < image.shape[0]
    how = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    x0, y0, x1, y1 = window
    filled = np.zeros((1, y1 - y0, x1 - x0, 3), dtype=np.uint8)
    inside = filled[0, : max(height - y0, 0), : max(width - x0, 0)]
    if image.nbytes > LARGE:
        for channel in range(3):
            plane = Image.fromarray(np.ascontiguousarray(image[..., channel])).resize(size, how)
            inside[..., channel] = np.asarray(plane)[y0:y1, x0:x1]
    else:
        inside[...] = np.asarray(Image.fromarray(image).resize(size, how))[y0:y1, x0:x1]
    return filled


@functools.lru_cache(maxsize=256)
def _neighbours(size: int, new_size: int, start: int, stop: int) -> Neighbours:
    at, weights = neighbours(size, new_size)
    return at[:, start:stop], weights[:, start:stop]


def _whole_strides(side: int) -> int:
    return -(-side // STRIDE) * STRIDE


def _channels(
    image: Pixels, size: tuple[int, int], part: Window, order: tuple[int, int, int]
) -> Iterable[Image.Image]:
    """Scale the image and give this part of its channels in this order, each as an image."""
    if image.nbytes > LARGE:  # Pillow takes 4 bytes a pixel for RGB: too much beside such an array
        planes = (Image.fromarray(np.ascontiguousarray(image[..., c])) for c in order)
        return (_scaled(plane, size, part) for plane in planes)
    channels = _scaled(Image.fromarray(image), size, part).split()
    return [channels[c] for c in order]


def _scaled(image: Image.Image, size: tuple[int, int], part: Window) -> Image.Image:
    """Shrink an image to `size` by area and return that part of it, without the rest."""
    width, height = image.size
    across, down = width / size[0], height / size[1]
    right, bottom = min(part[2] * across, width), min(part[3] * down, height)  # rounding
    return image.resize(
        (part[2] - part[0], part[3] - part[1]),
        Image.Resampling.BOX,
        box=(part[0] * across, part[1] * down, right, bottom),
    )


def find(
    image: Pixels,
    network: Network,
    *,
    long_side: int,
    threshold: float,
    near: Sequence[Box] | None = None,
) -> list[Face]:
    """Find the faces of one upright RGB image of any size; best score first.

    Boxes lie inside the image and are more than 1 px wide and high; scores are at least
    `threshold`. The image is not modified. The cost depends on the proportions of the
    image, hardly on its size. With `near`, the network sees these rectangles alone, at the
    scale of the whole image and with some context around them.

    Grey and transparent images are taken too (`as_rgb`); raises `ValueError` for other arrays.
    """
    image = as_rgb(image)
    width, height = image.shape[1], image.shape[0]
    size = scaled_size(width, height, long_side)
    whole = (0, 0, _whole_strides(size[0]), _whole_strides(size[1]))
    back = np.array([width / size[0], height / size[1]] * 2, dtype=np.float32)
    looks = [whole] if near is None else windows(as_boxes(near) / back, whole)
    parts = [_look(image, network, long_side, threshold, window) for window in looks]
    boxes = np.concatenate([part[0] for part in parts] or [as_boxes([])])
    scores = np.concatenate([part[1] for part in parts] or [np.zeros(0, dtype=np.float32)])
    return faces(boxes * back, scores, (width, height), network)


def _look(
    image: Pixels, network: Network, long_side: int, threshold: float, window: Window
) -> tuple[Boxes, Scores]:
    """Run the network on one window; return boxes in pixels of the whole scaled image."""
    given: Tensor | Pixels
    if network.takes_bytes:
        given = scaled_bytes(image, long_side, window)
    else:
        given = tensor(image, long_side, order=network.order, window=window)
    runtime = session(network.file, network.device)
    outputs = runtime.run(network.outputs, {runtime.get_inputs()[0].name: given})
    padded = (window[3] - window[1], window[2] - window[0])
    boxes, scores = network.decode(outputs, padded, threshold)
    return boxes + np.array(window[:2] * 2, dtype=np.float32), scores


def windows(rectangles: Boxes, whole: Window) -> list[Window]:
    """Return the parts of a network's input that show these rectangles with their context.

    Borders lie on the strides of the network, so that its cells fall where they do in the whole.
    Windows that would cost less as one are joined.
    """
    found: list[Window] = []
    for x0, y0, x1, y1 in rectangles.tolist():
        window = (
            max(math.floor((x0 - CONTEXT) / STRIDE) * STRIDE, whole[0]),
            max(math.floor((y0 - CONTEXT) / STRIDE) * STRIDE, whole[1]),
            min(math.ceil((x1 + CONTEXT) / STRIDE) * STRIDE, whole[2]),
            min(math.ceil((y1 + CONTEXT) / STRIDE) * STRIDE, whole[3]),
        )
        if window[2] <= window[0] or window[3] <= window[1]:
            continue
        for other in tuple(found):
            joined = _hull(window, other)
            if _cells(joined) <= _cells(window) + _cells(other) + PRICE_OF_A_RUN:
                found.remove(other)
                window = joined
        found.append(window)
    return found


def _hull(a: Window, b: Window) -> Window:
    return (min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]))


def _cells(window: Window) -> int:
    return (window[2] - window[0]) * (window[3] - window[1]) // STRIDE**2


def faces(
    boxes: Boxes, scores: Scores, size: tuple[int, int], network: Network | Description
) -> list[Face]:
    """Cut boxes to an image of (width, height), drop slivers, keep the best, suppress doubles."""
    boxes = np.clip(boxes, 0.0, np.array([*size, *size], dtype=np.float32))
    sides = boxes[:, 2:] - boxes[:, :2]
    solid = np.flatnonzero((sides > 1.0).all(axis=1))  # false for NaN too
    best = solid[np.argsort(-scores[solid], kind="stable")[:BEST]]
    kept = best[suppress(boxes[best], scores[best], network.overlap)]
    return [
        Face(box=tuple(box), score=score, origin=network.origin)
        for box, score in zip(
            boxes[kept].tolist(), np.clip(scores[kept], 0.0, 1.0).tolist(), strict=True
        )
    ]
