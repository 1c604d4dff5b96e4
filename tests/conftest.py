"""Fixtures that every test may use."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real labelled pictures that lie beside a checkout where people develop; not in a clone."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no labelled pictures at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def torchvision() -> ModuleType:
    """torchvision, also where a CPU build of torch lacks its compiled operators.

    Only here: what the product needs must do without them, or say so.
    """
    return _torchvision()


@lru_cache(maxsize=1)
def _torchvision() -> ModuleType:
    torch = pytest.importorskip("torch")
    libraries: list[Any] = []
    try:
        import torchvision as found
    except RuntimeError:  # operator torchvision::nms does not exist
        library = torch.library.Library("torchvision", "DEF")
        for name, arguments in _OPERATORS.items():
            library.define(f"{name}({arguments}) -> Tensor")
        libraries.append(library)
        import torchvision as found
    found.declared_for_tests = libraries  # a library's declarations go when it goes
    module: ModuleType = found
    return module


_OPERATORS = dict.fromkeys(
    "nms qnms roi_align qroi_align roi_pool ps_roi_align ps_roi_pool deform_conv2d".split(),
    "Tensor a",
)
_OPERATORS |= {
    f"_{name}_backward": "Tensor a"
    for name in "roi_align roi_pool ps_roi_align ps_roi_pool deform_conv2d".split()
}
