"""AVIF: guarded before it is decoded, upright, and written again at no lower quality."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import ExifTags, Image

from sfumato.errors import Code, SampleError
from sfumato.imaging import codec
from sfumato.imaging.codec import av1, isobmff, private_metadata
from sfumato.imaging.codec.avif import coarsest, facts_of
from tests.avif_files import avif, colours_of, grid, resized, with_colours, with_gain_map
from tests.test_codec import (
    FACE,
    HEIGHT,
    SRGB,
    WIDTH,
    Negative,
    away_from,
    exif,
    frames,
    image,
    opened,
    psnr,
    refusal,
    scene,
)
from tests.variants import one_of_each

# quantizer_to_qindex of libaom (av1/encoder/av1_quantize.c): of libavif's 64 steps.
INDEX_OF_STEP = (*range(0, 248, 4), 249, 255)


def step(quality: int) -> int:
    """The step that libavif takes for a quality (src/write.c, avifQualityToQuantizer)."""
    return ((100 - quality) * 63 + 50) // 100


@pytest.mark.parametrize("quality", [1, 30, 60, 75, 90, 99, 100])
def test_the_quantiser_is_the_one_that_the_encoder_chose(quality: int) -> None:
    data = avif(image(), quality=quality)
    facts = facts_of(data)
    assert facts.finest == coarsest(data) == INDEX_OF_STEP[step(quality)]


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0", "4:0:0"])
@pytest.mark.parametrize("size", [(64, 64), (1, 1), (65, 127), (700, 40)])
def test_sampling_and_size_are_read(sampling: str, size: tuple[int, int]) -> None:
    data = avif(Image.fromarray(scene(*size)), subsampling=sampling, quality=50)
    facts = facts_of(data)
    assert (facts.sampling, facts.bits, facts.moving) == (sampling, 8, False)
    assert facts.pixels == size[0] * size[1]
    assert facts.finest == INDEX_OF_STEP[step(50)]


def test_tiles_and_large_images_are_followed() -> None:
    """Frames wider than a tile may be, and ones that were cut into tiles on request."""
    wide = Image.fromarray(scene(4300, 16))
    assert facts_of(avif(wide, quality=40)).finest == INDEX_OF_STEP[step(40)]
    tiled = avif(Image.fromarray(scene(300, 300)), quality=40, tile_rows=1, tile_cols=1)
    assert facts_of(tiled).finest == INDEX_OF_STEP[step(40)]


def test_the_alpha_channel_counts_too() -> None:
    data = avif(image("RGBA"), quality=60)
    assert len(isobmff.parse_avif(data).shown()) == 2
    assert facts_of(data).finest == INDEX_OF_STEP[step(60)]


def test_blocks_with_quantisers_of_their_own_are_told() -> None:
    data = avif(image(), quality=60, advanced={"tune": "iq"})
    assert facts_of(data).varies
    assert coarsest(data) is None
    assert not facts_of(avif(image(), quality=60)).varies


def test_a_header_that_is_cut_off_is_no_header() -> None:
    data = isobmff.parse_avif(avif(image()))
    coded = data.bytes_of(data.shown()[0])
    known = av1.quantiser(coded)
    for kind, start, end in av1.obus(coded):
        if kind == 1:
            for stop in range(start, end - 1):
                with pytest.raises(ValueError, match=r"cut off|past the end"):
                    av1.sequences(coded[:stop])
    assert known.base == known.coarsest
    with pytest.raises(ValueError, match="2 frames"):
        av1.quantiser(coded + coded)
    with pytest.raises(ValueError, match="no sequence"):
        av1.sequences(b"")


def turned(orientation: int) -> bytes:
    return avif(image(), exif=exif(orientation), quality=100, subsampling="4:4:4")


def by_the_boxes(data: bytes) -> np.ndarray:
    """Turn the stored pixels as ISO/IEC 23008-12 says: irot against the clock, then imir."""
    file = isobmff.parse_avif(data)
    item = file.items[file.primary]
    shown = np.asarray(opened(data))
    if (irot := item.property(b"irot")) is not None:
        shown = np.rot90(shown, data[irot.start] & 3)
    if (imir := item.property(b"imir")) is not None:
        shown = shown[:, ::-1] if data[imir.start] & 1 else shown[::-1]
    return shown


@pytest.mark.parametrize("orientation", range(1, 9))
def test_frames_are_upright_as_viewers_show_them(orientation: int) -> None:
    data = turned(orientation)
    header = codec.inspect(data)
    assert (header.orientation, header.width, header.height) == (orientation, WIDTH, HEIGHT)
    frame = codec.decode(data).frames[0]
    np.testing.assert_array_equal(frame, by_the_boxes(data))
    written = codec.edit(data, [FACE], Negative()).data
    assert codec.inspect(written) == header
    away = away_from(Negative().reaches([FACE]), frame.shape, 8)
    assert psnr(frame, codec.decode(written).frames[0], away) > 40


def test_exif_alone_does_not_turn_an_avif() -> None:
    """Viewers go by the boxes (MIAF, 7.3.6.7); a turn that only EXIF names is not applied."""
    block = Image.Exif()
    block[0x0113] = 6  # Pillow would turn the orientation itself, 0x0112, into boxes
    data = avif(image(), exif=block.tobytes())
    told = data.replace(b"\x13\x01\x03\x00", b"\x12\x01\x03\x00")
    told = told.replace(b"\x01\x13\x00\x03", b"\x01\x12\x00\x03")
    assert told != data
    with Image.open(io.BytesIO(told)) as shown:
        assert shown.size == (WIDTH, HEIGHT)
    assert codec.inspect(told).orientation == 1
    np.testing.assert_array_equal(codec.decode(told).frames[0], codec.decode(data).frames[0])


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0", "4:0:0"])
@pytest.mark.parametrize("quality", [20, 80, 96, 100])
def test_it_is_written_no_coarser_and_with_the_same_sampling(sampling: str, quality: int) -> None:
    data = avif(image(), quality=quality, subsampling=sampling)
    edited = codec.edit(data, [FACE], Negative())
    assert edited.encoding == "reencoded"
    before, after = facts_of(data), facts_of(edited.data)
    assert before.finest is not None
    assert coarsest(edited.data) is not None
    assert (coarsest(edited.data) or 0) <= min(before.finest, INDEX_OF_STEP[step(95)])
    assert (after.sampling, after.bits) == (sampling, 8)
    old, new = codec.decode(data).frames[0], codec.decode(edited.data).frames[0]
    away = away_from(Negative().reaches([FACE]), old.shape, 8)
    assert psnr(old, new, away) > 40
    assert psnr(old, new, ~away) < 20


def test_where_blocks_differ_it_is_written_finer_than_they_are_likely_to_be() -> None:
    data = avif(image(), quality=60, advanced={"tune": "iq"})
    assert coarsest(codec.edit(data, [FACE], Negative()).data) == INDEX_OF_STEP[step(98)] == 4


def test_where_nothing_can_be_read_the_samples_are_coded_without_loss(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = avif(image(), quality=60)
    whole = av1.quantiser

    def layered(coded: bytes) -> av1.Quantiser:
        if coded in data:
            raise ValueError("2 frames")
        return whole(coded)

    monkeypatch.setattr(av1, "quantiser", layered)
    assert facts_of(data).finest is None
    assert coarsest(codec.edit(data, [FACE], Negative()).data) == 0


def test_alpha_and_grey_stay() -> None:
    for mode in ("RGBA", "L"):
        data = avif(image(mode), quality=90)
        written = codec.edit(data, [FACE], Negative()).data
        assert codec.inspect(written).mode == codec.inspect(data).mode == mode


def test_colours_profile_and_range_stay_and_nothing_else() -> None:
    plain = with_colours(avif(image(), exif=exif(6, private=True), range="limited"), 12, 16)
    assert set(codec.private_metadata(plain)) == {"exif:tags", "exif:gps"}
    written = codec.edit(plain, [FACE], Negative()).data
    assert colours_of(written)[:2] == colours_of(plain)[:2] == (12, 16)
    assert not colours_of(written)[3] & 0x80
    assert codec.private_metadata(written) == ()
    assert dict(opened(written).getexif()) == {ExifTags.Base.Orientation: 6}
    profiled = avif(image(), icc_profile=SRGB)
    written = codec.edit(profiled, [FACE], Negative()).data
    assert opened(written).info["icc_profile"] == SRGB


def test_date_camera_and_copyright_stay_on_request() -> None:
    block = Image.Exif()
    block.update({0x010F: "Maker", 0x0112: 6, 0x013B: "A. Person", 0x8298: "(c) Annabel"})
    data = avif(image(), exif=block.tobytes())
    written = codec.edit(data, [FACE], Negative(), policy="keep-safe").data
    assert dict(opened(written).getexif()) == {0x010F: "Maker", 0x0112: 6, 0x8298: "(c) Annabel"}
    assert codec.private_metadata(written, keep_safe=True) == ()
    assert codec.private_metadata(written) == ("exif:tags",)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (avif(image(), xmp=b"<x:xmpmeta/>"), ("xmp",)),
        (avif(image()) + b"\0\0\0\x0cfreeword", ("box free",)),
        (avif(image()).replace(b"pixi", b"udes"), ("property udes",)),
        (avif(image(), exif=exif(3, private=True)), ("exif:tags", "exif:gps")),
        (avif(image()), ()),
        (avif(image("RGBA"), icc_profile=SRGB), ()),
    ],
)
def test_what_is_private_is_named(data: bytes, named: tuple[str, ...]) -> None:
    assert set(codec.private_metadata(data)) == set(named)


def test_hidden_bytes_are_named() -> None:
    data = avif(image())
    at = data.index(b"mdat") - 4
    size = int.from_bytes(data[at : at + 4], "big")
    longer = data[:at] + (size + 9).to_bytes(4, "big") + data[at + 4 :] + b"A. Person"
    assert codec.private_metadata(longer) == ("unreferenced bytes",)


STRIPPED = {
    "exif": avif(image(), exif=exif(6, private=True)),
    "mirrored": avif(image(), exif=exif(5, private=True), xmp=b"<x:xmpmeta/>"),
    "alpha": avif(image("RGBA"), xmp=b"<x:xmpmeta/>", icc_profile=SRGB),
    "grey": avif(image("L"), exif=exif(1, private=True)),
    "limited": with_colours(avif(image(), xmp=b"<x:xmpmeta/>", range="limited"), 12, 16),
    "hidden": avif(image()) + b"\0\0\0\x11freeA. Person",
}


@pytest.mark.parametrize("name", STRIPPED)
def test_metadata_go_and_the_coded_data_stay(name: str) -> None:
    data = STRIPPED[name]
    clean = codec.strip(data)
    assert codec.private_metadata(data) != ()
    assert codec.private_metadata(clean) == ()
    for secret in (b"Person", b"xmpmeta"):
        assert secret not in clean
    before, after = isobmff.parse_avif(data), isobmff.parse_avif(clean)
    coded = [[file.bytes_of(item) for item in file.shown()] for file in (before, after)]
    assert coded[0] == coded[1]
    assert facts_of(clean) == facts_of(data)
    old, new = opened(data), opened(clean)
    assert old.mode == new.mode
    np.testing.assert_array_equal(np.asarray(old), np.asarray(new))
    assert old.info.get("icc_profile") == new.info.get("icc_profile")
    assert codec.inspect(clean) == codec.inspect(data)
    if name == "limited":
        assert colours_of(clean) == colours_of(data)


def test_a_clean_file_keeps_its_bytes_and_a_sequence_is_refused() -> None:
    clean = avif(image())
    assert codec.strip(clean) is clean
    first, *rest = frames()
    with pytest.raises(SampleError, match=r"IMAGE_UNSUPPORTED.*can't be removed"):
        codec.strip(avif(first, save_all=True, append_images=rest))


# --- guards -------------------------------------------------------------------------------------


def test_sizes_are_checked_before_anything_is_decoded() -> None:
    data = avif(image())
    assert refusal(codec.inspect, data, max_pixels=WIDTH * HEIGHT - 1) == Code.IMAGE_TOO_LARGE
    assert codec.inspect(data, max_pixels=WIDTH * HEIGHT).width == WIDTH
    large = avif(Image.fromarray(scene(400, 300)))
    assert refusal(codec.inspect, resized(large, 8, 8), max_pixels=10_000) == Code.IMAGE_TOO_LARGE
    assert refusal(codec.inspect, resized(data, 65535, 65535)) == Code.IMAGE_TOO_LARGE


def test_every_frame_is_decoded_and_a_face_in_a_sequence_is_refused() -> None:
    first, *rest = frames()
    moving = avif(first, save_all=True, append_images=rest, quality=90)
    decoded = codec.decode(moving)
    assert (decoded.header.format, decoded.header.frames) == ("AVIF", 3)
    for expected, frame in zip(frames(), decoded.frames, strict=True):
        assert np.abs(np.asarray(expected).astype(int) - frame).mean() < 8
    assert refusal(codec.edit, moving, [FACE], Negative()) == Code.IMAGE_UNSUPPORTED
    assert refusal(codec.inspect, moving, max_pixels=2 * WIDTH * HEIGHT) == Code.IMAGE_TOO_LARGE
    assert "sequence" in codec.private_metadata(moving, frames=True)


def test_a_sequence_that_no_viewer_of_stills_shows_is_refused() -> None:
    first, *rest = frames()
    moving = avif(first, save_all=True, append_images=rest)
    assert moving[8:12] == b"avis"
    hidden = moving[:8] + b"avif" + moving[12:]
    assert refusal(codec.decode, hidden) == Code.IMAGE_UNSUPPORTED


def test_more_than_8_bits_are_refused_by_name() -> None:
    """The bits that say 10 of 8-bit data: Pillow can't write others."""
    data = avif(image())
    file = isobmff.parse_avif(data)
    at = file.shown()[0].extents[0][0]
    head = next(start for kind, start, _ in av1.obus(data[at:]) if kind == 1)
    sequence = data[at + head :]
    # Behind the sizes: find the bit by what reading it gives.
    for bit in range(8 * 12):
        changed = bytearray(data)
        changed[at + head + bit // 8] ^= 0x80 >> bit % 8
        try:
            found = av1.sequences(bytes(changed[at:]))[0]
        except ValueError:
            continue
        plain = av1.sequences(data[at:])[0]
        if found.bits == 10 and found.width == plain.width and found.height == plain.height:
            break
    else:
        pytest.fail("no bit makes it deep")
    assert sequence
    with pytest.raises(SampleError, match=r"IMAGE_UNSUPPORTED.*10-bit"):
        codec.edit(bytes(changed), [FACE], Negative())


def test_a_cropped_image_with_a_face_is_refused() -> None:
    data = avif(image(), exif=exif(3))
    assert b"irot" in data
    cropped = data.replace(b"irot", b"clap")
    with pytest.raises(SampleError):
        codec.edit(cropped, [FACE], Negative())


@pytest.mark.parametrize("at", one_of_each(range(0, 320, 3), lambda at: at // 24))
def test_a_changed_byte_in_the_boxes_breaks_nothing_but_the_file(at: int) -> None:
    data = bytearray(avif(image(), exif=exif(6)))
    data[at] ^= 0xFF
    for call in (codec.inspect, codec.decode, codec.private_metadata):
        try:
            call(bytes(data))
        except SampleError:
            continue


def test_tiles_in_a_grid_are_one_image() -> None:
    left, right = (Image.fromarray(scene(64 + n, 64)[:, n:]) for n in (0, 5))
    data = grid(left, right, more=b"\0\0\0\x11freeA. Person")
    facts = facts_of(data)
    assert (facts.pixels, facts.sampling, facts.finest) == (128 * 64, "4:4:4", 100)
    frame = codec.decode(data).frames[0]
    joined = np.concatenate([np.asarray(left), np.asarray(right)], axis=1)
    assert np.abs(frame.astype(int) - joined).mean() < 4
    assert codec.private_metadata(data) == ("box free",)
    clean = codec.strip(data)
    assert codec.private_metadata(clean) == ()
    np.testing.assert_array_equal(codec.decode(clean).frames[0], frame)
    written = codec.edit(data, [FACE], Negative()).data
    assert codec.inspect(written).width == 128
    assert (coarsest(written) or 0) <= 100
    assert refusal(codec.inspect, data, max_pixels=128 * 64 - 1) == Code.IMAGE_TOO_LARGE


@pytest.mark.parametrize("brand", [b"tmap", b"Jane"])
def test_a_brand_that_promises_what_is_not_there_goes(brand: bytes) -> None:
    data = avif(image())
    size = struct.unpack_from(">I", data)[0]
    at = data.index(b"iloc") + 4 + 8
    moved = bytearray(data[:4] + data[4:size] + brand + data[size:])
    struct.pack_into(">I", moved, 0, size + 4)
    assert struct.unpack_from(">H", data, at - 2)[0] == 1
    extent = at + 4 + 6  # of the one item: behind its number, its reference and its count
    offset = struct.unpack_from(">I", data, extent - 4)[0]
    struct.pack_into(">I", moved, extent, offset + 4)
    avif_before = isobmff.parse_avif(bytes(moved))
    assert brand in isobmff.brands(bytes(moved), avif_before.top[0])
    assert private_metadata(bytes(moved)) == ("box ftyp",)
    clean = codec.strip(bytes(moved))
    assert brand not in clean
    assert private_metadata(clean) == ()
    assert np.array_equal(codec.decode(clean).frames[0], codec.decode(data).frames[0])
    edited = codec.edit(bytes(moved), [FACE], Negative()).data
    assert brand not in edited[: struct.unpack_from(">I", edited)[0]]


def test_a_gain_map_goes_with_its_brand() -> None:
    gain = Image.fromarray(scene()).convert("L").convert("RGB")
    data = with_gain_map(image(), gain)
    assert b"tmap" in isobmff.brands(data, isobmff.parse_avif(data).top[0])
    assert "second image" in private_metadata(data)
    clean = codec.strip(data)
    edited = codec.edit(data, [FACE], Negative()).data
    for written in (clean, edited):
        assert private_metadata(written) == ()
        assert b"tmap" not in isobmff.brands(written, isobmff.parse_avif(written).top[0])
        assert len(isobmff.parse_avif(written).items) == 1
    assert np.array_equal(np.asarray(opened(clean)), np.asarray(opened(data)))
