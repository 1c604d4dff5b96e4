"""What has to be said of an ONNX file to find faces with it, read from a small TOML file.

    origin = "scrfd-500m-2021"    # versioned name; faces carry it
    family = "scrfd"              # how outputs become boxes: sfumato.detection.detectors.families
    licence = "MIT"               # of the weights; `sfumato doctor` shows it
    trained_on = "WIDER FACE"     # optional
    file = "scrfd_500m.onnx"      # optional: else this file's name with .onnx
    long_side = 640               # defaults of @SIDE and :THRESHOLD
    threshold = 0.5

    [input]
    channels = "RGB"              # or "BGR"
    layout = "NCHW"               # or "NHWC"
    mean = 127.5                  # (pixel - mean) * scale, each a number or three, in the
    scale = 0.0078125             # order of the channels
    fill = 0                      # value of the pixels around the image
    align = "corner"              # the image's place in a larger one, or "centre"
    multiple = 32                 # both sides are a multiple of it
    size = [640, 640]             # width and height, if the network takes no other
    batch = false                 # whether it takes several images at once
    name = "input.1"              # only needed if there are several inputs

    [outputs]                     # which output is what; the family has the names
    score_8 = "443"

    [decode]                      # optional: settings of the family
    anchors = 2

A key that isn't known is refused: a misspelt one would silently mean something else.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from sfumato.annotations.documents import read_toml
from sfumato.detection.detectors.families import FAMILIES, Family
from sfumato.errors import UsageError

Three = tuple[float, float, float]
T = TypeVar("T")

_LARGEST_SIDE: Final = 4096
_ORIGIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*-[A-Za-z0-9._]*[0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Input:
    """How an image becomes the input of a network; `size` is (width, height) or None."""

    channels: Literal["RGB", "BGR"] = "RGB"
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    mean: Three = (0.0, 0.0, 0.0)
    scale: Three = (1.0, 1.0, 1.0)
    fill: int = 0
    align: Literal["corner", "centre"] = "corner"
    multiple: int = 0
    size: tuple[int, int] | None = None
    batch: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        _one_of("channels", self.channels, ("RGB", "BGR"))
        _one_of("layout", self.layout, ("NCHW", "NHWC"))
        _one_of("align", self.align, ("corner", "centre"))
        _within("fill", self.fill, 0, 255)
        _within("multiple", self.multiple, 0, 1024)
        if not all(math.isfinite(number) for number in (*self.mean, *self.scale)):
            raise ValueError("mean and scale must be finite")
        if not all(self.scale):
            raise ValueError("scale must not be zero: the network would see nothing")
        for side in self.size or ():
            _within("size", side, 1, _LARGEST_SIDE)

    @property
    def order(self) -> tuple[int, int, int]:
        """Return the channels of an RGB image in the order in which the network takes them."""
        return (0, 1, 2) if self.channels == "RGB" else (2, 1, 0)


@dataclass(frozen=True, slots=True)
class Description:
    """A network described: see the module. `outputs` are names in the order of the roles."""

    origin: str
    family: Family
    licence: str
    outputs: tuple[str, ...]
    input: Input
    trained_on: str = ""
    file: str = ""
    long_side: int = 640
    threshold: float = 0.5

    @property
    def overlap(self) -> float:
        """Return the IoU above which the weaker of two boxes goes."""
        return self.family.overlap

    @property
    def multiple(self) -> int:
        """Return the number of which the sides of the network image are a multiple."""
        return self.input.multiple or self.family.multiple

    def sha256(self, model: bytes) -> str:
        """Return the SHA-256 in hex of the bytes of the model and all that is said of it.

        Comments, order and what is left at its default don't matter; the file's name neither.
        """
        plain = asdict(self)
        plain["family"] = [type(self.family).__name__, asdict(self.family)]  # type: ignore[call-overload]  # families are dataclasses
        del plain["file"]
        canonical = json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()
        digest = hashlib.sha256(hashlib.sha256(model).digest())
        digest.update(canonical)
        return digest.hexdigest()


def read(path: Path) -> Description:
    """Read a description; raises `UsageError` with what is wrong in it."""
    try:
        data = read_toml(path)
    except OSError as error:
        raise UsageError(
            f"{path} can't be read ({error.strerror}): an ONNX detector needs a description, "
            "a TOML file beside it or instead of it (docs/detection.md, Other detectors)."
        ) from error
    except ValueError as error:
        raise UsageError(f"{path} is no TOML: {error}.") from error
    try:
        return _described(data)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{path}: {error}.") from error


def _described(data: dict[str, Any]) -> Description:
    known = {field.name for field in fields(Description)} | {"decode"}
    _only(data, known, "")
    missing = [key for key in ("origin", "family", "licence", "outputs") if key not in data]
    if missing:
        raise ValueError(f"it must say {', '.join(missing)}")
    for key in ("origin", "licence", "trained_on", "family", "file"):
        _typed(key, data.get(key, ""), str)
    if not _ORIGIN.fullmatch(data["origin"]):
        raise ValueError(
            f"origin must be a name with a version, such as scrfd-500m-2021, got {data['origin']!r}"
        )
    if not data["licence"].strip():
        raise ValueError("licence is empty: say under which terms the weights may be used")
    family = _family(data["family"], _table(data, "decode"))
    long_side, threshold = data.get("long_side", 640), data.get("threshold", 0.5)
    return Description(
        origin=data["origin"],
        family=family,
        licence=data["licence"],
        outputs=_outputs(_table(data, "outputs"), family.roles),
        input=_input(_table(data, "input")),
        trained_on=data.get("trained_on", ""),
        file=data.get("file", ""),
        long_side=_typed("long_side", long_side, int),
        threshold=float(_typed("threshold", threshold, (int, float))),
    )


def _family(name: str, settings: Mapping[str, Any]) -> Family:
    if name not in FAMILIES:
        raise ValueError(f"family must be one of {', '.join(FAMILIES)}, got {name!r}")
    kind = FAMILIES[name]
    defaults = asdict(kind())  # type: ignore[call-overload]  # families are dataclasses
    _only(settings, set(defaults), "decode.")
    given = {key: _like(f"decode.{key}", value, defaults[key]) for key, value in settings.items()}
    return kind(**given)


def _like(key: str, value: object, default: object) -> object:
    """Return a setting as the type of its default has it; a list becomes a tuple."""
    if isinstance(default, tuple):
        number = float if isinstance(default[0], float) else int
        wanted = (int, float) if number is float else int
        return tuple(number(_typed(key, one, wanted)) for one in _typed(key, value, list))
    if isinstance(default, float):
        return float(_typed(key, value, (int, float)))
    return _typed(key, value, type(default))


def _outputs(named: Mapping[str, Any], roles: tuple[str, ...]) -> tuple[str, ...]:
    _only(named, set(roles), "outputs.")
    missing = [role for role in roles if role not in named]
    if missing:
        raise ValueError(f"[outputs] must name {', '.join(missing)}")
    return tuple(_typed(f"outputs.{role}", named[role], str) for role in roles)


def _input(data: Mapping[str, Any]) -> Input:
    _only(data, {field.name for field in fields(Input)}, "input.")
    given = dict(data)
    for key in ("mean", "scale"):
        if key in given:
            given[key] = _three(f"input.{key}", given[key])
    for key in ("channels", "layout", "align", "name"):
        _typed(f"input.{key}", given.get(key, ""), str)
    for key in ("fill", "multiple"):
        _typed(f"input.{key}", given.get(key, 0), int)
    _typed("input.batch", given.get("batch", False), bool)
    if "size" in given:
        sides = [
            _typed("input.size", side, int) for side in _typed("input.size", given["size"], list)
        ]
        if len(sides) != 2:
            raise ValueError("input.size must be [width, height]")
        given["size"] = tuple(sides)
    return Input(**given)


def _three(key: str, value: object) -> Three:
    numbers = value if isinstance(value, list) else [value] * 3
    if len(numbers) != 3:
        raise ValueError(f"{key} must be a number or three, got {value!r}")
    first, second, third = (float(_typed(key, number, (int, float))) for number in numbers)
    return first, second, third


def _table(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    table: dict[str, Any] = _typed(key, data.get(key, {}), dict)
    return table


def _typed(key: str, value: object, wanted: type[T] | tuple[type, ...]) -> Any:
    """Return a value if it has the type; true and false are no numbers."""
    right = isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))
    if not right:
        names = wanted if isinstance(wanted, tuple) else (wanted,)
        raise ValueError(f"{key} must be {' or '.join(n.__name__ for n in names)}, got {value!r}")
    return value


def _only(data: Mapping[str, Any], known: set[str], prefix: str) -> None:
    unknown = sorted(prefix + key for key in data.keys() - known)
    if unknown:
        raise ValueError(
            f"it has keys that are not known: {', '.join(unknown)}; known are "
            f"{', '.join(sorted(prefix + key for key in known))}"
        )


def _one_of(key: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"input.{key} must be one of {', '.join(choices)}, got {value!r}")


def _within(key: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"input.{key} must lie in [{low}, {high}], got {value}")
