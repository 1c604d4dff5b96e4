"""Which charts the report shows: from distributions to bars with words for their axes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from sfumato.release.report.charts.bars import Bars
from sfumato.release.report.data import Distribution, Report

_FEWEST_CLASSES = 5  # fewer say more in the table

# Faces an image: from, to (inclusive), as in "2", "10-19", "50+"
_FACE_BINS = (*((n, n) for n in range(1, 10)), (10, 19), (20, 49), (50, None))


def face_charts(report: Report) -> list[Bars]:
    """Return the charts about faces; none where there is nothing to show."""
    faces = report.faces
    charts = [
        _per_image(report) if faces.images else None,
        _sizes(faces.size_px) if faces.size_px.total else None,
        _relative(faces.relative_size) if faces.relative_size.total else None,
        _covered(faces.covered) if faces.covered.total else None,
    ]
    # Boxes that people drew have no score to speak of.
    scored = [row for row in faces.scores if row[0] != "human"]
    charts += [_scores(n, origin, scores) for n, (origin, scores) in enumerate(scored)]
    return [chart for chart in charts if chart is not None]


def class_chart(report: Report) -> Bars | None:
    """Return the classes by their share of images with a face, in tenths."""
    if len(report.classes) < _FEWEST_CLASSES:
        return None
    edges = tuple(n / 10 for n in range(11))
    shares = Distribution.of([row.share for row in report.classes], edges)
    return Bars(
        id="classes-chart",
        title="Classes by their share of images with a face",
        counts=shares.counts,
        names=tuple(f"{n} to {n + 10} %" for n in range(0, 100, 10)),
        ticks=tuple((n, f"{10 * n}") for n in range(0, 11, 2)),
        x_label="images with a face, %",
        y_label="classes",
        note="Every class counts once, whatever its size.",
    )


def strength_chart(report: Report) -> Bars | None:
    """Return what the strength check measured, as a share of its limit; the last bar is over it."""
    left, limit = report.faces.left, report.faces.limit
    if not left.total:
        return None
    note = "The worst covered face of each image, measured on the written file."
    if limit is not None:
        note += f" The limit is {limit:g}."
    return Bars(
        id="left-chart",
        title="What is left of the faces, against the limit",
        counts=left.counts,
        names=(*(f"{n} to {n + 10} % of the limit" for n in range(0, 100, 10)), "over the limit"),
        ticks=(*((n, f"{10 * n}") for n in range(0, 10, 2)), (10, "limit")),
        x_label="% of what is allowed",
        y_label="images",
        over=len(left.counts) - 1,
        note=f"{note} {left.counts[-1]:,} of {left.total:,} lie over it.",
    )


def _per_image(report: Report) -> Bars:
    names = [
        "50 or more" if b is None else f"{a}" if a == b else f"{a} to {b}" for a, b in _FACE_BINS
    ]
    short = [f"{a}" if a == b else f"{a}+" for a, b in _FACE_BINS]
    counts = [
        sum(n for faces, n in report.faces.per_image if a <= faces <= (faces if b is None else b))
        for a, b in _FACE_BINS
    ]
    without = report.faces.searched - report.faces.images
    return Bars(
        id="faces-chart",
        title="Faces in an image",
        counts=tuple(counts),
        names=tuple(names),
        ticks=tuple((i + 0.5, text) for i, text in enumerate(short)),
        x_label="faces",
        y_label="images",
        note=f"Images without a face ({without:,}) are left out.",
    )


def _sizes(sizes: Distribution) -> Bars:
    first, last = _used(sizes.counts)
    edges = sizes.edges[first : last + 2]
    counts = sizes.counts[first : last + 1]
    names = [f"{a:.0f} to {b:.0f} px" for a, b in pairwise(edges)]
    octaves = [(i, f"{edge:.0f}") for i, edge in enumerate(edges) if (first + i) % 2 == 0]
    return Bars(
        id="size-chart",
        title="Size of the faces",
        counts=counts,
        names=tuple(names),
        ticks=tuple(octaves),
        x_label="longer side, px (log scale)",
        y_label="faces",
        note=_quantiles(sizes, "{:.0f}\u00a0px"),
    )


def _relative(sizes: Distribution) -> Bars:
    titles = ("relative-chart", "Size of the faces in their image")
    return _percent(sizes, *titles, "% of the image's longer side", "faces")


def _covered(shares: Distribution) -> Bars:
    titles = ("covered-chart", "How much of an image is covered")
    note = "The grown boxes, without their soft edge. "
    return _percent(shares, *titles, "% of the image's area", "images with a face", note)


def _percent(
    shares: Distribution, id_: str, title: str, x_label: str, y_label: str, note: str = ""
) -> Bars:
    return Bars(
        id=id_,
        title=title,
        counts=shares.counts,
        names=tuple(f"{100 * a:g} to {100 * b:g} %" for a, b in pairwise(shares.edges)),
        ticks=tuple((i, f"{100 * edge:g}") for i, edge in enumerate(shares.edges)),
        x_label=x_label,
        y_label=y_label,
        note=note + _quantiles(shares, "{:.1f}\u00a0%", times=100),
    )


def _scores(number: int, origin: str, scores: Distribution) -> Bars:
    note = "Of the boxes that it alone has found or has found best."
    return Bars(
        id=f"score-chart-{number}",
        title=f"Scores of {origin}",
        counts=scores.counts,
        names=tuple(f"{a:.2f} to {b:.2f}" for a, b in pairwise(scores.edges)),
        ticks=tuple((4 * n, f"{n / 5:g}") for n in range(6)),
        x_label="score",
        y_label="faces",
        note=f"{note} {_quantiles(scores, '{:.2f}')}",
    )


def _used(counts: Sequence[int]) -> tuple[int, int]:
    """Return the first and the last bin that isn't empty, widened to whole octaves and to six."""
    used = [i for i, n in enumerate(counts) if n]
    first, last = used[0] - used[0] % 2, used[-1] + (used[-1] + 1) % 2
    last = max(last, first + 5)
    return max(0, min(first, len(counts) - 6)), min(last, len(counts) - 1)


def _quantiles(values: Distribution, form: str, *, times: float = 1.0) -> str:
    low, middle, high = (
        form.format((values.quantile(name) or 0.0) * times) for name in ("p05", "median", "p95")
    )
    return f"Median {middle}; nine in ten from {low} to {high}."
