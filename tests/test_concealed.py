"""What lies outside the visible frame of a file: named, cut away with proof, or refused."""

from __future__ import annotations

import hashlib
import io
import random
import shutil
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import jpeglib
import numpy as np
import pytest
from PIL import Image

from sfumato.errors import Code, SampleError
from sfumato.imaging import codec
from sfumato.imaging.codec import av1, chunks, concealed, isobmff, trimmed
from sfumato.imaging.codec._extents import gif_lzw
from sfumato.imaging.codec.behind import CODED, FRAMES, PIXELS, TOLERATED, UNKNOWN
from sfumato.imaging.codec.watching import Watched
from sfumato.imaging.jpeg import Policy, extent
from sfumato.obfuscation import Gaussian
from sfumato.obfuscation.step import Cover, Faces, release
from sfumato.types import Output, Sample
from sfumato.verification.checks import Checks, verify
from tests import avif_files, jpeg_images
from tests.concealing import (
    SHOWN,
    WHOLE,
    WIDTH,
    apng,
    bmp_runs,
    encoded,
    gif,
    image,
    interlaced_png,
    lzw_strip,
    packed_strip,
    pixels,
    png_chunk,
    resized_jpeg,
    resized_png,
    riff,
    saying,
    second_scan,
    secret,
    shortened_tiff,
    tiff,
    webp_parts,
    with_behind_idat,
)
from tests.jpeg_images import segment, several_scans
from tests.recipes import recipe
from tests.variants import first_word, one_of_each

ROWS = pixels()
FACE = (30.0, 20.0, 60.0, 50.0)


def jpeg(**options: object) -> bytes:
    return encoded(image(), "JPEG", quality=85, **options)


def grown(data: bytes, marker: bytes, more: bytes) -> bytes:
    """A JPEG with more coded bytes before the last marker of this kind."""
    at = data.rindex(marker)
    return data[:at] + more.replace(b"\xff", b"\xfe") + data[at:]


def png(rows: np.ndarray = ROWS) -> bytes:
    return encoded(Image.fromarray(rows), "PNG")


def raw_strip() -> bytes:
    return ROWS.tobytes()


def deflated(rows: np.ndarray = ROWS) -> bytes:
    return zlib.compress(rows.tobytes())


def tiled(padding: np.ndarray) -> bytes:
    """A TIFF of one tile, 96 by 160, of which 96 by 64 are shown."""
    tile = np.concatenate([ROWS[:SHOWN], padding])
    more = ((322, 4, [WIDTH]), (323, 4, [WHOLE]))
    return tiff([tile.tobytes()], more=more)


def late_control() -> bytes:
    """An APNG whose control stands behind its image, where it doesn't count."""
    parts = [(name, apng()[a:b]) for name, a, b in chunks.png_chunks(apng())]
    control = [part for part in parts if part[0] == b"acTL"]
    rest = [part for part in parts if part[0] != b"acTL"]
    return apng()[:8] + b"".join(png_chunk(*part) for part in (*rest[:-1], *control, rest[-1]))


def no_size() -> bytes:
    """A GIF with a second frame of 0 by 0 that holds the first one's data."""
    data = gif(height=WHOLE)
    start, end = next((a, b) for kind, _, a, b in chunks.gif_blocks(data) if kind == 0x2C)
    frame = bytearray(data[start:end])
    struct.pack_into("<HH", frame, 5, 0, 0)
    return data[:end] + bytes(frame) + data[end:]


def webp_twice(*, plain: bool = True) -> bytes:
    """A still WebP with another image behind its own."""
    one = webp_parts(encoded(image(SHOWN), "WEBP", lossless=True))
    other = webp_parts(encoded(image(SHOWN).rotate(180), "WEBP", lossless=True))
    head = (b"VP8X", bytes(4) + struct.pack("<I", WIDTH - 1)[:3] + struct.pack("<I", SHOWN - 1)[:3])
    return riff(*one, *other) if plain else riff(head, *one, *other)


def behind_webp(*, lossless: bool) -> bytes:
    ((name, payload),) = webp_parts(encoded(image(), "WEBP", lossless=lossless, quality=60))
    return riff((name, payload + secret()))


def behind_modes() -> bytes:
    """A lossy WebP with bytes behind its first partition."""
    ((name, payload),) = webp_parts(encoded(image(), "WEBP", quality=60))
    tag = int.from_bytes(payload[:3], "little")
    size = tag >> 5
    head = (tag & 31 | size + 400 << 5).to_bytes(3, "little")
    return riff((name, head + payload[3 : 10 + size] + secret() + payload[10 + size :]))


def unflagged(*, plain: bool = False) -> bytes:
    parts = webp_parts(encoded(image(SHOWN), "WEBP", lossless=True))
    size = struct.pack("<I", WIDTH - 1)[:3] + struct.pack("<I", SHOWN - 1)[:3]
    frame = bytes(6) + size + bytes(4) + riff(*parts)[12:]
    head = [] if plain else [(b"VP8X", bytes(4) + size)]
    return riff(*head, *parts, (b"ANMF", frame))


def behind_avif() -> bytes:
    """An AVIF with more bytes behind the tile of its one frame."""
    data = avif_files.avif(image(), quality=60)
    avif = isobmff.parse_avif(data)
    item = avif.items[avif.primary]
    ((at, size),) = item.extents
    kind, start, end = av1.obus(data[at : at + size])[-1]
    assert (kind, end) == (6, size)
    obu = struct.pack(">B", 6 << 3 | 2) + leb128(end - start + 400)
    unit = data[at : at + start - 1 - len(leb128(end - start))] + obu + data[at + start : at + end]
    unit += secret()
    out = bytearray(data)
    place = data.index(struct.pack(">II", at, size))
    struct.pack_into(">II", out, place, len(data) + 8, len(unit))
    return bytes(out) + struct.pack(">I", len(unit) + 8) + b"mdat" + unit


def two_frames() -> bytes:
    data = avif_files.avif(image(), quality=60)
    avif = isobmff.parse_avif(data)
    ((at, size),) = avif.items[avif.primary].extents
    unit = 2 * data[at : at + size]
    out = bytearray(data)
    struct.pack_into(">II", out, data.index(struct.pack(">II", at, size)), len(data) + 8, len(unit))
    return bytes(out) + struct.pack(">I", len(unit) + 8) + b"mdat" + unit


def leb128(value: int) -> bytes:
    return bytes((value & 127 | 128, value >> 7)) if value > 127 else bytes((value,))


def jpeg_in_tiff() -> bytes:
    data = encoded(image(), "JPEG", quality=85, subsampling=0)
    return tiff([data], coding=7, photometric=6)


def long_frame() -> bytes:
    """An APNG whose last frame says less rows than it has."""
    parts = [(name, apng()[a:b]) for name, a, b in chunks.png_chunks(apng())]
    last = max(i for i, (name, _) in enumerate(parts) if name == b"fcTL")
    control = bytearray(parts[last][1])
    struct.pack_into(">I", control, 8, 16)
    parts[last] = (b"fcTL", bytes(control))
    return apng()[:8] + b"".join(png_chunk(*part) for part in parts)


def alpha() -> Image.Image:
    shown = image()
    shown.putalpha(shown.getchannel("R"))
    return shown


CUT: dict[str, tuple[Callable[[], bytes], str]] = {
    "jpeg height": (lambda: resized_jpeg(jpeg(), WIDTH, SHOWN), CODED),
    "jpeg width": (lambda: resized_jpeg(jpeg(), SHOWN, WHOLE), CODED),
    "jpeg 4:4:4": (lambda: resized_jpeg(jpeg(subsampling=0), WIDTH, SHOWN), CODED),
    "jpeg grey": (
        lambda: resized_jpeg(encoded(image().convert("L"), "JPEG"), WIDTH, SHOWN),
        CODED,
    ),
    "jpeg optimised": (lambda: resized_jpeg(jpeg(optimize=True), WIDTH, SHOWN), CODED),
    "jpeg restarts": (
        lambda: resized_jpeg(jpeg(restart_marker_rows=1), WIDTH, SHOWN),
        CODED,
    ),
    "jpeg restart blocks": (
        lambda: resized_jpeg(jpeg(restart_marker_blocks=3), WIDTH, SHOWN),
        CODED,
    ),
    "jpeg progressive": (lambda: resized_jpeg(jpeg(progressive=True), WIDTH, SHOWN), CODED),
    "jpeg several scans": (lambda: resized_jpeg(several_scans(), 173, 60), CODED),
    "jpeg behind the last block": (lambda: grown(jpeg(), b"\xff\xd9", secret()), CODED),
    "jpeg behind an interval": (
        lambda: grown(jpeg(restart_marker_rows=4), b"\xff\xd1", secret()),
        CODED,
    ),
    "jpeg behind an early scan": (
        lambda: grown(jpeg(progressive=True), b"\xff\xc4", secret()),
        CODED,
    ),
    "jpeg between segments": (
        lambda: grown(jpeg(), b"\xff\xda", secret()),
        "bytes between segments",
    ),
    "png height": (lambda: resized_png(png(), WIDTH, SHOWN), PIXELS),
    "png interlaced": (lambda: interlaced_png(ROWS[:SHOWN], ROWS[SHOWN:].tobytes()), PIXELS),
    "png behind the stream": (
        lambda: with_behind_idat(png(), secret()),
        CODED,
    ),
    "png second stream": (lambda: with_behind_idat(png(), deflated()), CODED),
    "png written over": (lambda: png(ROWS[:SHOWN]) + png()[-3000:], PIXELS),
    "apng says one": (lambda: saying(apng(), 1), FRAMES),
    "apng says two of three": (lambda: saying(apng(), 2), FRAMES),
    "apng without a control": (lambda: saying(apng(), None), FRAMES),
    "tiff long strip": (lambda: tiff([raw_strip()]), CODED),
    "tiff long strip, big-endian": (lambda: tiff([raw_strip()], order=">"), CODED),
    "tiff deflate, more rows": (lambda: tiff([deflated()], coding=8), CODED),
    "tiff deflate, more behind": (
        lambda: tiff([deflated(ROWS[:SHOWN]) + secret()], coding=8),
        CODED,
    ),
    "tiff narrow": (
        lambda: tiff([raw_strip()], size=(48, WHOLE), rows=WHOLE),
        CODED,
    ),
    "tiff of fewer bits": (
        lambda: tiff([ROWS.astype("<u2").tobytes()], size=(WIDTH, WHOLE), rows=WHOLE),
        CODED,
    ),
    "tiff of 16 bits": (
        lambda: tiff([ROWS.astype("<u2").tobytes()], bits=(16, 16, 16)),
        CODED,
    ),
    "tiff group 4": (lambda: shortened_tiff("group4", "1"), CODED),
    "png of 16 bits": (
        lambda: resized_png(
            encoded(Image.fromarray(ROWS[..., 0].astype(np.uint16) * 200), "PNG"), WIDTH, SHOWN
        ),
        PIXELS,
    ),
    "apng with a late control": (late_control, FRAMES),
    "tiff lzw": (lambda: tiff([lzw_strip(ROWS)], coding=5), CODED),
    "tiff packbits": (lambda: tiff([packed_strip(ROWS)], coding=32773), CODED),
    "gif height": (gif, CODED),
    "gif behind the end code": (lambda: gif(secret(), height=WHOLE), CODED),
    "bmp height": (
        lambda: (
            encoded(image(), "BMP")[:22] + struct.pack("<i", SHOWN) + encoded(image(), "BMP")[26:]
        ),
        PIXELS,
    ),
    "bmp runs of more rows": (lambda: bmp_runs(ROWS[..., 0], SHOWN), CODED),
    "webp two images": (webp_twice, FRAMES),
    "webp frame behind an image": (lambda: unflagged(plain=True), FRAMES),
}


@cache
def made(name: str) -> bytes:
    """The file of this name, with what it shows too little of."""
    return (CUT | REFUSED)[name][0]()


def shown(data: bytes) -> list[np.ndarray]:
    return list(codec.decode(data).frames)


@pytest.mark.parametrize("name", CUT)
def test_it_is_named_and_cut_away(name: str) -> None:
    data, what = made(name), CUT[name][1]
    assert what in concealed(data)
    before = shown(data)
    clean = trimmed(data)
    assert clean is not data
    assert concealed(clean) == ()
    assert codec.difference(data, clean) == 0
    for old, new in zip(before, shown(clean), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    "name", one_of_each([name for name in CUT if name != "apng says two of three"], first_word)
)
def test_nothing_of_it_is_left(name: str) -> None:
    """With its old size the cut file doesn't show what it held."""
    data = made(name)
    clean = trimmed(data)
    if name in ("jpeg height", "jpeg progressive", "jpeg restarts"):
        whole = np.asarray(Image.open(io.BytesIO(resized_jpeg(data, WIDTH, WHOLE))).convert("RGB"))
        assert np.abs(whole.astype(int) - ROWS).mean() < 20  # it was all there
        again = np.asarray(Image.open(io.BytesIO(resized_jpeg(clean, WIDTH, WHOLE))))
        assert again[SHOWN + 16 :].std(axis=0).max() < 3  # libjpeg goes on with the last colour
    if name == "png height":
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(png()))), ROWS)
        again = np.asarray(Image.open(io.BytesIO(resized_png(clean, WIDTH, WHOLE))))
        assert not again[SHOWN:].any()
    tail = ROWS[-8:-6].tobytes()
    assert tail not in clean
    assert secret() not in clean


@pytest.mark.parametrize("name", one_of_each(CUT, first_word))
def test_policy_all_cuts_it_too(name: str) -> None:
    data = made(name)
    clean = codec.strip(data)
    assert concealed(clean) == ()
    assert codec.private_metadata(clean, frames=True) == ()
    assert set(concealed(data)) <= set(codec.private_metadata(data, frames=True))


EDITED = [name for name in CUT if not name.startswith("apng")]


@pytest.mark.parametrize("name", one_of_each(EDITED, first_word))
def test_an_edited_file_doesnt_hold_it_either(name: str) -> None:
    edited = codec.edit(made(name), [FACE], Gaussian())
    assert edited.encoding == "exact"
    assert codec.private_metadata(edited.data) == ()
    assert ROWS[-8:-6].tobytes() not in edited.data
    assert secret() not in edited.data


def beside() -> bytes:
    """A JPEG of which 97 columns of 128 are shown, in MCUs of 32."""
    drawn = pixels(64, 128).copy()
    drawn[:, 96:] = 255 - drawn[:, 96:]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.jpg")
        made = jpeglib.from_spatial(drawn)
        made.samp_factor = ((1, 4), (1, 1), (1, 1))
        made.write_spatial(str(path), qt=85)
        return resized_jpeg(path.read_bytes(), 97, 64)


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "webp behind its pixels": (lambda: behind_webp(lossless=True), CODED),
    "lossy webp behind its pixels": (lambda: behind_webp(lossless=False), CODED),
    "lossy webp behind its modes": (behind_modes, CODED),
    "webp frame of no animation": (unflagged, FRAMES),
    "avif of another size": (
        lambda: avif_files.resized(avif_files.avif(image()), WIDTH, SHOWN),
        PIXELS,
    ),
    "avif behind its tiles": (behind_avif, CODED),
    "avif of two frames": (two_frames, FRAMES),
    "tiff tile with an image": (lambda: tiled(ROWS[SHOWN:]), PIXELS),
    "jpeg with a height behind its scan": (  # DNL
        lambda: resized_jpeg(jpeg(), WIDTH, SHOWN)[:-2] + segment(0xDC, b"\x00\xa0") + b"\xff\xd9",
        CODED,
    ),
    "tiff zstd": (lambda: shortened_tiff("zstd"), UNKNOWN),
    "tiff lzma": (lambda: shortened_tiff("lzma"), UNKNOWN),
    "tiff jpeg": (lambda: shortened_tiff("jpeg"), UNKNOWN),
    "gif frame of no size": (no_size, CODED),
    "jpeg second scan": (second_scan, CODED),
    "jpeg of wide blocks": (beside, PIXELS),
    "jpeg progressive width": (  # one run goes from the last shown block to one that isn't
        lambda: resized_jpeg(jpeg(progressive=True), SHOWN, WHOLE),
        CODED,
    ),
    "jpeg in tiff": (jpeg_in_tiff, UNKNOWN),
    "webp two images, extended": (lambda: webp_twice(plain=False), FRAMES),
    "tiff more strips": (  # which Pillow takes for further planes
        lambda: tiff([ROWS[at : at + 32].tobytes() for at in range(0, WHOLE, 32)], rows=32),
        CODED,
    ),
    "apng frame with more rows": (long_frame, PIXELS),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_cut_is_refused_by_name(name: str) -> None:
    data, what = made(name), REFUSED[name][1]
    assert what in concealed(data)
    assert what in codec.private_metadata(data, frames=True)
    with pytest.raises(SampleError) as caught:
        trimmed(data)
    assert caught.value.code == Code.IMAGE_UNSUPPORTED
    assert what in caught.value.reason
    with pytest.raises(SampleError):
        codec.strip(data)


SOUND: dict[str, Callable[[], bytes]] = {
    "jpeg": jpeg,
    "jpeg restarts": lambda: jpeg(restart_marker_rows=1),
    "jpeg progressive": lambda: jpeg(progressive=True),
    "jpeg several scans": several_scans,
    "jpeg of wide blocks": lambda: jpeg_images.sampled((1, 4), (1, 1), (1, 1)),
    "jpeg of high blocks": lambda: jpeg_images.sampled((4, 1), (1, 1), (1, 1)),
    "jpeg with a stray byte": lambda: grown(jpeg(), b"\xff\xd9", b"\x01\x02"),
    "jpeg padded": lambda: grown(jpeg(), b"\xff\xd9", bytes(4000)),
    "jpeg cut off": lambda: jpeg()[:-2],
    "mpo": lambda: jpeg_images.mpo(jpeg()),
    "png": png,
    "png interlaced": lambda: interlaced_png(ROWS),
    "png of 3 by 5, interlaced": lambda: interlaced_png(ROWS[:5, :3]),
    "png of 2 colours": lambda: encoded(image().convert("1"), "PNG"),
    "png of a palette": lambda: encoded(image().quantize(7), "PNG", bits=4),
    "png without an end": lambda: png()[:-12],
    "apng": apng,
    "apng default": lambda: encoded(
        image(), "PNG", save_all=True, append_images=[image().rotate(180)], default_image=True
    ),
    "gif": lambda: encoded(image().quantize(64), "GIF"),
    "gif of many codes": lambda: encoded(
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 300), np.uint8)), "GIF"
    ),
    "gif of 2 colours": lambda: encoded(image().convert("1"), "GIF"),
    "gif animation": lambda: encoded(
        image(), "GIF", save_all=True, append_images=[image().rotate(180)]
    ),
    "gif without an end": lambda: encoded(image().quantize(64), "GIF")[:-1],
    "bmp": lambda: encoded(image(), "BMP"),
    "bmp runs": lambda: bmp_runs(ROWS[..., 0], WHOLE),
    "tiff raw": lambda: encoded(image(), "TIFF"),
    "tiff lzw": lambda: encoded(image(), "TIFF", compression="tiff_lzw"),
    "tiff lzw of noise": lambda: encoded(
        Image.frombytes("L", (200, 90), secret(18000)), "TIFF", compression="tiff_lzw"
    ),
    "tiff deflate": lambda: encoded(image(), "TIFF", compression="tiff_adobe_deflate"),
    "tiff packbits": lambda: encoded(image(), "TIFF", compression="packbits"),
    "tiff jpeg": lambda: encoded(image(), "TIFF", compression="jpeg"),
    "tiff group 3": lambda: encoded(image().convert("1"), "TIFF", compression="group3"),
    "tiff group 4": lambda: encoded(image().convert("1"), "TIFF", compression="group4"),
    "tiff lzma": lambda: encoded(image(), "TIFF", compression="lzma"),
    "tiff zstd": lambda: encoded(image(), "TIFF", compression="zstd"),
    "tiff small strips": lambda: encoded(
        image(), "TIFF", compression="tiff_lzw", tiffinfo={278: 7}
    ),
    "tiff pages": lambda: encoded(image(), "TIFF", save_all=True, append_images=[image()]),
    "tiff tile, edge repeated": lambda: tiled(np.repeat(ROWS[SHOWN - 1 : SHOWN], 96, axis=0)),
    "tiff tile, black": lambda: tiled(np.zeros_like(ROWS[SHOWN:])),
    "webp lossless": lambda: encoded(image(), "WEBP", lossless=True),
    "webp": lambda: encoded(image(), "WEBP", quality=70),
    "webp with alpha": lambda: encoded(alpha(), "WEBP", quality=70),
    "webp of one colour": lambda: encoded(Image.new("RGB", (300, 200), "red"), "WEBP"),
    "webp animation": lambda: encoded(
        image(), "WEBP", save_all=True, append_images=[image().rotate(180)], duration=100
    ),
    "avif": lambda: avif_files.avif(image(), quality=60),
    "avif of one colour": lambda: avif_files.avif(Image.new("RGB", (300, 200), "red")),
    "avif with alpha": lambda: avif_files.avif(alpha(), quality=60),
    "avif of tiles": lambda: avif_files.grid(image(128, 128), image(128, 128)),
}


@pytest.mark.parametrize("name", SOUND)
def test_sound_files_stay_byte_for_byte(name: str) -> None:
    data = SOUND[name]()
    assert concealed(data) == ()
    assert trimmed(data) is data


def copied(data: bytes, policy: Policy) -> dict[Code, bool]:
    """What `verify` says of a file that an older version copied byte for byte."""
    digest = hashlib.sha256(data).hexdigest()
    output = Output("a", digest, digest, "copied", "identical", "", ())
    checks = Checks(recipe(metadata=policy), Gaussian(), ())
    found = verify(Sample("a", "", data, digest), None, data, output, checks)
    return {finding.code: finding.passed for finding in found}


@pytest.mark.parametrize("name", one_of_each([*CUT, *REFUSED], first_word))
def test_a_release_that_holds_such_files_does_not_pass(name: str) -> None:
    policies: tuple[Policy, ...] = ("faces", "keep-safe", "all")
    found = copied(made(name), policies[len(name) % 3])
    assert found[Code.VERIFY_BYTES_CHANGED]
    assert not found[Code.VERIFY_METADATA]


def test_a_release_of_sound_files_passes() -> None:
    assert copied(jpeg(), "faces") == {Code.VERIFY_BYTES_CHANGED: True}


class Kept:
    """A sink that keeps what is staged."""

    data = b""

    def stage(self, sample: Sample, data: bytes) -> str:
        self.data = data
        return hashlib.sha256(data).hexdigest()

    def publish(self, keys: Iterable[str]) -> None:
        pass


@pytest.mark.parametrize("policy", ["faces", "all"])
@pytest.mark.parametrize("name", ["jpeg height", "png height", "tiff long strip", "apng says one"])
def test_a_copy_in_a_release_is_cut_and_passes(name: str, policy: Policy) -> None:
    data = made(name)
    sample = Sample("a", "", data, hashlib.sha256(data).hexdigest())
    cover = Cover(recipe(metadata=policy), Gaussian(), ())
    sink = Kept()
    hiding = codec.decode(data)
    output, _ = release(sample, hiding, Faces(()), cover, sink)
    assert (output.action, output.encoding) == ("copied", "exact")
    assert concealed(sink.data) == ()
    checks = Checks(recipe(metadata=policy), Gaussian(), ())
    found = verify(sample, hiding, sink.data, output, checks)
    assert all(finding.passed for finding in found)
    assert Code.VERIFY_METADATA in {finding.code for finding in found}
    found = verify(sample, hiding, data, output, checks)  # as it came
    assert Code.VERIFY_BYTES_CHANGED in {finding.code for finding in found if not finding.passed}


def test_a_few_bytes_are_padding_and_many_are_not() -> None:
    assert concealed(grown(jpeg(), b"\xff\xd9", secret(TOLERATED))) == ()
    assert concealed(grown(jpeg(), b"\xff\xd9", secret(TOLERATED + 1))) == (CODED,)
    assert concealed(with_behind_idat(png(), secret(TOLERATED))) == ()


def test_few_bytes_in_each_of_many_intervals_are_many() -> None:
    data = jpeg(restart_marker_rows=1)
    for number in range(8):
        data = grown(data, bytes((0xFF, 0xD0 + number)), secret(20))
    assert concealed(data) == (CODED,)
    assert codec.difference(data, trimmed(data)) == 0


def test_the_few_bytes_go_where_a_jpeg_is_edited() -> None:
    """The editor takes no file with bytes behind its last block."""
    data = grown(jpeg(), b"\xff\xd9", secret(20))
    assert codec.edit(data, [FACE], Gaussian()).encoding == "exact"


@pytest.mark.slow
def test_blocks_of_real_jpeg_files_take_all_their_data(shared_data: Path) -> None:
    paths = sorted((shared_data / "imagenet").rglob("*.JPEG"))[:60]
    assert len(paths) == 60
    for path in paths:
        data = path.read_bytes()
        scans = extent.extents(data)
        assert all(extent.left_over(data, scan) == b"" for scan in scans), path.name
        assert extent.cut(data, scans) == data


def test_a_jpeg_is_watched_while_it_is_decoded() -> None:
    """Nothing more needs to be asked of a file whose last bytes the decoder needed."""
    for sound in (jpeg(), jpeg(subsampling=0), encoded(image().convert("L"), "JPEG")):
        assert codec.decode(sound).whole
    for made in (
        resized_jpeg(jpeg(), WIDTH, SHOWN),
        grown(jpeg(), b"\xff\xd9", secret(80)),
        grown(jpeg(), b"\xff\xd9", bytes(80)),
        jpeg() + secret(),
        grown(jpeg(), b"\xff\xda", secret()),
        jpeg(progressive=True),  # which isn't watched
        jpeg(restart_marker_rows=1),
        several_scans(),
    ):
        assert not codec.decode(made).whole


def test_a_decoder_that_asks_for_the_last_bytes_with_all_rows_there_tells_nothing() -> None:
    data = jpeg()
    for done in (False, True):
        with Image.open(io.BytesIO(data)) as hiding:
            hiding.load()
            watched = Watched(data, hiding, len(data) - 50)
            assert len(watched.read(1 << 16)) == len(data) - 50
            if done:
                hiding.im.paste(Image.new("RGB", hiding.size).im, (0, 0, *hiding.size))
            assert len(watched.read(1 << 16)) == 50
            assert watched.whole != done


def test_a_black_last_row_is_not_taken_for_one_that_is_missing() -> None:
    black = pixels().copy()
    black[SHOWN - 16 : SHOWN] = 0
    data = resized_jpeg(encoded(Image.fromarray(black), "JPEG", quality=85), WIDTH, SHOWN)
    assert not codec.decode(data).whole
    assert concealed(data) == (CODED,)


def test_what_our_reader_refuses_is_told_by_decoding() -> None:
    """Arithmetic coding is named by this segment; the coded data are as before."""

    def told(data: bytes) -> bytes:
        return data[:2] + segment(0xCC, b"\x10\x05") + data[2:]

    assert concealed(told(jpeg())) == ()
    assert concealed(told(resized_jpeg(jpeg(), WIDTH, SHOWN))) == (CODED,)
    assert concealed(told(jpeg(restart_marker_blocks=1))) == (UNKNOWN,)


def test_arithmetic_coding(tmp_path: Path) -> None:
    if shutil.which("jpegtran") is None:
        pytest.skip("jpegtran is not installed (Debian package libjpeg-turbo-progs)")
    (tmp_path / "a.jpg").write_bytes(jpeg())
    command = ["jpegtran", "-arithmetic", str(tmp_path / "a.jpg")]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    assert concealed(data) == ()
    assert concealed(resized_jpeg(data, WIDTH, SHOWN)) == (CODED,)


def test_images_behind_the_first_are_looked_at_as_well() -> None:
    assert concealed(jpeg() + resized_jpeg(jpeg(), WIDTH, SHOWN)) == (CODED,)
    with pytest.raises(SampleError):
        trimmed(jpeg() + resized_jpeg(jpeg(), WIDTH, SHOWN))


@pytest.mark.parametrize(
    "seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)]
)
def test_damaged_files_end_in_a_name_or_a_code(seed: int) -> None:
    rng = random.Random(seed)
    pool = [make() for make in SOUND.values()] + [make() for make, _ in CUT.values()]
    pool = [data for data in pool if len(data) < 40_000]
    for _ in range(60):
        data = bytearray(rng.choice(pool))
        for _ in range(rng.choice((1, 2, 6))):
            at = rng.randrange(min(len(data), rng.choice((60, 300, len(data)))))
            data[at] = rng.choice((0, 255, data[at] ^ 1 << rng.randrange(8)))
        try:
            clean = trimmed(bytes(data), max_pixels=200_000)
        except SampleError:
            continue
        assert concealed(clean) == ()


def test_gif_of_codes_that_begin_with_two_bits_is_followed_as_viewers_do() -> None:
    """Its first free code is beyond two bits already: codes never get wider."""
    pixels = (1, 1, 0) * 20
    codes = enumerate((2, *pixels, 3))  # clear, pixels, end
    coded = sum(code << 2 * place for place, code in codes).to_bytes(16, "little")
    head = b"GIF89a" + struct.pack("<HHBBB", 60, 1, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff,"
    data = head + struct.pack("<HHHHB", 0, 0, 60, 1, 0) + b"\x01\x10" + coded + b"\0;"
    with Image.open(io.BytesIO(data)) as shown:
        assert (np.asarray(shown.convert("L"))[0] == 255 * np.array(pixels)).all()
    assert gif_lzw(coded + b"\x7a" * 9, 1, 60) == 16
