"""What the layouts of box files share: an entry as read, text, numbers, and how errors are put.

A layout (`coco`, `princeton`, `boxes_csv`) is syntax only: `read(path)` yields entries and
`write(stream, detections)` prints them. What an entry means is decided in `box_files`.
"""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple
from xml.parsers import expat

from sfumato.annotations.documents import parse_json
from sfumato.errors import UsageError
from sfumato.types import Box, Kind

_LONGEST_NAME: Final = 4096  # of a path on Linux
_CHUNK: Final = 1 << 16  # bytes
_LOG: Final = logging.getLogger(__name__)


class Entry(NamedTuple):
    """One line of a box file, unchecked; a tuple, because files hold millions of them.

    `box` is x0 y0 x1 y1 in pixels and may be nonsense; None says: looked at, nothing here.
    `size` is the image's (width, height) where the layout knows it. `uncounted` says that the
    box is no face that must be found: a crowd, art, what is unclear. In a run it is covered too.
    """

    name: str
    box: Box | None
    score: float = 1.0
    origin: str = "file"
    size: tuple[int, int] | None = None
    kind: Kind = "face"
    uncounted: bool = False


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
    """What one annotator left in one image, unchecked.

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


def say_repeated(path: Path, what: str, values: Iterable[Hashable]) -> None:
    """Warn if values that should be different aren't: how many, and one of them."""
    counts = Counter(values)
    again = counts.total() - len(counts)
    if again:
        first = next(value for value, count in counts.items() if count > 1)
        _LOG.warning("%s: %d %s, such as %s.", path, again, what, shown(first))


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raise `UsageError` where a file can't be read in here, or isn't UTF-8 as it should be."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{path}: the file can't be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise wrong(path, f"byte {error.start}", "text in UTF-8") from error


def read_text(path: Path) -> str:
    """Return the whole file as text, with or without a byte order mark; raises as `reading`."""
    with reading(path):
        return path.read_text(encoding="utf-8-sig")


def read_json(path: Path) -> Any:
    """Return what a JSON file says; raises `UsageError` if it can't be read or is none."""
    try:
        return parse_json(read_text(path))
    except ValueError as error:
        raise wrong(path, "start", f"JSON ({error})") from error


class Xml(ABC):
    """The events of an XML file, as a subclass hears them by `_start` and `_end`.

    It is read as a stream, without a document type: entities of one could swell a small file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True  # one piece of text for each element, not one a line
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.StartDoctypeDeclHandler = self._doctype

    def parse(self) -> Iterator[None]:
        """Read on, part by part; raises `UsageError` if it can't be read or isn't XML."""
        try:
            with reading(self.path), self.path.open("rb") as stream:
                while chunk := stream.read(_CHUNK):
                    self.parser.Parse(chunk, False)
                    yield
                self.parser.Parse(b"", True)
                yield
        except expat.ExpatError as error:
            raise wrong(self.path, f"line {error.lineno}", f"XML ({error})") from error

    def wrong(self, expected: str) -> UsageError:
        """Build the error for what stands at this place of the file."""
        return wrong(self.path, f"line {self.parser.CurrentLineNumber}", expected)

    @abstractmethod
    def _start(self, tag: str, attributes: dict[str, str]) -> None: ...

    @abstractmethod
    def _end(self, tag: str) -> None: ...

    def _doctype(self, *_: object) -> None:
        raise self.wrong("no document type")


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


def turned(box: Box, degrees: float) -> Box:
    """Return the smallest upright box around one that is turned about its centre.

    Turned clockwise or not, it is the same box.
    """
    if not degrees:
        return box
    if not math.isfinite(degrees):
        return (math.nan, math.nan, math.nan, math.nan)  # nobody knows where it lies
    x0, y0, x1, y1 = box
    if not degrees % 90:  # exactly, so that a quarter turn stays inside the image
        cos, sin = (1.0, 0.0) if not degrees % 180 else (0.0, 1.0)
    else:
        cos, sin = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    half = ((x1 - x0) / 2, (y1 - y0) / 2)
    wide, high = half[0] * cos + half[1] * sin, half[0] * sin + half[1] * cos
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    return (cx - wide, cy - high, cx + wide, cy + high)


def image_name(value: object, path: Path, where: str) -> str:
    """Return the name of an image; raise `UsageError` unless it is text, and not endless."""
    if isinstance(value, str) and len(value) > _LONGEST_NAME:
        raise wrong(path, where, f"a name of at most {_LONGEST_NAME} characters")
    if not isinstance(value, str) or not value:
        raise wrong(path, where, f"the name of an image, got {shown(value)}")
    return value


def shown(value: Any) -> str:
    """Return a value in at most 40 characters, for messages."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
