"""Records as JSON text, and back: what the ledger stores of `sfumato.types`.

What comes back is held to the types: a body that a newer version wrote, or that a disk has
damaged, must stop the work with a sentence. Half understood, it could say that a face is covered.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from functools import cache
from typing import Any, Final, Literal, TypeAlias, get_args, get_origin, get_type_hints

from sfumato.errors import Code, LedgerError
from sfumato.recipe import Recipe
from sfumato.types import (
    JSON,
    Assessment,
    Decision,
    Detection,
    Failure,
    Finding,
    ImportedBoxes,
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
        record: Record = _reader(_KINDS[kind])(json.loads(body))
    return record


def imported_from(body: str) -> ImportedBoxes:
    """Return the boxes of an image that a file gave; raises `LedgerError` as `decode`."""
    with understood("the boxes of a file"):
        boxes: ImportedBoxes = _reader(ImportedBoxes)(json.loads(body))
    return boxes


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
        return Recipe.from_json(json.loads(text))


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
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise TypeError(f"a number of pixels or images is wanted, not {value!r}")


def _number(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
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
