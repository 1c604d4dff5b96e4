"""SVG pictures of differences: a forest of intervals, a curve over bins, classes as dots.

Pure functions from numbers to SVG text, as in `sfumato.report.plots`; colours come from the style
sheet by class. Every picture says its numbers in words, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from sfumato.names import shown
from sfumato.report.plots import Svg

_WIDTH: Final = 760.0
_LABELS: Final = 250.0  # for the names of rows
_VALUES: Final = 170.0  # for the numbers at the right
_ROW: Final = 26.0
_CURVE_WIDTH, _CURVE_HEIGHT = 420.0, 240.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 410.0, 22.0, 196.0
_DOTS: Final = 420.0


@dataclass(frozen=True, slots=True)
class Bar:
    """A difference in points with its interval, None where it isn't estimable."""

    name: str
    value: float
    low: float | None
    high: float | None
    note: str = ""

    @property
    def words(self) -> str:
        """Return the numbers as text."""
        if self.low is None or self.high is None:
            return f"{signed(self.value)} (no interval)"
        return f"{signed(self.value)} ({signed(self.low)} to {signed(self.high)})"


@dataclass(frozen=True, slots=True)
class Dot:
    """A class: its change in top-1 and in average precision, in points."""

    name: str
    x: float
    y: float
    marked: bool


def signed(value: float) -> str:
    """Write a difference with a sign and two digits, with a minus as long as a plus."""
    text = f"{value:+.2f}" if abs(value) < 99.995 else f"{value:+.0f}"
    return "0.00" if text in {"+0.00", "-0.00"} else text.replace("-", "\u2212")


def forest(id_: str, title: str, bars: Sequence[Bar], margin: float) -> Svg:
    """Return differences below each other, with the band of ±margin that counts as equivalent."""
    scale = _Scale.of([*_ends(bars), -margin, margin, 0.0], _LABELS, _WIDTH - _VALUES)
    bottom = 18 + _ROW * len(bars)
    said = "; ".join(f"{bar.name}: {bar.words}" for bar in bars)
    parts = [
        *_head(id_, title, said, _WIDTH, bottom + 38),
        (
            f'<rect class="band" x="{scale(-margin):.2f}" y="14" '
            f'width="{scale(margin) - scale(-margin):.2f}" height="{bottom - 14:.2f}"/>'
        ),
        _text((scale(-margin) + scale(margin)) / 2, 9, f"±{margin:g}", "tick mid"),
        *(
            f'<path class="grid" d="M{scale(tick):.2f} 14V{bottom:.2f}"/>'
            + _text(scale(tick), bottom + 15, f"{tick:g}".replace("-", "\u2212"), "tick mid")
            for tick in scale.ticks()
        ),
        f'<path class="zero" d="M{scale(0):.2f} 14V{bottom:.2f}"/>',
        *(_forest_row(bar, scale, 18 + _ROW * i + _ROW / 2) for i, bar in enumerate(bars)),
        _text(_WIDTH - _VALUES, bottom + 32, "change in points", "label end"),
        "</svg>",
    ]
    return Svg("".join(parts))


def curve(id_: str, title: str, bars: Sequence[Bar], labels: tuple[str, str]) -> Svg:
    """Return differences side by side, bin by bin; `labels` name the x and the y axis."""
    scale = _Scale.of([*_ends(bars), 0.0], _BOTTOM, _TOP)
    step = (_RIGHT - _LEFT) / len(bars)
    said = "; ".join(f"{bar.name}: {bar.words}" for bar in bars)
    parts = [
        *_head(id_, title, said, _CURVE_WIDTH, _CURVE_HEIGHT),
        _text(0, 11, labels[1], "label"),
        *(
            f'<path class="grid" d="M{_LEFT:g} {scale(tick):.2f}H{_RIGHT:g}"/>'
            + _text(_LEFT - 6, scale(tick) + 4, f"{tick:g}".replace("-", "\u2212"), "tick end")
            for tick in scale.ticks()
        ),
        f'<path class="zero" d="M{_LEFT:g} {scale(0):.2f}H{_RIGHT:g}"/>',
    ]
    for i, bar in enumerate(bars):
        x = _LEFT + (i + 0.5) * step
        if bar.low is not None and bar.high is not None:
            ends = f"M{x:.2f} {scale(bar.low):.2f}V{scale(bar.high):.2f}"
            parts.append(f'<path class="whisker" d="{ends}"/>')
        parts += [
            (
                f'<circle class="{_tone(bar)}" cx="{x:.2f}" cy="{scale(bar.value):.2f}" r="4">'
                f"<title>{escape(shown(bar.name))}: {bar.words}</title></circle>"
            ),
            _text(x, _BOTTOM + 14, bar.name.removesuffix(" %"), "tick mid"),
            _text(x, _BOTTOM + 27, bar.note, "tick mid"),
        ]
    parts += [_text(_RIGHT, _CURVE_HEIGHT - 3, labels[0], "label end"), "</svg>"]
    return Svg("".join(parts))


def scatter(id_: str, title: str, dots: Sequence[Dot]) -> Svg:
    """Return classes by change in top-1 (across) and in average precision (up)."""
    across = _Scale.of([*(dot.x for dot in dots), 0.0], 46.0, _DOTS - 10)
    up = _Scale.of([*(dot.y for dot in dots), 0.0], 250.0, 22.0)
    marked = [dot for dot in dots if dot.marked]
    said = f"{len(dots)} classes; " + "; ".join(
        f"{dot.name}: top-1 {signed(dot.x)}, AP {signed(dot.y)}" for dot in marked[:10]
    )
    parts = [
        *_head(id_, title, said, _DOTS, 292),
        _text(0, 11, "change in average precision", "label"),
        *(
            f'<path class="grid" d="M46 {up(tick):.2f}H{_DOTS - 10:g}"/>'
            + _text(40, up(tick) + 4, f"{tick:g}".replace("-", "\u2212"), "tick end")
            for tick in up.ticks()
        ),
        *(
            _text(across(tick), 265, f"{tick:g}".replace("-", "\u2212"), "tick mid")
            for tick in across.ticks()
        ),
        f'<path class="zero" d="M46 {up(0):.2f}H{_DOTS - 10:g}M{across(0):.2f} 22V250"/>',
    ]
    for dot in sorted(dots, key=lambda dot: dot.marked):
        words = f"{escape(shown(dot.name))}: top-1 {signed(dot.x)}, AP {signed(dot.y)}"
        tone = "dot marked" if dot.marked else "dot faint"
        place = f'cx="{across(dot.x):.2f}" cy="{up(dot.y):.2f}" r="{4 if dot.marked else 2.5}"'
        parts.append(f'<circle class="{tone}" {place}><title>{words}</title></circle>')
    parts += [_text(_DOTS - 10, 286, "change in top-1, points", "label end"), "</svg>"]
    return Svg("".join(parts))


@dataclass(frozen=True, slots=True)
class _Scale:
    """From values to places: `low` lies at `start`, `high` at `end`."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def of(cls, values: Sequence[float], start: float, end: float) -> _Scale:
        low, high = min(values), max(values)
        room = 0.06 * (high - low) or 1.0
        return cls(low - room, high + room, start, end)

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return round values inside, four to nine of them."""
        power = 10 ** math.floor(math.log10((self.high - self.low) / 4))
        step = next(f * power for f in (1, 2, 5, 10) if (self.high - self.low) / (f * power) < 8)
        first = math.ceil(self.low / step)
        return [round(k * step, 9) for k in range(first, math.floor(self.high / step) + 1)]


def _forest_row(bar: Bar, scale: _Scale, y: float) -> str:
    name = _text(0, y + 4, _short(bar.name), "row")
    value = _text(_WIDTH, y + 4, bar.words, "value end")
    place = f'cx="{scale(bar.value):.2f}" cy="{y:.2f}" r="4.5"'
    dot = f'<circle class="{_tone(bar)}" {place}><title>{escape(bar.note)}</title></circle>'
    if bar.low is None or bar.high is None:
        return name + dot + value
    line = f"M{scale(bar.low):.2f} {y:.2f}H{scale(bar.high):.2f}"
    return f'{name}<path class="whisker" d="{line}"/>{dot}{value}'


def _tone(bar: Bar) -> str:
    if bar.low is None or bar.high is None:
        return "dot open"
    return "dot" if bar.low <= 0 <= bar.high else "dot marked" if bar.high < 0 else "dot better"


def _ends(bars: Sequence[Bar]) -> list[float]:
    ends = [end for bar in bars for end in (bar.value, bar.low, bar.high) if end is not None]
    return ends or [0.0]


def _short(name: str) -> str:
    return name if len(name) <= 40 else name[:39] + "…"


def _head(id_: str, title: str, said: str, width: float, height: float) -> list[str]:
    name = escape(id_)
    return [
        (
            f'<svg class="chart study" viewBox="0 0 {width:g} {height:g}" role="img" '
            f'aria-labelledby="{name}-t {name}-d">'
        ),
        f'<title id="{name}-t">{escape(shown(title))}</title>',
        f'<desc id="{name}-d">{escape(shown(said))}</desc>',
    ]


def _text(x: float, y: float, text: str, tone: str) -> str:
    return f'<text class="{tone}" x="{x:.2f}" y="{y:.2f}">{escape(shown(text))}</text>'
