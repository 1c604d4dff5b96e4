"""What verbs that measure tell besides their result: what they left out, and a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from sfumato.errors import OutputError

_NAMED: Final = 10


def left_out(*problems: str) -> None:
    """Name on standard error the first ten of what was left out, and count the others."""
    for problem in problems[:_NAMED]:
        print(f"left out: {problem}", file=sys.stderr)
    if len(problems) > _NAMED:
        print(f"left out: {len(problems) - _NAMED} more", file=sys.stderr)


def write(path: Path, text: str) -> None:
    """Write a text file; `OutputError` if that can't be."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path} can't be written: {error.strerror}.") from error
