"""The two doors: where images come from, and where the release goes. Only here are there folders.

`open_source` and `open_sink` say by the address what it is.
"""

from __future__ import annotations

import os
from pathlib import Path

from sfumato.sources.doors import Listing, Note, Sink, Source
from sfumato.sources.folder_sink import FolderSink
from sfumato.sources.imagefolder import ImageFolder

__all__ = ["Listing", "Note", "Sink", "Source", "open_sink", "open_source"]


def open_source(url: str | os.PathLike[str]) -> Source:
    """Return the source at an address: a folder of this machine, by its path."""
    return ImageFolder(_absolute(url))


def open_sink(url: str | os.PathLike[str], *, like: Source, link: str = "auto") -> Sink:
    """Return the sink at an address, for a release of `like` in its layout; see `FolderSink`."""
    return FolderSink(_absolute(url), like=like, link=link)


def _absolute(url: str | os.PathLike[str]) -> Path:
    """Return a path without "." and "..", so that its name is the folder's name; links stay."""
    return Path(os.path.abspath(url))
