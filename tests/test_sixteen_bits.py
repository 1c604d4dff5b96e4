"""Images of 16 bits a channel: searched as viewers stretch them, and edited in all their bits.

What was written is read here by a reader of its own, in plain Python.
"""

from __future__ import annotations

import hashlib
import itertools
import struct
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from sfumato.errors import Code, SampleError
from sfumato.imaging import codec
from sfumato.imaging.codec import chunks
from sfumato.imaging.codec.reading import first_frame
from sfumato.imaging.codec.renderings import deep_of
from sfumato.obfuscation import Fill, Gaussian, ImageNet, Pixelate, strength
from sfumato.obfuscation.step import left_of
from sfumato.types import Face, Finding, Obfuscator, Output, Sample
from sfumato.verification.checks import Checks, verify
from tests.concealing import encoded, png_chunk, tiff
from tests.recipes import recipe
from tests.textures import face
from tests.variants import slow_unless

WIDTH, HEIGHT = 96, 80
BOX = (30.0, 20.0, 62.0, 56.0)
INSIDE = np.s_[20:56, 30:62]
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
Deep: TypeAlias = NDArray[Any]  # (h, w, channels), 0 to 65535


def samples(channels: int, *, bits: int = 16) -> Deep:
    """A face with detail in all bits, in an image with detail in all bits."""
    return _samples(channels, bits).copy()


@cache
def _samples(channels: int, bits: int) -> Deep:
    rng = np.random.default_rng(channels)
    slope = np.linspace(0.2, 0.7, WIDTH)[None, :, None] + np.zeros((HEIGHT, WIDTH, channels))
    drawing = Image.fromarray(face(32, seed=2)[32:64, 32:64, 0]).resize((32, 36))
    slope[INSIDE] += np.asarray(drawing)[..., None] / 255.0 * 0.3 - 0.1
    levels = slope * (2**bits - 1) + rng.normal(0, 2**bits / 200, slope.shape)
    drawn: Deep = np.clip(levels, 0, 2**bits - 1).astype(np.uint16)
    return drawn


def png(drawn: Deep, *, more: tuple[bytes, ...] = (), interlaced: bool = False) -> bytes:
    height, width, channels = drawn.shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, int(interlaced))
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))
    steps = (*passes, (0, 1, 1, 2)) if interlaced else ((0, 0, 1, 1),)
    raw = b"".join(
        filtered(drawn[top::down, left::across].astype(">u2"), 2 * channels)
        for left, top, across, down in steps
    )
    parts = (png_chunk(b"IHDR", head), *more, png_chunk(b"IDAT", zlib.compress(raw)))
    return b"\x89PNG\r\n\x1a\n" + b"".join((*parts, png_chunk(b"IEND", b"")))


def filtered(rows: NDArray[np.uint16], step: int) -> bytes:
    """Rows with PNG's five filters in turn, as the standard writes them down."""
    here = np.frombuffer(rows.tobytes(), np.uint8).reshape(len(rows), -1).astype(int)
    around = np.pad(here, ((1, 0), (step, 0)))
    left, up, corner = around[1:, :-step], around[:-1, step:], around[:-1, :-step]
    guess = left + up - corner
    near = np.abs(np.stack([guess - left, guess - up, guess - corner]))
    paeth = np.choose(near.argmin(axis=0), [left, up, corner])  # the first of equals, as written
    guesses = np.stack([0 * here, left, up, (left + up) // 2, paeth])
    kinds = np.arange(len(here)) % 5
    lines = (here - guesses[kinds, np.arange(len(here))]) & 255
    return np.column_stack([kinds, lines]).astype(np.uint8).tobytes()


def predicted(kind: int, left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    paeth = min((left, up, corner), key=lambda one: abs(guess - one))
    return (0, left, up, (left + up) // 2, paeth)[kind]


def read_png(data: bytes) -> Deep:
    """Read a PNG of 16 bits that isn't interlaced."""
    parts = list(chunks.png_chunks(data))
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    assert (depth, interlaced) == (16, 0)
    step = 2 * {0: 1, 4: 2, 2: 3, 6: 4}[colour]
    raw = zlib.decompress(b"".join(data[a:b] for name, a, b in parts if name == b"IDAT"))
    length, above, out = 1 + width * step, bytes(width * step), b""
    for at in range(0, height * length, length):
        here = bytearray(raw[at + 1 : at + length])
        for i in range(len(here)):
            left, corner = (here[i - step], above[i - step]) if i >= step else (0, 0)
            here[i] = (here[i] + predicted(raw[at], left, above[i], corner)) & 255
        above = bytes(here)
        out += above
    return np.frombuffer(out, ">u2").reshape(height, width, step // 2).astype(np.uint16)


def read_tiff(data: bytes) -> Deep:
    """Read a TIFF of 16 bits in strips, without compression, or by deflate or PackBits."""
    found = chunks.parse_tiff(data)
    height, width, channels = (found.number(0, tag, 1) for tag in (257, 256, 277))
    coding = found.number(0, 259, 1)
    raw = b""
    for at, size in chunks.tiff_parts(found, 0):
        strip = data[at : at + size]
        decoders: dict[int, Callable[[bytes], bytes]] = {1: bytes, 8: zlib.decompress}
        raw += (decoders | {32773: unpacked, 5: lzw})[coding](strip)
    drawn = np.frombuffer(raw, found.order + "u2").astype(np.uint16)
    drawn = drawn.reshape(height, width, channels)
    if found.number(0, 317, 1) == 2:
        drawn = np.cumsum(drawn, axis=1, dtype=np.uint16)
    return drawn


def unpacked(strip: bytes) -> bytes:
    out, at = b"", 0
    while at < len(strip):
        head = strip[at]
        if head < 128:
            out += strip[at + 1 : at + 2 + head]
            at += 2 + head
        else:
            out += strip[at + 1 : at + 2] * (257 - head) if head > 128 else b""
            at += 2
    return out


def lzw(strip: bytes) -> bytes:
    """TIFF 6.0, section 13, decoding."""
    bits = "".join(f"{byte:08b}" for byte in strip)
    table: list[bytes] = []
    out, at, width, before = b"", 0, 9, b""
    while (code := int(bits[at : at + width], 2)) != 257:
        at += width
        if code == 256:
            table, width, before = [bytes([i]) for i in range(256)] + [b"", b""], 9, b""
            continue
        entry = table[code] if code < len(table) else before + before[:1]
        out += entry
        if before:
            table.append(before + entry[:1])
        before = entry
        width = 9 + sum(len(table) >= limit for limit in (511, 1023, 2047))
    return out


def tiff16(
    drawn: Deep,
    order: str = "<",
    coding: int = 1,
    *,
    rows: int = HEIGHT,
    predictor: int = 1,
    photometric: int | None = None,
    more: tuple[tuple[int, int, list[int]], ...] = (),
) -> bytes:
    height, width, channels = drawn.shape
    coded = drawn.copy()
    if predictor == 2:
        coded[:, 1:] -= drawn[:, :-1]
    kind = np.dtype(order + "u2")
    strips = [coded[at : at + rows].astype(kind).tobytes() for at in range(0, height, rows)]
    strips = [zlib.compress(strip) if coding == 8 else strip for strip in strips]
    if coding == 32773:
        strips = [packed(strip) for strip in strips]
    tags = more + (((317, 3, [2]),) if predictor == 2 else ())
    return tiff(
        strips,
        coding=coding,
        size=(width, height),
        rows=rows,
        order=order,
        bits=(16,) * channels,
        photometric=(2 if channels > 2 else 1) if photometric is None else photometric,
        more=tags,
    )


def packed(strip: bytes) -> bytes:
    parts = (strip[at : at + 128] for at in range(0, len(strip), 128))
    return b"".join(bytes((len(part) - 1,)) + part for part in parts)


def planar(drawn: Deep) -> bytes:
    strips = [
        drawn[at : at + 32, :, plane].astype("<u2").tobytes()
        for plane in range(3)
        for at in range(0, HEIGHT, 32)
    ]
    return tiff(strips, size=(WIDTH, HEIGHT), rows=32, bits=(16, 16, 16), more=((284, 3, [2]),))


def tiles(drawn: Deep, *, predictor: int = 1) -> bytes:
    whole = np.zeros((96, 96, 3), np.uint16)
    whole[:HEIGHT] = drawn
    parts = []
    for top, left in itertools.product(range(0, 96, 48), range(0, 96, 48)):
        part = whole[top : top + 48, left : left + 48].copy()
        if predictor == 2:
            part[:, 1:] -= part[:, :-1].copy()
        parts.append(zlib.compress(part.astype("<u2").tobytes()))
    more = ((322, 3, [48]), (323, 3, [48]), (317, 3, [predictor]))
    return tiff(parts, coding=8, size=(WIDTH, HEIGHT), bits=(16, 16, 16), more=more)


FILES: dict[str, tuple[Deep, Callable[[Deep], bytes]]] = {
    "png grey": (samples(1), png),
    "png grey and alpha": (samples(2), png),
    "png rgb": (samples(3), png),
    "png rgba": (samples(4), png),
    "png interlaced": (samples(3), lambda drawn: png(drawn, interlaced=True)),
    "png of 10 bits": (samples(1, bits=10), png),
    "png rgb of 12 bits": (samples(3, bits=12), png),
    "tiff grey": (samples(1), tiff16),
    "tiff rgb": (samples(3), tiff16),
    "tiff rgba": (samples(4), lambda drawn: tiff16(drawn, more=((338, 3, [2]),))),
    "tiff cmyk": (samples(4), lambda drawn: tiff16(drawn, photometric=5)),
    "tiff of 10 bits": (samples(1, bits=10), tiff16),
    "tiff big-endian": (samples(3), lambda drawn: tiff16(drawn, ">")),
    "tiff big-endian grey": (samples(1), lambda drawn: tiff16(drawn, ">", rows=7)),
    "tiff deflate": (samples(3), lambda drawn: tiff16(drawn, coding=8, rows=11)),
    "tiff differences": (samples(3), lambda drawn: tiff16(drawn, coding=8, predictor=2)),
    "tiff differences, big-endian": (
        samples(3),
        lambda drawn: tiff16(drawn, ">", 8, predictor=2),
    ),
    "tiff packbits": (samples(3), lambda drawn: tiff16(drawn, coding=32773)),
    "tiff planes": (samples(3), planar),
    "tiff tiles": (samples(3), tiles),
    "tiff tiles, differences": (samples(3), lambda drawn: tiles(drawn, predictor=2)),
    "tiff lzw": (
        samples(1),
        lambda drawn: encoded(Image.fromarray(drawn[..., 0]), "TIFF", compression="tiff_lzw"),
    ),
}


# Further pairs of what each occurs in one above.
AGAIN = {
    "png grey and alpha",
    "png rgb of 12 bits",
    "tiff rgba",
    "tiff big-endian grey",
    "tiff differences, big-endian",
    "tiff tiles, differences",
}


def read(data: bytes) -> Deep:
    return read_png(data) if data[:4] == b"\x89PNG" else read_tiff(data)


def tags_of(data: bytes) -> dict[int, tuple[int, ...]]:
    found = chunks.parse_tiff(data)
    whole = {n: t for n, t in found.pages[0].tags.items() if t.type in (3, 4)}
    return {number: found.numbers(tag) for number, tag in whole.items()}


@pytest.mark.parametrize("name", slow_unless(FILES, lambda name: name not in AGAIN))
def test_all_bits_outside_stay_and_none_inside(name: str) -> None:
    drawn, make = FILES[name]
    data = make(drawn)
    edited = codec.edit(data, [BOX], Gaussian())
    assert edited.encoding == "exact"
    assert codec.private_metadata(edited.data) == ()
    after = read(edited.data)
    ((left, top, right, bottom),) = (map(int, reach) for reach in Gaussian().reaches([BOX]))
    outside = np.ones((HEIGHT, WIDTH), np.bool_)
    outside[max(top, 0) : bottom, max(left, 0) : right] = False
    assert outside.any()
    np.testing.assert_array_equal(after[outside], drawn[outside])
    for channel in range(drawn.shape[2]):
        old, new = drawn[INSIDE][..., channel], after[INSIDE][..., channel]
        assert len(np.unique(new)) <= 256
        detail = abs(np.corrcoef(laplacian(old), laplacian(new))[0, 1])
        assert detail < 0.2
        if drawn.max() > 1 << 14:
            assert np.array_equal(new & 255, new >> 8)


def laplacian(plane: Deep) -> NDArray[np.float64]:
    wide = plane.astype(np.float64)
    around = wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:]
    detail: NDArray[np.float64] = (4 * wide[1:-1, 1:-1] - around).ravel()
    return detail


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("tiff")])
def test_a_tiff_keeps_its_layout(name: str) -> None:
    drawn, make = FILES[name]
    data = make(drawn)
    after = codec.edit(data, [BOX], Gaussian()).data
    before, now = tags_of(data), tags_of(after)
    assert after[:4] == data[:4]
    for tag in (256, 257, 258, 259, 262, 277, 338):
        assert now.get(tag) == before.get(tag)
    assert now.get(317, (1,)) == before.get(317, (1,))
    assert codec.inspect(after) == codec.inspect(data)


def test_profile_resolution_orientation_and_colour_key_stay() -> None:
    drawn = samples(3)
    turned = struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, 274, 3, 1, 6, 0, 0)
    key = struct.pack(">3H", *drawn[0, 0])
    more = (
        png_chunk(b"pHYs", struct.pack(">IIB", 3000, 3000, 1)),
        png_chunk(b"iCCP", b"x\x00\x00" + zlib.compress(PROFILE)),
        png_chunk(b"eXIf", turned),
        png_chunk(b"tEXt", b"Author\x00A. Person"),
        png_chunk(b"tRNS", key),
    )
    box = (20.0, 30.0, 50.0, 60.0)  # upright: 80 wide, 96 high
    data = png(drawn, more=more)
    edited = codec.edit(data, [box], Gaussian()).data
    names = [name for name, _, _ in chunks.png_chunks(edited)]
    assert names == [b"IHDR", b"pHYs", b"iCCP", b"eXIf", b"tRNS", b"IDAT", b"IEND"]
    assert codec.inspect(edited).orientation == 6
    parts = {name: edited[a:b] for name, a, b in chunks.png_chunks(edited)}
    assert (parts[b"tRNS"], parts[b"pHYs"]) == (key, struct.pack(">IIB", 3000, 3000, 1))
    before, after = (codec.decode(one) for one in (data, edited))
    assert before.deep is not None
    assert after.deep is not None
    changed = (before.deep.samples != after.deep.samples).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    x0, y0, x1, y1 = Gaussian().reaches([box])[0]
    assert rows[0] >= max(y0, 0)
    assert rows[-1] < y1
    assert columns[0] >= max(x0, 0)
    assert columns[-1] < x1


def test_a_tiff_keeps_profile_resolution_and_turn_and_loses_the_rest() -> None:
    data = tiff16(samples(3), more=((274, 3, [3]), (296, 3, [2]), (40000, 4, [7] * 100)))
    edited = codec.edit(data, [BOX], Gaussian()).data
    tags = tags_of(edited)
    assert (tags[274], tags[296]) == ((3,), (2,))
    assert 40000 not in tags


@pytest.mark.parametrize(
    "cover",
    slow_unless(
        [Gaussian(), Pixelate(), Fill(), ImageNet(), Fill((10, 200, 30))],
        lambda cover: cover in (Pixelate(), Fill((10, 200, 30))),
    ),
)
def test_every_cover_works(cover: Obfuscator) -> None:
    drawn = samples(3)
    after = read_png(codec.edit(png(drawn), [BOX], cover).data)
    middle = after[30:46, 40:52]
    assert abs(int(middle.mean()) - int(drawn[30:46, 40:52].mean())) < 15000 or isinstance(
        cover, Fill
    )
    if isinstance(cover, Fill) and cover.colour:
        assert (middle == np.array(cover.colour) * 257).all()


def test_what_lies_below_the_levels_of_a_cover_does_not_count() -> None:
    """Two files that differ in the low bytes of the face alone become the same file."""
    one = samples(1) & 0xFF00 | 0x80
    other = one.copy()
    noise = np.random.default_rng(0).integers(0, 256, one[INSIDE].shape, np.uint16)
    other[INSIDE] = other[INSIDE] & 0xFF00 | noise
    for array in (one, other):  # the range inside is the same
        array[22, 32], array[23, 33] = 0x1000, 0xF000
    first, second = (codec.edit(png(drawn), [BOX], Gaussian()).data for drawn in (one, other))
    apart = np.abs(read_png(first).astype(int) - read_png(second))
    assert apart.max() <= 257  # a level, where rounding falls otherwise


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: tiff16(samples(1), photometric=0), "0 is white"),
        (
            lambda: tiff(
                [np.zeros((HEIGHT, WIDTH), np.float32).tobytes()],
                size=(WIDTH, HEIGHT),
                bits=(32,),
                photometric=1,
                more=((339, 3, [3]),),
            ),
            "pixels of kind F",
        ),
        (lambda: tiff16(samples(1), more=((339, 3, [2]),)), "kind I"),
        (
            lambda: encoded(
                Image.fromarray(samples(1)[..., 0]),
                "TIFF",
                save_all=True,
                append_images=[Image.fromarray(samples(1)[..., 0])],
            ),
            "2 frames",
        ),
    ],
)
def test_others_are_refused_by_name(make: Callable[[], bytes], why: str) -> None:
    with pytest.raises(SampleError, match=why) as caught:
        codec.edit(make(), [BOX], Gaussian())
    assert caught.value.code == Code.IMAGE_UNSUPPORTED


# Searching


def eight() -> NDArray[np.uint8]:
    return (samples(1)[..., 0] >> 8).astype(np.uint8)


def closest(views: tuple[NDArray[np.uint8], ...], wanted: NDArray[np.uint8]) -> float:
    """How well the best view shows what is wanted: its correlation."""
    return max(
        float(np.corrcoef(view[..., 0].ravel(), wanted.ravel())[0, 1])
        for view in views
        if view.min() < view.max()
    )


@pytest.mark.parametrize(
    ("kind", "bits"),
    slow_unless(
        itertools.product(("png", "tiff"), (8, 10, 12, 14)),
        {("png", 8), ("png", 14), ("tiff", 10)}.__contains__,
    ),
)
def test_few_bits_at_the_low_end_are_seen(bits: int, kind: str) -> None:
    drawn = eight().astype(np.uint16)[..., None] << (bits - 8)
    image = codec.decode(png(drawn) if kind == "png" else tiff16(drawn))
    assert image.frames[0].max() <= 1 << (bits - 8)
    shown = closest(image.views, eight())
    assert shown > 0.99
    assert max(int(view.max()) for view in image.views) == 255


def test_people_see_a_dark_image_stretched() -> None:
    dark = eight().astype(np.uint16)[..., None]
    shown = first_frame(png(dark))[..., 0]
    assert (int(shown.min()), int(shown.max())) == (0, 255)
    bright = samples(1)
    np.testing.assert_array_equal(first_frame(png(bright))[..., 0], bright[..., 0] >> 8)


def test_one_bright_pixel_hides_nothing() -> None:
    drawn = eight().astype(np.uint16)[..., None]
    drawn[0, 0] = 65535
    assert closest(codec.decode(png(drawn)).views, eight()) > 0.95


def test_a_dark_part_of_a_bright_image_is_seen() -> None:
    drawn = samples(1)
    drawn[INSIDE] = eight()[INSIDE][..., None]
    drawn[60:] = 65535
    image = codec.decode(png(drawn))
    assert closest(tuple(view[INSIDE] for view in image.views), eight()[INSIDE]) > 0.9


def test_low_bytes_are_seen_where_they_draw_something() -> None:
    rng = np.random.default_rng(0)
    high = np.tile(np.linspace(40, 200, WIDTH).astype(np.uint16), (HEIGHT, 1))
    hidden = (high << 8 | eight())[..., None]
    assert closest(codec.decode(png(hidden)).views, eight()) > 0.99
    noise = (high << 8 | rng.integers(0, 256, high.shape, np.uint16))[..., None]
    found = codec.decode(png(noise)).deep
    assert found is not None
    assert not found.by_bytes


def test_a_image_that_had_8_bits_shows_nothing_new() -> None:
    wide = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint16) * 257
    assert codec.decode(png(wide)).views == ()
    assert deep_of(wide, 3, 16).tables == ()


def test_images_of_8_bits_have_no_views() -> None:
    shown = Image.fromarray(np.dstack([eight()] * 3))
    for kind in ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF"):
        assert codec.decode(encoded(shown, kind)).views == ()


@pytest.mark.parametrize("turn", range(1, 9))
def test_views_are_upright(turn: int) -> None:
    drawn = eight().astype(np.uint16)[..., None]
    image = codec.decode(tiff16(drawn, more=((274, 3, [turn]),)))
    bright = codec.decode(tiff16(drawn << 8, more=((274, 3, [turn]),)))
    assert image.views[0].shape == bright.frames[0].shape
    assert closest(image.views, bright.frames[0][..., 0]) > 0.99


def test_alpha_that_draws_something_is_a_view() -> None:
    flat = Image.new("RGB", (WIDTH, HEIGHT))
    flat.putpixel((0, 0), (255, 0, 0))  # else alpha is the image anyway
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})):
        flat.putalpha(Image.fromarray(eight()))
        image = codec.decode(encoded(flat, kind, **options))
        assert closest(image.views, eight()) > 0.99
        edited = codec.decode(codec.edit(encoded(flat, kind, **options), [BOX], Gaussian()).data)
        assert left_of(image, image, [BOX])[0] > 0.8
        assert left_of(image, edited, [BOX])[0] < strength.LIMIT
    binary = Image.fromarray(np.where(eight() > 128, 255, 0).astype(np.uint8))
    flat.putalpha(binary)
    assert codec.decode(encoded(flat, "PNG")).views == ()


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_indices_that_look_the_same_are_a_view_and_become_one(kind: str) -> None:
    shown = Image.fromarray(eight() // 8)
    shown = shown.convert("P")
    shown.putpalette([90, 90, 90] * 40 + [0, 0, 0] * 216)
    data = encoded(shown, kind)
    assert closest(codec.decode(data).views, eight()) > 0.95
    edited = codec.edit(data, [(0.0, 0.0, 12.0, 12.0)], Gaussian())
    assert codec.decode(edited.data).views == ()
    usual = Image.fromarray(eight()).convert("P")
    assert codec.decode(encoded(usual, kind)).views == ()


# Checking


def findings(before: bytes, after: bytes) -> dict[Code, bool]:
    return {finding.code: finding.passed for finding in verified(before, after)}


def verified(before: bytes, after: bytes) -> list[Finding]:
    digests = [hashlib.sha256(data).hexdigest() for data in (before, after)]
    sample = Sample("a.png", "", before, digests[0])
    faces = (Face(BOX, 1.0, "file"),)
    read, written = digests
    output = Output("a.png", read, written, "obfuscated", "exact", "gaussian", faces)
    checks = Checks(recipe(), Gaussian(), ())
    return verify(sample, codec.decode(before), after, output, checks)


def test_an_edited_file_passes_its_checks() -> None:
    for drawn in (samples(3), samples(1, bits=10)):
        data = png(drawn)
        assert all(findings(data, codec.edit(data, [BOX], Gaussian()).data).values())


def test_what_is_left_is_measured_where_it_shows() -> None:
    """The high bytes are as good as black, and all of the face is left."""
    data = png(samples(1, bits=10))
    assert not findings(data, codec.edit(data, [], Gaussian()).data)[Code.VERIFY_STRENGTH]


def test_a_copy_of_16_bits_is_searched_again_where_nobody_did() -> None:
    """An older version saw its high bytes alone."""

    class Sees:
        name = "sees"

        def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[list[Face]]:
            return [[Face(BOX, 1.0, "sees")] for _ in images]

    for data, passed in (
        (png(samples(1, bits=10)), False),
        (encoded(Image.new("L", (9, 9)), "PNG"), True),
    ):
        digest = hashlib.sha256(data).hexdigest()
        output = Output("a.png", digest, digest, "copied", "identical", "", ())
        checks = Checks(recipe(), Gaussian(), (Sees(),))
        found = verify(Sample("a.png", "", data, digest), None, data, output, checks)
        assert all(finding.passed for finding in found) == passed


@pytest.mark.slow
def test_a_change_of_the_lowest_bit_away_from_the_faces_is_seen() -> None:
    data = png(samples(3))
    after = read_png(codec.edit(data, [BOX], Gaussian()).data)
    for row, column, bits in ((79, 95, 1), (0, 0, 4)):
        after[row, column, 1] ^= bits
        (moved,) = (
            one for one in verified(data, png(after)) if one.code is Code.VERIFY_PIXELS_CHANGED
        )
        assert (moved.passed, moved.limit) == (False, 0)
        assert moved.value == pytest.approx(bits / 257, rel=1e-6)


def test_a_image_of_16_bits_that_became_one_of_8_is_another() -> None:
    drawn = samples(3)
    deep, flat = png(drawn), encoded(Image.fromarray((drawn >> 8).astype(np.uint8)), "PNG")
    for before, after in ((deep, flat), (flat, deep)):
        (moved,) = (
            one for one in verified(before, after) if one.code is Code.VERIFY_PIXELS_CHANGED
        )
        assert (moved.passed, moved.value, moved.limit) == (False, 255, 0)
        assert moved.detail == "another number of bits"


# Channels and colours that no viewer shows


def with_spare(kind: str) -> bytes:
    """A faceless image whose further channel, which Pillow passes over, draws `eight`."""
    flat = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    whole = np.dstack([flat, eight()])
    size = (WIDTH, HEIGHT)
    if kind == "tiff":
        return tiff([whole.tobytes()], size=size, rows=HEIGHT, bits=(8,) * 4, more=((338, 3, [0]),))
    if kind == "tiff of 5 channels":
        five = np.dstack([flat, flat[..., :1], eight()])
        more = ((338, 3, [0, 0]),)
        return tiff([five.tobytes()], size=size, rows=HEIGHT, bits=(8,) * 5, more=more)
    if kind == "tiff of 16 bits":
        wide = np.dstack([flat, eight()]).astype("<u2")
        return tiff([wide.tobytes()], size=size, rows=HEIGHT, bits=(16,) * 4, more=((338, 3, [0]),))
    if kind == "bmp":
        rows = whole[::-1].tobytes()
        head = struct.pack("<2sIII", b"BM", 54 + len(rows), 0, 54)
        info = struct.pack("<IiiHHIIiiII", 40, WIDTH, HEIGHT, 1, 32, 0, len(rows), 0, 0, 0, 0)
        return head + info + rows
    flat[0, 0] = 0
    shown = Image.fromarray(np.dstack([flat, eight()]))
    data = bytearray(encoded(shown, "WEBP", lossless=True, exact=True))
    ((name, at, _),) = (part for part in chunks.riff_chunks(bytes(data)) if part[0] == b"VP8L")
    assert name == b"VP8L"
    data[at + 4] &= ~0x10  # alpha is used
    body = b"WEBP" + bytes(data[at - 8 :])
    return b"RIFF" + struct.pack("<I", len(body)) + body


SPARE = ("tiff", "tiff of 5 channels", "tiff of 16 bits", "bmp", "webp")


@pytest.mark.parametrize("kind", SPARE)
def test_a_channel_that_nobody_shows_is_a_view_and_goes_with_the_edit(kind: str) -> None:
    data = with_spare(kind)
    image = codec.decode(data)
    assert image.frames[0].std() < 5
    assert closest(image.views, eight()) > 0.99
    if kind != "tiff of 5 channels":
        edited = codec.decode(codec.edit(data, [BOX], Gaussian()).data)
        assert (
            not edited.views
            or closest(tuple(view[INSIDE] for view in edited.views), eight()[INSIDE]) < 0.8
        )


def test_colours_of_frames_under_full_transparency_are_views() -> None:
    flat = Image.new("RGBA", (WIDTH, HEIGHT), (90, 90, 90, 255))
    ghost = Image.fromarray(np.dstack([eight()] * 3)).convert("RGBA")
    ghost.putalpha(0)
    ghost.putpixel((0, 0), (0, 0, 0, 255))
    data = encoded(flat, "PNG", save_all=True, append_images=[ghost], blend=1, duration=100)
    image = codec.decode(data)
    assert max(float(frame[1:].std()) for frame in image.frames) < 5
    assert max(float(view.std()) for view in image.views) > 20
