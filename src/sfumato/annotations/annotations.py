"""Boxes that go to an annotation tool and come back: Label Studio, CVAT, COCO.

Unlike `box_files`, what comes back says who drew it and in which images nobody has worked yet.
Coordinates are written with all their digits, so a round trip loses nothing. A layout's module
is syntax only; what an entry means is decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Final, Literal, TextIO, TypeAlias

from sfumato.annotations import coco, cvat, label_studio
from sfumato.annotations.box_files import fault, whole
from sfumato.annotations.entries import Sheet, shown
from sfumato.errors import UsageError
from sfumato.types import Detection, Face, Kind

Tool: TypeAlias = str  # a name of `TOOLS`
# What images without any box are, where the layout can't tell: not worked on, or faceless.
Empty: TypeAlias = Literal["skip", "faceless"]


@dataclass(frozen=True, slots=True)
class Syntax:
    """How a tool's files are read, and written with a prefix before the names."""

    read: Callable[[Path], Iterator[Sheet]]
    write: Callable[[TextIO, Iterable[Detection], str], None]


TOOLS: Final[Mapping[Tool, Syntax]] = {
    "label-studio": Syntax(label_studio.read, label_studio.write),
    "cvat": Syntax(cvat.read, cvat.write),
    "coco": Syntax(coco.sheets, coco.write_named),
}


@dataclass(frozen=True, slots=True)
class Annotated:
    """What one annotator left in one image, by the file's own name of the image.

    `annotator` is "" where the layout has none; `size` is (width, height) of the upright image
    as the tool saw it. `problem` says why the boxes can't be used ("" if they can).
    """

    name: str
    annotator: str
    faces: tuple[Face, ...]
    size: tuple[int, int] | None
    seconds: float = 0.0
    problem: str = ""


def export(path: Path, detections: Iterable[Detection], tool: Tool, *, prefix: str = "") -> None:
    """Write images with their proposed boxes for a tool; `prefix` goes before their names.

    Raises:
        UsageError: a name can't be written as UTF-8.
        OutputError: the disk refuses.
    """
    ordered = sorted(detections, key=attrgetter("key"))
    with whole(path) as stream:
        TOOLS[tool].write(stream, ordered, prefix)


def load(
    path: Path, tool: Tool, *, labels: Mapping[str, Kind] | None = None, empty: Empty = "skip"
) -> Iterator[Annotated]:
    """Yield what annotators left, in the order of the file.

    Labels that have the word "face" in them are faces, "private" is another private thing, and
    `labels` adds names of the user's own. In CVAT's and COCO's files an image without a box may
    be one that nobody worked on: `empty` says what it is.

    Raises:
        UsageError: the file isn't of this layout, or has a label that is neither: a box that was
            left out by mistake would expose a face.
    """
    for sheet in TOOLS[tool].read(path):
        blank = not sheet.drawn and not sheet.problem
        if blank and not sheet.worked_on and empty == "skip":
            continue
        yield _annotated(sheet, path, labels or {})


def _annotated(sheet: Sheet, path: Path, labels: Mapping[str, Kind]) -> Annotated:
    problem = sheet.problem
    faces: list[Face] = []
    for drawn in sheet.drawn:
        kind = labels.get(drawn.label) or coco.kind_of(drawn.label)
        if kind is None:
            raise UsageError(
                f"{path}: label {shown(drawn.label)} is neither a face nor private: say what it "
                "is with --label NAME=face or NAME=private, or take it out of the file."
            )
        reason = fault(drawn.box, drawn.score)
        if reason is None:
            faces.append(Face(drawn.box, drawn.score, drawn.origin, kind))
        else:
            problem = problem or f"a box that can't be right: {reason}"
    return Annotated(sheet.name, sheet.annotator, tuple(faces), sheet.size, sheet.seconds, problem)
