# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True
# Bounds are checked once, in `enlarge`, and not in the inner loops, which then run twice as fast.
"""Enlarge a picture straight into a network's input: what Pillow's resize gives, bit for bit.

Pillow enlarges interleaved 8-bit pixels of four channels; then they are split, converted to
float and padded, which for the two sizes of an ordinary picture costs a tenth of what the
default detectors cost. Here the same arithmetic runs on planes: first along the rows, then along
the columns, each new pixel from its two neighbours with 22 bits of fixed-point weights, rounded
to 8 bits after each pass; the last pass writes floats.
"""

from libc.stdint cimport int32_t, uint8_t

import numpy as np

cdef int PRECISION = 22


def neighbours(int size, int new_size):
    """Return for each new pixel the two old ones it lies between, and their weights.

    Both are int32, (2, new_size); weights fall linearly with the distance and add up to 2**22
    but for rounding. `new_size` must not be less than `size`.
    """
    if new_size < size:
        raise ValueError(f"{size} pixels can't be enlarged to {new_size}")
    # Centres as Pillow has them: a picture of one pixel reaches half a pixel to each side.
    centres = (np.arange(new_size) + 0.5) * (<double>size / new_size)
    first = np.maximum(np.trunc(centres - 0.5), 0).astype(np.int32)
    stop = np.minimum(np.trunc(centres + 1.5), size).astype(np.int32)
    at = np.stack([first, np.minimum(first + 1, size - 1)])
    shares = np.maximum(1.0 - np.abs(np.stack([first, first + 1]) - centres + 0.5), 0.0)
    shares[1, stop - first < 2] = 0.0
    shares /= shares.sum(axis=0)
    return at.astype(np.int32), (0.5 + shares * (1 << PRECISION)).astype(np.int32)


def enlarge(const uint8_t[:, :, :] image, float[:, :, ::1] planes, across, down, tuple order):
    """Fill the planes, (3, h, w), with the enlarged channels of an RGB image in this order.

    `across` and `down` come from `neighbours`, cut to the columns and rows that are wanted; the
    rest of the planes, right and below, becomes 0. Raises `ValueError` if they don't fit.
    """
    _check(across[0], image.shape[1], planes.shape[2])
    _check(down[0], image.shape[0], planes.shape[1])
    if image.shape[2] != 3 or planes.shape[0] != 3 or sorted(order) != [0, 1, 2]:
        raise ValueError("three channels go to three planes")
    if across[0].shape != across[1].shape or down[0].shape != down[1].shape:
        raise ValueError("each neighbour needs a weight")
    cdef const int32_t[:, ::1] column = np.ascontiguousarray(across[0])
    cdef const int32_t[:, ::1] column_weight = np.ascontiguousarray(across[1])
    cdef const int32_t[:, ::1] row = np.ascontiguousarray(down[0])
    cdef const int32_t[:, ::1] row_weight = np.ascontiguousarray(down[1])
    cdef int width = column.shape[1], height = row.shape[1]
    cdef int top = row[0, 0], bottom = row[1, height - 1] + 1
    rows = np.empty((bottom - top, width), dtype=np.uint8)
    line = np.empty(image.shape[1], dtype=np.uint8)
    cdef int plane, channel
    for plane in range(3):
        channel = order[plane]
        _along_rows(image, channel, top, line, column, column_weight, rows)
        _along_columns(rows, top, row, row_weight, planes[plane])


def _check(at, int size, int room):
    """Make sure that neighbours lie in the picture, in order, and that there is room for them."""
    if at.ndim != 2 or at.shape[0] != 2 or not 0 < at.shape[1] <= room:
        raise ValueError(f"{at.shape} neighbours don't fit into {room} pixels")
    if at.min() < 0 or at.max() >= size or (np.diff(at, axis=1) < 0).any():
        raise ValueError(f"neighbours must lie in 0..{size - 1} and ascend")


cdef void _along_rows(
    const uint8_t[:, :, :] image, int channel, int top, uint8_t[::1] line,
    const int32_t[:, ::1] at, const int32_t[:, ::1] weight, uint8_t[:, ::1] out,
) noexcept:
    cdef int y, x, total
    for y in range(out.shape[0]):
        for x in range(line.shape[0]):
            line[x] = image[top + y, x, channel]
        for x in range(out.shape[1]):
            total = line[at[0, x]] * weight[0, x] + line[at[1, x]] * weight[1, x]
            out[y, x] = <uint8_t>((total + (1 << (PRECISION - 1))) >> PRECISION)


cdef void _along_columns(
    const uint8_t[:, ::1] rows, int top, const int32_t[:, ::1] at, const int32_t[:, ::1] weight,
    float[:, ::1] out,
) noexcept:
    cdef int y, x, total, upper, lower, upper_weight, lower_weight, width = rows.shape[1]
    for y in range(at.shape[1]):
        upper, lower = at[0, y] - top, at[1, y] - top
        upper_weight, lower_weight = weight[0, y], weight[1, y]
        for x in range(width):
            total = rows[upper, x] * upper_weight + rows[lower, x] * lower_weight
            out[y, x] = <float>((total + (1 << (PRECISION - 1))) >> PRECISION)
        out[y, width:] = 0
    out[at.shape[1]:, :] = 0
