"""Colour profiles lose what no transform needs, and nothing else."""

from __future__ import annotations

import io
import struct
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from sfumato.errors import SampleError
from sfumato.imaging import codec
from sfumato.imaging.codec import private_metadata
from sfumato.imaging.embedded.profile import clean_profile, profile_extras
from sfumato.imaging.embedded.profile_texts import is_plain
from sfumato.imaging.jpeg.markers import APP2, ICC, icc_profile, walk
from sfumato.obfuscation import Gaussian
from tests.avif_files import avif
from tests.profiles import (
    SECRET,
    SRGB,
    built,
    description,
    gamma,
    identified,
    localised,
    lut,
    shown,
    tags_of,
    text,
    with_header,
    with_tag,
)
from tests.test_metadata import FACE, PREVIEW, encoded, gif_with, image, png_chunk, segment

TAGS = tags_of(SRGB)
SCREEN = struct.pack(">4sIIHHH", b"vcgt", 0, 0, 3, 256, 2) + bytes(range(256)) * 6
VERSION_2 = with_header(8, b"\x02\x10\0\0", built(TAGS))

HIDDEN = {
    "private-tag": with_tag(b"prev", b"data\0\0\0\0\0\0\0\1" + SECRET + PREVIEW),
    "private-text": with_tag(b"ownr", text(SECRET)),
    "dictionary": with_tag(b"meta", b"dict" + bytes(4) + SECRET),
    "device-settings": with_tag(b"devs", b"devs" + bytes(4) + SECRET),
    "measured-patches": with_tag(b"targ", text(SECRET)),
    "named-colours": with_tag(b"ncl2", b"ncl2" + bytes(8) + struct.pack(">II", 0, 0) + SECRET * 4),
    "sequence": with_tag(b"pseq", b"pseq" + bytes(4) + struct.pack(">I", 1) + SECRET),
    "screen": with_tag(b"vcgt", SCREEN[:-17] + SECRET),
    "calibrated": with_tag(
        b"calt", struct.pack(">4sI6H", b"dtim", 0, 2024, 5, 6, 7, 8, 9) + SECRET
    ),
    "apple": with_tag(b"mmod", b"mmod" + bytes(4) + SECRET),
    "apple-names": with_tag(b"dscm", localised("Jane Roe's iMac")),
    "description": with_tag(b"desc", localised("sRGB", "screen of Jane Roe")),
    "copyright": with_tag(b"cprt", localised("Copyright Jane Roe 2020")),
    "description-2": with_tag(b"desc", description(SECRET), VERSION_2),
    "description-unicode": with_tag(b"desc", description(b"sRGB", wide="Jane Roe"), VERSION_2),
    "description-mac": with_tag(b"desc", description(b"sRGB", mac=SECRET), VERSION_2),
    "description-tail": with_tag(b"desc", description(b"sRGB") + SECRET, VERSION_2),
    "copyright-2": with_tag(b"cprt", text(SECRET), VERSION_2),
    "text-behind-its-end": with_tag(b"cprt", text(b"CC0") + SECRET, VERSION_2),
    "between-records": with_tag(b"desc", localised("sRGB", gap=SECRET + b" ")),
    "wrong-kind": with_tag(b"lumi", text(SECRET)),
    "oversized": with_tag(b"rTRC", gamma() + SECRET),
    "reserved-in-tag": with_tag(b"lumi", b"XYZ JaneJane Roe Jan"),
    "image-as-curve": with_tag(
        b"kTRC",
        struct.pack(">4sII", b"curv", 0, 4096)
        + np.random.default_rng(1).integers(0, 65536, 4096).astype(">u2").tobytes(),
    ),
    "gap": built(TAGS, gap=SECRET),
    "behind": built(TAGS, behind=SECRET),
    "header": with_header(100, SECRET),
    "identity": with_header(84, SECRET[:16]),
    "date": with_header(24, SECRET[:12]),
    "flags": with_header(44, b"Jane"),
    "attributes": with_header(56, b"Jane Roe"),
    "unnamed": built([*TAGS, (b"\xff\xd8\xff\xe0", PREVIEW)]),
}
STANDARD = {
    "as-made": SRGB,
    "identified": identified(SRGB),
    "zeros-behind": built(TAGS, behind=bytes(70_000)),
    "version-2": with_tag(b"desc", description(b"sRGB IEC61966-2.1", mac=b"sRGB"), VERSION_2),
    "cut-description": with_tag(b"desc", description(b"Adobe RGB (1998)")[:40], VERSION_2),
    "hp": with_tag(b"cprt", text(b"Copyright (c) 1998 Hewlett-Packard Company"), VERSION_2),
    "maker": with_tag(
        b"dmdd", description(b"IEC 61966-2.1 Default RGB colour space - sRGB"), VERSION_2
    ),
    "apple": with_tag(b"cprt", localised("Copyright Apple Inc., 2022")),
    "display-p3": with_tag(b"desc", localised("Display P3")),
    "screen-formula": with_tag(
        b"vcgt", struct.pack(">4sII9I", b"vcgt", 0, 1, *(47186, 0, 65536) * 3)
    ),
    "large": with_tag(b"A2B1", lut()),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_what_hides_in_a_profile_goes_and_its_colours_stay(name: str) -> None:
    profile = HIDDEN[name]
    assert profile_extras(profile)
    clean = clean_profile(profile)
    assert clean is not None
    assert clean != profile
    assert profile_extras(clean) == ()
    assert clean_profile(clean) == clean
    for secret in (SECRET[:4], b"Jane", "Jane".encode("utf-16-be"), PREVIEW[20:60]):
        assert secret not in clean
    for intent in range(4):
        assert np.array_equal(shown(profile, intent), shown(clean, intent))
    before = dict(tags_of(profile))
    for tag, data in tags_of(clean):
        assert tag in (b"desc", b"cprt") or before[tag].startswith(data)


@pytest.mark.parametrize("name", STANDARD)
def test_a_profile_without_anything_private_stays_as_it_is(name: str) -> None:
    assert profile_extras(STANDARD[name]) == ()
    assert clean_profile(STANDARD[name]) == STANDARD[name]


def test_an_identity_is_computed_anew() -> None:
    clean = clean_profile(identified(HIDDEN["private-tag"]))
    assert clean is not None
    assert clean == identified(clean)
    assert any(clean[84:100])


PIXELS = np.asarray(image().resize((210, 172)))  # an image of as many pixels as the table has
AS_TABLE = PIXELS.reshape(-1, 3)[: 33**3].reshape(33, 33, 33, 3)
IN_TABLES = {
    "gamut": with_tag(b"gamt", lut(AS_TABLE, 33)),
    "preview": with_tag(b"pre0", lut(AS_TABLE, 33)),
    "to-the-device": with_tag(b"B2A0", lut(AS_TABLE, 33)),
    "place-as-light": with_tag(b"lumi", struct.pack(">4sI3i", b"XYZ ", 0, 3104894, 559787, 0)),
    "place-as-black": with_tag(b"bkpt", struct.pack(">4sI3i", b"XYZ ", 0, 3104894, 559787, 0)),
}


@pytest.mark.parametrize("name", IN_TABLES)
def test_a_image_or_a_place_in_tables_that_show_nothing_goes(name: str) -> None:
    clean = clean_profile(IN_TABLES[name])
    assert clean is not None
    assert len(clean) < 2000
    assert tags_of(IN_TABLES[name])[-1][0] not in dict(tags_of(clean))
    assert np.array_equal(shown(clean), shown(SRGB))


def test_a_image_in_the_table_that_shows_the_colours_takes_the_profile_along() -> None:
    assert clean_profile(with_tag(b"A2B0", lut(AS_TABLE, 33))) is None
    true = with_tag(b"A2B0", lut(grid=33))
    assert clean_profile(true) == true


def test_names_in_the_codes_of_languages_go() -> None:
    for codes in ((b"Jane", b"Roe1"), (b"enUS", b"enUS")):
        data = bytearray(localised("sRGB", "sRGB"))
        data[16:20], data[28:32] = codes
        clean = clean_profile(with_tag(b"desc", bytes(data)))
        assert clean is not None
        assert b"Roe1" not in clean
        assert clean.count(b"enUS") <= 2


BROKEN = {
    "no-tags": with_header(128, bytes(4)),
    "many-tags": with_header(128, b"\xff" * 4),
    "tag-outside": with_header(136, b"\0\xff\0\0"),
    "tag-in-the-table": with_header(136, bytes(4)),
    "twice": built([*TAGS, TAGS[0]]),
    "longer-than-it-is": with_header(0, struct.pack(">I", len(SRGB) + 1)),
    "a-link": with_header(12, b"link"),
    "names-of-colours": with_header(12, b"nmcl"),
    "another-space": with_header(16, b"XYZ "),
    "no-curves": built([*TAGS[:2], (b"ownr", text(SECRET))]),
    "rough-curve": with_tag(b"rTRC", tags_of(HIDDEN["image-as-curve"])[-1][1]),
    "large": SRGB + bytes(1 << 22),
    "nothing": b"",
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cant_be_read_or_proved_is_dropped(name: str) -> None:
    assert clean_profile(BROKEN[name]) is None
    assert profile_extras(BROKEN[name])


def test_a_private_transform_is_never_swapped_for_another() -> None:
    """A table that the standard doesn't know, in the place of one that littleCMS uses."""
    profile = with_tag(b"A2B0", lut() + SECRET)
    clean = clean_profile(profile)
    assert clean is not None
    assert SECRET not in clean
    assert np.array_equal(shown(profile), shown(clean))
    crooked = bytearray(lut())
    crooked[11] = 1  # a reserved byte: the tag would go, and the colours change
    cells = np.random.default_rng(2).integers(0, 256, (3, 3, 3, 3)).astype(np.uint8)
    assert clean_profile(with_tag(b"A2B0", bytes(crooked[:48]) + lut(cells)[48:])) is None


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_damaged_profile_never_raises(data: st.DataObject) -> None:
    profile = bytearray(with_tag(b"A2B0", lut(grid=2), HIDDEN["private-tag"]))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(profile) - 1))
        profile[at] = data.draw(st.integers(0, 255))
    clean = clean_profile(bytes(profile))
    assert clean is None or profile_extras(clean) == ()


@pytest.mark.parametrize(
    "words",
    [
        "sRGB IEC61966-2.1",
        "Copyright (c) 1999 Adobe Systems Incorporated. All Rights Reserved.",
        "Nikon Adobe RGB 4.0.0.3000",
        "Copyright Apple Inc., 2018",
        "Reference Viewing Condition in IEC61966-2.1",
        "U.S. Web Coated (SWOP) v2",
        "No copyright, use freely",
        "Dot Gain 20%",
        "IEC http://www.iec.ch",
        "Photoshop ICC profile",
        "",
    ],
)
def test_texts_of_standard_profiles_are_plain(words: str) -> None:
    assert is_plain(words)


@pytest.mark.parametrize(
    "words",
    ["Jane Roe", "Jane's display", "47.3769 8.5417", "8 Main 12", "+41 44 632", "12 34 56 78 90",
     "sRGB\x00\x01", "sRGB 王", "rgb " * 100, "jane@c.org", "a1b2c3d4"],
)  # fmt: skip
def test_other_texts_are_not(words: str) -> None:
    assert not is_plain(words)


def _files(profile: bytes) -> dict[str, bytes]:
    kinds = ("JPEG", "PNG", "WEBP", "TIFF")
    return {
        **{kind: encoded(kind, icc_profile=profile) for kind in kinds},
        "AVIF": avif(image(), icc_profile=profile),
        "lossless": encoded("WEBP", icc_profile=profile, lossless=True),
    }


def _profile_of(data: bytes) -> bytes | None:
    found: bytes | None = Image.open(io.BytesIO(data)).info.get("icc_profile")
    return found


FILES = _files(HIDDEN["private-tag"])


@pytest.mark.parametrize("kind", FILES)
def test_no_format_keeps_what_hides_in_its_profile(kind: str) -> None:
    data, wanted = FILES[kind], clean_profile(HIDDEN["private-tag"])
    assert private_metadata(data)[0] == "profile:private tags"
    for written in (codec.edit(data, [FACE], Gaussian()).data, codec.strip(data)):
        assert SECRET not in written
        assert _profile_of(written) == wanted
        assert private_metadata(written) == ()
    assert codec.difference(data, codec.strip(data)) == 0  # cleaned ones are compared


@pytest.mark.parametrize("kind", FILES)
def test_every_format_loses_a_profile_that_cant_be_proved(kind: str) -> None:
    data = _files(BROKEN["rough-curve"])[kind]
    for written in (codec.edit(data, [FACE], Gaussian()).data, codec.strip(data)):
        assert _profile_of(written) is None
        assert private_metadata(written) == ()


def test_the_name_of_a_png_profile_and_what_lies_behind_it_go() -> None:
    data = encoded("PNG", icc_profile=SRGB)
    at = data.index(b"iCCP") - 4
    size = struct.unpack_from(">I", data, at)[0]
    payload = data[at + 8 : at + 8 + size]
    packed = payload.partition(b"\0")[2]
    for chunk in (b"Jane Roe\0" + packed, payload + SECRET):
        hidden = data[:at] + png_chunk(b"iCCP", chunk) + data[at + 12 + size :]
        assert private_metadata(hidden)[0].startswith("profile:")
        for written in (codec.edit(hidden, [FACE], Gaussian()).data, codec.strip(hidden)):
            assert b"Jane" not in written
            assert _profile_of(written) == SRGB


def test_a_gif_keeps_no_private_profile() -> None:
    profile = HIDDEN["private-text"]
    parts = [profile[i : i + 255] for i in range(0, len(profile), 255)]
    blocks = b"".join(bytes([len(part)]) + part for part in parts)
    data = gif_with(b"!\xff\x0bICCRGBG1012" + blocks + b"\0")
    assert private_metadata(data) == ("profile:private tags",)
    assert SECRET not in codec.strip(data)


def _in_parts(profile: bytes, order: list[int], count: int | None = None) -> bytes:
    """A JPEG whose profile comes in parts of 300 bytes, numbered from 1, in this order."""
    parts = [profile[i : i + 300] for i in range(0, len(profile), 300)]
    data = encoded("JPEG")
    total = len(parts) if count is None else count
    segments = [segment(APP2, ICC + bytes((n, total)) + parts[n - 1]) for n in order]
    return data[:2] + b"".join(segments) + data[2:]


def test_parts_of_a_profile_are_joined_by_their_numbers() -> None:
    for profile in (SRGB, HIDDEN["private-text"]):
        count = -(-len(profile) // 300)
        data = _in_parts(profile, list(range(count, 0, -1)))
        assert _profile_of(data) == profile
        for written in (codec.edit(data, [FACE], Gaussian()).data, codec.strip(data)):
            assert _profile_of(written) == clean_profile(profile)
            assert private_metadata(written) == ()


@pytest.mark.parametrize(
    ("order", "count"), [([2], None), ([1, 1], 2), ([1, 2], 3), ([1, 2, 2], None), ([2, 1], 1)]
)
def test_parts_that_are_missing_or_come_twice_are_no_profile(
    order: list[int], count: int | None
) -> None:
    data = _in_parts(SRGB, order, count)
    assert "profile:unreadable" in private_metadata(data)
    for written in (codec.edit(data, [FACE], Gaussian()).data, codec.strip(data)):
        assert not any(s.payload.startswith(ICC) for s in walk(written)[0])


def test_a_profile_behind_the_first_scan_goes() -> None:
    """Decoders don't see it there."""
    data = encoded("JPEG", progressive=True)
    later = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    for profile in (SRGB, HIDDEN["private-text"]):
        hidden = data[:later] + segment(APP2, ICC + b"\1\1" + profile) + data[later:]
        for written in (codec.edit(hidden, [FACE], Gaussian()).data, codec.strip(hidden)):
            if private_metadata(hidden):
                assert b"ICC_PROFILE" not in written
            assert SECRET not in written
            assert private_metadata(written) == ()


@pytest.mark.slow
def test_many_profiles_in_one_file_cost_no_more_than_it_has_bytes() -> None:
    """Pages whose profiles lie on top of each other, each with a header of its own."""
    page, count = 2 + 3 * 12 + 4, 3000
    heads = b"".join(SRGB[:128] for _ in range(count))
    start, profiles = 8 + page * count, bytearray(heads + bytes(1 << 20))
    for i in range(count):
        struct.pack_into(">I", profiles, 128 * i, len(profiles) - 128 * i)
    out = b"II*\0\x08\0\0\0"
    for i in range(count):
        entries = struct.pack("<HHII", 256, 3, 1, 1) + struct.pack("<HHII", 257, 3, 1, 1)
        entries += struct.pack("<HHII", 34675, 7, len(profiles) - 128 * i, start + 128 * i)
        follows = 8 + page * (i + 1) if i + 1 < count else 0
        out += struct.pack("<H", 3) + entries + struct.pack("<I", follows)
    began = time.process_time()
    with pytest.raises(SampleError):
        private_metadata(out + bytes(profiles))
    with pytest.raises(SampleError):
        codec.strip(out + bytes(profiles))
    assert time.process_time() - began < 5


@pytest.mark.parametrize("count", [255, 256, 600])
def test_more_parts_than_a_byte_can_count_are_no_profile(count: int) -> None:
    profile = built(TAGS, behind=bytes(3 * count - len(SRGB)) if 3 * count > len(SRGB) else b"")
    step = -(-len(profile) // count)
    parts = [profile[i * step : (i + 1) * step] for i in range(count)]
    segments = [
        segment(APP2, ICC + bytes((n % 256, count % 256)) + p) for n, p in enumerate(parts, 1)
    ]
    data = encoded("JPEG")
    data = data[:2] + b"".join(segments) + data[2:]
    clean = codec.strip(data)
    assert (b"ICC_PROFILE" in clean) == (count == 255)
    assert ("profile:unreadable" in private_metadata(data)) == (count > 255)


def test_other_spaces_are_proved_too() -> None:
    grey = built(
        [
            (b"desc", localised("Gray Gamma 2.2")),
            (b"cprt", localised("CC0")),
            (b"wtpt", dict(TAGS)[b"wtpt"]),
            (b"kTRC", gamma()),
            (b"ownr", text(SECRET)),
        ],
        head=with_header(16, b"GRAY")[:128],
    )
    clean = clean_profile(grey)
    assert clean is not None
    assert SECRET not in clean
    ImageCms.ImageCmsProfile(io.BytesIO(clean))


@pytest.mark.slow
def test_profiles_of_real_images_stay_but_those_of_screens(shared_data: Path) -> None:
    changed: Counter[tuple[str, ...]] = Counter()
    kept = 0
    for path in sorted(shared_data.rglob("*.[jJ]*[gG]")):
        try:
            profile = icc_profile(walk(path.read_bytes())[0])
        except SampleError:
            continue
        extras = profile_extras(profile) if profile else ()
        changed.update([extras] if extras else [])
        kept += bool(profile) and clean_profile(profile) == profile
        assert not extras or clean_profile(profile) is not None
    assert kept > 100
    assert sum(changed.values()) <= 5
    assert all("tag mmod" in extras for extras in changed)  # the make and number of a screen
