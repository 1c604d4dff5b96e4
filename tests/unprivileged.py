"""Be bound by the rights of files, also as root: tests of refusals run in containers too."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_VERSION_3 = 0x20080522  # linux/capability.h
_OVERRIDE = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


@contextmanager
def bound_by_rights() -> Iterator[None]:
    """Take from this thread what lets root read and write everything; given back on the way out."""
    if os.geteuid() != 0:
        yield
        return
    if sys.platform != "linux":
        pytest.skip("root may read and write everything")
    libc = ctypes.CDLL(None, use_errno=True)
    head = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    rights = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice 32 bits
    assert libc.capget(head, rights) == 0, os.strerror(ctypes.get_errno())
    before = rights[0]
    rights[0] &= ~_OVERRIDE
    assert libc.capset(head, rights) == 0, os.strerror(ctypes.get_errno())
    try:
        yield
    finally:
        rights[0] = before
        assert libc.capset(head, rights) == 0, os.strerror(ctypes.get_errno())
