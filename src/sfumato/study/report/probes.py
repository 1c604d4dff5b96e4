"""What `sfumato study run` measured besides predictions: `probes/*.json` of a study's folder.

A file holds a kind (shortcut, gradcam, transfer, detection), the architecture, the protocol, a
headline, tables (title, columns, rows) and images (file beside it, caption). Images show
originals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sfumato.annotations.documents import parse_json
from sfumato.errors import UsageError
from sfumato.release.report.page import data_uri
from sfumato.types import JSON

FOLDER: Final = "probes"
KINDS: Final = {
    "shortcut": "Does a model see the obfuscation, and does it matter?",
    "gradcam": "Where does it look?",
    "transfer": "Do its features serve elsewhere?",
    "detection": "Do they serve a detector?",
}
_LARGEST: Final = 4_000_000  # bytes of an image that goes into the page
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG: Final = b"\xff\xd8\xff"


@dataclass(frozen=True, slots=True)
class Probe:
    """One file of `probes/`; `images` are (path, caption), `tables` have title, columns, rows."""

    kind: str
    architecture: str
    protocol: str
    headline: str
    tables: tuple[JSON, ...]
    images: tuple[tuple[Path, str], ...]
    alarms: int

    def summary(self) -> JSON:
        """Return the probe for `study.json`; images stay where they are."""
        return {
            "kind": self.kind,
            "architecture": self.architecture,
            "protocol": self.protocol,
            "headline": self.headline,
            "alarms": self.alarms,
            "tables": list(self.tables),
        }


def read_probes(study: Path) -> list[Probe]:
    """Return the probes of a study's folder, by kind and name; none if there is no `probes/`.

    Raises:
        UsageError: a file is no record of a probe.
    """
    found = [_read(path) for path in sorted((study / FOLDER).glob("*.json"))]
    order = list(KINDS)
    return sorted(found, key=lambda probe: (order.index(probe.kind), probe.architecture))


def image(path: Path) -> str:
    """Return a PNG or JPEG as a data URI, for the page.

    Raises:
        UsageError: the file can't be read, is of another kind or larger than 4 MB.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}.") from error
    if len(data) > _LARGEST or not data.startswith((_PNG, _JPEG)):
        raise UsageError(f"{path} is not a PNG or JPEG of at most 4 MB.")
    return data_uri(data)


def _read(path: Path) -> Probe:
    try:
        record = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} can't be read: {error}") from error
    if not isinstance(record, dict) or record.get("kind") not in KINDS:
        raise UsageError(f"{path} is not a probe record: its kind must be {', '.join(KINDS)}.")
    try:
        return Probe(
            record["kind"],
            str(record["architecture"]),
            str(record["protocol"]),
            str(record["headline"]),
            tuple(_table(one) for one in record["tables"]),
            tuple(_image(path, one) for one in record["images"]),
            len(record.get("alarms", ())),
        )
    except (KeyError, TypeError) as error:
        raise UsageError(f"{path} is not a probe record: {error} is missing or wrong.") from error


def _table(record: JSON) -> JSON:
    columns, rows = [str(name) for name in record["columns"]], [list(row) for row in record["rows"]]
    if any(len(row) != len(columns) for row in rows):
        raise TypeError(f"a row of {record['title']!r} that doesn't fit its columns")
    return {"title": str(record["title"]), "columns": columns, "rows": rows}


def _image(beside: Path, record: JSON) -> tuple[Path, str]:
    name = str(record["file"])
    if Path(name).name != name:
        raise TypeError(f"an image in another folder, {name!r}")
    return beside.parent / name, str(record["caption"])


def of_kind(probes: Sequence[Probe], kind: str) -> list[Probe]:
    """Return the probes of one kind."""
    return [probe for probe in probes if probe.kind == kind]
