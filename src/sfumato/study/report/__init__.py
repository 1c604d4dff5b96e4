"""The report of a study: answers in, `study.json` and `study.html` out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sfumato.study.analysis.results import Analysis
from sfumato.study.files import write
from sfumato.study.report.page import render
from sfumato.study.report.probes import KINDS, Probe, of_kind, read_probes
from sfumato.study.report.words import headlines
from sfumato.types import JSON
from sfumato.version import VERSION

JSON_FILE: Final = "study.json"
HTML_FILE: Final = "study.html"
LAYOUT: Final = 1

__all__ = ["HTML_FILE", "JSON_FILE", "record", "write_html", "write_json"]


def record(analysis: Analysis, probes: Sequence[Probe]) -> JSON:
    """Return what `study.json` holds: differences in points, p as fractions, None for unknown."""
    told = [line.summary() for part in analysis.parts for line in headlines(part)]
    told += [
        {"protocol": one.protocol, "question": KINDS[one.kind], "answer": one.headline}
        for one in probes
    ]
    return {
        "layout": LAYOUT,
        "sfumato": VERSION,
        "headlines": told,
        **analysis.summary(),
        "probes": {
            kind: [one.summary() for one in of_kind(probes, kind)] or "not measured"
            for kind in KINDS
        },
    }


def write_json(study: Path, analysis: Analysis) -> JSON:
    """Write `study.json` into a study's folder and return what it holds.

    Raises:
        OutputError: the file can't be written.
        UsageError: a file of `probes/` is damaged.
    """
    made = record(analysis, read_probes(study))
    write(study / JSON_FILE, f"{json.dumps(made, indent=1, allow_nan=False)}\n".encode())
    return made


def write_html(study: Path, analysis: Analysis, *, images: bool = False) -> Path:
    """Write `study.html` into a study's folder and return its path.

    With `images`, those of the probes are in it: originals, not to be published.

    Raises:
        OutputError: the file can't be written.
        UsageError: a file of `probes/` is damaged.
    """
    datasets = sorted({part.dataset for part in analysis.parts if part.dataset})
    page = render(analysis, read_probes(study), ", ".join(datasets), images=images)
    path = study / HTML_FILE
    write(path, page.encode())
    return path
