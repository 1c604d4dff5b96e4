"""The report in a real browser: it opens alone, fits a phone, follows light and dark, prints."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sfumato.errors import Code
from sfumato.release.report.page import render
from sfumato.release.report.pairs import Pair
from sfumato.types import Failure
from tests.e2e.browser import Page, chromium, find_chromium
from tests.report_records import face, finding, output, random_images, strength, tallied

pytestmark = pytest.mark.e2e

# Clipped at the window's edge isn't fitting, so every element is looked at; a table may scroll.
TOO_WIDE = """Array.from(document.querySelectorAll('.page *'))
    .filter(e => !e.closest('.scroll') && !e.closest('.skip'))
    .filter(e => e.getBoundingClientRect().right > innerWidth + 0.5)
    .map(e => e.outerHTML.slice(0, 80))"""

LONG = "a-name-without-any-place-to-break-it-" * 6


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    program = find_chromium()
    if program is None:
        pytest.skip("no chromium here: install the Debian package chromium")
    with chromium(program, tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write both copies of a report with long and hostile names."""
    tally = tallied(random_images(2, 600))
    for n, name in enumerate((LONG, "<img src=x onerror=alert(1)>", "صورة \u202e.jpg")):
        key = f"{name}/{n}"
        bad = finding(key, Code.VERIFY_FACE_FOUND, passed=False, value=1)
        tally.add(key, name, [bad, strength(key, 0.3), output(key, [face()])])
        tally.add(f"r{key}", name, [Failure(f"r{key}", "detect", Code.IMAGE_DECODE, LONG)])
    report = tally.report()
    pairs = [Pair(LONG, image("red"), image("navy"), LONG) for _ in range(3)]
    folder = tmp_path_factory.mktemp("report")
    texts = {
        "private": render(report, private=True, pairs=pairs),
        "public": render(report, private=False),
    }
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in texts}


def image(colour: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (400, 300), colour).save(out, "JPEG")
    return out.getvalue()


def pixels(shot: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))


@pytest.mark.parametrize("width", [360, 768, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["private", "public"])
def test_fits_the_window_and_complains_of_nothing(
    browser: Page, pages: dict[str, Path], name: str, scheme: str, width: int
) -> None:
    browser.problems.clear()
    browser.requests.clear()
    browser.open(pages[name], width=width, scheme=scheme, touch=width < 600)
    browser.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    assert browser.evaluate(TOO_WIDE) == []
    assert browser.problems == []
    assert {re.split(":", url)[0] for url in browser.requests} <= {"file", "data"}
    assert [url for url in browser.requests if url.startswith("file")] == [pages[name].as_uri()]
    shot = pixels(browser.screenshot())
    assert shot.shape[1] == width
    assert shot.std() > 5  # not blank
    assert (np.median(shot) > 128) == (scheme == "light")


def test_bars_are_painted(browser: Page, pages: dict[str, Path]) -> None:
    browser.open(pages["public"], width=1280)
    shown = browser.evaluate(
        "Array.from(document.querySelectorAll('#faces .chart rect.bar')).map(bar =>"
        " [bar.getBoundingClientRect().height, +bar.getAttribute('height')])"
    )
    assert len(shown) > 20
    # the browser's bars are the SVG's, scaled alike
    scales = {round(seen / said, 2) for seen, said in shown if said > 20}
    assert len(scales) == 1
    assert browser.evaluate(
        "getComputedStyle(document.querySelector('#faces .chart rect.bar')).fill"
    ) not in ("none", "rgb(0, 0, 0)")


def test_images_are_shown(browser: Page, pages: dict[str, Path]) -> None:
    browser.open(pages["private"], width=1280)
    sizes = browser.evaluate("Array.from(document.images).map(i => [i.naturalWidth, i.width])")
    assert len(sizes) == 6
    assert all(natural == 400 and width > 100 for natural, width in sizes)
    browser.open(pages["public"], width=1280)
    assert browser.evaluate("document.images.length") == 0


def test_the_policy_stops_scripts(browser: Page, pages: dict[str, Path], tmp_path: Path) -> None:
    # The page's own policy, not only our escaping, keeps a script that slipped in from running.
    planted = tmp_path / "planted.html"
    text = pages["public"].read_text("utf-8")
    planted.write_text(
        text.replace("<main>", "<main><script>document.title = 'ran'</script>"), "utf-8"
    )
    browser.problems.clear()
    browser.open(planted, width=800)
    assert browser.evaluate("document.title") != "ran"
    assert any("Content Security Policy" in problem for problem in browser.problems)


def test_works_from_the_keyboard(browser: Page, pages: dict[str, Path]) -> None:
    browser.open(pages["public"], width=1280)
    for kind in ("keyDown", "keyUp"):
        browser.call(
            "Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9
        )
    assert browser.evaluate("document.activeElement.textContent") == "Skip to the checks"
    assert browser.evaluate("document.activeElement.getBoundingClientRect().left") >= 0


def test_prints_dark_on_white(browser: Page, pages: dict[str, Path]) -> None:
    browser.open(pages["public"], width=760, scheme="dark")
    feature = {"name": "prefers-color-scheme", "value": "dark"}
    browser.call("Emulation.setEmulatedMedia", media="print", features=[feature])
    assert np.median(pixels(browser.screenshot())) > 200
    assert browser.pdf().startswith(b"%PDF")
    browser.call("Emulation.setEmulatedMedia", media="", features=[])
