"""A review with its server, and what opens it in a browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.browser import find_chromium
from tests.e2e.review_site import Site, site

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.e2e.review_desk import Desk

ALLOWED = "Failed to load resource"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    program = find_chromium()
    if program is None:
        pytest.skip("no chromium here: install the Debian package chromium")
    playwright_api = pytest.importorskip("playwright.sync_api")
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def review(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as made:
        yield made


@pytest.fixture
def sit(chromium: Browser) -> Iterator[Callable[..., Desk]]:
    """Return what opens a link in a browser of its own; nothing may be complained of there.

    `lost`: requests are going to fail, so the browser may say so.
    """
    from tests.e2e.review_desk import Desk

    desks: list[tuple[Desk, bool]] = []

    def opened(link: str, *, lost: bool = False, **settings: Any) -> Desk:
        settings.setdefault("viewport", {"width": 1280, "height": 800})
        desk = Desk(chromium.new_context(**settings), link)
        desks.append((desk, lost))
        return desk

    yield opened
    for desk, lost in desks:
        for page in desk.context.pages:
            page.unroute_all(behavior="ignoreErrors")
        desk.context.close()
        found = [said for said in desk.problems if not (lost and ALLOWED in said)]
        assert found == []
        addresses = {re.sub(r"^(blob:)?(http://[^/]+)/.*", r"\2", url) for url in desk.requests}
        assert addresses == {re.sub(r"/$", "", desk.page.url.partition("/r/")[0])}
