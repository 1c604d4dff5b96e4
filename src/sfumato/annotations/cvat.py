"""CVAT's XML 1.1 for images: boxes as ``xtl, ytl, xbr, ybr`` in pixels of the upright image.

A turned box (``rotation``, degrees clockwise about its centre), a polygon and an ellipse come back
as the smallest upright box that holds them. The layout doesn't say in which images somebody
worked: one without a shape may be either. CVAT itself rounds to 0.01 px when it exports.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO
from xml.sax.saxutils import quoteattr

from sfumato.annotations.entries import Drawn, Sheet, Xml, image_name, shown, turned, wrong
from sfumato.types import Box, Detection

_SHAPES = frozenset({"box", "polygon", "ellipse"})
_OTHER_SHAPES = frozenset({"polyline", "points", "mask", "cuboid", "skeleton"})


def write(stream: TextIO, detections: Iterable[Detection], prefix: str) -> None:
    """Print one image for each image, with its boxes; names go behind `prefix`."""
    stream.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n')
    for index, one in enumerate(detections):
        stream.write(
            f'<image id="{index}" name={quoteattr(prefix + one.key)} '
            f'width="{one.width}" height="{one.height}">\n'
        )
        for face in one.faces:
            corners = zip(("xtl", "ytl", "xbr", "ybr"), face.box, strict=True)
            places = " ".join(f'{side}="{float(value)!r}"' for side, value in corners)
            stream.write(
                f'<box label="{face.kind}" source="auto" occluded="0" {places} z_order="0">'
                f'<attribute name="score">{float(face.score)!r}</attribute></box>\n'
            )
        stream.write("</image>\n")
    stream.write("</annotations>\n")


def read(path: Path) -> Iterator[Sheet]:
    """Yield one sheet for each image; raises `UsageError` if the file isn't of this layout."""
    reader = _Reader(path)
    for _ in reader.parse():
        yield from reader.take()
    if not reader.begun:
        raise wrong(path, "start", "<annotations>, CVAT's XML 1.1 for images")


class _Reader(Xml):
    """Collects images from the events of the parser."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.begun = False
        self._done: list[Sheet] = []
        self._image: tuple[str, tuple[int, int]] | None = None
        self._drawn: list[Drawn] = []
        self._problem = ""

    def take(self) -> Iterator[Sheet]:
        done, self._done = self._done, []
        yield from done

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if not self.begun:
            if tag != "annotations":
                raise wrong(self.path, "start", f"<annotations>, got <{shown(tag)}>")
            self.begun = True
        elif tag == "image":
            name = image_name(
                attributes.get("name"), self.path, f"line {self.parser.CurrentLineNumber}"
            )
            self._image = (
                name,
                (self._whole(attributes, "width"), self._whole(attributes, "height")),
            )
            self._drawn, self._problem = [], ""
        elif tag == "track":
            raise self.wrong("the layout for images, not for video")
        elif self._image is not None and tag in _SHAPES:
            label = attributes.get("label", "")
            self._drawn.append(Drawn(self._box(tag, attributes), label))
        elif self._image is not None and tag in _OTHER_SHAPES:
            self._problem = self._problem or f"a shape that is no box ({tag})"

    def _end(self, tag: str) -> None:
        if tag == "image" and self._image is not None:
            name, size = self._image
            drawn = tuple(self._drawn)
            self._done.append(Sheet(name, "", drawn, size, problem=self._problem))
            self._image = None

    def _whole(self, attributes: dict[str, str], name: str) -> int:
        value = attributes.get(name, "")
        # By length first: Python reads no number of thousands of digits.
        if not value.isdecimal() or len(value) > 10 or not 0 < int(value) < 1 << 31:
            raise self.wrong(f"{name} of the image, got {shown(value)}")
        return int(value)

    def _number(self, attributes: dict[str, str], name: str, default: str = "") -> float:
        value = attributes.get(name, default)
        try:
            return float(value)
        except ValueError:
            raise self.wrong(f"a number for {name}, got {shown(value)}") from None

    def _box(self, tag: str, attributes: dict[str, str]) -> Box:
        if tag == "polygon":
            return self._around(attributes.get("points", ""))
        if tag == "ellipse":
            cx, cy, rx, ry = (self._number(attributes, side) for side in ("cx", "cy", "rx", "ry"))
            x0, y0, x1, y1 = cx - rx, cy - ry, cx + rx, cy + ry
        else:
            x0, y0, x1, y1 = (
                self._number(attributes, side) for side in ("xtl", "ytl", "xbr", "ybr")
            )
        return turned((x0, y0, x1, y1), self._number(attributes, "rotation", "0"))

    def _around(self, points: str) -> Box:
        try:
            places = [tuple(map(float, point.split(","))) for point in points.split(";")]
            xs, ys = zip(*places, strict=True)
        except ValueError:
            raise self.wrong(f"points as x,y;x,y, got {shown(points)}") from None
        return (min(xs), min(ys), max(xs), max(ys))
