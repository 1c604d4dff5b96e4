"""Small images with faces planted at known places, and detectors that see exactly these.

A planted face is a coarse pattern of saturated squares. Whether one is still visible in a file is
asked with Pillow and a correlation, without any code of sfumato.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.pipeline.driver import Job
from sfumato.recipe import DetectStep, ObfuscateStep, Recipe, VerifyStep
from sfumato.sources import open_sink, open_source
from sfumato.sources.private import private_folder
from sfumato.types import Box, Detector, Face, Pixels

WIDTH, HEIGHT, SIDE = 112, 80, 32
WEAK, STRONG = "yunet@160:0.95", "yunet@320:0.95"
# Plain faces are seen by every detector, shy ones by the strong one only.
PLACES = {"plain": (16, 24), "shy": (64, 16)}
KEYS = ("a/0.png", "a/1.jpg", "a/2.png", "b/3.png", "b/4.jpg", "b/5.bmp")


def pattern(kind: str) -> NDArray[np.uint8]:
    """Return the pixels of a planted face, 32 by 32."""
    rng = np.random.default_rng(1 if kind == "plain" else 2)
    squares = rng.integers(0, 2, (4, 4, 3), dtype=np.uint8) * 200 + 28
    return squares.repeat(8, axis=0).repeat(8, axis=1)


def box_of(kind: str) -> Box:
    x, y = PLACES[kind]
    return float(x), float(y), float(x + SIDE), float(y + SIDE)


def visible(pixels: NDArray[np.uint8], kind: str) -> bool:
    """Say whether a planted face can still be seen at its place."""
    x, y = PLACES[kind]
    there = pixels[y : y + SIDE, x : x + SIDE].astype(float)
    cells = there.reshape(4, 8, 4, 8, 3).mean(axis=(1, 3))
    wanted = pattern(kind).astype(float)[::8, ::8]
    if cells.std() < 1:
        return False
    return float(np.corrcoef(cells.ravel(), wanted.ravel())[0, 1]) > 0.9 and cells.std() > 40


def visible_in(path: Path) -> set[str]:
    """Return which planted faces can be seen in a file."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    return {kind for kind in PLACES if visible(pixels, kind)}


def image(seed: int, faces: Sequence[str]) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(90, 160, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    pixels = np.asarray(Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    pixels = pixels.copy()
    for kind in faces:
        x, y = PLACES[kind]
        pixels[y : y + SIDE, x : x + SIDE] = pattern(kind)
    return pixels


def write(path: Path, seed: int, faces: Sequence[str]) -> None:
    """Write an image, in the format that its name says, with these faces planted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image(seed, faces)).save(path)


@dataclass
class Eyes:
    """A detector that sees planted faces; `kinds` may be changed at any time."""

    name: str
    kinds: set[str]

    def detect(self, images: Sequence[Pixels]) -> list[list[Face]]:
        return [
            [
                Face(box_of(kind), 0.9, self.name)
                for kind in sorted(self.kinds)
                if visible(one, kind)
            ]
            for one in images
        ]


@dataclass
class Planted:
    """A source with planted faces, its release, and the detectors that look at it."""

    root: Path
    weak: Eyes
    strong: Eyes

    @property
    def source(self) -> Path:
        return self.root / "src"

    @property
    def out(self) -> Path:
        return self.root / "out"

    def job(
        self,
        method: str = "pixelate",
        *,
        verify: str = WEAK,
        overwrite: bool = False,
        cover_findings: bool = False,
    ) -> Job:
        recipe = Recipe(
            DetectStep((WEAK,), ("w",), 10**6),
            VerifyStep((verify,), ("v",)),
            ObfuscateStep(method, looks=0 if method == "imagenet" else 3),
        )
        ledger = private_folder(self.out) / "ledger.sqlite"
        source = open_source(self.source)
        return Job(
            source,
            recipe,
            ledger,
            open_sink(self.out, like=source),
            overwrite=overwrite,
            cover_findings=cover_findings,
        )

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Let the planted detectors stand in the place of networks."""
        known: dict[str, Detector] = {WEAK: self.weak, STRONG: self.strong}

        def made(specs: tuple[str, ...], weights: tuple[str, ...] = ()) -> tuple[Detector, ...]:
            return tuple(known[spec] for spec in specs)

        with patch("sfumato.detection.detectors.registry.made", made):
            yield


def make(root: Path) -> Planted:
    """Write six images: faceless ones, plain faces, shy ones, both."""
    faces = ((), ("plain",), ("shy",), ("plain", "shy"), (), ("plain",))
    for seed, (key, some) in enumerate(zip(KEYS, faces, strict=True)):
        write(root / "src" / key, seed, some)
    return Planted(root, Eyes("weak-1", {"plain"}), Eyes("strong-1", {"plain", "shy"}))
