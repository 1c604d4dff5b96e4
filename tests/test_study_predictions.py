from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sfumato.errors import OutputError, UsageError
from sfumato.study import files, predictions
from sfumato.study.predictions import Predictions, Run, check, read_run, runs_of, write_run

CLASSES = ("cat", "dog", "eel", "fox", "gnu", "hen")
RUN = Run("resnet18", "probe", "original", "gaussian", 0, CLASSES)
LOGITS = np.array(
    [
        [1.0, 2.0, 3.0, 0.0, -1.0, -2.0],
        [5.0, 5.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.1, 0.2, 0.3, 0.4, 0.5],
    ]
)
IMAGES = ("a.png", "b.png", "c.png")
LABELS = np.array([2, 1, 0])


def made(run: Run = RUN) -> Predictions:
    return Predictions.of_logits(run, IMAGES, LABELS, LOGITS)


def test_logits_become_ranks_with_ties_by_the_lower_index() -> None:
    found = made()
    assert found.top5.tolist() == [[2, 1, 0, 3, 4], [0, 1, 2, 3, 4], [5, 4, 3, 2, 1]]
    assert found.label_rank.tolist() == [0, 1, 5]
    odds = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
    assert found.label_probability == pytest.approx(odds[[0, 1, 2], LABELS], rel=1e-6)
    assert found.top5_probability[0] == pytest.approx(np.sort(odds[0])[::-1][:5], rel=1e-6)
    assert found.logsumexp == pytest.approx(np.log(np.exp(LOGITS).sum(axis=1)), rel=1e-6)


def test_a_run_comes_back_as_it_was_written_and_twice_the_same_bytes(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "one", made())
    again = write_run(tmp_path / "two", made())
    for name in ("run.json", "predictions.parquet"):
        assert (folder / name).read_bytes() == (again / name).read_bytes()
    found, expected = read_run(folder, logits=True), made()
    assert found.run == RUN
    assert found.images == IMAGES
    for name in ("labels", "top5", "top5_probability", "label_rank", "logits", "logsumexp"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name
    assert read_run(folder).logits is None
    metadata = pq.read_schema(folder / "predictions.parquet").metadata
    assert json.loads(metadata[b"sfumato.run"]) == RUN.record()


def test_killed_between_its_files_a_run_is_not_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the record of older settings would stand beside the new predictions."""
    write_run(tmp_path, replace(made(), run=replace(RUN, fingerprint="older")))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(predictions, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        write_run(tmp_path, replace(made(), run=replace(RUN, fingerprint="newer")))
    with pytest.raises(UsageError, match="no finished run"):
        runs_of(tmp_path)


def test_a_file_where_a_folder_should_be_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("no folder")
    for path in (tmp_path / "runs" / "a.json", tmp_path / "runs" / "b" / "a.json"):
        with pytest.raises(OutputError, match=r"a\.json can't be written \("):
            files.write(path, b"{}")


def test_fewer_than_five_classes_leave_places_empty(tmp_path: Path) -> None:
    run = replace(RUN, classes=("cat", "dog", "eel"))
    found = Predictions.of_logits(run, IMAGES, LABELS, LOGITS[:, :3])
    assert found.top5.tolist()[0] == [2, 1, 0, -1, -1]
    assert read_run(write_run(tmp_path, found)).top5_probability[0, 3:].tolist() == [0, 0]


def test_large_logits_stay_finite_in_half_precision() -> None:
    found = Predictions.of_logits(RUN, IMAGES, LABELS, LOGITS * 1e6)
    assert found.logits is not None
    assert np.isfinite(found.logits).all()


def test_a_finished_run_is_one_with_a_record(tmp_path: Path) -> None:
    folder = write_run(tmp_path, made())
    assert runs_of(tmp_path) == [(folder, RUN)]
    (folder / "run.json").unlink()
    with pytest.raises(UsageError, match="no finished run"):
        runs_of(tmp_path)


def test_run_folders_have_safe_names() -> None:
    assert replace(RUN, architecture="timm/vit ../x").id == (
        "timm_vit_.._x-probe-original-gaussian-seed0"
    )


@pytest.mark.parametrize(
    ("logits", "labels", "images", "words"),
    [
        (np.where(LOGITS == 3, np.nan, LOGITS), LABELS, IMAGES, "1 of 3 images.*'a.png'"),
        (LOGITS, np.array([2, 1, 6]), IMAGES, "'c.png' has the label 6.*0 to 5"),
        (LOGITS, np.array([2.0, 1.0, 0.0]), IMAGES, "whole numbers"),
        (LOGITS[:, :5], LABELS, IMAGES, r"need logits of shape \(3, 6\)"),
        (LOGITS, LABELS, ("a.png", "b.png", "a.png"), "'a.png' more than once"),
        (LOGITS[:0], LABELS[:0], (), "no image"),
    ],
)
def test_what_contradicts_itself_is_refused(
    logits: np.ndarray, labels: np.ndarray, images: tuple[str, ...], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        Predictions.of_logits(RUN, images, labels, logits)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"label_rank": np.array([1, 1, 5], np.int32)}, "contradict.*'a.png'"),
        ({"label_rank": np.array([0, 1, 3], np.int32)}, "contradict.*'c.png'"),
        ({"label_probability": np.array([0.1, 1.2, 0], np.float32)}, "outside 0 to 1"),
        ({"logsumexp": np.array([0, np.nan, 0], np.float32)}, "logsumexp.*'b.png'"),
        ({"top5": np.full((3, 5), 7, np.int32)}, "top5 names classes"),
    ],
)
def test_columns_that_deny_each_other_are_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check(replace(made(), **change), "x.parquet")  # type: ignore[arg-type]


def test_a_damaged_file_and_a_missing_column_are_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path, made())
    path = folder / "predictions.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["label_rank"]), path)
    with pytest.raises(UsageError, match="lacks the columns label_rank"):
        read_run(folder)
    table = pa.table({"image": ["a.png"]})
    pq.write_table(table, path)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UsageError, match=r"predictions\.parquet can't be read"):
        read_run(folder)
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**record, "versions": ["numpy"]}))
    with pytest.raises(UsageError, match="'versions' is missing or not a dict"):
        read_run(folder)
    (folder / "run.json").write_text('{"layout": 2}')
    with pytest.raises(UsageError, match="layout 1"):
        read_run(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"protocol": "guess"}, "not a protocol"),
        ({"classes": ("cat",)}, "at least two classes"),
        ({"classes": ("cat", "cat")}, "same name: cat"),
        ({"train_arm": ""}, "train arm"),
    ],
)
def test_a_run_says_what_it_is(change: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        replace(RUN, **change)  # type: ignore[arg-type]
