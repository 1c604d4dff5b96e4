"""How much of the gap a remedy closes: a ratio of two contrasts, with Fieller's interval.

gap = (trained on original) - (trained on the obfuscated arm), both tested on original;
closed = (trained with the remedy) - (trained on the obfuscated arm), likewise. The share is
closed/gap. Its interval holds every share r for which closed - r·gap can't be told from 0
(Fieller 1954), so it is as wide as it must be where the gap is hardly there.
"""

from __future__ import annotations

from dataclasses import dataclass

from sfumato.study.analysis.comparisons import ORIGINAL, REMEDY, Question, Term, groups_of, top1
from sfumato.study.analysis.estimates import LEVEL, Estimate, contrast, t_quantile
from sfumato.study.analysis.matrix import Matrix
from sfumato.types import JSON

NO_GAP = "there is no gap to close that can be told from none"


@dataclass(frozen=True, slots=True)
class RemedyEffect:
    """What a remedy does on clear images: `share` of the `gap` closed, in [low, high]."""

    arm: str
    gap: Estimate
    closed: Estimate
    share: float
    low: float
    high: float
    why: str = ""

    def summary(self) -> JSON:
        """Return it for `study.json`; the share as a fraction."""
        shares = {"value": self.share, "low": self.low, "high": self.high}
        return {
            "arm": self.arm,
            "gap": self.gap.summary(),
            "closed": self.closed.summary(),
            "share": None if self.why else shares,
            "share_interval": f"not estimable: {self.why}" if self.why else f"{LEVEL:.0%}",
        }


def remedy(matrix: Matrix, arm: str) -> RemedyEffect | None:
    """Return what `remedy-<method>` closes; None if one of the three trainings is missing."""
    method = arm.removeprefix(REMEDY)
    cells = [(ORIGINAL, ORIGINAL), (method, ORIGINAL), (arm, ORIGINAL)]
    models = matrix.architectures(cells)
    if not models:
        return None

    def sum_of(trained: float, with_remedy: float, on_original: float) -> Estimate:
        weights = (on_original, trained, with_remedy)
        terms = tuple(
            Term(weight, *cell) for weight, cell in zip(weights, cells, strict=True) if weight
        )
        question = Question("share", arm, terms, "")
        return contrast(groups_of(matrix, question, top1, models), matrix.labels)

    gap, closed = sum_of(-1, 0, 1), sum_of(-1, 1, 0)
    nan = float("nan")
    if not gap.is_estimable or not closed.is_estimable:
        return RemedyEffect(arm, gap, closed, nan, nan, nan, gap.why or closed.why)
    if not gap.low > 0:
        return RemedyEffect(arm, gap, closed, nan, nan, nan, NO_GAP)
    both = sum_of(-2, 1, 1)
    together = (both.se**2 - gap.se**2 - closed.se**2) / 2  # the covariance of both
    ends = fieller(closed, gap, together)
    if ends is None:
        return RemedyEffect(arm, gap, closed, nan, nan, nan, NO_GAP)
    return RemedyEffect(arm, gap, closed, closed.value / gap.value, *ends)


def fieller(top: Estimate, bottom: Estimate, covariance: float) -> tuple[float, float] | None:
    """Return Fieller's interval of top/bottom, None where it isn't bounded.

    The roots of (top - r·bottom)² = t² Var(top - r·bottom), t with the fewer degrees of freedom.
    """
    t = t_quantile(0.5 + LEVEL / 2, min(top.df, bottom.df))
    a = bottom.value**2 - t**2 * bottom.se**2
    b = top.value * bottom.value - t**2 * covariance
    c = top.value**2 - t**2 * top.se**2
    inside = b**2 - a * c
    if a <= 0 or inside < 0:
        return None
    return (b - inside**0.5) / a, (b + inside**0.5) / a
