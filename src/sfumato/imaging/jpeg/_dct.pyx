# cython: language_level=3, boundscheck=True, wraparound=False, initializedcheck=False
"""The 8x8 cosine transform (T.81 A.3.3) between quantised blocks and samples.

Both ways are two products with the matrix of the cosine basis, in single precision: a
thousandth of a grey level is far below what the quantisation leaves. The innermost loops run
along rows of eight, which compilers turn into vector instructions. The coefficients of a block
are one element of an array (`Coefficients`), so that one check of its bounds is enough for all.

Rounding each coefficient to the nearest step is right inside a region: it makes the mean error
smallest. At its border it isn't: there an error of the whole row of samples, small as it is,
stands beside a block without any, and shows as a seam. `mend` rounds a few coefficients the
other way where that takes more from the border than it adds to the block.
"""

from libc.math cimport cos, pi, sqrt
from libc.stdint cimport int16_t, int32_t, uint8_t

import numpy as np

from sfumato.imaging.jpeg.header import ZIGZAG

ctypedef float Block[8][8]

cdef packed struct Coefficients:
    int16_t at[64]

# Which borders of a block lie beside one that was not touched.
cdef enum:
    TOP = 1
    LEFT = 2
    BOTTOM = 4
    RIGHT = 8

TOP_OPEN, LEFT_OPEN, BOTTOM_OPEN, RIGHT_OPEN = TOP, LEFT, BOTTOM, RIGHT

# How much an error at the border weighs against one inside, and the step of a whole border more
# than the ripples along it.
cdef float BORDER = 12
cdef float WHOLE_BORDER = 48
cdef float FINE = 6  # weighted squares: a quarter of a grey level along a whole border
cdef float TWO = 2  # a bare 2 would make doubles of the terms
cdef float LITTLE = 1  # weighted squares: not worth another turn
cdef int MOST_TURNS = 24
cdef int FEW = 8  # unchanged samples of a block, fewer than a row: chance, not its edge

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


cdef inline void analysed(const Block samples, Block result) noexcept:
    """Multiply by the basis from the left: cosines of even frequency are even about the middle."""
    cdef Block folded  # sums of the rows that mirror each other, and below them differences
    cdef Py_ssize_t i, k, u, part
    for i in range(4):
        for k in range(8):
            folded[i][k] = samples[i][k] + samples[7 - i][k]
            folded[4 + i][k] = samples[i][k] - samples[7 - i][k]
    for u in range(8):
        part = 4 * (u & 1)
        for k in range(8):
            result[u][k] = (
                BASIS[u][0] * folded[part][k] + BASIS[u][1] * folded[part + 1][k]
                + BASIS[u][2] * folded[part + 2][k] + BASIS[u][3] * folded[part + 3][k]
            )


cdef inline void samples_of(const Coefficients* block, const float* scale, Block samples) noexcept:
    """Turn a block of coefficients, each times its step, into samples around 0."""
    cdef Block half
    cdef Py_ssize_t k
    for k in range(64):
        samples[ROWS[k]][COLUMNS[k]] = block.at[k] * scale[k]
    product(TURNED, samples, half)
    product(half, BASIS, samples)


cdef inline const uint8_t* whole_block(const uint8_t[:, :] plane, Py_ssize_t top, Py_ssize_t left) except NULL:
    """Return the first of 8x8 samples, all of which lie in the plane.

    The bounds of the first and the last are checked, and so those of all between them.
    """
    cdef const uint8_t* last = &plane[top + 7, left + 7]
    return &plane[top, left] if last != NULL else NULL


def inverse(const Coefficients[::1] coefficients, const int32_t[:, :] numbers,
            const float[::1] steps, uint8_t[:, :] rounded):
    """Turn the blocks of these numbers (rows, columns) into samples, as a decoder shows them.

    `rounded` is (height, width), at most 8 times as large.
    """
    cdef Py_ssize_t row, column, y, x, k, height = rounded.shape[0], width = rounded.shape[1]
    cdef Py_ssize_t down = rounded.strides[0], across = rounded.strides[1]
    cdef uint8_t* corner
    cdef Block block
    cdef float scale[64]
    for k in range(64):
        scale[k] = steps[k]
    for row in range(numbers.shape[0]):
        for column in range(numbers.shape[1]):
            samples_of(&coefficients[numbers[row, column]], scale, block)
            for y in range(8):
                for x in range(8):
                    block[y][x] = min(max(block[y][x] + <float>128.5, <float>0), <float>255)
            if 8 * row + 8 <= height and 8 * column + 8 <= width:
                corner = <uint8_t*>whole_block(rounded, 8 * row, 8 * column)
                for y in range(8):
                    for x in range(8):
                        corner[y * down + x * across] = <uint8_t>block[y][x]
                continue
            for y in range(min(8, height - 8 * row)):
                for x in range(min(8, width - 8 * column)):
                    rounded[8 * row + y, 8 * column + x] = <uint8_t>block[y][x]


def forward(const uint8_t[:, :] before, const uint8_t[:, :] after, const int32_t[:, :] numbers,
            const float[::1] steps, const float[::1] units, const float[::1] largest,
            Coefficients[::1] coefficients, uint8_t[:, :] touched, int goes_on):
    """Put the blocks with a changed sample back: transformed, quantised, limited to legal values.

    `before` and `after` (height, width) have no padding; blocks that stick out get their last
    row and column repeated. `before` was made from `coefficients` and `steps`; where samples of
    a touched block did not change, they go in as they were before they were rounded, so that
    only the change is quantised. Each coefficient is divided by its unit and rounded to a whole
    number between -largest and largest. `goes_on` says on which sides of these blocks the
    image goes on (`TOP_OPEN` and so forth, added up).
    """
    cdef Py_ssize_t row, column, y, x, k
    cdef Py_ssize_t rows = numbers.shape[0], columns = numbers.shape[1]
    cdef Coefficients* target
    cdef int sides
    cdef Block block, half, scale, step, limit, whole
    cdef float old_steps[64]
    cdef float value
    for k in range(64):
        old_steps[k] = steps[k]
        step[ROWS[k]][COLUMNS[k]] = units[k]
        scale[ROWS[k]][COLUMNS[k]] = 1 / units[k]
        limit[ROWS[k]][COLUMNS[k]] = largest[k]
    for row in range(rows):
        for column in range(columns):
            touched[row, column] = changed(before, after, 8 * row, 8 * column)
    for row in range(rows):
        for column in range(columns):
            if not touched[row, column]:
                continue
            target = &coefficients[numbers[row, column]]
            wanted_samples(before, after, 8 * row, 8 * column, target, old_steps, block)
            analysed(block, half)
            product(half, TURNED, block)
            for y in range(8):
                for x in range(8):
                    block[y][x] *= scale[y][x]
                    value = min(max(block[y][x], -limit[y][x]), limit[y][x])
                    value = value + <float>1024.5  # positive, so that cutting off rounds
                    whole[y][x] = <float>(<int>value - 1024)
            sides = 0
            if (goes_on & TOP) if row == 0 else not touched[row - 1, column]:
                sides |= TOP
            if (goes_on & LEFT) if column == 0 else not touched[row, column - 1]:
                sides |= LEFT
            if (goes_on & BOTTOM) if row == rows - 1 else not touched[row + 1, column]:
                sides |= BOTTOM
            if (goes_on & RIGHT) if column == columns - 1 else not touched[row, column + 1]:
                sides |= RIGHT
            if sides:
                mend(block, whole, step, limit, sides)
            for k in range(64):
                target.at[k] = <int16_t>whole[ROWS[k]][COLUMNS[k]]


cdef inline int wanted_samples(
    const uint8_t[:, :] before, const uint8_t[:, :] after, Py_ssize_t top, Py_ssize_t left,
    const Coefficients* block, const float* scale, Block samples
) except -1:
    """Fill `samples`, around 0, with those of a touched block: the new ones, or the exact old."""
    cdef Py_ssize_t y, x, row, column
    cdef Py_ssize_t height = before.shape[0], width = before.shape[1]
    cdef Py_ssize_t down = after.strides[0], across = after.strides[1]
    cdef Py_ssize_t old_down = before.strides[0], old_across = before.strides[1]
    cdef const uint8_t* corner
    cdef const uint8_t* old_corner
    cdef uint8_t same[8][8]
    cdef uint8_t sample
    cdef Block old
    cdef int unchanged = 0
    if top + 8 <= height and left + 8 <= width:
        corner, old_corner = whole_block(after, top, left), whole_block(before, top, left)
        for y in range(8):
            for x in range(8):
                sample = corner[y * down + x * across]
                same[y][x] = sample == old_corner[y * old_down + x * old_across]
                unchanged += same[y][x]
                samples[y][x] = <float>(<int>sample - 128)
    else:  # the last row and column are repeated
        for y in range(8):
            row = min(top + y, height - 1)
            for x in range(8):
                column = min(left + x, width - 1)
                same[y][x] = after[row, column] == before[row, column]
                unchanged += same[y][x]
                samples[y][x] = <float>(<int>after[row, column] - 128)
    if unchanged < FEW:
        return 0
    samples_of(block, scale, old)
    for y in range(8):
        for x in range(8):
            # Not beyond what rounds to the sample: a clipped overshoot stays out.
            old[y][x] = min(max(old[y][x], samples[y][x] - <float>0.5), samples[y][x] + <float>0.5)
            if same[y][x]:
                samples[y][x] = old[y][x]
    return 0


cdef inline int changed(const uint8_t[:, :] before, const uint8_t[:, :] after,
                        Py_ssize_t top, Py_ssize_t left) except -1:
    """Return whether a sample of the block differs."""
    cdef Py_ssize_t y, x
    for y in range(top, min(top + 8, before.shape[0])):
        for x in range(left, min(left + 8, before.shape[1])):
            if before[y, x] != after[y, x]:
                return 1
    return 0


cdef void mend(const Block wanted, Block whole, const Block step, const Block limit,
               int sides) noexcept:
    """Choose the whole numbers of a block again, so that its borders on these sides err less.

    The samples of a border are a sum of cosines along it; how far each of the eight is off, is a
    sum over the coefficients of the block. So their squares add up to the squared error of the
    border (Parseval), as those of the coefficients do for the whole block, and what a change of
    one coefficient does to all of it takes a few multiplications. The best change is made until
    none helps.
    """
    cdef Block errors, moves, gains
    cdef float rows[2][8]  # errors of the upper and the lower border, by frequency
    cdef float columns[2][8]  # of the left and the right one
    cdef float row_weights[2][8]
    cdef float column_weights[2][8]
    cdef float best, move, largest = 0
    cdef int u, v, turn, found
    for v in range(8):
        for u in range(8):
            errors[v][u] = (whole[v][u] - wanted[v][u]) * step[v][u]
    for u in range(8):
        rows[0][u] = rows[1][u] = columns[0][u] = columns[1][u] = 0
        row_weights[0][u] = weight(u, sides & TOP)
        row_weights[1][u] = weight(u, sides & BOTTOM)
        column_weights[0][u] = weight(u, sides & LEFT)
        column_weights[1][u] = weight(u, sides & RIGHT)
    for v in range(8):
        for u in range(8):
            rows[0][u] += errors[v][u] * TURNED[0][v]
            rows[1][u] += errors[v][u] * TURNED[7][v]
            columns[0][v] += errors[v][u] * TURNED[0][u]
            columns[1][v] += errors[v][u] * TURNED[7][u]
    for u in range(8):
        for v in range(2):
            largest = max(largest, row_weights[v][u] * rows[v][u] * rows[v][u])
            largest = max(largest, column_weights[v][u] * columns[v][u] * columns[v][u])
    if largest < FINE:
        return
    for turn in range(MOST_TURNS):
        for v in range(8):
            weigh(errors[v], whole[v], step[v], limit[v], rows, row_weights,
                  columns[0][v], columns[1][v], column_weights[0][v], column_weights[1][v],
                  v, moves[v], gains[v])
        best, found = 0, 0
        for v in range(8):
            for u in range(8):
                if gains[v][u] > best:
                    best, found = gains[v][u], 8 * v + u
        if best <= LITTLE:
            return
        v, u = found // 8, found % 8
        move = moves[v][u]
        errors[v][u] += move
        whole[v][u] += 1 if move > 0 else -1
        rows[0][u] += move * TURNED[0][v]
        rows[1][u] += move * TURNED[7][v]
        columns[0][v] += move * TURNED[0][u]
        columns[1][v] += move * TURNED[7][u]


cdef inline float weight(int frequency, int open_side) noexcept:
    """Return how much the squared error of a border weighs at this frequency along it."""
    if not open_side:
        return 0
    return WHOLE_BORDER if frequency == 0 else BORDER


cdef inline void weigh(const float* errors, const float* whole, const float* step,
                       const float* limit, const float[2][8] rows,
                       const float[2][8] row_weights, float left, float right,
                       float left_weight, float right_weight, int v, float* moves,
                       float* gains) noexcept:
    """Work out, for the eight coefficients of a row, the best move of each and what it gains.

    A move is one step towards the other side of what was wanted. A squared error e^2 grows by
    move (2 e + move), the border's by the same in its own terms.
    """
    cdef int u
    cdef float move, upper, lower, on_left, on_right
    for u in range(8):
        move = step[u] if errors[u] < 0 else -step[u]
        upper, lower = move * TURNED[0][v], move * TURNED[7][v]
        on_left, on_right = move * TURNED[0][u], move * TURNED[7][u]
        gains[u] = -(
            move * (TWO * errors[u] + move)
            + row_weights[0][u] * upper * (TWO * rows[0][u] + upper)
            + row_weights[1][u] * lower * (TWO * rows[1][u] + lower)
            + left_weight * on_left * (TWO * left + on_left)
            + right_weight * on_right * (TWO * right + on_right)
        )
        moves[u] = move
        if (whole[u] if move > 0 else -whole[u]) >= limit[u]:
            gains[u] = 0


BLOCK_OF_COEFFICIENTS = np.dtype([("at", np.int16, (64,))])
