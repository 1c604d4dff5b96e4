"""Metadata go and the coded pixels stay as they are; what can't be cleaned so is refused."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, ImageOps, PngImagePlugin

from sfumato.errors import Code, SampleError
from sfumato.imaging import codec, jpeg
from sfumato.imaging.codec import chunks, private_metadata
from sfumato.imaging.jpeg.markers import STRUCTURE, walk
from sfumato.obfuscation import Gaussian
from sfumato.types import Pixels
from tests.test_metadata import (
    CLEAN,
    FACE,
    GPS,
    PREVIEW,
    PRIVATE,
    encoded,
    exif,
    image,
    with_segment,
)

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
# Camera, dates and copyright, and beside them what must go.
CAMERA = exif(
    Base={
        0x010F: "Maker",
        0x0110: "Model 1",
        0x0112: 6,
        0x0132: "2024:01:02 03:04:05",
        0x013B: "A. Person",
        0x8298: "(c) Annabel",
    },
    Exif={0x9003: "2024:01:02 03:04:04", 0x927C: b"camera secrets"},
    GPSInfo={1: "N", 2: (1.0, 2.0, 3.0)},
)


def frames_of(data: bytes) -> list[tuple[str, Pixels]]:
    """Every frame as Pillow composes it, with alpha and in full depth."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the EXIF that is to go
        image = Image.open(io.BytesIO(data))
    for index in range(1 if image.format == "MPO" else getattr(image, "n_frames", 1)):
        image.seek(index)
        found.append((image.mode, np.array(image)))
    return found


def coded_parts(data: bytes) -> list[bytes]:
    """What an encoder wrote of the pixels, in its order."""
    match codec.sniff(data[: codec.HEAD]):
        case "JPEG":
            return [bytes(s.scan) + s.payload for s in walk(data)[0] if s.marker in STRUCTURE]
        case "PNG":
            names = (b"IDAT", b"fdAT", b"fcTL", b"PLTE", b"tRNS", b"IHDR")
            return [data[at:end] for name, at, end in chunks.png_chunks(data) if name in names]
        case "WEBP":
            held = (b"VP8 ", b"VP8L", b"ALPH", b"ANMF", b"ANIM")
            return [data[at:end] for name, at, end in chunks.riff_chunks(data) if name in held]
        case "GIF":
            return [data[at:end] for kind, _, at, end in chunks.gif_blocks(data) if kind == 0x2C]
        case "TIFF":
            tiff = chunks.parse_tiff(data)
            pages = range(len(tiff.pages))
            return [data[at : at + n] for p in pages for at, n in chunks.tiff_parts(tiff, p)]
    _, at, end = chunks.bmp_parts(data)
    return [data[at:end]]


def refusal(data: bytes) -> str:
    with pytest.raises(SampleError) as caught:
        codec.strip(data)
    assert caught.value.code == Code.IMAGE_UNSUPPORTED
    return caught.value.reason


@pytest.mark.parametrize("name", PRIVATE)
def test_metadata_go_and_coded_pixels_stay(name: str) -> None:
    data, named = PRIVATE[name]
    clean = codec.strip(data)
    assert private_metadata(clean, frames=True) == ()
    assert coded_parts(clean) == coded_parts(data)
    if name != "png-odd-name":  # which Pillow itself can't open
        for (mode, pixels), (old_mode, old) in zip(frames_of(clean), frames_of(data), strict=True):
            assert mode == old_mode
            np.testing.assert_array_equal(pixels, old)
    if set(named) - {"animation frames", "second image"}:
        assert len(clean) < len(data) + 40  # a block of orientation alone may take an odd place
        for secret in (b"Person", b"Somebody", b"secrets", b"Annabel", b"hello", b"xmpmeta"):
            assert secret not in clean
        assert PREVIEW[40:80] not in clean
    else:
        assert clean is data


@pytest.mark.parametrize("name", CLEAN)
def test_a_clean_file_keeps_its_bytes(name: str) -> None:
    assert codec.strip(CLEAN[name]) is CLEAN[name]


def turned(kind: str, **settings: Any) -> bytes:
    if kind == "TIFF":
        tags = {270: "a child", 274: 6, 306: "2024:01:02 03:04:05", 315: "A. Person"}
        return encoded(kind, tiffinfo=tags, icc_profile=SRGB, **settings)
    return encoded(kind, exif=CAMERA, icc_profile=SRGB, **settings)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_profile_and_orientation_stay(kind: str) -> None:
    data = turned(kind)
    clean = codec.strip(data)
    assert b"Person" in data
    assert b"Person" not in clean
    with Image.open(io.BytesIO(clean)) as image:
        assert image.info["icc_profile"] == SRGB
        assert image.getexif()[ExifTags.Base.Orientation] == 6
    assert codec.inspect(clean).orientation == 6
    np.testing.assert_array_equal(codec.decode(clean).frames[0], codec.decode(data).frames[0])


def deep(kind: str, **settings: Any) -> bytes:
    """A 16-bit grey image whose low bytes say something too."""
    out = io.BytesIO()
    grey = (np.arange(48 * 40, dtype=np.uint16) * 31).reshape(40, 48)
    Image.fromarray(grey).save(out, kind, **settings)
    return out.getvalue()


def see_through(kind: str, **settings: Any) -> bytes:
    shown = image().convert("RGBA")
    shown.putalpha(Image.fromarray(np.arange(48 * 40, dtype=np.uint8).reshape(40, 48)))
    out = io.BytesIO()
    shown.save(out, kind, **settings)
    return out.getvalue()


def moving_webp() -> bytes:
    out = io.BytesIO()
    image().save(out, "WEBP", save_all=True, append_images=[image(3)], exif=CAMERA, xmp=b"<x/>")
    return out.getvalue()


TEXT = PngImagePlugin.PngInfo()
TEXT.add_text("Author", "A. Person")
ODD: dict[str, bytes] = {
    "tiff-16": deep("TIFF", tiffinfo={315: "A. Person"}),
    "tiff-16-big": deep("TIFF", big_tiff=True, tiffinfo={315: "A. Person"}),
    "tiff-strips": encoded("TIFF", tiffinfo={315: "A. Person", 278: 7}, compression="tiff_lzw"),
    "tiff-jpeg": encoded("TIFF", tiffinfo={315: "A. Person"}, compression="jpeg"),
    "tiff-alpha": see_through("TIFF", tiffinfo={315: "A. Person"}),
    "tiff-deflate": encoded("TIFF", compression="tiff_adobe_deflate", tiffinfo={315: "A. Person"}),
    "png-16": deep("PNG", pnginfo=TEXT),
    "png-alpha": see_through("PNG", pnginfo=TEXT),
    "webp-alpha": see_through("WEBP", exif=CAMERA),
    "webp-lossless": see_through("WEBP", exif=CAMERA, lossless=True),
    "webp-moving": moving_webp(),
    "gif-moving": PRIVATE["gif-moving"][0][:-1] + b"!\xfe\x08A.Person\0;",
    "jpeg-progressive": encoded("JPEG", progressive=True, exif=CAMERA),
}


@pytest.mark.parametrize("name", ODD)
def test_depth_alpha_frames_and_coding_stay(name: str) -> None:
    data = ODD[name]
    assert private_metadata(data, frames=True)
    clean = codec.strip(data)
    assert b"Person" not in clean
    assert coded_parts(clean) == coded_parts(data)
    for (mode, pixels), (old_mode, old) in zip(frames_of(clean), frames_of(data), strict=True):
        assert mode == old_mode
        np.testing.assert_array_equal(pixels, old)


def test_a_gap_before_the_pixels_of_a_bmp_is_closed() -> None:
    data = bytearray(encoded("BMP"))
    at = struct.unpack_from("<I", data, 10)[0]
    data[at:at] = b"A. Person, and her address" * 2
    struct.pack_into("<I", data, 10, at + 52)
    clean = codec.strip(bytes(data))
    assert clean == encoded("BMP")


def profile_in_bmp() -> bytes:
    data = encoded("BMP")
    at = struct.unpack_from("<I", data, 10)[0]
    head = data[:14] + struct.pack("<I", 124) + data[18:54] + bytes(56) + b"MBED"[::-1]
    head = head[:126] + struct.pack("<I", 8) + bytes(8)
    head = head[:10] + struct.pack("<I", len(head)) + head[14:]
    return head + data[at:] + b"profile!"


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (profile_in_bmp, "its parts can't be told apart"),
        (lambda: with_segment(0xCC, b"\x10\x05") + b"behind", "arithmetic coding"),
    ],
)
def test_what_cannot_be_cleaned_is_refused_by_name(make: Callable[[], bytes], why: str) -> None:
    reason = refusal(make())
    assert reason.startswith("its metadata can't be removed safely: ")
    assert why in reason


def test_strips_on_top_of_each_other_are_refused() -> None:
    """Copied for each mention, they would make a large file out of a small one."""
    data = bytearray(encoded("TIFF", tiffinfo={278: 1, 315: "A. Person"}))
    tiff = chunks.parse_tiff(bytes(data))
    places = tiff.pages[0].tags[273]
    assert (places.count, places.type) == (40, 4)
    first, size = chunks.tiff_parts(tiff, 0)[0]
    assert 40 * size > first + size
    struct.pack_into("<40I", data, places.at, *[first] * 40)
    assert "ValueError" in refusal(bytes(data[: first + size]))


def test_a_stripped_file_that_shows_another_image_is_not_returned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from sfumato.imaging.codec import stripping

    other = ImageOps.invert(image())
    out = io.BytesIO()
    other.save(out, "PNG")
    monkeypatch.setitem(stripping.STRIPPERS, "PNG", lambda _: out.getvalue())
    assert refusal(PRIVATE["png-text"][0]).endswith("the image would change")
    monkeypatch.setitem(stripping.STRIPPERS, "PNG", lambda data: data)
    assert refusal(PRIVATE["png-text"][0]).endswith("text chunk tEXt, text chunk iTXt would stay")


def test_the_difference_of_files_sees_low_bits_alpha_turns_and_profiles() -> None:
    plain = encoded("PNG")
    assert codec.difference(plain, plain) == 0
    assert codec.difference(plain, encoded("PNG", exif=exif(Base={0x0112: 6}))) is None
    assert codec.difference(plain, encoded("PNG", icc_profile=SRGB)) is None
    assert codec.difference(plain, PRIVATE["apng"][0]) is None
    changed = np.array(image())
    changed[3, 4, 1] += 2
    out = io.BytesIO()
    Image.fromarray(changed).save(out, "PNG")
    assert codec.difference(plain, out.getvalue()) == 2
    low = (np.arange(48 * 40, dtype=np.uint16) * 31).reshape(40, 48)
    low[0, 0] += 1
    out = io.BytesIO()
    Image.fromarray(low).save(out, "PNG")
    assert codec.difference(deep("PNG"), out.getvalue()) == 1
    shown = image().convert("RGBA")
    shown.putpixel((0, 0), (*shown.getpixel((0, 0))[:3], 254))  # type: ignore[index]
    out = io.BytesIO()
    shown.save(out, "PNG")
    opaque = io.BytesIO()
    image().convert("RGBA").save(opaque, "PNG")
    assert codec.difference(opaque.getvalue(), out.getvalue()) == 1


# --- keep-safe ----------------------------------------------------------------------------------


def kept_texts(data: bytes) -> dict[int, Any]:
    with Image.open(io.BytesIO(data)) as image:
        block = image.getexif()
        taken = block.get_ifd(ExifTags.IFD.Exif)
        return {**{tag: block[tag] for tag in block if tag < 0x8700 or tag == 0x8298}, **taken}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_date_camera_and_copyright_stay_as_plain_text(kind: str) -> None:
    data = turned(kind)
    written = codec.edit(data, [FACE], Gaussian(), policy="keep-safe").data
    assert kept_texts(written) == {
        0x010F: "Maker",
        0x0110: "Model 1",
        0x0112: 6,
        0x0132: "2024:01:02 03:04:05",
        0x8298: "(c) Annabel",
        0x9003: "2024:01:02 03:04:04",
    }
    assert private_metadata(written, keep_safe=True) == ()
    assert private_metadata(written) == ("exif:tags",)
    for secret in (b"Person", b"secrets"):
        assert secret in data
        assert secret not in written
    plain = codec.edit(data, [FACE], Gaussian()).data
    assert private_metadata(plain) == ()
    assert b"Maker" not in plain


def test_the_texts_of_a_tiff_stay_and_nothing_beside_them() -> None:
    tags = {270: "a child", 271: "Maker", 272: "Mödel", 274: 6, 306: "2024:01:02 03:04:05"}
    data = encoded("TIFF", tiffinfo={**tags, 315: "A. Person", 33432: "(c) Annabel"})
    written = codec.edit(data, [FACE], Gaussian(), policy="keep-safe").data
    with Image.open(io.BytesIO(written)) as image:
        found = {tag: image.tag_v2[tag] for tag in image.tag_v2}  # type: ignore[attr-defined]
    texts = {tag: text for tag, text in found.items() if isinstance(text, str)}
    assert texts == {
        271: "Maker",
        272: "M?del",  # as Pillow wrote it
        306: "2024:01:02 03:04:05",
        33432: "(c) Annabel",
    }
    assert private_metadata(written, keep_safe=True) == ()
    assert private_metadata(written) == ("tag 271", "tag 272", "tag 306", "tag 33432")


def test_date_and_copyright_of_a_png_stay_in_its_own_words() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Copyright", "(c) Annabel")
    text.add_text("Creation Time", "2 January 2024")
    text.add_text("Author", "A. Person")
    text.add_text("Copyright", "packed", zip=True)
    text.add_text("Comment", "a child")
    data = encoded("PNG", pnginfo=text)
    written = codec.edit(data, [FACE], Gaussian(), policy="keep-safe").data
    with Image.open(io.BytesIO(written)) as image:
        assert image.text == {  # type: ignore[attr-defined]
            "Copyright": "(c) Annabel",
            "Creation Time": "2 January 2024",
        }
    assert private_metadata(written, keep_safe=True) == ()
    assert private_metadata(codec.edit(data, [FACE], Gaussian()).data) == ()


def tampered(tag: int, value: Any, *, inner: bool = False) -> bytes:
    groups: dict[str, dict[int, Any]] = {"Base": {0x010F: "Maker"}}
    groups["Exif" if inner else "Base"] = {tag: value}
    return encoded("JPEG", exif=exif(**groups))


@pytest.mark.parametrize(
    "data",
    [
        encoded("JPEG", exif=GPS),
        tampered(0x013B, "A. Person"),
        tampered(0x927C, b"notes", inner=True),
        tampered(0x010F, "M" * 400),
        tampered(0x010F, "line\nbreak"),
        tampered(0x9286, b"a comment of the user", inner=True),
        encoded("JPEG", exif=exif(Base={0x010F: "Maker"}) + b"behind the directory" * 4),
    ],
)
def test_the_judge_knows_what_is_not_safe(data: bytes) -> None:
    assert private_metadata(data, keep_safe=True)


def test_safe_texts_are_the_same_by_the_editor_and_by_the_judge() -> None:
    data = turned("JPEG")
    assert private_metadata(jpeg.strip(data, "keep-safe"), keep_safe=True) == ()
    assert private_metadata(jpeg.strip(data, "all")) == ()
