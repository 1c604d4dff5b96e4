"""Covering one picture: what is still seen or too weak afterwards is covered once more."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from PIL import Image

from sfumato import codec
from sfumato.codec import MAX_PIXELS
from sfumato.obfuscation import Gaussian
from sfumato.release import Cover, Faces, release
from sfumato.types import Face, Obfuscator, Pixels, Sample
from tests.dataset import BOX, scene

FOUND = Face(BOX, 0.9, "file")
ELSEWHERE = Face((90.0, 10.0, 110.0, 30.0), 0.4, "watcher-1")
ON_THE_COVER = Face((42.0, 32.0, 70.0, 64.0), 0.5, "watcher-1")


@dataclass
class Watcher:
    """A detector that sees what it is told to, one list for each look; then nothing."""

    looks: list[list[Face]]
    seen: list[Pixels] = field(default_factory=list)
    name: str = "watcher-1"

    def detect(self, images: Sequence[Pixels]) -> list[list[Face]]:
        self.seen += images
        return [self.looks.pop(0) if self.looks else [] for _ in images]


@dataclass
class Memory:
    """A sink that keeps what was staged."""

    data: bytes = b""

    def stage(self, sample: Sample, data: bytes) -> str:
        assert sample.key
        self.data = data
        return hashlib.sha256(data).hexdigest()

    def publish(self, keys: Iterable[str]) -> None:
        raise AssertionError(f"{list(keys)}: only the driver publishes")


def sample() -> Sample:
    out = io.BytesIO()
    Image.fromarray(scene(np.random.default_rng(3))).save(out, "PNG")
    return Sample("a.png", "", out.getvalue(), hashlib.sha256(out.getvalue()).hexdigest())


def cover(watcher: Watcher, obfuscator: Obfuscator | None = None, looks: int = 3) -> Cover:
    return Cover("gaussian", obfuscator or Gaussian(), [watcher], looks, MAX_PIXELS, "refuse")


def test_a_face_that_shows_only_now_becomes_one_more_face() -> None:
    one, sink, watcher = sample(), Memory(), Watcher([[ELSEWHERE]])
    output, look = release(one, codec.decode(one.data), Faces((FOUND,)), cover(watcher), sink)
    assert output.faces == (FOUND, ELSEWHERE)
    assert output.ghosts == ()
    before, after = (codec.decode(data).frames[0] for data in (one.data, sink.data))
    assert np.abs(after[12:28, 92:108].astype(int) - before[12:28, 92:108]).mean() > 10
    assert look is not None
    assert look.seen == ()
    assert np.array_equal(look.picture.frames[0], after)  # what was looked at last was written


def test_a_face_seen_in_a_cover_is_covered_again_but_counts_no_face() -> None:
    one, sink, watcher = sample(), Memory(), Watcher([[ON_THE_COVER]])
    output, _ = release(one, codec.decode(one.data), Faces((FOUND,)), cover(watcher), sink)
    assert (output.faces, output.ghosts) == ((FOUND,), (ON_THE_COVER,))
    once = Gaussian()(codec.decode(one.data).frames[0], [BOX])
    assert not np.array_equal(codec.decode(sink.data).frames[0], once)
    assert len(watcher.seen) == 2


def test_a_cover_that_is_too_weak_is_put_on_again() -> None:
    one, sink = sample(), Memory()
    weak = cover(Watcher([]), Gaussian(strength=0.04))
    output, _ = release(one, codec.decode(one.data), Faces((FOUND,)), weak, sink)
    assert output.faces == (FOUND,)
    assert 1 <= len(output.ghosts) <= 3
    assert set(output.ghosts) == {FOUND}


def test_looking_ends_and_what_was_written_last_was_not_looked_at() -> None:
    one, sink, watcher = sample(), Memory(), Watcher([[ON_THE_COVER]] * 9)
    output, look = release(one, codec.decode(one.data), Faces((FOUND,)), cover(watcher), sink)
    assert len(output.ghosts) == len(watcher.seen) == 3
    assert look is None  # so verify looks for itself


def test_nobody_looks_where_nobody_shall() -> None:
    one, sink, watcher = sample(), Memory(), Watcher([[ELSEWHERE]])
    output, look = release(
        one, codec.decode(one.data), Faces((FOUND,)), cover(watcher, looks=0), sink
    )
    assert (output.faces, look, watcher.seen) == ((FOUND,), None, [])


def test_a_picture_without_a_face_is_its_own_bytes_and_one_with_a_face_needs_pixels() -> None:
    one, sink, watcher = sample(), Memory(), Watcher([])
    output, _ = release(one, None, Faces(()), cover(watcher), sink)
    assert (output.action, sink.data) == ("copied", one.data)
    with pytest.raises(ValueError, match="must come decoded"):
        release(one, None, Faces((FOUND,)), cover(watcher), sink)
