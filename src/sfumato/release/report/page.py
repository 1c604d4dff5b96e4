"""The report as one HTML page: self-contained, without script, the same bytes for the same data.

Names of files and classes are hostile input: everything goes through autoescape, and characters
that are invisible or change the direction of the text are written out as escapes.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from sfumato.release.report.charts.bars import bar_chart, share_bar, strip
from sfumato.release.report.data import Report, account_line
from sfumato.release.report.figures import class_chart, face_charts, strength_chart
from sfumato.release.report.pairs import Pair
from sfumato.release.report.words import FAILED, MEANING, TERMS_OF_WEIGHTS, uses_wider_face
from sfumato.sources.names import shown
from sfumato.types import JSON

if TYPE_CHECKING:
    from jinja2 import Template

ROWS_FIRST: Final = 20  # of findings and refusals; the others fold out
CLASSES_FIRST: Final = 20
CLASSES_SHOWN: Final = 1000

_MAGIC: Final = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"RIFF", "image/webp"),
)


def render(report: Report, *, private: bool, pairs: Sequence[Pair] = ()) -> str:
    """Return the page as HTML text, to be written as UTF-8.

    The private copy names the source, tells the reasons of refusals and shows `pairs`. The
    public one holds no image, no reason and no source.

    Raises:
        ValueError: pairs for a public page, or a pair whose bytes are no JPEG, PNG or WebP.
    """
    if pairs and not private:
        raise ValueError("a public report shows no images: pairs are for the private copy only")
    # By the share of images with a face, then by how many these are.
    classes = sorted(report.classes, key=lambda row: (-row.share, -row.with_faces, row.label))
    return _template().render(
        report=report,
        summary=report.summary(),
        private=private,
        line=account_line(report.summary()),
        strip=strip(list(asdict(report.account).items())),
        checks=sorted(report.checks, key=lambda check: (not check.failed, check.code)),
        failed_checks=sum(check.failed for check in report.checks),
        failed_rows=report.failed,
        refused_rows=report.refused,
        meaning=MEANING,
        failure=FAILED,
        rows_first=ROWS_FIRST,
        face_charts=face_charts(report),
        class_chart=class_chart(report),
        strength_chart=strength_chart(report),
        classes=classes[:CLASSES_SHOWN],
        classes_first=CLASSES_FIRST,
        share_bar=share_bar,
        recipe=_in_short(report.about.recipe),
        settings=list(_settings(report.about.recipe)),
        terms=TERMS_OF_WEIGHTS if uses_wider_face(report.about.recipe) else "",
        pairs=[
            (pair.key, pair.caption, data_uri(pair.before), data_uri(pair.after)) for pair in pairs
        ],
    )


def template(name: str, **filters: Callable[..., str]) -> Template:
    """Return a template of the package, escaping what it is given, with `n`, `shown` and more."""
    # Imported here: `import sfumato` doesn't pay for it.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("sfumato", "assets/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(filters, n=lambda n: f"{n:,}", shown=shown)
    return environment.get_template(name)


@lru_cache(maxsize=1)
def _template() -> Template:
    return template("report.html.j2", percent=percent, number=number, bar_chart=bar_chart)


def percent(part: float, whole: float = 1.0) -> str:
    """Write a share with one decimal; what is not quite nothing or all never looks like it."""
    if not whole:
        return "none"
    share = 100 * part / whole
    if 0 < share < 0.1:
        return "< 0.1 %"
    if 99.9 < share < 100:
        return "> 99.9 %"
    return f"{share:.1f} %" if share % 100 else f"{share:.0f} %"


def number(value: float) -> str:
    """Write a measured value with four digits, and what is no number as a dash."""
    return f"{value:.4g}" if math.isfinite(value) else "–"


def _in_short(recipe: JSON) -> list[tuple[str, list[str]]]:
    """Return what matters most of a recipe, in words; what it doesn't hold is left out."""
    found, cover = recipe.get("detect", {}), recipe.get("obfuscate", {})
    again = recipe.get("verify", {})
    rows = [("Faces found by", [_detector_in_words(name) for name in found.get("detectors", ())])]
    if found.get("boxes"):
        rows = [("Faces taken from", ["a file of boxes"])]
    rows.append(("Covered with", [str(cover["method"])] if "method" in cover else []))
    if "expand" in cover and cover.get("method") != "imagenet":
        words = f"by {100 * cover['expand']:g} % of its width and height on each side"
        rows.append(("Each box grown", [words]))
    rows.append(("Searched again by", [_detector_in_words(n) for n in again.get("detectors", ())]))
    return [row for row in rows if row[1]]


def _detector_in_words(specification: str) -> str:
    """Say "centerface@640:0.3" in words; what doesn't look like it stays as it is."""
    parts = re.fullmatch(r"([^@:]+)@([^@:]+):([0-9.]+)", str(specification))
    if parts is None:
        return str(specification)
    if parts[1] == "finder":
        return f"finder, profile {parts[2]}, probabilities from {parts[3]}"
    return f"{parts[1]} at {parts[2]} px, scores from {parts[3]}"


def _settings(recipe: JSON, above: str = "") -> Iterable[tuple[str, str]]:
    """Yield the settings of a nested recipe as ("obfuscate.method", "gaussian")."""
    for name, value in sorted(recipe.items()):
        path = f"{above}.{name}" if above else name
        if isinstance(value, dict):
            yield from _settings(value, path)
        elif isinstance(value, list):
            yield path, ", ".join(str(item) for item in value) or "none"
        else:
            yield path, "none" if value is None or value == "" else str(value)


def data_uri(data: bytes) -> str:
    """Return an encoded image as it stands in a page that loads nothing.

    Raises:
        ValueError: it is no JPEG, PNG or WebP.
    """
    for magic, kind in _MAGIC:
        if data.startswith(magic):
            return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
    raise ValueError("the images of a pair must be JPEG, PNG or WebP")
