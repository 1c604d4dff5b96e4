"""The layout of ImageNet's face annotations (Yang et al., ICML 2022, face_annotations_ILSVRC.json).

A JSON list with one object for each image: ``{"url": "train/n02066245/x.JPEG", "bboxes":
[{"x0": 1, "y0": 2, "x1": 3, "y1": 4}]}``, pixels, right and bottom exclusive. An empty list
says that the image was looked at and has no face. There is no score and no origin.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from sfumato.annotations.entries import Entry, image_name, number, read_text, shown, wrong
from sfumato.types import Box, Detection

CORNERS = ("x0", "y0", "x1", "y1")
LAYOUT = '{"url": ..., "bboxes": [{"x0", "y0", "x1", "y1"}]}'

_opening = re.compile(r"\s*\[\s*")
_comma = re.compile(r"\s*,\s*")
_closing = re.compile(r"\s*\]\s*\Z")


def read(path: Path) -> Iterator[Entry]:
    """Yield the entries of a file: one for each box, and one without box for each image.

    The list is decoded object by object: the whole of ImageNet (1,431,093 objects, 150 MB) then
    needs the text and the result, half of what one `json.load` takes, in the same time.
    Raises `UsageError` if the file isn't of this layout.
    """
    for index, item in enumerate(_items(path), start=1):
        where = f"entry {index}"
        if not isinstance(item, dict) or not isinstance(item.get("bboxes"), list):
            raise wrong(path, where, f"{LAYOUT}, got {shown(item)}{_hint(item)}")
        name = image_name(item.get("url"), path, f"{where}, url")
        yield Entry(name, None)
        for count, corners in enumerate(item["bboxes"], start=1):
            yield Entry(name, _box(corners, path, f"{where}, box {count}"))


def write(stream: TextIO, detections: Iterable[Detection]) -> None:
    """Print the images in the order given, one on each line."""
    separator = "[\n"
    for detection in detections:
        boxes = [dict(zip(CORNERS, face.box, strict=True)) for face in detection.faces]
        item = {"url": detection.key, "bboxes": boxes}
        stream.write(separator + json.dumps(item, ensure_ascii=False))
        separator = ",\n"
    stream.write("\n]\n" if separator == ",\n" else "[]\n")


def _items(path: Path) -> Iterator[Any]:
    """Yield the members of the JSON list in the file, one at a time."""
    text = read_text(path)
    start = _opening.match(text)
    if start is None:
        raise wrong(path, "start", "a JSON list")
    position = start.end()
    if _closing.match(text, position):
        return
    decode = json.JSONDecoder().raw_decode
    while True:
        try:
            item, position = decode(text, position)
        except (ValueError, RecursionError) as error:
            raise wrong(path, _place(text, position), f"JSON ({error})") from error
        yield item
        comma = _comma.match(text, position)
        if comma is None:
            break
        position = comma.end()
    if _closing.match(text, position) is None:
        raise wrong(path, _place(text, position), "a comma or the end of the list")


def _box(corners: object, path: Path, where: str) -> Box:
    if not isinstance(corners, dict) or not all(corner in corners for corner in CORNERS):
        raise wrong(path, where, f"an object with x0, y0, x1 and y1, got {shown(corners)}")
    x0, y0, x1, y1 = (number(corners[c], path, f"{where}, {c}") for c in CORNERS)
    return (x0, y0, x1, y1)


def _place(text: str, position: int) -> str:
    return f"line {text.count(chr(10), 0, position) + 1}, character {position}"


def _hint(item: object) -> str:
    if isinstance(item, dict) and "image_id" in item:
        return (
            "; this is a list of COCO results, which names no images: "
            "give the COCO object with images, annotations and categories"
        )
    return ""
