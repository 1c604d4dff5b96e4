"""The charts: places follow the values, the numbers are there in words, and names can't act."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from sfumato.release.report.charts.bars import (
    PLOT_BOTTOM,
    PLOT_LEFT,
    PLOT_RIGHT,
    PLOT_TOP,
    Bars,
    bar_chart,
    share_bar,
    strip,
)
from sfumato.release.report.charts.differences import Dot, Interval, changed, curve, forest, scatter
from sfumato.release.report.charts.svg import as_file, compact, signed

HOSTILE = '<script>alert("1")</script>\u202e'


def chart(counts: tuple[int, ...], over: int = -1) -> ET.Element:
    bars = Bars(
        id="c",
        title="A <title> & more",
        counts=counts,
        names=tuple(f"<bin> {n}" for n in range(len(counts))),
        ticks=((0, "0"), (1, "<1>")),
        x_label="x & y",
        y_label="faces",
        over=over,
    )
    return ET.fromstring(bar_chart(bars))


@pytest.mark.parametrize("counts", [(1,), (0, 0), (3, 0, 7, 1, 5), tuple(range(20)), (10**7, 1)])
def test_bars_are_as_high_as_their_counts(counts: tuple[int, ...]) -> None:
    bars = chart(counts).findall("rect")
    heights = [float(bar.attrib["height"]) for bar in bars]
    scale = (PLOT_BOTTOM - PLOT_TOP) / max(*counts, 1)
    assert heights == [pytest.approx(n * scale, abs=0.006) for n in counts]
    for bar, height in zip(bars, heights, strict=True):
        assert float(bar.attrib["y"]) + height == pytest.approx(PLOT_BOTTOM, abs=0.02)
        assert float(bar.attrib["x"]) >= PLOT_LEFT
        assert float(bar.attrib["x"]) + float(bar.attrib["width"]) <= PLOT_RIGHT
    lefts = [float(bar.attrib["x"]) for bar in bars]
    assert lefts == sorted(set(lefts))


def test_a_chart_says_its_numbers_in_words() -> None:
    svg = chart((1200, 3), over=1)
    assert svg.attrib["role"] == "img"
    assert svg.findtext("title") == "A <title> & more"
    assert svg.findtext("desc") == "faces by x & y. <bin> 0: 1,200; <bin> 1: 3."
    assert [bar.findtext("title") for bar in svg.findall("rect")] == [
        "<bin> 0: 1,200",
        "<bin> 1: 3",
    ]
    assert [bar.attrib["class"] for bar in svg.findall("rect")] == ["bar", "bar over"]


def test_bars_refuse_what_cannot_be_drawn() -> None:
    for counts, names in (((), ()), ((1, 2), ("a",)), ((-1,), ("a",))):
        with pytest.raises(ValueError, match=r"chart|counts"):
            Bars("c", "t", counts, names, (), "x", "y")


def test_strip_and_share_are_proportional() -> None:
    svg = ET.fromstring(strip([("copied", 30), ("obfuscated", 10), ("refused", 0)]))
    assert [float(rect.attrib["width"]) for rect in svg] == [750.0, 250.0, 0.0]
    assert [float(rect.attrib["x"]) for rect in svg] == [0.0, 750.0, 1000.0]
    filled = [ET.fromstring(share_bar(share))[1].attrib["width"] for share in (0, 0.172, 1, 2)]
    assert filled == ["0.00", "17.20", "100.00", "100.00"]


def test_counts_and_differences_are_written_so_that_nothing_is_hidden() -> None:
    assert [compact(n) for n in (0, 999, 1000, 1234, 9999, 135_000, 999_999, 1_431_093)] == [
        *("0", "999", "1k", "1.2k", "10k", "135k", "1M", "1.4M"),
    ]
    assert signed(-0.654) == "−0.65"
    assert signed(0.001) == "0.00"
    assert signed(-0.001) == "0.00"
    assert signed(-123.4) == "−123"


def test_charts_place_values_by_their_size() -> None:
    bars = [changed("a", -2, -3, -1), changed("b", 1, None, None), changed(HOSTILE, 0.5, 0, 1)]
    svg = str(forest("x", "t", bars, margin=1.0))
    assert "<script" not in svg
    places = [float(x) for x in re.findall(r'<circle[^>]*cx="([\d.]+)"', svg)]
    low, high, third = places
    assert low < third < high
    # a is 3 below b, the third half a point: places are linear in the values
    assert (high - low) / (high - third) == pytest.approx(6, rel=0.01)
    assert 'class="dot marked"' in svg
    assert 'class="dot open"' in svg
    heights = [float(y) for y in re.findall(r'cy="([\d.]+)"', str(curve("x", "t", bars, ("", ""))))]
    assert heights[0] > heights[2] > heights[1]
    assert (
        str(scatter("x", "t", [Dot("a", 1, 2, True), Dot("b", 0, 0, False)])).count("<circle") == 2
    )


def test_a_forest_as_a_file_has_its_headings_counts_and_notes_in_words() -> None:
    rows: list[Interval | str] = [
        "a <&> b",
        changed("x", 3.0, 1.0, 5.0),
        HOSTILE,
        changed("y", 0.0, -1.0, 1.0),
    ]
    drawn = forest("x", "t", rows, mark=2.0, labels=("missed, %", "left", "right"))
    root = ET.fromstring(as_file(drawn, "Title <1>", ("above", "below & all")))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    for words in ("Title <1>", "above", "below & all", "a <&> b", "left", "right", "missed, %"):
        assert words in texts
    (inner,) = root.findall("{http://www.w3.org/2000/svg}svg")
    assert float(root.attrib["height"]) > float(inner.attrib["y"]) + float(inner.attrib["height"])
    dots = [float(c.attrib["cx"]) for c in root.iter("{http://www.w3.org/2000/svg}circle")]
    (mark,) = [p.attrib["d"] for p in root.iter() if p.attrib.get("class") == "zero"]
    between = float(mark[1:].partition(" ")[0])
    # 2 is two thirds of the way from 0 to 3
    assert (between - dots[1]) / (dots[0] - dots[1]) == pytest.approx(2 / 3, rel=0.01)
