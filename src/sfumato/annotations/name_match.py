"""Which entry of a box file speaks of which image: exact, then tolerant, never guessed.

People bring files that name their images from another root folder (``train/n01/x.JPEG`` for
``n01/x.jpg``). A wrong pairing would cover the wrong place and leave a face, so a pair is made
only where nothing else is possible. All steps are look-ups in dictionaries.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

_SPLITS: Final = frozenset({"train", "val", "valid", "validation", "test"})
_ALIASES: Final = {"jpeg": "jpg", "jpe": "jpg", "jfif": "jpg", "tiff": "tif"}
_SHARED: Final = 0.99

# key, name, and the root that sets them apart (None: can't be told)
_Candidate: TypeAlias = tuple[str, str, str | None]
_Spelled: TypeAlias = dict[str, tuple[str, ...]]  # paths by their spelling


@dataclass(frozen=True, slots=True)
class Pairing:
    """The name in the file for each key that has one, and the keys that could have several."""

    names: Mapping[str, str]
    ambiguous: frozenset[str]


def pair(names: Collection[str], keys: Sequence[str]) -> Pairing:
    """Pair the keys of a source with the names of a box file, each name at most once.

    1. The same text.
    2. The same folders and file name but for spelling: case and kind of the extension (`.JPEG`
       and `.jpg`), composed or decomposed Unicode, backslashes, a leading `/` or `./`.
    3. As 2, below one root folder that only the names have, or only the keys.
    4. Names that all lie in one folder that the source doesn't have (or in none), for a source
       with class folders, if no two images of the source share a file name.

    A root or folder counts in 3 and 4 if 99 % of what could be paired lies below it: names such
    as `001.jpg` fit the images of any class. What fits several is `ambiguous`; the rest has
    no entry. `names` must be quick to search (a set, a dict).
    """
    pairs = {key: key for key in keys if key in names}
    if len(pairs) == len(keys):
        return Pairing(pairs, frozenset())
    open_ = _Open(pairs, set(pairs), set())
    ours, theirs = _by_spelling(keys), _by_spelling(names)
    for candidates in (_same_spelling, _below_a_root, _flat):
        if len(pairs) + len(open_.doubtful) == len(keys):
            break
        _settle(candidates(ours, theirs, open_), open_)
    return Pairing(pairs, frozenset(open_.doubtful))


@dataclass(frozen=True, slots=True)
class _Open:
    """What is settled so far: pairs, names that are spoken for, keys that stay without a pair."""

    pairs: dict[str, str]
    used: set[str]
    doubtful: set[str]

    def join(
        self, keys: Sequence[str], names: Sequence[str], root: str | None
    ) -> Iterator[_Candidate]:
        """Yield every pair of two groups, unless all of one group are settled already."""
        if all(name in self.used for name in names):
            return
        if all(key in self.pairs or key in self.doubtful for key in keys):
            return
        for key in keys:
            for name in names:
                yield key, name, root


def _settle(candidates: Iterable[_Candidate], open_: _Open) -> None:
    """Pair what has one candidate on both sides, below the root that they share."""
    first: dict[str, tuple[str, str | None]] = {}
    key_of: dict[str, str] = {}
    torn: set[str] = set()
    roots: Counter[str | None] = Counter()
    for key, name, root in candidates:
        roots[root] += 1
        other = key_of.setdefault(name, key)
        if first.setdefault(key, (name, root)) != (name, root) or other != key:
            torn.update((key, other))
    shared = next((r for r, n in roots.items() if n >= _SHARED * roots.total()), None)
    open_.used.update(key_of)
    for key, (name, root) in first.items():
        if key in open_.pairs or key in open_.doubtful:
            continue
        if key not in torn and root is not None and root == shared:
            open_.pairs[key] = name
        else:
            open_.doubtful.add(key)


def _same_spelling(ours: _Spelled, theirs: _Spelled, open_: _Open) -> Iterator[_Candidate]:
    for spelling, keys in ours.items():
        if spelling in theirs:
            yield from open_.join(keys, theirs[spelling], "")


def _below_a_root(ours: _Spelled, theirs: _Spelled, open_: _Open) -> Iterator[_Candidate]:
    for spelling, names in theirs.items():
        for root, rest in _cuts(spelling):
            if rest in ours:
                yield from open_.join(ours[rest], names, f"file {root}")
    for spelling, keys in ours.items():
        for root, rest in _cuts(spelling):
            if rest in theirs and "/" in rest:  # bare file names: see _flat
                yield from open_.join(keys, theirs[rest], f"source {root}")


def _flat(ours: _Spelled, theirs: _Spelled, open_: _Open) -> Iterator[_Candidate]:
    """Yield pairs by file name alone, for names in a folder that the source doesn't have."""
    groups: dict[str, tuple[str, ...]] = {}
    for spelling, keys in ours.items():
        file_name = spelling.rpartition("/")[2]
        groups[file_name] = groups.get(file_name, ()) + keys
    distinct = len(groups) == len(ours)  # otherwise a file name says too little here
    folders = {spelling.rpartition("/")[0] for spelling in ours}
    for spelling, names in theirs.items():
        folder, _, file_name = spelling.rpartition("/")
        keys = groups.get(file_name, ())
        if keys and folder not in folders and not _other_split(folder, keys[0]):
            yield from open_.join(keys, names, folder if distinct else None)


def _other_split(folder: str, path: str) -> bool:
    """Say whether two paths name different parts of a data set, such as train and val."""
    here = _SPLITS.intersection(folder.split("/"))
    there = _SPLITS.intersection(path.split("/"))
    return bool(here and there) and here.isdisjoint(there)


def _cuts(path: str) -> Iterator[tuple[str, str]]:
    """Yield the path cut in two behind each of its slashes."""
    end = path.find("/")
    while end >= 0:
        yield path[: end + 1], path[end + 1 :]
        end = path.find("/", end + 1)


def _by_spelling(paths: Iterable[str]) -> _Spelled:
    groups: _Spelled = {}
    for path in paths:
        spelling = spelling_of(path)
        groups[spelling] = (*groups.get(spelling, ()), path)
    return groups


def spelling_of(path: str) -> str:
    """Return the path in one spelling, so that two spellings of one path are the same text."""
    path = path.replace("\\", "/").removeprefix("./").lstrip("/")
    if not path.isascii():
        path = unicodedata.normalize("NFC", path)
    stem, dot, extension = path.rpartition(".")
    if not dot or "/" in extension:
        return path
    extension = extension.lower()
    return f"{stem}.{_ALIASES.get(extension, extension)}"
