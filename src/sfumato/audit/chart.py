"""The miss rates as a file: a forest of the groups, column by column."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from sfumato.audit.rates import Group
from sfumato.release.report.charts.differences import Interval, forest
from sfumato.release.report.charts.svg import as_file

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
