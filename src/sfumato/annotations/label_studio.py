"""Label Studio's JSON: a list of tasks, each with predictions (ours) and annotations (people's).

Rectangles are in percent of the upright image: ``x, y, width, height`` and ``rotation`` in
degrees clockwise about the top left corner (labelstud.io, "Rectangle"). A turned rectangle comes
back as the smallest upright box that holds it. A task without an annotation wasn't worked on; one
with an empty annotation has no face.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote

from sfumato.annotations.entries import Drawn, Sheet, image_name, number, read_json, shown, wrong
from sfumato.errors import UsageError
from sfumato.types import Box, Detection, Face

# What a result has that lies somewhere in the image.
_PLACES = frozenset({"x", "y", "points", "vertices", "rle", "cx", "radiusX"})


def write(stream: TextIO, detections: Iterable[Detection], prefix: str) -> None:
    """Print one task for each image, its boxes as a prediction.

    `data.image` is `prefix` with the percent-encoded name; `data.name` is the name itself, by
    which the task is known again.
    """
    stream.write("[")
    for index, one in enumerate(detections):
        task = {
            "data": {"image": prefix + quote(one.key), "name": one.key},
            "predictions": [
                {
                    "model_version": "sfumato",
                    "result": [_result(i, face, one) for i, face in enumerate(one.faces)],
                }
            ],
        }
        stream.write(",\n" if index else "\n")
        stream.write(json.dumps(task, ensure_ascii=False))
    stream.write("\n]\n")


def _result(index: int, face: Face, one: Detection) -> dict[str, Any]:
    x0, y0, x1, y1 = face.box
    return {
        "id": f"p{index}",
        "type": "rectanglelabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": one.width,
        "original_height": one.height,
        "image_rotation": 0,
        "score": face.score,
        "value": {
            "x": 100 * x0 / one.width,
            "y": 100 * y0 / one.height,
            "width": 100 * (x1 - x0) / one.width,
            "height": 100 * (y1 - y0) / one.height,
            "rotation": 0,
            "rectanglelabels": [face.kind],
        },
    }


def read(path: Path) -> Iterator[Sheet]:
    """Yield one sheet for each annotation of each task; a task without one gives none.

    Skipped (cancelled) annotations are left out. Raises `UsageError` for another layout.
    """
    tasks = read_json(path)
    if not isinstance(tasks, list):
        raise wrong(path, "start", "a list of Label Studio's tasks (its export as JSON)")
    for index, task in enumerate(tasks, start=1):
        where = f"task {index}"
        if not isinstance(task, dict) or not isinstance(task.get("annotations"), list | None):
            raise wrong(path, where, f"a task with annotations, got {shown(task)}")
        name = _name(task, path, where)
        for annotation in task.get("annotations") or []:
            if not isinstance(annotation, dict) or not isinstance(annotation.get("result"), list):
                raise wrong(path, where, f"an annotation with a result, got {shown(annotation)}")
            if not annotation.get("was_cancelled"):
                yield _sheet(name, annotation, path, where)


def _name(task: Mapping[str, Any], path: Path, where: str) -> str:
    data = task.get("data")
    if not isinstance(data, dict):
        raise wrong(path, where, f"data of the task, got {shown(data)}")
    return image_name(data.get("name", data.get("image")), path, f"{where}, data.name")


def _sheet(name: str, annotation: Mapping[str, Any], path: Path, where: str) -> Sheet:
    drawn: list[Drawn] = []
    size: tuple[int, int] | None = None
    problem = ""
    for result in annotation["result"]:
        if not isinstance(result, dict):
            raise wrong(path, where, f"results as JSON objects, got {shown(result)}")
        if result.get("type") != "rectanglelabels":
            problem = problem or _foreign(result)
            continue
        if result.get("image_rotation"):
            problem = "the annotator turned the image"
            continue
        size = _size(result, path, where)
        drawn.append(_drawn(result, size, path, where))
    lead = annotation.get("lead_time")
    seconds = float(lead) if isinstance(lead, int | float) and math.isfinite(lead) else 0.0
    who = annotation.get("completed_by")
    who = who.get("id") if isinstance(who, dict) else who
    annotator = "" if who is None else str(who)
    return Sheet(name, annotator, tuple(drawn), size, seconds, problem, worked_on=True)


def _foreign(result: Mapping[str, Any]) -> str:
    """Say what is wrong with a result that is no labelled rectangle; choices and texts are right.

    A shape without a label of its own ("rectangle", beside a result "labels") may be a face.
    """
    kind, value = str(result.get("type")), result.get("value")
    placed = isinstance(value, dict) and not _PLACES.isdisjoint(value)
    is_shape = placed or kind.endswith("labels")
    return f"a shape that is no labelled rectangle ({kind})" if is_shape else ""


def _size(result: Mapping[str, Any], path: Path, where: str) -> tuple[int, int]:
    sides = result.get("original_width"), result.get("original_height")
    if not all(isinstance(side, int) and side > 0 for side in sides):
        raise wrong(path, where, f"original_width and original_height, got {shown(sides)}")
    return int(sides[0] or 0), int(sides[1] or 0)


def _drawn(result: Mapping[str, Any], size: tuple[int, int], path: Path, where: str) -> Drawn:
    value = result.get("value")
    if not isinstance(value, dict):
        raise wrong(path, where, f"the value of a rectangle, got {shown(value)}")
    labels = value.get("rectanglelabels")
    if not isinstance(labels, list) or len(labels) != 1:
        raise UsageError(f"{path}: {where}: a rectangle must have one label, got {shown(labels)}")
    x, y, width, height, turn = (
        number({"rotation": 0, **value}.get(field), path, f"{where}, {field}")
        for field in ("x", "y", "width", "height", "rotation")
    )
    corner = (x / 100 * size[0], y / 100 * size[1])
    box = _upright(corner, (width / 100 * size[0], height / 100 * size[1]), turn)
    return Drawn(box, str(labels[0]))


def _upright(corner: tuple[float, float], sides: tuple[float, float], turn: float) -> Box:
    """Return the smallest upright box around a rectangle turned clockwise about its corner."""
    (x, y), (width, height) = corner, sides
    if not turn:
        return (x, y, x + width, y + height)
    if not math.isfinite(turn):
        return (math.nan, math.nan, math.nan, math.nan)  # nobody knows where it lies
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    xs = [x + dx * cos - dy * sin for dx in (0.0, width) for dy in (0.0, height)]
    ys = [y + dx * sin + dy * cos for dx in (0.0, width) for dy in (0.0, height)]
    return (min(xs), min(ys), max(xs), max(ys))
