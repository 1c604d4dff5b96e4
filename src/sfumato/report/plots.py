"""Small SVG pictures of counts: a bar chart, a strip of shares, a bar for a table cell.

Pure functions from numbers to SVG text. Colours come from the page's style sheet by class, so
that they follow light and dark; every chart has a title and its numbers in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 360
HEIGHT: Final = 204
PLOT_LEFT: Final = 36.0
PLOT_RIGHT: Final = 354.0
PLOT_TOP: Final = 34.0
PLOT_BOTTOM: Final = 166.0
_LABELLED_BARS: Final = 12  # with more, the numbers above the bars would touch


class Svg(str):
    """An SVG element whose texts are escaped already: templates insert it as it is."""

    __slots__ = ()

    def __html__(self) -> str:
        """Tell autoescape (markupsafe's protocol) that nothing is left to escape."""
        return self


@dataclass(frozen=True, slots=True)
class Bars:
    """A bar chart.

    `names` say each bar in words. `ticks` are (position, text) below the axis, where bar i
    reaches from i to i + 1. Bars from `over` on are drawn as beyond a limit (-1: none).
    """

    id: str
    title: str
    counts: tuple[int, ...]
    names: tuple[str, ...]
    ticks: tuple[tuple[float, str], ...]
    x_label: str
    y_label: str
    over: int = -1

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.names) or not self.counts:
            raise ValueError(
                f"a chart needs as many names as counts and at least one, "
                f"got {len(self.names)} and {len(self.counts)}"
            )
        if min(self.counts) < 0:
            raise ValueError(f"counts must not be negative, got {min(self.counts)}")


def bar_chart(bars: Bars) -> Svg:
    """Return the chart as an SVG element; heights are proportional to the counts."""
    name = escape(bars.id)
    spoken = "; ".join(f"{name}: {n:,}" for name, n in zip(bars.names, bars.counts, strict=True))
    said = f"{bars.y_label} by {bars.x_label}. {spoken}."
    head = f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{name}-t {name}-d"'
    parts = [
        f'<svg class="chart" {head}>',
        f'<title id="{name}-t">{escape(bars.title)}</title>',
        f'<desc id="{name}-d">{escape(said)}</desc>',
        _text(0, 11, bars.y_label, "label"),
        *_grid(max(bars.counts)),
        *_columns(bars, labelled=len(bars.counts) <= _LABELLED_BARS),
        f'<path class="axis" d="M{PLOT_LEFT:g} {PLOT_BOTTOM:g}H{PLOT_RIGHT:g}"/>',
        *_ticks(bars),
        _text(PLOT_RIGHT, HEIGHT - 5, bars.x_label, "label end"),
        "</svg>",
    ]
    return Svg("".join(parts))


def strip(parts: Sequence[tuple[str, int]]) -> Svg:
    """Return a stacked bar of (class name of the style sheet, count), widths proportional.

    It is decoration for numbers that stand beside it, and hidden from screen readers.
    """
    total = max(sum(n for _, n in parts), 1)
    out = [
        '<svg class="strip" viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">'
    ]
    x = 0.0
    for name, n in parts:
        width = 1000 * n / total
        out.append(f'<rect class="{escape(name)}" x="{x:.3f}" width="{width:.3f}" height="10"/>')
        x += width
    return Svg("".join([*out, "</svg>"]))


def share_bar(share: float) -> Svg:
    """Return a bar for a table cell, filled by this share in [0, 1]."""
    width = 100 * min(max(share, 0.0), 1.0)
    return Svg(
        '<svg class="share" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="ground" width="100" height="8"/>'
        f'<rect class="bar" width="{width:.2f}" height="8"/></svg>'
    )


def compact(n: int) -> str:
    """Write a count in at most three digits and a unit: 999, 1.2k, 135k, 1.4M."""
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if n >= size * 0.9995:
            return f"{round(n / size, 1 if n < 9.95 * size else 0):g}{unit}"
    return str(n)


def _columns(bars: Bars, *, labelled: bool) -> list[str]:
    step = (PLOT_RIGHT - PLOT_LEFT) / len(bars.counts)
    gap = min(3.0, step / 5)
    highest = max(*bars.counts, 1)
    out: list[str] = []
    for i, (n, name) in enumerate(zip(bars.counts, bars.names, strict=True)):
        height = (PLOT_BOTTOM - PLOT_TOP) * n / highest
        x, y = PLOT_LEFT + i * step + gap / 2, PLOT_BOTTOM - height
        tone = "bar over" if 0 <= bars.over <= i else "bar"
        out.append(
            f'<rect class="{tone}" x="{x:.2f}" y="{y:.2f}" width="{step - gap:.2f}" '
            f'height="{height:.2f}"><title>{escape(name)}: {n:,}</title></rect>'
        )
        if labelled and n:
            tone = "value mid over" if 0 <= bars.over <= i else "value mid"
            out.append(_text(x + (step - gap) / 2, y - 4, compact(n), tone))
    return out


def _grid(highest: int) -> list[str]:
    out: list[str] = []
    step = _grid_step(highest)
    for n in range(0, highest + 1, step):
        y = PLOT_BOTTOM - (PLOT_BOTTOM - PLOT_TOP) * n / max(highest, 1)
        if n:
            out.append(f'<path class="grid" d="M{PLOT_LEFT:g} {y:.2f}H{PLOT_RIGHT:g}"/>')
        out.append(_text(PLOT_LEFT - 5, y + 3.5, compact(n), "tick end"))
    return out


def _grid_step(highest: int) -> int:
    """Return the smallest 1, 2 or 5 times a power of ten with at most four steps below the top."""
    power = 1
    while True:
        for factor in (1, 2, 5):
            if highest <= 4 * factor * power:
                return factor * power
        power *= 10


def _ticks(bars: Bars) -> list[str]:
    step = (PLOT_RIGHT - PLOT_LEFT) / len(bars.counts)
    return [
        _text(PLOT_LEFT + position * step, PLOT_BOTTOM + 14, text, "tick mid")
        for position, text in bars.ticks
    ]


def _text(x: float, y: float, text: str, tone: str) -> str:
    return f'<text class="{tone}" x="{x:.2f}" y="{y:.2f}">{escape(text)}</text>'
