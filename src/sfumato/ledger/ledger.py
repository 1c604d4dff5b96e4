"""The ledger: every record of a run, append-only, in an SQLite file or a PostgreSQL database.

A correction is a new record; the latest one of a key counts. One transaction per shard holds
its records and the mark that the shard is done, so a killed run never shows half a shard.
Of a run, only the driver writes; workers may read. People's reviews come in beside it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from itertools import groupby
from operator import itemgetter
from typing import Final

from sfumato.errors import LedgerError, OutputError
from sfumato.ledger import schema
from sfumato.ledger.database import Connection, Row, Where, connect, in_words, is_url, unusable
from sfumato.ledger.records import decode, encode, imported_from, name_from, understood
from sfumato.ledger.schema import batches, marks
from sfumato.sources import Note
from sfumato.sources.doors import ImportedBoxes
from sfumato.types import Finding, Record

__all__ = ["Ledger", "append", "decode", "encode", "is_there", "latest_query"]

_SEARCHED: Final = '"searched":'  # in a run's versions: see `settings.software`


def append(connection: Connection, records: Iterable[tuple[str, Record]], *, run: int = 0) -> None:
    """Append (fingerprint, record) pairs in a transaction of the ledger's database."""
    connection.executemany(
        "INSERT INTO records (run, fingerprint, key, kind, body) VALUES (?, ?, ?, ?, ?)",
        [
            (run, fingerprint, _checked(record.key), *encode(record))
            for fingerprint, record in records
        ],
    )


def _checked(key: str) -> str:
    if "\0" in key:
        raise LedgerError(f"A ledger can't hold the name {key!r}: rename it, without the NUL.")
    return key


def is_there(where: Where) -> bool:
    """Say whether there is a ledger at this place.

    Raises:
        LedgerError: there is a server's URL, and it can't be asked.
    """
    if not is_url(where):
        return os.path.isfile(where)  # False, too, where nobody may look
    database = connect(where, read_only=True)
    try:
        return schema.version(database) > 0
    except database.errors as error:
        raise unusable(where, error) from error
    finally:
        database.close()


def latest_query(fingerprint: str, kinds: Sequence[str]) -> tuple[str, list[str]]:
    """Return SQL and parameters of key, seq, kind and body of these records, in order.

    Each kind is read along the index and the streams are merged: the first record comes at once.
    """
    of_kind = (
        "SELECT * FROM (SELECT key, seq, kind, body FROM records "
        # PostgreSQL merges streams only where each says its order.
        "WHERE fingerprint = ? AND kind = ? ORDER BY key, seq) AS one"
    )
    sql = f"{' UNION ALL '.join([of_kind] * len(kinds))} ORDER BY key, seq"
    return sql, [part for kind in kinds for part in (fingerprint, kind)]


class Ledger:
    """One ledger; use it as a context manager. `where` is a file or a ``postgresql://`` URL.

    `name` is what a message may say of the place; `database` is what it lies in.

    Raises:
        LedgerError: it can't be opened or isn't a ledger of this program.
        UsageError: the URL can't be read, or `sfumato[postgres]` is missing.
    """

    def __init__(self, where: Where, *, read_only: bool = False) -> None:
        self.where = where
        self._run = 0
        self.database = connect(where, read_only=read_only)
        self.name = self.database.name
        try:
            if read_only:
                schema.version(self.database)
            else:
                schema.migrate(self.database)
            self.database.rows("SELECT 1 FROM records LIMIT 1")
        except self.database.errors as error:
            self.database.close()
            raise unusable(where, error) from error
        except LedgerError:
            self.database.close()
            raise

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.database.close()

    def alone(self) -> AbstractContextManager[None]:
        """Keep other runs out, on a server; beside a file, a lock file does that."""
        return self.database.alone()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self.database.transaction() as connection:
                yield connection
        except self.database.errors as error:
            raise OutputError(
                f"The ledger {self.name} can't be written ({in_words(error)}): make room or mend "
                "it, then run the same command again to go on."
            ) from error

    def _read(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[Row]:
        try:
            yield from self.database.read(sql, parameters)
        except self.database.errors as error:
            raise self._unreadable(error) from error

    def _rows(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        try:
            return self.database.rows(sql, parameters)
        except self.database.errors as error:
            raise self._unreadable(error) from error

    def _among(self, sql: str, before: Sequence[object], keys: Iterable[str]) -> Iterator[Row]:
        """Yield the rows of a question about keys (`{keys}`), many of them at once."""
        for some in batches(keys):
            yield from self._rows(sql.format(keys=marks(some)), (*before, *some))

    def _unreadable(self, error: Exception) -> LedgerError:
        return LedgerError(
            f"The ledger {self.name} can't be read ({in_words(error)}): mend that, then run the "
            "same command again to go on."
        )

    def begin(
        self,
        *,
        started: str,
        command: str,
        source: str,
        fingerprint: str,
        recipe: str,
        versions: str,
    ) -> None:
        """Note that a run began: when, from what, with which recipe and software."""
        with self._transaction() as db:
            ((self._run,),) = db.execute(
                "INSERT INTO runs (started, command, source, fingerprint, recipe, versions) "
                "VALUES (?, ?, ?, ?, ?, ?) RETURNING seq",
                (started, command, source, fingerprint, recipe, versions),
            ).fetchall()

    def last_run(self, command: str = "%") -> tuple[str, str, str] | None:
        """Return source, fingerprint and recipe (JSON) of the last run; None if there was none."""
        rows = self._rows(
            "SELECT source, fingerprint, recipe FROM runs WHERE command LIKE ? "
            "ORDER BY seq DESC LIMIT 1",
            (command,),
        )
        return (rows[0][0], rows[0][1], rows[0][2]) if rows else None

    def commit(
        self,
        records: Iterable[tuple[str, Record]],
        done: Sequence[tuple[str, str]] = (),
        *,
        shard: str = "",
        span: tuple[str, str] = ("", ""),
        notes: Iterable[Note] = (),
    ) -> None:
        """Append (fingerprint, record) pairs and mark (stage, fingerprint) done for the shard.

        `span` is its first and last key: marks of other shards with keys in there are of what the
        source once held, and go. `notes` say what lies in the release now.
        """
        marked = [(stage, fingerprint, shard, *span) for stage, fingerprint in done]
        with self._transaction() as db:
            append(db, records, run=self._run)
            db.executemany(
                "DELETE FROM shards WHERE stage = ? AND fingerprint = ? AND id <> ? "
                "AND to_key >= ? AND from_key <= ? AND to_key <> ''",
                marked,
            )
            db.executemany(
                "INSERT INTO shards (stage, fingerprint, id, from_key, to_key) "
                "VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                marked,
            )
            db.executemany(
                "INSERT INTO published (key, digest, state) VALUES (?, ?, ?) "
                "ON CONFLICT (key) DO UPDATE SET digest = excluded.digest, state = excluded.state",
                [(note.key, note.digest, note.state) for note in notes],
            )

    def notes(self) -> Iterator[Note]:
        """Yield what was last seen of each file of the release, in the order of the keys."""
        if schema.knows_published(self.database):
            for row in self._read("SELECT key, digest, state FROM published ORDER BY key"):
                yield Note(*row)

    def read(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[Row]:
        """Yield the rows of a question that is asked elsewhere."""
        yield from self._read(sql, parameters)

    def done(self, stage: str, fingerprint: str) -> set[str]:
        """Return the ids of the shards that this stage has finished with these settings."""
        rows = self._read(
            "SELECT id FROM shards WHERE stage = ? AND fingerprint = ?", (stage, fingerprint)
        )
        return {row[0] for row in rows}

    def forget(self, shards: Iterable[str], checks: Sequence[str] = ()) -> None:
        """Unmark shards as done (with `checks`, as verified with these); their records stay."""
        sql, rows = "DELETE FROM shards WHERE id = ?", [(shard,) for shard in shards]
        if checks:
            sql += f" AND stage = 'verify' AND fingerprint IN ({marks(checks)})"
        with self._transaction() as db:
            db.executemany(sql, [(*row, *checks) for row in rows])

    def latest(self, fingerprint: str, kinds: Sequence[str]) -> Iterator[Record]:
        """Yield the latest record of these kinds for each key, in the order of the keys."""
        rows = self._read(*latest_query(fingerprint, kinds))
        for _, versions in groupby(rows, itemgetter(0)):
            *_, (_, _, kind, body) = versions
            yield decode(kind, body)

    def latest_of(self, fingerprint: str, kinds: Sequence[str], key: str) -> Record | None:
        """Return the latest record of these kinds for one key, or None."""
        return next(self.latest_among(fingerprint, kinds, [key]), None)

    def searched_less(self, fingerprint: str, keys: Iterable[str]) -> set[str]:
        """Return the keys whose last detection is of a version that looked at less of them.

        One that was adopted is of no run here: `adopt` has asked the other ledger.
        """
        rows = self._among(
            "SELECT records.key, runs.versions FROM records "
            "LEFT JOIN runs ON runs.seq = records.run "
            "WHERE records.fingerprint = ? AND records.kind = 'detection' "
            "AND records.key IN ({keys}) ORDER BY records.seq",
            (fingerprint,),
            keys,
        )
        last: dict[str, str | None] = dict(rows)
        return {key for key, run in last.items() if run is not None and _SEARCHED not in run}

    def has_searched_less(self) -> bool:
        """Say whether any of its detections may be of a version that looked at less."""
        rows = self._read("SELECT versions FROM runs WHERE command LIKE '%detect%'")
        return any(_SEARCHED not in row[0] for row in rows)

    def latest_among(
        self, fingerprint: str, kinds: Sequence[str], keys: Iterable[str]
    ) -> Iterator[Record]:
        """Yield the latest record of these kinds of each of the keys, many in one question."""
        sql = (
            "SELECT key, kind, body FROM records WHERE fingerprint = ? AND "  # noqa: S608
            f"kind IN ({marks(kinds)}) AND key IN ({{keys}}) ORDER BY seq"
        )
        for some in batches(keys):
            rows = self._among(sql, (fingerprint, *kinds), some)
            yield from (decode(*body) for body in {key: body for key, *body in rows}.values())

    def still_there(self, keys: Iterable[str]) -> set[str]:
        """Return which of the keys were images of the source at the last run."""
        # 0.1.0 called an image "picture", and a ledger that is only read isn't migrated.
        sql = "SELECT key FROM listing WHERE kind IN ('image', 'picture') AND key IN ({keys})"
        return {row[0] for row in self._among(sql, (), keys)}

    def findings(self, fingerprint: str) -> Iterator[Finding]:
        """Yield what the last run that checked a key found there, in the order of the keys.

        What an earlier one found is out of date: a file that was mended must not fail, and one
        that can't be read any more has passed nothing. Of a check that one run made twice, the
        latest finding counts. A finding speaks of one output: whoever reads them compares
        `digest`.
        """
        rows = self._read(
            "SELECT key, run, body FROM records WHERE fingerprint = ? AND kind = 'finding' "
            "ORDER BY key, seq",
            (fingerprint,),
        )
        for _, group in groupby(rows, itemgetter(0)):
            found = list(group)
            with understood("the number of a run"):
                last = max(run for _, run, _ in found)
            by_code: dict[str, Finding] = {}
            for _, run, body in found:
                record = decode("finding", body) if run == last else None
                if isinstance(record, Finding):
                    by_code[record.code] = record
            yield from (by_code[code] for code in sorted(by_code))

    def list_source(self, kinds: Mapping[str, str]) -> None:
        """Store what the source holds now: key to "image", "refused", "ignored" or "copied"."""
        with self._transaction() as db:
            db.execute("DELETE FROM listing")
            db.load("listing", "key kind", kinds.items())

    def listing(self) -> Iterator[tuple[str, str]]:
        """Yield (key, kind) of what the source held at the last run, in the order of the keys."""
        for key, kind in self._read("SELECT key, kind FROM listing ORDER BY key"):
            yield name_from(key), "image" if kind == "picture" else kind

    def redecided(self, decided: str, released: str) -> set[str]:
        """Return the keys on which people or checks decided after they were released or refused.

        `decided` and `released` are the fingerprints of detection and of obfuscation.
        """
        rows = self._read(
            "SELECT decided.key FROM (SELECT key, MAX(seq) AS last FROM records "
            "WHERE fingerprint = ? AND kind IN ('decision', 'redetection') "
            "GROUP BY key) AS decided "
            "JOIN (SELECT key, MAX(seq) AS last FROM records WHERE fingerprint = ? "
            "AND kind IN ('output', 'failure') GROUP BY key) AS fate "
            "ON decided.key = fate.key WHERE decided.last > fate.last",
            (decided, released),
        )
        return {row[0] for row in rows}

    def unsearched(self, released: str, *, checked: bool) -> set[str]:
        """Return the keys whose last output is of a version that didn't look for second images.

        `released` is the fingerprint of obfuscation. With `checked`, those are left out that a
        verification which does look for them has seen since.
        """
        rows = self._read(
            "SELECT key FROM records AS made WHERE fingerprint = ? AND kind = 'output' "
            "AND body NOT LIKE ? AND NOT EXISTS (SELECT 1 FROM records AS later "
            "WHERE later.fingerprint = made.fingerprint AND later.kind IN ('output', 'failure') "
            "AND later.key = made.key AND later.seq > made.seq)",
            (released, '%"second_images":%'),
        )
        keys = {row[0] for row in rows}
        if keys and checked:
            keys -= {
                row[0]
                for row in self._read(
                    "SELECT DISTINCT key FROM records WHERE kind = 'finding' AND body LIKE ?",
                    ('%"faces":%',),
                )
            }
        return keys

    def written(self) -> Iterator[str]:
        """Yield every key that any run has ever written, or meant to write, to the release."""
        rows = self._read(
            "SELECT key FROM records WHERE kind = 'output' UNION SELECT key FROM published"
        )
        yield from (name_from(row[0]) for row in rows)

    def import_boxes(self, boxes: str, imported: Mapping[str, ImportedBoxes]) -> None:
        """Store what a file of boxes says (`boxes`: its SHA-256), by the key of the image."""
        rows = [
            (boxes, key, json.dumps(asdict(what), separators=(",", ":")))
            for key, what in imported.items()
        ]
        with self._transaction() as db:
            db.executemany(
                "INSERT INTO given (boxes, key, body) VALUES (?, ?, ?) "
                "ON CONFLICT (boxes, key) DO UPDATE SET body = excluded.body",
                rows,
            )

    def imported(self, boxes: str, keys: Iterable[str]) -> dict[str, ImportedBoxes]:
        """Return what a file of boxes said of those of the keys that it names."""
        sql = "SELECT key, body FROM given WHERE boxes = ? AND key IN ({keys})"
        return {key: imported_from(body) for key, body in self._among(sql, (boxes,), keys)}
