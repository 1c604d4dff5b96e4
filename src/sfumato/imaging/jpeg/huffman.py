"""Huffman tables: what a DHT segment means, and the best table for given counts.

A table is stored as T.81 stores it: 16 bytes, how many codes have 1, 2, ... 16 bits, and then
the symbols in the order of their codes. The codes themselves follow from that (Annex C).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sfumato.imaging.jpeg._tables import assign, fill
from sfumato.imaging.jpeg.markers import broken

SHORT_BITS: Final = 11  # codes up to this length are found by one look into a table


@dataclass(frozen=True, slots=True)
class Lookup:
    """A table for reading: bits to symbol.

    `entries` hold ``value << 16 | symbol << 8 | bits``, 0 where no code begins like that; the
    bits are those of the code and of the number behind it, whose size is the lower half of the
    symbol. The first 2048 are looked up by the next 11 bits; where these show the number as
    well, it is the `value`, and 0 otherwise. Codes of 12 to 16 bits all begin at or above
    `limit` (canonical codes grow with their length) and are found at
    ``2048 + next 16 bits - limit``.
    """

    entries: NDArray[np.int32]
    limit: int


@dataclass(frozen=True, slots=True)
class Codes:
    """A table for writing: symbol to code and to its length, which is 0 where there is none."""

    codes: NDArray[np.uint32]  # (256,)
    lengths: NDArray[np.uint8]  # (256,)


@lru_cache(maxsize=256)
def lookup(table: bytes) -> Lookup:
    """Return the table for reading.

    Raises:
        SampleError: `IMAGE_DECODE` for codes that contradict each other.
    """
    _check(table)
    taken = [number << (16 - length) for length, number in enumerate(table[:16], start=1)]
    long_codes = sum(taken[SHORT_BITS:])
    size = (1 << SHORT_BITS) + ((1 << 16) - sum(taken[:SHORT_BITS]) if long_codes else 0)
    entries = np.zeros(size, dtype=np.int32)
    return Lookup(entries, fill(table, entries))


@lru_cache(maxsize=256)
def codes(table: bytes) -> Codes:
    """Return the table for writing; raises as `lookup`."""
    _check(table)
    by_symbol, sizes = np.zeros(256, dtype=np.uint32), np.zeros(256, dtype=np.uint8)
    assign(table, by_symbol, sizes)
    return Codes(by_symbol, sizes)


def _check(table: bytes) -> None:
    """Refuse a table whose codes take more than the 65,536 patterns of 16 bits."""
    if sum(number << (16 - length) for length, number in enumerate(table[:16], start=1)) > 1 << 16:
        raise broken("Huffman table with more codes than bits allow")


def extended(table: bytes, symbols: Sequence[int]) -> bytes | None:
    """Return a table with codes for further symbols in which all old codes stay as they are.

    Canonical codes of one length follow upon one another, so codes at the end of the longest
    length, or of a longer one, change none of those before. Bits that were written with the old
    table read the same with the new one. The code that is all ones stays free, as T.81 (C.2)
    wants it. None where there isn't room for all of them within 16 bits.

    Args:
        table: a table as T.81 stores it.
        symbols: those to add; none of them is in the table.
    """
    counts = list(table[:16])
    taken = sum(number << (16 - length) for length, number in enumerate(counts, start=1))
    longest = max((length for length, number in enumerate(counts, start=1) if number), default=1)
    for length in range(longest, 17):
        if taken + ((len(symbols) + 1) << (16 - length)) <= 1 << 16:
            counts[length - 1] += len(symbols)
            return bytes(counts) + table[16:] + bytes(symbols)
    return None


def extends(new: bytes, old: bytes) -> bool:
    """Return whether every code of the old table is in the new one, for the same symbol."""
    if new == old:
        return True
    a, b = codes(old), codes(new)
    used = a.lengths > 0
    same = (a.codes == b.codes) & (a.lengths == b.lengths)
    return bool(same[used].all())


def best_table(counts: Sequence[int]) -> bytes:
    """Return the table with which symbols that occur this often take the fewest bits.

    Huffman's construction, then the lengths over 16 bits are shortened as in T.81 K.2 (figure
    K.3). One code point is kept free, so that no code is all ones.

    Args:
        counts: how often each of the 256 symbols occurs.
    """
    used = [symbol for symbol in range(256) if counts[symbol]]
    depth_counts = _tree_depths([counts[symbol] for symbol in used] + [0])
    _shorten(depth_counts)
    longest = max(length for length, number in enumerate(depth_counts) if number)
    depth_counts[longest] -= 1  # the code point that stays free
    used.sort(key=lambda symbol: (-counts[symbol], symbol))
    return bytes(depth_counts[1:17]) + bytes(used)


def _tree_depths(weights: Sequence[int]) -> list[int]:
    """Return how many leaves of the Huffman tree of these weights lie at each depth."""
    heap: list[tuple[int, int]] = [(weight, node) for node, weight in enumerate(weights)]
    heapq.heapify(heap)
    parents = [0] * (2 * len(weights) - 1)
    for node in range(len(weights), len(parents)):
        first, second = heapq.heappop(heap), heapq.heappop(heap)
        parents[first[1]] = parents[second[1]] = node
        heapq.heappush(heap, (first[0] + second[0], node))
    depths = [0] * len(parents)
    for node in range(len(parents) - 2, -1, -1):
        depths[node] = depths[parents[node]] + 1
    result = [0] * (max(depths) + 17)
    for depth in depths[: len(weights)]:
        result[max(depth, 1)] += 1
    return result


def _shorten(depth_counts: list[int]) -> None:
    """Move leaves up until none lies deeper than 16 (T.81 figure K.3).

    A pair at the depth that is too deep gives one leaf to the depth above; the other takes the
    place of a leaf further up, which goes down one step together with it.
    """
    for depth in range(len(depth_counts) - 1, 16, -1):
        while depth_counts[depth]:
            shorter = depth - 2
            while not depth_counts[shorter]:
                shorter -= 1
            depth_counts[depth] -= 2
            depth_counts[depth - 1] += 1
            depth_counts[shorter + 1] += 2
            depth_counts[shorter] -= 1


# The tables that frames of Motion JPEG leave out: those of T.81, Annex K.3. libjpeg-turbo puts them
# into every slot that a sequential file leaves empty, and so do other readers of such frames.

# By class and slot, as a DHT segment holds them (T.81 B.2.4.2): tables K.3 to K.6.
STANDARD: Final[dict[int, bytes]] = {
    0x00: bytes.fromhex("00010501010101010100000000000000000102030405060708090a0b"),
    0x01: bytes.fromhex("00030101010101010101010000000000000102030405060708090a0b"),
    0x10: bytes.fromhex(
        "0002010303020403050504040000017d01020300041105122131410613516107227114328191a108"
        "2342b1c11552d1f02433627282090a161718191a25262728292a3435363738393a43444546474849"
        "4a535455565758595a636465666768696a737475767778797a838485868788898a92939495969798"
        "999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2"
        "e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa"
    ),
    0x11: bytes.fromhex(
        "00020102040403040705040400010277000102031104052131061241510761711322328108144291"
        "a1b1c109233352f0156272d10a162434e125f11718191a262728292a35363738393a434445464748"
        "494a535455565758595a636465666768696a737475767778797a82838485868788898a9293949596"
        "9798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9da"
        "e2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa"
    ),
}
