"""Which classes belong to which super-category: by WordNet, or by a table of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sfumato.errors import UsageError
from sfumato.study.analysis import wordnet
from sfumato.study.files import two_columns


@dataclass(frozen=True, slots=True)
class Membership:
    """The places of the classes of each super-category, and a sentence on where they are from.

    The note is empty if there is nothing to say; a class may be in several, or in none.
    """

    classes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    note: str = ""


def read_supercategories(path: Path | None, parts: Sequence[Sequence[str]]) -> list[Membership]:
    """Return the super-categories of the classes of each part of a study.

    `path` is WordNet 3.0's `data.noun` or its folder, for classes that are named by its ids, or a
    CSV file `class,supercategory` with a line for each pair. It is never looked for: the same
    command must give the same report on a machine that has WordNet and on one that doesn't.

    Raises:
        UsageError: the file can't be read or isn't what it should be, or it knows none of the
            classes of any part.
    """
    if path is None:
        return [Membership(note=_UNASKED if _ids(classes) else "") for classes in parts]
    if wordnet.is_wordnet(path):
        return _by_wordnet(path, parts)
    return _by_table(path, parts)


_UNASKED = (
    "By super-category: not measured. The classes look like WordNet's ids: name the data.noun of "
    "WordNet 3.0 with --supercategories."
)


def _ids(classes: Sequence[str]) -> int:
    return sum(wordnet.offset_of(name) is not None for name in classes)


def _by_wordnet(path: Path, parts: Sequence[Sequence[str]]) -> list[Membership]:
    if not any(_ids(classes) for classes in parts):
        raise UsageError(
            f"{path} is WordNet's, but no class of the study is called by its id, such as "
            f"n02084071: the predictions have {_first(parts)!r}. Give a CSV with class and "
            "supercategory."
        )
    made = []
    for classes in parts:
        if not _ids(classes):
            made.append(Membership(note=f"{_NOT} its classes aren't called by WordNet's ids."))
            continue
        found = wordnet.supercategories(path, classes)
        told = (
            f"By super-category: hypernyms of WordNet {wordnet.VERSION}{_outside(classes, found)}."
        )
        made.append(Membership(found, told))
    return made


def _by_table(path: Path, parts: Sequence[Sequence[str]]) -> list[Membership]:
    rows = two_columns(path, "class", "supercategory")
    named = {one for one, _ in rows}
    if not any(named & set(classes) for classes in parts):
        raise UsageError(
            f"{path} names none of the study's classes: it has {min(named)!r}, the predictions "
            f"have {_first(parts)!r}."
        )
    made = []
    for classes in parts:
        place = {name: k for k, name in enumerate(classes)}
        found: dict[str, list[int]] = {}
        for one, above in rows:
            if one in place:
                found.setdefault(above, []).append(place[one])
        note = "" if found else f"{_NOT} the table names none of its classes."
        made.append(Membership(found, note))
    return made


_NOT = "By super-category: not measured,"


def _outside(classes: Sequence[str], found: Mapping[str, Sequence[int]]) -> str:
    inside = {place for places in found.values() for place in places}
    left = len(classes) - len(inside)
    return f"; {left:,} of {len(classes):,} classes in none of those listed" if left else ""


def _first(parts: Sequence[Sequence[str]]) -> str:
    return next((classes[0] for classes in parts if classes), "")
