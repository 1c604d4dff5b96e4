# cython: language_level=3, boundscheck=True, wraparound=False, initializedcheck=False
"""Entropy decoding: the bits of a scan to quantised coefficients (T.81 Annexes F.2 and G).

Bits are read from `words`: words[i] holds the 64 bits that begin at bit 32*i, so that at least
33 bits from any position on are one load and one shift away, and the position is all there is to
remember. A code has at most 16 bits and what follows it at most 15: one look shows both.

Everything that input can index is a memoryview with its bounds checked.
"""

cimport cython
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from sfumato.imaging.jpeg.markers import broken

# Categories of 8-bit images (T.81 F.1.2.1 and F.1.2.2): differences of two DC coefficients
# are below 2^11, AC coefficients below 2^10.
cdef enum:
    DC_SIZES = 11
    AC_SIZES = 10
    DC_LARGEST = 2047
    MOST_BLOCKS = 10  # of an MCU, and
    MOST_COMPONENTS = 4  # of a scan (T.81 B.2.3)
    SHORT = 11  # bits: codes up to this length are found by one look into a table
    # How far a scan can read past its end before that is checked, at the end of a block or MCU:
    # 64 coefficients of up to 31 bits, in bytes; 10 blocks of DC are less.
    PADDING = 268


def unstuffed(const uint8_t[::1] data, uint64_t[::1] words):
    """Fill `words` with the bits of a scan; return the bytes at which its intervals begin and end.

    Stuffed zeros and restart markers (T.81 B.1.1.5, B.2.1) are left out; the offsets count
    without them. Behind the data come zeros, enough for a block that reads past the end.
    """
    cdef Py_ssize_t at = 0, size = 0, length = data.shape[0]
    cdef uint64_t last_eight = 0
    cdef uint32_t four
    cdef uint8_t byte
    cdef int restarts = 0
    bounds = [0]
    while at < length:
        if size & 3 == 0 and at + 4 <= length:  # four at a time where none is 0xFF
            four = (<uint32_t>data[at] << 24 | <uint32_t>data[at + 1] << 16
                    | <uint32_t>data[at + 2] << 8 | data[at + 3])
            if not holds_ff(four):
                last_eight = (last_eight << 32) | four
                at += 4
                size += 4
                if size >= 8:
                    words[(size >> 2) - 2] = last_eight
                continue
        byte = data[at]
        at += 1
        if byte == 0xFF:
            while at < length and data[at] == 0xFF:
                at += 1
            if at == length or data[at] != 0:
                if at == length or data[at] != 0xD0 + restarts % 8:
                    raise broken("restart markers missing or out of order")
                restarts += 1
                bounds.append(size)
                at += 1
                continue
            at += 1
        last_eight = (last_eight << 8) | byte
        size += 1
        if size & 3 == 0 and size >= 8:
            words[(size >> 2) - 2] = last_eight
    bounds.append(size)
    for at in range(PADDING):
        last_eight <<= 8
        size += 1
        if size & 3 == 0 and size >= 8:
            words[(size >> 2) - 2] = last_eight
    return tuple(bounds)


cdef inline bint holds_ff(uint32_t four) noexcept:
    """Return whether one of four bytes is 0xFF: the usual test for a zero byte, complemented."""
    return (four & (~four - <uint32_t>0x01010101) & <uint32_t>0x80808080) != 0


def same_bits(const uint64_t[::1] a, int64_t at, const uint64_t[::1] b, int64_t other,
              int64_t count):
    """Return whether `count` bits of two scans are the same, from these positions on."""
    while count >= 32:
        if (a[at >> 5] << (at & 31)) >> 32 != (b[other >> 5] << (other & 31)) >> 32:
            return False
        at += 32
        other += 32
        count -= 32
    return count <= 0 or (
        (a[at >> 5] << (at & 31)) >> (64 - count) == (b[other >> 5] << (other & 31)) >> (64 - count))


cdef inline int appended(uint64_t bits, int length, int size) noexcept:
    """Return the `size` bits after a code of `length` bits, as they are."""
    return <int>((bits << length) >> 1 >> (63 - size))


cdef inline int extended(uint64_t bits, int length, int size) noexcept:
    """Return the signed number in the `size` bits after a code (T.81 figure F.12), size >= 1."""
    cdef int value = appended(bits, length, size)
    # A leading 0 means negative: then 2^size - 1 is subtracted.
    return value - (((value >> (size - 1)) - 1) & ((1 << size) - 1))


cdef struct Table:
    int32_t base  # where its entries begin
    int32_t limit  # the first pattern of 16 bits that belongs to a long code


cdef inline int decoded(const int32_t[::1] entries, Table table, uint64_t bits) except 0:
    """Return the entry (see `Lookup`) of the code that these bits begin with."""
    cdef int entry = entries[<size_t>table.base + (bits >> (64 - SHORT))]
    cdef int32_t pattern
    if entry == 0:
        pattern = <int32_t>(bits >> 48)
        if pattern >= table.limit:
            entry = entries[table.base + (1 << SHORT) + pattern - table.limit]
        if entry == 0:
            raise broken("a code that is in no Huffman table")
    return entry


cdef inline int64_t difference(const uint64_t[::1] words, const int32_t[::1] entries, Table table,
                               int32_t* last_dc, int64_t at) except -1:
    """Read the difference to the last DC coefficient of a component (T.81 F.2.2.1)."""
    cdef uint64_t bits = words[<size_t>at >> 5] << (at & 31)
    cdef int entry = decoded(entries, table, bits)
    cdef int size = (entry >> 8) & 255, total = entry & 255
    cdef int32_t value
    if size > DC_SIZES:
        raise broken("a DC coefficient that can't be")
    if size:
        value = last_dc[0] + extended(bits, total - size, size)
        if value > DC_LARGEST or value < -DC_LARGEST:
            raise broken("a DC coefficient that can't be")
        last_dc[0] = value
    return at + total


cdef inline int64_t band(const uint64_t[::1] words, const int32_t[::1] entries, Table table,
                         int16_t[::1] coefficients, size_t first, int64_t at) except -1:
    """Read coefficients 1 to 63 of a block of a sequential scan (T.81 F.2.2.2).

    `first` is where the block begins in `coefficients`.
    """
    cdef int k = 1, entry, size, value, total, ready = 64 - <int>(at & 31)
    cdef uint64_t bits = words[<size_t>at >> 5] << (at & 31)
    while k < 64:
        if ready < 32:
            bits = words[<size_t>at >> 5] << (at & 31)
            ready = 64 - <int>(at & 31)
        entry = decoded(entries, table, bits)
        k += (entry >> 12) & 15
        total = entry & 255
        at += total
        value = entry >> 16
        if value == 0:
            size = (entry >> 8) & 15
            if size == 0:
                if entry >> 8 == 0:  # end of block
                    return at
                if entry >> 8 != 0xF0 or k >= 63:
                    raise broken("a run of zeros that can't be")
                k += 1
                bits <<= total
                ready -= total
                continue
            if size > AC_SIZES:
                raise broken("a coefficient that can't be")
            value = extended(bits, total - size, size)
        if k > 63:
            raise broken("a coefficient that can't be")
        coefficients[first + <size_t>k] = <int16_t>value
        k += 1
        bits <<= total
        ready -= total
    return at


@cython.final
cdef class ScanReader:
    """Reads one scan into `coefficients` (blocks, 64): quantised, in the order of the file.

    `order` (MCUs, blocks of an MCU) gives the block numbers as the scan goes through them,
    `owners` the component of each block of an MCU, `tables` the rows (base, limit) of the
    lookups in `entries`: row 2 * component for DC, the next one for AC.
    """

    cdef const uint64_t[::1] words
    cdef const int32_t[::1] entries
    cdef const int32_t[:, ::1] tables
    cdef const int32_t[:, ::1] order
    cdef const int32_t[::1] owners
    cdef int16_t[:, ::1] coefficients
    cdef int16_t[::1] flat  # the same, one behind the other
    cdef uint8_t[::1] busy  # per block: has coefficients other than DC (progressive scans)
    cdef int32_t[::1] last_dc  # per component

    def __init__(self, words, entries, tables, order, owners, coefficients, busy, last_dc):
        self.words, self.entries, self.tables = words, entries, tables
        self.order, self.owners = order, owners
        self.coefficients, self.flat = coefficients, coefficients.reshape(-1)
        self.busy, self.last_dc = busy, last_dc

    def sequential(self, int64_t at, int64_t end, Py_ssize_t mcu, Py_ssize_t stop,
                   int64_t[::1] positions, bint first_of_interval=True):
        """Read MCUs of one restart interval (T.81 F.2); note the bit at which each begins.

        Where they are not the first of their interval, the MCU before has to be there already.
        """
        cdef Py_ssize_t i, blocks = self.owners.shape[0]
        cdef size_t first
        cdef const uint64_t[::1] words = self.words
        cdef const int32_t[::1] entries = self.entries
        cdef const int32_t[:, ::1] order = self.order
        cdef int16_t[::1] flat = self.flat
        cdef int32_t owners[MOST_BLOCKS]
        cdef int32_t last_dc[MOST_COMPONENTS]
        cdef Table dc_tables[MOST_COMPONENTS]
        cdef Table ac_tables[MOST_COMPONENTS]
        cdef int32_t owner
        if blocks > MOST_BLOCKS:
            raise broken("more than 10 blocks in an MCU")
        for i in range(MOST_COMPONENTS):
            last_dc[i] = 0
        for i in range(blocks):
            owner = owners[i] = self.owners[i]
            dc_tables[owner], ac_tables[owner] = self.table(2 * owner), self.table(2 * owner + 1)
            if not first_of_interval:
                last_dc[owner] = self.coefficients[order[mcu - 1, i], 0]
        while mcu < stop:
            positions[mcu] = at
            for i in range(blocks):
                owner, first = owners[i], 64 * <size_t>order[mcu, i]
                at = difference(words, entries, dc_tables[owner], &last_dc[owner], at)
                flat[first] = <int16_t>last_dc[owner]
                at = band(words, entries, ac_tables[owner], flat, first, at)
                if at > end:
                    raise broken("the data end before the image does")
            mcu += 1
        return at

    def dc_first(self, int64_t at, int64_t end, Py_ssize_t mcu, Py_ssize_t stop, int low):
        """Read the upper bits of DC coefficients of one restart interval (T.81 G.1.2.1)."""
        cdef Py_ssize_t i
        cdef int32_t owner, value
        self.last_dc[:] = 0
        while mcu < stop:
            for i in range(self.owners.shape[0]):
                owner = self.owners[i]
                at = difference(
                    self.words, self.entries, self.table(2 * owner), &self.last_dc[owner], at)
                value = self.last_dc[owner] * (1 << low)
                if value > DC_LARGEST or value < -DC_LARGEST - 1:
                    raise broken("a DC coefficient that can't be")
                self.coefficients[self.order[mcu, i], 0] = <int16_t>value
            if at > end:
                raise broken("the data end before the image does")
            mcu += 1
        return at

    def dc_refine(self, int64_t at, int64_t end, Py_ssize_t mcu, Py_ssize_t stop, int low):
        """Read one further bit of each DC coefficient of one restart interval."""
        cdef Py_ssize_t i
        while mcu < stop:
            for i in range(self.owners.shape[0]):
                if self.window(at) >> 63:
                    self.coefficients[self.order[mcu, i], 0] |= <int16_t>(1 << low)
                at += 1
            if at > end:
                raise broken("the data end before the image does")
            mcu += 1
        return at

    def ac_first(self, int64_t at, int64_t end, Py_ssize_t mcu, Py_ssize_t stop,
                 int first, int last, int low):
        """Read the upper bits of a band of AC coefficients (T.81 G.1.2.2)."""
        cdef Table table = self.table(1)
        cdef int k, entry, run, size, total
        cdef int32_t block
        cdef uint64_t bits
        while mcu < stop:
            block = self.order[mcu, 0]
            k = first
            while k <= last:
                bits = self.window(at)
                entry = decoded(self.entries, table, bits)
                total, run, size = entry & 255, (entry >> 12) & 15, (entry >> 8) & 15
                at += total
                if size == 0 and run < 15:  # this band ends here, and so it is in further blocks
                    at += run
                    mcu += ((1 << run) - 1) + appended(bits, total, run)
                    break
                k += run
                if size:
                    if k > last or size + low > AC_SIZES:
                        raise broken("a coefficient that can't be")
                    self.coefficients[block, k] = <int16_t>(
                        extended(bits, total - size, size) * (1 << low))
                    self.busy[block] = 1
                k += 1
            if at > end:
                raise broken("the data end before the image does")
            if k > last + 1:
                raise broken("a run of zeros past the end of a band")
            mcu += 1
        if mcu > stop:
            raise broken("an end-of-band run past the end of the scan")
        return at

    def ac_refine(self, int64_t at, int64_t end, Py_ssize_t mcu, Py_ssize_t stop,
                  int first, int last, int low):
        """Read one further bit of a band of AC coefficients (T.81 G.1.2.3)."""
        cdef Table table = self.table(1)
        cdef int k, entry, run, size, value, waiting = 0
        cdef int32_t block
        cdef uint64_t bits
        while mcu < stop:
            block = self.order[mcu, 0]
            k = first
            while k <= last and waiting == 0:
                bits = self.window(at)
                entry = decoded(self.entries, table, bits)
                run, size, value = (entry >> 12) & 15, (entry >> 8) & 15, 0
                at += entry & 255
                if size == 0 and run < 15:
                    waiting = (1 << run) + appended(bits, entry & 255, run)
                    at += run
                    break
                if size > 1:
                    raise broken("a new coefficient that isn't one")
                if size:
                    value = extended(bits, (entry & 255) - 1, 1) * (1 << low)
                k = self.refined(block, k, last, run, low, &at)
                if k > last:
                    raise broken("a run of zeros past the end of a band")
                if value:
                    self.coefficients[block, k] = <int16_t>value
                    self.busy[block] = 1
                k += 1
            if waiting:
                waiting -= 1
                if self.busy[block]:
                    self.refined(block, k, last, 64, low, &at)
            if at > end:
                raise broken("the data end before the image does")
            mcu += 1
        if waiting:
            raise broken("an end-of-band run past the end of the scan")
        return at

    cdef inline int refined(self, int32_t block, int k, int last, int run, int low,
                            int64_t* at) except -1:
        """Pass `run` zeros from k on, refining what isn't zero; return where the next zero is."""
        cdef int old
        while k <= last:
            old = self.coefficients[block, k]
            if old == 0:
                if run == 0:
                    break
                run -= 1
            else:
                if self.window(at[0]) >> 63:
                    old += (1 << low) if old > 0 else -(1 << low)
                    self.coefficients[block, k] = <int16_t>old
                at[0] += 1
            k += 1
        return k

    cdef inline uint64_t window(self, int64_t at) except? 1:
        """Return the bits from a position on, the first one highest; at least 33 of them."""
        return self.words[at >> 5] << (at & 31)

    cdef inline Table table(self, Py_ssize_t row) except *:
        cdef Table result
        result.base, result.limit = self.tables[row, 0], self.tables[row, 1]
        return result
