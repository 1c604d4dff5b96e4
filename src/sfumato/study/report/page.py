"""The study's report as one HTML page: self-contained, without script, the same bytes each time.

Names of classes, architectures and arms are hostile input, as in `sfumato.release.report.page`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from sfumato.release.report.charts.differences import Dot, changed, curve, forest, scatter
from sfumato.release.report.charts.svg import Svg, signed
from sfumato.release.report.page import template
from sfumato.study.analysis.estimates import Estimate
from sfumato.study.analysis.results import Analysis, Answers, StudyAnswer
from sfumato.study.analysis.subsets import Subset
from sfumato.study.published import ARMS, MODELS, averages
from sfumato.study.report.probes import KINDS, Probe, image, of_kind
from sfumato.study.report.words import (
    ALPHA,
    PROTOCOLS,
    headlines,
    main_answers,
    p_words,
    verdict,
)
from sfumato.version import VERSION

if TYPE_CHECKING:
    from jinja2 import Template

CLASSES_FIRST: Final = 20  # classes that change most; the others fold out
CLASSES_SHOWN: Final = 1000
PAIRS_SHOWN: Final = 20
# What the forest shows, kind by kind, and how its rows say it.
_FOREST: Final = {
    "cost": "train and test",
    "beyond-reencoding": "train and test, vs re-encoded",
    "faces": "train and test, vs elsewhere",
    "shift": "test",
    "shift-faces": "test, vs elsewhere",
    "deployment": "train, test clear",
    "interaction": "interaction",
    "remedy": "train, test clear",
}


def render(
    analysis: Analysis, probes: Sequence[Probe], name: str = "", *, images: bool = False
) -> str:
    """Return the page as HTML text, to be written as UTF-8; images of probes are originals.

    Raises:
        UsageError: images were asked for, and one can't be read.
    """
    parts = [_part(part, analysis.choice.margin) for part in analysis.parts]
    return _template().render(
        parts=parts,
        dataset=name,
        version=VERSION,
        margin=100 * analysis.choice.margin,
        probes={kind: of_kind(probes, kind) for kind in KINDS},
        kinds=KINDS,
        images={path: image(path) for probe in probes for path, _ in probe.images}
        if images
        else {},
        published={measure: averages(measure) for measure in ("top1", "top5")},
        models=MODELS,
        published_arms=ARMS,
        classes_first=CLASSES_FIRST,
        pairs_shown=PAIRS_SHOWN,
        alpha=ALPHA,
    )


@lru_cache(maxsize=1)
def _template() -> Template:
    return template(
        "study.html.j2",
        level=level,
        change=change,
        p=p_words,
        bare_p=lambda p: p_words(p).removeprefix("= "),
        signed=signed,
        cell=cell,
        points=lambda value: "–" if value is None else f"{value:.2f}",
    )


def level(found: Estimate | None) -> str:
    """Write an accuracy in percent with half the width of its interval."""
    if found is None:
        return "–"
    value = f"{100 * found.value:.2f}"
    if not found.is_estimable:
        return value
    return f"{value} ± {50 * (found.high - found.low):.2f}"


def change(found: Estimate | None) -> str:
    """Write a change in points with its interval; without one if it isn't estimable."""
    if found is None or not isfinite(found.value):
        return "–"
    value = signed(100 * found.value)
    if not found.is_estimable:
        return value
    return f"{value} ({signed(100 * found.low)} to {signed(100 * found.high)})"


def cell(value: object) -> str:
    """Write a value of a probe's table: numbers with four digits, nothing as a dash."""
    if isinstance(value, float):
        return f"{value:.4g}" if isfinite(value) else "–"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "–" if value is None or value == "" else str(value)


def _part(part: Answers, margin: float) -> dict[str, Any]:
    """Return what the page shows of one protocol, by the template's names."""
    rows = [
        changed(f"{one.question.arm}: {words}", *_points(one.change))
        for kind, words in _FOREST.items()
        for one in part.of_kind(kind)
    ]
    image = forest(f"forest-{part.protocol}", "Changes in top-1", rows, margin=100 * margin)
    main = main_answers(part)
    detailed = sorted((one for one in part.answers if one.classes), key=lambda o: o not in main)
    return {
        "answers": part,
        "title": PROTOCOLS.get(part.protocol, part.protocol),
        "headlines": headlines(part),
        "forest": image if rows else None,
        "trains": _arms(row.train for row in part.grid),
        "tests": _arms(row.test for row in part.grid),
        "grid": {(row.train, row.test): row for row in part.grid},
        "details": [
            _detail(f"{part.protocol}-{i}", one, is_main=one in main)
            for i, one in enumerate(detailed)
        ],
    }


def _detail(id_: str, one: StudyAnswer, *, is_main: bool) -> dict[str, Any]:
    """Return what the page shows of one arm: an answer with its charts and its classes in order."""
    judged, tone = verdict(one)
    area, overlap = "obfuscated share of the image, %", "share of the object's box under faces, %"
    return {
        "id": id_,
        "is_main": is_main,
        "answer": one,
        "verdict": judged,
        "tone": tone,
        "area": _curve(f"area-{id_}", one.areas, area),
        "overlap": _curve(f"overlap-{id_}", one.overlaps, overlap),
        "scatter": _scatter(f"classes-{id_}", one),
        "classes": _classes(one),
        # What each class of a confusable pair is confused with.
        "twins": {a: b for p in one.pairs for a, b in ((p.first, p.second), (p.second, p.first))},
        "precisions": {row.name: row for row in one.precisions or ()},
    }


def _curve(id_: str, subsets: Sequence[Subset], label: str) -> Svg | None:
    if len(subsets) < 2:
        return None
    bins = [
        changed(row.name, *_points(row.found), note=f"n {row.found.n:,}")
        for row in subsets
        if isfinite(row.found.value)
    ]
    return curve(id_, f"Change in top-1 by {label}", bins, (label, "change in top-1, points"))


def _scatter(id_: str, one: StudyAnswer) -> Svg | None:
    if one.precisions is None:
        return None
    found = {row.name: row.change for row in one.precisions}
    dots = [
        Dot(
            row.name,
            100 * row.found.value,
            100 * found[row.name].value,
            marked=row.p_holm < ALPHA,
        )
        for row in one.classes
        if row.name in found
    ]
    return scatter(id_, "Classes: change in top-1 and in average precision", dots)


def _classes(one: StudyAnswer) -> list[Subset]:
    """Return classes by how clear their change is, then by its size."""
    order = sorted(
        one.classes, key=lambda row: (not row.p_holm < ALPHA, -abs(row.found.value), row.name)
    )
    return order[:CLASSES_SHOWN]


def _points(found: Estimate) -> tuple[float, float | None, float | None]:
    if not found.is_estimable:
        return 100 * found.value, None, None
    return 100 * found.value, 100 * found.low, 100 * found.high


def _arms(names: Any) -> list[str]:
    """Return arms once each, the original first."""
    found = sorted(set(names))
    return sorted(found, key=lambda name: (name != "original", name != "reencoded", name))
