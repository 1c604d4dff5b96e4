"""The recipe: what is done to an image, as frozen data with a fingerprint.

Every step is a frozen dataclass; its fields are its configuration. A record carries the
fingerprint of the steps that led to it, so a changed setting never reuses an old record.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Final, Literal

from sfumato.types import JSON

# Raised when the same settings begin to give other results, so that old records are not reused.
LAYOUT = 1


@dataclass(frozen=True, slots=True)
class DetectStep:
    """How faces are found.

    `detectors` are specifications such as "centerface@640:0.3", `weights` the SHA-256 of their
    files in the same order. When boxes come from a file instead, `boxes` is its SHA-256 and
    `unlisted` says what an image that it doesn't name is: to "refuse" or "faceless".
    """

    detectors: tuple[str, ...]
    weights: tuple[str, ...]
    max_pixels: int
    boxes: str = ""
    unlisted: str = ""


@dataclass(frozen=True, slots=True)
class ObfuscateStep:
    """How faces are covered: method, growth on each side, and the colour of `fill` (None: mean).

    A covered image is searched again with the detectors of the first step and measured; what
    they still see and what is too weak is covered once more, up to `looks` times (0: never).
    `on_unsupported` says what becomes of a JPEG that can't be edited block by block. `metadata`
    says whose metadata go: those of edited files ("faces"), of "all" files, or of edited ones but
    for date, camera and copyright ("keep-safe"). With `require_review`, an image that nobody has
    decided on is refused.
    """

    method: str = "gaussian"
    expand: float = 0.25
    colour: tuple[int, int, int] | None = None
    on_unsupported: Literal["refuse", "reencode"] = "refuse"
    looks: int = 3
    metadata: Literal["faces", "all", "keep-safe"] = "faces"
    require_review: bool = False


@dataclass(frozen=True, slots=True)
class VerifyStep:
    """With which detectors the release is searched again."""

    detectors: tuple[str, ...]
    weights: tuple[str, ...]


OBSERVE: Final = "observe:"  # before the name of an observer: the step that runs it


@dataclass(frozen=True, slots=True)
class Recipe:
    """The whole way of an image, as a list of steps with their settings.

    `observe` names what looks at the release after that, for a judge of the whole set
    (`sfumato.verification.observing`).
    """

    detect: DetectStep
    verify: VerifyStep
    obfuscate: ObfuscateStep = field(default_factory=ObfuscateStep)
    observe: tuple[str, ...] = ()

    @property
    def steps(self) -> tuple[str, ...]:
        """The names of the steps, in order: "detect", "obfuscate", "verify", "observe:NAME", …."""
        return ("detect", "obfuscate", "verify", *(f"{OBSERVE}{name}" for name in self.observe))

    def fingerprint(self, step: str) -> str:
        """Return the SHA-256 of every setting that a record of this step depends on.

        Each step depends on those before it; but what is observed does not on who verified.
        """
        return _fingerprint(self, step, LAYOUT)

    def as_json(self) -> JSON:
        """Return the settings as plain JSON data, for the ledger."""
        plain: JSON = json.loads(json.dumps(asdict(self)))
        if not self.observe:
            del plain["observe"]  # as before there was such a step
        return plain

    def published(self) -> JSON:
        """Return the settings as they may be published: a detector's file without its folder.

        What such a file holds is in `weights`; where it lies is this machine's business. A step
        that came later is left out where it isn't taken, so that older records stay valid.
        """
        plain = self.as_json()
        if not self.obfuscate.require_review:
            del plain["obfuscate"]["require_review"]
        for step in ("detect", "verify"):
            specs = plain[step]["detectors"]
            plain[step]["detectors"] = [re.sub(r"^onnx:.*/", "onnx:", spec) for spec in specs]
        return plain


def only_looks(steps: Sequence[str]) -> bool:
    """Say whether these steps take the release as it lies there, and make nothing of it."""
    return not {"detect", "obfuscate"} & set(steps)


@lru_cache(maxsize=64)  # asked for several times of each image
def _fingerprint(recipe: Recipe, step: str, layout: int) -> str:
    settings = recipe.published()
    if step.startswith(OBSERVE):
        settings["observe"] = step
        before: Sequence[str] = ("detect", "obfuscate", "observe")
    else:
        before = recipe.steps[: recipe.steps.index(step) + 1]
    used = {name: settings[name] for name in before}
    canonical = json.dumps({"layout": layout, **used}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()
