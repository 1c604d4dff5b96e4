"""Four photographs that come with the package: two with a face, two without.

They are free of copyright restrictions. The build copies them from the PyPI packages that
carry them (`build_assets.py` at the root of the repository). They lie in one folder for each
class, so that `root()` is a source for `sfumato run` like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from sfumato.errors import UsageError

__all__ = ["IMAGES", "DemoImage", "root"]


@dataclass(frozen=True, slots=True)
class DemoImage:
    """One photograph: SHA-256 in hex, terms, who made or gave it, and where it comes from."""

    sha256: str
    licence: str
    credit: str
    source: str


# By path below `root()`. scikit-image states the terms in the docstrings of `skimage.data`,
# Wikimedia Commons those of grace_hopper.jpg.
IMAGES: Mapping[str, DemoImage] = MappingProxyType(
    {
        "people/astronaut.png": DemoImage(
            sha256="88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
            licence="public domain",
            credit="NASA",
            source="https://flic.kr/p/r9qvLn",
        ),
        "people/grace_hopper.jpg": DemoImage(
            sha256="a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130",
            licence="public domain",
            credit="United States Navy",
            source="https://commons.wikimedia.org/wiki/File:Grace_Hopper.jpg",
        ),
        "animals/chelsea.png": DemoImage(
            sha256="596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
            licence="CC0-1.0",
            credit="Stefan van der Walt",
            source="scikit-image",
        ),
        "things/coffee.png": DemoImage(
            sha256="cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
            licence="CC0-1.0",
            credit="Rachel Michetti, courtesy of Pikolo Espresso Bar",
            source="scikit-image",
        ),
    }
)


def root() -> Path:
    """Return the folder that holds the images of `IMAGES`, and nothing else.

    Raises `UsageError` if they are missing, as in a checkout that was never installed.
    """
    folder = Path(__file__).resolve().parent / "images"
    missing = [name for name in IMAGES if not (folder / name).is_file()]
    if missing:
        raise UsageError(
            f"The demo images {', '.join(missing)} are not in {folder}. Install sfumato again "
            "(in a checkout: pip install --editable .)."
        )
    return folder
