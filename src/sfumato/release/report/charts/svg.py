"""What charts are made of: lines, dots, text that is escaped, scales, and the frame around them.

Colours come from the page's style sheet by class, so that they follow light and dark.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from sfumato.sources.names import shown

# The page's classes and their colours, for a chart that is a file of its own.
_STYLE: Final = """
svg { font: 12px system-ui, sans-serif; background: #fff; color: #1c1c1c; --bar: #2a5d8f;
  --line: #ddd; --soft: #666; --fail: #b3261e }
text { fill: currentColor } .title { font-size: 14px; font-weight: 600 } .head { font-weight: 600 }
.tick, .label, .note { fill: var(--soft) } .end { text-anchor: end } .mid { text-anchor: middle }
.grid { stroke: var(--line) } .zero { stroke: #888; stroke-dasharray: 3 3 }
.whisker { stroke: var(--bar); stroke-width: 2 } .dot { fill: var(--bar) }
.marked { fill: var(--fail) }
@media (prefers-color-scheme: dark) {
  svg { background: #16181a; color: #e8e6e3; --bar: #7fb2e5; --line: #383b3e; --soft: #9a9a9a;
    --fail: #ff8a80 }
}
"""


class Svg(str):
    """An SVG element whose texts are escaped already: templates insert it as it is."""

    __slots__ = ()

    def __html__(self) -> str:
        """Tell autoescape (markupsafe's protocol) that nothing is left to escape."""
        return self


@dataclass(frozen=True, slots=True)
class Scale:
    """From values to places: `low` lies at `start`, `high` at `end`."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def of(cls, values: Sequence[float], start: float, end: float) -> Scale:
        """Return a scale that holds these values with some room on both sides."""
        low, high = min(values), max(values)
        room = 0.06 * (high - low) or 1.0
        return cls(low - room, high + room, start, end)

    def __call__(self, value: float) -> float:
        """Return the place of a value."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> Iterator[tuple[float, str]]:
        """Yield the places of round values inside, four to nine of them, and their text."""
        power = 10 ** math.floor(math.log10((self.high - self.low) / 4))
        step = next(f * power for f in (1, 2, 5, 10) if (self.high - self.low) / (f * power) < 8)
        first = math.ceil(self.low / step)
        for k in range(first, math.floor(self.high / step) + 1):
            value = round(k * step, 9)
            yield self(value), minus(f"{value:g}")


def frame(
    id_: str,
    title: str,
    said: str,
    size: tuple[float, float],
    parts: Iterable[str],
    kind: str = "chart",
) -> Svg:
    """Return a chart of (width, height) as one element; `said` has its numbers in words."""
    name = escape(id_)
    head = f'viewBox="0 0 {size[0]:g} {size[1]:g}" role="img" aria-labelledby="{name}-t {name}-d"'
    told = f'<title id="{name}-t">{_safe(title)}</title><desc id="{name}-d">{_safe(said)}</desc>'
    return Svg("".join([f'<svg class="{kind}" {head}>', told, *parts, "</svg>"]))


def as_file(chart: Svg, title: str, notes: tuple[str, str]) -> str:
    """Return a chart as a whole SVG file, under its title and one note, and above the other."""
    width, height = (float(side) for side in re.findall(r'viewBox="0 0 (\S+) (\S+)"', chart)[0])
    size = f'width="{width + 16:g}" height="{height + 76:g}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{_STYLE}</style>',
        text(8, 20, title, "title"),
        text(8, 38, notes[0], "note"),
        chart.replace("<svg", f'<svg x="8" y="48" width="{width:g}" height="{height:g}"', 1),
        text(8, height + 66, notes[1], "note"),
        "</svg>\n",
    ]
    return "".join(parts)


def text(x: float, y: float, words: str, tone: str) -> str:
    """Return words at a place; `tone` is their class in the style sheet."""
    return f'<text class="{tone}" x="{x:.2f}" y="{y:.2f}">{_safe(words)}</text>'


def line(tone: str, path: str) -> str:
    """Return a line along a path, such as `M10 20H30`."""
    return f'<path class="{tone}" d="{path}"/>'


def dot(tone: str, x: float, y: float, radius: float, said: str) -> str:
    """Return a dot that says something when it is pointed at."""
    place = f'cx="{x:.2f}" cy="{y:.2f}" r="{radius:g}"'
    return f'<circle class="{tone}" {place}><title>{_safe(said)}</title></circle>'


def bar(tone: str, place: tuple[float, float], size: tuple[float, float], said: str) -> str:
    """Return a bar from (x, y) on, of (width, height), that says something."""
    x, y = place
    sides = f'x="{x:.2f}" y="{y:.2f}" width="{size[0]:.2f}" height="{size[1]:.2f}"'
    return f'<rect class="{tone}" {sides}><title>{_safe(said)}</title></rect>'


def grid(scale: Scale, left: float, right: float) -> Iterator[str]:
    """Yield the lines across at the ticks of a scale that goes up, and their texts."""
    for y, words in scale.ticks():
        yield line("grid", f"M{left:g} {y:.2f}H{right:g}")
        yield text(left - 6, y + 4, words, "tick end")


def minus(number: str) -> str:
    """Write a number with a minus as long as a plus."""
    return number.replace("-", "\u2212")


def signed(value: float) -> str:
    """Write a difference with a sign and two digits."""
    words = f"{value:+.2f}" if abs(value) < 99.995 else f"{value:+.0f}"
    return "0.00" if words in {"+0.00", "-0.00"} else minus(words)


def compact(n: int) -> str:
    """Write a count in at most three digits and a unit: 999, 1.2k, 135k, 1.4M."""
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if n >= size * 0.9995:
            return f"{round(n / size, 1 if n < 9.95 * size else 0):g}{unit}"
    return str(n)


def _safe(words: str) -> str:
    return escape(shown(words))
