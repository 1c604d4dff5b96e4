"""A review server as a process of its own: `python -m tests.web_process FOLDER PORT`.

Prints what the server says, then its address. FOLDER holds the ledger, the source and the page.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sfumato.review import store
from sfumato.review.queue import Queue
from sfumato.web.application import build as application
from sfumato.web.limits import Limits
from sfumato.web.serving import Place, serve


def main(folder: Path, port: int) -> None:
    place = Place(port=port)
    database = store.open(folder / "ledger.sqlite")
    limits = Limits(hosts=place.hosts, person=(1e4, 10_000))
    app = application(
        database, Queue(database), folder / "src", limits=limits, page=folder / "page"
    )
    serve(
        app,
        place,
        say=_say,
        ready=_say,
    )
    database.close()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
