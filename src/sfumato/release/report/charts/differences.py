"""Values with intervals: a forest, a curve over bins; and classes as dots in a plane."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sfumato.release.report.charts.svg import Scale, Svg, dot, frame, grid, line, signed, text

_WIDTH: Final = 760.0
_LABELS: Final = 250.0  # for the names of rows
_VALUES: Final = 170.0  # for the numbers at the right
_ROW: Final = 26.0
_LEFT, _RIGHT, _TOP = 46.0, 410.0, 22.0  # of curves and planes
_SIDE: Final = 420.0
_PAGE: Final = "chart study"


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its interval, None where it isn't estimable.

    `words` stand for the numbers, `count` before them says on how many it rests, and `note` more
    about it; `tone` is the class of its dot.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    words: str
    note: str = ""
    tone: str = "dot"
    count: str = ""


@dataclass(frozen=True, slots=True)
class Dot:
    """A class: its change in top-1 and in average precision, in points."""

    name: str
    x: float
    y: float
    marked: bool


def changed(
    name: str, value: float, low: float | None, high: float | None, note: str = ""
) -> Interval:
    """Return a difference in points: losses and gains that the interval bears out are coloured."""
    if low is None or high is None:
        return Interval(name, value, low, high, f"{signed(value)} (no interval)", note, "dot open")
    words = f"{signed(value)} ({signed(low)} to {signed(high)})"
    tone = "dot" if low <= 0 <= high else "dot marked" if high < 0 else "dot better"
    return Interval(name, value, low, high, words, note, tone)


def forest(
    id_: str,
    title: str,
    rows: Sequence[Interval | str],
    *,
    margin: float = 0.0,
    mark: float = 0.0,
    labels: tuple[str, str, str] = ("change in points", "", ""),
) -> Svg:
    """Return intervals below each other; a row of text is a heading of those below it.

    A band of ±margin is what counts as equivalent, and a line is drawn at `mark`. `labels` name
    the axis, the counts and the words.
    """
    told = [row for row in rows if isinstance(row, Interval)]
    scale = Scale.of([*_ends(told), -margin, margin, mark], _LABELS, _WIDTH - _VALUES)
    bottom = 18 + _ROW * len(rows)
    parts = [
        *_band(scale, margin, bottom),
        *(
            line("grid", f"M{x:.2f} 14V{bottom:.2f}") + text(x, bottom + 15, words, "tick mid")
            for x, words in scale.ticks()
        ),
        line("zero", f"M{scale(mark):.2f} 14V{bottom:.2f}"),
        *(part for i, row in enumerate(rows) for part in _row(row, scale, 18 + _ROW * (i + 0.5))),
        text(_WIDTH - _VALUES, bottom + 32, labels[0], "label end"),
        *_beside(9, *labels[1:], tone="tick"),
    ]
    return frame(id_, title, _said(told), (_WIDTH, bottom + 38), parts, _PAGE)


def curve(id_: str, title: str, bins: Sequence[Interval], labels: tuple[str, str]) -> Svg:
    """Return intervals side by side, bin by bin; `labels` name the x and the y axis."""
    bottom, height = 196.0, 240.0
    scale = Scale.of([*_ends(bins), 0.0], bottom, _TOP)
    step = (_RIGHT - _LEFT) / len(bins)
    parts = [
        text(0, 11, labels[1], "label"),
        *grid(scale, _LEFT, _RIGHT),
        line("zero", f"M{_LEFT:g} {scale(0):.2f}H{_RIGHT:g}"),
    ]
    for i, one in enumerate(bins):
        x = _LEFT + (i + 0.5) * step
        if one.low is not None and one.high is not None:
            parts.append(line("whisker", f"M{x:.2f} {scale(one.low):.2f}V{scale(one.high):.2f}"))
        parts += [
            dot(one.tone, x, scale(one.value), 4, f"{one.name}: {one.words}"),
            text(x, bottom + 14, one.name.removesuffix(" %"), "tick mid"),
            text(x, bottom + 27, one.note, "tick mid"),
        ]
    parts.append(text(_RIGHT, height - 3, labels[0], "label end"))
    return frame(id_, title, _said(bins), (_SIDE, height), parts, _PAGE)


def scatter(id_: str, title: str, dots: Sequence[Dot]) -> Svg:
    """Return classes by change in top-1 (across) and in average precision (up)."""
    across = Scale.of([*(one.x for one in dots), 0.0], _LEFT, _RIGHT)
    up = Scale.of([*(one.y for one in dots), 0.0], 250.0, _TOP)
    words = {one: f"{one.name}: top-1 {signed(one.x)}, AP {signed(one.y)}" for one in dots}
    marked = [words[one] for one in dots if one.marked]
    parts = [
        text(0, 11, "change in average precision", "label"),
        *grid(up, _LEFT, _RIGHT),
        *(text(x, 265, tick, "tick mid") for x, tick in across.ticks()),
        line("zero", f"M{_LEFT:g} {up(0):.2f}H{_RIGHT:g}M{across(0):.2f} 22V250"),
    ]
    for one in sorted(dots, key=lambda one: one.marked):
        tone, radius = ("dot marked", 4) if one.marked else ("dot faint", 2.5)
        parts.append(dot(tone, across(one.x), up(one.y), radius, words[one]))
    parts.append(text(_RIGHT, 286, "change in top-1, points", "label end"))
    said = f"{len(dots)} classes; {'; '.join(marked[:10])}"
    return frame(id_, title, said, (_SIDE, 292), parts, _PAGE)


def _band(scale: Scale, margin: float, bottom: float) -> Iterator[str]:
    if margin:
        left, right = scale(-margin), scale(margin)
        sides = f'x="{left:.2f}" y="14" width="{right - left:.2f}" height="{bottom - 14:.2f}"'
        yield f'<rect class="band" {sides}/>'
        yield text((left + right) / 2, 9, f"±{margin:g}", "tick mid")


def _row(row: Interval | str, scale: Scale, y: float) -> Iterator[str]:
    if isinstance(row, str):
        yield text(0, y + 4, _short(row), "head")
        return
    yield text(0, y + 4, _short(row.name), "row")
    if row.low is not None and row.high is not None:
        yield line("whisker", f"M{scale(row.low):.2f} {y:.2f}H{scale(row.high):.2f}")
    yield dot(row.tone, scale(row.value), y, 4.5, row.note)
    yield from _beside(y + 4, row.count, row.words, tone="value")


def _beside(y: float, count: str, words: str, *, tone: str) -> Iterator[str]:
    """Yield what stands at the right: a count on the left of its place, words on the right."""
    if count:
        yield text(_WIDTH - _VALUES + 12, y, count, tone)
    if words:
        yield text(_WIDTH, y, words, f"{tone} end")


def _said(rows: Sequence[Interval]) -> str:
    return "; ".join(
        f"{one.name}: {f'{one.count}, ' if one.count else ''}{one.words}" for one in rows
    )


def _ends(rows: Sequence[Interval]) -> list[float]:
    ends = [end for one in rows for end in (one.value, one.low, one.high) if end is not None]
    return ends or [0.0]


def _short(name: str) -> str:
    return name if len(name) <= 40 else name[:39] + "…"
