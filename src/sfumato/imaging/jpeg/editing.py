"""Obfuscate boxes in the blocks they touch, and nowhere else.

Each component is edited in its own plane, at its own resolution: the blocks inside the reach of
a box are dequantised and transformed to samples, the obfuscator is called on them, and those
blocks in which a sample changed are transformed back and quantised with the file's own steps.
Nothing is converted to RGB and no plane is resampled, so everything else stays as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sfumato.boxes import clip
from sfumato.imaging.jpeg._dct import (
    BLOCK_OF_COEFFICIENTS,
    BOTTOM_OPEN,
    LEFT_OPEN,
    RIGHT_OPEN,
    TOP_OPEN,
    forward,
    inverse,
)
from sfumato.imaging.jpeg.header import Frame, Numbers
from sfumato.imaging.jpeg.image import Coefficients, JpegImage
from sfumato.types import Box, Obfuscator, Pixels

_Window: TypeAlias = tuple[int, int, int, int]  # in blocks: first row, column; row, column behind


@dataclass(frozen=True, slots=True)
class _Grid:
    """How boxes of the image map to a component's samples.

    `repeat_x` and `repeat_y` repeat samples where a plane is subsampled in one direction more
    than in the other (4:2:2, 4:4:0, 4:1:1), so that a face keeps its shape: an obfuscator takes
    its strength from the longer side.
    """

    scale_x: float
    scale_y: float
    repeat_x: int
    repeat_y: int

    @classmethod
    def of(cls, frame: Frame, index: int) -> _Grid:
        """Return the grid of a component."""
        component, (h, v) = frame.components[index], frame.most
        across, down = component.h * v, component.v * h  # resolutions, times h v
        wide, high = max(across, down) // across, max(across, down) // down
        if wide * across != high * down:  # no whole ratio, such as 3 to 2: shapes change a little
            wide = high = 1
        return cls(component.h / h * wide, component.v / v * high, wide, high)

    def scaled(self, box: Box) -> Box:
        """Map a box of the image."""
        x0, y0, x1, y1 = box
        return (x0 * self.scale_x, y0 * self.scale_y, x1 * self.scale_x, y1 * self.scale_y)

    def window(self, reach: Box, rows: int, columns: int) -> _Window:
        """Return the blocks that a reach covers, at most these rows and columns."""
        across, down = 8 * self.repeat_x, 8 * self.repeat_y
        return (
            int(min(max(reach[1] // down, 0), rows)),
            int(min(max(reach[0] // across, 0), columns)),
            int(min(max(-(-reach[3] // down), 0), rows)),
            int(min(max(-(-reach[2] // across), 0), columns)),
        )


def edited(
    image: JpegImage, boxes: Sequence[Box], obfuscators: Sequence[Obfuscator]
) -> tuple[Coefficients, NDArray[np.bool_]]:
    """Return the coefficients with the boxes obfuscated, and for each block if it was touched.

    Args:
        image: as read; not changed.
        boxes: in the stored frame; those wholly outside the image are ignored.
        obfuscators: one for each component.
    """
    frame = image.header.frame
    coefficients = image.coefficients.copy()
    touched = np.zeros(frame.block_count, dtype=np.bool_)
    boxes = [box for box in boxes if clip(box, frame.width, frame.height)]
    interleaved = any(len(scan.components) > 1 for scan in image.header.scans)
    for indices in _alike(frame, obfuscators) if boxes else ():
        masks = _edit_planes(image, indices, boxes, obfuscators[indices[0]], coefficients)
        for index, mask in zip(indices, masks, strict=True):
            numbers = frame.numbers(index)
            touched[numbers[: mask.shape[0], : mask.shape[1]][mask > 0]] = True
            if interleaved and numbers.shape != mask.shape:  # padding is in the file
                touched[_flatten_padding(numbers, mask, coefficients)] = True
    return coefficients, touched


def reachable(
    frame: Frame, index: int, boxes: Sequence[Box], obfuscator: Obfuscator
) -> NDArray[np.bool_]:
    """Return which blocks of a component an edit of these boxes may touch: (rows, columns)."""
    rows, columns = frame.blocks(index)
    grid = _Grid.of(frame, index)
    mask = np.zeros((rows, columns), dtype=np.bool_)
    for reach in obfuscator.reaches([grid.scaled(box) for box in boxes]):
        top, left, bottom, right = grid.window(reach, rows, columns)
        mask[top:bottom, left:right] = True
    return mask


def _alike(frame: Frame, obfuscators: Sequence[Obfuscator]) -> list[list[int]]:
    """Group the components that share resolution and obfuscator: they are edited in one go."""
    groups: dict[tuple[int, int, int], list[int]] = {}
    for index, component in enumerate(frame.components):
        key = (component.h, component.v, id(obfuscators[index]))
        groups.setdefault(key, []).append(index)
    return list(groups.values())


def _edit_planes(
    image: JpegImage,
    indices: Sequence[int],
    boxes: Sequence[Box],
    obfuscator: Obfuscator,
    coefficients: Coefficients,
) -> list[NDArray[np.uint8]]:
    """Obfuscate the boxes in components of one resolution; return masks of touched blocks."""
    frame = image.header.frame
    grid = _Grid.of(frame, indices[0])
    rows, columns = frame.blocks(indices[0])
    height, width = frame.samples(indices[0])
    masks = [np.zeros((rows, columns), dtype=np.uint8) for _ in indices]
    steps = [np.asarray(image.header.quantisation[i], dtype=np.float32) for i in indices]
    scaled = [grid.scaled(box) for box in boxes]
    blocks = coefficients.view(BLOCK_OF_COEFFICIENTS)[:, 0]
    for window, inside in _windows(grid, scaled, obfuscator, rows, columns):
        top, left, bottom, right = window
        numbers = [frame.numbers(i)[top:bottom, left:right] for i in indices]
        shape = (min(height, 8 * bottom) - 8 * top, min(width, 8 * right) - 8 * left)
        before: Pixels = np.empty((*shape, len(indices)), dtype=np.uint8)
        for i in range(len(indices)):
            inverse(blocks, numbers[i], steps[i], before[:, :, i])
        after = _obfuscated(before, grid, inside, obfuscator)
        goes_on = _open_sides(window, rows, columns)
        for i, index in enumerate(indices):
            mask = masks[i][top:bottom, left:right]
            coarser, largest = _stored(image.precision[index])
            planes, units = (before[:, :, i], after[:, :, i]), (steps[i], steps[i] * coarser)
            forward(*planes, numbers[i], *units, largest, blocks, mask, goes_on)
            if (coarser > 1).any():
                coefficients[numbers[i][mask > 0]] *= coarser.astype(np.int16)
    return masks


def _open_sides(window: _Window, rows: int, columns: int) -> int:
    """Return on which sides of a window the image goes on, with blocks that stay."""
    top, left, bottom, right = window
    return (
        TOP_OPEN * (top > 0)
        + LEFT_OPEN * (left > 0)
        + BOTTOM_OPEN * (bottom < rows)
        + RIGHT_OPEN * (right < columns)
    )


def _stored(precision: NDArray[np.int8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the unit in which a file stores each coefficient, and the largest number of units.

    The unit is 1, or a power of 2 where a progressive file leaves out low bits. 1023 is what
    the categories of T.81 can hold; a coefficient that no scan gives stays 0.
    """
    shift = np.maximum(precision, 0).astype(np.int32)
    largest = np.where(precision < 0, 0, 1023 >> shift)
    return (1 << shift).astype(np.float32), largest.astype(np.float32)


def _windows(
    grid: _Grid, boxes: Sequence[Box], obfuscator: Obfuscator, rows: int, columns: int
) -> list[tuple[_Window, list[Box]]]:
    """Return windows of blocks that don't overlap, each with the boxes in it, moved to it.

    An obfuscator that reads beyond its reaches (`whole_image`), or at one box because of
    another, gets the whole plane.
    """
    reaches = obfuscator.reaches(boxes)
    alone = [obfuscator.reaches([box])[0] for box in boxes]
    if getattr(obfuscator, "whole_image", False) or reaches != alone:
        return [((0, 0, rows, columns), list(boxes))]
    groups: list[tuple[_Window, list[Box]]] = []
    for box, reach in zip(boxes, reaches, strict=True):
        window, members = grid.window(reach, rows, columns), [box]
        if window[0] >= window[2] or window[1] >= window[3]:
            continue
        # Joining two windows can make them meet a third: look again until none is met.
        while met := [group for group in groups if _overlap(group[0], window)]:
            groups = [group for group in groups if group not in met]
            for other, others in met:
                window = _joined(window, other)
                members += others
        groups.append((window, members))
    return [(window, [_moved(box, window, grid) for box in group]) for window, group in groups]


def _overlap(a: _Window, b: _Window) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _joined(a: _Window, b: _Window) -> _Window:
    return (min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]))


def _moved(box: Box, window: _Window, grid: _Grid) -> Box:
    dx, dy = 8 * grid.repeat_x * window[1], 8 * grid.repeat_y * window[0]
    return (box[0] - dx, box[1] - dy, box[2] - dx, box[3] - dy)


def _obfuscated(
    samples: Pixels, grid: _Grid, boxes: Sequence[Box], obfuscator: Obfuscator
) -> Pixels:
    """Return the samples, (height, width, components), with the boxes obfuscated."""
    wide, high = grid.repeat_x, grid.repeat_y
    samples.flags.writeable = False  # what comes back is compared with it
    if wide == high == 1:
        return obfuscator(samples, boxes)
    result = obfuscator(samples.repeat(high, axis=0).repeat(wide, axis=1), boxes)
    # Where nothing changed, the mean of the repeated samples is the sample.
    cells = result.reshape(samples.shape[0], high, samples.shape[1], wide, -1)
    mean: Pixels = np.rint(cells.mean(axis=(1, 3))).astype(np.uint8)
    return mean


def _flatten_padding(
    numbers: Numbers, mask: NDArray[np.uint8], coefficients: Coefficients
) -> Numbers:
    """Make the blocks that pad the last MCUs flat where the block beside them was touched.

    They are never shown, but some encoders continue the image in them, and so the face.
    Return their numbers.
    """
    rows, columns = mask.shape
    nearest_row = np.minimum(np.arange(numbers.shape[0]), rows - 1)[:, None]
    nearest_column = np.minimum(np.arange(numbers.shape[1]), columns - 1)[None, :]
    padding = mask[nearest_row, nearest_column] > 0
    padding[:rows, :columns] = False
    flat: Numbers = numbers[padding]
    coefficients[flat] = 0
    coefficients[flat, 0] = coefficients[numbers[nearest_row, nearest_column][padding], 0]
    return flat
