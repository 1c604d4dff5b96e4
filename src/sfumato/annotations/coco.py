"""The COCO layout: one JSON object with images, annotations and categories.

Boxes in the file are ``[x, y, width, height]`` with the corner at the top left; here, and
nowhere else, they are turned from and to ``(x0, y0, x1, y1)``. An image without annotation was
looked at and has no face. Segmentation is ignored. CVAT's export writes the box of a turned
rectangle as it was before it was turned, and how far in ``attributes.rotation`` (degrees, about its
centre): what is taken is the smallest upright box around the turned one.

A box with `iscrowd` holds several faces, or none that can be told apart: it is covered too, but
isn't counted among faces that must be found.

Ids may be numbers or text, and 1, 1.0 and "1" are the same id: what joins images and annotations
must not depend on the tool that wrote them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TextIO

from sfumato.annotations.entries import (
    Drawn,
    Entry,
    Sheet,
    image_name,
    number,
    read_json,
    say_repeated,
    shown,
    turned,
    wrong,
)
from sfumato.errors import UsageError
from sfumato.types import Box, Detection, Kind

CATEGORIES: Final[dict[Kind, int]] = {"face": 1, "private": 2}
_ALL: Final = 12  # digits behind the point: of sides that single precision knows to 4
LAYOUT = '{"images": [...], "annotations": [...], "categories": [...]}'

_EXACT: Final = 2**53  # from here on floats are no exact ids
# Numbers as text: "007" is a name, and so is anything of more digits than a file has images.
_number = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.0+)?")
_words = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def read(path: Path) -> Iterator[Entry]:
    """Yield the entries of a file: one for each image, with its size, and one for each face.

    Faces are the annotations of every category whose name has the word "face" or "faces" in it
    (`face`, `person_face`, `face with mask`, `HumanFace`): with several, covering one too many
    is better than one too few. A file with a single category is taken whatever its name. A
    category named "private" is taken as well: what people marked beside faces.
    Raises `UsageError` if the file isn't of this layout, or names no such category.
    """
    document = _document(path)
    names: dict[Hashable, str] = {}
    yield from _images(document, names, path)
    wanted = _face_categories(document, path)
    for where, annotation in _annotations(document, path):
        category = _id(annotation, "category_id", path, where)
        if category not in wanted:
            raise wrong(path, where, f"a category_id of the file, got {shown(category)}")
        kind = wanted[category]
        if kind is not None:
            face = _face(annotation, names, path, where)
            yield face._replace(kind=kind, uncounted=_flag(annotation, "iscrowd", path, where))
    _say_repeated_ids(document, path)


def write(stream: TextIO, detections: Iterable[Detection], *, digits: int = 2) -> None:
    """Print the images in the order given; ids count from 1 in that order.

    Widths and heights get so many `digits`.

    An annotation carries `score` and `origin` beside what COCO asks for. Annotations are kept
    as text until all images are out, since the two lists follow one another in the file.
    """
    annotations: list[str] = []
    kinds: set[Kind] = {"face"}
    stream.write('{\n"images": [')
    separator = "\n"
    for image_id, found in enumerate(detections, start=1):
        size = {"width": found.width, "height": found.height}
        image = {"id": image_id, "file_name": found.key, **size}
        stream.write(separator + json.dumps(image, ensure_ascii=False))
        separator = ",\n"
        for face in found.faces:
            x0, y0, x1, y1 = face.box
            width, height = round(x1 - x0, digits), round(y1 - y0, digits)
            annotation = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": CATEGORIES[face.kind],
                "bbox": [x0, y0, width, height],
                "area": round(width * height, digits),
                "iscrowd": 0,
                "score": face.score,
                "origin": face.origin,
            }
            kinds.add(face.kind)
            annotations.append(json.dumps(annotation, ensure_ascii=False))
    stream.write('\n],\n"annotations": [')
    for index, line in enumerate(annotations):
        stream.write((",\n" if index else "\n") + line)
    named = [{"id": CATEGORIES[kind], "name": kind} for kind in CATEGORIES if kind in kinds]
    stream.write(f'\n],\n"categories": {json.dumps(named)}\n}}\n')


def write_named(stream: TextIO, detections: Iterable[Detection], prefix: str) -> None:
    """Print images as `write` does, with `prefix` before their names."""
    write(stream, (replace(one, key=prefix + one.key) for one in detections), digits=_ALL)


def sheets(path: Path) -> Iterator[Sheet]:
    """Yield one sheet for each image, in the order of the file, with all its boxes.

    Each box has the name of its category as its label ("face" in a file without categories): what
    it means is decided elsewhere. `iscrowd` or `ignore` make a crowd. The layout doesn't tell
    whether somebody worked on an image without a box.
    """
    document = _document(path)
    labels = _categories(document, path)
    drawn: dict[str, list[Drawn]] = {}
    sizes: dict[str, tuple[int, int] | None] = {}
    torn: set[str] = set()
    names: dict[Hashable, str] = {}
    for entry in _images(document, names, path):
        drawn.setdefault(entry.name, [])
        if sizes.setdefault(entry.name, entry.size) != entry.size:
            torn.add(entry.name)
    for where, annotation in _annotations(document, path):
        category = _id(annotation, "category_id", path, where)
        if labels and category not in labels:
            raise wrong(path, where, f"a category_id of the file, got {shown(category)}")
        entry = _face(annotation, names, path, where)
        if entry.box is not None:
            label = labels.get(category, "face")
            flags = (_flag(annotation, name, path, where) for name in ("iscrowd", "ignore"))
            crowd = any(list(flags))
            drawn[entry.name].append(Drawn(entry.box, label, entry.score, entry.origin, crowd))
    _say_repeated_ids(document, path)
    for name, boxes in drawn.items():
        problem = "two images of this name, of different sizes" if name in torn else ""
        yield Sheet(name, "", tuple(boxes), sizes[name], problem=problem)


def _images(document: dict[str, Any], names: dict[Hashable, str], path: Path) -> Iterator[Entry]:
    """Yield an entry without a box for each image; `names` gets the name of each id.

    Images that share a file name are one image with the boxes of all.
    """
    for index, image in enumerate(document["images"], start=1):
        where = f"image {index}"
        number_of = _id(_fields(image, path, where), "id", path, where)
        if number_of in names:
            raise wrong(path, where, f"an id of its own, got {shown(number_of)} again")
        names[number_of] = image_name(image.get("file_name"), path, f"{where}, file_name")
        yield Entry(names[number_of], None, size=_size(image, path, where))
    say_repeated(path, "images have a file_name that another has", names.values())


def _annotations(document: dict[str, Any], path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield where each annotation stands, and the annotation."""
    for index, annotation in enumerate(document["annotations"], start=1):
        where = f"annotation {index}"
        yield where, _fields(annotation, path, where)


def _say_repeated_ids(document: dict[str, Any], path: Path) -> None:
    """Say if annotations share an id: each counts all the same, but the file may be two in one."""
    ids = (annotation.get("id") for annotation in document["annotations"])
    known = [one for one in ids if isinstance(one, int | float | str)]
    say_repeated(path, "annotations have an id that another has", known)


def _document(path: Path) -> dict[str, Any]:
    document = _fields(read_json(path), path, "start")
    for part in ("images", "annotations"):
        if not isinstance(document.get(part), list):
            raise wrong(path, "start", f"{LAYOUT}, but {part} is no list in it")
    return document


def _face_categories(document: dict[str, Any], path: Path) -> dict[Hashable, Kind | None]:
    """Return for each category id of the file what its boxes hold; None: nothing to cover."""
    categories = _categories(document, path)
    if not categories:  # nothing says what the boxes are: one kind can only be the faces
        for where, annotation in _annotations(document, path):
            key = _id(annotation, "category_id", path, where)
            categories[key] = str(key)
    if len(categories) <= 1:
        only = (kind_of(name) or "face" for name in categories.values())
        return dict(zip(categories, only, strict=True))
    kinds = {key: kind_of(name) for key, name in categories.items()}
    if not any(kinds.values()):
        names = ", ".join(sorted(categories.values())[:20])
        raise UsageError(
            f"{path}: none of its {len(categories)} categories is named as a face ({names}); "
            "rename the one that is to 'face', or leave only that one in the file"
        )
    return kinds


def _categories(document: dict[str, Any], path: Path) -> dict[Hashable, str]:
    """Return the name of each category of the file."""
    listed = document.get("categories") or []
    if not isinstance(listed, list):
        raise wrong(path, "categories", f"a list, got {shown(listed)}")
    categories: dict[Hashable, str] = {}
    for index, category in enumerate(listed, start=1):
        where = f"category {index}"
        key = _id(_fields(category, path, where), "id", path, where)
        name = str(category.get("name"))
        if categories.setdefault(key, name) != name:
            raise wrong(path, where, f"an id of its own, got {shown(key)} again")
    return categories


def kind_of(name: str) -> Kind | None:
    """Return what boxes of this name hold: a face if the word is in it."""
    if any(word.lower() in ("face", "faces") for word in _words.findall(name)):
        return "face"
    return "private" if name.strip().lower() == "private" else None


def _face(annotation: dict[str, Any], names: dict[Hashable, str], path: Path, where: str) -> Entry:
    image = _id(annotation, "image_id", path, where)
    if image not in names:
        raise wrong(path, where, f"an image_id of the file, got {shown(image)}")
    score = annotation.get("score")
    return Entry(
        names[image],
        _box(annotation, path, where),
        1.0 if score is None else number(score, path, f"{where}, score"),
        str(annotation.get("origin") or "file"),
    )


def _box(annotation: dict[str, Any], path: Path, where: str) -> Box:
    bbox = annotation.get("bbox")
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise wrong(path, f"{where}, bbox", f"[x, y, width, height], got {shown(bbox)}")
    x, y, width, height = (number(value, path, f"{where}, bbox") for value in bbox)
    return turned((x, y, x + width, y + height), _rotation(annotation, path, where))


def _rotation(annotation: dict[str, Any], path: Path, where: str) -> float:
    """Return by how many degrees a box is turned about its centre, as CVAT writes it."""
    attributes = annotation.get("attributes")
    turn = attributes.get("rotation") if isinstance(attributes, dict) else None
    if turn is None:
        return 0.0
    try:
        return float(turn) if isinstance(turn, str) else number(turn, path, where)
    except ValueError:
        raise wrong(path, f"{where}, rotation", f"degrees, got {shown(turn)}") from None


def _flag(annotation: dict[str, Any], field: str, path: Path, where: str) -> bool:
    value = annotation.get(field)
    if value in (None, 0, "0", ""):
        return False
    if value in (1, "1"):
        return True
    raise wrong(path, f"{where}, {field}", f"0 or 1, got {shown(value)}")


def _fields(value: object, path: Path, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise wrong(path, where, f"a JSON object, got {shown(value)}")
    return value


def _id(item: dict[str, Any], field: str, path: Path, where: str) -> Hashable:
    value = item.get(field)
    if value is None and field == "category_id":
        return None  # files with one kind of box may leave it out
    if isinstance(value, str) and _number.fullmatch(value):
        value = float(value) if "." in value else int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        words = f"a number or a string (whole numbers), got {shown(value)}"
        raise wrong(path, f"{where}, {field}", words)
    return value


def _size(image: dict[str, Any], path: Path, where: str) -> tuple[int, int] | None:
    """Return what an image says of its size; None if it says nothing (some tools write 0)."""
    width, height = (_side(image, side, path, where) for side in ("width", "height"))
    return (width, height) if width and height else None


def _side(image: dict[str, Any], side: str, path: Path, where: str) -> int:
    value = image.get(side)
    if isinstance(value, str) and _number.fullmatch(value):
        value = float(value)
    if value is None or value == "":
        return 0
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or value != value // 1
        or value < 0
    ):
        raise wrong(path, f"{where}, {side}", f"whole pixels, got {shown(value)}")
    return int(value)
