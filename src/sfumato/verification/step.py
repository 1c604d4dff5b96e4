"""The step that checks what was written, staged or published."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

from sfumato.detection.detectors import registry
from sfumato.detection.in_hand import InHand
from sfumato.errors import Code, SampleError
from sfumato.obfuscation.step import method_of
from sfumato.recipe import Recipe
from sfumato.sources import Sink
from sfumato.types import Finding
from sfumato.verification.checks import Checks, verify


@dataclass(frozen=True)
class Verify:
    """Check an image as it lies in the release, or as it is staged: from the disk, not memory."""

    recipe: Recipe
    sink: Sink
    second_reader: bool = False
    name: ClassVar[str] = "verify"

    def __call__(self, held: InHand) -> Iterator[Finding]:
        """Yield the findings; none of an image that isn't in the release."""
        output = held.output or held.known.output
        if output is None:
            return
        try:
            after = self.sink.read(held.sample.key, staged=held.output is not None)
        except SampleError as error:  # of a file that isn't there, `finish` says so
            code = Code.VERIFY_UNREADABLE
            yield Finding(output.key, code, False, 1, 0, error.reason, output.written)
            return
        checks, look = self._checks, held.look
        # An image is copied because these detectors found nothing in it; others may.
        if look is not None and not checks.searched:
            look = replace(look, seen=None)
        if output.action == "obfuscated" or output.encoding == "reencoded":
            held.decoded(checks.max_pixels)
        yield from verify(held.sample, held.image, after, output, checks, look=look)

    @cached_property
    def _checks(self) -> Checks:
        recipe, step = self.recipe, self.recipe.verify
        detectors = registry.made(step.detectors, step.weights)
        return Checks(recipe, method_of(recipe.obfuscate), detectors, self.second_reader)
