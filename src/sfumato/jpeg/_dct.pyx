# cython: language_level=3, boundscheck=True, wraparound=False, initializedcheck=False
"""The 8x8 cosine transform (T.81 A.3.3) between quantised blocks and samples.

Both ways are two products with the matrix of the cosine basis, in single precision: a
thousandth of a grey level is far below what the quantisation leaves. The innermost loops run
along rows of eight, which compilers turn into vector instructions.
"""

from libc.math cimport cos, pi, sqrt
from libc.stdint cimport int16_t, int32_t, uint8_t

from sfumato.jpeg.header import ZIGZAG

ctypedef float Block[8][8]

cdef int ROWS[64]  # where in a block the coefficients of a file belong
cdef int COLUMNS[64]
cdef Block BASIS  # [frequency][sample]
cdef Block TURNED  # [sample][frequency]

cdef int _u, _x
for _u in range(64):
    ROWS[_u], COLUMNS[_u] = ZIGZAG[_u] // 8, ZIGZAG[_u] % 8
for _u in range(8):
    for _x in range(8):
        BASIS[_u][_x] = <float>(
            0.5 * (sqrt(0.5) if _u == 0 else 1.0) * cos((2 * _x + 1) * _u * pi / 16))
        TURNED[_x][_u] = BASIS[_u][_x]


cdef inline void product(const Block a, const Block b, Block result) noexcept:
    """Multiply two 8x8 matrices."""
    cdef Py_ssize_t i, k
    for i in range(8):
        for k in range(8):  # spelled out, so that eight k are computed side by side
            result[i][k] = (
                a[i][0] * b[0][k] + a[i][1] * b[1][k] + a[i][2] * b[2][k] + a[i][3] * b[3][k]
                + a[i][4] * b[4][k] + a[i][5] * b[5][k] + a[i][6] * b[6][k] + a[i][7] * b[7][k]
            )


def inverse(const int16_t[:, ::1] coefficients, const int32_t[:, :] numbers,
            const float[::1] steps, float[:, ::1] exact):
    """Turn the blocks of these numbers (rows, columns) into samples (8 rows, 8 columns).

    They are neither rounded nor limited to 0 to 255.
    """
    cdef Py_ssize_t row, column, y, x, k
    cdef int32_t number
    cdef Block block, half
    for row in range(numbers.shape[0]):
        for column in range(numbers.shape[1]):
            number = numbers[row, column]
            for k in range(64):
                block[ROWS[k]][COLUMNS[k]] = coefficients[number, k] * steps[k]
            product(TURNED, block, half)
            product(half, BASIS, block)
            for y in range(8):
                for x in range(8):
                    exact[8 * row + y, 8 * column + x] = block[y][x] + 128


def forward(const uint8_t[:, :] before, const uint8_t[:, :] after, const float[:, ::1] exact,
            const int32_t[:, :] numbers, const float[::1] steps, const float[::1] largest,
            int16_t[:, ::1] coefficients, uint8_t[:, :] touched):
    """Put the blocks with a changed sample back: transformed, quantised, limited to legal values.

    `before` and `after` (height, width) have no padding; blocks that stick out get their last
    row and column repeated. Samples that did not change go in as the exact ones, so that the
    rest of a touched block loses nothing by rounding. Each coefficient is divided by its step
    and rounded to a whole number between -largest and largest.
    """
    cdef Py_ssize_t row, column, top, left, y, x, k
    cdef Py_ssize_t height = before.shape[0], width = before.shape[1]
    cdef int32_t number
    cdef Block block, half, scale, limit
    cdef float value, old
    cdef uint8_t sample
    for k in range(64):
        scale[ROWS[k]][COLUMNS[k]] = 1 / steps[k]
        limit[ROWS[k]][COLUMNS[k]] = largest[k]
    for row in range(numbers.shape[0]):
        for column in range(numbers.shape[1]):
            if not changed(before, after, 8 * row, 8 * column):
                continue
            touched[row, column] = 1
            for y in range(8):
                top = min(8 * row + y, height - 1)
                for x in range(8):
                    left = min(8 * column + x, width - 1)
                    sample = after[top, left]
                    value = sample
                    # Not beyond what rounds to the sample: a clipped overshoot stays out.
                    old = min(max(exact[top, left], value - <float>0.5), value + <float>0.5)
                    block[y][x] = (old if before[top, left] == sample else value) - 128
            product(BASIS, block, half)
            product(half, TURNED, block)
            for y in range(8):
                for x in range(8):
                    value = min(max(block[y][x] * scale[y][x], -limit[y][x]), limit[y][x])
                    block[y][x] = value + <float>1024.5  # positive, so that cutting off rounds
            number = numbers[row, column]
            for k in range(64):
                coefficients[number, k] = <int16_t>(<int>block[ROWS[k]][COLUMNS[k]] - 1024)


cdef inline int changed(const uint8_t[:, :] before, const uint8_t[:, :] after,
                        Py_ssize_t top, Py_ssize_t left) except -1:
    """Return whether a sample of the block differs."""
    cdef Py_ssize_t y, x
    for y in range(top, min(top + 8, before.shape[0])):
        for x in range(left, min(left + 8, before.shape[1])):
            if before[y, x] != after[y, x]:
                return 1
    return 0
