"""What an image is called in the release: as in the source, but for HEIC, released as JPEG."""

from __future__ import annotations

import os
from collections.abc import Set
from pathlib import PurePosixPath
from typing import Final

from sfumato.errors import Code, SampleError
from sfumato.imaging import codec
from sfumato.imaging.codec.heif import INSTALL
from sfumato.sources.disk import LONGEST_NAME
from sfumato.sources.doors import Source

# What the release itself puts at its top.
RESERVED: Final = frozenset({"manifest.parquet", "faces.parquet", "summary.json", "report.html"})
_HEIC: Final = frozenset(("heic", "heif", "hif"))  # read with the extra `heif`
_JPEG: Final = frozenset(("jpg", "jpeg", "jpe", "jfif"))


def released_name(key: str) -> str:
    """Return the key of an image in the release: its own, or with ".jpg" behind that of a HEIC."""
    return f"{key}.jpg" if _suffix(key) in _HEIC else key


def is_reserved(name: str) -> bool:
    """Say whether a file would lie where the release puts one of its own, or in its place."""
    return name.partition("/")[0] in RESERVED


def check_readable(key: str, foreign: Set[str]) -> None:
    """Refuse a file whose name says that it is of a kind that can't be read.

    Raises:
        SampleError: IMAGE_UNSUPPORTED, with the command that helps, if there is one.
    """
    suffix = _suffix(key)
    if suffix in _HEIC and not codec.reads_heic():
        raise SampleError(Code.IMAGE_UNSUPPORTED, f"files named .{suffix} need: {INSTALL}")
    if suffix in foreign - _HEIC:
        raise SampleError(Code.IMAGE_UNSUPPORTED, f"files named .{suffix} can't be read yet")


def check_named(key: str, data: bytes) -> None:
    """Refuse a name under which the release would hold a file of another kind.

    What becomes of a file is told by its bytes, but what it is called in the release by its name.

    Raises:
        SampleError: IMAGE_UNSUPPORTED.
    """
    suffix = _suffix(key)
    if suffix in _HEIC and codec.sniff(data[: codec.HEAD]) not in (None, "JPEG"):
        raise SampleError(Code.IMAGE_UNSUPPORTED, f"named .{suffix}, but it is none: rename it")
    if suffix not in _HEIC | _JPEG and codec.is_heic(data):
        raise SampleError(Code.IMAGE_UNSUPPORTED, f"a HEIC named .{suffix}: name it .heic")


def check_free(key: str, source: Source) -> None:
    """Refuse an image whose name in the release belongs to another file, or is no name in it.

    Raises:
        SampleError: NAME_TAKEN, or LINK_BROKEN of a key that isn't a plain path below the top.
    """
    name, path = released_name(key), PurePosixPath(key)
    if key != str(path) or key == "." or path.is_absolute() or ".." in path.parts or "\0" in key:
        raise SampleError(Code.LINK_BROKEN, "a key that leads out of the release")
    if is_reserved(name):
        words = f"the release has a file of its own named {path.parts[0]}: rename that"
        raise SampleError(Code.NAME_TAKEN, words)
    if name == key:
        return
    last = name.rpartition("/")[2]
    if source.holds(name):
        words = f"it would be released as {last}, which the source has too: rename one of them"
        raise SampleError(Code.NAME_TAKEN, words)
    if len(os.fsencode(last)) > LONGEST_NAME:
        raise SampleError(Code.NAME_TAKEN, "its name has no room for .jpg: shorten it")


def _suffix(key: str) -> str:
    _, dot, suffix = key.rpartition(".")
    return suffix.lower() if dot else ""
