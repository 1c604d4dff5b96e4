"""A review with generated images, served by the real server in a process that can be killed."""

from __future__ import annotations

import hashlib
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from sfumato.ledger.database import Database
from sfumato.review import people, store
from sfumato.review.queue import Queue, Rules
from sfumato.review.vocabulary import Given, Item, Mark, Role
from sfumato.types import Box

SECONDS = 60.0
FACES = ((120.0, 80.0, 200.0, 190.0), (360.5, 140.25, 430.75, 230.5))


def image(path: Path, size: tuple[int, int], faces: Sequence[Box], seed: int) -> None:
    """Draw smooth noise with a light ellipse and two eyes in each box."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 160, (size[1] // 40 + 2, size[0] // 40 + 2, 3), dtype=np.uint8)
    drawn = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(drawn)
    for x0, y0, x1, y1 in faces:
        draw.ellipse((x0, y0, x1, y1), fill=(224, 180, 150))
        across, down = (x1 - x0) / 10, (y1 - y0) / 10
        for eye in (3, 7):
            draw.ellipse(
                (
                    *(x0 + (eye - 1) * across, y0 + 3.5 * down),
                    *(x0 + (eye + 1) * across, y0 + 4.5 * down),
                ),
                fill=(30, 30, 40),
            )
    drawn.save(path)


class Site:
    """The folder of a review: images, ledger, and the server on a port of its own."""

    def __init__(self, folder: Path) -> None:
        self.redact = False
        self.images = folder / "images"
        self.images.mkdir()
        self.ledger = folder / "ledger.sqlite"
        self.database: Database = store.open(self.ledger)
        self.queue = Queue(self.database)
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self._server: subprocess.Popen[bytes] | None = None

    def fill(
        self,
        count: int,
        proposals: Mapping[int, Sequence[Box]] | None = None,
        *,
        size: tuple[int, int] = (640, 480),
        whole: bool = True,
    ) -> list[str]:
        """Queue generated images, in their order; return their keys. Else each has FACES[:1]."""
        items = []
        for number in range(count):
            boxes = (proposals or {}).get(number, FACES[:1])
            path = self.images / f"image-{number:02d}.png"
            image(path, size, boxes, number)
            marks = tuple(
                Mark(box, proposal=f"p{k}", score=0.75, origin="a detector")
                for k, box in enumerate(boxes)
            )
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            items.append(
                Item(path.name, digest, *size, "thing", marks, number, "risk", 1, whole=whole)
            )
        assert self.queue.fill(items) == count
        return [item.key for item in items]

    def invite(self, name: str, role: Role = "reviewer") -> str:
        """Return the address of a person's secret link."""
        return f"{self.address}/r/{people.invite(self.database, name, role)}"

    def given(self) -> dict[str, Given]:
        """Return the answers by key; each image was answered by one person at most."""
        found = list(self.queue.given())
        assert len({given.key for given in found}) == len(found)
        return {given.key: given for given in found}

    def drafts(self) -> dict[str, tuple[int, list[Box]]]:
        """Return version and boxes of the drafts that the server holds, by key."""
        rows = self.database.read(
            "SELECT i.key, a.version, a.draft FROM review_assignments AS a "
            "JOIN review_items AS i ON i.id = a.item WHERE a.draft IS NOT NULL"
        )
        return {
            key: (version, [mark.box for mark in store.marks_from(draft)])
            for key, version, draft in rows
        }

    def lapse(self) -> None:
        """Let the time of all leases run out."""
        with self.database.transaction() as db:
            db.execute("UPDATE review_assignments SET expires = 1 WHERE state = ?", (store.LENT,))

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self._server = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.e2e.review_site"),
                *(str(self.ledger), str(self.images), str(self.port), str(self.redact)),
            ],
            cwd=Path(__file__).resolve().parents[2],
            stdout=subprocess.PIPE,
        )
        assert self._server.stdout is not None
        ready, _, _ = select.select([self._server.stdout], [], [], SECONDS)
        assert ready, "the server doesn't listen"
        assert self._server.stdout.readline().startswith(b"http"), "the server ended"

    def kill(self) -> None:
        """End the server as a power cut does."""
        if self._server is not None:
            self._server.send_signal(signal.SIGKILL)
            self._server.wait()
            assert self._server.stdout is not None
            self._server.stdout.close()
            self._server = None


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    """Yield a review; its server is gone afterwards."""
    made = Site(folder)
    try:
        yield made
    finally:
        made.kill()
        made.database.close()


def main(ledger: str, images: str, port: str, redact: str) -> None:
    """Serve until killed."""
    from sfumato.web.application import build
    from sfumato.web.serving import Place, serve

    database = store.open(Path(ledger))
    queue = Queue(database, settings=Rules(redact=redact == "True"))
    application = build(database, queue, Path(images))
    place = Place(port=int(port))
    serve(application, place, say=lambda _: None, ready=_told)


def _told(address: str) -> None:
    sys.stdout.write(f"{address}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:5])
