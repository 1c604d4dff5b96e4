"""A reviewer at the page, in a Chromium of their own."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import BrowserContext, Locator, expect

from sfumato.types import Box
from tests.e2e.review_site import SECONDS, Site

expect.set_options(timeout=SECONDS * 1000)
PHONE = {"viewport": {"width": 360, "height": 640}, "has_touch": True, "is_mobile": True}


class Desk:
    """A reviewer at the page. `problems` is what the browser complained of."""

    def __init__(self, context: BrowserContext, link: str) -> None:
        context.set_default_timeout(SECONDS * 1000)
        self.context = context
        self.page = context.new_page()
        self.devtools = context.new_cdp_session(self.page)
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda said: self._said(said.type, said.text))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.open(link)

    def _said(self, kind: str, text: str) -> None:
        if kind in ("warning", "error"):
            self.problems.append(text)

    def open(self, link: str) -> None:
        self.page.goto(link)
        self.shown()

    @property
    def stage(self) -> Locator:
        return self.page.locator("#stage")

    def shown(self) -> None:
        """Wait until an image is there."""
        self.page.locator("#stage[data-shown]").wait_for()

    def more(self) -> bool:
        """Whether there is another image; waits until the page knows."""
        end = self.page.locator("#notice", has_text="Nothing is left for you")
        shown = self.page.locator("#stage[data-shown]")
        expect(shown.or_(end)).to_be_visible()
        return end.is_hidden()

    def saved(self) -> None:
        """Wait until the server has everything."""
        expect(self.page.locator("#saved")).to_have_attribute("data-state", "saved")

    def boxes(self) -> int:
        return self.page.locator("#boxes .mark").count()

    def has(self, boxes: int) -> None:
        expect(self.page.locator("#boxes .mark")).to_have_count(boxes)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def answer(self, key: str = "Enter") -> None:
        """Answer from the keyboard, and wait until the next image or the end is there."""
        before = self.page.locator("#counts").inner_text()
        self.shown()
        self.press(key)
        expect(self.page.locator("#counts")).not_to_have_text(before)

    def place(self) -> tuple[float, float, float]:
        """Return left, top (of the window) and scale of the image."""
        x, y, width = self.page.evaluate(
            "(() => { const p = document.getElementById('photo').getBoundingClientRect();"
            " const w = document.getElementById('photo');"
            " return [p.left, p.top, Number(w.getAttribute('width'))] })()"
        )
        return x, y, width / 640

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return where in the window a pixel of the image is."""
        left, top, scale = self.place()
        return left + x * scale, top + y * scale

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag with the mouse, between places of the window."""
        mouse = self.page.mouse
        mouse.move(*start)
        mouse.down()
        mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        mouse.move(*end)
        mouse.up()


def near(found: Box, wanted: Box, pixels: float = 0.02) -> bool:
    return all(abs(a - b) <= pixels for a, b in zip(found, wanted, strict=True))


def only(site: Site) -> Any:
    (given,) = site.given().values()
    return given.answer
