"""Files that are no pictures by name: copied on request, if they can't hold a face."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from sfumato import codec
from sfumato.errors import Code, SampleError
from sfumato.formats.imagefolder import FolderSink, read_steadily
from sfumato.types import Failure, Sample

# What the release itself puts at its top.
RESERVED: Final = frozenset({"manifest.parquet", "faces.parquet", "summary.json", "report.html"})
_HEAD: Final = 4096


def copy_others(
    keys: Iterable[str], source: Path, sink: FolderSink
) -> tuple[list[str], list[Failure]]:
    """Copy labels, texts and the like into the release; return what was copied and refused.

    Whatever its name, a file whose first bytes are those of a picture, a film, a document or an
    archive is refused: nobody has looked for faces in it.
    """
    copied: list[str] = []
    refused: list[Failure] = []
    for key in keys:
        if key in RESERVED:
            continue  # stays listed as ignored
        try:
            data = read_steadily(source / key)
            kind = codec.may_hold_pictures(data[:_HEAD])
            if kind is not None:
                raise SampleError(
                    Code.OTHER_MAY_HOLD_FACES, f"not named like a picture, but {kind}"
                )
        except SampleError as error:
            refused.append(Failure(key, "copy", error.code, error.reason))
            continue
        sink.stage(Sample(key, "", data, hashlib.sha256(data).hexdigest()), data)
        copied.append(key)
    sink.publish(copied)
    return copied, refused
