# cython: language_level=3, boundscheck=True, wraparound=False, initializedcheck=False
"""Where entropy-coded data end."""

from libc.stdint cimport uint8_t, uint32_t


def end_of_scan(const uint8_t[::1] data, Py_ssize_t start):
    """Return where a marker begins that is no restart marker, with the fill bytes before it.

    The length of the data, without a last 0xFF, if there is none; ``~offset`` of fill bytes
    that stand before a stuffed zero, which no encoder may write.
    """
    cdef Py_ssize_t at = start, begin, length = data.shape[0]
    cdef uint32_t four
    while at < length:
        if at + 4 <= length:  # four at a time where none is 0xFF
            four = (<uint32_t>data[at] << 24 | <uint32_t>data[at + 1] << 16
                    | <uint32_t>data[at + 2] << 8 | data[at + 3])
            if not four & (~four - <uint32_t>0x01010101) & <uint32_t>0x80808080:
                at += 4
                continue
        if data[at] != 0xFF:
            at += 1
            continue
        begin = at
        while at < length and data[at] == 0xFF:
            at += 1
        if at == length:
            return length - 1
        if data[at] == 0:
            if at - begin > 1:
                return ~begin
        elif data[at] < 0xD0 or data[at] > 0xD7:
            return begin
        at += 1
    return length
