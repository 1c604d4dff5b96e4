"""The comparison of groups as a table and as a chart, and the sentences that belong to it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from sfumato.audit.rates import Group
from sfumato.release.report.charts.differences import Interval, forest
from sfumato.release.report.charts.svg import as_file
from sfumato.types import JSON

_STAR: Final = (
    "* differs from the rest: the corrected p is below 0.05, the interval leaves out 0, and both "
    "sides lie in at least ten images."
)
SAYS_NOT: Final = (
    "What these numbers don't say: groups are as somebody perceived or labelled them, not what "
    "people are. Skin, light, size, pose and image quality go together here; a difference isn't "
    "a cause. 'No difference found' is not 'no difference': look at the intervals. Other images "
    "and other detectors may differ otherwise, and nobody counted faces that have no label."
)


def as_text(plain: JSON, groups: Sequence[Group]) -> str:
    """Return the table and the sentences that are printed."""
    about = (
        f"{plain['missed']:,} of {plain['faces']:,} labelled faces in {plain['images']:,} "
        f"images are missed, {plain['rate']:.1%}: less than {plain['covered_share']:.0%} of each "
        "is covered."
    )
    lines = [about]
    column = ""
    for group in groups:
        if group.column != column:
            column = group.column
            head = f"{'missed':<14}{'share (95 % interval)':<24}{'against the rest':<26}p (Holm)"
            lines += ["", f"{column[:27]:<28}{head}"]
        lines.append(_line(group))
    boot = any(group.interval == "bootstrap" for group in groups)
    kind = "Wilson's"
    if boot:
        kind += " where no two faces share an image, else a bootstrap over images (of fewer "
        kind += "than ten: Wilson's, each image a trial)"
    lines += ["", f"Intervals: {kind}. {_STAR}", SAYS_NOT]
    return "\n".join(lines)


def _line(group: Group) -> str:
    count = f"{group.missed:,}/{group.faces:,}"
    rate = f"{group.rate:.1%} ({100 * group.low:.1f}-{100 * group.high:.1f})"
    against = p = ""
    if group.difference is not None:
        low, high = group.difference_low or 0.0, group.difference_high or 0.0
        against = f"{100 * group.difference:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
    if group.p is not None and group.corrected is not None:
        p = f"{group.p:.4f} ({group.corrected:.4f}){' *' if group.differs else ''}"
    return f"  {group.value[:25]:<26}{count:<14}{rate:<24}{against:<26}{p}".rstrip()


# The same as a file: a forest of the groups, column by column.

_TITLE: Final = "Missed faces by group"
_ABOVE: Final = "Share of labelled faces that are not covered; 95 % intervals"
_RED: Final = "Red: differs from the rest, by the corrected test and by the interval."


def chart(groups: Sequence[Group], overall: float) -> str:
    """Return the chart of some groups as a whole SVG file, light and dark.

    `overall` is the rate of all faces together. Groups that differ from the rest are drawn in
    another colour.
    """
    rows: list[Interval | str] = []
    for column, members in groupby(groups, key=lambda group: group.column):
        rows += [column, *map(_row, members)]
    labels = ("missed, %", "missed of faces", "p (Holm)")
    drawn = forest("missed", _TITLE, rows, mark=100 * overall, labels=labels)
    below = f"Dashed: all faces together, {overall:.1%}. {_RED}"
    return as_file(drawn, _TITLE, (_ABOVE, below))


def _row(group: Group) -> Interval:
    p = group.corrected
    rate, low, high = (100 * value for value in (group.rate, group.low, group.high))
    return Interval(
        group.value,
        rate,
        low,
        high,
        words="" if p is None else f"{p:.3f}" if p >= 0.001 else "< 0.001",
        note=f"{group.column} {group.value}: {group.rate:.1%}",
        tone="dot marked" if group.differs else "dot",
        count=f"{group.missed:,} of {group.faces:,}",
    )
