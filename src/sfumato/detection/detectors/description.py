"""What has to be said of an ONNX file to find faces with it, read from a small TOML file.

docs/detection.md ("A file") shows one with every key. A key that isn't known is refused: a misspelt
one would silently mean something else.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from sfumato.annotations.documents import read_toml
from sfumato.annotations.toml_tables import build
from sfumato.detection.detectors.families import FAMILIES, Family
from sfumato.errors import UsageError

Three = tuple[float, float, float]

_LARGEST_SIDE: Final = 4096
_ORIGIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*-[A-Za-z0-9._]*[0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Input:
    """How an image becomes the input of a network: (pixel - mean) * scale in its channels' order.

    `fill` is the value of the pixels around the image, `align` its place among them; both sides
    are a multiple of `multiple`, or `size`, (width, height), where the network takes no other.
    `batch` says whether it takes several images at once; `name` is needed for several inputs.
    """

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
        for name in ("mean", "scale"):
            if len(getattr(self, name)) != 3:
                raise ValueError(f"input.{name} must be a number or three")
        if self.size is not None and len(self.size) != 2:
            raise ValueError("input.size must be [width, height]")
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
    input: Input = field(default_factory=Input)
    trained_on: str = ""
    file: str = ""
    long_side: int = 640
    threshold: float = 0.5

    def __post_init__(self) -> None:
        if not _ORIGIN.fullmatch(self.origin):
            words = "origin must be a name with a version, such as scrfd-500m-2021"
            raise ValueError(f"{words}, got {self.origin!r}")
        if not self.licence.strip():
            raise ValueError("licence is empty: say under which terms the weights may be used")

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
        raise UsageError(f"{path} is not TOML: {error}.") from error
    decode, shape = data.pop("decode", {}), data.get("input")
    if isinstance(shape, dict):  # one number is that of each channel
        single = {"mean", "scale"} & {k for k, v in shape.items() if isinstance(v, int | float)}
        shape |= {key: [shape[key]] * 3 for key in single}
    try:
        family = _family(data.get("family"), decode, path)
        named = build(Mapping[str, str], data.get("outputs", {}), "outputs", path)
        if named.keys() != set(family.roles):
            told = ", ".join(named) or "nothing"
            raise ValueError(f"[outputs] must name {', '.join(family.roles)}, not {told}")
        data |= {"family": family, "outputs": [named[role] for role in family.roles]}
        described: Description = build(Description, data, "", path)
    except ValueError as error:
        raise UsageError(f"{path}: {error}.") from error
    return described


def _family(name: object, settings: Any, path: Path) -> Family:
    if not isinstance(name, str) or name not in FAMILIES:
        raise ValueError(f"family must be one of {', '.join(FAMILIES)}, got {name!r}")
    family: Family = build(FAMILIES[name], settings, "decode", path)
    return family


def _within(key: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"input.{key} must lie in [{low}, {high}], got {value}")
