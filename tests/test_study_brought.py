from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sfumato.errors import UsageError
from sfumato.study.analysis.matrix import matrix_of
from sfumato.study.brought import PredictionFile, read_brought


def write(path: Path, header: str, *rows: Sequence[object]) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header.split(","), *rows])
    return str(path)


def read(*texts: str) -> list[object]:
    return list(read_brought([PredictionFile.of_text(text) for text in texts]))


def test_logits_by_class_from_csv(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.csv",
        "image,label,logit:cat,logit:dog",
        ["x", "cat", 2, 1],
        ["y", "dog", 2, 1],
    )
    found = read_brought([PredictionFile.of_text(f"original/gaussian/3/resnet50={path}")])[0]
    assert (found.run.architecture, found.run.train_arm, found.run.test_arm, found.run.seed) == (
        "resnet50",
        "original",
        "gaussian",
        3,
    )
    assert found.run.classes == ("cat", "dog")
    assert found.rank.tolist() == [0, 1]
    assert found.confidence is not None
    assert found.confidence[0] == pytest.approx(1 / (1 + np.exp(-1)))


def test_logits_as_lists_from_parquet(tmp_path: Path) -> None:
    table = pa.table({"image": ["x", "y"], "label": [0, 2], "logits": [[3.0, 1, 2], [0.0, 1, 2]]})
    pq.write_table(table, tmp_path / "a.parquet")
    found = read_brought([PredictionFile.of_text(f"a/b/0={tmp_path / 'a.parquet'}")])[0]
    assert found.predicted.tolist() == [0, 2]
    assert found.run.classes == ("0", "1", "2")


def test_best_classes_alone_know_less(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.csv",
        "image,label,top1,top2,confidence",
        ["x", "10", "10", "9", 0.8],
        ["y", "9", "10", "9", 0.6],
        ["z", "2", "10", "9", 0.5],
    )
    found = read_brought([PredictionFile.of_text(f"a/b/0={path}")])[0]
    assert found.run.classes == ("2", "9", "10")
    assert found.rank.tolist() == [0, 1, 2]
    assert found.depth == 2
    assert found.logits is None
    assert found.confidence is not None
    assert found.confidence.tolist() == pytest.approx([0.8, 0.6, 0.5])


def test_one_file_may_hold_many_runs_and_classes_are_those_of_all(tmp_path: Path) -> None:
    rows = [
        [f"{i}", "cat" if i else "dog", said, train, "original", seed, "net"]
        for train, said in (("original", "cat"), ("gaussian", "eel"))
        for seed in (0, 1)
        for i in (0, 1)
    ]
    path = write(
        tmp_path / "a.csv", "image,label,prediction,train_arm,test_arm,seed,architecture", *rows
    )
    found = read_brought([PredictionFile.of_text(path)])
    assert len(found) == 4
    assert {one.run.classes for one in found} == {("cat", "dog", "eel")}
    cells = matrix_of(found).cells
    assert [(key.train_arm, cell.seeds) for key, cell in cells.items()] == [
        ("gaussian", (0, 1)),
        ("original", (0, 1)),
    ]


@pytest.mark.parametrize(
    ("header", "row", "words"),
    [
        ("image,logit:a,logit:b", ["x", 1, 2], "lacks the columns label"),
        ("image,label,logit:a,logit:b", ["x", "a", "nan", 2], "NaN or infinite.*'x'"),
        ("image,label,logit:a,logit:b", ["x", "c", 1, 2], "labels don't match.*'c' is none of 2"),
        ("image,label,logit:a,logit:b", ["x", "a", "many", 2], "holds a value that is not"),
        ("image,label,logit:a,logit:b", ["x", "a", None, 2], "'logit:a' has empty cells"),
        ("image,label,top1,top3", ["x", "a", "a", "b"], "without a gap"),
        ("image,label,score", ["x", "a", "a"], "has no predictions"),
        ("image,label,top1,confidence", ["x", "a", "a", 2], "confidence must be a probability"),
    ],
)
def test_what_cannot_be_used_is_said(
    tmp_path: Path, header: str, row: list[object], words: str
) -> None:
    path = write(tmp_path / "a.csv", header, row)
    with pytest.raises(UsageError, match=words):
        read(f"a/b/0={path}")


def test_a_run_must_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "image,label,prediction", ["x", "a", "b"])
    with pytest.raises(UsageError, match=r"no column train_arm, test_arm, seed.*write TRAIN"):
        read(path)
    with pytest.raises(UsageError, match="doesn't name its run"):
        read(f"original/gaussian={path}")
    with pytest.raises(UsageError, match="doesn't name its run"):
        read(f"original/gaussian/one={path}")
    with pytest.raises(UsageError, match="can't be read as CSV or Parquet"):
        read(f"a/b/0={tmp_path / 'none.parquet'}")
    path = write(tmp_path / "b.csv", "image,label,prediction", ["x", "a", "b"], ["x", "a", "b"])
    with pytest.raises(UsageError, match="'x' more than once"):
        read(f"a/b/0={path}")
