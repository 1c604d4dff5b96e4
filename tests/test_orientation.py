"""Every format is turned as Pillow turns it, wherever that is told, and stays so when edited."""

from __future__ import annotations

import io
import struct
import time
import warnings
import zlib
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from sfumato.boxes import upright_size
from sfumato.errors import SampleError
from sfumato.imaging import codec, jpeg
from sfumato.imaging.codec import private_metadata
from sfumato.imaging.codec.encoding import WRITERS
from sfumato.imaging.codec.reading import guarded, open_image
from sfumato.imaging.embedded import orientation as turns
from sfumato.obfuscation import Fill
from tests.avif_files import avif
from tests.test_metadata import encoded, image, png_chunk, segment
from tests.variants import first_word, one_of_each, slow_unless

XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"
RED = Fill(colour=(255, 0, 0), expand=0)


def xmp(turn: int, form: str = "attribute") -> bytes:
    told = f'tiff:Orientation="{turn}"/>'
    if form == "element":
        told = f"><tiff:Orientation>{turn}</tiff:Orientation></rdf:Description>"
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
        'syntax-ns#"><rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
        f"{told}</rdf:RDF></x:xmpmeta>"
    ).encode()


def tiff_block(turn: int, kind: int = 3, count: int = 1, order: str = "<", tag: int = 274) -> bytes:
    head = {"<": b"II*\0\x08\0\0\0", ">": b"MM\0*\0\0\0\x08"}[order]
    value = struct.pack(order + {1: "B3x", 3: "H2x", 4: "I", 8: "h2x", 9: "i"}[kind], turn)
    return head + struct.pack(order + "HHHI", 1, tag, kind, count) + value + bytes(4)


def raw_profile(block: bytes) -> bytes:
    """EXIF as ImageMagick writes it into a text of PNG."""
    digits = (b"Exif\0\0" + block).hex()
    lines = "\n".join(digits[i : i + 72] for i in range(0, len(digits), 72))
    return f"\nexif\n{len(block) + 6:8d}\n{lines}\n".encode()


def png(*parts: tuple[bytes, bytes], behind: bool = False) -> bytes:
    data = encoded("PNG")
    at = len(data) - 12 if behind else 33
    return data[:at] + b"".join(png_chunk(*part) for part in parts) + data[at:]


def jpeg_with(*payloads: bytes) -> bytes:
    data = encoded("JPEG", subsampling=0, quality=95)
    return data[:2] + b"".join(segment(0xE1, part) for part in payloads) + data[2:]


def files(turn: int) -> dict[str, bytes]:
    block, packet = tiff_block(turn), xmp(turn)
    keyed = b"XML:com.adobe.xmp\0"
    magick = raw_profile(block)
    return {
        "jpeg-xmp": jpeg_with(XMP_HEAD + packet),
        "jpeg-xmp-element": jpeg_with(XMP_HEAD + xmp(turn, "element")),
        "jpeg-xmp-last": jpeg_with(XMP_HEAD + xmp(1), XMP_HEAD + packet),
        "jpeg-exif-without": jpeg_with(b"Exif\0\0" + tiff_block(5, tag=282), XMP_HEAD + packet),
        "jpeg-xmp-first": jpeg_with(XMP_HEAD + packet, b"Exif\0\0" + tiff_block(5, tag=282)),
        "jpeg-exif-wins": jpeg_with(XMP_HEAD + xmp(7), b"Exif\0\0" + block),
        "jpeg-exif-nonsense": jpeg_with(b"Exif\0\0" + tiff_block(0), XMP_HEAD + packet),
        "jpeg-exif-as-long": jpeg_with(b"Exif\0\0" + tiff_block(turn, kind=4, order=">")),
        "jpeg-exif-nonsense-as-byte": jpeg_with(b"Exif\0\0" + tiff_block(turn, kind=1)),
        "png-exif": png((b"eXIf", block)),
        "png-exif-behind": png((b"eXIf", block), behind=True),
        "png-magick": png((b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(magick))),
        "png-magick-plain": png((b"tEXt", b"Raw profile type exif\0" + magick), behind=True),
        "png-xmp": png((b"iTXt", keyed + b"\0\0\0\0" + packet)),
        "png-xmp-packed": png((b"iTXt", keyed + b"\1\0\0\0" + zlib.compress(packet))),
        "png-exif-wins": png((b"iTXt", keyed + b"\0\0\0\0" + xmp(7)), (b"eXIf", block)),
        "png-exif-over-magick": png(
            (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw_profile(tiff_block(7)))),
            (b"eXIf", block),
        ),
        "webp-xmp": encoded("WEBP", lossless=True, xmp=packet),
        "webp-both": encoded("WEBP", lossless=True, xmp=xmp(7), exif=b"Exif\0\0" + block),
        "tiff-xmp": encoded("TIFF", tiffinfo={700: packet}),
        "tiff-both": encoded("TIFF", tiffinfo={700: xmp(7), 274: turn}),
        "avif-xmp": avif(image(), quality=95, subsampling="4:4:4", xmp=packet),
    }


NAMES = list(files(6))


def opened(data: bytes) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of tags with too many values
        return ImageOps.exif_transpose(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize(
    ("name", "turn"), slow_unless(product(NAMES, (3, 6)), lambda one: one[1] == 6)
)
def test_a_image_is_turned_as_pillow_turns_it(name: str, turn: int) -> None:
    data = files(turn)[name]
    shown = opened(data)
    header, frame = codec.inspect(data), codec.decode(data).frames[0]
    assert header.upright_size == shown.size
    assert np.array_equal(frame, np.asarray(shown.convert("RGB")))
    if not name.startswith("jpeg-exif-nonsense"):
        assert header.orientation == turn
    if name.startswith("jpeg"):
        info = jpeg.inspect(data, max_pixels=10_000)
        assert info.orientation == header.orientation


@pytest.mark.parametrize(
    ("name", "policy"),
    one_of_each(product(NAMES, ("faces", "keep-safe")), lambda one: (first_word(one[0]), one[1])),
)
def test_the_turn_stays_and_the_box_lies_where_it_is_seen(name: str, policy: jpeg.Policy) -> None:
    data = files(6)[name]
    box = (4.0, 20.0, 20.0, 36.0)
    written = codec.edit(data, [box], RED, policy=policy).data
    assert private_metadata(written, keep_safe=policy == "keep-safe") == ()
    assert codec.inspect(written).orientation == codec.inspect(data).orientation
    shown = np.asarray(opened(written).convert("RGB")).astype(int)
    assert np.abs(shown[24:32, 8:16] - (255, 0, 0)).max() < 24
    assert np.abs(shown - np.asarray(opened(data).convert("RGB")))[:, -8:].max() < 24
    assert b"xmpmeta" not in written


@pytest.mark.parametrize("name", one_of_each(NAMES, lambda name: tuple(name.split("-")[:2])))
def test_the_turn_stays_when_only_metadata_go(name: str) -> None:
    for turn in (6, 7) if name.startswith("avif") else (6,):
        data = files(turn)[name]
        clean = codec.strip(data)
        assert private_metadata(clean) == ()
        assert codec.difference(data, clean) == 0
        assert np.array_equal(np.asarray(opened(data)), np.asarray(opened(clean)))


@pytest.mark.parametrize("turn", range(1, 9))
def test_every_turn_of_an_avif_by_xmp_stays(turn: int) -> None:
    data = avif(image(), xmp=xmp(turn))
    clean = codec.strip(data)
    assert codec.inspect(clean).orientation == turn
    assert np.array_equal(np.asarray(opened(data)), np.asarray(opened(clean)))


def test_xmp_behind_the_first_scan_is_not_read() -> None:
    data = encoded("JPEG", progressive=True)
    later = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    told = data[:later] + segment(0xE1, XMP_HEAD + xmp(6)) + data[later:]
    assert opened(told).size == image().size
    assert codec.inspect(told).orientation == jpeg.inspect(told, max_pixels=9999).orientation == 1


def test_the_images_of_an_mpo_are_turned_by_xmp_too() -> None:
    out = io.BytesIO()
    image().save(out, "MPO", save_all=True, append_images=[image(1)])
    data = out.getvalue()
    assert codec.inspect(data).format == "MPO"
    told = segment(0xE1, XMP_HEAD + xmp(6))
    # The index counts from behind its own head, so what stands before it moves nothing but that.
    at = data.index(b"\xff\xe2")
    turned = data[:at] + told + data[at:]
    assert codec.inspect(turned).upright_size == upright_size(*image().size, 6)
    assert codec.inspect(codec.edit(turned, [(4.0, 4.0, 20.0, 20.0)], RED).data).orientation == 6


@pytest.mark.slow
@given(st.binary(max_size=200))
def test_no_bytes_make_reading_a_turn_raise(data: bytes) -> None:
    for head in (b"", b"II*\0\x08\0\0\0", b"Exif\0\0MM\0*\0\0\0\x08", b"II+\0\x08\0\0\0"):
        assert 1 <= turns.orientation(head + data, data) <= 8
    turns.from_raw_profile(data)


@pytest.mark.parametrize(
    "block", [tiff_block(6, count=2), tiff_block(6, kind=8), tiff_block(9), tiff_block(6, count=0)]
)
def test_odd_values_count_as_they_do_for_pillow(block: bytes) -> None:
    data = jpeg_with(b"Exif\0\0" + block, XMP_HEAD + xmp(3))
    assert codec.inspect(data).upright_size == opened(data).size
    assert codec.inspect(data).orientation != 3


def test_a_jpeg_that_is_written_anew_keeps_its_turn() -> None:
    data = jpeg_with(XMP_HEAD + xmp(6))
    with guarded(10_000):
        source = open_image(data, 10_000)
        source.image.load()
        written = WRITERS["JPEG"](source, source.image.copy(), "faces").data
    assert codec.inspect(written).orientation == 6
    assert private_metadata(written) == ()


def test_xmp_on_top_of_xmp_is_refused_not_read_again_and_again() -> None:
    count, size = 2000, 1 << 20
    start = 8 + 30 * count
    out = b"II*\0\x08\0\0\0"
    for i in range(count):
        entries = struct.pack("<HHII", 256, 3, 1, 1)
        entries += struct.pack("<HHII", 700, 1, size - i, start + i)
        follows = 8 + 30 * (i + 1) if i + 1 < count else 0
        out += struct.pack("<H", 2) + entries + struct.pack("<I", follows)
    began = time.process_time()
    with pytest.raises(SampleError):
        codec.inspect(out + bytes(size))
    assert time.process_time() - began < 2
