"""How many faces are still in there: from the random sample that people checked.

A stratum has N images, n of which were drawn at random and checked; image i of these held m_i
faces that the release had missed. Each image seen stands for a = (N - n) / n that nobody has
looked at, so the estimate of what is left is the sum of a m_i. Once people have corrected the
checked images, only those others hold missed faces: this is *left*. *missed* is what there was
before: left, and what was found.

Images (m_i is 0 or 1) of one stratum, or of strata sampled at one rate, have the exact interval
of a hypergeometric count. Everything else has Fay and Feuer's (`intervals.gamma`) of a
weighted sum of rare events: an image is one event however many faces it holds, its weight is
a m, and it adds a (a + 1) m² to the variance, which is N (N - n) / n² m², the design's variance of
a total drawn without replacement, for rare events. The event that the upper limit adds has the
largest a; for faces, it holds as many as the fullest image seen, at least `CROWD`: no sample
can bound the faces of an image that wasn't drawn, so this is an assumption.

Images that people checked for another reason (`also_checked`: by risk) aren't a random sample.
What was found in them was missed and is corrected, so it is taken from what is left; it estimates
nothing. A stratum in which all images were checked is counted, not estimated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, exp, floor, hypot, log
from typing import Final, Literal, TypeAlias

from sfumato import boxes
from sfumato.errors import UsageError
from sfumato.stats import intervals, matching
from sfumato.types import Box

CROWD: Final = 2  # faces that an image in which none was seen to be missed may hold
SHARE: Final = 0.7  # of a face under covers, from which on it isn't missed: labels are loose
_ALIKE: Final = 1.02  # sampling rates whose ratio is below are one
Method: TypeAlias = Literal["counted", "hypergeometric", "gamma"]


@dataclass(frozen=True, slots=True)
class Stratum:
    """What was drawn of one stratum and found in it.

    `missed_counts` has the number of missed faces of each of the `checked` images that held
    one, `also_missed` the same of the `also_checked`, which weren't drawn at random. `group` is
    the class or group that it is reported under.
    """

    name: str
    population: int
    checked: int
    missed_counts: tuple[int, ...] = ()
    also_checked: int = 0
    also_missed: tuple[int, ...] = ()
    group: str = ""

    def __post_init__(self) -> None:
        if min(self.checked, self.also_checked) < 0 or self.unchecked < 0:
            raise ValueError(f"{self.name}: more images checked than there are")
        for counts, images in (
            (self.missed_counts, self.checked),
            (self.also_missed, self.also_checked),
        ):
            if len(counts) > images or min(counts, default=1) < 1:
                raise ValueError(f"{self.name}: {counts} can't be of {images} images")

    @property
    def unchecked(self) -> int:
        """How many images nobody has looked at."""
        return self.population - self.checked - self.also_checked

    @property
    def with_missed(self) -> int:
        """How many drawn images held a missed face."""
        return len(self.missed_counts)


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of images or faces with its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Part:
    """What holds for some strata together; `population` counts only those that were sampled.

    `found_images` and `found_faces` are of all images checked, drawn or not.
    """

    name: str
    population: int
    checked: int
    also_checked: int
    found_images: int
    found_faces: int
    missed_images: Figure
    missed_faces: Figure
    left_images: Figure
    left_faces: Figure
    method: Method


@dataclass(frozen=True, slots=True)
class Recall:
    """What people find, from images whose truth is known: `found` of `planted` faces."""

    found: int
    planted: int


@dataclass(frozen=True, slots=True)
class Corrected:
    """What is left if people, too, miss faces, at the rate at which they missed known ones."""

    recall: Figure
    left_images: Figure
    left_faces: Figure
    assumption: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """The answer. `overall` is None if no image of any stratum was checked: not measured.

    `unmeasured` images lie in strata of which none was drawn and checked: no figure speaks of
    them. Each interval covers by itself; of many groups, one in twenty may miss its truth.
    """

    overall: Part | None
    strata: tuple[Part, ...]
    groups: tuple[Part, ...]
    unmeasured: int
    level: float
    crowd: int
    corrected: Corrected | None = None


def estimate(
    strata: Sequence[Stratum],
    *,
    recall: Recall | None = None,
    level: float = intervals.LEVEL,
    crowd: int = CROWD,
) -> Estimate:
    """Estimate what was missed and what is left, in all, by stratum and by group.

    Raises:
        MissingExtra: SciPy isn't installed.
        UsageError: people found none of the planted faces, so that nothing can be corrected.
    """
    measured = [s for s in strata if s.checked or not s.unchecked]
    groups: dict[str, list[Stratum]] = {}
    for stratum in measured:
        groups.setdefault(stratum.group, []).append(stratum)
    return Estimate(
        overall=part("overall", measured, level, crowd) if measured else None,
        strata=tuple(part(s.name, [s], level, crowd) for s in measured),
        groups=tuple(part(name, of, level, crowd) for name, of in groups.items() if name),
        unmeasured=sum(s.population for s in strata) - sum(s.population for s in measured),
        level=level,
        crowd=crowd,
        corrected=_correct(measured, recall, level, crowd) if recall and measured else None,
    )


def part(name: str, strata: Sequence[Stratum], level: float, crowd: int) -> Part:
    """Return the figures of some strata together; each must be sampled, or checked whole."""
    images = [replace(s, missed_counts=(1,) * s.with_missed) for s in strata]
    exact = _pooled(strata, level)
    drawn = exact or _weighted(images, level, 1)
    found = sum(len(s.missed_counts) + len(s.also_missed) for s in strata)
    faces = sum(sum(s.missed_counts) + sum(s.also_missed) for s in strata)
    unchecked = sum(s.unchecked for s in strata)
    others = [s for s in strata if s.unchecked]
    left = _less(drawn, sum(len(s.also_missed) for s in others), unchecked)
    left = replace(left, value=min(left.value, unchecked), high=min(left.high, unchecked))
    more = _weighted(strata, level, crowd)
    left_faces = _less(more, sum(sum(s.also_missed) for s in others), unchecked)
    # Each image with a missed face holds at least one.
    left_faces = Figure(
        max(left_faces.value, left.value),
        max(left_faces.low, left.low),
        max(left_faces.high, left.high),
    )
    return Part(
        name=name,
        population=sum(s.population for s in strata),
        checked=sum(s.checked for s in strata),
        also_checked=sum(s.also_checked for s in strata),
        found_images=found,
        found_faces=faces,
        missed_images=_plus(left, found),
        missed_faces=_plus(left_faces, faces),
        left_images=left,
        left_faces=left_faces,
        method="counted" if not unchecked else "hypergeometric" if exact else "gamma",
    )


def _pooled(strata: Sequence[Stratum], level: float) -> Figure | None:
    """Return the exact figure of images not drawn; None if strata were drawn at various rates.

    Of strata drawn at one rate, the count varies less than of one draw from all of them
    (Hoeffding 1956), so the exact interval of the latter holds.
    """
    others = [s for s in strata if s.unchecked]
    rates = [s.checked / s.population for s in others]
    if others and max(rates) > _ALIKE * min(rates):
        return None
    population, drawn = sum(s.population for s in others), sum(s.checked for s in others)
    hits = sum(s.with_missed for s in others)
    low, high = intervals.hypergeometric(hits, drawn, population, level)
    value = hits * (population - drawn) / drawn if drawn else 0.0
    # Whole numbers: where all but a few were drawn, the value may lie between two of them.
    return Figure(value, low - hits, max(high - hits, ceil(value)))


def _weighted(strata: Sequence[Stratum], level: float, crowd: int) -> Figure:
    """Return the figure of what images not drawn hold, by the gamma interval, rounded outward."""
    total = variance = stands = 0.0
    fullest = crowd
    for stratum in strata:
        if not stratum.unchecked:
            continue
        weight = (stratum.population - stratum.checked) / stratum.checked
        total += weight * sum(stratum.missed_counts)
        variance += weight * (weight + 1) * sum(m * m for m in stratum.missed_counts)
        stands = max(stands, weight)
        fullest = max([fullest, *stratum.missed_counts])
    heaviest = stands * fullest, stands * (stands + 1) * fullest**2
    low, high = intervals.gamma(total, variance, heaviest, level)
    return Figure(total, floor(low), ceil(high))


def _less(figure: Figure, found: int, unchecked: int) -> Figure:
    """Take from a figure what was found outside the sample; images left leave a doubt."""
    least = 1 if unchecked else 0
    return Figure(
        max(figure.value - found, 0.0),
        max(figure.low - found, 0),
        max(figure.high - found, least),
    )


def _plus(figure: Figure, found: float) -> Figure:
    return Figure(figure.value + found, figure.low + found, figure.high + found)


def _correct(strata: Sequence[Stratum], recall: Recall, level: float, crowd: int) -> Corrected:
    """Divide what was missed by people's recall."""
    if not 0 < recall.found <= recall.planted:
        raise UsageError(
            f"people found {recall.found} of {recall.planted} planted faces: nothing can be "
            "corrected by that. Leave the recall out."
        )
    low, high = intervals.clopper_pearson(recall.found, recall.planted, level)
    seen = Figure(recall.found / recall.planted, low, high)
    of = part("overall", strata, level, crowd)
    images = _divided(of.missed_images, seen, of.found_images)
    most = of.population - of.found_images
    return Corrected(
        recall=seen,
        left_images=Figure(
            min(images.value, most),
            of.left_images.low,  # of several faces in an image, one seen is enough
            min(images.high, most),
        ),
        left_faces=_divided(of.missed_faces, seen, of.found_faces),
        assumption=(
            "people miss faces of these images as often as planted ones; planted faces that are "
            "easier to see make it too small. Images are corrected like faces, which is too much "
            "where one holds several"
        ),
    )


def _divided(missed: Figure, by: Figure, found: int) -> Figure:
    """Return missed / recall less what was found.

    The interval of the quotient joins those of both on the scale of logarithms (G. Y. Zou and
    A. Donner, Statistics in Medicine 27 (2008), 1693-1702). Where none was found to be missed it
    is the wider one of both far ends.
    """
    value = missed.value / by.value
    low, high = 0.0, missed.high / by.low
    if missed.value > 0:
        high = value * exp(hypot(log(missed.high / missed.value), log(by.value / by.low)))
    if missed.low > 0:
        low = value * exp(-hypot(log(missed.value / missed.low), log(by.high / by.value)))
    return Figure(value - found, max(floor(low) - found, 0), ceil(high) - found)


def missed_faces(
    faces: Sequence[Box], covered: Sequence[Box], *, expand: float, share: float = SHARE
) -> int:
    """Count the faces that people saw and the release left open.

    A face is open if less than `share` of it lies under the covered boxes, each grown by
    `expand` on each side as they are when they are covered.
    """
    grown = [boxes.grow(box, expand) for box in covered]
    return sum(part < share for part in matching.shares(faces, grown))
