"""What `sfumato study run` measured besides predictions: `probes/*.json` of a study's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from sfumato.errors import UsageError
from sfumato.types import JSON

NAMES: Final = ("shortcut", "gradcam", "transfer")


def read_probes(study: Path) -> dict[str, JSON]:
    """Return what the files of `probes/` hold, by name; only those that are there.

    Raises:
        UsageError: a file is no JSON object.
    """
    found = {}
    for name in NAMES:
        path = study / "probes" / f"{name}.json"
        if not path.is_file():
            continue
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(f"{path} can't be read: {error}") from error
        if not isinstance(record, dict):
            raise UsageError(f"{path} holds no JSON object.")
        found[name] = record
    return found
