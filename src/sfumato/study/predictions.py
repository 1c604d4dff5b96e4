"""What a run of a study leaves behind: `run.json` and `predictions.parquet`, checked when read.

Both lie in `runs/<run id>/` of a study's folder, `run.json` written last: a folder with a
`run.json` is a finished run. Same run, same bytes.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sfumato.annotations.documents import parse_json
from sfumato.errors import UsageError
from sfumato.study.files import whole, write
from sfumato.types import JSON

LAYOUT: Final = 1
PROTOCOLS: Final = ("probe", "finetune", "scratch", "as-is", "brought")
KEPT: Final = 5  # best classes that are kept of each image
RUN_FILE: Final = "run.json"
PREDICTIONS_FILE: Final = "predictions.parquet"
_METADATA_KEY: Final = b"sfumato.run"
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._+-]+")
_SUM_TOLERANCE: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Run:
    """One model, trained on one arm with one seed and tested on one arm.

    `protocol` is one of PROTOCOLS; "as-is" is a pretrained classifier without training, with seed
    0. `classes` are the names that labels index. `fingerprint` is the SHA-256 of all settings that
    the predictions depend on, "" for brought ones.
    """

    architecture: str
    protocol: str
    train_arm: str
    test_arm: str
    seed: int
    classes: tuple[str, ...]
    dataset: str = ""
    fingerprint: str = ""
    device: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise UsageError(
                f"{self.protocol!r} is not a protocol: choose one of {', '.join(PROTOCOLS)}."
            )
        for name in ("architecture", "train_arm", "test_arm"):
            if not getattr(self, name):
                raise UsageError(f"A run needs a name for its {name.replace('_', ' ')}.")
        if len(self.classes) < 2:
            raise UsageError(f"A run needs at least two classes, not {len(self.classes)}.")
        if len(set(self.classes)) != len(self.classes):
            doubled = sorted({name for name in self.classes if self.classes.count(name) > 1})
            raise UsageError(f"Classes have the same name: {', '.join(doubled[:5])}.")

    @property
    def id(self) -> str:
        """Return the name of the run's folder."""
        parts = (self.architecture, self.protocol, self.train_arm, self.test_arm)
        return "-".join([*(_UNSAFE.sub("_", part) for part in parts), f"seed{self.seed}"])

    def record(self) -> JSON:
        """Return what `run.json` holds."""
        return {"layout": LAYOUT, **asdict(self), "classes": list(self.classes)}

    @classmethod
    def of_record(cls, record: Any, where: str) -> Self:
        """Return the run that a record describes; `where` names the file in errors.

        Raises:
            UsageError: a key is missing or holds something else, or the layout is another one.
        """
        if not isinstance(record, dict) or record.get("layout") != LAYOUT:
            raise UsageError(f"{where} is not a run record (layout {LAYOUT} of sfumato study).")
        words = ("architecture", "protocol", "train_arm", "test_arm")
        kinds: dict[str, type] = {**dict.fromkeys(words, str), "seed": int, "classes": list}
        kinds["versions"] = dict
        record = {"versions": {}, **record}
        for name, kind in kinds.items():
            if not isinstance(record.get(name), kind):
                raise UsageError(f"{where}: {name!r} is missing or not a {kind.__name__}.")
        known = {name: record[name] for name in kinds}
        known |= {name: str(record.get(name, "")) for name in ("dataset", "fingerprint", "device")}
        known["classes"] = tuple(map(str, record["classes"]))
        known["versions"] = {str(k): str(v) for k, v in record["versions"].items()}
        return cls(**known)


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What a model said about n images of K classes; rows are images, in any order.

    `images` (n,) are unique keys, the same in every run. `labels` (n,) int32 index the run's
    classes. `top5` (n, 5) int32 has the best classes first, ties by lower index, and -1 where
    there are fewer than five classes; `top5_probability` (n, 5) float32 goes with it.
    `label_probability` (n,) float32 is the label's, `label_rank` (n,) int32 is 0 where the label
    is the best class. `logit_max` and `logsumexp` (n,) float32. `logits` (n, K) float16, or None
    where they were not kept; per-class average precision needs them.
    """

    run: Run
    images: tuple[str, ...]
    labels: NDArray[np.int32]
    top5: NDArray[np.int32]
    top5_probability: NDArray[np.float32]
    label_probability: NDArray[np.float32]
    label_rank: NDArray[np.int32]
    logit_max: NDArray[np.float32]
    logsumexp: NDArray[np.float32]
    logits: NDArray[np.float16] | None = None

    @classmethod
    def of_logits(
        cls,
        run: Run,
        images: Sequence[str],
        labels: NDArray[Any],
        logits: NDArray[Any],
        *,
        keep_logits: bool = True,
    ) -> Self:
        """Return the predictions that logits (n, K) mean, K the number of the run's classes.

        Raises:
            UsageError: shapes don't fit, logits that are not finite (the first image is named),
                labels outside the classes, images named twice.
        """
        scores, truth = np.asarray(logits, dtype=np.float64), np.asarray(labels)
        _refuse_shapes(run, images, truth, scores)
        diverged = " The training has probably diverged; lower its rate."
        _refuse_nan(scores, images, f"Run {run.id}: logits", diverged)
        _refuse_labels(run, images, truth, f"Run {run.id}")
        order = np.argsort(-scores, axis=1, kind="stable")
        highest, total = scores.max(axis=1), _log_sum(scores)
        probabilities = np.exp(scores - total[:, None])
        best = order[:, :KEPT]
        kept = np.take_along_axis(probabilities, best, axis=1)
        room = ((0, 0), (0, KEPT - best.shape[1]))
        found = cls(
            run,
            tuple(images),
            truth.astype(np.int32),
            top5=np.pad(best, room, constant_values=-1).astype(np.int32),
            top5_probability=np.pad(kept, room).astype(np.float32),
            label_probability=probabilities[np.arange(len(images)), truth].astype(np.float32),
            label_rank=np.argmax(order == truth[:, None], axis=1).astype(np.int32),
            logit_max=highest.astype(np.float32),
            logsumexp=total.astype(np.float32),
            logits=_halved(scores) if keep_logits else None,
        )
        check(found, f"Run {run.id}")
        return found


def check(found: Predictions, where: str) -> None:
    """Refuse predictions that contradict themselves; `where` begins the sentence.

    Raises:
        UsageError: no image, an image twice, labels or classes out of range, values that are not
            finite, probabilities outside [0, 1], or a rank that the five best classes deny.
    """
    n, classes = len(found.images), len(found.run.classes)
    if not n:
        raise UsageError(f"{where} has no image.")
    if len(set(found.images)) != n:
        twice = Counter(found.images).most_common(1)[0][0]
        raise UsageError(f"{where} has a prediction for {twice!r} more than once.")
    _refuse_labels(found.run, found.images, found.labels, where)
    kept = min(KEPT, classes)
    best = found.top5[:, :kept]
    if best.min() < 0 or best.max() >= classes or (found.top5[:, kept:] != -1).any():
        raise UsageError(f"{where}: top5 names classes that aren't among the run's {classes}.")
    for name in ("top5_probability", "label_probability", "logit_max", "logsumexp"):
        _refuse_nan(getattr(found, name), found.images, f"{where}: {name}")
    for name in ("top5_probability", "label_probability"):
        values = getattr(found, name)
        if values.min() < 0 or values.max() > 1 + _SUM_TOLERANCE:
            raise UsageError(f"{where}: {name} holds values outside 0 to 1.")
    _refuse_ranks(found, kept, where)
    if found.logits is not None:
        _refuse_nan(found.logits, found.images, f"{where}: logits")


def write_run(study: Path, found: Predictions) -> Path:
    """Write `runs/<run id>/` of a study's folder and return it; a `run.json` means it is whole.

    Raises:
        OutputError: the disk refuses.
    """
    folder = study / "runs" / found.run.id
    record = json.dumps(found.run.record(), indent=1, sort_keys=True)
    table = _table(found).replace_schema_metadata({_METADATA_KEY: record.encode()})
    with whole(folder / PREDICTIONS_FILE) as part:
        pq.write_table(table, part, compression="zstd")
        # An older record would stand beside these predictions if this were killed.
        (folder / RUN_FILE).unlink(missing_ok=True)
    write(folder / RUN_FILE, f"{record}\n".encode())
    return folder


def read_record(path: Path) -> Run:
    """Return the run that a `run.json` describes.

    Raises:
        UsageError: the file can't be read or is no record of a run.
    """
    try:
        record = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} can't be read: {error}") from error
    return Run.of_record(record, str(path))


def runs_of(study: Path) -> list[tuple[Path, Run]]:
    """Return the folders of a study's finished runs with their records, by name.

    Raises:
        UsageError: there is none, or the record of one is damaged.
    """
    records = study.glob(f"runs/*/{RUN_FILE}") if os.path.isdir(study / "runs") else ()
    found = [(path.parent, read_record(path)) for path in sorted(records)]
    if not found:
        raise UsageError(f"{study} holds no finished run: run `sfumato study run` there first.")
    return found


def read_run(folder: Path, *, logits: bool = False) -> Predictions:
    """Return the checked predictions of a run's folder, with logits only if they are asked for.

    Raises:
        UsageError: a file is missing or damaged, or the predictions contradict themselves.
    """
    run = read_record(folder / RUN_FILE)
    path = folder / PREDICTIONS_FILE
    try:
        names = pq.read_schema(path).names
        wanted = [name for name in names if logits or name != "logits"]
        table = pq.read_table(path, columns=wanted)
    except (OSError, pa.ArrowException) as error:
        raise UsageError(f"{path} can't be read: {error}") from error
    found = _of_table(table, run, str(path))
    check(found, str(path))
    return found


_FLAT: Final = {
    "label_probability": np.float32,
    "label_rank": np.int32,
    "logit_max": np.float32,
    "logsumexp": np.float32,
}


def _table(found: Predictions) -> pa.Table:
    columns: dict[str, Any] = {"image": pa.array(found.images, pa.string())}
    columns["label"] = pa.array(found.labels, pa.int32())
    columns["top5"] = _lists(found.top5, pa.int32())
    columns["top5_probability"] = _lists(found.top5_probability, pa.float32())
    for name, kind in _FLAT.items():
        columns[name] = pa.array(getattr(found, name), pa.from_numpy_dtype(kind))
    if found.logits is not None:
        columns["logits"] = _lists(found.logits, pa.float16())
    return pa.table(columns)


def _lists(values: NDArray[Any], kind: Any) -> Any:
    flat = pa.array(np.ascontiguousarray(values).reshape(-1), kind)
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _of_table(table: pa.Table, run: Run, where: str) -> Predictions:
    needed = {"image", "label", "top5", "top5_probability", *_FLAT}
    if missing := sorted(needed - set(table.column_names)):
        raise UsageError(f"{where} lacks the columns {', '.join(missing)}.")
    for name in table.column_names:
        if table[name].null_count:
            raise UsageError(f"{where}: column {name!r} has empty cells.")
    flat: dict[str, Any] = {n: np.asarray(table[n], dtype=kind) for n, kind in _FLAT.items()}
    rows = table.num_rows
    return Predictions(
        run=run,
        images=tuple(table["image"].to_pylist()),
        labels=np.asarray(table["label"], dtype=np.int32),
        top5=_rows(table, "top5", (rows, KEPT), where).astype(np.int32),
        top5_probability=_rows(table, "top5_probability", (rows, KEPT), where).astype(np.float32),
        logits=(
            _rows(table, "logits", (rows, len(run.classes)), where).astype(np.float16)
            if "logits" in table.column_names
            else None
        ),
        **flat,
    )


def _rows(table: pa.Table, name: str, shape: tuple[int, int], where: str) -> NDArray[Any]:
    lists = table[name].combine_chunks()
    values = np.asarray(lists.flatten())
    if values.size != shape[0] * shape[1]:
        raise UsageError(f"{where}: {name!r} needs {shape[1]} values for each image.")
    return values.reshape(shape)


def _log_sum(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithm of the sum of the exponentials of each row (n, K)."""
    highest = scores.max(axis=1)
    total: NDArray[np.float64] = highest + np.log(np.exp(scores - highest[:, None]).sum(axis=1))
    return total


def _halved(scores: NDArray[np.float64]) -> NDArray[np.float16]:
    """Return logits as float16, moved so that the best of a row is 0: probabilities stay."""
    centred = scores - scores.max(axis=1, keepdims=True)
    halved: NDArray[np.float16] = np.maximum(centred, np.finfo(np.float16).min).astype(np.float16)
    return halved


def _refuse_shapes(
    run: Run, images: Sequence[str], labels: NDArray[Any], scores: NDArray[np.float64]
) -> None:
    wanted = (len(images), len(run.classes))
    if scores.shape != wanted or labels.shape != wanted[:1]:
        raise UsageError(
            f"Run {run.id}: {wanted[0]} images of {wanted[1]} classes need logits of shape "
            f"{wanted} and as many labels, not {scores.shape} and {labels.shape}."
        )


def _refuse_labels(run: Run, images: Sequence[str], labels: NDArray[Any], where: str) -> None:
    if labels.dtype.kind not in "iu":
        raise UsageError(f"{where}: labels must be whole numbers, not {labels.dtype}.")
    bad = (labels < 0) | (labels >= len(run.classes))
    if bad.any():
        first = int(bad.argmax())
        raise UsageError(
            f"{where}: {images[first]!r} has the label {labels[first]}, but the run's "
            f"{len(run.classes)} classes are 0 to {len(run.classes) - 1}."
        )


def _refuse_nan(values: NDArray[Any], images: Sequence[str], what: str, why: str = "") -> None:
    bad = ~np.isfinite(values if values.ndim > 1 else values[:, None]).all(axis=1)
    if bad.any():
        raise UsageError(
            f"{what} of {int(bad.sum())} of {len(images)} images aren't numbers (NaN or infinite), "
            f"the first {images[int(bad.argmax())]!r}.{why}"
        )


def _refuse_ranks(found: Predictions, kept: int, where: str) -> None:
    hit = found.top5[:, :kept] == found.labels[:, None]
    place = np.where(hit.any(axis=1), hit.argmax(axis=1), found.label_rank)
    bad = (place != found.label_rank) | (~hit.any(axis=1) & (found.label_rank < kept))
    if bad.any():
        raise UsageError(
            f"{where}: label_rank and top5 contradict each other for {int(bad.sum())} images, the "
            f"first {found.images[int(bad.argmax())]!r}."
        )
