"""Images of squares and discs on noise, with COCO boxes, for detectors to learn in seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIDE = 96
NAMES = ("disc", "square")


def write(root: Path, boxes: Path, *, count: int, seed: int) -> dict[str, Any]:
    """Write `count` images with one or two objects each below `root`, and their boxes as COCO."""
    rng = np.random.default_rng(seed)
    root.mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": i + 7, "name": name} for i, name in enumerate(NAMES)],
    }
    for number in range(count):
        pixels = rng.normal(128, 12, (SIDE, SIDE, 3))
        name = f"{seed}-{number:03}.png"
        for half in range(int(rng.integers(1, 3))):
            kind, side = int(rng.integers(2)), int(rng.integers(24, 40))
            left = half * SIDE // 2 + int(rng.integers(0, SIDE // 2 - side + 1))
            top = int(rng.integers(0, SIDE - side))
            rows, columns = np.mgrid[0:side, 0:side] - (side - 1) / 2
            inside = rows**2 + columns**2 <= (side / 2) ** 2 if kind == 0 else rows < side
            colour = (230.0, 40.0, 40.0) if kind == 0 else (40.0, 40.0, 230.0)
            pixels[top : top + side, left : left + side][inside] = colour
            document["annotations"].append(
                {
                    "id": len(document["annotations"]) + 1,
                    "image_id": number,
                    "category_id": kind + 7,
                    "bbox": [left, top, side, side],
                    "iscrowd": 0,
                }
            )
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(root / name)
        document["images"].append({"id": number, "file_name": name, "width": SIDE, "height": SIDE})
    boxes.write_text(json.dumps(document), encoding="utf-8")
    return document
