"""The tables of a release: manifest.parquet and faces.parquet, written row by row.

The rows come in the order of the keys, and nothing in them depends on time, place or person,
so the same work gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from sfumato.sources import Sink
from sfumato.sources.released_names import released_name
from sfumato.types import Failure, FileKind, Output

_BATCH: Final = 50_000

MANIFEST: Final = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("sha256_in", pa.string()),
        pa.field("sha256_out", pa.string()),
        pa.field("action", pa.string(), nullable=False),  # copied, obfuscated or refused
        pa.field("encoding", pa.string()),  # identical, exact or reencoded: see `types.Encoding`
        pa.field("code", pa.string()),  # why it was refused
        pa.field("faces", pa.int32(), nullable=False),
        pa.field("method", pa.string()),
        pa.field("fingerprint", pa.string(), nullable=False),
        pa.field("content", pa.string(), nullable=False),  # image, other or unchecked (an other)
        # further images that the file held, and those of them that are gone
        pa.field("second_images", pa.int32(), nullable=False),
        pa.field("second_images_removed", pa.int32(), nullable=False),
        pa.field("path_out", pa.string()),  # where the release has another name for it
    ]
)
FACES: Final = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        *(pa.field(side, pa.float32(), nullable=False) for side in ("x0", "y0", "x1", "y1")),
        pa.field("score", pa.float32(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
    ]
)


class Table:
    """A Parquet file that is written in batches; if it was `withheld`, it won't be there."""

    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        self._schema = schema
        self._rows: list[dict[str, object]] = []
        self._writer = pq.ParquetWriter(file, schema, compression="zstd")
        self.withheld = False

    def add(self, rows: Iterable[dict[str, object]]) -> None:
        """Append rows."""
        self._rows.extend(rows)
        if len(self._rows) >= _BATCH:
            self._flush()

    def finish(self) -> None:
        """Write what is left, and the end."""
        try:
            self._flush()
        finally:
            self._writer.close()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows.clear()


class _Withheld(Exception):
    pass


@contextmanager
def table(sink: Sink, name: str, schema: pa.Schema) -> Iterator[Table]:
    """Write a table of the release, whole at the end; one that is `withheld` goes, if it was there.

    Raises:
        OutputError: the release can't be written.
    """
    try:
        with sink.writing(name) as file:
            made = Table(file, schema)
            try:
                yield made
            finally:
                made.finish()
            if made.withheld:
                raise _Withheld
    except _Withheld:
        sink.forget((name,))


def manifest_row(
    outcome: Output | Failure, fingerprint: str, *, content: FileKind = "image"
) -> dict[str, object]:
    """Return the manifest's row for what became of one file; `content` is what a refused one is."""
    if isinstance(outcome, Failure):
        refused = {"path": outcome.key, "action": "refused", "code": str(outcome.code), "faces": 0}
        counts = {"second_images": 0, "second_images_removed": 0}
        return {**refused, "fingerprint": fingerprint, "content": content, **counts}
    return {
        "path": outcome.key,
        "sha256_in": outcome.digest,
        "sha256_out": outcome.written,
        "action": outcome.action,
        "encoding": outcome.encoding,
        "faces": len(outcome.faces),
        "method": outcome.method or None,
        "fingerprint": fingerprint,
        "content": outcome.content,
        "second_images": outcome.second_images,
        "second_images_removed": outcome.second_images_removed,
        "path_out": name if (name := released_name(outcome.key)) != outcome.key else None,
    }


def face_rows(output: Output) -> list[dict[str, object]]:
    """Return the rows of an image's faces: boxes as found, not grown; no reviewer's name."""
    return [
        {
            "path": output.key,
            **dict(zip(("x0", "y0", "x1", "y1"), face.box, strict=True)),
            "score": face.score,
            "origin": face.origin.partition(":")[0],
        }
        for face in output.faces
    ]
