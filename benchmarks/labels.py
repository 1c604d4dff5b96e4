"""Read the labelled images that the benchmarks run on (`../shared/data`; see the README there).

Each set is a folder with images and `faces.csv` (columns path,x0,y0,x1,y1,kind,set), made for
measuring only: nothing of it is copied into the project.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from sfumato.errors import UsageError
from sfumato.stats.matching import Truth
from sfumato.types import Box, Pixels

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass(frozen=True, slots=True)
class Rule:
    """How a set is read: its folder and files, which faces count, and when one is found.

    `counted` names the values of the column `set` that count in recall; () means all. `share` is
    the part of a face's area that must lie under the grown boxes: 0.9 where labels are tight,
    0.7 where a person drew them by hand, a few pixels soft or with hair and ears in them. `iou`
    is what one box must reach to match a face: 0.5, and 0.35 where labels are loose.
    """

    folder: str
    share: float
    iou: float = 0.5
    labels: str = "faces.csv"
    images: str = "images"
    below: str = ""  # only images whose path starts so
    listed: str = ""  # file that lists the labelled images; without it, all are
    counted: tuple[str, ...] = ()


RULES: Mapping[str, Rule] = {
    "blind": Rule("imagenet", 0.7, labels="faces_blind.csv", listed="faces_blind_images.txt"),
    "imagenet": Rule("imagenet", 0.9, counted=("pool",)),
    "extended": Rule("imagenet", 0.9, counted=("pool", "extended")),
    "crowds": Rule("crowds", 0.9),
    "grey": Rule("grey", 0.7, iou=0.35),
    "portraits": Rule("portraits", 0.7, iou=0.35),
    "groups": Rule("groups", 0.7),
    "scenes": Rule("identities", 0.7, iou=0.35, images="", below="scenes/"),
}


@dataclass(frozen=True, slots=True)
class Labelled:
    """One image: the faces that count, and regions where a box is neither right nor wrong.

    Those regions are art (statues, drawings), what is unclear, and faces of the same file that
    don't count, because a detector proposed them that isn't among those measured.
    """

    path: Path
    faces: tuple[Box, ...]
    ignored: tuple[Box, ...]

    def pixels(self) -> Pixels:
        """Return the upright image as RGB."""
        with Image.open(self.path) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))

    def truth(self, width: int, height: int) -> Truth:
        """Return what the image, of this size, shows."""
        return Truth(width, height, self.faces, self.ignored)


def images_of(name: str, data: Path = DATA) -> Path:
    """Return the folder that the paths of a set start from."""
    rule = RULES[name]
    return data / rule.folder / rule.images


def read(name: str, data: Path = DATA) -> list[Labelled]:
    """Return the labelled images of a set, those without a face too, sorted by path.

    Raises `UsageError` if the set isn't there, or labels an image that isn't there.
    """
    rule, images = RULES[name], images_of(name, data)
    folder = data / rule.folder
    if not (images / rule.below).is_dir():
        raise UsageError(f"no labelled images in {folder}; give their folder with --data")
    rows = _rows(folder / rule.labels)
    paths = _listed(folder / rule.listed) if rule.listed else _found(images, rule.below)
    unknown = sorted(rows.keys() - set(paths))
    if unknown:
        raise UsageError(f"{folder / rule.labels} labels {unknown[0]}, which is not in the set")
    return [_labelled(images / path, rows.get(path, ()), rule.counted) for path in paths]


def _labelled(path: Path, rows: Sequence[dict[str, str]], counted: tuple[str, ...]) -> Labelled:
    faces: list[Box] = []
    ignored: list[Box] = []
    for row in rows:
        counts = row["kind"] == "face" and (not counted or row["set"] in counted)
        box = (float(row["x0"]), float(row["y0"]), float(row["x1"]), float(row["y1"]))
        (faces if counts else ignored).append(box)
    return Labelled(path, tuple(faces), tuple(ignored))


def _rows(file: Path) -> dict[str, list[dict[str, str]]]:
    rows: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            rows[row["path"]].append(row)
    return dict(rows)


def _listed(file: Path) -> list[str]:
    return sorted(file.read_text(encoding="utf-8").split())


def _found(images: Path, below: str) -> list[str]:
    files = (path for path in (images / below).rglob("*") if path.is_file())
    return sorted(path.relative_to(images).as_posix() for path in files)
