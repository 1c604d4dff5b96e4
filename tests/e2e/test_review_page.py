"""The review page in a real Chromium, against the real server: nothing is lost, all keys work."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from sfumato.types import Box
from tests.e2e.browser import find_chromium
from tests.e2e.review_site import FACES, SECONDS, Site, site

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

expect.set_options(timeout=SECONDS * 1000)
ALLOWED = ("ERR_CONNECTION_REFUSED", "ERR_INTERNET_DISCONNECTED", "ERR_FAILED", "ERR_EMPTY_RESPONSE")
DIRECTIONS = {
    "nw": (-14, -9),
    "n": (0, -11),
    "ne": (13, -7),
    "e": (17, 0),
    "se": (9, 12),
    "s": (0, 15),
    "sw": (-8, 6),
    "w": (-12, 0),
}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    program = find_chromium()
    if program is None:
        pytest.skip("no chromium here: install the Debian package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def review(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as made:
        yield made


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
        """Wait until a picture is there."""
        self.page.locator("#stage[data-shown]").wait_for()

    def more(self) -> bool:
        """Whether there is another picture; waits until the page knows."""
        end = self.page.locator("#notice", has_text="Nothing is left")
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
        """Answer from the keyboard, and wait until the next picture or the end is there."""
        before = self.page.locator("#counts").inner_text()
        self.shown()
        self.press(key)
        expect(self.page.locator("#counts")).not_to_have_text(before)

    def place(self) -> tuple[float, float, float]:
        """Return left, top (of the window) and scale of the picture."""
        x, y, width = self.page.evaluate(
            "(() => { const p = document.getElementById('photo').getBoundingClientRect();"
            " const w = document.getElementById('photo');"
            " return [p.left, p.top, Number(w.getAttribute('width'))] })()"
        )
        return x, y, width / 640

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return where in the window a pixel of the picture is."""
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


@pytest.fixture
def sit(chromium: Browser) -> Iterator[Callable[..., Desk]]:
    """Return what opens a link in a browser of its own; nothing may be complained of there.

    `lost`: the connection is going to be cut, so the browser may say so.
    """
    desks: list[tuple[Desk, bool]] = []

    def opened(link: str, *, lost: bool = False, **settings: Any) -> Desk:
        settings.setdefault("viewport", {"width": 1280, "height": 800})
        desk = Desk(chromium.new_context(**settings), link)
        desks.append((desk, lost))
        return desk

    yield opened
    for desk, lost in desks:
        desk.context.close()
        found = [said for said in desk.problems if not (lost and any(a in said for a in ALLOWED))]
        assert found == []
        addresses = {re.sub(r"^(blob:)?(http://[^/]+)/.*", r"\2", url) for url in desk.requests}
        assert addresses == {re.sub(r"/$", "", desk.page.url.partition("/r/")[0])}


def near(found: Box, wanted: Box, pixels: float = 0.02) -> bool:
    return all(abs(a - b) <= pixels for a, b in zip(found, wanted, strict=True))


def only(site: Site) -> Any:
    (given,) = site.given().values()
    return given.answer


@pytest.mark.parametrize("handle", DIRECTIONS)
def test_a_box_is_resized_by_each_handle(
    review: Site, sit: Callable[..., Desk], handle: str
) -> None:
    review.fill(1)
    review.start()
    desk = sit(review.invite("Ada"))
    desk.page.mouse.click(*desk.at(160, 130))
    grip = desk.page.locator(f".handle.{handle}").bounding_box()
    assert grip is not None
    start = (grip["x"] + grip["width"] / 2, grip["y"] + grip["height"] / 2)
    by = DIRECTIONS[handle]
    _, _, scale = desk.place()
    desk.drag(start, (start[0] + by[0], start[1] + by[1]))
    desk.answer()
    desk.saved()
    (x0, y0, x1, y1), (dx, dy) = FACES[0], (by[0] / scale, by[1] / scale)
    wanted = (
        x0 + dx * ("w" in handle),
        y0 + dy * ("n" in handle),
        x1 + dx * ("e" in handle),
        y1 + dy * ("s" in handle),
    )
    answer = only(review)
    assert answer.verdict == "correct"
    (mark,) = answer.marks
    assert near(mark.box, wanted)
    assert mark.proposal == "p0"
    # what the handle doesn't hold keeps its exact value
    for side, letter in enumerate("wnes"):
        assert letter in handle or mark.box[side] == FACES[0][side]


def test_what_is_drawn_deleted_and_undone_is_exactly_what_is_stored(
    review: Site, sit: Callable[..., Desk]
) -> None:
    review.fill(1, {0: FACES})
    review.start()
    desk = sit(review.invite("Ada"))
    desk.drag(desk.at(500, 300), desk.at(560, 370))  # a new one
    desk.has(3)
    desk.drag(desk.at(530, 335), desk.at(540, 345))  # moved
    desk.press("p")  # it is private
    desk.page.mouse.click(*desk.at(160, 130))
    desk.press("Delete")
    desk.has(2)
    desk.press("Control+z")
    desk.has(3)
    desk.press("Control+y")
    desk.has(2)
    desk.drag(desk.at(40, 400), desk.at(90, 440))  # taken back
    desk.has(3)
    desk.press("Control+z")
    desk.has(2)
    desk.drag(desk.at(600, 440), desk.at(700, 520))  # beyond the corner: cut there
    desk.has(3)
    desk.answer()
    desk.saved()
    answer = only(review)
    kept, drawn, corner = answer.marks
    assert kept.box == FACES[1]
    assert (kept.proposal, kept.kind, kept.score) == ("p1", "face", 0.75)
    assert near(drawn.box, (510, 310, 570, 380), 0.5)
    assert (drawn.proposal, drawn.kind, drawn.score) == ("", "private", None)
    assert near(corner.box, (600, 440, 640, 480), 0.5)
    assert corner.box[2:] == (640, 480)
    assert answer.verdict == "correct"
    assert 0 < answer.seconds < 300


def test_verdicts(review: Site, sit: Callable[..., Desk]) -> None:
    keys = review.fill(4, {2: ()})
    review.start()
    desk = sit(review.invite("Ada"))
    desk.answer("Enter")
    desk.answer("0")
    desk.answer("0")  # nothing was proposed, nothing is there
    desk.answer("u")
    desk.saved()
    expect(desk.page.locator("#notice")).to_contain_text("Nothing is left")
    answers = [review.given()[key].answer for key in keys]
    assert [answer.verdict for answer in answers] == ["accept", "correct", "accept", "unsure"]
    assert [len(answer.marks) for answer in answers] == [1, 0, 0, 1]


def test_no_face_asks_again_for_what_one_drew(review: Site, sit: Callable[..., Desk]) -> None:
    review.fill(1)
    review.start()
    desk = sit(review.invite("Ada"))
    desk.press("n", "0")
    expect(desk.page.locator("#toast")).to_contain_text("Once more")
    desk.answer("0")
    desk.saved()
    assert only(review).marks == ()


def test_a_reload_in_the_middle_loses_nothing(review: Site, sit: Callable[..., Desk]) -> None:
    review.fill(2)
    review.start()
    desk = sit(review.invite("Ada"))
    desk.press("n", "Shift+ArrowRight", "Alt+ArrowDown")
    box = desk.page.locator("#boxes .mark").nth(1).get_attribute("aria-label")
    desk.page.reload()  # also what hasn't been sent yet
    desk.shown()
    desk.has(2)
    assert desk.page.locator("#boxes .mark").nth(1).get_attribute("aria-label") == box
    desk.saved()
    desk.press("Tab", "Delete")
    desk.saved()
    desk.page.evaluate("localStorage.clear()")  # as on another computer
    desk.page.reload()
    desk.shown()
    desk.has(1)
    desk.answer()
    desk.answer()
    desk.saved()
    answers = [given.answer for given in review.given().values()]
    assert [answer.verdict for answer in answers] == ["correct", "accept"]
    assert [mark.proposal for mark in answers[0].marks] == [""]


def test_a_killed_server_loses_and_doubles_nothing(
    review: Site, sit: Callable[..., Desk]
) -> None:
    keys = review.fill(6)
    review.start()
    desk = sit(review.invite("Ada"), lost=True)
    desk.press("n")
    desk.saved()
    review.kill()
    desk.press("ArrowRight", "p")
    expect(desk.page.locator("#saved")).to_have_attribute("data-state", "retrying")
    expect(desk.page.locator("#live")).to_contain_text("Not saved yet")
    desk.answer()  # the next picture was fetched ahead
    desk.press("n", "n")
    desk.answer()
    expect(desk.page.locator("#saved")).to_contain_text("2 answers")
    assert review.given() == {}
    review.start()
    desk.saved()
    for _ in range(4):
        desk.answer()
    desk.saved()
    given = review.given()
    assert sorted(given) == keys
    marks = [given[key].answer.marks for key in keys]
    assert [len(each) for each in marks] == [2, 3, 1, 1, 1, 1]
    assert [mark.kind for mark in marks[0]] == ["face", "private"]


def test_work_waits_for_the_connection_when_the_page_is_closed(
    review: Site, sit: Callable[..., Desk]
) -> None:
    keys = review.fill(3)
    review.start()
    link = review.invite("Ada")
    desk = sit(link, lost=True)
    desk.saved()
    desk.page.wait_for_load_state("networkidle")
    desk.context.set_offline(True)
    desk.press("n")
    desk.answer()
    desk.press("Tab", "Delete")
    desk.page.close()
    desk.context.set_offline(False)
    desk.page = desk.context.new_page()
    desk.open(review.address)
    desk.has(0)  # the draft that was never sent
    desk.saved()
    given = review.given()
    assert list(given) == keys[:1]
    assert len(given[keys[0]].answer.marks) == 2
    assert review.drafts()[keys[1]][1] == []


def test_an_answer_whose_receipt_is_lost_is_stored_once(
    review: Site, sit: Callable[..., Desk]
) -> None:
    keys = review.fill(2)
    review.start()
    desk = sit(review.invite("Ada"), lost=True)
    sent: list[str] = []

    def lose(route: Any) -> None:
        sent.append(route.request.post_data)
        response = route.fetch()
        if len(sent) == 1:
            route.abort()
        else:
            route.fulfill(response=response)

    desk.page.route("**/answer", lose)
    desk.press("n")
    desk.answer()
    expect(desk.page.locator("#saved")).to_have_attribute("data-state", "retrying")
    desk.saved()
    assert len(sent) == 2
    assert sent[0] == sent[1]
    given = review.given()
    assert list(given) == keys[:1]
    assert len(given[keys[0]].answer.marks) == 2


def test_two_browsers_never_get_the_same_picture(review: Site, sit: Callable[..., Desk]) -> None:
    keys = review.fill(12)
    review.start()
    desks = [sit(review.invite(name)) for name in ("Ada", "Ben")]
    pictures = [
        {url.rpartition("/")[2] for url in desk.requests if "/picture/" in url} for desk in desks
    ]
    assert all(pictures)
    assert not pictures[0] & pictures[1]
    working = list(desks)
    while working:
        working = [desk for desk in working if desk.more()]
        for desk in working:
            desk.answer()
    for desk in desks:
        desk.saved()
    given = review.given()
    assert sorted(given) == keys
    assert {given[key].person for key in keys} == {
        person for (person,) in review.database.read("SELECT id FROM review_people")
    }


def test_twenty_pictures_from_the_keyboard_alone(review: Site, sit: Callable[..., Desk]) -> None:
    keys = review.fill(20, {3: (), 7: FACES, 11: FACES, 15: FACES})
    review.start()
    desk = sit(review.invite("Ada"))
    _, _, scale = desk.place()
    assert scale >= 1  # a key moves by a pixel of the picture
    for number in range(20):
        desk.shown()
        work, answer = KEYBOARD.get(number, ((), "Enter"))
        desk.press(*work)
        desk.answer(answer)
    desk.saved()
    given = review.given()
    assert sorted(given) == keys
    answers = [given[key].answer for key in keys]
    x0, y0, x1, y1 = FACES[0]
    assert answers[0].verdict == "accept"
    assert answers[1].marks[0].box == (x0 + 12, y0 - 1, x1 + 12, y1 - 1)
    assert answers[2].marks[0].box == (x0, y0, x1 + 10, y1 - 1)
    assert len(answers[3].marks) == 1
    assert answers[4].marks[0].kind == "private"
    assert answers[5].verdict == "unsure"
    assert answers[6].marks == ()
    assert [mark.proposal for mark in answers[7].marks] == ["p1"]
    assert answers[8].verdict == "accept"  # undone: as it came
    assert answers[9].marks[0].box == (x0 - 10, y0 + 1, x1, y1)
    assert [mark.kind for mark in answers[11].marks] == ["face", "private"]
    assert [mark.proposal for mark in answers[15].marks] == ["p0", "p1", ""]
    assert all(answers[n].verdict == "accept" for n in (10, 12, 13, 14, 16, 17, 18, 19))


KEYBOARD: dict[int, tuple[tuple[str, ...], str]] = {
    1: (("Tab", "Shift+ArrowRight", "ArrowRight", "ArrowRight", "ArrowUp"), "Enter"),
    2: (("Tab", "Alt+Shift+ArrowRight", "Alt+ArrowUp"), "Enter"),
    3: (("n", "+", "ArrowLeft", "-", "Home"), "Enter"),
    4: (("Tab", "k"), "Enter"),
    5: ((), "u"),
    6: ((), "0"),
    7: (("Tab", "Delete"), "Enter"),
    8: (("Tab", "ArrowLeft", "Delete", "Control+z", "Control+z"), "Enter"),
    9: (("Tab", "Control+Shift+ArrowLeft", "Control+ArrowDown"), "Enter"),
    11: (("Shift+Tab", "p"), "Enter"),
    12: (("Tab", "Escape", "PageDown", "PageUp", "?", "Escape"), "Enter"),
    15: (("n", "n", "Delete", "m", "m", "z", "w"), "Enter"),
}


TOO_WIDE = """Array.from(document.querySelectorAll('body *'))
    .filter(e => !e.closest('.heard, .symbols, #stage, #lens') && e.checkVisibility())
    .filter(e => e.getBoundingClientRect().right > innerWidth + 0.5)
    .map(e => e.outerHTML.slice(0, 80))"""
TOO_SMALL = """Array.from(document.querySelectorAll('button, input, a'))
    .filter(e => e.checkVisibility())
    .filter(e => Math.min(e.offsetWidth, e.offsetHeight) < 24)
    .map(e => e.outerHTML.slice(0, 80))"""
PHONE = {"viewport": {"width": 360, "height": 640}, "has_touch": True, "is_mobile": True}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_everything_fits_has_a_name_and_can_be_read(
    review: Site, sit: Callable[..., Desk], width: int, scheme: str
) -> None:
    review.fill(12, {0: FACES}, whole=False)
    review.start()
    settings = PHONE if width == 360 else {}
    desk = sit(review.invite("Ada"), color_scheme=scheme, **settings)
    page = desk.page
    desk.press("Tab", "n", "0")  # a box is selected, words are shown

    def look() -> None:
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate(TOO_WIDE) == []
        assert page.evaluate(TOO_SMALL) == []
        assert nameless(desk) == []
        assert page.evaluate(PALE) == []

    look()
    desk.saved()
    page.evaluate("document.getElementById('saved').dataset.state = 'retrying'")
    page.evaluate("document.getElementById('saved').textContent = 'Not saved yet – retrying'")
    look()
    desk.shown()
    desk.press("g")
    expect(page.locator(".tile")).not_to_have_count(0)
    desk.press("Space")
    look()
    desk.press("Escape")
    desk.shown()
    desk.press("?")
    expect(page.locator("dialog")).to_be_visible()
    look()


# Text below the contrast that WCAG 2 asks for (4.5), each with its colours. Text of the picture
# (tags of boxes) has an outline of its own, and a button that can't be used is exempt.
PALE = """(() => {
    const parts = colour => {
        const [r, g, b, a = 1] = colour.match(/[\\d.]+/g).map(Number);
        return [r, g, b, a];
    };
    const light = ([r, g, b]) => [0.2126 * r, 0.7152 * g, 0.0722 * b].reduce((a, b) => a + b);
    const linear = ([r, g, b]) => [r, g, b].map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const ground = element => {
        for (let e = element; e; e = e.parentElement) {
            const colour = parts(getComputedStyle(e).backgroundColor);
            if (colour[3] === 1) return colour;
        }
        return [255, 255, 255, 1];
    };
    return Array.from(document.querySelectorAll('body *'))
        .filter(e => e.checkVisibility() && !e.closest('svg, .heard, [aria-disabled=true]'))
        .filter(e => Array.from(e.childNodes).some(n => n.nodeType === 3 && n.data.trim()))
        .map(e => {
            const [ink, paper] = [parts(getComputedStyle(e).color), ground(e)];
            const [one, other] = [ink, paper].map(c => light(linear(c)) + 0.05);
            const contrast = Math.max(one, other) / Math.min(one, other);
            return [contrast, e.outerHTML.slice(0, 80), ink.join(), paper.join()];
        })
        .filter(([contrast]) => contrast < 4.5);
})()"""


def nameless(desk: Desk) -> list[Any]:
    """Return what a screen reader could only call "button", by the browser's own account."""
    nodes = desk.devtools.send("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "checkbox", "listbox", "option", "progressbar", "dialog", "group", "image"}
    found = [node for node in nodes if node.get("role", {}).get("value") in roles]
    assert len(found) >= 3
    return [
        node["role"]["value"]
        for node in found
        if not node["ignored"] and not node.get("name", {}).get("value", "").strip()
    ]


def touch(desk: Desk, kind: str, *points: tuple[float, float]) -> None:
    places = [{"x": x, "y": y, "id": n} for n, (x, y) in enumerate(points)]
    desk.devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})


def swipe(desk: Desk, start: tuple[float, float], end: tuple[float, float]) -> None:
    touch(desk, "touchStart", start)
    touch(desk, "touchMove", ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2))
    touch(desk, "touchMove", end)
    touch(desk, "touchEnd")


def test_fingers_draw_move_resize_zoom_and_pan(review: Site, sit: Callable[..., Desk]) -> None:
    review.fill(1)
    review.start()
    desk = sit(review.invite("Ada"), **PHONE)
    swipe(desk, desk.at(300, 280), desk.at(420, 420))
    desk.has(2)
    swipe(desk, desk.at(360, 350), desk.at(400, 360))  # moved
    grip = desk.page.locator(".handle.se").bounding_box()
    assert grip is not None
    _, _, scale = desk.place()
    start = (grip["x"] + grip["width"], grip["y"] + grip["height"])  # a finger isn't exact
    swipe(desk, start, (start[0] + 20 * scale, start[1] + 10 * scale))
    x, y = desk.at(320, 240)
    touch(desk, "touchStart", (x - 30, y), (x + 30, y))
    touch(desk, "touchMove", (x - 60, y), (x + 60, y))
    touch(desk, "touchMove", (x - 80, y + 10), (x + 100, y + 10))
    touch(desk, "touchEnd")
    desk.has(2)  # two fingers draw nothing
    left, top, larger = desk.place()
    assert larger == pytest.approx(3 * scale, rel=0.01)
    assert desk.at(320, 240) != pytest.approx((x, y), abs=5)  # panned with them
    assert left < 0 < top + 480 * larger
    desk.page.get_by_role("button", name="Accept all and go on").tap()
    desk.saved()
    _, mark = only(review).marks
    assert near(mark.box, (340, 290, 480, 440), 3)


def test_the_gallery_confirms_what_is_not_doubtful(
    review: Site, sit: Callable[..., Desk]
) -> None:
    keys = review.fill(40, {9: FACES}, whole=False)
    review.start()
    desk = sit(review.invite("Ada"))
    desk.press("g")
    tiles = desk.page.locator(".tile")
    expect(tiles.first).to_be_focused()
    shown = tiles.count()
    assert shown >= 30
    for n in range(shown):  # an unseen face is never confirmed
        expect(tiles.nth(n).locator("img")).to_have_js_property("complete", True)
    desk.press("ArrowRight", "ArrowDown", "Space")
    expect(desk.page.locator("[aria-pressed=true].tile")).to_have_count(1)
    expect(desk.page.locator("#doubts")).to_have_text("1 doubtful")
    desk.press("Enter")
    desk.shown()
    desk.saved()
    given = review.given()
    # two faces of one picture may be on the page; the rest of the queue stays as it was
    assert shown - 2 <= len(given) <= shown - 1
    assert {g.answer.verdict for g in given.values()} == {"accept"}
    assert {g.answer.scope for g in given.values()} == {"crops"}
    desk.press("n")  # the doubtful one is in the editor
    desk.answer()
    desk.saved()
    (new,) = [g for key, g in review.given().items() if key not in given]
    assert len(new.answer.marks) >= 2
    while desk.more():
        desk.answer()
    desk.saved()
    assert sorted(review.given()) == keys


def test_leaving_the_gallery_gives_the_faces_back(review: Site, sit: Callable[..., Desk]) -> None:
    keys = review.fill(12, whole=False)
    review.start()
    desk = sit(review.invite("Ada"))
    desk.press("g")
    expect(desk.page.locator(".tile")).not_to_have_count(0)
    desk.press("Escape")
    while desk.more():
        desk.answer()
    desk.saved()
    assert sorted(review.given()) == keys


def test_the_magnifier_comes_for_a_tiny_box_with_the_original_pixels(
    review: Site, sit: Callable[..., Desk]
) -> None:
    review.fill(1, {0: [(2000.0, 900.0, 2016.0, 920.0)]}, size=(2400, 1600))
    review.start()
    desk = sit(review.invite("Ada"))
    lens = desk.page.locator("#lens")
    expect(lens).to_be_hidden()
    with desk.page.expect_response(lambda response: "?crop=" in response.url) as answered:
        desk.press("Tab")
    assert answered.value.status == 200
    expect(lens).to_be_visible()
    expect(lens.locator("image").nth(1)).to_have_attribute("href", re.compile("^blob:"))
    desk.press("z")  # close up, it isn't tiny any more
    expect(lens).to_be_hidden()
    desk.press("m", "Home", "Escape")
    expect(lens).to_be_visible()
    desk.press("m")
    expect(lens).to_be_hidden()
    assert ("crop",) in set(review.database.read("SELECT what FROM review_views"))


def test_boxes_are_hidden_while_h_is_held(review: Site, sit: Callable[..., Desk]) -> None:
    review.fill(1)
    review.start()
    desk = sit(review.invite("Ada"))
    boxes = desk.page.locator("#boxes .light")
    expect(boxes).to_be_visible()
    desk.page.keyboard.down("h")
    expect(boxes).to_be_hidden()
    desk.page.keyboard.up("h")
    expect(boxes).to_be_visible()
    box = boxes.evaluate("r => [getComputedStyle(r).fill, getComputedStyle(r).strokeWidth]")
    assert box == ["none", "1.5px"]  # it doesn't hide the face


def test_wheel_zooms_where_the_pointer_is_and_space_pans(
    review: Site, sit: Callable[..., Desk]
) -> None:
    review.fill(1)
    review.start()
    desk = sit(review.invite("Ada"))
    before = desk.place()
    x, y = desk.at(200, 150)
    desk.page.mouse.move(x, y)
    desk.page.mouse.wheel(0, -300)
    expect(desk.page.locator("#photo")).not_to_have_attribute("width", str(before[2] * 640))
    assert desk.place()[2] > before[2] * 1.3
    assert desk.at(200, 150) == pytest.approx((x, y), abs=0.5)
    desk.page.keyboard.down(" ")
    desk.drag((x, y), (x + 40, y + 30))
    desk.page.keyboard.up(" ")
    assert desk.at(200, 150) == pytest.approx((x + 40, y + 30), abs=0.5)
    desk.has(1)  # nothing was drawn
    desk.press("w")
    assert desk.place() == pytest.approx(before)


def test_an_adjudicator_takes_others_boxes_by_key(review: Site, sit: Callable[..., Desk]) -> None:
    review.fill(1)
    review.start()
    others = [
        [{"id": "n0", "box": [50, 60, 150, 160], "kind": "face", "proposal": "", "score": None}],
        [
            {"id": "p0", "box": [110, 70, 210, 200], "kind": "face", "proposal": "p0", "score": 1},
            {"id": "n1", "box": [400, 300, 440, 340], "kind": "private", "proposal": "", "score": None},
        ],
    ]  # fmt: skip
    desk = sit(review.invite("Ada", "adjudicator"))

    def disputed(route: Any) -> None:
        response = route.fetch()
        body = response.json()
        for lease in body["leases"]:
            lease |= {"adjudication": True, "others": others}
        route.fulfill(response=response, json=body)

    desk.page.route("**/api/next", disputed)
    desk.page.reload()
    desk.shown()
    desk.has(4)
    dashes = [
        desk.page.locator(f".person{n} .light").first.evaluate(
            "r => getComputedStyle(r).strokeDasharray"
        )
        for n in (1, 2)
    ]
    assert "none" not in dashes
    assert len(set(dashes)) == 2
    desk.press("2")
    desk.has(5)
    desk.press("Shift+Tab", "Shift+Tab", "Shift+Tab", "a")  # the first of the dashed ones
    desk.has(6)
    desk.answer()
    desk.saved()
    marks = only(review).marks
    assert [mark.box for mark in marks] == [
        (110, 70, 210, 200),
        (400, 300, 440, 340),
        (50, 60, 150, 160),
    ]
    assert [mark.proposal for mark in marks] == ["p0", "", ""]
    assert marks[1].kind == "private"


def test_geometry_never_leaves_the_picture(review: Site, sit: Callable[..., Desk]) -> None:
    review.fill(1)
    review.start()
    desk = sit(review.invite("Ada"))
    assert desk.page.evaluate(GEOMETRY) == []


# 4,000 random boxes and pushes: inside, not inverted, sizes kept by a move, sides kept by a handle.
GEOMETRY = """(async () => {
    const boxes = await import('/static/boxes.js');
    let state = 7;
    const random = (low, high) => {
        state = (state * 1103515245 + 12345) % 2147483648;
        return low + (high - low) * state / 2147483648;
    };
    const wrong = [];
    const size = [300, 200];
    const inside = b => b[0] >= 0 && b[1] >= 0 && b[2] <= 300 && b[3] <= 200
        && b[2] - b[0] >= boxes.LEAST - 0.011 && b[3] - b[1] >= boxes.LEAST - 0.011;
    for (let n = 0; n < 4000; n++) {
        const at = () => [random(-100, 400), random(-100, 300)];
        const box = boxes.spanned(at(), at(), size);
        const by = [random(-400, 400), random(-400, 400)];
        const handle = boxes.HANDLES[n % 8];
        const moved = boxes.moved(box, by, size);
        const resized = boxes.resized(box, handle, by, size);
        const kept = 'wnes'.split('').every((side, k) => handle.includes(side) || box[k] === resized[k]);
        const length = (b, k) => b[k + 2] - b[k];
        const whole = [0, 1].every(k => Math.abs(length(box, k) - length(moved, k)) < 0.011);
        if (![box, moved, resized].every(inside) || !kept || !whole) wrong.push([box, by, handle]);
    }
    return wrong;
})()"""
