"""The review page by touch, wheel, gallery and magnifier; on a telephone, in light and dark."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

from sfumato.review import joining, people
from tests.e2e.review_desk import PHONE, Desk, near, only
from tests.e2e.review_site import FACES, Site

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

TOO_WIDE = """Array.from(document.querySelectorAll('body *'))
    .filter(e => !e.closest('.heard, .symbols, #stage, #lens') && e.checkVisibility())
    .filter(e => e.getBoundingClientRect().right > innerWidth + 0.5)
    .map(e => e.outerHTML.slice(0, 80))"""
TOO_SMALL = """Array.from(document.querySelectorAll('button, input, a'))
    .filter(e => e.checkVisibility())
    .filter(e => Math.min(e.offsetWidth, e.offsetHeight) < 24)
    .map(e => e.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize(
    ("width", "height", "scheme"),
    [(360, 640, "light"), (360, 640, "dark"), (740, 360, "light"), (1280, 800, "dark")],
)
def test_everything_fits_has_a_name_and_can_be_read(
    review: Site, sit: Callable[..., Desk], width: int, height: int, scheme: str
) -> None:
    review.fill(12, {0: FACES}, whole=False)
    review.start()
    settings = (PHONE if width < 1000 else {}) | {"viewport": {"width": width, "height": height}}
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


# Text below the contrast that WCAG 2 asks for (4.5), each with its colours. Text of the image
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
    # No tap: on a busy machine Chromium may take it for a long press.
    desk.page.get_by_role("button", name="Accept all and go on").click()
    expect(desk.page.locator("#counts")).to_contain_text("1 done")
    desk.saved()
    _, mark = only(review).marks
    assert near(mark.box, (340, 290, 480, 440), 3)


def test_the_gallery_confirms_what_is_not_doubtful(review: Site, sit: Callable[..., Desk]) -> None:
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
    # two faces of one image may be on the page; the rest of the queue stays as it was
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
    desk.shown()
    expect(desk.stage).to_be_focused()
    desk.page.get_by_role("button", name="Help").click()
    desk.press("Escape")
    expect(desk.stage).to_be_focused()
    while desk.more():
        desk.answer()
    desk.saved()
    assert sorted(review.given()) == keys


def test_where_only_crops_are_shown_the_answer_says_so(
    review: Site, sit: Callable[..., Desk]
) -> None:
    review.fill(1, whole=False)
    review.redact = True
    review.start()
    desk = sit(review.invite("Ada"))
    desk.press("n")
    desk.answer()
    desk.saved()
    answer = only(review)
    assert answer.scope == "crops"
    assert len(answer.marks) == 2


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


def test_tab_goes_round_the_boxes_and_escape_leads_out(
    review: Site, sit: Callable[..., Desk]
) -> None:
    review.fill(1, {0: FACES})
    review.start()
    desk = sit(review.invite("Ada"))
    focused = desk.page.locator(":focus")
    for key, name in (("Tab", "1 of 2"), ("Tab", "2 of 2"), ("Tab", "1 of 2"), ("Shift+Tab", "2")):
        desk.press(key)
        expect(focused).to_have_attribute("aria-label", re.compile(f"^Box {name}"))
        expect(focused).to_have_attribute("aria-selected", "true")
    desk.press("Escape", "Tab")
    expect(focused).to_have_attribute("aria-label", "New box")
    desk.press("Shift+Tab")
    expect(desk.stage).to_be_focused()
    desk.press("Tab")
    expect(focused).to_have_attribute("aria-label", re.compile("^Box 1 of 2"))
    desk.press("k")  # what changes is said; what has the focus is read by itself
    expect(desk.page.locator("#live")).to_contain_text("Now private")


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

    def mark(name: str, *box: int, kind: str = "face", proposal: str = "") -> dict[str, Any]:
        return {"id": name, "box": box, "kind": kind, "proposal": proposal, "score": None}

    others = [
        [mark("n0", 50, 60, 150, 160)],
        [
            mark("p0", 110, 70, 210, 200, proposal="p0"),
            mark("n1", 400, 300, 440, 340, kind="private"),
        ],
    ]
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


def test_the_code_for_an_outside_service_shows_when_it_is_earned_and_stays(
    review: Site, sit: Callable[..., Desk]
) -> None:
    review.fill(4)
    review.start()
    link = review.invite("Ada")
    person = people.find(review.database, "Ada")
    assert person is not None
    joining.promise(review.database, person, "C0DE-42", 2)
    desk = sit(link)
    code = desk.page.locator("#code")
    expect(code).to_be_hidden()
    desk.answer()
    desk.saved()
    expect(code).to_be_hidden()
    desk.answer()
    expect(code).to_contain_text("C0DE-42")
    desk.page.reload()
    desk.shown()
    expect(code).to_contain_text("C0DE-42")


def test_geometry_never_leaves_the_image(review: Site, sit: Callable[..., Desk]) -> None:
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
        const kept = 'wnes'.split('').every((side, k) =>
            handle.includes(side) || box[k] === resized[k]);
        const length = (b, k) => b[k + 2] - b[k];
        const whole = [0, 1].every(k => Math.abs(length(box, k) - length(moved, k)) < 0.011);
        if (![box, moved, resized].every(inside) || !kept || !whole) wrong.push([box, by, handle]);
    }
    return wrong;
})()"""
