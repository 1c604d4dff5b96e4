# cython: language_level=3, boundscheck=True, wraparound=False, initializedcheck=False
"""Huffman tables in the forms that reading and writing want, and doing without missing codes."""

from libc.stdint cimport int16_t, int32_t, uint8_t, uint32_t

cdef enum:
    SHORT = 11  # bits: codes up to this length are found by one look into a table
    END_OF_BLOCK = 0x00
    SIXTEEN_ZEROS = 0xF0


def fill(const uint8_t[::1] table, int32_t[::1] entries):
    """Fill the entries of a `Lookup` (see there) from a table as T.81 stores it; return its limit.

    `entries` are zero, and as many as `Lookup` says.
    """
    cdef int length, number, size, i
    cdef Py_ssize_t symbol = 16
    cdef int32_t code = 0, limit = 1 << 16, entry, step, pattern, value  # codes are left-aligned, 16 bits
    for length in range(1, 17):
        step = 1 << (16 - length)
        if length == SHORT + 1:
            limit = code
        for number in range(table[length - 1]):
            size = table[symbol] & 15
            entry = table[symbol] << 8 | (length + size)
            if length > SHORT:
                for i in range(step):
                    entries[(1 << SHORT) + code + i - limit] = entry
            elif size and length + size <= SHORT:  # the number behind the code is seen as well
                for i in range(step >> (16 - SHORT)):
                    pattern = code + (i << (16 - SHORT))
                    value = (pattern >> (16 - length - size)) & ((1 << size) - 1)
                    if value >> (size - 1) == 0:  # negative (T.81 figure F.12)
                        value -= (1 << size) - 1
                    entries[pattern >> (16 - SHORT)] = entry | value * (1 << 16)
            else:
                for i in range(step >> (16 - SHORT)):
                    entries[(code >> (16 - SHORT)) + i] = entry
            code += step
            symbol += 1
    return limit if code > limit else 1 << 16


def assign(const uint8_t[::1] table, uint32_t[::1] codes, uint8_t[::1] lengths):
    """Write the code and the length of each symbol of a table (T.81 C.2) to its place."""
    cdef int length, number
    cdef Py_ssize_t symbol = 16
    cdef uint32_t code = 0
    for length in range(1, 17):
        for number in range(table[length - 1]):
            codes[table[symbol]], lengths[table[symbol]] = code, length
            code += 1
            symbol += 1
        code <<= 1


def respell(int16_t[:, ::1] coefficients, const int32_t[::1] blocks, const uint8_t[::1] lengths):
    """Change blocks so that every AC symbol they need has a code; return whether that was possible.

    `lengths` are those of the 256 codes, 0 where there is none. Where a run of zeros and the
    number behind it have no code, one of the zeros becomes 1 and breaks the run in two that have
    codes, or a number of size 1 or 2 loses 1. Both change a coefficient by one step.
    """
    cdef Py_ssize_t i
    for i in range(blocks.shape[0]):
        if not respelled(coefficients[blocks[i]], lengths):
            return False
    return True


cdef inline int size_of(int value) noexcept:
    """Return the category of a number: the bits of its magnitude (T.81 F.1.2.1.1)."""
    cdef int size = 0
    value = value if value > 0 else -value
    while value:
        size += 1
        value >>= 1
    return size


cdef inline bint has_code(const uint8_t[::1] lengths, int zeros, int size) except -1:
    return lengths[((zeros & 15) << 4) + size] and (zeros < 16 or lengths[SIXTEEN_ZEROS])


cdef bint respelled(int16_t[::1] block, const uint8_t[::1] lengths) except -1:
    """Do for one block what `respell` says."""
    cdef int k = 1, last = 0, size, between, value
    while k < 64:
        value = block[k]
        size = size_of(value)
        if size == 0 or has_code(lengths, k - last - 1, size):
            last = k if size else last
            k += 1
            continue
        for between in range(last + 1, k):
            if has_code(lengths, between - last - 1, 1) and has_code(lengths, k - between - 1, size):
                block[between] = 1
                break
        else:
            if size > 2 or value > 2 or value < -2:
                return False
            block[k] -= 1 if value > 0 else -1  # and look at it again
            continue
        last = k
        k += 1
    return last == 63 or lengths[END_OF_BLOCK]
