"""What is found inside an image file, and how much may be looked at before the search gives up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, TypeVar

T = TypeVar("T")

# How the bytes of a part are read: `data` is anything; `known` is a format of its own that
# decoding or a camera needs, in which only what looks like an image counts; `pixels` are coded, and
# only a whole image among them counts.
Reading: TypeAlias = Literal[
    "data", "known", "exif", "tiff", "photoshop", "profile", "jfif", "pixels"
]
Span: TypeAlias = tuple[int, int]  # first byte, and the one behind the last

# Bytes that nobody can name and that hold no more than this show no face: 22 by 22 grey pixels,
# one byte each.
UNKNOWN: Final = 512
UNKNOWN_IN_ALL: Final = 4 * UNKNOWN  # of a file, in pieces
SMALLEST: Final = 64  # bytes of a coded image that could show anything
_MOST_PARTS: Final = 100_000  # segments, chunks, blocks
_MOST_IMAGES: Final = 64
_MOST_BYTES: Final = 1 << 25  # inflated, decoded from text, looked through: besides
_MOST_TIMES: Final = 8  # the file's own
NOWHERE: Final = -1  # the part of an image that lies in none
DEEPEST: Final = 12  # images, streams and texts inside each other


@dataclass(frozen=True, slots=True)
class Embedded:
    """A further image inside an image file, or what may be one.

    `kind` says in words what it is and where it lies, without a word of the file's content.
    `data` is the encoded image, for `codec.decode`; None where nobody can search it: a film, a
    format that sfumato doesn't read, bytes that nobody can name. `part` is the number of the part
    that it lies in, `span` its place in that part's payload where it lies there as it is.
    """

    kind: str
    data: bytes | None
    part: int = 0
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a file that its visible pixels don't need.

    `name` says in words what it is; `spans` are the bytes of the file that go when it is taken
    out, with the frame around the payload. `payload` may be joined from several of them.
    """

    name: str
    reading: Reading
    payload: bytes
    spans: tuple[Span, ...]


class TooMuch(Exception):
    """More lies inside a file than is looked at: what was found so far isn't all."""


@dataclass(slots=True)
class Budget:
    """What a search may still do; raises `TooMuch` when that is spent."""

    bytes: int
    images: int = _MOST_IMAGES
    unknown: int = 0  # bytes in small pieces that nobody can name

    @classmethod
    def of(cls, size: int) -> Budget:
        """Return the budget of a file of so many bytes."""
        return cls(_MOST_BYTES + _MOST_TIMES * size)

    def image(self) -> None:
        """Count an image."""
        self.images -= 1
        if self.images < 0:
            raise TooMuch

    def look(self, size: int) -> None:
        """Count bytes that are looked through."""
        self.bytes -= size
        if self.bytes < 0:
            raise TooMuch


def bounded(walk: Iterable[T]) -> Iterator[T]:
    """Yield the parts of a file; raises `ValueError` where there are more than any file needs."""
    for number, part in enumerate(walk):
        if number == _MOST_PARTS:
            raise ValueError("too many parts")
        yield part
