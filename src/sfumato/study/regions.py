"""How much of each image is obfuscated: `regions.parquet` in a study's folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sfumato.errors import UsageError
from sfumato.study.files import whole

REGIONS_FILE: Final = "regions.parquet"


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """What lies under obfuscation in each of n images.

    `images` are the keys of the predictions. `face_area_share` (n,) float32 in [0, 1] is the
    share of the image's area, 0 where nothing is obfuscated. `overlap` (n,) float32 in [0, 1]
    is the share of the object's box under faces, NaN where it isn't known.
    """

    images: tuple[str, ...]
    face_area_share: NDArray[np.float32]
    overlap: NDArray[np.float32]

    def __post_init__(self) -> None:
        if len(set(self.images)) != len(self.images):
            raise UsageError(f"{REGIONS_FILE} names an image more than once.")
        share, overlap = self.face_area_share, self.overlap
        if not ((share >= 0) & (share <= 1)).all():
            raise UsageError(f"{REGIONS_FILE}: face_area_share must lie in 0 to 1 for each image.")
        known = overlap[~np.isnan(overlap)]
        if not ((known >= 0) & (known <= 1)).all():
            raise UsageError(f"{REGIONS_FILE}: overlap must lie in 0 to 1, or be empty.")

    def of(self, images: Sequence[str]) -> Regions:
        """Return the same for these images, in their order.

        Raises:
            UsageError: an image is missing.
        """
        place = {name: i for i, name in enumerate(self.images)}
        missing = [name for name in images if name not in place]
        if missing:
            raise UsageError(
                f"{REGIONS_FILE} says nothing of {len(missing)} of {len(images)} images, the "
                f"first {missing[0]!r}: it belongs to other images than the predictions."
            )
        order = np.array([place[name] for name in images], dtype=np.intp)
        return Regions(tuple(images), self.face_area_share[order], self.overlap[order])


def write_regions(study: Path, found: Regions) -> Path:
    """Write `regions.parquet` into a study's folder and return its path.

    Raises:
        OutputError: the disk refuses.
    """
    table = pa.table(
        {
            "image": pa.array(found.images, pa.string()),
            "face_area_share": pa.array(found.face_area_share, pa.float32()),
            "overlap": pa.array(found.overlap, pa.float32(), from_pandas=True),
        }
    )
    path = study / REGIONS_FILE
    with whole(path) as part:
        pq.write_table(table, part, compression="zstd")
    return path


def read_regions(path: Path) -> Regions:
    """Return what a `regions.parquet` holds; without a column `overlap` none is known.

    Raises:
        UsageError: the file can't be read, lacks a column, or holds shares outside [0, 1].
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise UsageError(f"{path} can't be read: {error}") from error
    if missing := sorted({"image", "face_area_share"} - set(table.column_names)):
        raise UsageError(f"{path} lacks the columns {', '.join(missing)}.")
    if table["image"].null_count or table["face_area_share"].null_count:
        raise UsageError(f"{path}: image and face_area_share must be given for each image.")
    overlap: NDArray[Any] = np.full(table.num_rows, np.nan)
    if "overlap" in table.column_names:
        overlap = table["overlap"].to_numpy()  # empty places become NaN
    return Regions(
        tuple(str(name) for name in table["image"].to_pylist()),
        table["face_area_share"].to_numpy().astype(np.float32),
        overlap.astype(np.float32),
    )
