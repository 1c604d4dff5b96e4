# cython: language_level=3, boundscheck=True, wraparound=False, initializedcheck=False
"""How many coded bytes a number of pixels takes: LZW of GIF and TIFF, runs of TIFF and BMP.

Nothing is written: only the length of what each code stands for is followed.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t

cdef enum:
    MOST = 4096  # codes of LZW


def gif_lzw(const uint8_t[::1] data, int size, int64_t pixels):
    """Return the bytes that codes for so many pixels take, with the end code where one follows.

    `size` is the least code size, 1 to 11. All bytes where they end before; -1 for a code that
    can't be.
    """
    return lzw(data, size, pixels, False) if 1 <= size <= 11 else -1


def tiff_lzw(const uint8_t[::1] data, int64_t size):
    """Return the bytes that codes for so many bytes take, as `gif_lzw` does."""
    return lzw(data, 8, size, True)


cdef int64_t lzw(const uint8_t[::1] data, int size, int64_t wanted, bint tiff) except -2:
    """Follow codes; those of TIFF have their highest bit first and grow one code early."""
    cdef uint32_t length[MOST + 1]
    cdef int clear = 1 << size, end = clear + 1, free = clear + 2, width = size + 1
    cdef int i, code, before = -1
    cdef int64_t at = 0, bits = 8 * <int64_t>data.shape[0], done = 0
    for i in range(MOST + 1):
        length[i] = 1
    while at + width <= bits:
        code = code_high(data, at, width) if tiff else code_low(data, at, width)
        if done >= wanted:
            return (at + (width if code == end else 0) + 7) // 8
        at += width
        if code == clear:
            free, width, before = clear + 2, size + 1, -1
            continue
        if code == end:
            return (at + 7) // 8
        if code > free or (code == free and before < 0):
            return -1
        if before >= 0 and free < MOST:
            length[free] = length[before] + 1
            free += 1
            if free == (1 << width) - tiff and width < 12:
                width += 1
        done += length[code]
        before = code
    return data.shape[0]


cdef inline int code_low(const uint8_t[::1] data, int64_t at, int width) except -1:
    """Return a code whose lowest bit comes first."""
    cdef Py_ssize_t first = at >> 3
    cdef uint32_t three = data[first]
    if first + 1 < data.shape[0]:
        three |= <uint32_t>data[first + 1] << 8
    if first + 2 < data.shape[0]:
        three |= <uint32_t>data[first + 2] << 16
    return (three >> (at & 7)) & ((1 << width) - 1)


cdef inline int code_high(const uint8_t[::1] data, int64_t at, int width) except -1:
    """Return a code whose highest bit comes first."""
    cdef Py_ssize_t first = at >> 3
    cdef uint32_t three = <uint32_t>data[first] << 16
    if first + 1 < data.shape[0]:
        three |= <uint32_t>data[first + 1] << 8
    if first + 2 < data.shape[0]:
        three |= data[first + 2]
    return (three >> (24 - (at & 7) - width)) & ((1 << width) - 1)


def packbits(const uint8_t[::1] data, int64_t size):
    """Return the bytes that PackBits runs for so many bytes take, all where they end before."""
    cdef Py_ssize_t at = 0
    cdef int64_t done = 0
    cdef int head
    while done < size:
        if at >= data.shape[0]:
            return data.shape[0]
        head = data[at]
        if head < 128:
            done += head + 1
            at += head + 2
        elif head > 128:
            done += 257 - head
            at += 2
        else:
            at += 1
    return min(at, data.shape[0])


def bmp_runs(const uint8_t[::1] data, int64_t width, int64_t height, int nibbles):
    """Return the bytes that the runs of a BMP take up to its end code, or to its last pixel.

    All bytes where they end before; -1 where they go past a row or the image. `nibbles` for 4
    bits a pixel.
    """
    cdef Py_ssize_t at = 0, length = data.shape[0]
    cdef int64_t x = 0, y = 0
    cdef int count, value
    while at + 2 <= length:
        count, value = data[at], data[at + 1]
        if y >= height and (count or value != 1):
            return at
        at += 2
        if count:
            x += count
        elif value == 0:
            x, y = 0, y + 1
        elif value == 1:
            return at
        elif value == 2:
            if at + 2 > length:
                return length
            x, y = x + data[at], y + data[at + 1]
            at += 2
        else:
            x += value
            at += ((value + 1) // 2 + 1) // 2 * 2 if nibbles else (value + 1) // 2 * 2
        if x > width or y > height:
            return -1
        if at > length:
            return length
    return at if y >= height else length
