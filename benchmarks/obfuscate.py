"""Obfuscate given boxes: the published recipe, deface's drawing, and sfumato, side by side.

    python benchmarks/obfuscate.py ../shared/data/imagenet --json obfuscate.json

Needs a folder with `images/` and `faces.csv` (path,x0,y0,x1,y1,kind,set). All tools take the
same boxes, one thread and one process; they go through the images in turn, so that what else
the machine does hits all alike. Quoted is process CPU time, reading and writing included:

- recipe: Yang et al. 2022 as released, written anew from its description: decode every image,
  one sigma for the image, blurred mask, Pillow's default JPEG (quality 75). Images without
  a face are decoded and dropped.
- deface: the drawing and writing of deface 1.5 (if installed); also decodes every image.
- sfumato: images without a face are linked, the others edited, proven, renamed into place.

"Outside" is what lies further than 0.75 face diagonals and 17 pixels from every box.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from sfumato.imaging import jpeg
from sfumato.obfuscation import Gaussian
from sfumato.types import Box

MAX_PIXELS = 64_000_000
Tool = Callable[[Path, list[Box], Path], bool]


def recipe(source: Path, boxes: list[Box], target: Path) -> bool:
    """The published blur (paper's released code, steps 1 to 5); True if an image was written."""
    image = Image.open(source).convert("RGB")
    if not boxes:
        return False
    longest = max(max(x1 - x0, y1 - y0) for x0, y0, x1, y1 in boxes)
    mask = Image.new("L", image.size, 255)
    for x0, y0, x1, y1 in boxes:
        edge = 0.1 * max(x1 - x0, y1 - y0)
        ImageDraw.Draw(mask).rectangle((x0 - edge, y0 - edge, x1 + edge, y1 + edge), fill=0)
    blur = ImageFilter.GaussianBlur(0.1 * longest)
    Image.composite(image, image.filter(blur), mask.filter(blur)).save(target, format="JPEG")
    return True


def sfumato(source: Path, boxes: list[Box], target: Path) -> bool:
    """Link or edit, prove, rename."""
    if not boxes:
        os.link(source, target)
        return True
    data = source.read_bytes()
    edit = jpeg.edit(data, boxes, Gaussian(), max_pixels=MAX_PIXELS)
    temporary = target.with_suffix(".part")
    temporary.write_bytes(edit.data)
    temporary.rename(target)
    return True


def deface_drawing() -> Tool | None:
    """Return deface's own drawing and writing, or None where it isn't installed."""
    try:
        import cv2
        import imageio.v2 as iio
        from deface.deface import anonymize_frame
    except ImportError:
        return None
    cv2.setNumThreads(1)

    def draw(source: Path, boxes: list[Box], target: Path) -> bool:
        frame = np.asarray(iio.imread(source))
        if frame.ndim == 2:
            frame = np.stack([frame] * 3, axis=2)
        found = np.array([(*box, 1.0) for box in boxes]).reshape(-1, 5)
        drawn = np.array(frame)
        anonymize_frame(found, drawn, 1.3, "blur", True, False, None, 20)
        iio.imsave(target, drawn, format="jpg")
        return True

    return draw


def outside(size: tuple[int, int], boxes: list[Box]) -> NDArray[np.bool_]:
    """Return which pixels lie outside all faces, generously grown."""
    width, height = size
    mask = np.ones((height, width), dtype=np.bool_)
    for x0, y0, x1, y1 in boxes:
        edge = 0.75 * float(np.hypot(x1 - x0, y1 - y0)) + 17
        top, left = max(int(y0 - edge), 0), max(int(x0 - edge), 0)
        mask[top : max(int(y1 + edge) + 1, 0), left : max(int(x1 + edge) + 1, 0)] = False
    return mask


def quality(source: Path, target: Path, boxes: list[Box]) -> dict[str, float | None]:
    """Measure what a tool did to an image with faces."""
    before, after = Image.open(source), Image.open(target)
    mask = outside(before.size, boxes)
    old = np.asarray(before.convert("RGB"), dtype=np.int16)[mask]
    new = np.asarray(after.convert("RGB"), dtype=np.int16)[mask]
    error = float(np.mean((old - new) ** 2, dtype=np.float64)) if mask.any() else 0.0
    kept = before.info.get("icc_profile") == after.info.get("icc_profile")
    data = target.read_bytes()
    return {
        "psnr": 10 * float(np.log10(255**2 / error)) if error else None,
        "changed": float((old != new).any(axis=1).mean()) if mask.any() else 0.0,
        "size": target.stat().st_size / source.stat().st_size,
        "icc": float(kept) if "icc_profile" in before.info else None,
        "preview": float(data.find(b"\xff\xd8\xff", 2) >= 0),
    }


def measure(root: Path, rounds: int) -> dict[str, dict[str, object]]:
    """Run all tools over all images and return the table."""
    faces: dict[str, list[Box]] = {}
    for row in csv.DictReader((root / "faces.csv").open()):
        if row["kind"] not in ("art", "unclear"):
            box = (float(row["x0"]), float(row["y0"]), float(row["x1"]), float(row["y1"]))
            faces.setdefault(row["path"], []).append(box)
    paths = sorted(p for p in (root / "images").rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))
    tools: dict[str, Tool | None] = {
        "recipe": recipe,
        "deface": deface_drawing(),
        "sfumato": sfumato,
    }
    spent: dict[str, dict[bool, list[float]]] = {t: {True: [], False: []} for t in tools}
    found: dict[str, list[dict[str, float | None]]] = {t: [] for t in tools}
    with tempfile.TemporaryDirectory(dir=root if os.access(root, os.W_OK) else None) as folder:
        for turn in range(rounds):
            for path in paths:
                boxes = faces.get(path.relative_to(root / "images").as_posix(), [])
                for name, tool in tools.items():
                    if tool is None:
                        continue
                    target = Path(folder) / f"{name}.jpg"
                    target.unlink(missing_ok=True)
                    start = time.process_time()
                    tool(path, boxes, target)
                    spent[name][bool(boxes)].append(time.process_time() - start)
                    if boxes and turn == 0:
                        found[name].append(quality(path, target, boxes))
    return {name: summary(spent[name], found[name]) for name in tools}


def summary(
    spent: dict[bool, list[float]], found: list[dict[str, float | None]]
) -> dict[str, object]:
    """Return one row of the table."""
    if not found:
        return {"status": "not measured: not installed"}
    values = {
        name: [value for one in found if (value := one[name]) is not None] for name in found[0]
    }
    psnr = values["psnr"]
    return {
        "images": len(spent[True]) + len(spent[False]),
        "cpu_ms_per_image": 1000 * mean(spent[True] + spent[False]),
        "cpu_ms_with_faces_mean": 1000 * mean(spent[True]),
        "cpu_ms_with_faces_median": 1000 * median(spent[True]),
        "psnr_outside_db_median": median(psnr) if len(psnr) * 2 > len(found) else "identical",
        "pixels_changed_outside": mean(values["changed"]),
        "size_median": median(values["size"]),
        "size_max": max(values["size"]),
        "icc_kept": f"{sum(values['icc']):.0f} of {len(values['icc'])}",
        "previews_left": int(sum(values["preview"])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    table = measure(options.folder, options.rounds)
    rows = list(table["sfumato"])
    print(f"{'':28}" + "".join(f"{name:>14}" for name in table))
    for row in rows:
        cells = [table[name].get(row, "not measured") for name in table]
        texts = [f"{c:.4g}" if isinstance(c, float) else str(c) for c in cells]
        print(f"{row:28}" + "".join(f"{text:>14}" for text in texts))
    ours, theirs = table["sfumato"], table["recipe"]
    for key in ("cpu_ms_per_image", "cpu_ms_with_faces_mean"):
        ratio = float(str(theirs[key])) / float(str(ours[key]))
        print(f"{key}: {ratio:.2f} times less than the recipe")
    if options.json:
        options.json.write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
