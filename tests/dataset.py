"""Small data sets for tests of the whole way: images made on the spot, boxes in a file.

With boxes from a file no network looks for faces at first, and a small one looks at the release,
so a run takes a second.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.pipeline.driver import Job
from sfumato.pipeline.settings import Settings
from sfumato.sources import open_sink, open_source
from sfumato.sources.private import private_folder

SIDE = (120, 96)  # width, height
BOX = (40.0, 30.0, 72.0, 66.0)
# Only certain faces: noise shall not be one, and the search shall be quick.
WATCHER = ("yunet@160:0.95",)


@dataclass(frozen=True)
class Dataset:
    """A source below `root / "src"`, a box file, and where the release goes."""

    root: Path
    with_face: tuple[str, ...]
    without: tuple[str, ...]

    @property
    def source(self) -> Path:
        return self.root / "src"

    @property
    def out(self) -> Path:
        return self.root / "out"

    @property
    def boxes(self) -> Path:
        return self.root / "boxes.csv"

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(sorted(self.with_face + self.without))

    def settings(self, method: str = "gaussian") -> Settings:
        return Settings(boxes=self.boxes, method=method, verify_detectors=WATCHER)

    def job(
        self,
        out: Path | None = None,
        method: str = "gaussian",
        *,
        overwrite: bool = False,
        copy_other: bool = False,
    ) -> Job:
        out = out or self.out
        settings = self.settings(method)
        ledger = private_folder(out) / "ledger.sqlite"
        recipe, source = settings.recipe(), open_source(self.source)
        return Job(
            source,
            recipe,
            ledger,
            open_sink(out, like=source),
            boxes=settings.boxes,
            overwrite=overwrite,
            copy_other=copy_other,
        )


def scene(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw an image with structure of all sizes, the face's place included."""
    height, width = SIDE[1], SIDE[0]
    coarse = rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    large = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    noise = rng.integers(-40, 40, (height, width, 3))
    return np.clip(large + noise, 0, 255).astype(np.uint8)


def make(root: Path, *, count: int = 3) -> Dataset:
    """Write a data set of three classes, `count` images with a face and without in each."""
    with_face: list[str] = []
    without: list[str] = []
    for number, (key, data) in enumerate(_images(count).items()):
        (with_face if number % 2 else without).append(key)
        path = root / "src" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (root / "src" / "labels.txt").write_text("0 1 2")
    with (root / "boxes.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "x0", "y0", "x1", "y1"])
        writer.writerows([key, *BOX] for key in with_face)
    return Dataset(root, tuple(with_face), tuple(without))


@cache
def _images(count: int) -> dict[str, bytes]:
    """Return the files by their keys, without a face and with one in turn."""
    rng = np.random.default_rng(7)
    found = {}
    endings = ("JPEG", "png", "webp", "jpg", "bmp", "tif", "gif")
    for label in ("n01 cats", "n02/ünïcode", "n03"):
        for number in range(2 * count):
            ending = endings[number % len(endings)]
            kind = Image.registered_extensions()[f".{ending.lower()}"]
            stream = io.BytesIO()
            options = {"lossless": True} if kind == "WEBP" else {}
            Image.fromarray(scene(rng)).save(stream, kind, **options)
            found[f"{label}/{number} ä.{ending}"] = stream.getvalue()
    return found


def files_of(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder with its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
