"""Make the images of the documents: NASA's photograph of Eileen Collins, before and after.

    python scripts/readme_image.py

Takes the photograph that comes with the demo (public domain), makes a release of it with each
method, and writes docs/images/astronaut.jpg (before, and after with the defaults) and
docs/images/methods.jpg (gaussian, pixelate, fill, imagenet).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PIL import Image

import sfumato
from sfumato.assets import demo_images
from sfumato.obfuscation import METHODS
from sfumato.pipeline.settings import Settings

IMAGES: Final = Path(__file__).resolve().parents[1] / "docs" / "images"
PHOTOGRAPH: Final = "people/astronaut.png"
HEAD: Final = (96, 0, 352, 256)  # of the photograph: the face and what is around it
SHOWN: Final = (440, 440)
GAP: Final = 8  # pixels of white between two images


def released(source: Path, method: str, scratch: Path) -> Image.Image:
    """Return the photograph as `sfumato run --method` releases it."""
    out = scratch / method
    report = sfumato.run(source, out, settings=Settings(method=method), workers=1)
    if report.account.obfuscated != 1:
        raise SystemExit(f"no face was obfuscated with {method}: look into {out}.sfumato")
    return Image.open(out / PHOTOGRAPH).convert("RGB")


def beside(images: Sequence[Image.Image]) -> Image.Image:
    """Return images of one size side by side."""
    width, height = images[0].size
    joined = Image.new("RGB", (len(images) * (width + GAP) - GAP, height), "white")
    for index, image in enumerate(images):
        joined.paste(image, (index * (width + GAP), 0))
    return joined


def main() -> None:
    """Write the images."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        source = scratch / "source"
        (source / PHOTOGRAPH).parent.mkdir(parents=True)
        shutil.copy(demo_images.root() / PHOTOGRAPH, source / PHOTOGRAPH)
        before = Image.open(source / PHOTOGRAPH).convert("RGB")
        after = {method: released(source, method, scratch) for method in METHODS}
        pair = beside([image.resize(SHOWN) for image in (before, after["gaussian"])])
        heads = beside([image.crop(HEAD) for image in after.values()])
    IMAGES.mkdir(parents=True, exist_ok=True)
    pair.save(IMAGES / "astronaut.jpg", quality=82, optimize=True)
    heads.save(IMAGES / "methods.jpg", quality=82, optimize=True)


if __name__ == "__main__":
    main()
