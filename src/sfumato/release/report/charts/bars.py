"""Counts: a bar chart, a strip of shares, a bar for a table cell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sfumato.release.report.charts.svg import Svg, bar, compact, frame, line, text

WIDTH: Final = 360
HEIGHT: Final = 204
PLOT_LEFT: Final = 36.0
PLOT_RIGHT: Final = 354.0
PLOT_TOP: Final = 34.0
PLOT_BOTTOM: Final = 166.0
_LABELLED_BARS: Final = 12  # with more, the numbers above the bars would touch


@dataclass(frozen=True, slots=True)
class Bars:
    """What a bar chart shows.

    `names` say each bar in words. `ticks` are (position, text) below the axis, where bar i
    reaches from i to i + 1. Bars from `over` on are drawn as beyond a limit (-1: none). `note` is
    a sentence for those who show the chart.
    """

    id: str
    title: str
    counts: tuple[int, ...]
    names: tuple[str, ...]
    ticks: tuple[tuple[float, str], ...]
    x_label: str
    y_label: str
    over: int = -1
    note: str = ""

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.names) or not self.counts:
            raise ValueError(
                f"a chart needs as many names as counts and at least one, "
                f"got {len(self.names)} and {len(self.counts)}"
            )
        if min(self.counts) < 0:
            raise ValueError(f"counts must not be negative, got {min(self.counts)}")

    @property
    def rows(self) -> tuple[tuple[str, int], ...]:
        """Return the bars as (name, count)."""
        return tuple(zip(self.names, self.counts, strict=True))

    @property
    def step(self) -> float:
        """Return the width of a bar with its gap."""
        return (PLOT_RIGHT - PLOT_LEFT) / len(self.counts)


def bar_chart(bars: Bars) -> Svg:
    """Return the chart as an SVG element; heights are proportional to the counts."""
    spoken = "; ".join(f"{name}: {n:,}" for name, n in bars.rows)
    parts = [
        text(0, 11, bars.y_label, "label"),
        *_grid(max(bars.counts)),
        *_columns(bars, labelled=len(bars.counts) <= _LABELLED_BARS),
        line("axis", f"M{PLOT_LEFT:g} {PLOT_BOTTOM:g}H{PLOT_RIGHT:g}"),
        *(
            text(PLOT_LEFT + position * bars.step, PLOT_BOTTOM + 14, words, "tick mid")
            for position, words in bars.ticks
        ),
        text(PLOT_RIGHT, HEIGHT - 5, bars.x_label, "label end"),
    ]
    said = f"{bars.y_label} by {bars.x_label}. {spoken}."
    return frame(bars.id, bars.title, said, (WIDTH, HEIGHT), parts)


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
        out.append(f'<rect class="{name}" x="{x:.3f}" width="{width:.3f}" height="10"/>')
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


def _columns(bars: Bars, *, labelled: bool) -> Iterator[str]:
    gap = min(3.0, bars.step / 5)
    highest = max(*bars.counts, 1)
    for i, (name, n) in enumerate(bars.rows):
        height = (PLOT_BOTTOM - PLOT_TOP) * n / highest
        x, y = PLOT_LEFT + i * bars.step + gap / 2, PLOT_BOTTOM - height
        over = " over" if 0 <= bars.over <= i else ""
        yield bar(f"bar{over}", (x, y), (bars.step - gap, height), f"{name}: {n:,}")
        if labelled and n:
            yield text(x + (bars.step - gap) / 2, y - 4, compact(n), f"value mid{over}")


def _grid(highest: int) -> Iterator[str]:
    step = _grid_step(highest)
    for n in range(0, highest + 1, step):
        y = PLOT_BOTTOM - (PLOT_BOTTOM - PLOT_TOP) * n / max(highest, 1)
        if n:
            yield line("grid", f"M{PLOT_LEFT:g} {y:.2f}H{PLOT_RIGHT:g}")
        yield text(PLOT_LEFT - 5, y + 3.5, compact(n), "tick end")


def _grid_step(highest: int) -> int:
    """Return the smallest 1, 2 or 5 times a power of ten with at most four steps below the top."""
    power = 1
    while True:
        for factor in (1, 2, 5):
            if highest <= 4 * factor * power:
                return factor * power
        power *= 10
