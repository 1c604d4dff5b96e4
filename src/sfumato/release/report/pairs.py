"""Which images the private report shows before and after: a shortlist in little memory."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from sfumato.boxes import longer_side
from sfumato.errors import Code
from sfumato.release.report.words import FAILED
from sfumato.types import Face, Finding

PAIRS_SHOWN: Final = 24
_FAILED_AT_MOST: Final = 12  # while there are others to show
_NARROW: Final = 4

# Findings of these codes are about files of which there is no image to show.
_NOT_SHOWN: Final = {
    Code.VERIFY_FILE_MISSING,
    Code.VERIFY_FILE_UNEXPECTED,
    Code.VERIFY_COUNT,
    Code.VERIFY_UNREADABLE,
}

T = TypeVar("T")


class Smallest(Generic[T]):
    """Keeps the `size` smallest items of a stream; `order` must tell all items apart.

    The result doesn't depend on the order of the stream. Memory: twice `size` items.
    """

    def __init__(self, size: int, *, order: Callable[[T], Any]) -> None:
        self._size = size
        self._order = order
        self._items: list[T] = []

    def add(self, item: T) -> None:
        """Consider one item."""
        self._items.append(item)
        if len(self._items) > 2 * self._size:
            self._items = self.sorted()

    def sorted(self) -> list[T]:
        """Return the smallest items so far, smallest first."""
        return sorted(self._items, key=self._order)[: self._size]


@dataclass(frozen=True, slots=True)
class Pair:
    """An image before and after, as small encoded JPEG, PNG or WebP for the private page."""

    key: str
    before: bytes
    after: bytes
    caption: str


@dataclass(frozen=True, slots=True)
class Choice:
    """An image worth showing, and why, in words for its caption."""

    key: str
    label: str
    caption: str


class Shortlist:
    """Candidates for the pairs, fed image by image, in bounded memory.

    Three kinds: images with a failed check (by code), those whose faces passed the strength
    check most narrowly, and a spread over face sizes (in octaves) and classes. Within a spread
    the SHA-256 of the key decides, so that the choice looks random and is always the same.
    """

    def __init__(self) -> None:
        self._failed: dict[Code, Smallest[Choice]] = {}
        self._margin: Smallest[tuple[float, Choice]] = Smallest(
            _NARROW, order=lambda row: (row[0], row[1].key)
        )
        self._octaves: dict[int, Smallest[Choice]] = {}

    def add(
        self, key: str, label: str, *, faces: Sequence[Face], findings: Sequence[Finding]
    ) -> None:
        """Consider one image of the release."""
        about = _faces_in_words(faces)
        failed = {f.code: f.detail for f in findings if not f.passed and f.code not in _NOT_SHOWN}
        for code, detail in failed.items():  # one of each code: a crowd may have fifty
            rows = self._failed.setdefault(
                code, Smallest(PAIRS_SHOWN, order=lambda one: (one.key, one.caption))
            )
            rows.add(Choice(key, label, f"{code}: {detail or FAILED.get(code, '')} ({about})"))
        used = max((used_of_limit(finding) for finding in findings), default=0.0)
        if 0.0 < used <= 1.0 and not failed:
            caption = f"{100 * used:.0f} % of what the strength check allows ({about})"
            self._margin.add((1.0 - used, Choice(key, label, caption)))
        if faces:
            octave = math.frexp(max(longer_side(face.box) for face in faces))[1]
            rows = self._octaves.setdefault(octave, Smallest(PAIRS_SHOWN, order=_by_hash))
            rows.add(Choice(key, label, about))

    def choose(self) -> tuple[Choice, ...]:
        """Return the images to show, each once: failed, then narrow, then the spread."""
        groups = (rows.sorted() for _, rows in sorted(self._failed.items()))
        failed = [one for row in itertools.zip_longest(*groups) for one in row if one]
        narrow = [choice for _, choice in self._margin.sorted()]
        spread = _spread([rows.sorted() for _, rows in sorted(self._octaves.items())])
        first = [*_distinct(failed)[:_FAILED_AT_MOST], *narrow]
        taken = _distinct([*first, *spread, *failed])[:PAIRS_SHOWN]
        keys = {choice.key for choice in taken}
        # An image that is there for several reasons gets the caption of the gravest.
        return tuple(c for c in _distinct([*failed, *narrow, *spread]) if c.key in keys)


def used_of_limit(finding: Finding) -> float:
    """Return what a strength finding measured over its limit: at least 0, infinite if unknown.

    For findings of other checks it is 0.
    """
    if finding.code is not Code.VERIFY_STRENGTH:
        return 0.0
    if math.isfinite(finding.value) and finding.limit > 0.0:
        return max(finding.value / finding.limit, 0.0)
    return 0.0 if finding.value <= finding.limit else math.inf


def _faces_in_words(faces: Sequence[Face]) -> str:
    if not faces:
        return "no face found"
    longest = max(longer_side(face.box) for face in faces)
    if len(faces) == 1:
        return f"1 face, {longest:.0f} px"
    return f"{len(faces)} faces, the largest {longest:.0f} px"


def _by_hash(choice: Choice) -> tuple[bytes, str]:
    # surrogatepass: a name that isn't UTF-8 has lone surrogates
    return hashlib.sha256(choice.key.encode("utf-8", "surrogatepass")).digest(), choice.key


def _spread(octaves: Sequence[list[Choice]]) -> list[Choice]:
    """Take from the octaves in turn, in each a class that hasn't been shown yet if there is one."""
    left = [list(octave) for octave in octaves]
    taken: list[Choice] = []
    labels: set[str] = set()
    while any(left):
        for octave in left:
            if octave:
                fresh = next((n for n, c in enumerate(octave) if c.label not in labels), 0)
                taken.append(octave.pop(fresh))
                labels.add(taken[-1].label)
    return taken


def _distinct(choices: Iterable[Choice]) -> list[Choice]:
    """Drop the choices whose image came before."""
    first: dict[str, Choice] = {}
    for choice in choices:
        first.setdefault(choice.key, choice)
    return list(first.values())
