"""PASCAL VOC's annotations: an XML file for each image, lists of names for each part of a set.

Everingham et al. 2010, The PASCAL Visual Object Classes Challenge. Pixels are counted from 1 and
boxes hold their last row and column: `xmin` to `xmax` is x0 = xmin - 1 to x1 = xmax here. An
object that is `difficult` counts neither way, and so is a crowd. Boxes of an object's parts
(heads, hands) are passed over.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sfumato.annotations.entries import Drawn, Sheet, Xml, image_name, read_text, shown, wrong
from sfumato.errors import UsageError

_DEEPEST: Final = 32  # elements in one another; the layout has 4
_SIDES: Final = ("xmin", "ymin", "xmax", "ymax")


def sheets(names: Path) -> Iterator[Sheet]:
    """Yield one sheet for each different name of a list such as `VOC2007/ImageSets/Main/test.txt`.

    A line's first word is the name of an image, whose annotation lies in `Annotations` beside
    `ImageSets`.

    Raises:
        UsageError: a file is missing, can't be read, or isn't of this layout.
    """
    folder = names.parent.parent.parent / "Annotations"
    if not os.path.isdir(folder):
        raise UsageError(
            f"{names}: there is no folder {folder} with the annotations of the images it lists: "
            "name a list of VOC's ImageSets/Main."
        )
    lines = read_text(names).splitlines()
    for name in dict.fromkeys(line.split()[0] for line in lines if line.strip()):
        yield read(folder / f"{name}.xml")


def read(path: Path) -> Sheet:
    """Return what an annotation says of its image.

    Raises:
        UsageError: the file can't be read or isn't of this layout.
    """
    reader = _Reader(path)
    for _ in reader.parse():
        pass
    return reader.sheet()


class _Reader(Xml):
    """Collects the objects of an image from the events of the parser."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.parser.CharacterDataHandler = self._hear
        self._open: list[str] = []
        self._text = ""
        self._image: dict[str, str] = {}
        self._object: dict[str, str] = {}
        self._drawn: list[Drawn] = []

    def sheet(self) -> Sheet:
        """Return what was read."""
        name = image_name(self._image.get("filename"), self.path, "filename")
        try:
            size = (int(self._image["size/width"]), int(self._image["size/height"]))
        except (KeyError, ValueError):
            size = (0, 0)
        # Some tools write 0 for what they don't know.
        return Sheet(name, "", tuple(self._drawn), size if min(size) > 0 else None)

    def _start(self, tag: str, _: object) -> None:
        if not self._open and tag != "annotation":
            raise wrong(self.path, "start", f"<annotation>, got <{shown(tag)}>")
        self._open.append(tag)
        if len(self._open) > _DEEPEST:
            raise self.wrong("annotations that nest less deeply")
        self._text = ""

    def _hear(self, text: str) -> None:
        self._text += text

    def _end(self, _: str) -> None:
        _, *inside = self._open
        at = "/".join(inside)
        if at == "object":
            self._drawn.append(self._made())
            self._object = {}
        elif inside[:1] == ["object"]:
            self._object[at.removeprefix("object/")] = self._text.strip()
        else:
            self._image[at] = self._text.strip()
        self._open.pop()
        self._text = ""

    def _made(self) -> Drawn:
        name = self._object.get("name", "")
        if not name:
            raise self.wrong("an object with a name")
        x0, y0, x1, y1 = (self._number(f"bndbox/{side}") for side in _SIDES)
        difficult = self._object.get("difficult", "0") not in ("", "0")
        return Drawn((x0 - 1, y0 - 1, x1, y1), name, crowd=difficult)

    def _number(self, field: str) -> float:
        text = self._object.get(field, "")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.wrong(f"a number as {field}, got {shown(text)}")
        return value
