# cython: language_level=3, boundscheck=True, wraparound=False, initializedcheck=False
"""Entropy encoding: quantised coefficients to tokens, and tokens to bits (T.81 F.1, G.1).

A *token* is what one Huffman code and the bits behind it stand for, in one 32-bit number: which
table row and symbol (12 bits), how many further bits (4), and these bits (16). Tokens are made
first and turned into bits later, because the best Huffman tables follow from counting them.
"""

cimport cython
from libc.string cimport memcpy
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

import numpy as np

from sfumato.errors import Code, SampleError

cdef enum:
    RAW_ID = 2048  # no code, only further bits
    RESTART_ID = 2049  # the end of a restart interval
    END_OF_BLOCK = 0x00
    SIXTEEN_ZEROS = 0xF0
    LONGEST_RUN = 0x7FFF  # blocks that one end-of-band code can stand for
    MOST_WAITING = 900  # refining bits kept back before the run they belong to is written

RAW, RESTART, IDS = RAW_ID, RESTART_ID, 2050


cdef extern from *:
    int leading_zeros "__builtin_clz"(unsigned int value) noexcept nogil


cdef inline uint32_t big_endian(uint32_t word) noexcept:
    """Return a word whose first byte in memory is its highest."""
    cdef uint8_t bytes_of[4]
    cdef uint32_t result
    bytes_of[0], bytes_of[1] = <uint8_t>(word >> 24), <uint8_t>(word >> 16)
    bytes_of[2], bytes_of[3] = <uint8_t>(word >> 8), <uint8_t>word
    memcpy(&result, bytes_of, 4)
    return result


cdef inline int size_of(int value) noexcept:
    """Return the category of a number: the bits of its magnitude (T.81 F.1.2.1.1)."""
    return 32 - leading_zeros(value if value > 0 else -value) if value else 0


cdef inline uint32_t token_of(int name, int size, int value) noexcept:
    """Return the token of a symbol and a number; negative ones go in ones' complement."""
    cdef int bits = (value if value >= 0 else value - 1) & ((1 << size) - 1)
    return <uint32_t>name | (<uint32_t>size << 12) | (<uint32_t>bits << 16)


cdef inline Py_ssize_t whole_band(
    const int16_t[::1] flat, const int64_t[::1] fours, Py_ssize_t first, int row,
    uint32_t[::1] out, Py_ssize_t used
) except -1:
    """Write coefficients 1 to 63 of a block: runs of zeros, each with what ends it (T.81 F.1.2.2).

    The block begins at `first` in `flat`, which `fours` shows four coefficients at a time; the
    codes are those of table row `row`. Tokens go to `out` from `used` on; return where they end.
    """
    cdef int k = 1, zeros = 0, value, size
    while k < 64:
        if k & 3 == 0 and fours[(first + k) >> 2] == 0:
            k += 4
            zeros += 4
            continue
        value = flat[first + k]
        k += 1
        if value == 0:
            zeros += 1
            continue
        while zeros > 15:
            out[used] = row + SIXTEEN_ZEROS
            used += 1
            zeros -= 16
        size = size_of(value)
        out[used] = token_of(row + (zeros << 4) + size, size, value)
        used += 1
        zeros = 0
    if zeros:
        out[used] = row + END_OF_BLOCK
        used += 1
    return used


@cython.final
cdef class ScanTokens:
    """Writes the tokens of one scan; `order` and `owners` are as in `ScanReader`."""

    cdef const int16_t[:, ::1] coefficients
    cdef const int32_t[:, ::1] order
    cdef const int32_t[::1] owners
    cdef const int64_t[:, ::1] fours  # the same, four coefficients at a time
    cdef const int16_t[::1] flat
    cdef const int64_t[::1] flat_fours
    cdef uint32_t[::1] out
    cdef Py_ssize_t used
    cdef int32_t[::1] last_dc
    cdef uint8_t[::1] waiting  # refining bits that follow the next end-of-band code
    cdef int waiting_used, run

    def __init__(self, coefficients, order, owners, out, last_dc, waiting):
        self.coefficients, self.fours = coefficients, coefficients.view(np.int64)
        self.flat, self.flat_fours = coefficients.reshape(-1), self.fours.base.reshape(-1)
        self.order, self.owners = order, owners
        self.out, self.last_dc, self.waiting = out, last_dc, waiting

    def count(self):
        """Return how many tokens have been written."""
        return self.used

    def restart(self):
        """End a restart interval."""
        self.token(RESTART_ID, 0, 0)

    def sequential(self, Py_ssize_t mcu, Py_ssize_t stop, bint first_of_interval):
        """Write MCUs of a sequential scan (T.81 F.1.2)."""
        cdef Py_ssize_t i, blocks = self.owners.shape[0]
        cdef const int16_t[::1] flat = self.flat
        cdef const int64_t[::1] fours = self.flat_fours
        cdef const int32_t[:, ::1] order = self.order
        cdef uint32_t[::1] out = self.out
        cdef Py_ssize_t first
        cdef int32_t owner
        self.begin(mcu, first_of_interval)
        while mcu < stop:
            for i in range(blocks):
                owner, first = self.owners[i], 64 * <Py_ssize_t>order[mcu, i]
                self.difference(owner, flat[first])
                self.used = whole_band(
                    flat, fours, first, 256 * (2 * owner + 1), out, self.used)
            mcu += 1

    def dc_first(self, Py_ssize_t mcu, Py_ssize_t stop, int low):
        """Write the upper bits of the DC coefficients of a restart interval."""
        cdef Py_ssize_t i
        self.begin(mcu, True)
        while mcu < stop:
            for i in range(self.owners.shape[0]):
                # Shifted, not divided: negative numbers go down (T.81 G.1.2.1).
                self.difference(self.owners[i], self.coefficients[self.order[mcu, i], 0] >> low)
            mcu += 1

    def dc_refine(self, Py_ssize_t mcu, Py_ssize_t stop, int low):
        """Write one further bit of the DC coefficients of a restart interval."""
        cdef Py_ssize_t i
        while mcu < stop:
            for i in range(self.owners.shape[0]):
                self.token(RAW_ID, 1, (self.coefficients[self.order[mcu, i], 0] >> low) & 1)
            mcu += 1

    def ac_first(self, Py_ssize_t mcu, Py_ssize_t stop, int first, int last, int low):
        """Write the upper bits of a band of AC coefficients (T.81 G.1.2.2)."""
        while mcu < stop:
            self.band(self.order[mcu, 0], first, last, low)
            mcu += 1
        self.end_run()

    def ac_refine(self, Py_ssize_t mcu, Py_ssize_t stop, int first, int last, int low):
        """Write one further bit of a band of AC coefficients (T.81 G.1.2.3, figure G.7)."""
        while mcu < stop:
            self.refined_band(self.order[mcu, 0], first, last, low)
            mcu += 1
        self.end_run()

    cdef int begin(self, Py_ssize_t mcu, bint first_of_interval) except -1:
        """Set what the first DC differences refer to: 0, or the MCU before."""
        cdef Py_ssize_t i
        self.last_dc[:] = 0
        if not first_of_interval:
            for i in range(self.owners.shape[0]):
                self.last_dc[self.owners[i]] = self.coefficients[self.order[mcu - 1, i], 0]
        return 0

    cdef inline int token(self, int name, int size, int bits) except -1:
        self.out[self.used] = <uint32_t>name | (<uint32_t>size << 12) | (<uint32_t>bits << 16)
        self.used += 1
        return 0

    cdef inline int signed_token(self, int name, int size, int value) except -1:
        """Write a symbol and the bits of a number."""
        self.out[self.used] = token_of(name, size, value)
        self.used += 1
        return 0

    cdef inline int difference(self, int32_t owner, int value) except -1:
        """Write the difference to the last DC coefficient of a component (T.81 F.1.2.1)."""
        cdef int step = value - self.last_dc[owner]
        cdef int size = size_of(step)
        if size > 11:
            raise SampleError(Code.IMAGE_ENCODE, "JPEG: a step of DC that no code can hold")
        self.last_dc[owner] = value
        return self.signed_token(256 * 2 * owner + size, size, step)

    cdef inline int band(self, int32_t block, int first, int last, int low) except -1:
        """Write the upper bits of a band of AC coefficients, as `whole_band` does all of them."""
        cdef int k = first, value, size, zeros = 0
        while k <= last:
            if k & 3 == 0 and k + 3 <= last and self.fours[block, k >> 2] == 0:
                k += 4
                zeros += 4
                continue
            value = self.coefficients[block, k]
            # A first scan leaves low bits to later ones; towards zero.
            value = (value >> low) if value > 0 else -((-value) >> low)
            k += 1
            if value == 0:
                zeros += 1
                continue
            self.end_run()
            while zeros > 15:
                self.token(256 + SIXTEEN_ZEROS, 0, 0)
                zeros -= 16
            size = size_of(value)
            self.signed_token(256 + (zeros << 4) + size, size, value)
            zeros = 0
        if zeros:
            self.run += 1
            if self.run == LONGEST_RUN:
                self.end_run()
        return 0

    cdef inline int refined_band(self, int32_t block, int first, int last, int low) except -1:
        """Write new coefficients as runs and signs, and the next bit of each older one."""
        cdef int k, value, zeros = 0, newest = 0, start
        for k in range(first, last + 1):
            value = self.coefficients[block, k]
            if (value if value >= 0 else -value) >> low == 1:
                newest = k
        start = self.waiting_used  # this block's refining bits begin here
        for k in range(first, last + 1):
            value = self.coefficients[block, k]
            value = (value >> low) if value >= 0 else -((-value) >> low)
            if value == 0:
                zeros += 1
                continue
            while zeros > 15 and k <= newest:
                start = self.end_run_before(start)
                self.token(256 + SIXTEEN_ZEROS, 0, 0)
                start = self.flush(start)
                zeros -= 16
            if value > 1 or value < -1:
                self.waiting[self.waiting_used] = value & 1 if value > 0 else (-value) & 1
                self.waiting_used += 1
                continue
            start = self.end_run_before(start)
            self.token(256 + (zeros << 4) + 1, 1, value > 0)
            start = self.flush(start)
            zeros = 0
        if zeros or self.waiting_used > start:
            self.run += 1
            if self.run == LONGEST_RUN or self.waiting_used > MOST_WAITING:
                self.end_run()
        return 0

    cdef int end_run_before(self, int start) except -1:
        """Write the pending end-of-band run and the bits that belong to it, not this block's."""
        cdef int i, own = self.waiting_used - start
        if self.run:
            self.waiting_used = start
            self.end_run()
            for i in range(own):
                self.waiting[i] = self.waiting[start + i]
            self.waiting_used = own
            start = 0
        return start

    cdef int flush(self, int start) except -1:
        """Write the refining bits from `start` on."""
        cdef int i
        for i in range(start, self.waiting_used):
            self.token(RAW_ID, 1, self.waiting[i])
        self.waiting_used = start
        return start

    cdef int end_run(self) except -1:
        """Write the end-of-band code for the blocks that wait for it, and their refining bits."""
        cdef int size
        if self.run:
            size = size_of(self.run) - 1
            self.token(256 + (size << 4), size, self.run & ((1 << size) - 1))
            self.run = 0
            self.flush(0)
        return 0


def count(const uint32_t[::1] tokens, int64_t[::1] counts):
    """Add up how often each code is named; return the number of bits behind the codes."""
    cdef Py_ssize_t i
    cdef int64_t bits = 0
    for i in range(tokens.shape[0]):
        counts[tokens[i] & 0xFFF] += 1
        bits += (tokens[i] >> 12) & 15
    return bits


@cython.final
cdef class BitWriter:
    """Collects bits, first bit highest, into `out`; `bounds` are the bytes where intervals end."""

    cdef uint32_t[::1] out
    cdef Py_ssize_t used
    cdef uint64_t held  # bits not yet in `out`, at most 31
    cdef int held_bits
    cdef readonly list bounds

    def __init__(self, out):
        self.out = out
        self.bounds = []

    cdef inline int push(self, uint64_t bits, int size) except -1:
        """Append up to 32 bits."""
        self.held = (self.held << size) | bits
        self.held_bits += size
        if self.held_bits >= 32:
            self.held_bits -= 32
            self.out[self.used] = big_endian(<uint32_t>(self.held >> self.held_bits))
            self.used += 1
        return 0

    def put(self, const uint32_t[::1] tokens, const uint32_t[::1] codes, const uint8_t[::1] lengths):
        """Append tokens; codes and lengths go by the token's lower 12 bits."""
        cdef Py_ssize_t i, used = self.used
        cdef uint32_t token, size
        cdef int name
        cdef uint64_t held = self.held
        cdef int held_bits = self.held_bits
        cdef uint32_t[::1] out = self.out
        for i in range(tokens.shape[0]):
            token = tokens[i]
            name = token & 0xFFF
            if name == RESTART_ID:
                self.used, self.held, self.held_bits = used, held, held_bits
                self.align()
                used, held, held_bits = self.used, self.held, self.held_bits
                continue
            size = (token >> 12) & 15
            held = (held << (lengths[name] + size)) | (<uint64_t>codes[name] << size) | (token >> 16)
            held_bits += lengths[name] + size
            if held_bits >= 32:
                held_bits -= 32
                out[used] = big_endian(<uint32_t>(held >> held_bits))
                used += 1
        self.used, self.held, self.held_bits = used, held, held_bits

    def copy(self, const uint64_t[::1] words, int64_t start, int64_t stop):
        """Append bits of another scan as they are; `words` as in `ScanReader`."""
        cdef int rest
        while stop - start >= 32:
            self.push((words[start >> 5] << (start & 31)) >> 32, 32)
            start += 32
        rest = <int>(stop - start)
        if rest > 0:
            self.push((words[start >> 5] << (start & 31)) >> (64 - rest), rest)

    def align(self):
        """Fill up the last byte with ones and end a restart interval (T.81 F.1.2.3)."""
        cdef int missing = -self.held_bits & 7
        self.push((1 << missing) - 1, missing)
        self.bounds.append(4 * self.used + self.held_bits // 8)

    def payload(self):
        """Return the bytes of all intervals; the last one has to be ended."""
        cdef Py_ssize_t size = 4 * self.used + self.held_bits // 8
        if self.held_bits:
            self.push(0, 32 - self.held_bits)
        return np.asarray(self.out[:self.used]).view(np.uint8)[:size].tobytes()
