# cython: language_level=3, boundscheck=True, wraparound=False, initializedcheck=False
"""The row filters of PNG undone (PNG, section 9)."""

from libc.stdint cimport uint8_t


def unfilter(uint8_t[:, ::1] rows, int step):
    """Undo the filters of rows in place; byte 0 of each is its filter. False for an unknown one.

    `step` are the bytes of a pixel, at least 1.
    """
    cdef Py_ssize_t y, x, width = rows.shape[1]
    cdef int kind, left, up, corner, guess, a, b, c
    for y in range(rows.shape[0]):
        kind = rows[y, 0]
        if kind > 4:
            return False
        if kind == 0:
            continue
        for x in range(1, width):
            left = rows[y, x - step] if x > step else 0
            up = rows[y - 1, x] if y else 0
            if kind == 1:
                guess = left
            elif kind == 2:
                guess = up
            elif kind == 3:
                guess = (left + up) >> 1
            else:
                corner = rows[y - 1, x - step] if y and x > step else 0
                a, b, c = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
                guess = left if a <= b and a <= c else up if b <= c else corner
            rows[y, x] = <uint8_t>(rows[y, x] + guess)
    return True
