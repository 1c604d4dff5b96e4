"""The miss rates as a picture: a row a group, a dot for the rate, a line for its interval.

A whole SVG file with its own colours, light and dark; the same bytes for the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby
from typing import Final

from sfumato.audit.rates import Group

WIDTH: Final = 760
LEFT: Final = 230.0
RIGHT: Final = 560.0
ROW: Final = 22
HEAD: Final = 52
GAP: Final = 22
_LONGEST: Final = 34  # characters of a name
# Half of the widest interval is drawn from here on: rates of 0 to 3 % need no axis to 100.
_AXES: Final = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
_RED: Final = "Red: differs from the rest, by the corrected test and by the interval."
_STYLE: Final = """
svg { font: 12px system-ui, sans-serif; background: #fff; color: #1c1c1c }
text { fill: currentColor }
.title { font-size: 14px; font-weight: 600 } .column { font-weight: 600 }
.faint { fill: #666 } .end { text-anchor: end } .mid { text-anchor: middle }
.grid { stroke: #ddd } .rest { stroke: #888; stroke-dasharray: 3 3 }
.range { stroke: #2a5d8f; stroke-width: 2 } .dot { fill: #2a5d8f }
.sure .range { stroke: #b3261e } .sure .dot { fill: #b3261e }
@media (prefers-color-scheme: dark) {
  svg { background: #16181a; color: #e8e6e3 } .faint { fill: #9a9a9a } .grid { stroke: #383b3e }
  .range { stroke: #7fb2e5 } .dot { fill: #7fb2e5 }
  .sure .range { stroke: #ff8a80 } .sure .dot { fill: #ff8a80 }
}
"""


def chart(groups: Sequence[Group], overall: float) -> str:
    """Return the chart of some groups; `overall` is the rate of all faces together.

    Groups that differ from the rest are drawn in another colour.
    """
    top = next(end for end in _AXES if end >= min(1.0, max(group.high for group in groups)))
    rows: list[str] = []
    y = float(HEAD - GAP / 2)
    for column, members in groupby(groups, key=lambda group: group.column):
        y += GAP
        rows.append(_text(8, y + 4, _short(column), "column"))
        for group in members:
            y += ROW
            rows.append(_row(group, y, top))
    bottom = y + ROW / 2
    spoken = "; ".join(f"{g.column} {g.value}: {g.missed} of {g.faces} missed" for g in groups)
    axis = [
        f'<path class="grid" d="M{_x(mark, top):.1f} {HEAD}V{bottom:.1f}"/>'
        + _text(_x(mark, top), bottom + 16, f"{100 * mark:g} %", "faint mid")
        for mark in (top * i / 4 for i in range(5))
    ]
    height = f"{bottom + 44:.0f}"
    frame = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {frame} role="img" aria-labelledby="t d">',
        '<title id="t">Missed faces by group</title>',
        f'<desc id="d">{escape(spoken)}</desc><style>{_STYLE}</style>',
        _text(8, 20, "Missed faces by group", "title"),
        _text(8, 38, "Share of labelled faces that are not covered; 95 % intervals", "faint"),
        _text(RIGHT + 12, 38, "missed of faces", "faint"),
        _text(WIDTH - 8, 38, "p (Holm)", "faint end"),
        *axis,
        f'<path class="rest" d="M{_x(overall, top):.1f} {HEAD}V{bottom:.1f}"/>',
        *rows,
        _text(8, bottom + 34, f"Dashed: all faces together, {overall:.1%}. {_RED}", "faint"),
        "</svg>\n",
    ]
    return "".join(parts)


def _row(group: Group, y: float, top: float) -> str:
    p = "" if group.corrected is None else _p(group.corrected)
    low, high, dot = (_x(value, top) for value in (group.low, group.high, group.rate))
    return "".join(
        [
            f'<g class="{"sure" if group.differs else "group"}">',
            _text(LEFT - 10, y + 4, _short(group.value), "end"),
            f'<path class="range" d="M{low:.1f} {y:.1f}H{high:.1f}"/>',
            f'<circle class="dot" cx="{dot:.1f}" cy="{y:.1f}" r="4"/>',
            _text(RIGHT + 12, y + 4, f"{group.missed:,} of {group.faces:,}", ""),
            _text(WIDTH - 8, y + 4, p, "end"),
            "</g>",
        ]
    )


def _x(rate: float, top: float) -> float:
    return LEFT + (RIGHT - LEFT) * min(rate / top, 1.0)


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _text(x: float, y: float, text: str, tone: str) -> str:
    return f'<text class="{tone}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
