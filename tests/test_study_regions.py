from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sfumato.errors import UsageError
from sfumato.study.regions import Regions, read_regions, write_regions

FOUND = Regions(
    ("a", "b", "c"),
    np.array([0, 0.25, 1], np.float32),
    np.array([np.nan, 0.5, 0], np.float32),
)


def test_regions_come_back_and_follow_the_order_of_the_predictions(tmp_path: Path) -> None:
    path = write_regions(tmp_path, FOUND)
    assert pq.read_table(path)["overlap"].null_count == 1
    found = read_regions(path).of(["c", "a"])
    assert found.face_area_share.tolist() == [1, 0]
    assert np.array_equal(found.overlap, [0, np.nan], equal_nan=True)
    pq.write_table(pq.read_table(path).drop_columns(["overlap"]), path)
    assert np.isnan(read_regions(path).overlap).all()


def test_processes_that_write_the_same_regions_do_not_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(2, timeout=30)
    write_table = pq.write_table

    def slowly(*arguments: Any, **options: Any) -> None:
        write_table(*arguments, **options)
        together.wait()  # both have written, neither has renamed

    monkeypatch.setattr(pq, "write_table", slowly)
    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(lambda _: write_regions(tmp_path, FOUND), range(2)))
    assert read_regions(paths[0]).images == FOUND.images
    assert [one.name for one in tmp_path.iterdir()] == ["regions.parquet"]


def test_regions_of_other_images_are_refused() -> None:
    with pytest.raises(UsageError, match="says nothing of 1 of 2 images, the first 'd'"):
        FOUND.of(["a", "d"])


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"image": ["a"]}, "lacks the columns face_area_share"),
        ({"image": ["a"], "face_area_share": [1.5]}, "0 to 1 for each image"),
        ({"image": ["a"], "face_area_share": [np.nan]}, "0 to 1 for each image"),
        ({"image": ["a", "a"], "face_area_share": [0.5, 0.5]}, "more than once"),
        ({"image": ["a"], "face_area_share": [0.5], "overlap": [-1.0]}, "overlap must lie"),
        ({"image": ["a"], "face_area_share": pa.array([None], pa.float32())}, "must be given"),
    ],
)
def test_damaged_regions_are_named(
    tmp_path: Path, columns: dict[str, list[object]], words: str
) -> None:
    pq.write_table(pa.table(columns), tmp_path / "regions.parquet")
    with pytest.raises(UsageError, match=words):
        read_regions(tmp_path / "regions.parquet")
