"""Faces covered in lossy WebP and AVIF: size, and error away from them, against a plain quality 95.

    python benchmarks/lossy.py ../shared/data/imagenet --every 12 --json lossy.json

Needs a folder with JPEG images, at any depth. Every n-th is made a WebP and an AVIF of each
quality (Pillow's defaults, sides of at most 500 pixels); a box of a quarter of both sides in its
middle is covered by `codec.edit`, and by the same obfuscator with a plain re-encode at quality 95.
"Outside" is what lies further than 16 pixels from the obfuscator's reach. "Worst cell" is the
largest mean change of luma over 8x8 pixels there, as `VERIFY_PIXELS_CHANGED` measures it.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from sfumato.imaging import codec
from sfumato.obfuscation import Gaussian
from sfumato.types import Box, Pixels
from sfumato.verification.checks import changed_outside

QUALITIES = (10, 30, 50, 75, 85, 95, 100)
FRINGE = 16


def encoded(image: Image.Image, kind: str, quality: int) -> bytes:
    """Write an image with Pillow's defaults."""
    out = io.BytesIO()
    image.save(out, kind, quality=quality)
    return out.getvalue()


def psnr(before: Pixels, after: Pixels, reaches: Sequence[Box]) -> float:
    """Return the peak signal-to-noise ratio, in dB, away from every reach."""
    away = np.ones(before.shape[:2], dtype=bool)
    for x0, y0, x1, y1 in reaches:
        top, left = max(int(y0) - FRINGE, 0), max(int(x0) - FRINGE, 0)
        away[top : int(y1) + FRINGE, left : int(x1) + FRINGE] = False
    error = np.square(before[away].astype(np.float64) - after[away]).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def measure(path: Path, kind: str, quality: int) -> list[float]:
    """Return size ratio, PSNR and worst cell of sfumato, then of a plain quality 95."""
    image = Image.open(path).convert("RGB")
    image.thumbnail((500, 500))
    source = encoded(image, kind, quality)
    before = codec.decode(source).frames[0]
    height, width = before.shape[:2]
    box = (0.375 * width, 0.375 * height, 0.625 * width, 0.625 * height)
    covered = Gaussian()(before, [box])
    reaches = Gaussian().reaches([box])
    found: list[float] = []
    for data in (
        codec.edit(source, [box], Gaussian()).data,
        encoded(Image.fromarray(covered), kind, 95),
    ):
        after = codec.decode(data).frames[0]
        cell = changed_outside(before, after, reaches, fringe=FRINGE, cell=8)
        found += [len(data) / len(source), psnr(before, after, reaches), cell]
    return found


def main() -> None:
    """Measure every n-th image and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=12)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    paths = sorted(chosen.folder.rglob("*.JPEG"))[:: chosen.every]
    print(f"{len(paths)} images; medians (worst cell: largest), sfumato / plain quality 95")
    rows = []
    for kind in ("WEBP", "AVIF"):
        ratios: list[float] = []
        for quality in QUALITIES:
            each = np.array([measure(path, kind, quality) for path in paths])
            middle, largest = np.median(each, axis=0), each.max(axis=0)
            ratios += each[:, 0].tolist()
            print(
                f"{kind} {quality:3}: size {middle[0]:.2f} / {middle[3]:.2f}, "
                f"PSNR {middle[1]:.1f} / {middle[4]:.1f} dB, "
                f"worst cell {largest[2]:.1f} / {largest[5]:.1f}"
            )
            rows.append({"kind": kind, "quality": quality, "median": middle.tolist()})
        print(f"{kind}: size, median of all {median(ratios):.2f}")
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
