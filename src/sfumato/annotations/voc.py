"""PASCAL VOC's annotations: an XML file for each image, lists of names for each part of a set.

Everingham et al. 2010, The PASCAL Visual Object Classes Challenge. Pixels are counted from 1 and
boxes hold their last row and column: `xmin` to `xmax` is x0 = xmin - 1 to x1 = xmax here. An
object that is `difficult` counts neither way, and so is a crowd. Boxes of an object's parts
(heads, hands) are passed over.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from xml.parsers import expat

from sfumato.annotations.entries import Drawn, Sheet, image_name, read_text, shown, wrong
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
    if not folder.is_dir():
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
    try:
        reader.parser.Parse(path.read_bytes(), True)
    except OSError as error:
        raise UsageError(f"{path}: the file can't be read ({error.strerror})") from error
    except expat.ExpatError as error:
        raise wrong(path, f"line {error.lineno}", f"XML ({error})") from error
    return reader.sheet()


class _Reader:
    """Collects the objects of an image from the events of the parser."""

    def __init__(self, path: Path) -> None:
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True  # one piece of text for each element, not one a line
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._hear
        self.parser.StartDoctypeDeclHandler = self._doctype
        self._path = path
        self._open: list[str] = []
        self._text = ""
        self._image: dict[str, str] = {}
        self._object: dict[str, str] = {}
        self._drawn: list[Drawn] = []

    def sheet(self) -> Sheet:
        """Return what was read."""
        name = image_name(self._image.get("filename"), self._path, "filename")
        try:
            size = (int(self._image["size/width"]), int(self._image["size/height"]))
        except (KeyError, ValueError):
            size = (0, 0)
        # Some tools write 0 for what they don't know.
        return Sheet(name, "", tuple(self._drawn), size if min(size) > 0 else None)

    def _where(self) -> str:
        return f"line {self.parser.CurrentLineNumber}"

    def _doctype(self, *_: object) -> None:
        raise wrong(self._path, self._where(), "no document type")

    def _start(self, tag: str, _: object) -> None:
        if not self._open and tag != "annotation":
            raise wrong(self._path, "start", f"<annotation>, got <{shown(tag)}>")
        self._open.append(tag)
        if len(self._open) > _DEEPEST:
            raise wrong(self._path, self._where(), "annotations that nest less deeply")
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
        name, where = self._object.get("name", ""), self._where()
        if not name:
            raise wrong(self._path, where, "an object with a name")
        x0, y0, x1, y1 = (self._number(f"bndbox/{side}", where) for side in _SIDES)
        difficult = self._object.get("difficult", "0") not in ("", "0")
        return Drawn((x0 - 1, y0 - 1, x1, y1), name, crowd=difficult)

    def _number(self, field: str, where: str) -> float:
        text = self._object.get(field, "")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise wrong(self._path, where, f"a number as {field}, got {shown(text)}")
        return value
