"""From TOML to dataclasses; unknown keys and values of other kinds are refused."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from sfumato.errors import UsageError

_WORDS: Final[dict[Any, str]] = {
    Path: "a path",
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


def build(kind: Any, value: Any, where: str, path: Path) -> Any:
    """Make a value of this type of what TOML gave; `where` is the key, for errors.

    Raises:
        UsageError: an unknown key, a missing one, or a value of another kind; it is named.
    """
    if is_dataclass(value):  # made before
        return value
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        (kind,) = (one for one in get_args(kind) if one is not type(None))
        return build(kind, value, where, path)
    if is_dataclass(kind):
        return _build_table(kind, value, where, path)
    if origin is tuple and isinstance(value, list):
        return tuple(build(get_args(kind)[0], one, where, path) for one in value)
    if origin is Mapping and isinstance(value, dict):
        kind = get_args(kind)[1]
        return {key: build(kind, one, f"{where}.{key}", path) for key, one in value.items()}
    return _plain(kind, value, where, path)


def _plain(kind: Any, value: Any, where: str, path: Path) -> Any:
    if get_origin(kind) is Literal and value in get_args(kind):
        return value
    if kind is Path and isinstance(value, str) and value:
        return path.parent.absolute() / value
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(OverflowError):  # a whole number may be too large
            return float(value)
    if isinstance(kind, type) and type(value) is kind:
        return value
    raise UsageError(f"{path}: {where} can't be {value!r}{_wanted(kind)}.")


def _wanted(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f": choose one of {', '.join(map(repr, get_args(kind)))}"
    return f": it must be {_WORDS.get(kind, 'a list or table')}"


def _build_table(kind: Any, value: Any, where: str, path: Path) -> Any:
    if not isinstance(value, dict):
        raise UsageError(f"{path}: {where} must be a table.")
    hints = get_type_hints(kind)
    names = {one.name.replace("_", "-"): one.name for one in fields(kind)}
    written = {key.replace("_", "-"): key for key in value}
    place = where and f" in {where}"
    if unknown := sorted(written.keys() - names.keys()):
        raise UsageError(
            f"{path} has keys that aren't known{place}: "
            f"{', '.join(written[key] for key in unknown)}. Known are {', '.join(sorted(names))}."
        )
    if twice := sorted(value.keys() - written.values()):
        raise UsageError(f"{path} says{place} {', '.join(twice)} twice, with - and with _.")
    built = {
        names[key]: build(hints[names[key]], value[own], f"{where}.{own}".lstrip("."), path)
        for key, own in written.items()
    }
    try:
        return kind(**built)
    except TypeError as error:  # what has no default is missing
        missing = [n for n in names.values() if n not in built and f"'{n}'" in str(error)]
        raise UsageError(f"{path}: {where or 'the file'} lacks {', '.join(missing)}.") from error
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
