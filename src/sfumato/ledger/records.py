"""Records as JSON text, and back: what the ledger stores of `sfumato.types`.

What comes back is held to the types: a body that a newer version wrote, or that a disk has
damaged, must stop the work with a sentence. Half understood, it could say that a face is covered.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Final, TypeAlias, get_args

from sfumato.errors import Code, LedgerError
from sfumato.recipe import Recipe
from sfumato.types import (
    JSON,
    Action,
    Assessment,
    Basis,
    Content,
    Decision,
    Detection,
    Encoding,
    Face,
    Failure,
    Finding,
    ImportedBoxes,
    Kind,
    Observation,
    Output,
    Record,
    Redetection,
    Review,
    Scope,
    Verdict,
)

_KINDS: Final[dict[str, type[Record]]] = {
    "detection": Detection,
    "review": Review,
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
    try:
        fields = json.loads(body)
        for name, value in fields.items():
            # A field without a reader here is one that the record itself will refuse.
            if name in _READERS:
                fields[name] = _READERS[name](value)
        return _KINDS[kind](**fields)
    except _FAULTS as error:
        raise unknown(f"a record of the kind {kind!r}", error) from error


def imported_from(body: str) -> ImportedBoxes:
    """Return the boxes of an image that a file gave; raises `LedgerError` as `decode`."""
    with understood("the boxes of a file"):
        what = json.loads(body)
        size = None if what["size"] is None else (_side(what["size"][0]), _side(what["size"][1]))
        return ImportedBoxes(faces_from(what["faces"]), _text(what["problem"]), size)


@contextmanager
def understood(what: str) -> Iterator[None]:
    """Turn whatever text of a ledger is wrong in here into a sentence; `what` names it.

    Raises:
        LedgerError: it isn't JSON, or it lacks or has what it shouldn't.
    """
    try:
        yield
    except _FAULTS as error:
        raise unknown(what, error) from error


def recipe_from(text: str) -> Recipe:
    """Return the recipe of a run that a ledger holds; raises `LedgerError` as `decode`."""
    with understood("the settings of a run"):
        return Recipe.from_json(json.loads(text))


def name_from(value: object) -> str:
    """Return a name that a ledger holds; raises `LedgerError` as `decode` if it is no text."""
    with understood("a name"):
        return _text(value)


def unknown(what: str, error: BaseException) -> LedgerError:
    """Return the error of something in a ledger that isn't understood, with a way out."""
    words = " ".join(str(error).split())
    why = type(error).__name__ if len(words) > 200 else f"{type(error).__name__}: {words}"
    return LedgerError(
        f"The ledger holds {what} that this version can't read ({why}). If a newer sfumato wrote "
        "it, update sfumato; if its file is damaged, restore it from a backup (docs/ledger.md), "
        "or give another with --ledger."
    )


def faces_from(rows: object) -> tuple[Face, ...]:
    """Return faces from their JSON form."""
    return tuple(map(_face, _list(rows)))


def _face(row: JSON) -> Face:
    x0, y0, x1, y1 = row["box"]
    found = Face((x0, y0, x1, y1), row["score"], row["origin"], row.get("kind", "face"))
    if len(row) - ("kind" in row) != 3 or found.kind not in _FACE_KINDS:
        raise ValueError(f"a face with the fields {', '.join(row)}, of the kind {found.kind!r}")
    return found


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise TypeError(f"text is wanted, not {value!r}")


def _names(value: object) -> tuple[str, ...]:
    return tuple(map(_text, _list(value)))


def _list(value: object) -> list[Any]:
    if isinstance(value, list):
        return value
    raise TypeError(f"a list is wanted, not {value!r}")


def _side(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise TypeError(f"a number of pixels is wanted, not {value!r}")


def _number(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise TypeError(f"a number is wanted, not {value!r}")


def _fields(value: object) -> JSON:
    if isinstance(value, dict):
        return value
    raise TypeError(f"fields are wanted, not {value!r}")


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise TypeError(f"true or false is wanted, not {value!r}")


_Reader: TypeAlias = Callable[[Any], object]


def _one_of(words: object) -> _Reader:
    known = frozenset(get_args(words))

    def read(value: object) -> object:
        if value in known:
            return value
        raise ValueError(f"one of {', '.join(sorted(known))} is wanted, not {value!r}")

    return read


_FACE_KINDS: Final = frozenset(get_args(Kind))
_READERS: Final[Mapping[str, _Reader]] = {
    **dict.fromkeys(
        (
            "key",
            "digest",
            "reviewer",
            "figures",
            "written",
            "method",
            "detail",
            "stage",
            "reason",
            "state",
            "observer",
        ),
        _text,
    ),
    **dict.fromkeys(("faces", "ghosts", "candidates", "rejected"), faces_from),
    **dict.fromkeys(("width", "height", "second_images", "second_images_removed"), _side),
    **dict.fromkeys(("seconds", "value", "limit"), _number),
    "values": _fields,
    "reviewers": _names,
    "detectors": _names,
    "code": Code,
    "passed": _flag,
    "action": _one_of(Action),
    "encoding": _one_of(Encoding),
    "content": _one_of(Content),
    "verdict": _one_of(Verdict),
    "scope": _one_of(Scope),
    "basis": _one_of(Basis),
}
