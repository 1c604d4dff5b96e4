"""Small data sets for tests of the whole way: pictures made on the spot, boxes in a file.

With boxes from a file no network looks for faces at first, and a small one looks at the release,
so a run takes a second.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.pipeline import Job
from sfumato.private import private_folder
from sfumato.settings import Settings
from sfumato.sources import open_sink, open_source

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
    """Draw a picture with structure of all sizes, the face's place included."""
    height, width = SIDE[1], SIDE[0]
    coarse = rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    large = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    noise = rng.integers(-40, 40, (height, width, 3))
    return np.clip(large + noise, 0, 255).astype(np.uint8)


def make(root: Path, *, count: int = 3) -> Dataset:
    """Write a data set of three classes, `count` pictures with a face and without in each."""
    rng = np.random.default_rng(7)
    with_face: list[str] = []
    without: list[str] = []
    endings = ("JPEG", "png", "webp", "jpg", "bmp", "tif", "gif")
    for label in ("n01 cats", "n02/ünïcode", "n03"):
        for number in range(2 * count):
            keys = with_face if number % 2 else without
            keys.append(f"{label}/{number} ä.{endings[number % len(endings)]}")
            path = root / "src" / keys[-1]
            path.parent.mkdir(parents=True, exist_ok=True)
            picture = Image.fromarray(scene(rng))
            if path.suffix == ".webp":
                picture.save(path, lossless=True)
            else:
                picture.save(path)
    (root / "src" / "labels.txt").write_text("0 1 2")
    with (root / "boxes.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "x0", "y0", "x1", "y1"])
        writer.writerows([key, *BOX] for key in with_face)
    return Dataset(root, tuple(with_face), tuple(without))


def files_of(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder with its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
