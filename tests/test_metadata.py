"""Everything private that an image can carry is named; what decoding needs is not."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from sfumato.errors import Code, SampleError
from sfumato.imaging import codec
from sfumato.imaging.codec import private_metadata
from sfumato.obfuscation import Gaussian

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
FACE = (8.0, 8.0, 24.0, 24.0)


def image(seed: int = 0) -> Image.Image:
    y, x = np.mgrid[0:40, 0:48]
    bands = [128 + 100 * np.sin((x * (band + 1) + y * (seed + 1)) / 9) for band in range(3)]
    return Image.fromarray(np.stack(bands, axis=-1).astype(np.uint8))


def encoded(kind: str, **settings: Any) -> bytes:
    out = io.BytesIO()
    image().save(out, kind, **settings)
    return out.getvalue()


PREVIEW = encoded("JPEG", quality=30)
BARE = encoded("JPEG")


def segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def with_segment(marker: int, payload: bytes) -> bytes:
    return BARE[:2] + segment(marker, payload) + BARE[2:]


def exif_with_preview() -> bytes:
    """Orientation in the first directory, a JPEG preview in the second."""
    first = struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, 6, 0, 26)
    at = 26 + 2 + 3 * 12 + 4
    second = struct.pack("<HHHII", 3, 0x0103, 3, 1, 6)
    second += struct.pack("<HHII", 0x0201, 4, 1, at) + struct.pack(
        "<HHII", 0x0202, 4, 1, len(PREVIEW)
    )
    return b"Exif\0\0II*\0\x08\0\0\0" + first + second + bytes(4) + PREVIEW


def exif(**groups: dict[int, Any]) -> bytes:
    block = Image.Exif()
    for name, values in groups.items():
        target = block if name == "Base" else block.get_ifd(ExifTags.IFD[name])
        target.update(values)
    return block.tobytes()


def photoshop(resource: int, data: bytes) -> bytes:
    block = b"8BIM" + struct.pack(">HHI", resource, 0, len(data)) + data
    return b"Photoshop 3.0\0" + block + b"\0" * (len(data) % 2)


def png_chunk(name: bytes, payload: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + payload))
    return struct.pack(">I", len(payload)) + name + payload + checksum


def png_with(name: bytes, payload: bytes) -> bytes:
    data = encoded("PNG")
    return data[:33] + png_chunk(name, payload) + data[33:]


def webp_with(name: bytes, payload: bytes) -> bytes:
    data = encoded("WEBP", exif=exif(Base={0x0112: 6}))  # an extended file, with flags
    data += name + struct.pack("<I", len(payload)) + payload + b"\0" * (len(payload) % 2)
    return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]


def gif_with(block: bytes) -> bytes:
    data = encoded("GIF")
    at = 13 + (3 << ((data[10] & 7) + 1))
    return data[:at] + block + data[at:]


@cache
def animated(kind: str) -> bytes:
    out = io.BytesIO()
    image().save(out, kind, save_all=True, append_images=[image(3)])
    return out.getvalue()


XMP = b"<x:xmpmeta/>"
GPS = exif(GPSInfo={1: "N", 2: (1.0, 2.0, 3.0)})
TEXT = PngImagePlugin.PngInfo()
TEXT.add_text("Author", "A. Person")
TEXT.add_itxt("Title", "Somebody")
COMMENT = b"!\xfe\x05hello\0"

PRIVATE: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "jpeg-exif-preview": (
        with_segment(0xE1, exif_with_preview()),
        ("exif:thumbnail", "second start of image"),
    ),
    "jpeg-gps": (encoded("JPEG", exif=GPS), ("exif:gps", "exif:tags")),
    "jpeg-makernote": (
        encoded("JPEG", exif=exif(Exif={0x927C: b"camera secrets"})),
        ("exif:makernote", "exif:tags"),
    ),
    "jpeg-artist": (encoded("JPEG", exif=exif(Base={0x013B: "A"})), ("exif:tags",)),
    "jpeg-exif-broken": (with_segment(0xE1, b"Exif\0\0II*\0\xff\xff\0\0"), ("exif:unreadable",)),
    "jpeg-exif-long": (
        with_segment(0xE1, exif(Base={0x0112: 6}) + b"behind the directory" * 3),
        ("exif:unused bytes",),
    ),
    "jpeg-photoshop": (
        with_segment(0xED, photoshop(0x040C, bytes(28) + PREVIEW)),
        ("app13", "second start of image"),
    ),
    "jpeg-iptc": (with_segment(0xED, photoshop(0x0404, b"\x1c\x02\x50\0\x07Annabel")), ("app13",)),
    "jpeg-xmp": (encoded("JPEG", xmp=XMP), ("xmp",)),
    "jpeg-comment": (encoded("JPEG", comment=b"shot by Annabel"), ("comment",)),
    "jpeg-flashpix": (with_segment(0xE2, b"FPXR\0" + bytes(9)), ("app2",)),
    "jpeg-maker": (with_segment(0xE5, b"RMETA" + PREVIEW), ("app5", "second start of image")),
    "jpeg-app14": (with_segment(0xEE, b"Adobe" + bytes(40)), ("app14",)),
    "jpeg-jfxx": (
        with_segment(0xE0, b"JFXX\0\x10" + PREVIEW),
        ("jfif:thumbnail", "second start of image"),
    ),
    "jpeg-jfif-preview": (
        with_segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\1\1abc"),
        ("jfif:thumbnail",),
    ),
    "jpeg-jfif-long": (with_segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0abc"), ("jfif:unused bytes",)),
    "jpeg-false-profile": (
        with_segment(0xE2, b"ICC_PROFILE\0\1\1" + PREVIEW),
        ("profile:unreadable", "second start of image"),
    ),
    "jpeg-tail": (BARE + b"motion photo", ("trailing data",)),
    "jpeg-tail-image": (BARE + PREVIEW, ("trailing data", "second start of image")),
    "jpeg-stray": (BARE[:20] + b"stray" + BARE[20:], ("stray bytes",)),
    "mpo": (animated("MPO"), ("mpf", "second start of image", "trailing data")),
    "png-text": (
        encoded("PNG", pnginfo=TEXT),
        ("text chunk tEXt", "text chunk iTXt"),
    ),
    "png-xmp": (png_with(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP), ("xmp",)),
    "png-exif": (encoded("PNG", exif=GPS), ("exif:gps", "exif:tags")),
    "png-time": (png_with(b"tIME", bytes(7)), ("time",)),
    "png-private": (png_with(b"prVt", b"x"), ("chunk prVt",)),
    "png-odd-name": (png_with(b"\x80a\n1", b"x"), ("chunk ?",)),
    "png-false-profile": (
        png_with(b"iCCP", b"name\0\0" + zlib.compress(PREVIEW)),
        ("profile:unreadable",),
    ),
    "png-tail": (encoded("PNG") + b"cropped away", ("trailing data",)),
    "apng": (animated("PNG"), ("animation frames",)),
    "webp-exif": (encoded("WEBP", exif=GPS), ("exif:gps", "exif:tags")),
    "webp-xmp": (encoded("WEBP", xmp=XMP), ("xmp",)),
    "webp-unknown": (webp_with(b"abcd", b"?"), ("chunk abcd",)),
    "webp-tail": (encoded("WEBP") + b"behind", ("trailing data",)),
    "webp-moving": (animated("WEBP"), ("animation frames",)),
    "tiff-tags": (
        encoded("TIFF", tiffinfo={270: "a child", 315: "A. Person", 700: XMP}),
        ("tag 270", "tag 315", "xmp"),
    ),
    "tiff-photoshop": (
        encoded("TIFF", tiffinfo={34377: b"8BIM" + bytes(40)}),
        ("photoshop resources",),
    ),
    "tiff-gps": (encoded("TIFF", exif=GPS), ("exif:gps",)),
    "tiff-pages": (animated("TIFF"), ("second image",)),
    "tiff-hidden": (encoded("TIFF") + PREVIEW, ("unreferenced bytes",)),
    "gif-comment": (gif_with(COMMENT), ("comment",)),
    "gif-xmp": (gif_with(b"!\xff\x0bXMP DataXMP\x01x\0"), ("xmp",)),
    "gif-app": (gif_with(b"!\xff\x0bTESTAPP 1.0\x01x\0"), ("application extension",)),
    "gif-text": (gif_with(b"!\x01\x01x\0"), ("plain text",)),
    "gif-tail": (encoded("GIF") + b"behind", ("trailing data",)),
    "gif-moving": (animated("GIF"), ("animation frames",)),
    "bmp-tail": (encoded("BMP") + b"behind", ("trailing data",)),
}

CLEAN = {
    "jpeg": encoded("JPEG", icc_profile=SRGB, exif=exif(Base={0x0112: 6}), dpi=(300, 300)),
    "jpeg-progressive": encoded("JPEG", progressive=True),
    "jpeg-large-profile": encoded(
        "JPEG", icc_profile=struct.pack(">I", 90_000) + SRGB[4:] + bytes(90_000 - len(SRGB))
    ),
    "png": encoded("PNG", icc_profile=SRGB, exif=exif(Base={0x0112: 3}), dpi=(96, 96)),
    "webp": encoded("WEBP", icc_profile=SRGB, exif=exif(Base={0x0112: 3})),
    "webp-lossless": encoded("WEBP", lossless=True),
    "tiff": encoded("TIFF", icc_profile=SRGB, tiffinfo={274: 6}, dpi=(300, 300)),
    "tiff-lzw": encoded("TIFF", compression="tiff_lzw", big_tiff=True),
    "gif": encoded("GIF"),
    "bmp": encoded("BMP", dpi=(96, 96)),
}


@pytest.mark.parametrize("name", PRIVATE)
def test_what_is_private_is_named(name: str) -> None:
    data, expected = PRIVATE[name]
    assert sorted(private_metadata(data)) == sorted(expected)


@pytest.mark.parametrize("name", CLEAN)
def test_what_decoding_needs_is_not(name: str) -> None:
    assert private_metadata(CLEAN[name]) == ()


EDITABLE = [name for name in PRIVATE if not name.endswith(("moving", "apng", "pages"))]


@pytest.mark.parametrize("name", EDITABLE)
def test_nothing_private_survives_an_edit(name: str) -> None:
    data, _ = PRIVATE[name]
    written = codec.edit(data, [FACE], Gaussian()).data
    assert private_metadata(written) == ()
    for secret in (b"Person", b"Somebody", b"secrets", b"Annabel", b"hello", b"xmpmeta", b"behind"):
        assert secret not in written
    assert PREVIEW[40:80] not in written


def test_a_preview_that_no_walk_knows_is_found() -> None:
    hidden = BARE[:-2] + b"\xff\xe9" + struct.pack(">H", len(PREVIEW) + 2) + PREVIEW + BARE[-2:]
    assert set(private_metadata(hidden)) == {"app9", "second start of image"}
    # inside what looks like a sound profile
    profile = struct.pack(">I", 132 + len(PREVIEW)) + SRGB[4:132] + PREVIEW
    names = private_metadata(encoded("JPEG", icc_profile=profile))
    assert names == ("profile:unreadable", "second start of image")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", Code.IMAGE_EMPTY),
        (b"a letter", Code.IMAGE_UNRECOGNISED),
        (BARE[:-2], Code.IMAGE_DECODE),
        (encoded("PNG")[:-6], Code.IMAGE_DECODE),
        (encoded("GIF")[:-40], Code.IMAGE_DECODE),
        (encoded("WEBP")[:-40], Code.IMAGE_DECODE),
        (encoded("TIFF")[:12], Code.IMAGE_DECODE),
        (b"II+\0\x08\0\0\0" + b"\xff" * 8, Code.IMAGE_DECODE),
    ],
)
def test_what_cannot_be_walked_is_no_clean_image(data: bytes, code: Code) -> None:
    with pytest.raises(SampleError) as caught:
        private_metadata(data)
    assert caught.value.code == code
