"""Contrasts of trainings on shared images: the value, its standard error, interval and test.

The estimand is the mean over new trainings (seeds) *and* new images of the same kind; the
architectures are those that are named, not a sample. Images are crossed with seeds: every model
sees the same images, so a bootstrap that draws images anew for each seed would count them as
independent. For one kind of training g with S seeds and n images, values y[s, i],

    y[s, i] = mean + image[i] + seed[s] + rest[s, i]

and the variance of a sum over kinds of training, each of weight w, is estimated as

    V = B + I,  B = sum_g w² s²(seed means)/S,  I = max(0, s²(m)/n - sum_g w² MS(rest)/(n S)),

where m[i] is the weighted sum of the seeds' mean for image i. B holds the seeds and the rest, I
what the images add. Images may come in strata (classes) of which new data would hold as many:
then s²(m) and MS(rest) are those within strata, as what lies between them doesn't vary.

B has B²/sum(part²/(f + 2)) - 2 degrees of freedom with f those of each part, but never more than
sum(f): Satterthwaite's, in the form of Welch (1947) that doesn't come out too low where f is 2,
as with three seeds. V has V/(B/df(B) + I/df(I)). Satterthwaite's own squares of the shares, in
place of the shares, give far too many where seeds agree by chance: B is small then, and so
is its share. Claims (a difference, equivalence) use B²/sum(part²/f) for B, which comes out
low and so errs towards no claim. This is the analysis of multi-reader studies (Obuchowski and
Rockette 1995; Hillis 2007, "A comparison of denominator degrees of freedom methods for multiple
observer ROC studies", Stat. Med. 26: 596, eq. for df_H) with seeds as readers and images as
cases; there, too, readers are few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special

from sfumato.stats.bootstrap import Group
from sfumato.stats.intervals import least
from sfumato.study.analysis.strata import Layout
from sfumato.types import JSON

LEVEL: Final = 0.95
FEWEST: Final = 30  # images, from which on a subset's figures say something
ONE_SEED: Final = "one seed only: how trainings differ can't be told"
NO_IMAGES: Final = "fewer than two images"
_NOTHING: Final = 1e-12  # what is smaller, against what it is made of, is rounding
_ZERO: Final = 1e-22  # the square of what values that cancel out leave of one another

Values: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval, in the unit of the values.

    `low`, `high`, `se`, `df` and `p` are NaN where they can't be estimated; then `why` says so.
    `p` is two-sided for 0 and agrees with the interval. `cautious_p` is the larger of the p with
    the lower `cautious_df` and of the p that takes the models as given; it is what is reported.
    `n` counts images, `trainings` the models.
    """

    value: float
    se: float
    df: float
    cautious_df: float
    low: float
    high: float
    p: float
    cautious_p: float
    n: int
    trainings: int
    why: str = ""

    @property
    def is_estimable(self) -> bool:
        """Tell whether there is an interval."""
        return not self.why

    def summary(self, scale: float = 100.0) -> JSON:
        """Return the estimate for `study.json`: points by default, None for what is not there."""
        numbers = {"value": self.value, "se": self.se, "low": self.low, "high": self.high}
        found: JSON = {name: _or_none(scale * number) for name, number in numbers.items()}
        found |= {"df": _or_none(self.df), "p": _or_none(self.cautious_p), "n": self.n}
        found["trainings"] = self.trainings
        found["interval"] = "not estimable: " + self.why if self.why else f"{LEVEL:.0%}"
        return found


@dataclass(frozen=True, slots=True)
class Equivalence:
    """Two one-sided tests against a margin (Schuirmann 1987), with the cautious df.

    `p` is that the true value lies outside ±margin, `p_no_worse` that it lies below -margin. NaN
    where there is no standard error.
    """

    margin: float
    p: float
    p_no_worse: float
    level: float = 1 - LEVEL

    @property
    def holds(self) -> bool:
        """Tell whether a difference as large as the margin can be ruled out, up and down."""
        return self.p < self.level

    @property
    def no_worse(self) -> bool:
        """Tell whether a loss as large as the margin can be ruled out."""
        return self.p_no_worse < self.level

    def summary(self) -> JSON:
        """Return the test for `study.json`, the margin in points."""
        return {
            "margin": 100 * self.margin,
            "p": _or_none(self.p),
            "equivalent": self.holds,
            "p_no_worse": _or_none(self.p_no_worse),
            "no_worse": self.no_worse,
        }


def contrast(groups: Sequence[Group], strata: NDArray[Any] | None = None) -> Estimate:
    """Return the weighted sum of the groups' means over all images; strata as in `contrasts`."""
    parts = np.zeros(groups[0].values.shape[1], dtype=np.intp)
    return contrasts(groups, parts, 1, strata)[0]


def contrasts(
    groups: Sequence[Group], parts: NDArray[Any], number: int, strata: NDArray[Any] | None = None
) -> list[Estimate]:
    """Return the contrast in each of `number` parts; `parts` (n,) has -1 for images in none.

    `strata` (n,) are whole numbers from 0, such as classes: new images would be as many of each.
    """
    tally = ContrastTally(Layout.of(parts, number, strata))
    for group in groups:
        tally.add(group)
    return tally.estimates()


class ContrastTally:
    """Adds up groups, one at a time, so that their values needn't be in memory together."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._mean = np.zeros(len(layout.part))
        self._seeds, self._seeds_df, self._cautious_df, self._rest = np.zeros((4, layout.number))
        self._seeds_free = 0
        self._trainings = 0
        self._trained_once = False

    def add(self, group: Group) -> None:
        """Add a group of S trainings to every part."""
        layout = self._layout
        values = np.asarray(group.values[:, layout.inside], dtype=np.float64)
        seeds, n = len(values), np.maximum(layout.images, 1)
        means = values.mean(axis=0)
        self._mean += group.weight * means
        self._trainings += seeds
        if group.fixed:
            return
        if seeds < 2:
            self._trained_once = True
            return
        by_cell = np.stack([layout.by_cell(row) for row in values])
        # An image's seeds differ by the rest, and by what they differ in its whole cell.
        scatter = layout.by_cell(np.square(values - means).sum(axis=0))
        scatter -= np.square(by_cell - by_cell.mean(axis=0)).sum(axis=0) / layout.cell_images
        rest = layout.variance(np.maximum(scatter, 0)) / (seeds - 1)
        per_seed = np.stack([layout.joined(row) for row in by_cell]) / n
        between = group.weight**2 * per_seed.var(axis=0, ddof=1) / seeds
        self._seeds += between
        self._seeds_df += between**2 / (seeds + 1)
        self._cautious_df += between**2 / (seeds - 1)
        self._seeds_free += seeds - 1
        self._rest += group.weight**2 * rest / (n * seeds)

    def estimates(self) -> list[Estimate]:
        """Return the estimate of each part."""
        layout = self._layout
        n = np.maximum(layout.images, 1)
        value = layout.sums(self._mean) / n
        images = layout.variance(layout.scatter(self._mean)) / n
        # A fixed limit would hide the few images that differ of a great many.
        nothing = (_NOTHING * layout.sums(np.square(self._mean)) / n + _ZERO) / n
        # Within every class alike, and yet not all the same: only all images together can tell.
        flat = images < nothing
        images = np.where(flat, layout.spread(self._mean) / n, images)
        free = np.where(flat, np.maximum(n - 1, 1), layout.free)
        added = np.maximum(images - self._rest, 0)
        variance = self._seeds + added
        # Seeds that agree to the last image, by chance: the images alone have to tell.
        alike = variance < np.maximum(images * 1e-6, nothing)
        with np.errstate(divide="ignore", invalid="ignore"):
            own = np.minimum(self._seeds**2 / self._seeds_df - 2, self._seeds_free)
            low = self._seeds**2 / self._cautious_df
            df, cautious = (
                variance / (np.where(self._seeds > 0, self._seeds / some, 0) + added / free)
                for some in (own, low)
            )
        df, cautious = (np.where(alike, free, some) for some in (df, cautious))
        variance = np.where(alike, images, variance)
        columns = np.stack([value, variance, df, cautious, images, free, nothing]).T
        return [self._estimate(i, *map(float, row)) for i, row in enumerate(columns)]

    def _estimate(
        self, i: int, value: float, variance: float, df: float, *others: float
    ) -> Estimate:
        cautious_df, images, free, nothing = others
        n = int(self._layout.images[i])
        if n < 2 or self._trained_once:
            why = NO_IMAGES if n < 2 else ONE_SEED
            return without_interval(value if n else float("nan"), n, self._trainings, why)
        if variance < nothing:
            return _unchanged(value, n, self._trainings)
        se = variance**0.5
        half = se * t_quantile(0.5 + LEVEL / 2, df)
        given = _two_sided(value, max(images, nothing) ** 0.5, free)
        return Estimate(
            value,
            se,
            df,
            cautious_df,
            value - half,
            value + half,
            _two_sided(value, se, df),
            max(_two_sided(value, se, cautious_df), given),
            n,
            self._trainings,
        )


def equivalence(found: Estimate, margin: float) -> Equivalence:
    """Test a difference against ±margin, in its own unit.

    Raises:
        ValueError: the margin isn't positive.
    """
    if not margin > 0:
        raise ValueError(f"a margin must be positive, got {margin}")
    if not found.is_estimable:
        return Equivalence(margin, float("nan"), float("nan"))
    se = max(found.se, _NOTHING)
    above = t_tail((found.value + margin) / se, found.cautious_df)
    below = t_tail((margin - found.value) / se, found.cautious_df)
    return Equivalence(margin, max(above, below), above)


def over_models(differences: Sequence[float]) -> Estimate:
    """Return the mean of one difference a model, with the models as a sample: a paired t-test.

    This answers another question than `contrast`: what another model of that kind would show.
    """
    values = np.asarray(differences, dtype=np.float64)
    n = len(values)
    if n < 2:
        return without_interval(float(values.mean()), n, n, "fewer than two models")
    value, se = float(values.mean()), standard_error(values)
    half = se * t_quantile(0.5 + LEVEL / 2, n - 1)
    p = _two_sided(value, se, n - 1)
    return Estimate(value, se, n - 1, n - 1, value - half, value + half, p, p, n, n)


def standard_error(values: Sequence[float] | NDArray[Any]) -> float:
    """Return the standard error of a mean: s/√n, s with n - 1; NaN of fewer than two values."""
    if len(values) < 2:
        return float("nan")
    return float(np.std(np.asarray(values, dtype=np.float64), ddof=1) / len(values) ** 0.5)


def without_interval(value: float, n: int, trainings: int, why: str) -> Estimate:
    """Return a value of which nothing more can be said, and why."""
    nan = float("nan")
    return Estimate(value, nan, nan, nan, nan, nan, nan, nan, n, trainings, why)


def t_quantile(share: float, df: float) -> float:
    """Return the value that a t variable with df (need not be whole) stays below in this share."""
    return float(special.stdtrit(df, share))


def t_tail(value: float, df: float) -> float:
    """Return how likely a t variable with df exceeds a value."""
    return float(special.stdtr(df, -value))


def _unchanged(value: float, n: int, trainings: int) -> Estimate:
    """Return the estimate where every image shows the same: the exact bound on what was not seen.

    None of n images does anything else, so with 95 % at most 1 - 0.025^(1/n) of all do
    (Clopper and Pearson 1934). The sign test gives p.
    """
    bound = 1 - least(n)
    p = 1.0 if abs(value) < _NOTHING else 2 * 0.5**n
    se = bound / t_quantile(0.5 + LEVEL / 2, n - 1)
    return Estimate(value, se, n - 1, n - 1, value - bound, value + bound, p, p, n, trainings)


def _two_sided(value: float, se: float, df: float) -> float:
    if not se:
        return 0.0 if value else 1.0
    return 2 * t_tail(abs(value) / se, df)


def _or_none(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None
