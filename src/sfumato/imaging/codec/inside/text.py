"""Images that are written out as text: base64 and hexadecimal numbers, with or without breaks."""

from __future__ import annotations

import binascii
import re
import unicodedata
import zlib
from collections.abc import Iterator
from typing import Final

from sfumato.imaging.codec.inside.found import SMALLEST, UNKNOWN

_BLANKS: Final = b" \t\r\n\x00\x0b\x0c"
# Breaks as markup and program text write them.
_BREAKS: Final = re.compile(
    rb"&#x?[0-9a-fA-F]{1,4};|\\[nrt]|[\"',]{1,4}(?=[A-Za-z0-9+/=_-])|%0[aAdD]"
)
_TAG: Final = re.compile(rb"<[^<>]{1,256}>")
# Each begins where its letters do and takes them all: no second try from the next letter on.
_RUN: Final = re.compile(rb"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{%d,}+" % (SMALLEST * 4 // 3))
_HEX: Final = re.compile(rb"(?<![0-9a-fA-F])[0-9a-fA-F]{%d,}+" % (2 * SMALLEST))
_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")

# What no person writes: one word of hundreds of letters, rows of hundreds of small numbers, many
# long names of mixed letters.
_LETTERS: Final = rb"!#$%()*+\-./0-9:=?@A-Z\\^_`a-z{|}~"
_WORD: Final = re.compile(rb"(?<![%b])[%b]{%d,}+" % (_LETTERS, _LETTERS, UNKNOWN))
_TOKEN: Final = re.compile(rb"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{24,}+")
# As tables, lists of lists, program text and markup write them, whole or as parts of one.
_NUMBER: Final = rb"(?:0[xX][0-9a-fA-F]{1,2}|&#[0-9]{1,3}|[01]?\.[0-9]{1,18}|[0-9]{1,3})"
_ROWS: Final = re.compile(rb"(?<![0-9.])(?:%b[\s,;|()\[\]{}]{1,8}){%d,}+" % (_NUMBER, UNKNOWN))
_MIXED: Final = tuple(re.compile(kind) for kind in (rb"[0-9]", rb"[a-z]", rb"[A-Z]", rb"[g-zG-Z]"))
# English takes up to 0.65 of its length in pieces of this size, markup 0.5; base64 and pixels that
# happen to be letters 0.75 or more.
_WINDOW, _PACKED = 1024, 0.72
_PADDING: Final = 4  # different letters of a rule
_CONTROLS: Final = bytes(set(range(32)) - set(b"\t\r\n\x0b\x0c\x00"))


def decoded(data: bytes) -> Iterator[bytes]:
    """Yield the bytes that long runs of base64 or hexadecimal text stand for.

    Blanks and breaks inside a run don't end it, so that words without punctuation may be taken
    for one; each run is read from every place where its groups of four may begin.
    """
    for text in _readings(data):
        for run in _HEX.finditer(text):
            digits = run[0]
            yield bytes.fromhex(digits[: len(digits) // 2 * 2].decode("ascii"))
            yield bytes.fromhex(digits[1 : 1 + (len(digits) - 1) // 2 * 2].decode("ascii"))
        for run in _RUN.finditer(text):
            letters = run[0].translate(_URL_SAFE)
            for first in range(4):
                usable = (len(letters) - first) // 4 * 4
                rest = letters[first + usable :]
                padded = rest + b"=" * (4 - len(rest)) if len(rest) > 1 else b""
                yield binascii.a2b_base64(letters[first : first + usable] + padded)


def _readings(data: bytes) -> Iterator[bytes]:
    """Yield the text without its blanks, and without its marked breaks and tags if it has any."""
    plain = data.translate(None, _BLANKS)
    yield plain
    joined = _BREAKS.sub(b"", data).translate(None, _BLANKS)
    if len(joined) < len(plain):
        yield joined
    bare = _TAG.sub(b"", data).translate(None, _BLANKS) if b"</" in data else plain
    if len(bare) < len(plain):
        yield bare


def is_text(data: bytes) -> bool:
    """Tell whether bytes are text for people or programs, in ASCII, UTF-8, UTF-16 or Latin-1."""
    if is_wide(data):
        return True
    bare = data.replace(b"\x00", b"") if data.count(0) * 3 > len(data) else data.rstrip(b"\x00")
    controls = len(bare) - len(bare.translate(None, _CONTROLS))
    if controls * 200 > len(bare) or bare.count(0) * 50 > len(bare):
        return False
    try:
        bare.decode("utf-8")
    except UnicodeDecodeError:
        return sum(32 <= byte < 127 for byte in bare) * 10 > len(bare) * 7
    return True


def unreadable(data: bytes) -> Iterator[bytes]:
    """Yield the stretches of a text that no person writes."""
    if len(data) <= UNKNOWN or is_wide(data):
        return
    bare = data.replace(b"\x00", b"") if data.count(0) * 3 > len(data) else data
    for pattern in (_WORD, _ROWS):
        for match in pattern.finditer(bare):
            if len(set(match[0])) > _PADDING:
                yield match[0]
    # Of base64: capitals, small letters and numbers in each, and together too many for names.
    tokens = [one for one in _TOKEN.finditer(bare) if all(kind.search(one[0]) for kind in _MIXED)]
    if sum(len(one[0]) for one in tokens) > UNKNOWN:
        yield bare[tokens[0].start() : tokens[-1].end()]
    plain = bare.translate(None, _BLANKS)
    for run in _HEX.finditer(plain):
        if len(run[0]) > 2 * UNKNOWN and len(set(run[0])) > _PADDING:
            yield run[0]
    yield from _dense(_TOKEN.sub(b"", _WORD.sub(b"", bare)))


def _dense(data: bytes) -> Iterator[bytes]:
    """Yield the stretches that can't be packed as words and markup can, in whatever letters."""
    for at in range(0, len(data), _WINDOW):
        window = without_language(data[at : at + _WINDOW])
        if len(window) > UNKNOWN and len(zlib.compress(window, 9)) > _PACKED * len(window):
            yield window


def is_readable(data: bytes) -> bool:
    """Tell whether decoded bytes are text, or a block of metadata as programs write them out.

    What images they hold is seen when they are looked through.
    """
    head = data[:32]
    known = (b"Exif\x00\x00", b"8BIM", b"II*\x00", b"MM\x00*", b"\x1c\x02", b"http://ns", b"<?xp")
    if is_text(data) and next(unreadable(data), None) is None:
        return True
    return any(one in head for one in known) or b"acsp" in data[30:64]


# Words of people against bytes that only happen to decode as letters: a line of Chinese packs as
# badly as an image does, and UTF-16 has no zeros outside of Latin.

_LEAST: Final = 32  # characters
_FOREIGN: Final = 0x370  # from Greek on: what comes before is Latin, or bytes written as UTF-8
_PARTS: Final = 0.02  # of a text: its blanks and marks; two sentences of Chinese have more
_SAME: Final = 0.85  # different characters in a text of some length; at random it is 0.98
_SCRIPTS: Final = 6  # a text has few; names of a script are the first words of its letters


def is_language(text: str) -> bool:
    """Tell whether characters are words of a language that isn't written in Latin letters."""
    if len(text) < _LEAST or text.isascii():  # most is, and asked for of every part of a file
        return False
    letters = [one for one in text if ord(one) >= _FOREIGN and one.isalpha()]
    if len(letters) * 3 < len(text):
        return False
    kinds = [unicodedata.category(one) for one in text]
    if sum(
        kind[0] in "LMNPZS" or one in "\t\r\n\x00" for kind, one in zip(kinds, text, strict=True)
    ) < len(text):
        return False
    parts = sum(kind[0] in "PZ" for kind in kinds)
    if parts < _PARTS * len(text) or len(set(letters)) > max(_SAME * len(letters), _LEAST):
        return False
    scripts = {unicodedata.name(one, "?").split()[0] for one in set(letters)}
    return "?" not in scripts and len(scripts) <= _SCRIPTS


def is_wide(data: bytes) -> bool:
    """Tell whether bytes are such words in UTF-16, with or without zeros behind them."""
    for order, mark in (("utf-16-le", b"\xff\xfe"), ("utf-16-be", b"\xfe\xff")):
        try:
            text = data[: len(data) // 2 * 2].removeprefix(mark).decode(order).rstrip("\x00")
        except UnicodeDecodeError:
            continue
        if is_language(text):
            return True
    return False


def without_language(window: bytes) -> bytes:
    """Return UTF-8 without its words, if they are of a language; else all of it."""
    text = window.decode("utf-8", "ignore")
    if len(text.encode()) + 6 < len(window) or not is_language(text):
        return window
    return "".join(one for one in text if ord(one) < _FOREIGN).encode()
