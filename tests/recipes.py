"""Recipes of tests that call the parts of a step themselves, with detectors of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

from sfumato.imaging.codec import MAX_PIXELS
from sfumato.obfuscation.step import Cover
from sfumato.recipe import DetectStep, ObfuscateStep, Recipe, VerifyStep
from sfumato.verification.checks import Checks


def recipe(
    method: str = "gaussian", *, searched: bool = True, max_pixels: int = MAX_PIXELS, **cover: Any
) -> Recipe:
    """Return a recipe; `searched`: the release is searched with the detectors of the source."""
    detect = DetectStep(("one",), ("0",), max_pixels)
    verify = VerifyStep(("one" if searched else "other",), ("0",))
    return Recipe(detect, verify, ObfuscateStep(method, **cover))


Parts = TypeVar("Parts", Cover, Checks)


def changed(parts: Parts, **settings: Any) -> Parts:
    """Return what covers or checks with some settings of its recipe changed, or its own fields."""
    made, own = parts.recipe, set(parts.__dataclass_fields__)
    fields = {name: settings.pop(name) for name in own & set(settings)}
    if "max_pixels" in settings:
        detect = replace(made.detect, max_pixels=settings.pop("max_pixels"))
        made = replace(made, detect=detect)
    if "searched" in settings:
        names = made.detect.detectors if settings.pop("searched") else ("other",)
        made = replace(made, verify=replace(made.verify, detectors=names))
    made = replace(made, obfuscate=replace(made.obfuscate, **settings))
    return replace(parts, recipe=made, **fields)
