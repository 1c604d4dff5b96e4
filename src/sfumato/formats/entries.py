"""What the layouts of box files share: an entry as read, text, numbers, and how errors are put.

A layout (`coco`, `princeton`, `boxes_csv`) is syntax only: `read(path)` yields entries and
`write(stream, detections)` prints them. What an entry means is decided in `box_files`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from sfumato.errors import UsageError
from sfumato.types import Box, Kind


class Entry(NamedTuple):
    """One line of a box file, unchecked; a tuple, because files hold millions of them.

    `box` is x0 y0 x1 y1 in pixels and may be nonsense; None says: looked at, nothing here.
    `size` is the picture's (width, height) where the layout knows it.
    """

    name: str
    box: Box | None
    score: float = 1.0
    origin: str = "file"
    size: tuple[int, int] | None = None
    kind: Kind = "face"


class Drawn(NamedTuple):
    """A box as an annotation tool gives it: x0 y0 x1 y1 in pixels, unchecked, and its label.

    `crowd` says that the box holds several of the kind, or one too hard to ask for.
    """

    box: Box
    label: str
    score: float = 1.0
    origin: str = "file"
    crowd: bool = False


class Sheet(NamedTuple):
    """What one annotator left in one picture, unchecked.

    `worked_on` is True where the layout tells that somebody looked, also if nothing is drawn.
    `problem` names what was drawn and can't be taken over.
    """

    name: str
    annotator: str
    drawn: tuple[Drawn, ...]
    size: tuple[int, int] | None
    seconds: float = 0.0
    problem: str = ""
    worked_on: bool = False


def wrong(path: Path, where: str, expected: str) -> UsageError:
    """Build the error for a box file that isn't what it should be: file, place, expectation."""
    return UsageError(f"{path}: {where}: expected {expected}")


def read_text(path: Path) -> str:
    """Return the whole file as text (UTF-8, with or without a byte order mark).

    Raises `UsageError` if it can't be read or isn't UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: the box file can't be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise wrong(path, f"byte {error.start}", "text in UTF-8") from error


def number(value: object, path: Path, where: str) -> float:
    """Return a JSON number as float; a number too large for one becomes infinite.

    Raises `UsageError` for anything else, also for true, false and numbers in quotes.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong(path, where, f"a number, got {shown(value)}")
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def picture_name(value: object, path: Path, where: str) -> str:
    """Return the name of a picture; raise `UsageError` unless it is a non-empty string."""
    if not isinstance(value, str) or not value:
        raise wrong(path, where, f"the name of a picture, got {shown(value)}")
    return value


def shown(value: Any) -> str:
    """Return a value in at most 40 characters, for messages."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
