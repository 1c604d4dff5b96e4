"""A local stand-in for Rekognition: speaks its protocol over HTTP on 127.0.0.1, sees bright spots.

It decodes the JPEG that it is sent, and answers with a face for each block of 16 x 16 pixels of
an 8 x 8 grid that is bright, so that answers depend on the image alone.
"""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image

Answer = tuple[int, dict[str, Any]]


def face(
    left: float, top: float, width: float, height: float, confidence: float = 99.0
) -> dict[str, Any]:
    box = {"Left": left, "Top": top, "Width": width, "Height": height}
    return {"BoundingBox": box, "Confidence": confidence}


def trouble(code: str, status: int = 400) -> Answer:
    return status, {"__type": code, "message": f"{code} it is"}


def looked_at(data: bytes) -> Answer:
    """Return a face for each bright cell of an 8 x 8 grid, the 100 largest at most."""
    with Image.open(io.BytesIO(data)) as image:
        grid = np.asarray(image.convert("L").resize((8, 8), Image.Resampling.BOX))
    found = [
        # Three quarters of a cell beyond each border: some reach out of the image.
        face((x - 0.25) / 8, (y - 0.25) / 8, 1.5 / 8, 1.5 / 8, float(grid[y, x]) / 2.56)
        for y, x in zip(*np.nonzero(grid > 150), strict=True)
    ]
    return 200, {"FaceDetails": found[:100]}


@dataclass
class Service:
    """What the stand-in was asked, and what it shall answer before it looks for itself."""

    url: str = ""
    images: list[bytes] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    script: list[Answer] = field(default_factory=list)

    def answer(self, target: str, body: bytes) -> Answer:
        data = base64.b64decode(json.loads(body)["Image"]["Bytes"])
        self.targets.append(target)
        self.images.append(data)
        return self.script.pop(0) if self.script else looked_at(data)

    def sizes(self) -> list[tuple[int, int]]:
        return [Image.open(io.BytesIO(data)).size for data in self.images]


@contextmanager
def serving() -> Iterator[Service]:
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, answer = service.answer(self.headers["X-Amz-Target"], body)
            sent = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
