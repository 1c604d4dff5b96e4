"""Detectors by name: those that are shipped, those that other packages bring, and ONNX files.

A package brings a detector by an entry point of the group "sfumato.detectors" whose object,
called with any of the keywords `long_side` (or `profile`, a word), `threshold` and `device`,
returns a `Registered`. Only what is asked for is passed: an object without a keyword has no such
setting. A detector that sends images to another machine says so by a true attribute `uploads`,
and works only with consent (`sfumato.detection.detectors.meter`).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Final, Protocol

from sfumato.errors import UsageError
from sfumato.types import Detector

GROUP = "sfumato.detectors"
# Entry points exist once the package is installed. These stand for them where it is only on the
# path (a checkout, a zip), and are the same as those that an installation declares.
SHIPPED = (
    EntryPoint("blazeface", "sfumato.detection.detectors.blazeface:BlazeFace", GROUP),
    EntryPoint("centerface", "sfumato.detection.detectors.centerface:CenterFace", GROUP),
    EntryPoint("finder", "sfumato.detection.detectors.finder:Finder", GROUP),
    EntryPoint("rekognition", "sfumato.detection.detectors.rekognition:Rekognition", GROUP),
    EntryPoint("yunet", "sfumato.detection.detectors.yunet:YuNet", GROUP),
)
FILE: Final = "onnx"  # onnx:FILE, for a file instead of a registered name
_SETTINGS: Final = (
    r"(?::(?P<threshold>[0-9]*\.?[0-9]+(?:e-[0-9]+)?))?"
    r"(?:#(?P<device>[a-z]+))?"
)
_SIDE: Final = r"(?P<long_side>[0-9]{1,6})"
SPEC = re.compile(
    rf"(?P<name>[a-z0-9][a-z0-9._-]*)(?:@(?:{_SIDE}|(?P<profile>[a-z]+)))?" + _SETTINGS
)
_FILE_SPEC = re.compile(rf"(?P<name>{FILE}):(?P<file>[^\n]+?)(?:@{_SIDE})?" + _SETTINGS)
# A setting, the one that stands in its place in other detectors, and what that one is.
_INSTEAD: Final = (
    ("profile", "long_side", "a side in pixels, such as @640,"),
    ("long_side", "profile", "a profile, such as @default,"),
)


class Registered(Detector, Protocol):
    """A detector that says all that its results depend on, so that no record outlives it."""

    @property
    def spec(self) -> str:
        """Return the whole specification, defaults written out."""
        ...

    @property
    def weights_sha256(self) -> str:
        """Return the SHA-256 in hex of the weights, or of what else decides the results."""
        ...


def names() -> tuple[str, ...]:
    """Return the names that `parse` knows, sorted; raises `UsageError` if one is taken twice."""
    return tuple(sorted(_known()))


def parse(spec: str) -> Registered:
    """Make the detector that a specification describes: ``NAME[@LONG_SIDE][:THRESHOLD][#DEVICE]``.

    What is left out has the detector's own default: "yunet", "yunet@640", "yunet:0.4" and
    "yunet@640:0.4" are all right. A finder has a profile in place of a side: "finder@high:0.2".
    "onnx:FILE" names a description (or the model beside one) instead, and takes a side. Raises
    `UsageError` if the name is not known, a setting can't be used or doesn't exist, naming what
    can.

    >>> parse("yunet@640:0.5").spec
    'yunet@640:0.5'
    """
    match = _FILE_SPEC.fullmatch(spec) or SPEC.fullmatch(spec)
    if match is None:
        raise UsageError(
            f"detector {spec!r} is not NAME[@LONG_SIDE][:THRESHOLD] (such as centerface@640:0.3) "
            "and not onnx:FILE[@LONG_SIDE][:THRESHOLD]"
        )
    settings: dict[str, int | float | str] = {}
    if match["long_side"]:
        settings["long_side"] = int(match["long_side"])
    if match.groupdict().get("profile"):
        settings["profile"] = match["profile"]
    if match["threshold"]:
        settings["threshold"] = float(match["threshold"])
    if match["device"]:
        settings["device"] = match["device"]
    make = _file(match["file"]) if match.re is _FILE_SPEC else _load(match["name"])
    _takes(make, match["name"], settings)
    try:
        return make(**settings)
    except ValueError as error:
        raise UsageError(f"detector {spec!r}: {error}") from error


@cache
def made(specs: tuple[str, ...], weights: tuple[str, ...] = ()) -> tuple[Detector, ...]:
    """Make the detectors of these specifications, once in a process.

    Raises:
        UsageError: as `parse`; with `weights`, their SHA-256, also if one has others now.
    """
    found = tuple(map(parse, specs))
    if weights:
        check_weights(found, weights)
    return found


def check_weights(made: Sequence[Registered], weights: Sequence[str]) -> None:
    """Raise `UsageError` if a detector isn't the one whose SHA-256 was recorded."""
    for one, expected in zip(made, weights, strict=True):
        if one.weights_sha256 != expected:
            raise UsageError(
                f"Detector {one.spec} is not the one that the records speak of: its weights or "
                "its description changed. Begin again with --overwrite, or bring the old ones back."
            )


def uploading(specs: Sequence[str]) -> list[str]:
    """Return those of some specifications whose detectors send images to another machine."""
    return [spec for spec in specs if getattr(parse(spec), "uploads", False)]


def adjusted(spec: str, *, threshold: float | None = None, device: str = "") -> str:
    """Return a specification with another threshold, and with a device unless it names one.

    What is no specification stays as it is: `parse` says what is wrong with it.
    """
    match = _FILE_SPEC.fullmatch(spec) or SPEC.fullmatch(spec)
    if match is None:
        return spec
    name = f"{FILE}:{match['file']}" if match.re is _FILE_SPEC else match["name"]
    scale = match["long_side"] or match.groupdict().get("profile")
    side = f"@{scale}" if scale else ""
    score = match["threshold"] if threshold is None else threshold
    place = match["device"] or device
    return f"{name}{side}{f':{score}' if score else ''}{f'#{place}' if place else ''}"


def threshold_of(spec: str) -> float | None:
    """Return the threshold that a specification names, None if it names none or isn't one."""
    match = _FILE_SPEC.fullmatch(spec) or SPEC.fullmatch(spec)
    return float(match["threshold"]) if match and match["threshold"] else None


def _file(path: str) -> Callable[..., Registered]:
    from sfumato.detection.detectors.onnx_file import OnnxFile

    return lambda long_side=None, threshold=None, device="cpu": OnnxFile(
        Path(path), long_side, threshold, device
    )


def _takes(
    make: Callable[..., Registered], name: str, settings: dict[str, int | float | str]
) -> None:
    """Raise `UsageError` if a detector has no such setting."""
    parameters = inspect.signature(make).parameters.values()
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters):
        return
    known = {one.name for one in parameters}
    unknown = settings.keys() - known
    for given, other, wanted in _INSTEAD:
        if given in unknown and other in known:
            raise UsageError(f"detector {name!r} takes {wanted} not {settings[given]!r}.")
    if unknown:
        words = {
            "long_side": "@LONG_SIDE",
            "profile": "@PROFILE",
            "threshold": ":THRESHOLD",
            "device": "choice of device",
        }
        missing = " and no ".join(words[key] for key in sorted(unknown))
        raise UsageError(f"detector {name!r} has no {missing}: leave it out.")


def _load(name: str) -> Callable[..., Registered]:
    known = _known()
    if name not in known:
        raise UsageError(
            f"no detector {name!r}; there are: {', '.join(sorted(known))}, and onnx:FILE"
        )
    made: Callable[..., Registered] = known[name].load()
    return made


def _known() -> dict[str, EntryPoint]:
    known: dict[str, EntryPoint] = {}
    for point in (*SHIPPED, *entry_points(group=GROUP)):
        other = known.setdefault(point.name, point)
        if other.value != point.value:
            raise UsageError(
                f"two detectors are named {point.name!r}: {other.value} and {point.value}; "
                "uninstall the package that brings one of them"
            )
    return known
