"""Make the pictures of docs/review-page.md: the review page, as Chromium shows it.

    python scripts/review_pictures.py

Queues the photographs of two people that come with the demo (public domain), serves them on this
machine, and writes docs/images/review-1280.png (light) and docs/images/review-360.png (dark, a
telephone's size). Needs the extras `review` and `dev`, and Debian's chromium.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from sfumato import demo_pictures
from sfumato.database import Database
from sfumato.review import people, store
from sfumato.review.queue import Queue
from sfumato.review.records import Item, Mark
from sfumato.web.application import build
from sfumato.web.serving import Place, serve

IMAGES: Final = Path(__file__).resolve().parents[1] / "docs" / "images"
# The faces as a detector may propose them: one well, one shifted, so that there is work.
PROPOSED: Final = {
    "people/astronaut.png": (178.0, 66.0, 270.0, 196.0),
    "people/grace_hopper.jpg": (205.0, 70.0, 345.0, 270.0),
}
COLOURS: Final = 64  # of a picture in the documents: it has to be small
PATIENCE_S: Final = 60


def queue(database: Database, source: Path) -> Queue:
    """Queue the photographs, as often as makes a progress line."""
    made = Queue(database)
    items = []
    for rank, (key, box) in enumerate(PROPOSED.items()):
        with Image.open(source / key) as picture:
            width, height = picture.size
        digest = hashlib.sha256((source / key).read_bytes()).hexdigest()
        mark = Mark(box, proposal="p0", score=0.9)
        items.append(Item(key, digest, width, height, "people", (mark,), rank, "risk", 1))
    made.fill(items)
    return made


@contextmanager
def served(database: Database, source: Path) -> Iterator[str]:
    """Serve from a thread, and yield the address."""
    found: list[str] = []
    ready = threading.Event()

    def note(where: str) -> None:
        found.append(where)
        ready.set()

    application = build(database, queue(database, source), source)
    work = threading.Thread(
        target=lambda: serve(application, Place(port=0), say=lambda _: None, ready=note),
        daemon=True,  # it ends with this program
    )
    work.start()
    if not ready.wait(PATIENCE_S):
        raise SystemExit("the server didn't start")
    yield found[0]


def shot(browser: Browser, link: str, out: Path, **settings: object) -> None:
    """Open the page, draw a box for the insignia, and write what is seen."""
    context = browser.new_context(**settings)  # type: ignore[arg-type] # options by name
    page = context.new_page()
    page.goto(link)
    page.locator("#stage[data-shown]").wait_for()
    page.keyboard.press("Tab")
    page.locator(".mark.selected").wait_for()
    page.locator("#saved[data-state=saved]").wait_for()
    raw = out.with_suffix(".raw.png")
    page.screenshot(path=raw)
    context.close()
    with Image.open(raw) as picture:
        small = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(out, optimize=True)
    raw.unlink()


def main() -> None:
    """Write the pictures."""
    program = shutil.which("chromium")
    if program is None:
        sys.exit("no chromium here: install the Debian package chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        source = Path(folder) / "source"
        for key in PROPOSED:
            (source / key).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(demo_pictures.root() / key, source / key)
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for name, size, scheme in (("1280", (1280, 720), "light"), ("360", (360, 640), "dark")):
            database = store.open(Path(folder) / f"{name}.sqlite")
            with served(database, source) as address:
                link = f"{address}/r/{people.invite(database, 'Ada', 'reviewer')}"
                view = {"width": size[0], "height": size[1]}
                phone = name == "360"
                shot(
                    browser,
                    link,
                    IMAGES / f"review-{name}.png",
                    viewport=view,
                    color_scheme=scheme,
                    has_touch=phone,
                    is_mobile=phone,
                )
        browser.close()


if __name__ == "__main__":
    main()
