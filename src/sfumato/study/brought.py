"""Predictions that somebody else's trainer has written: CSV or Parquet files, one row an image.

Columns: `image`, `label` (a class's name or number) and what the model said: `logit:<class>` for
each class, or a list `logits` (Parquet; labels are then indices), or the best classes `top1`,
`top2` … (`prediction` for `top1`), perhaps with `confidence`, the best one's probability. The run
is named on the command line, or by the columns `architecture`, `train_arm`, `test_arm` and
`seed`; then one file may hold many runs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sfumato.errors import UsageError
from sfumato.study.analysis.matrix import RunOutcome
from sfumato.study.predictions import Predictions, Run

_RUN_COLUMNS: Final = ("architecture", "train_arm", "test_arm", "seed")
_LOGIT: Final = "logit:"
_TOP: Final = re.compile(r"top([1-9]\d?)")
_UNNAMED: Final = "model"


@dataclass(frozen=True, slots=True)
class PredictionFile:
    """A file of predictions, and the run it is of; None where its columns say so."""

    path: Path
    run: tuple[str, str, str, int] | None = None

    @classmethod
    def of_text(cls, text: str) -> PredictionFile:
        """Return what `FILE` or `TRAIN/TEST/SEED[/ARCHITECTURE]=FILE` means.

        Raises:
            UsageError: the part before "=" is something else.
        """
        run, equals, path = text.rpartition("=")
        if not equals:
            return cls(Path(text))
        parts = run.split("/", 3)
        if len(parts) < 3 or not all(parts) or not re.fullmatch(r"\d+", parts[2]):
            raise UsageError(
                f"{text!r} doesn't name its run: write TRAIN/TEST/SEED=FILE or "
                "TRAIN/TEST/SEED/ARCHITECTURE=FILE, such as gaussian/original/1/resnet50=a.csv."
            )
        architecture = parts[3] if len(parts) == 4 else _UNNAMED
        return cls(Path(path), (architecture, parts[0], parts[1], int(parts[2])))


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """The rows of one run, names as text."""

    where: str
    run: tuple[str, str, str, int]
    images: tuple[str, ...]
    labels: NDArray[Any]
    top: NDArray[Any] | None
    confidence: NDArray[np.float32] | None
    logits: NDArray[np.float32] | None
    classes: tuple[str, ...]


def read_brought(sources: Sequence[PredictionFile]) -> list[RunOutcome]:
    """Return the outcomes in all files, with the same classes for all.

    Raises:
        UsageError: a file can't be read or lacks a column, logits are not finite, a label is no
            class, or a run isn't named.
    """
    rows = [one for source in sources for one in _rows_of(source)]
    named = [one.classes for one in rows if one.logits is not None]
    classes = named[0] if named else _by_name(rows)
    return [_of_logits(one) if one.logits is not None else _of_best(one, classes) for one in rows]


def _rows_of(source: PredictionFile) -> list[_Rows]:
    table = _read(source.path)
    names = set(table.column_names)
    if missing := sorted({"image", "label"} - names):
        raise UsageError(f"{source.path} lacks the columns {', '.join(missing)}.")
    for name in table.column_names:
        if table[name].null_count:
            raise UsageError(f"{source.path}: column {name!r} has empty cells.")
    if source.run is not None:
        return [_take(table, np.arange(table.num_rows), source.path, source.run)]
    if gone := [name for name in _RUN_COLUMNS[1:] if name not in names]:
        raise UsageError(
            f"{source.path} doesn't say which run it is of (no column {', '.join(gone)}): write "
            f"TRAIN/TEST/SEED={source.path.name}."
        )
    unnamed = [_UNNAMED] * table.num_rows
    said = (_texts(table, name) if name in names else unnamed for name in _RUN_COLUMNS)
    found: dict[tuple[str, str, str, int], list[int]] = {}
    for i, (architecture, train, test, seed) in enumerate(zip(*said, strict=True)):
        if not re.fullmatch(r"\d+", seed):
            raise UsageError(f"{source.path}: the seed {seed!r} is not a whole number.")
        found.setdefault((architecture, train, test, int(seed)), []).append(i)
    return [_take(table, np.array(rows), source.path, run) for run, rows in found.items()]


def _read(path: Path) -> pa.Table:
    try:
        if path.suffix.lower() == ".csv":
            # Nothing but an empty field is missing: "nan" is a number, "NA" may be a class.
            reading = pyarrow.csv.ConvertOptions(null_values=[""])
            return pyarrow.csv.read_csv(path, convert_options=reading)
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise UsageError(f"{path} can't be read as CSV or Parquet: {error}") from error


def _take(table: pa.Table, rows: NDArray[Any], path: Path, run: tuple[str, str, str, int]) -> _Rows:
    part = table.take(rows)
    labels = np.array(_texts(part, "label"), dtype=object)
    images = tuple(_texts(part, "image"))
    where = f"{path} ({'/'.join(map(str, run))})"
    columns = [name for name in table.column_names if name.startswith(_LOGIT)]
    confidence = None
    if columns:
        logits = np.column_stack([_numbers(part, name, where) for name in columns])
        classes = tuple(name.removeprefix(_LOGIT) for name in columns)
    elif "logits" in table.column_names:
        logits = _matrix(part, where)
        classes = tuple(str(k) for k in range(logits.shape[1]))
    else:
        if "confidence" in table.column_names:
            confidence = _confidence(part, where)
        top = _best(part, where)
        return _Rows(where, run, images, labels, top, confidence, None, ())
    return _Rows(where, run, images, labels, None, None, logits, classes)


def _best(part: pa.Table, where: str) -> NDArray[Any]:
    """Return (n, k) the best classes as text."""
    found = {int(match[1]): match[0] for match in map(_TOP.fullmatch, part.column_names) if match}
    if not found and "prediction" in part.column_names:
        found = {1: "prediction"}
    if sorted(found) != list(range(1, len(found) + 1)) or not found:
        raise UsageError(
            f"{where} has no predictions: it needs a column {_LOGIT}<class> for each class, or "
            "prediction, or top1, top2 … without a gap."
        )
    columns = [_texts(part, found[place]) for place in sorted(found)]
    return np.array(columns, dtype=object).T


def _of_logits(rows: _Rows) -> RunOutcome:
    run = _run(rows, rows.classes)
    place = {name: k for k, name in enumerate(rows.classes)}
    assert rows.logits is not None, "its caller has looked"
    found = Predictions.of_logits(run, rows.images, _indices(rows, place), rows.logits)
    return RunOutcome.of_predictions(found, rows.logits)


def _of_best(rows: _Rows, classes: tuple[str, ...]) -> RunOutcome:
    place = {name: k for k, name in enumerate(classes)}
    labels = _indices(rows, place)
    assert rows.top is not None, "its caller has looked"
    unknown = sorted({name for name in rows.top.ravel() if name not in place})
    if unknown:
        raise UsageError(f"{rows.where} predicts {unknown[0]!r}, a class the other files lack.")
    top = np.vectorize(place.__getitem__, otypes=[np.int32])(rows.top)
    hits = top == labels[:, None]
    depth = top.shape[1]
    rank = np.where(hits.any(axis=1), hits.argmax(axis=1), depth).astype(np.int32)
    if len(set(rows.images)) != len(rows.images):
        twice = Counter(rows.images).most_common(1)[0][0]
        raise UsageError(f"{rows.where} has a prediction for {twice!r} more than once.")
    return RunOutcome(
        _run(rows, classes), rows.images, labels, top[:, 0], rank, rows.confidence, None, depth
    )


def _run(rows: _Rows, classes: tuple[str, ...]) -> Run:
    architecture, train, test, seed = rows.run
    return Run(architecture, "brought", train, test, seed, classes)


def _indices(rows: _Rows, place: dict[str, int]) -> NDArray[np.int32]:
    unknown = sorted({name for name in rows.labels if name not in place})
    if unknown:
        raise UsageError(
            f"{rows.where}: labels don't match the classes: {unknown[0]!r} is none of "
            f"{len(place)} ({next(iter(place))!r} …)."
        )
    return np.array([place[name] for name in rows.labels], dtype=np.int32)


def _by_name(rows: Sequence[_Rows]) -> tuple[str, ...]:
    names: set[str] = set()
    for one in rows:
        names.update(one.labels)
        if one.top is not None:
            names.update(one.top.ravel())
    numbers = all(re.fullmatch(r"\d+", name) for name in names)
    return tuple(sorted(names, key=int) if numbers else sorted(names))


def _texts(table: pa.Table, name: str) -> list[str]:
    return [str(value) for value in table[name].to_pylist()]


def _numbers(table: pa.Table, name: str, where: str) -> NDArray[np.float32]:
    try:
        return np.asarray(table[name].to_numpy(), dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{where}: column {name!r} holds a value that is not a number.") from error


def _confidence(table: pa.Table, where: str) -> NDArray[np.float32]:
    found = _numbers(table, "confidence", where)
    if not ((found >= 0) & (found <= 1)).all():
        raise UsageError(f"{where}: confidence must be a probability, 0 to 1, for each image.")
    return found


def _matrix(table: pa.Table, where: str) -> NDArray[np.float32]:
    flat = np.asarray(table["logits"].combine_chunks().flatten(), dtype=np.float32)
    if not table.num_rows or flat.size % table.num_rows:
        raise UsageError(f"{where}: logits must be a list of the same length for each image.")
    return flat.reshape(table.num_rows, -1)
