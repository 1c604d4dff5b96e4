"""A small data set for studies: stripes of a direction for each class, and a "face" in each.

The class is in the stripes, all over the image; the face is a chequered disc at a random place
that says nothing about the class.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato import obfuscation
from sfumato.types import Box

SIDE = 40
FACE = 12
CLASSES = ("a", "b", "c")


def image(
    rng: np.random.Generator, place: int, *, face: bool = True
) -> tuple[NDArray[np.uint8], Box]:
    """Draw an image of a class and return it with its face, or where it would be."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    angle = np.pi * place / len(CLASSES) + rng.normal(0, 0.12)
    wave = np.cos(angle) * columns + np.sin(angle) * rows
    stripes = np.sin(2 * np.pi * wave / rng.uniform(6, 9) + rng.uniform(0, 2 * np.pi))
    tint = rng.uniform(0.6, 1.4, 3)
    pixels = 128 + 14 * stripes[..., None] * tint + rng.normal(0, 30, (SIDE, SIDE, 3))
    left, top = (int(value) for value in rng.integers(3, SIDE - FACE - 3, 2))
    box = (float(left), float(top), float(left + FACE), float(top + FACE))
    centre = ((left + FACE / 2 - 0.5), (top + FACE / 2 - 0.5))
    disc = (columns - centre[0]) ** 2 + (rows - centre[1]) ** 2 < (FACE / 2) ** 2
    chequers = ((rows // 2 + columns // 2) % 2) * 180.0 + 30
    if face:
        pixels = np.where(disc[..., None], chequers[..., None], pixels)
    return np.clip(pixels, 0, 255).astype(np.uint8), box


def write(
    root: Path,
    *,
    count: int,
    covered: Callable[[str, int], bool] | None = None,
    faceless: Callable[[str, int], bool] | None = None,
    seed: int = 3,
    method: str = "fill",
) -> list[tuple[str, Box]]:
    """Write `count` images of each class below `root`; return the key and box of each face.

    `covered` says of which class and number the face is covered, `faceless` which has none; the
    same seed gives the same images besides.
    """
    rng = np.random.default_rng(seed)
    faces: list[tuple[str, Box]] = []
    for place, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            face = faceless is None or not faceless(name, number)
            pixels, box = image(rng, place, face=face)
            if face and covered is not None and covered(name, number):
                pixels = obfuscation.make(method)(pixels, [box])
            key = f"{name}/{number:03}.png"
            Image.fromarray(pixels).save(root / key)
            if face:
                faces.append((key, box))
    return faces


def write_faces(path: Path, faces: Sequence[tuple[str, Box]]) -> None:
    """Write faces as the CSV that sfumato reads."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("path", "x0", "y0", "x1", "y1"))
        writer.writerows((key, *box) for key, box in faces)
