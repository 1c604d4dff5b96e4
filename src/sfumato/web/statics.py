"""The files of the page: read once, served from memory by a fixed list of names.

No path is ever put together from a request, so there is none to leave the folder by.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from sfumato.errors import UsageError
from sfumato.web.refusals import known

FOLDER: Final = Path(__file__).parent / "static"
_KINDS: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
INDEX: Final = "index.html"


@dataclass(frozen=True, slots=True)
class File:
    """One file, its media type, and its strong ETag (a part of its SHA-256)."""

    data: bytes
    kind: str
    tag: str


class Statics:
    """The files of a folder that a browser may have: HTML, CSS, JavaScript modules and SVG.

    Raises:
        UsageError: the folder has no index.html.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files: dict[str, File] = {}
        for path in sorted(folder.glob("*")):
            kind = _KINDS.get(path.suffix)
            if kind is not None and path.is_file():
                data = path.read_bytes()
                tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
                self._files[path.name] = File(data, kind, tag)
        if INDEX not in self._files:
            raise UsageError("The review page isn't part of this installation: install it again.")

    @property
    def names(self) -> frozenset[str]:
        """All that can be asked for."""
        return frozenset(self._files)

    def serve(self, request: Request, name: str) -> Response:
        """Return a file, or 304 if the browser has it as it is.

        Raises:
            Refusal: 404 for a name that isn't in the list.
        """
        file = self._files.get(name)
        if file is None:
            raise known("NOT_FOUND")
        headers = {"ETag": file.tag, "Cache-Control": "no-cache", "Content-Type": file.kind}
        asked = request.headers.get("if-none-match", "")
        if file.tag in (part.strip().removeprefix("W/") for part in asked.split(",")):
            return Response(status_code=304, headers=headers)
        return Response(file.data, headers=headers)
