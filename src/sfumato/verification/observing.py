"""Observers: what looks at each image of a release, and then judges the whole set.

    images of the release --`observe`, in workers--> observations --> ledger
    ledger --> `judge`, once at the end --> findings, a sentence, figures

A package brings an observer by an entry point of the group "sfumato.observers" whose object,
called without arguments, returns an `Observer`; `SHIPPED` are ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Final, Protocol

from sfumato.detection.in_hand import InHand
from sfumato.errors import SampleError, UsageError
from sfumato.imaging import codec
from sfumato.recipe import OBSERVE, Recipe
from sfumato.sources import Sink
from sfumato.types import JSON, Finding, Observation, Output, Pixels, Sample

GROUP: Final = "sfumato.observers"
SHIPPED: Final = (EntryPoint("cover-area", "sfumato.verification.cover_area:CoverArea", GROUP),)


@dataclass(frozen=True, slots=True)
class Released:
    """An image of the release beside its source.

    `before` and `after` are the upright RGB of both, the same array where the image was copied.
    """

    sample: Sample
    output: Output
    before: Pixels
    after: Pixels


@dataclass(frozen=True, slots=True)
class Judgement:
    """What an observer says of a whole set.

    `sentence` may be published, `figures` are for summary.json, and what is wrong is a finding.
    """

    sentence: str
    figures: JSON
    findings: tuple[Finding, ...] = ()


class Observer(Protocol):
    """Looks at each image of a release, and then judges the whole set by what it has noted.

    An attack, a search for duplicates, a score: what can only be said of the set. `name` is
    versioned ("cover-area-1"): another result needs another one.
    """

    @property
    def name(self) -> str:
        """The name with its version."""
        ...

    def observe(self, image: Released) -> JSON | None:
        """Return what is noted of an image, if anything: numbers and words, nothing it shows.

        It runs in workers and depends on nothing else.
        """
        ...

    def judge(self, observations: Iterable[Observation]) -> Judgement:
        """Return what follows from the notes of the whole set, in the order of the keys."""
        ...


@dataclass(frozen=True, slots=True)
class Observe:
    """Have an observer look at an image as it lies in the release, or as it is staged."""

    observer: str
    recipe: Recipe
    sink: Sink

    @property
    def name(self) -> str:
        """The name of the step."""
        return f"{OBSERVE}{self.observer}"

    def __call__(self, held: InHand) -> Iterator[Observation]:
        """Yield what is noted; nothing of an image that isn't there or can't be read."""
        output, max_pixels = held.output or held.known.output, self.recipe.detect.max_pixels
        if output is None:
            return
        try:
            before = held.decoded(max_pixels).frames[0]
            after = before
            if output.written != output.digest:
                data = self.sink.read(held.sample.key, staged=held.output is not None)
                after = codec.decode(data, max_pixels=max_pixels).frames[0]
        except SampleError:
            return  # `verify` says so
        observer = observers((self.observer,))[0]
        values = observer.observe(Released(held.sample, output, before, after))
        if values is not None:
            check_plain(values, f"The observer {self.observer!r} notes of {output.key!r}")
            yield Observation(output.key, output.written, observer.name, values)


def check_plain(values: object, whose: str) -> None:
    """Make sure that what an observer returned can be stored and read by anybody.

    Raises:
        UsageError: it isn't plain JSON; `whose` begins the sentence.
    """
    try:
        json.dumps(values, allow_nan=False)
        plain = isinstance(values, dict)
    except (TypeError, ValueError, RecursionError):
        plain = False
    if not plain:
        raise UsageError(f"{whose} what is no plain JSON: mend the observer, or leave it out.")


@cache
def observers(names: tuple[str, ...]) -> tuple[Observer, ...]:
    """Return the observers of these names, with a version or without, made once in a process.

    Raises:
        UsageError: there is none of a name, or only in another version.
    """
    return tuple(map(_made, names))


def _made(name: str) -> Observer:
    known = {point.name: point for point in (*entry_points(group=GROUP), *SHIPPED)}
    kind = re.sub(r"-[0-9]+$", "", name)
    point = known.get(kind) or known.get(name)
    if point is None:
        raise UsageError(
            f"There is no observer {name!r}: choose one of {', '.join(sorted(known))}."
        )
    try:
        made: Observer = point.load()()
        called = made.name
    except (ImportError, AttributeError, TypeError) as error:
        words = f"{type(error).__name__}: {error}"
        raise UsageError(
            f"The observer {point.name!r} can't be loaded ({words}): mend its package, or leave "
            "it out."
        ) from error
    if not re.fullmatch(rf"{re.escape(point.name)}-[0-9]+", str(called)):
        raise UsageError(
            f"The observer {point.name!r} calls itself {called!r}: its name must be "
            f"{point.name}-NUMBER."
        )
    if name not in (point.name, called):
        raise UsageError(f"There is no observer {name!r} any more: observe again by {called!r}.")
    return made
