"""The walk over the segments, what it reports, and what the allow-list lets through."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from PIL import Image, ImageCms

from sfumato.errors import SampleError
from sfumato.imaging import jpeg
from sfumato.imaging.jpeg.markers import holds_preview, icc_profile, walk
from sfumato.obfuscation import Gaussian
from tests.jpeg_images import FACE, KINDS, MAX_PIXELS, coefficients, mpo, pixels, saved, segment

PREVIEW = saved(size=(40, 32), quality=60)


def with_segments(data: bytes, *segments: bytes) -> bytes:
    return data[:2] + b"".join(segments) + data[2:]


def exif_segment(orientation: int | None = None, **tags: object) -> bytes:
    """Return an EXIF segment by Pillow, with a preview behind its directories."""
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    exif.update({0x010F: "Maker", 0x0110: "Model", 0x0132: "2026:11:23 10:00:00"})
    exif.update({0x8298: "(c) somebody", 0x013B: "A. Person", 0x010E: "secret place"})
    exif.get_ifd(0x8769)[0x9003] = "2026:11:22 09:00:00"
    exif.get_ifd(0x8769)[0x927C] = b"maker note secret"
    exif.get_ifd(0x8825)[0x0002] = (51.0, 30.0, 0.0)
    body = exif.tobytes()
    body = body if body.startswith(b"Exif") else b"Exif\0\0" + body
    return segment(0xE1, body + PREVIEW)


def second_starts(data: bytes) -> int:
    """Count every further start of image, wherever it is (an independent, dumb walk)."""
    return sum(data[i : i + 3] == b"\xff\xd8\xff" for i in range(2, len(data)))


@cache
def icc() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


DIRTY: dict[str, Callable[[bytes], bytes]] = {
    "EXIF": lambda d: with_segments(d, exif_segment(6)),
    "Photoshop": lambda d: with_segments(
        d, segment(0xED, b"Photoshop 3.0\x008BIM\x04\x0c\0\0\0\0\0\x20" + b"\0" * 28 + PREVIEW)
    ),
    "JFIF": lambda d: d[:2] + segment(
        0xE0, b"JFIF\0\1\2\0\0\1\0\1\x08\x08" + bytes(range(192))) + d[20:],
    "JFXX": lambda d: d[:20] + segment(0xE0, b"JFXX\0\x10" + PREVIEW) + d[20:],
    "APP1": lambda d: with_segments(
        d, segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<xmp>/9j/4AAQSkZJRg==</xmp>")),
    "COM": lambda d: with_segments(d, segment(0xFE, b"note " + PREVIEW)),
    "MPO": mpo,
    "after": lambda d: d + b"\0" * 64 + d,
    "doubled end": lambda d: d + b"\xff\xd9" + d,
}  # fmt: skip


@pytest.mark.parametrize("where", DIRTY)
@pytest.mark.parametrize("policy", ["all", "keep-safe"])
def test_strip_leaves_no_preview(where: str, policy: jpeg.Policy) -> None:
    clean = saved(quality=85, icc_profile=icc())
    data = DIRTY[where](clean)
    assert holds_preview(data, *walk(data))
    stripped = jpeg.strip(data, policy)
    info = jpeg.inspect(stripped, max_pixels=MAX_PIXELS)
    assert not holds_preview(stripped, *walk(stripped))
    assert second_starts(stripped) == 0
    assert icc_profile(walk(stripped)[0]) == icc()
    assert set(info.markers) <= {0xE0, 0xE1, 0xE2, 0xDB, 0xC4, 0xC0, 0xDA}
    assert np.array_equal(pixels(stripped), pixels(data))
    assert stripped.endswith(b"\xff\xd9")


@pytest.mark.parametrize("where", DIRTY)
@pytest.mark.parametrize("kind", ["4:2:0", "progressive", "4:4:4 optimised"])
def test_edit_leaves_no_preview(where: str, kind: str) -> None:
    data = DIRTY[where](KINDS[kind]())
    result = jpeg.edit(data, [FACE], Gaussian(), max_pixels=MAX_PIXELS)
    assert second_starts(result.data) == 0


def test_policy_faces_touches_nothing_by_itself() -> None:
    data = DIRTY["EXIF"](saved())
    assert jpeg.strip(data, "faces") is data
    with pytest.raises(ValueError, match="policy"):
        jpeg.strip(data, "some")  # type: ignore[arg-type]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("policy", ["all", "keep-safe"])
def test_orientation_survives_alone(orientation: int, policy: jpeg.Policy) -> None:
    data = with_segments(saved(), exif_segment(orientation))
    assert jpeg.inspect(data, max_pixels=MAX_PIXELS).orientation == orientation
    stripped = jpeg.strip(data, policy)
    assert jpeg.inspect(stripped, max_pixels=MAX_PIXELS).orientation == orientation
    exif = Image.open(io.BytesIO(stripped)).getexif()
    assert exif[0x0112] == orientation
    for secret in (b"secret", b"A. Person", b"GPS"):
        assert secret not in stripped
    assert not exif.get_ifd(0x8825)
    if policy == "all":
        assert list(exif) == [0x0112]
    else:
        assert (exif[0x010F], exif[0x0110], exif[0x8298]) == ("Maker", "Model", "(c) somebody")
        assert exif[0x0132] == "2026:11:23 10:00:00"
        assert dict(exif.get_ifd(0x8769)) == {0x9003: "2026:11:22 09:00:00"}


@pytest.mark.parametrize("orientation", [None, 0, 9])
def test_orientation_that_makes_no_sense_is_1_and_goes(orientation: int | None) -> None:
    data = with_segments(saved(), exif_segment(orientation))
    assert jpeg.inspect(data, max_pixels=MAX_PIXELS).orientation == 1
    assert 0xE1 not in jpeg.inspect(jpeg.strip(data, "all"), max_pixels=MAX_PIXELS).markers


def test_big_endian_and_broken_exif() -> None:
    tiff = b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
    data = with_segments(saved(), segment(0xE1, b"Exif\0\0" + tiff))
    assert jpeg.inspect(data, max_pixels=MAX_PIXELS).orientation == 6
    assert Image.open(io.BytesIO(jpeg.strip(data, "all"))).getexif()[0x0112] == 6
    for cut in range(len(tiff)):
        short = with_segments(saved(), segment(0xE1, b"Exif\0\0" + tiff[:cut]))
        jpeg.strip(short, "keep-safe")


def test_profile_in_several_chunks_and_adobe_stay() -> None:
    profile = icc() + bytes(200_000)
    profile = len(profile).to_bytes(4, "big") + profile[4:]  # a profile says how long it is
    data = saved("CMYK", icc_profile=profile)
    stripped = jpeg.strip(DIRTY["EXIF"](data), "all")
    assert Image.open(io.BytesIO(stripped)).info["icc_profile"] == profile
    assert np.array_equal(pixels(stripped), pixels(data))
    result = jpeg.edit(data, [FACE], Gaussian(), max_pixels=MAX_PIXELS)
    assert icc_profile(walk(result.data)[0]) == profile


def test_what_is_hidden_behind_a_profile_goes() -> None:
    data = saved(icc_profile=icc() + b"a letter " * 20_000)
    assert Image.open(io.BytesIO(jpeg.strip(data, "all"))).info["icc_profile"] == icc()
    result = jpeg.edit(data, [FACE], Gaussian(), max_pixels=MAX_PIXELS)
    assert b"a letter" not in result.data
    assert (
        "icc_profile"
        not in Image.open(io.BytesIO(jpeg.strip(saved(icc_profile=b"a letter " * 99), "all"))).info
    )


def test_inspect_tells_the_headers() -> None:
    info = jpeg.inspect(
        saved(quality=85, subsampling=1, restart_marker_blocks=5), max_pixels=MAX_PIXELS
    )
    assert (info.width, info.height) == (173, 141)
    assert [(c.h, c.v) for c in info.components] == [(2, 1), (1, 1), (1, 1)]
    assert (info.process, info.colour, info.orientation) == ("baseline", "YCbCr", 1)
    assert bytes(info.markers).hex(" ") == "e0 db db c0 c4 c4 c4 c4 dd da"


@pytest.mark.parametrize(
    ("kind", "colour"),
    [("grey", "grey"), ("CMYK", "CMYK"), ("YCCK", "YCCK"), ("RGB", "RGB"), ("4:2:0", "YCbCr")],
)
def test_inspect_tells_the_colour_model(kind: str, colour: str) -> None:
    assert jpeg.inspect(KINDS[kind](), max_pixels=MAX_PIXELS).colour == colour


def test_missing_end_doubled_end_and_fill_bytes() -> None:
    data = saved(quality=85)
    for odd in (
        data[:-2],
        data[:-1],
        data + b"\xff\xd9",
        data[:20] + b"\xff" * 5 + data[20:],
        data[:-2] + b"\xff" * 3 + data[-2:],
    ):
        result = jpeg.edit(odd, [FACE], Gaussian(), max_pixels=MAX_PIXELS)
        expected = jpeg.edit(data, [FACE], Gaussian(), max_pixels=MAX_PIXELS)
        assert result.data == expected.data
        assert jpeg.edit(odd, [], Gaussian(), max_pixels=MAX_PIXELS).data == odd
        assert all(
            np.array_equal(a, b)
            for a, b in zip(coefficients(data)[0], coefficients(jpeg.strip(odd, "all"))[0],
                            strict=True)
        )  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        (b"\xff\xc0", b"\xff\xc9", "arithmetic"),
        (b"\xff\xc0", b"\xff\xc3", "lossless"),
        (b"\xff\xc0", b"\xff\xc5", "hierarchical"),
        (b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c", "12-bit"),
        (b"\xff\xc0\x00\x11\x08\x00\x8d", b"\xff\xc0\x00\x11\x08\x00\x00", "DNL"),
    ],
)
def test_refused_by_name(old: bytes, new: bytes, name: str) -> None:
    data = saved().replace(old, new, 1)
    with pytest.raises(SampleError, match=f"IMAGE_UNSUPPORTED.*{name}"):
        jpeg.inspect(data, max_pixels=MAX_PIXELS)


def test_not_a_jpeg() -> None:
    for data in (b"", b"\xff", b"\xff\xd8", b"<html>", b"\xff\xd8\xff\xd9", b"\xff\xd8\xff"):
        with pytest.raises(SampleError, match="IMAGE_DECODE"):
            jpeg.inspect(data, max_pixels=MAX_PIXELS)
