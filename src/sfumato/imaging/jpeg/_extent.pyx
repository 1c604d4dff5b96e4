# cython: language_level=3, boundscheck=True, wraparound=False, initializedcheck=False
"""How far the blocks of a sequential scan reach: its codes passed over, their numbers not read.

`words` and `entries` are those of `_decode` and `huffman.Lookup`. Most codes are short, so one
look into `steps` passes over all those that lie whole within the next 11 bits.
"""

from libc.stdint cimport int32_t, int64_t, uint64_t

cdef enum:
    SHORT = 11
    MOST_BLOCKS = 10
    DC_SIZES = 11
    END = 1 << 16  # of a block
    BROKEN = -1
    CUT_OFF = -2


def fill_steps(const int32_t[::1] entries, int32_t[::1] steps):
    """Fill `steps` (2048) of an AC table: bits | coefficients << 8, and `END` at a block's end.

    0 where the first code is longer than 11 bits with the number behind it.
    """
    cdef int pattern, bits, passed, entry, total, symbol
    cdef int32_t end
    for pattern in range(1 << SHORT):
        bits, passed, end = 0, 0, 0
        while bits < SHORT and not end:
            entry = entries[(pattern << bits) & ((1 << SHORT) - 1)]
            total, symbol = entry & 255, (entry >> 8) & 255
            if entry == 0 or bits + total > SHORT or passed > 48:
                break
            if symbol & 15 == 0 and symbol != 0xF0:
                if symbol:
                    break  # illegal: told where it is read alone
                end = END
            else:
                passed += (symbol >> 4) + 1
            bits += total
        steps[pattern] = bits | passed << 8 | end


def passed_over(const uint64_t[::1] words, const int32_t[::1] entries, const int32_t[::1] steps,
                const int32_t[:, ::1] tables, const int32_t[::1] owners, int64_t at, int64_t end,
                int64_t mcus):
    """Return the bit behind this many MCUs that begin at bit `at` of a restart interval.

    -1 where a code is in no table or can't be, -2 where they reach past `end`. `tables` holds
    (base, limit) of the DC and the AC entries of each component in turn; `steps` has 2048 for each
    component, `owners` the component of each block of an MCU.
    """
    cdef Py_ssize_t i, blocks = owners.shape[0]
    cdef int32_t dc_base[MOST_BLOCKS], dc_limit[MOST_BLOCKS], ac_base[MOST_BLOCKS]
    cdef int32_t ac_limit[MOST_BLOCKS], step_base[MOST_BLOCKS]
    cdef uint64_t bits
    cdef int32_t entry, step
    cdef int k, symbol
    if blocks > MOST_BLOCKS:
        return BROKEN
    for i in range(blocks):
        dc_base[i], dc_limit[i] = tables[2 * owners[i], 0], tables[2 * owners[i], 1]
        ac_base[i], ac_limit[i] = tables[2 * owners[i] + 1, 0], tables[2 * owners[i] + 1, 1]
        step_base[i] = owners[i] << SHORT
    while mcus > 0:
        for i in range(blocks):
            bits = words[at >> 5] << (at & 31)
            entry = code(entries, dc_base[i], dc_limit[i], bits)
            if entry == 0 or (entry >> 8) & 255 > DC_SIZES:
                return BROKEN
            at += entry & 255
            k = 1
            while k < 64:
                bits = words[at >> 5] << (at & 31)
                step = steps[step_base[i] + <int32_t>(bits >> (64 - SHORT))]
                if step and k + ((step >> 8) & 255) < 64:
                    k += (step >> 8) & 255
                    at += step & 255
                    if step & END:
                        break
                    continue
                entry = code(entries, ac_base[i], ac_limit[i], bits)
                symbol = (entry >> 8) & 255
                if entry == 0:
                    return BROKEN
                at += entry & 255
                if symbol == 0:
                    break
                k += (symbol >> 4) + 1
                if k > 64 or (symbol & 15 == 0 and symbol != 0xF0):
                    return BROKEN
            if at > end:
                return CUT_OFF
        mcus -= 1
    return at


cdef inline int32_t code(const int32_t[::1] entries, int32_t base, int32_t limit,
                         uint64_t bits) except -1:
    """Return the entry of the code that these bits begin with, 0 where there is none."""
    cdef int32_t entry = entries[base + <int32_t>(bits >> (64 - SHORT))]
    cdef int32_t pattern
    if entry == 0:
        pattern = <int32_t>(bits >> 48)
        if pattern >= limit:
            entry = entries[base + (1 << SHORT) + pattern - limit]
    return entry
