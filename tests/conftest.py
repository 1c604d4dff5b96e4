"""Fixtures that every test may use."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from sfumato.detection.detectors import registry
from sfumato.pipeline import settings

if TYPE_CHECKING:
    from tests.postgres_server import Server

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

# Rewriting the asserts of all modules is two thirds of the work of collecting them, which every
# worker does: it is kept in __pycache__, also where Python is told to keep no bytecode. And so is
# what the commands that tests start compile.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_collection_finish() -> None:
    """Look no more for garbage among all that was collected: it stays to the end."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _metadata_is_read_once() -> Iterator[None]:
    """Read what is installed once for each sys.path: reading it took a third of a small run."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((registry, "entry_points"), (settings, "version")):
            patch.setattr(module, name, _once(getattr(module, name)))
        yield


def _once(read: Callable[..., Any]) -> Callable[..., Any]:
    @cache
    def found(_path: tuple[str, ...], *words: str, **more: str) -> Any:
        return read(*words, **more)

    return lambda *words, **more: found(tuple(sys.path), *words, **more)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real labelled images that lie beside a checkout where people develop; not in a clone."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no labelled images at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """A running PostgreSQL of our own; skipped where it isn't installed."""
    from tests.postgres_server import running  # most tests need no client of it

    with running() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: Server) -> Iterator[str]:
    """The URL of an empty database, with user and password; it is gone after the test."""
    url = postgres_server.create()
    yield url
    postgres_server.drop(url)


@pytest.fixture(scope="session")
def torchvision() -> ModuleType:
    """torchvision, also where a CPU build of torch lacks its compiled operators.

    Only here: what the product needs must do without them, or say so.
    """
    return _torchvision()


@pytest.fixture
def torchvision_operators(torchvision: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """torchvision whose nms and roi_align work, in Python where the compiled ones are missing."""
    for name in ("torchvision.extension", "torchvision.ops.roi_align"):
        monkeypatch.setattr(sys.modules[name], "_has_ops", lambda: True)
    return torchvision


@lru_cache(maxsize=1)
def _torchvision() -> ModuleType:
    torch = pytest.importorskip("torch")
    libraries: list[Any] = []
    try:
        import torchvision as found
    except RuntimeError:  # operator torchvision::nms does not exist
        library = torch.library.Library("torchvision", "DEF")
        for name, schema in _OPERATORS.items():
            library.define(f"{name}{schema}")
        libraries.append(library)
        import torchvision as found

        library.impl("roi_align", _roi_align, "CompositeImplicitAutograd")
        library.impl("nms", _nms, "CompositeImplicitAutograd")
    found.declared_for_tests = libraries  # a library's declarations go when it goes
    module: ModuleType = found
    return module


def _roi_align(maps: Any, rois: Any, *numbers: Any) -> Any:
    """Average ratio by ratio bilinear samples in each cell of a region (He et al. 2017)."""
    torch = sys.modules["torch"]
    scale, rows, columns, ratio, aligned = numbers
    ratio, shift = max(ratio, 1), 0.5 if aligned else 0.0
    height, width = maps.shape[2:]
    pooled = maps.new_zeros(len(rois), maps.shape[1], rows, columns)
    for image in rois[:, 0].unique():
        chosen = (rois[:, 0] == image).nonzero()[:, 0]
        x0, y0, x1, y1 = (rois[chosen, 1:] * scale - shift).unbind(1)
        places = []
        for low, high, cells, size in ((x0, x1, columns, width), (y0, y1, rows, height)):
            at = (torch.arange(cells * ratio) + 0.5) / (cells * ratio)
            length = high - low if aligned else (high - low).clamp(min=1)
            places.append((low[:, None] + length[:, None] * at) / max(size - 1, 1) * 2 - 1)
        x, y = places
        grid = torch.stack(torch.broadcast_tensors(x[:, None, :], y[:, :, None]), dim=-1)
        samples = torch.nn.functional.grid_sample(
            maps[int(image)][None],
            grid.reshape(1, -1, columns * ratio, 2),
            padding_mode="border",
            align_corners=True,
        )[0].reshape(maps.shape[1], len(chosen), rows * ratio, columns * ratio)
        means = torch.nn.functional.avg_pool2d(samples.transpose(0, 1), ratio)
        pooled = pooled.index_copy(0, chosen, means)
    return pooled


def _nms(boxes: Any, scores: Any, most: float) -> Any:
    """Keep the best box, drop what overlaps it by more than `most`, and so on."""
    torch = sys.modules["torch"]
    from torchvision.ops import box_iou

    left = torch.argsort(scores, descending=True, stable=True)
    kept = []
    while len(left):
        kept.append(left[0])
        left = left[1:][box_iou(boxes[left[:1]], boxes[left[1:]])[0] <= most]
    return torch.stack(kept) if kept else left


_OPERATORS = dict.fromkeys(
    "qnms qroi_align roi_pool ps_roi_align ps_roi_pool deform_conv2d".split(),
    "(Tensor a) -> Tensor",
)
_OPERATORS |= {
    f"_{name}_backward": "(Tensor a) -> Tensor"
    for name in "roi_align roi_pool ps_roi_align ps_roi_pool deform_conv2d".split()
}
_OPERATORS |= {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "roi_align": "(Tensor input, Tensor rois, float spatial_scale, int pooled_height, "
    "int pooled_width, int sampling_ratio, bool aligned) -> Tensor",
}
