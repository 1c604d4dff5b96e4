"""Whether a file is harmless text: what may be copied into a release though nobody looked at it.

An allow-list. Text is UTF-8 without control characters, and nothing in it may be an image that
is written as text: base64 and its kin, bytes as escapes, hexadecimal or numbers, data URIs,
drawings (SVG, PostScript), images made of characters. Kinds of files that speak of persons
and places (contacts, mail, tracks, sidecars of photo programs) are no harmless text either.

A file is read once, in parts, whatever its size; each part is looked at together with the end
of the one before. A wrong alarm is the lesser harm: it is named, and a person can overrule it.
"""

from __future__ import annotations

import codecs
import re
import zlib
from itertools import pairwise
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sfumato.sources import numbers, text_kinds
from sfumato.sources.numbers import runs

Signs: TypeAlias = NDArray[np.uint8] | NDArray[np.uint32]

PART: Final = 1 << 20  # bytes that are looked at together
OVERLAP: Final = 1 << 16

NOT_UTF8: Final = "not text in UTF-8"
CONTROL: Final = "control characters, as in a binary file"
BASE64: Final = "a long run of base64 or hexadecimal"
ENCODED: Final = "data encoded as text"
ESCAPED: Final = "bytes written as escapes"
DUMPED: Final = "a dump of bytes"
DRAWN: Final = "an image made of characters"

# Tab, line feed, carriage return; form feeds end the pages of old licences.
_CONTROL: Final = bytes({*range(32), 127} - {9, 10, 12, 13})
_C1 = re.compile("[\x80-\x84\x86-\x9f]")  # U+0085 is a line's end

_BASE64: Final = bytes(
    chr(byte).isascii() and (chr(byte).isalnum() or byte in b"+/_-") for byte in range(256)
)
_TOKEN: Final = 20  # characters; ids of films have 11, of VOC's images 11
_GLUE = re.compile(rb"(?:[\s\"'`,;>|*#+=&.\\-]|\\[nrt]|&#x?[adAD0139]{1,2};){0,80}")
_DENSE: Final = 256  # characters of base64: 192 bytes
_LONG: Final = 1000  # of one run without a break
_PACKED: Final = 0.62  # what zlib leaves of base64 is 0.75 and more, of lists of paths 0.5
_PACKED_EVEN: Final = 0.4  # raw pixels leave 0.45 and more; long paths of one length 0.2
_NOT_HEX = re.compile(rb"[g-zG-Z+/_-]")
_UUID = re.compile(rb"(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HASHES: Final = frozenset({32, 40, 56, 64, 96, 128})  # hexadecimal digits: MD5 to SHA-512

_GROUPS: Final = 48
_BLANKS: Final = bytes(byte in b" \t\r\n" for byte in range(256))
_CASES: Final = ([bytes([n]) for n in range(65, 91)], [bytes([n]) for n in range(97, 123)])
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=_\s-]")
_UU = re.compile(rb"(?:^M[ -`]{60}\r?\n){3}", re.MULTILINE)

_RLE = re.compile(rb"([\"']counts[\"']\s*:\s*b?)\"((?:[0-\[\]-o]|\\\\)*)\"")
_BLOCK: Final = 512
# Bits a character. Base64, base85 and uuencode have 5.8 to 6.3; text, code and minified code of
# 35,000 files at most 5.8 in 99.5 %, run lengths of COCO masks 5.75.
_ENTROPY: Final = 5.8

_ESCAPES: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rb"\\x([0-9a-fA-F]{2})",
        rb"\\u00([0-9a-fA-F]{2})",
        rb"%([0-9a-fA-F]{2})",
        rb"=([0-9A-F]{2})(?==)",  # quoted-printable; `width=10` is followed by something else
        rb"&#x([0-9a-fA-F]{1,2});",
    )
)
_OCTAL = re.compile(rb"\\([0-3][0-7]{2})")
_DECIMAL_ENTITY = re.compile(rb"&#([0-9]{1,3});")
_NO_TEXT: Final = frozenset(range(32)) - {8, 9, 10, 12, 13, 27}
_ESCAPES_AT_LEAST: Final = 32
_ESCAPES_WITHIN: Final = 2048

_DUMP = re.compile(
    rb"^[ \t]*([0-9a-fA-F]{4,16}):?[ \t|]+(?:[0-9a-fA-F]{2,8}[ \t]+){4,}", re.MULTILINE
)
_DUMP_LINES: Final = 12
_NON_ASCII = re.compile("[^\x00-\x7f\u2000-\u206f\u3000-\u303f\uff00-\uff0f\uff1a-\uff20]{256,}")
_BRAILLE = re.compile("[\u2801-\u28ff]")  # eight dots each
_ART_LINES: Final = 20
_ART_WIDTH: Final = 32


class TextScan:
    """Looks for reasons not to copy a file. Feed it all parts in order, then ask `finish`.

    `objection` is the first reason found so far, in words that hold nothing of the content; once
    there is one, further parts are passed over.
    """

    def __init__(self, name: str = "") -> None:
        self.objection = text_kinds.by_name(name)
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._window = b""
        self._begun = False

    def feed(self, part: bytes) -> None:
        """Take the next part of the file, of any size."""
        if self.objection is not None:
            return
        self._decode(part)
        self._window += part
        if len(self._window) >= PART + OVERLAP:
            self._look()

    def finish(self) -> str | None:
        """Return why the file should not be copied; None if it is harmless text."""
        if self.objection is None:
            self._decode(b"", final=True)
            self._look()
        return self.objection

    def _decode(self, part: bytes, *, final: bool = False) -> None:
        try:
            self._decoder.decode(part, final)
        except UnicodeDecodeError:
            self.objection = self.objection or NOT_UTF8

    def _look(self) -> None:
        window = self._window
        if not self._begun:
            self.objection = self.objection or text_kinds.at_the_beginning(window)
            self._begun = True
        self.objection = self.objection or in_window(window)
        # From a line's start on, so that what stands there is known to stand there.
        line = window.rfind(b"\n", 0, max(len(window) - OVERLAP, 0)) + 1
        self._window = window[max(line, len(window) - 2 * OVERLAP, 0) :]


def objection(data: bytes, name: str = "") -> str | None:
    """Say why a whole file, in memory, should not be copied; None if it is harmless text."""
    scan = TextScan(name)
    for at in range(0, len(data), PART):
        scan.feed(data[at : at + PART])
    return scan.finish()


def in_window(window: bytes) -> str | None:
    """Look at one piece of a file."""
    if _has_control(window):
        return CONTROL
    if found := text_kinds.anywhere(window):
        return found
    plain = _RLE.sub(_without_mask, window) if b"counts" in window else window
    found = (
        _base64(plain.replace(b"\\/", b"/"))
        or _in_groups(plain)
        or _encoded(plain)
        or numbers.objection(plain)
    )
    found = found or _escaped(plain) or _dumped(plain) or _drawn(np.frombuffer(plain, np.uint8))
    return found if found or window.isascii() else _beyond_ascii(window.decode("utf-8", "ignore"))


def _beyond_ascii(text: str) -> str | None:
    if _C1.search(text):
        return CONTROL
    if any(_is_packed(run.group()) for run in _NON_ASCII.finditer(text)):
        return ENCODED
    if len(_BRAILLE.findall(text)) >= _DENSE:
        return DRAWN
    return _drawn(np.frombuffer(text.encode("utf-32-le"), np.uint32))


def _has_control(data: bytes) -> bool:
    return len(data.translate(None, _CONTROL)) != len(data)


def _without_mask(found: re.Match[bytes]) -> bytes:
    """Leave out the run lengths of a COCO mask, if that is what they are."""
    return found[1] if _is_mask(found[2].replace(b"\\\\", b"\\")) else found[0]


def _is_mask(packed: bytes) -> bool:
    """Say whether text decodes to run lengths as COCO packs them: none is negative.

    Six bits a character from "0" on: five of the number, low ones first, and one that says that
    more follow; from the third number on, the difference to the one before the last.
    """
    digits = np.frombuffer(packed, np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero((digits & 32) == 0)
    if not len(digits) or ends[-1] != len(digits) - 1:
        return False
    starts = np.concatenate(([0], ends[:-1] + 1))
    places = np.arange(len(digits)) - np.repeat(starts, ends - starts + 1)
    if places.max() > 6:
        return False
    values = np.add.reduceat((digits & 31) << (5 * places), starts)
    negative = (digits[ends] & 16) != 0
    values -= np.where(negative, np.int64(1) << (5 * (places[ends] + 1)), 0)
    counts = values.copy()
    for first in (1, 2):  # of each parity; the very first number stands for itself
        counts[first::2] = np.cumsum(values[first::2])
    return bool((counts >= 0).all())


def _base64(window: bytes) -> str | None:
    """Object to runs of base64, URL-safe or not, or of hexadecimal, broken into lines or not."""
    group: list[bytes] = []
    last = 0
    for start, end in runs(window, _BASE64, _TOKEN):
        if group and not _GLUE.fullmatch(window, last, start):
            if _is_dense(group):
                return BASE64
            group = []
        group.append(window[start:end])
        last = end
    return BASE64 if _is_dense(group) else None


def _is_dense(group: list[bytes]) -> bool:
    if sum(map(len, group)) < _DENSE or _are_hashes(group):
        return False
    if any(len(token) >= _LONG and len(set(token)) >= 16 for token in group):
        return True
    whole = b"".join(group)
    pieces = [whole[at : at + 1024] for at in range(0, max(len(whole) - _DENSE, 1), 1024)]
    limit = _packed_limit(group)
    return any(len(zlib.compress(piece)) > limit * len(piece) for piece in pieces)


def _packed_limit(group: list[bytes]) -> float:
    """Return how small zlib would have to make what is no data: less if the lines are alike."""
    even = len({len(token) for token in group[1:-1]}) <= 1 and len(group) > 2
    if not _NOT_HEX.search(b"".join(group)):
        return 0.1 if even else 0.5  # four bits a character
    return _PACKED_EVEN if even else _PACKED


def _are_hashes(group: list[bytes]) -> bool:
    """Say whether these are digests, one a line: all as long, all different, all at random.

    A file in hexadecimal isn't: its header and its stuffing show in how often a digit comes.
    """
    if all(map(_UUID.fullmatch, group)):
        return True
    if {len(token) for token in group} - _HASHES or len({len(token) for token in group}) != 1:
        return False
    whole = b"".join(group).lower()
    digits = np.bincount(np.frombuffer(whole, np.uint8), minlength=256)
    used = digits[list(b"0123456789abcdef")]
    if used.sum() != len(whole) or len(set(group)) != len(group):
        return False
    expected = len(whole) / 16
    return bool(((used - expected) ** 2 / expected).sum() < 60)  # 15 degrees of freedom: p = 3e-7


def _in_groups(window: bytes) -> str | None:
    """Object to base64 that is cut into short words of one length, and to lines of uuencode."""
    if _UU.search(window):
        return ENCODED
    blanks = np.flatnonzero(np.frombuffer(window.translate(_BLANKS), np.uint8))
    steps = np.diff(blanks)
    borders = np.flatnonzero(np.diff(steps, prepend=-1, append=-1))
    for first, last in pairwise(borders):
        if last - first >= _GROUPS and 5 <= steps[first] < _TOKEN:
            span = window[blanks[first] : blanks[last]]
            upper, lower = (sum(map(span.count, signs)) for signs in _CASES)
            if min(upper, lower) > 0.2 * len(span) and not _NOT_BASE64.search(span):
                return ENCODED
    return None


def _encoded(window: bytes) -> str | None:
    """Object to a piece that uses many different characters evenly, as base85 and its like."""
    packed = window.translate(None, bytes(range(33)) + bytes(range(127, 256)))
    count = len(packed) // _BLOCK
    if count == 0:
        return None
    blocks = np.frombuffer(packed[: count * _BLOCK], np.uint8).reshape(count, _BLOCK)
    places = blocks.astype(np.int64) + 256 * np.arange(count)[:, None]
    share = np.bincount(places.ravel(), minlength=256 * count).reshape(count, 256) / _BLOCK
    bits = -(share * np.log2(np.where(share > 0, share, 1))).sum(axis=1)
    return ENCODED if bits.max() > _ENTROPY else None


def _escaped(window: bytes) -> str | None:
    """Object to many escapes of what no text has, close together: bytes of a file."""
    found: list[tuple[int, int]] = []
    notations = [(pattern, 16) for pattern in _ESCAPES] + [(_OCTAL, 8), (_DECIMAL_ENTITY, 10)]
    for pattern, base in notations:
        found = [(one.start(), int(one[1], base)) for one in pattern.finditer(window)]
        odd = [at for at, value in found if value in _NO_TEXT or 128 <= value < 160]
        for first, last in zip(odd, odd[_ESCAPES_AT_LEAST - 1 :], strict=False):
            if last - first < _ESCAPES_WITHIN and not _is_utf8(
                bytes(value & 255 for at, value in found if first <= at <= last)
            ):
                return ESCAPED
    return None


def _is_utf8(data: bytes) -> bool:
    """Say whether bytes are text; an end in the middle of a character is no objection."""
    if _has_control(data.replace(b"\x1b", b"")):
        return False
    return len(data.decode("utf-8", "replace").replace("\ufffd", "")) > 0.3 * len(data)


def _dumped(window: bytes) -> str | None:
    """Object to a dump as of xxd, od or hexdump: addresses in equal steps before groups."""
    places = [int(line[1], 16) for line in _DUMP.finditer(window)]
    for first in range(0, len(places) - _DUMP_LINES, _DUMP_LINES):
        some = places[first : first + _DUMP_LINES]
        steps = {b - a for a, b in pairwise(some)}
        # Steps of octal addresses, read as hexadecimal, take two or three values.
        if len(steps) <= 3 and min(steps) >= 4:
            return DUMPED
    return None


def _is_packed(run: str) -> bool:
    return len(run) >= 2 * _DENSE or len(set(run)) > 0.65 * len(run)


def _drawn(signs: Signs) -> str | None:
    """Object to lines of one width in which characters repeat, across as well as down."""
    ends = np.flatnonzero(signs == ord("\n"))
    starts = np.concatenate(([0], ends + 1))
    widths = np.concatenate((ends, [len(signs)])) - starts
    borders = np.flatnonzero(np.diff(widths, prepend=-1, append=-1))
    for first, last in pairwise(borders):
        width = widths[first]
        if last - first >= _ART_LINES and width >= _ART_WIDTH:
            places = starts[first:last, None] + np.arange(width)
            if _is_drawing(signs[places]):
                return DRAWN
    return None


def _is_drawing(grid: Signs) -> bool:
    blank = grid == ord(" ")
    used = np.flatnonzero(blank.mean(axis=0) < 0.8)
    if not len(used):
        return False
    inside = grid[:, used[0] : used[-1] + 1]
    solid = ((grid >= 0x2580) & (grid <= 0x259F)).mean() > 0.1
    if not solid and any((inside == ord(sign)).mean(axis=0).max() > 0.8 for sign in " ,;.|\t"):
        return False  # a table
    across = ((grid[:, 1:] == grid[:, :-1]) & ~blank[:, 1:]).sum()
    down = ((grid[1:] == grid[:-1]) & ~blank[1:]).sum()
    shown = (~blank).sum()
    return bool(shown > 0.2 * grid.size and across > 0.25 * shown and down > 0.25 * shown)
