"""Find every face of an image dataset, obfuscate the faces and nothing else, and prove it.

    import sfumato

    faces = sfumato.detect("group.jpg")
    covered = sfumato.obfuscate("group.jpg", faces)        # an array, upright RGB
    report = sfumato.run("photos", "photos-released")      # a folder tree, with all records

Everything else lives in its module: `sfumato.types` is the vocabulary, `sfumato.pipeline.driver`
the way of a data set. Importing this package loads nothing heavy; names are loaded when used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sfumato.version import VERSION

if TYPE_CHECKING:
    from sfumato.api import detect, obfuscate, run
    from sfumato.errors import SfumatoError
    from sfumato.types import Face

__all__ = ["Face", "SfumatoError", "detect", "obfuscate", "run"]
__version__ = VERSION

_HOMES = {
    "detect": "sfumato.api",
    "obfuscate": "sfumato.api",
    "run": "sfumato.api",
    "Face": "sfumato.types",
    "SfumatoError": "sfumato.errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sfumato' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
