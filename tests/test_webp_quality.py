"""Lossy WebP: the quantisers are read from the VP8 header, and written no coarser."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from sfumato.imaging import codec
from sfumato.imaging.codec import chunks, vp8
from tests.test_codec import FACE, Negative, away_from, image, psnr, scene


class Encoder:
    """The boolean encoder of RFC 6386, section 7.3, at probability one half."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.range, self.bottom, self.left = 255, 0, 24

    def bit(self, value: int) -> None:
        split = 1 + ((self.range - 1) * 128 >> 8)
        if value:
            self.bottom += split
            self.range -= split
        else:
            self.range = split
        while self.range < 128:
            self.range <<= 1
            if self.bottom & 1 << 31:
                at = len(self.out) - 1
                while self.out[at] == 255:
                    self.out[at] = 0
                    at -= 1
                self.out[at] += 1
            self.bottom = self.bottom << 1 & 0xFFFFFFFF
            self.left -= 1
            if not self.left:
                self.out.append(self.bottom >> 24)
                self.bottom &= (1 << 24) - 1
                self.left = 8

    def number(self, value: int, bits: int) -> None:
        for at in reversed(range(bits)):
            self.bit(value >> at & 1)

    def signed(self, value: int, bits: int) -> None:
        self.bit(int(value != 0))
        if value:
            self.number(abs(value), bits)
            self.bit(int(value < 0))

    def done(self) -> bytes:
        for _ in range(32):
            self.bit(0)
        return bytes(self.out)


def header(
    base: int,
    deltas: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0),
    segments: tuple[int, ...] = (),
    *,
    absolute: bool = False,
    tree: bool = True,
    adjusted: bool = False,
) -> bytes:
    """A key frame's header, written field by field as RFC 6386 lists them in section 19.2."""
    out = Encoder()
    out.number(0, 2)
    out.bit(int(bool(segments)))
    if segments:
        out.bit(int(tree))
        out.bit(1)
        out.bit(int(absolute))
        for value in segments:
            out.signed(value, 7)
        for value in (0, -5, 63, 1):
            out.signed(value, 6)
        for probability in (255, 0, 7) if tree else ():
            out.bit(int(probability > 0))
            if probability:
                out.number(probability, 8)
    out.number(1, 1)
    out.number(33, 6)
    out.number(5, 3)
    out.bit(int(adjusted))
    if adjusted:
        out.bit(1)
        for value in (1, 0, -63, 5, 0, 0, 2, -2):
            out.signed(value, 6)
    out.number(2, 2)
    out.number(base, 7)
    for delta in deltas:
        out.signed(delta, 4)
    return b"\x10\x02\x00\x9d\x01\x2a" + bytes((64, 0, 48, 0)) + out.done()


def test_one_quantiser_for_all() -> None:
    assert vp8.quantisers(header(52)) == (vp8.Indices(52, 52, 52, 52, 52, 52),)


def test_the_changes_of_each_kind_of_coefficient() -> None:
    found = vp8.quantisers(header(10, (1, -2, 15, -15, 3), adjusted=True))
    assert found == (vp8.Indices(y_dc=11, y_ac=10, y2_dc=8, y2_ac=25, uv_dc=0, uv_ac=13),)


@pytest.mark.parametrize("tree", [True, False])
def test_segments_change_or_replace_it(tree: bool) -> None:
    changed = vp8.quantisers(header(100, segments=(5, -30, 0, 100), tree=tree))
    assert [one.y_ac for one in changed] == [105, 70, 100, 127]
    replaced = vp8.quantisers(header(100, (0, 0, 0, 2, 0), (5, 30, 0, 127), absolute=True))
    assert [one.y_ac for one in replaced] == [5, 30, 0, 127]
    assert [one.uv_dc for one in replaced] == [7, 32, 2, 127]


@pytest.mark.parametrize("size", range(11))
def test_a_frame_that_is_cut_off_or_none_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="VP8"):
        vp8.quantisers(header(52)[:size])
    for wrong in (b"\x11" + header(52)[1:], header(52).replace(b"\x9d\x01\x2a", b"\x9d\x01\x2b")):
        with pytest.raises(ValueError, match="no VP8 key frame"):
            vp8.quantisers(wrong)


def test_a_header_that_ends_early_is_refused() -> None:
    whole = header(52, (1, 2, 3, 4, 5), (1, 2, 3, 4), adjusted=True)
    with pytest.raises(ValueError, match="cut off"):
        vp8.quantisers(whole[:14])


def lossy(quality: int, shown: Image.Image | None = None) -> bytes:
    out = io.BytesIO()
    (shown or image()).save(out, "WEBP", quality=quality)
    return out.getvalue()


def quantisers_of(data: bytes) -> tuple[vp8.Indices, ...]:
    parts = {name: data[at:end] for name, at, end in chunks.riff_chunks(data)}
    return vp8.quantisers(parts[b"VP8 "])


def test_a_finer_file_says_so() -> None:
    found = [max(one.y_ac for one in quantisers_of(lossy(quality))) for quality in range(5, 101, 5)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 90
    assert found[-1] == 0


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("quality", [10, 30, 50, 70, 80, 90, 95, 97, 99, 100])
def test_no_quantiser_is_coarser_than_the_finest_of_the_source(quality: int, mode: str) -> None:
    data = lossy(quality, image(mode))
    edited = codec.edit(data, [FACE], Negative())
    assert edited.encoding == "reencoded"
    source, written = quantisers_of(data), quantisers_of(edited.data)
    for kind in vp8.Indices._fields:
        finest = min(getattr(one, kind) for one in source)
        assert max(getattr(one, kind) for one in written) <= finest
    before, after = codec.decode(data).frames[0], codec.decode(edited.data).frames[0]
    away = away_from(Negative().reaches([FACE]), before.shape, 16)
    assert psnr(before, after, away) > 38
    # Never more error away from the face than by quality 95, whatever the source.
    plain = np.array(Image.open(io.BytesIO(data)))
    changed = Negative()(plain[..., :3], [FACE])
    out = io.BytesIO()
    Image.fromarray(np.dstack([changed, plain[..., 3:]])).save(out, "WEBP", quality=95)
    fixed = codec.decode(out.getvalue()).frames[0]
    assert psnr(before, after, away) >= psnr(before, fixed, away) - 0.5


def test_the_size_of_a_usual_file_stays_near_it() -> None:
    """Of quality 80, libwebp's own use and that of most tools."""
    image = Image.fromarray(scene(320, 240))
    data = lossy(80, image)
    assert len(codec.edit(data, [FACE], Negative()).data) < 2.5 * len(data)
