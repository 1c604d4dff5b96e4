"""Make the images of docs/review-page.md: the review page, as Chromium shows it.

    python scripts/review_images.py

Queues the photographs of two people that come with the demo (public domain), serves them on this
machine, and writes docs/images/review-1280.png (light) and docs/images/review-360.png (dark, a
telephone's size). Needs the extras `review` and `dev`, and Debian's chromium.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from sfumato.assets import demo_images
from sfumato.ledger.database import Database
from sfumato.review import people, store
from sfumato.review.queue import Queue
from sfumato.review.vocabulary import Item, Mark
from sfumato.web.application import build
from sfumato.web.serving import Place, serve

IMAGES: Final = Path(__file__).resolve().parents[1] / "docs" / "images"
# The faces as a detector may propose them.
PROPOSED: Final = {
    "people/astronaut.png": (178.0, 66.0, 270.0, 196.0),
    "people/grace_hopper.jpg": (176.0, 120.0, 356.0, 338.0),
}
COPIES: Final = 12  # of each, so that the progress line has something to show
PLATE: Final = ((74, 480), (172, 522))  # the name plate of the second: private, not a face
COLOURS: Final = 96  # of an image in the documents: it has to be small
PATIENCE_S: Final = 60


def copied(source: Path) -> Iterator[Item]:
    """Copy the photographs in turns, and yield them as items."""
    names = [name for _ in range(COPIES) for name in PROPOSED]
    for rank, name in enumerate(names):
        path = source / f"{rank:02d}{Path(name).suffix}"
        shutil.copy(demo_images.root() / name, path)
        with Image.open(path) as image:
            width, height = image.size
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        mark = Mark(PROPOSED[name], proposal="p0", score=0.9)
        yield Item(path.name, digest, width, height, "people", (mark,), rank, "risk", 1)


@contextmanager
def served(database: Database, source: Path) -> Iterator[str]:
    """Serve from a thread, and yield the address."""
    found: list[str] = []
    ready = threading.Event()

    def note(where: str) -> None:
        found.append(where)
        ready.set()

    queue = Queue(database)
    queue.fill(copied(source))
    application = build(database, queue, source)
    work = threading.Thread(
        target=lambda: serve(application, Place(port=0), say=lambda _: None, ready=note),
        daemon=True,  # it ends with this program
    )
    work.start()
    if not ready.wait(PATIENCE_S):
        raise SystemExit("the server didn't start")
    yield found[0]


def drawn(page: Page) -> None:
    """Draw a box over the name plate, by mouse, and say that it is private."""
    shown = page.locator("#photo").evaluate(
        "i => [i.getBoundingClientRect().x, i.getBoundingClientRect().y, i.width.baseVal.value]"
    )
    left, top, scale = shown[0], shown[1], shown[2] / 512
    for act, (x, y) in zip((page.mouse.down, page.mouse.up), PLATE, strict=True):
        page.mouse.move(left + x * scale, top + y * scale)
        act()
    page.keyboard.press("p")
    page.keyboard.press("Tab")


def shot(browser: Browser, link: str, out: Path, answers: int, **settings: Any) -> None:
    """Open the page, answer some images, draw, and write what is seen."""
    context = browser.new_context(**settings)
    page = context.new_page()
    page.goto(link)
    for done in range(answers):
        page.locator("#stage[data-shown]").wait_for()
        page.locator("#counts", has_text=f"{done} done").wait_for()
        page.keyboard.press("Enter")
    page.locator("#stage[data-shown]").wait_for()
    drawn(page) if answers % 2 else page.keyboard.press("Tab")
    page.locator(".mark.selected").wait_for()
    page.locator("#saved[data-state=saved]").wait_for()
    raw = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    context.close()
    small = raw.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    small.save(out, optimize=True)


def main() -> None:
    """Write the images."""
    program = shutil.which("chromium")
    if program is None:
        sys.exit("no chromium here: install the Debian package chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for width, height, scheme, answers in ((1280, 720, "light", 5), (360, 640, "dark", 8)):
            source = Path(folder) / str(width)
            source.mkdir()
            database = store.open(Path(folder) / f"{width}.sqlite")
            with served(database, source) as address:
                link = f"{address}/r/{people.invite(database, 'Ada', 'reviewer')}"
                phone = width < 600
                shot(
                    browser,
                    link,
                    IMAGES / f"review-{width}.png",
                    answers,
                    viewport={"width": width, "height": height},
                    color_scheme=scheme,
                    has_touch=phone,
                    is_mobile=phone,
                )
        browser.close()


if __name__ == "__main__":
    main()
