"""Tell text in the languages of people from bytes that only happen to decode as letters.

A line of Chinese packs as badly as an image does, and UTF-16 has no zeros outside of Latin.
"""

from __future__ import annotations

import unicodedata
from typing import Final

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
