"""Detectors by name: the two that are shipped, and those that other packages bring.

A package brings a detector by an entry point of the group "sfumato.detectors" whose object,
called with any of the keywords `long_side` (or `profile`, a word) and `threshold`, returns a
`Registered`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from inspect import signature
from typing import Protocol

from sfumato.errors import UsageError
from sfumato.types import Detector

GROUP = "sfumato.detectors"
# Entry points exist once the package is installed. These stand for them where it is only on the
# path (a checkout, a zip), and are the same as those that an installation declares.
SHIPPED = (
    EntryPoint("centerface", "sfumato.detectors.centerface:CenterFace", GROUP),
    EntryPoint("finder", "sfumato.detectors.finder:Finder", GROUP),
    EntryPoint("yunet", "sfumato.detectors.yunet:YuNet", GROUP),
)
SPEC = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9._-]*)"
    r"(?:@(?:(?P<long_side>[0-9]{1,6})|(?P<profile>[a-z]+)))?"
    r"(?::(?P<threshold>[0-9]*\.?[0-9]+(?:e-[0-9]+)?))?"
)


class Registered(Detector, Protocol):
    """A detector that says all that its results depend on, so that no record outlives it."""

    @property
    def spec(self) -> str:
        """Return the whole specification, defaults written out."""
        ...

    @property
    def weights_sha256(self) -> str:
        """Return the SHA-256 in hex of the weights."""
        ...


def names() -> tuple[str, ...]:
    """Return the names that `parse` knows, sorted; raises `UsageError` if one is taken twice."""
    return tuple(sorted(_known()))


def parse(spec: str) -> Registered:
    """Make the detector that a specification describes: ``NAME[@LONG_SIDE][:THRESHOLD]``.

    What is left out has the detector's own default: "yunet", "yunet@640", "yunet:0.4" and
    "yunet@640:0.4" are all right. A finder has a profile in place of a side: "finder@high:0.2".
    Raises `UsageError` if the name is not known or a number can't be used, naming what can.

    >>> parse("yunet@640:0.5")
    YuNet(long_side=640, threshold=0.5)
    """
    match = SPEC.fullmatch(spec)
    if match is None:
        raise UsageError(
            f"detector {spec!r} is not NAME[@LONG_SIDE][:THRESHOLD], such as centerface@640:0.3"
        )
    settings: dict[str, int | float | str] = {}
    if match["long_side"]:
        settings["long_side"] = int(match["long_side"])
    if match["profile"]:
        settings["profile"] = match["profile"]
    if match["threshold"]:
        settings["threshold"] = float(match["threshold"])
    make = _load(match["name"])
    try:
        signature(make).bind(**settings)
    except TypeError as error:  # a profile for what has sides, or the other way round
        wanted = "a side in pixels" if match["profile"] else "a profile"
        raise UsageError(f"detector {spec!r}: {match['name']} takes {wanted} there") from error
    try:
        return make(**settings)
    except ValueError as error:
        raise UsageError(f"detector {spec!r}: {error}") from error


def _load(name: str) -> Callable[..., Registered]:
    known = _known()
    if name not in known:
        raise UsageError(f"no detector {name!r}; there are: {', '.join(sorted(known))}")
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
