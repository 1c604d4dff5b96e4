"""Names of files as they may be shown: on a terminal, in a log, in a report.

A name may hold what steers a terminal (ESC), turns the direction of the text, or is no character
at all. What is shown is what is in the name, and nothing else happens.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TextIO, cast

_JOINERS: Final = frozenset("\u200c\u200d")  # letters of some scripts, and emoji, need them
_LINES: Final = frozenset("\n\t")


def shown(name: str) -> str:
    r"""Write a name so that what is on the screen is what is in the name.

    Control characters, characters that turn the direction of the text, and bytes that aren't
    UTF-8 become escapes such as ``\u202e``; letters of every script stay.
    """
    return name if name.isascii() and name.isprintable() else _replaced(name, frozenset())


def lines(text: str) -> str:
    """Write lines of text as `shown` does; ends of lines and tabs stay."""
    return text if text.isascii() and text.isprintable() else _replaced(text, _LINES)


def _replaced(text: str, kept: frozenset[str]) -> str:
    return "".join(char if char in kept or _visible(char) else _escaped(char) for char in text)


def _visible(char: str) -> bool:
    # Other: control, format (bidi), surrogate, private, unassigned; line and paragraph separators
    kind = unicodedata.category(char)
    return char in _JOINERS or not (kind[0] == "C" or kind in ("Zl", "Zp"))


def _escaped(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08x}"


class _Shown:
    """A text stream through which nothing goes that could steer a terminal.

    A carriage return at the beginning of what is written stays: bars of progress draw by it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if not isinstance(text, str):  # asked by those who look for a stream of bytes
            raise TypeError(f"text is wanted, not {type(text).__name__}")
        start = "\r" if text.startswith("\r") else ""
        self._stream.write(start + lines(text[len(start) :]))
        return len(text)

    def writelines(self, texts: list[str]) -> None:
        for text in texts:
            self.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def on_terminal() -> Iterator[None]:
    """Let through standard output and standard error only what `lines` leaves; bytes go as ever."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast("TextIO", _Shown(stream)) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
