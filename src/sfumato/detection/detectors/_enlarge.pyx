# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True
# Bounds are checked once, in `enlarge`, and not in the inner loops, which then run twice as fast.
"""Enlarge an image straight into a network's input: what Pillow's resize gives, bit for bit.

Pillow enlarges interleaved 8-bit pixels of four channels; then they are split, converted to
float and padded, which for the two sizes of an ordinary image costs a tenth of what the
default detectors cost. Here the same arithmetic runs on planes: first along the rows, then along
the columns, each new pixel from its two neighbours with 22 bits of fixed-point weights, rounded
to 8 bits after each pass; the last pass writes floats.
"""

from libc.stdint cimport int32_t, uint8_t

import numpy as np

cdef enum:
    PRECISION = 22


def neighbours(int size, int new_size):
    """Return for each new pixel the two old ones it lies between, and their weights.

    Both are int32, (2, new_size); weights fall linearly with the distance and add up to 2**22
    but for rounding. `new_size` must not be less than `size`.
    """
    if new_size < size:
        raise ValueError(f"{size} pixels can't be enlarged to {new_size}")
    # Centres as Pillow has them: an image of one pixel reaches half a pixel to each side.
    centres = (np.arange(new_size) + 0.5) * (<double>size / new_size)
    first = np.maximum(np.trunc(centres - 0.5), 0).astype(np.int32)
    stop = np.minimum(np.trunc(centres + 1.5), size).astype(np.int32)
    at = np.stack([first, np.minimum(first + 1, size - 1)])
    shares = np.maximum(1.0 - np.abs(np.stack([first, first + 1]) - centres + 0.5), 0.0)
    shares[1, stop - first < 2] = 0.0
    shares /= shares.sum(axis=0)
    return at.astype(np.int32), (0.5 + shares * (1 << PRECISION)).astype(np.int32)


def enlarge(image, float[:, :, ::1] planes, across, down, tuple order):
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
    cdef const uint8_t[:, :, ::1] pixels = np.ascontiguousarray(image)
    cdef const int32_t[:, ::1] column = np.ascontiguousarray(across[0])
    cdef const int32_t[:, ::1] column_weight = np.ascontiguousarray(across[1])
    cdef const int32_t[:, ::1] row = np.ascontiguousarray(down[0])
    cdef const int32_t[:, ::1] row_weight = np.ascontiguousarray(down[1])
    cdef int width = column.shape[1], height = row.shape[1]
    cdef int top = row[0, 0], bottom = row[1, height - 1] + 1
    cdef uint8_t[:, :, ::1] rows = np.empty((3, bottom - top, width), dtype=np.uint8)
    cdef int plane
    _along_rows(pixels[top:bottom], column, column_weight, rows)
    for plane in range(3):
        _along_columns(rows[order[plane]], top, row, row_weight, planes[plane])


def _check(at, int size, int room):
    """Make sure that neighbours lie in the image, in order, and that there is room for them."""
    if at.ndim != 2 or at.shape[0] != 2 or not 0 < at.shape[1] <= room:
        raise ValueError(f"{at.shape} neighbours don't fit into {room} pixels")
    if at.min() < 0 or at.max() >= size or (np.diff(at, axis=1) < 0).any():
        raise ValueError(f"neighbours must lie in 0..{size - 1} and ascend")


cdef void _along_rows(
    const uint8_t[:, :, ::1] image, const int32_t[:, ::1] at, const int32_t[:, ::1] weight,
    uint8_t[:, :, ::1] out,
) noexcept:
    cdef int y, x, left_weight, right_weight
    cdef const uint8_t *left
    cdef const uint8_t *right
    cdef const int32_t *first = &at[0, 0]
    cdef const int32_t *second = &at[1, 0]
    cdef const int32_t *first_weight = &weight[0, 0]
    cdef const int32_t *second_weight = &weight[1, 0]
    cdef uint8_t *red
    cdef uint8_t *green
    cdef uint8_t *blue
    for y in range(out.shape[1]):
        red, green, blue = &out[0, y, 0], &out[1, y, 0], &out[2, y, 0]
        for x in range(out.shape[2]):
            left, right = &image[y, 0, 0] + 3 * first[x], &image[y, 0, 0] + 3 * second[x]
            left_weight, right_weight = first_weight[x], second_weight[x]
            red[x] = _rounded(left[0] * left_weight + right[0] * right_weight)
            green[x] = _rounded(left[1] * left_weight + right[1] * right_weight)
            blue[x] = _rounded(left[2] * left_weight + right[2] * right_weight)


cdef void _along_columns(
    const uint8_t[:, ::1] rows, int top, const int32_t[:, ::1] at, const int32_t[:, ::1] weight,
    float[:, ::1] out,
) noexcept:
    cdef int y, x, width = rows.shape[1], upper_weight, lower_weight
    cdef const uint8_t *upper
    cdef const uint8_t *lower
    cdef float *line
    for y in range(at.shape[1]):
        upper, lower, line = &rows[at[0, y] - top, 0], &rows[at[1, y] - top, 0], &out[y, 0]
        upper_weight, lower_weight = weight[0, y], weight[1, y]
        for x in range(width):
            line[x] = _rounded(upper[x] * upper_weight + lower[x] * lower_weight)
        out[y, width:] = 0
    out[at.shape[1]:, :] = 0


cdef inline int _rounded(int total) noexcept:
    return (total + (1 << (PRECISION - 1))) >> PRECISION
