"""Files with a few changed bytes: refused with a code, or clean, and never an exception."""

from __future__ import annotations

import random

import pytest

from sfumato.errors import SampleError
from sfumato.imaging import codec
from sfumato.imaging.codec import private_metadata
from sfumato.obfuscation import Gaussian
from tests import test_avif, test_metadata, test_stripping
from tests.test_metadata import FACE

POOL = (
    *(data for data, _ in test_metadata.PRIVATE.values()),
    *test_metadata.CLEAN.values(),
    *test_stripping.ODD.values(),
    *test_avif.STRIPPED.values(),
)


def damaged(rng: random.Random) -> bytes:
    data = bytearray(rng.choice(POOL))
    reach = rng.choice((len(data), min(len(data), 400)))  # as often in the headers alone
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        at = rng.randrange(reach)
        data[at] = rng.choice((0, 255, data[at] ^ 1 << rng.randrange(8)))
    if rng.random() < 0.1:
        del data[rng.randrange(len(data)) :]
    return bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_what_is_returned_is_clean_and_all_else_has_a_code(seed: int) -> None:
    rng = random.Random(seed)
    returned = 0
    for _ in range(500):
        data = damaged(rng)
        try:
            clean = codec.strip(data, max_pixels=200_000)
        except SampleError:
            clean = b""
        if clean:
            returned += 1
            assert private_metadata(clean, frames=True) == ()
        for policy in ("faces", "keep-safe"):
            try:
                edited = codec.edit(data, [FACE], Gaussian(), max_pixels=200_000, policy=policy)
            except SampleError:
                continue
            assert private_metadata(edited.data, keep_safe=policy == "keep-safe") == ()
    assert 50 < returned < 450
