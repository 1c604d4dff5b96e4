# cython: language_level=3, boundscheck=True, wraparound=False, initializedcheck=False
"""The soft edge of a cover: its weight at each pixel, and mixing by it."""

from libc.math cimport cos, pi, rint, rintf, sqrtf
from libc.stdint cimport uint8_t

cdef enum:
    STEPS = 1024  # of a pixel's distance, between the cover's edge and where it ends

cdef uint8_t FADE[STEPS + 1]  # a raised cosine

cdef int _step
for _step in range(STEPS + 1):
    FADE[_step] = <uint8_t>rint(127.5 * (1 + cos(pi * _step / STEPS)))


def fill_weights(uint8_t[:, ::1] weights, double[::1] dx, double[::1] dy):
    """Fill `weights` (height, width), 0 to 255, from the distances of columns and rows.

    `dx` (width) and `dy` (height) are in units of the feather's width, 0 inside the cover: there
    it is 255, at the hypotenuse of 1 and beyond 0.
    """
    cdef Py_ssize_t y, x
    cdef float squared
    for y in range(weights.shape[0]):
        for x in range(weights.shape[1]):
            squared = <float>min(dx[x] * dx[x] + dy[y] * dy[y], 1.0)
            weights[y, x] = FADE[<int>rintf(sqrtf(squared) * STEPS)] if squared > 0 else 255


def blend(uint8_t[:, :, :] below, const uint8_t[:, :, :] cover, const uint8_t[:, ::1] weights):
    """Mix (height, width, channels) in place: `below` where the weight is 0, `cover` at 255.

    Each sample is (w cover + (255 - w) below) / 255, rounded to the nearest.
    """
    cdef Py_ssize_t y, x, channel, channels = below.shape[2]
    cdef unsigned int weight, mixed
    for y in range(below.shape[0]):
        for x in range(below.shape[1]):
            weight = weights[y, x]
            if weight == 0:
                continue
            for channel in range(channels):
                mixed = (cover[y, x, channel] * weight
                         + below[y, x, channel] * (255 - weight) + 128)
                below[y, x, channel] = <uint8_t>((mixed + (mixed >> 8)) >> 8)
