"""What the walks over image files let pass, at the edge of every list and limit."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from functools import partial

import pytest

from sfumato.imaging.codec import private_metadata
from tests.avif_files import avif
from tests.test_metadata import (
    BARE,
    SRGB,
    animated,
    encoded,
    gif_with,
    image,
    png_with,
    segment,
    webp_with,
    with_segment,
)

# What the walks alone name: tests put parts into files whose coded data they don't fit, and
# `concealed`, which follows these data, would name that too (tests/test_concealed.py).
walked = partial(private_metadata, whole=True)

# --- small TIFF files and EXIF blocks, byte by byte ---------------------------------------------

Tags = Mapping[int, tuple[int, int, bytes]]  # number: type, count, value


def directory(tags: Tags, at: int, following: int = 0) -> bytes:
    """Return an IFD that lies at an offset, long values behind it."""
    entries, values = b"", b""
    behind = at + 2 + 12 * len(tags) + 4
    for number, (kind, count, value) in sorted(tags.items()):
        if len(value) > 4:
            place = struct.pack("<I", behind + len(values))
            values += value
        else:
            place = value.ljust(4, b"\0")
        entries += struct.pack("<HHI", number, kind, count) + place
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", following) + values


def exif(tags: Tags, inner: Tags | None = None) -> bytes:
    """Return an EXIF block without a byte to spare, its second directory behind the first."""
    if inner is not None:
        end = 8 + len(directory({**tags, 34665: (4, 1, b"")}, 8))
        tags = {**tags, 34665: (4, 1, struct.pack("<I", end))}
        return b"II*\0\x08\0\0\0" + directory(tags, 8) + directory(inner, end)
    return b"II*\0\x08\0\0\0" + directory(tags, 8)


def text(value: bytes) -> tuple[int, int, bytes]:
    return (2, len(value) + 1, value + b"\0")


def short(value: int) -> tuple[int, int, bytes]:
    return (3, 1, struct.pack("<H", value))


def tiff(tags: Tags, *, strip: int = 64, behind: bytes = b"") -> bytes:
    """Return a grey image of 8 by 8 in one strip, which comes last, with further tags."""
    base: dict[int, tuple[int, int, bytes]] = {
        256: short(8), 257: short(8), 258: short(8), 259: short(1), 262: short(1),
        273: (4, 1, b""), 277: short(1), 278: short(8), 279: (4, 1, struct.pack("<I", strip)),
    }  # fmt: skip
    end = 8 + len(directory({**base, **tags}, 8))
    base[273] = (4, 1, struct.pack("<I", end))
    return b"II*\0\x08\0\0\0" + directory({**base, **tags}, 8) + bytes(strip) + behind


TURNED = {274: short(6)}
SAFE = {
    271: text(b"Maker"), 272: text(b"Model"), 306: text(b"2026:01:01 00:00:00"),
    33432: text(b"(c) A"), **TURNED,
}  # fmt: skip
TAKEN = {36867: text(b"2026:01:01 00:00:00")}


def names_in_exif(block: bytes, *, keep_safe: bool = False) -> tuple[str, ...]:
    """Return what is named in a block, which must be the same in all kinds of files."""
    found = {
        private_metadata(with_segment(0xE1, b"Exif\0\0" + block), keep_safe=keep_safe),
        private_metadata(png_with(b"eXIf", block), keep_safe=keep_safe),
        private_metadata(webp_with(b"EXIF", block), keep_safe=keep_safe),
    }
    (names,) = found
    return names


# --- EXIF ---------------------------------------------------------------------------------------


def test_of_exif_the_orientation_alone_may_stay() -> None:
    assert names_in_exif(exif({})) == ()
    assert names_in_exif(exif(TURNED)) == ()
    for number in (254, 271, 273, 275, 34664, 37500):
        assert "exif:tags" in names_in_exif(exif({**TURNED, number: short(1)}))


def test_an_orientation_has_room_for_alignment_and_for_no_message() -> None:
    block = exif(TURNED)
    assert names_in_exif(block.ljust(32, b"x")) == ()
    assert names_in_exif(block.ljust(33, b"x")) == ("exif:unused bytes",)


def test_positions_notes_and_further_directories_have_their_names() -> None:
    assert names_in_exif(exif({34853: (4, 1, bytes(4))})) == ("exif:tags", "exif:gps")
    noted = exif({}, {37500: (7, 5, b"notes")})
    assert names_in_exif(noted) == ("exif:tags", "exif:makernote")
    second = b"II*\0\x08\0\0\0" + directory(TURNED, 8, following=26) + directory({}, 26)
    assert names_in_exif(second) == ("exif:thumbnail",)
    assert names_in_exif(b"II*\0\x08\0\0\0\xff\xff") == ("exif:unreadable",)


@pytest.mark.parametrize("number", sorted(SAFE.keys() - TURNED.keys()))
def test_each_safe_text_may_stay_where_that_was_said(number: int) -> None:
    block = exif({number: SAFE[number]})
    assert names_in_exif(block, keep_safe=True) == ()
    assert names_in_exif(block) == ("exif:tags",)


def test_all_safe_texts_together_may_stay_with_the_date_taken_and_nothing_more() -> None:
    whole = exif(SAFE, TAKEN)
    assert names_in_exif(whole, keep_safe=True) == ()
    assert names_in_exif(exif(SAFE), keep_safe=True) == ()
    for tags, inner in (
        ({**SAFE, 315: text(b"An artist")}, TAKEN),
        (SAFE, {**TAKEN, 37510: text(b"A comment")}),
        (SAFE, {36868: text(b"2026")}),
        ({**SAFE, 34853: (4, 1, bytes(4))}, TAKEN),
        ({**SAFE, 36867: text(b"2026")}, TAKEN),  # where it has no place
    ):
        assert "exif:tags" in names_in_exif(exif(tags, inner), keep_safe=True)


@pytest.mark.parametrize(
    ("tags", "inner"),
    [(SAFE, None), (SAFE, TAKEN), ({271: text(b"M")}, None), (TURNED, TAKEN)],
)
def test_beside_safe_texts_no_message_has_room(tags: Tags, inner: Tags | None) -> None:
    """The limit grows with the texts by no more than they and their entries take."""
    block = exif(tags, inner)
    texts = [tag[2] for number, tag in (*tags.items(), *(inner or {}).items()) if number != 274]
    most = 32 + sum(12 + len(value) + 1 for value in texts) + (18 if inner is not None else 0)
    assert names_in_exif(block.ljust(most, b"x"), keep_safe=True) == ()
    crowded = block.ljust(most + 1, b"x")
    assert names_in_exif(crowded, keep_safe=True) == ("exif:unused bytes",)


@pytest.mark.parametrize(
    ("tag", "is_safe"),
    [
        (text(b" ~" * 128), True),
        (text(b"a" * 257), False),
        (text(b"a\x1fb"), False),
        (text(b"a\x7fb"), False),
        (text("é".encode()), False),
        ((7, 6, b"bytes\0"), False),
        ((2, 5, b"nonul"), False),
        ((2, 9, b"one\0two\0\0"), False),
        (text(b""), True),
    ],
)
def test_a_safe_text_is_one_line_of_printable_ascii(
    tag: tuple[int, int, bytes], is_safe: bool
) -> None:
    for block in (exif({272: tag}), exif({}, {36867: tag})):
        names = names_in_exif(block, keep_safe=True)
        assert names == (() if is_safe else ("exif:tags",))
    names = private_metadata(tiff({272: tag}), keep_safe=True)
    assert names == (() if is_safe else ("tag 272",))


# --- JPEG ---------------------------------------------------------------------------------------


def test_of_jpeg_segments_those_that_decoding_needs_may_stay() -> None:
    decoding = {*range(0xC0, 0xD0), *range(0xDB, 0xDE)} - {0xC8}
    for marker in (*range(0xC0, 0xD0), *range(0xDB, 0xFE)):
        names = walked(with_segment(marker, b"abcd"))
        if marker in decoding:
            assert names == ()
        elif 0xE0 <= marker < 0xF0:
            assert names == (f"app{marker - 0xE0}",)
        else:
            assert names == (f"marker {marker:02X}",)
    assert walked(BARE[:2] + b"\xff\xd0\xff\xd7" + BARE[2:]) == ()
    assert walked(BARE[:2] + b"\xff\x01" + BARE[2:]) == ("marker 01",)
    assert walked(BARE[:2] + b"\xff\xd8" + BARE[2:]) == ("second start of image",)
    assert walked(BARE[:20] + b"x" + BARE[20:]) == ("stray bytes",)


@pytest.mark.parametrize(
    ("size", "extra", "names"),
    [
        ((0, 0), 0, ()),
        ((0, 0), 1, ("jfif:unused bytes",)),
        ((1, 0), 0, ()),
        ((2, 3), 18, ("jfif:thumbnail",)),
        ((2, 3), 19, ("jfif:thumbnail", "jfif:unused bytes")),
        ((2, 3), 17, ("jfif:thumbnail",)),
    ],
)
def test_a_head_of_jfif_has_no_image_and_nothing_behind(
    size: tuple[int, int], extra: int, names: tuple[str, ...]
) -> None:
    payload = b"JFIF\0\1\1\0\0\1\0\1" + bytes(size) + bytes(extra)
    assert private_metadata(with_segment(0xE0, payload)) == names
    assert private_metadata(with_segment(0xE0, payload[:13])) == ("app0",)


@pytest.mark.parametrize(
    ("marker", "payload", "names"),
    [
        (0xEE, b"Adobe" + bytes(7), ()),
        (0xEE, b"Adobe" + bytes(6), ("app14",)),
        (0xEE, b"Adobe" + bytes(8), ("app14",)),
        (0xEE, b"Eboda" + bytes(7), ("app14",)),
        (0xED, b"Adobe" + bytes(7), ("app13",)),
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>", ("xmp",)),
        (0xE1, b"http://ns.adobe.com/xmp/extension/\0<x/>", ("xmp",)),
        (0xE2, b"MPF\0MM", ("mpf",)),
        (0xE3, b"ICC_PROFILE\0\1\1" + SRGB, ("app3",)),
        (0xE0, b"JFXX\0\x13", ("jfif:thumbnail",)),
    ],
)
def test_application_segments(marker: int, payload: bytes, names: tuple[str, ...]) -> None:
    assert private_metadata(with_segment(marker, payload)) == names


def test_a_profile_is_whole_whatever_the_order_of_its_segments() -> None:
    half = len(SRGB) // 2
    parts = [b"ICC_PROFILE\0\1\2" + SRGB[:half], b"ICC_PROFILE\0\2\2" + SRGB[half:]]
    for order in (parts, parts[::-1]):
        data = BARE[:2] + b"".join(segment(0xE2, part) for part in order) + BARE[2:]
        assert private_metadata(data) == ()
    for broken in (SRGB[:-1], SRGB + b"x", SRGB[:36] + b"xxxx" + SRGB[40:]):
        data = with_segment(0xE2, b"ICC_PROFILE\0\1\1" + broken)
        assert private_metadata(data) == ("profile:unreadable",)


def test_behind_the_end_of_a_image_is_nothing() -> None:
    gif, png, bmp, webp = (encoded(kind) for kind in ("GIF", "PNG", "BMP", "WEBP"))
    for data in (BARE, gif, png, bmp, webp):
        assert private_metadata(data) == ()
        assert private_metadata(data + b"\0") == ("trailing data",)


def test_the_start_of_a_image_inside_a_table_is_chance_and_elsewhere_is_not() -> None:
    start = b"\xff\xd8\xff\xe0\x00\x04ab\xff"
    for marker in (0xC4, 0xDB):
        assert walked(with_segment(marker, start)) == ()
        assert walked(with_segment(marker, b"\0" * 9 + start)) == ()
        assert walked(with_segment(marker, start[:-1])) == ()  # at its very end
    second = ("second start of image",)
    assert walked(with_segment(0xDD, start)) == second
    # Behind a table, in front of one, and where no marker follows, so that it starts nothing.
    table = segment(0xC4, bytes(4))
    for order in (table + segment(0xDD, start), segment(0xDD, start) + table):
        assert walked(BARE[:2] + order + BARE[2:]) == second
    assert walked(with_segment(0xDD, start[:-1] + b"x")) == ()
    # A longer segment behind it, and one right behind the start of the file itself.
    longer = b"\xff\xd8\xff\xe0\x01\x02" + bytes(256) + b"\xff"
    assert walked(with_segment(0xDD, longer)) == second
    at_the_end = BARE[:-2] + b"\xff\xd9"
    assert walked(at_the_end) == ()


# --- PNG ----------------------------------------------------------------------------------------

PNG_KNOWN = (
    b"IHDR PLTE IDAT tRNS cHRM gAMA sBIT sRGB cICP bKGD hIST pHYs acTL fcTL".split()  # not iCCP
)


def test_of_png_chunks_those_that_decoding_needs_may_stay() -> None:
    for name in PNG_KNOWN:
        assert walked(png_with(name, b"")) == ()
        other = name[:3] + (b"x" if name[3:] != b"x" else b"y")
        assert walked(png_with(other, b"")) == (f"chunk {other.decode()}",)
    for name in (b"tEXt", b"zTXt", b"iTXt"):
        assert walked(png_with(name, b"a\0b")) == (f"text chunk {name.decode()}",)
        assert walked(png_with(name, b"XML:com.adobe.xmp\0<x/>")) == ("xmp",)
    assert walked(png_with(b"fdAT", b"")) == ("animation frames",)
    assert walked(png_with(b"fdAT", b""), frames=True) == ()
    assert walked(png_with(b"mdAT", b""), frames=True) == ("chunk mdAT",)


@pytest.mark.parametrize(
    ("name", "payload", "is_safe"),
    [
        (b"tEXt", b"Copyright\0(c) A", True),
        (b"tEXt", b"Creation Time\x002026", True),
        (b"tEXt", b"Copyright\0" + b"a" * 256, True),
        (b"tEXt", b"Copyright\0" + b"a" * 257, False),
        (b"tEXt", b"Copyright\0caf\xe9", False),
        (b"tEXt", b"Copyright\0a\0b", False),
        (b"tEXt", b"Author\0A", False),
        (b"iTXt", b"Copyright\0(c) A", False),
    ],
)
def test_of_texts_in_png_dates_and_the_copyright_are_safe(
    name: bytes, payload: bytes, is_safe: bool
) -> None:
    data = png_with(name, payload)
    named = (f"text chunk {name.decode()}",)
    assert private_metadata(data) == named
    assert private_metadata(data, keep_safe=True) == (() if is_safe else named)


@pytest.mark.slow
def test_a_packed_profile_holds_a_profile_and_nothing_more() -> None:
    packed = zlib.compress(SRGB)
    assert private_metadata(png_with(b"iCCP", b"ICC Profile\0\0" + packed)) == ()
    for wrong in (packed + b"x", packed[:-6], zlib.compress(SRGB + b"x"), b"\0\0\0\0", b""):
        names = private_metadata(png_with(b"iCCP", b"ICC Profile\0\0" + wrong))
        assert names == ("profile:unreadable",)
    bomb = zlib.compress(SRGB + bytes(1 << 24))
    assert private_metadata(png_with(b"iCCP", b"ICC Profile\0\0" + bomb)) == ("profile:unreadable",)


# --- WebP, GIF, BMP -----------------------------------------------------------------------------


def test_of_webp_chunks_those_that_decoding_needs_may_stay() -> None:
    for name in (b"VP8 ", b"VP8L", b"ALPH", b"VP8X", b"ANIM"):
        assert walked(webp_with(name, b"")) == ()
    assert walked(webp_with(b"ab  ", b"")) == ("chunk ab",)
    assert walked(webp_with(b"a\xff\0b", b"")) == ("chunk ?",)
    assert walked(webp_with(b"ICCP", SRGB)) == ()
    assert walked(webp_with(b"ICCP", SRGB[:-1])) == ("profile:unreadable",)


def test_the_frames_of_a_webp_hold_pixels_and_nothing_more() -> None:
    moving = animated("WEBP")
    assert walked(moving) == ("animation frames",)
    assert walked(moving, frames=True) == ()
    inside = bytes(16) + b"VP8 \0\0\0\0" + b"priv\4\0\0\0text"
    assert walked(webp_with(b"ANMF", inside), frames=True) == ("chunk ?",)
    assert walked(webp_with(b"ANMF", inside[:24]), frames=True) == ()


@pytest.mark.parametrize(
    ("block", "names"),
    [
        (b"!\xf9\4\0\0\0\0\0", ()),
        (b"!\xff\x0bNETSCAPE2.0\3\1\0\0\0", ()),
        (b"!\xff\x0bANIMEXTS1.0\3\1\0\0\0", ()),
        (b"!\xff\x0bNETSCAPE2.1\0", ("application extension",)),
        (b"!\xff\x0bXMP DataXMP\1x\0", ("xmp",)),
        (b"!\xfe\1x\0", ("comment",)),
        (b"!\1\1x\0", ("plain text",)),
        (b"!\2\1x\0", ("application extension",)),
    ],
)
def test_blocks_of_gif(block: bytes, names: tuple[str, ...]) -> None:
    assert private_metadata(gif_with(block)) == names


@pytest.mark.parametrize(
    ("kind", "named"),
    [("GIF", "animation frames"), ("TIFF", "second image"), ("PNG", "animation frames")],
)
def test_frames_and_pages_may_stay_where_that_was_said(kind: str, named: str) -> None:
    assert private_metadata(animated(kind)) == (named,)
    assert private_metadata(animated(kind), frames=True) == ()


def test_a_bmp_holds_its_head_and_pixels_and_nothing_between() -> None:
    data = encoded("BMP")
    gap = bytearray(data[:54] + b"x" + data[54:])
    gap[10:14] = struct.pack("<I", 55)
    assert private_metadata(bytes(gap)) == ("unreferenced bytes",)
    head = struct.pack("<IiiHHIIiiIIII", 124, 1, 1, 1, 24, 0, 4, 0, 0, 0, 0, 0, 0).ljust(124, b"\0")
    for offset, names in ((0, ()), (1, ("profile:unreadable",))):
        head = head[:112] + struct.pack("<I", offset) + head[116:]
        file = b"BM" + struct.pack("<IHHI", 142, 0, 0, 138) + head + bytes(4)
        assert private_metadata(file) == names


# --- TIFF ---------------------------------------------------------------------------------------

TIFF_KNOWN = {
    254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 282, 283, 284, 292, 293, 296, 297,
    317, 320, 322, 323, 324, 338, 339, 347, 529, 530, 531, 532,
}  # fmt: skip
TIFF_NAMED = {
    33723: "iptc", 34377: "photoshop resources", 37724: "photoshop layers", 34665: "exif:tags",
    34853: "exif:gps", 330: "second image",
}  # fmt: skip


def test_of_tiff_tags_those_that_decoding_needs_may_stay() -> None:
    base = {256, 257, 258, 259, 262, 273, 277, 278, 279, 325, 347, 34675, 700}
    others = (700, 33432, 33723, 34377, 34665, 34853, 37724, 37500, 50000)
    near = {n + step for n in (*TIFF_KNOWN, *others) for step in (-1, 0, 1)}
    for number in sorted(near - base):
        names = walked(tiff({number: short(1)}))
        if number in TIFF_KNOWN:
            assert names == ()
        else:
            assert names == (TIFF_NAMED.get(number, f"tag {number}"),)
    assert walked(tiff({700: (1, 4, b"<x/>")})) == ("xmp",)
    assert walked(tiff({34675: (7, len(SRGB), SRGB)})) == ()
    assert walked(tiff({34675: (7, 9, SRGB[:9])})) == ("profile:unreadable",)


def test_between_the_parts_of_a_tiff_there_is_room_for_alignment_and_for_no_message() -> None:
    for tags in ({}, {282: (5, 1, bytes(8))}, SAFE):
        data = tiff(tags)
        slack = 64 + 1 + 9 + len(tags)  # a byte for the strip and for each tag
        assert private_metadata(data + bytes(slack), keep_safe=True) == ()
        crowded = private_metadata(data + bytes(slack + 1), keep_safe=True)
        assert crowded == ("unreferenced bytes",)
    large = tiff({}, strip=70_000)
    assert private_metadata(large + bytes(74)) == ()
    assert private_metadata(large + bytes(75)) == ("unreferenced bytes",)


def jpeg_tiff(jpeg: bytes, tables: bytes | None = None) -> bytes:
    tags = {259: short(7)} | ({347: (7, len(tables), tables)} if tables else {})
    data = tiff(tags, strip=len(jpeg))
    return data[: len(data) - len(jpeg)] + jpeg


def test_a_jpeg_inside_a_tiff_holds_what_decoding_needs_and_nothing_more() -> None:
    tables = b"\xff\xd8" + segment(0xDB, bytes(65)) + b"\xff\xd9"
    bare = BARE[:2] + BARE[20:]  # without the head of JFIF
    assert walked(jpeg_tiff(BARE)) == ()
    assert walked(jpeg_tiff(bare, tables)) == ()
    noted = segment(0xFE, b"a note")
    for spot in (bare[:2] + noted + bare[2:],):
        assert walked(jpeg_tiff(spot, tables)) == ("comment",)
    assert walked(jpeg_tiff(bare, tables[:2] + noted + tables[2:])) == ("comment",)
    xmp = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>")
    assert walked(jpeg_tiff(bare[:2] + xmp + bare[2:])) == ("xmp",)
    maker = segment(0xE1, b"Exif\0\0" + exif({271: text(b"Maker")}))
    data = jpeg_tiff(bare[:2] + maker + bare[2:])
    assert walked(data, keep_safe=True) == ("exif:tags",)
    unknown = segment(0xF3, b"abc")
    assert walked(jpeg_tiff(bare[:2] + unknown + bare[2:])) == ("marker F3",)
    # Only where the image says that it is one.
    plain = bytearray(tiff({}, strip=len(BARE)))
    assert walked(bytes(plain)) == ()


# --- AVIF ---------------------------------------------------------------------------------------

AVIF = avif(image().convert("RGB"))
PROPERTIES = (
    b"ispe pixi av1C colr irot imir clap pasp auxC a1op a1lx lsel clli mdcv cclv amve".split()
)


def box(name: bytes, payload: bytes = b"") -> bytes:
    return struct.pack(">I4s", len(payload) + 8, name) + payload


def with_coded(more: bytes) -> bytes:
    """Return the file with further AV1 data behind those of its image."""
    coded = AVIF[AVIF.index(b"mdat") + 4 :]
    old, new = (struct.pack(">I", len(one)) for one in (coded, coded + more))
    front = AVIF[: AVIF.index(b"mdat") - 4]
    assert front.count(old) == 1
    return front.replace(old, new) + box(b"mdat", coded + more)


def test_of_avif_properties_those_that_decoding_needs_may_stay() -> None:
    for name in PROPERTIES:
        assert walked(AVIF.replace(b"pixi", name)) == ()
        other = name[:3] + b"q"
        assert walked(AVIF.replace(b"pixi", other)) == (f"property {other.decode()}",)
    assert walked(AVIF.replace(b"pixi", b"a\0\xffb")) == ("property ?",)


def test_of_avif_boxes_those_that_decoding_needs_may_stay() -> None:
    for name in b"ftyp mdat hdlr pitm iloc iinf iprp iref idat".split():
        assert walked(AVIF + box(name)) == ()
        other = name[:3] + b"q"
        assert walked(AVIF + box(other)) == (f"box {other.decode()}",)
    assert walked(AVIF + box(b"moov")) == ("sequence",)
    assert walked(AVIF + box(b"a\0\xffb")) == ("box ?",)
    assert "box hdlr" not in walked(AVIF + box(b"hdlr", bytes(64)))
    assert "box hdlr" in walked(AVIF + box(b"hdlr", bytes(65)))
    assert walked(AVIF + box(b"mdat", b"x")) == ("unreferenced bytes",)


def test_items_of_avif_are_the_image_and_its_orientation() -> None:
    tagged = avif(image().convert("RGB"), exif=exif({271: text(b"Maker")}))
    assert walked(tagged) == ("exif:tags",)
    assert walked(tagged, keep_safe=True) == ()
    boxes, coded = tagged[: tagged.index(b"mdat")], tagged[tagged.index(b"mdat") :]
    for kind, named in ((b"mime", "xmp"), (b"av01", "second image"), (b"abcd", "item abcd")):
        assert walked(boxes.replace(b"Exif", kind) + coded) == (named,)
    profiled = avif(image().convert("RGB"), icc_profile=SRGB)
    for kind in (b"prof", b"rICC"):
        assert walked(profiled.replace(b"prof", kind)) == ()
        broken = profiled.replace(b"prof", kind).replace(b"acsp", b"xxxx")
        assert walked(broken) == ("profile:unreadable",)


def test_av1_data_hold_pixels_and_what_screens_need_and_no_message() -> None:
    for kind in (1, 2):  # light levels, the mastering display
        assert walked(with_coded(bytes((5 << 3 | 2, 2, kind, 0)))) == ()
    for kind in (0, 3, 4):
        names = walked(with_coded(bytes((5 << 3 | 2, 2, kind, 0))))
        assert names == ("message in coded data",)
    assert walked(with_coded(bytes((5 << 3 | 2, 0)))) == ("message in coded data",)
    assert walked(with_coded(bytes((15 << 3 | 2, 3, 1, 1, 1)))) == ("message in coded data",)
    assert walked(with_coded(bytes((2 << 3 | 2, 0)))) == ()
