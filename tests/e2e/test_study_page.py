"""The study's report in a real browser: it opens alone, fits a phone, follows light and dark."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sfumato.study.analysis.answers import analyse
from sfumato.study.analysis.matrix import matrix_of
from sfumato.study.analysis.results import AnalysisChoice
from sfumato.study.report.page import render
from sfumato.study.report.probes import read_probes
from tests.e2e.browser import Page, chromium, find_chromium
from tests.e2e.test_report_page import LONG, TOO_WIDE, pixels
from tests.study_predictions import FULL, outcomes, regions

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    program = find_chromium()
    if program is None:
        pytest.skip("no chromium here: install the Debian package chromium")
    with chromium(program, tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a page with long and hostile names, and a probe."""
    folder = tmp_path_factory.mktemp("study")
    hostile = (LONG, "<img src=x onerror=alert(1)>")
    made = [
        replace(one, run=replace(one.run, classes=(*hostile, *one.run.classes[2:])))
        for one in outcomes(FULL, models=("net", LONG))
    ]
    table = {"title": LONG, "columns": ["class", LONG], "rows": [[LONG, 0.5], ["b", None]]}
    probe = {"kind": "shortcut", "architecture": LONG, "protocol": "scratch", "headline": LONG}
    (folder / "probes").mkdir()
    (folder / "probes" / "a.json").write_text(
        json.dumps({**probe, "alarms": [1], "tables": [table], "images": []})
    )
    analysis = analyse([matrix_of(made, regions())], AnalysisChoice(rounds=20))
    page = folder / "study.html"
    page.write_text(render(analysis, read_probes(folder), LONG), encoding="utf-8")
    return page


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fits_the_window_and_complains_of_nothing(
    browser: Page, study: Path, scheme: str, width: int
) -> None:
    browser.problems.clear()
    browser.requests.clear()
    browser.open(study, width=width, scheme=scheme, touch=width < 600)
    browser.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    assert browser.evaluate(TOO_WIDE) == []
    assert browser.problems == []
    assert {re.split(":", url)[0] for url in browser.requests} <= {"file", "data"}
    shot = pixels(browser.screenshot())
    assert shot.std() > 5  # not blank


def test_dots_lie_inside_their_charts(browser: Page, study: Path) -> None:
    browser.open(study, width=1280)
    outside = browser.evaluate(
        "Array.from(document.querySelectorAll('.chart circle')).filter(c => {"
        " const a = c.getBoundingClientRect(), b = c.closest('svg').getBoundingClientRect();"
        " return a.width > 0 && (a.left < b.left || a.right > b.right || a.top < b.top"
        " || a.bottom > b.bottom) }).length"
    )
    assert outside == 0
    assert browser.evaluate("document.querySelectorAll('.chart circle').length") > 20
