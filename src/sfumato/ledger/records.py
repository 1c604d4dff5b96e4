"""Records as JSON text, and back: what the ledger stores of `sfumato.types`.

What comes back is held to the types: a body that a newer version wrote, or that a disk has
damaged, must stop the work with a sentence. Half understood, it could say that a face is covered.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass
from functools import cache
from math import inf, isfinite
from typing import Any, Final, Literal, TypeAlias, get_args, get_origin, get_type_hints

from sfumato.errors import Code, LedgerError
from sfumato.recipe import Recipe
from sfumato.sources.doors import ImportedBoxes
from sfumato.types import (
    JSON,
    Assessment,
    Decision,
    Detection,
    Failure,
    Finding,
    Observation,
    Output,
    Record,
    Redetection,
)

_Reader: TypeAlias = Callable[[Any], Any]

_KINDS: Final[dict[str, Any]] = {
    "detection": Detection,
    "decision": Decision,
    "redetection": Redetection,
    "assessment": Assessment,
    "output": Output,
    "finding": Finding,
    "failure": Failure,
    "observation": Observation,
}
_MOST: Final = 2**31 - 1  # of what is counted: tables and arrays hold no more
_NAMES: Final = {record_type: kind for kind, record_type in _KINDS.items()}
# What is wrong with text that isn't ours, from the reader of JSON on.
_FAULTS: Final = (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError)


def encode(record: Record) -> tuple[str, str]:
    """Return a record's kind and its body as JSON."""
    return _NAMES[type(record)], json.dumps(asdict(record), separators=(",", ":"))


def decode(kind: str, body: str) -> Record:
    """Return the record that `encode` wrote; fields that came later have their defaults.

    Raises:
        LedgerError: a kind, field, code or value that this version doesn't know, or damage.
    """
    with understood(f"a record of the kind {kind!r}"):
        fields = json.loads(body)
        if kind == "detection" and "label" not in fields:  # of 0.1.0, which knew folders only
            fields["label"] = fields["key"].rpartition("/")[0]
        record: Record = _reader(_KINDS[kind])(fields)
    return record


def imported_from(body: str) -> ImportedBoxes:
    """Return the boxes of an image that a file gave; raises `LedgerError` as `decode`."""
    with understood("the boxes of a file"):
        boxes: ImportedBoxes = _reader(ImportedBoxes)(json.loads(body))
    return boxes


@dataclass(frozen=True, slots=True)
class _Share:
    """A share in [0, 1] with its interval; of nothing (n = 0) there is none."""

    value: float | None
    low: float | None
    high: float | None
    n: int

    def __post_init__(self) -> None:
        for share in (self.low, self.value, self.high) if self.n else ():
            if share is None or not 0 <= share <= 1:
                raise ValueError(f"a share of {share!r}")


@dataclass(frozen=True, slots=True)
class _Figures:
    """What the review of a whole set came to (`sfumato.review.assessment`)."""

    layout: Literal[1, 2]
    answers: int
    reviewers: int
    decided: int
    disputed: int
    agreement: _Share
    gold: _Share
    seconds_per_image: float | None
    estimate: JSON | None

    def __post_init__(self) -> None:
        if not 0 <= (self.seconds_per_image or 0) < inf:
            raise ValueError(f"seconds of {self.seconds_per_image!r}")
        for name in ("sentence", "short") if self.estimate is not None else ():
            _text((self.estimate or {})[name])


def figures_from(text: str) -> JSON:
    """Return what the review of a whole set came to; raises `LedgerError` as `decode`.

    They are published: a field that isn't known here might say more than may leave.
    """
    with understood("the figures of a review"):
        figures: JSON = json.loads(text)
        if figures["layout"] == 1:  # it said "pictures"
            figures = json.loads(text, object_pairs_hook=_of_images)
        _reader(_Figures)(copy.deepcopy(figures))
    return figures


def _of_images(pairs: list[tuple[str, object]]) -> JSON:
    return {name.replace("picture", "image"): value for name, value in pairs}


@contextmanager
def understood(what: str) -> Iterator[None]:
    """Turn whatever text of a ledger is wrong in here into a sentence; `what` names it.

    Raises:
        LedgerError: it isn't JSON, or it lacks or has what it shouldn't.
    """
    try:
        yield
    except _FAULTS as error:
        words = " ".join(str(error).split())
        why = type(error).__name__ if len(words) > 200 else f"{type(error).__name__}: {words}"
        raise LedgerError(
            f"The ledger holds {what} that this version can't read ({why}). If a newer sfumato "
            "wrote it, update sfumato; if its file is damaged, restore it from a backup "
            "(docs/ledger.md), or give another with --ledger."
        ) from error


def recipe_from(text: str) -> Recipe:
    """Return the recipe of a run that a ledger holds; raises `LedgerError` as `decode`."""
    with understood("the settings of a run"):
        plain = json.loads(text)
        steps = {name: plain[name] for name in Recipe.__dataclass_fields__ if name in plain}
        recipe: Recipe = _reader(Recipe)(steps)
        if not isfinite(recipe.obfuscate.expand):
            raise ValueError(f"a growth of {recipe.obfuscate.expand!r}")
    return recipe


def name_from(value: object) -> str:
    """Return a name that a ledger holds; raises `LedgerError` as `decode` if it is no text."""
    with understood("a name"):
        return _text(value)


@cache
def _reader(hint: Any) -> _Reader:
    """Return what takes a value of this type from JSON, or raises one of `_FAULTS`."""
    parts = get_args(hint)
    if get_origin(hint) is tuple:
        one = _reader(parts[0])  # sides of a box or of an image, or any number of something
        length = None if parts[1:] == (...,) else len(parts)
        return lambda value: _several(one, value, length)
    if get_origin(hint) is Literal:
        return lambda value: _word(parts, value)
    if get_origin(hint) is dict:
        return _object
    if type(None) in parts:
        given = _reader(parts[0])
        return lambda value: None if value is None else given(value)
    return _fields(hint) if is_dataclass(hint) else Code if hint is Code else _PLAIN[hint]


def _fields(kind: Any) -> _Reader:
    """Return what makes a dataclass from its JSON form; it refuses a field that it doesn't have."""
    readers = {name: _reader(hint) for name, hint in get_type_hints(kind).items()}

    def made(fields: JSON) -> Any:
        for name, value in fields.items():
            if name in readers:
                fields[name] = readers[name](value)
        return kind(**fields)

    return made


def _several(one: _Reader, values: object, length: int | None) -> tuple[Any, ...]:
    if isinstance(values, list) and length in (None, len(values)):
        return tuple(map(one, values))
    raise TypeError(f"a list is wanted, not {values!r}")


def _word(words: tuple[str, ...], value: object) -> object:
    if value in words:
        return value
    raise ValueError(f"one of {', '.join(sorted(words))} is wanted, not {value!r}")


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise TypeError(f"text is wanted, not {value!r}")


def _count(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST:
        return value
    raise TypeError(f"a number of pixels or images is wanted, not {value!r}")


def _number(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        float(value)  # raises for a whole number that is too large to be one
        return value
    raise TypeError(f"a number is wanted, not {value!r}")


def _object(value: object) -> JSON:
    if isinstance(value, dict):
        return value
    raise TypeError(f"fields are wanted, not {value!r}")


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise TypeError(f"true or false is wanted, not {value!r}")


_PLAIN: Final[Mapping[Any, _Reader]] = {str: _text, int: _count, float: _number, bool: _flag}
