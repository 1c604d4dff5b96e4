"""Which extra of sfumato brings a package that isn't there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sfumato.errors import MissingExtra

# Of each extra the packages that it brings, the first of which shows whether it is there, and what
# it adds. SciPy comes with two: `missing` asks which verb it is.
EXTRAS: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "review": (
        ("starlette", "httpx", "scipy", "uvicorn"),
        "the review page, its statistics, paid participants",
    ),
    "postgres": (("psycopg", "psycopg_pool"), "a ledger on a PostgreSQL server"),
    "study": (("torch", "timm", "torchvision"), "whether recognition survives"),
    "cloud": (("boto3", "botocore"), "the detector rekognition, which sends images to a service"),
    "verify": (("jpeglib",), "a second, independent reader of JPEG coefficients"),
    "dev": (("pytest",), "what tests, checks and benchmarks of sfumato itself need"),
    "heif": (("pi_heif",), "HEIC images are read"),
}


def missing(error: ImportError, words: Sequence[str]) -> MissingExtra | None:
    """Return the error that names the command for a package of an extra; None for any other.

    `words` are those of the command line.
    """
    package = (error.name or "").partition(".")[0]
    extra = next((name for name, (brought, _) in EXTRAS.items() if package in brought), None)
    if extra is None:
        return None
    extra = "study" if "study" in words[:1] else extra
    return MissingExtra(
        f"This needs {package}, which can't be loaded ({error}): pip install 'sfumato[{extra}]'."
    )
