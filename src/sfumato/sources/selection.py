"""Which files of a source are part of the set at all: `--include`, `--exclude`.

A pattern without a slash is the name of a file or folder at any depth; one with a slash is a path
from the top. ``*`` and ``?`` stand for anything but a slash, ``[…]`` for one of some characters,
``**`` for any number of folders. What matches a folder matches all that is in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from sfumato.errors import Code, UsageError
from sfumato.sources.doors import Listing
from sfumato.types import JSON, Failure

_ONE_FILE: Final = frozenset({Code.LINK_BROKEN, Code.NAME_NOT_UTF8})


@dataclass(frozen=True, slots=True)
class Globs:
    """Patterns, of which one that fits is enough.

    Raises:
        UsageError: a pattern is empty.
    """

    patterns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for pattern in self.patterns:
            if not pattern.strip("/"):
                raise UsageError(f"{pattern!r} is no pattern: give one such as '*.json' or 'a/**'.")

    def __bool__(self) -> bool:
        return bool(self.patterns)

    def match(self, key: str) -> bool:
        """Say whether a pattern fits a key, or a folder that it lies in."""
        return any(_compiled(pattern).match(key) for pattern in self.patterns)

    def unused(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Return the patterns that fit none of these keys."""
        left = list(self.patterns)
        for key in keys:
            if not left:
                break
            left = [pattern for pattern in left if not _compiled(pattern).match(key)]
        return tuple(left)


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    """Return a pattern as an expression that fits a key from its start to its or a folder's end."""
    anchored = "/" in pattern.rstrip("/")
    parts = [part for part in pattern.split("/") if part]
    text = "" if anchored else "(?:[^/]+/)*"
    for n, part in enumerate(parts):
        last = n == len(parts) - 1
        if part == "**":
            text += ".+" if last else "(?:[^/]+/)*"
        else:
            text += "".join(_one_part(part)) + ("" if last else "/")
    return re.compile(f"(?s:{text})(?:/(?s:.*))?\\Z")


def _one_part(part: str) -> Iterator[str]:
    at = 0
    while at < len(part):
        sign = part[at]
        end = part.find("]", at + (3 if part[at + 1 : at + 2] == "!" else 2))
        if sign == "[" and end > 0:
            inside = re.sub(r"([\\\[^&~|])", r"\\\1", part[at + 1 : end])
            yield f"[{'^' + inside[1:] if inside[0] == '!' else inside}]"
            at = end + 1
            continue
        yield {"*": "[^/]*", "?": "[^/]"}.get(sign, re.escape(sign))
        at += 1


@dataclass(frozen=True, slots=True)
class Selection:
    """The files of a source that are part of the set: those included, without those excluded.

    No `include` includes all.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        Globs(self.include)
        Globs(self.exclude)

    def takes(self, key: str) -> bool:
        """Say whether the file of a key is part of the set."""
        included = not self.include or Globs(self.include).match(key)
        return included and not Globs(self.exclude).match(key)

    def applied(self, listing: Listing) -> Listing:
        """Return a listing in which what isn't part of the set is `excluded`.

        What can't be reached stays refused unless it is excluded by name: what a folder that
        can't be listed holds, nobody knows.
        """
        if not self.include and not self.exclude:
            return listing
        gone = [key for key in (*listing.images, *listing.others) if not self.takes(key)]
        gone += [failure.key for failure in listing.failures if not self._keeps(failure)]
        return replace(
            listing,
            images=tuple(filter(self.takes, listing.images)),
            others=tuple(filter(self.takes, listing.others)),
            failures=tuple(filter(self._keeps, listing.failures)),
            excluded=tuple(sorted(gone)),
        )

    def _keeps(self, failure: Failure) -> bool:
        if failure.code in _ONE_FILE:
            return self.takes(failure.key)
        return not Globs(self.exclude).match(failure.key)

    def unused(self, listing: Listing) -> tuple[str, ...]:
        """Return the patterns that fit no file of the source: misspelt, perhaps."""
        failed = tuple(failure.key for failure in listing.failures)
        keys = (*listing.images, *listing.others, *failed, *listing.junk)
        return Globs(self.include).unused(keys) + Globs(self.exclude).unused(keys)

    def as_json(self) -> JSON:
        """Return the patterns as plain JSON data, for the ledger."""
        return {"include": list(self.include), "exclude": list(self.exclude)}

    @classmethod
    def from_json(cls, plain: JSON) -> Selection:
        """Return the selection that `as_json` made plain; all files for nothing."""
        return cls(tuple(plain.get("include", ())), tuple(plain.get("exclude", ())))
