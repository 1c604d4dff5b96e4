"""Which extra of sfumato brings a package that isn't there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sfumato.errors import MissingExtra

# SciPy comes with two: `missing` asks which verb it is.
_EXTRAS: Final = {
    "boto3": "cloud",
    "botocore": "cloud",
    "httpx": "review",
    "jpeglib": "verify",
    "psycopg": "postgres",
    "psycopg_pool": "postgres",
    "scipy": "review",
    "starlette": "review",
    "timm": "study",
    "torch": "study",
    "torchvision": "study",
    "uvicorn": "review",
}


def missing(error: ImportError, words: Sequence[str]) -> MissingExtra | None:
    """Return the error that names the command for a package of an extra; None for any other.

    `words` are those of the command line.
    """
    package = (error.name or "").partition(".")[0]
    if package not in _EXTRAS:
        return None
    extra = "study" if "study" in words[:1] else _EXTRAS[package]
    return MissingExtra(
        f"This needs {package}, which can't be loaded ({error}): pip install 'sfumato[{extra}]'."
    )
