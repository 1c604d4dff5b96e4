"""Covering one image: what is still seen or too weak afterwards is covered once more."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sfumato.boxes import MOST_BOXES
from sfumato.errors import Code, SampleError
from sfumato.imaging import codec
from sfumato.imaging.codec import MAX_PIXELS
from sfumato.imaging.jpeg import Policy
from sfumato.obfuscation import Gaussian
from sfumato.obfuscation.step import Cover, Faces, left_of, rejected, release
from sfumato.obfuscation.strength import LIMIT, leftover
from sfumato.types import Box, Decision, Detection, Face, Obfuscator, Output, Pixels, Sample
from tests import concealing, heic_files, second_images
from tests.dataset import BOX, scene
from tests.jpeg_images import mpo, saved
from tests.recipes import changed, recipe

FOUND = Face(BOX, 0.9, "file")
ELSEWHERE = Face((90.0, 10.0, 110.0, 30.0), 0.4, "watcher-1")
ON_THE_COVER = Face((42.0, 32.0, 70.0, 64.0), 0.5, "watcher-1")


@dataclass
class Watcher:
    """A detector that sees what it is told to, one list for each look; then nothing."""

    looks: list[list[Face]]
    seen: list[Pixels] = field(default_factory=list)
    name: str = "watcher-1"

    def detect(self, images: Sequence[Pixels]) -> list[list[Face]]:
        self.seen += images
        return [self.looks.pop(0) if self.looks else [] for _ in images]


@dataclass
class Memory:
    """A sink that keeps what was staged."""

    data: bytes = b""

    def stage(self, sample: Sample, data: bytes) -> str:
        assert sample.key
        self.data = data
        return hashlib.sha256(data).hexdigest()

    def publish(self, keys: Iterable[str]) -> None:
        raise AssertionError(f"{list(keys)}: only the driver publishes")


def sample() -> Sample:
    return of_png(scene(np.random.default_rng(3)))


def of_png(pixels: Pixels) -> Sample:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return Sample("a.png", "", out.getvalue(), hashlib.sha256(out.getvalue()).hexdigest())


def cover(watcher: Watcher, obfuscator: Obfuscator | None = None, looks: int = 3) -> Cover:
    return Cover(recipe(looks=looks), obfuscator or Gaussian(), [watcher])


def test_a_face_that_shows_only_now_becomes_one_more_face() -> None:
    one, sink, watcher = sample(), Memory(), Watcher([[ELSEWHERE]])
    output, look = release(one, codec.decode(one.data), Faces((FOUND,)), cover(watcher), sink)
    assert output.faces == (FOUND, ELSEWHERE)
    assert output.ghosts == ()
    before, after = (codec.decode(data).frames[0] for data in (one.data, sink.data))
    assert np.abs(after[12:28, 92:108].astype(int) - before[12:28, 92:108]).mean() > 10
    assert look is not None
    assert look.seen == ()
    assert np.array_equal(look.image.frames[0], after)  # what was looked at last was written


def test_a_face_seen_in_a_cover_is_covered_again_but_counts_no_face() -> None:
    one, sink, watcher = sample(), Memory(), Watcher([[ON_THE_COVER]])
    output, _ = release(one, codec.decode(one.data), Faces((FOUND,)), cover(watcher), sink)
    assert (output.faces, output.ghosts) == ((FOUND,), (ON_THE_COVER,))
    once = Gaussian()(codec.decode(one.data).frames[0], [BOX])
    assert not np.array_equal(codec.decode(sink.data).frames[0], once)
    assert len(watcher.seen) == 2


def test_a_cover_that_is_too_weak_is_put_on_again() -> None:
    one, sink = sample(), Memory()
    weak = cover(Watcher([]), Gaussian(strength=0.04))
    output, _ = release(one, codec.decode(one.data), Faces((FOUND,)), weak, sink)
    assert output.faces == (FOUND,)
    assert 1 <= len(output.ghosts) <= 3
    assert set(output.ghosts) == {FOUND}


def test_a_cover_that_leaves_exactly_what_is_allowed_is_not_put_on_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = sample()
    _, look = release(one, codec.decode(one.data), Faces((FOUND,)), cover(Watcher([])), Memory())
    assert look is not None
    for limit, ghosts in ((look.left[0], ()), (look.left[0] - 1e-9, (FOUND,))):
        monkeypatch.setattr(Gaussian, "limit", limit)
        chosen = cover(Watcher([]), looks=1)
        output, _ = release(one, codec.decode(one.data), Faces((FOUND,)), chosen, Memory())
        assert output.ghosts == ghosts


def test_looking_ends_and_what_was_written_last_was_not_looked_at() -> None:
    one, sink, watcher = sample(), Memory(), Watcher([[ON_THE_COVER]] * 9)
    output, look = release(one, codec.decode(one.data), Faces((FOUND,)), cover(watcher), sink)
    assert len(output.ghosts) == len(watcher.seen) == 3
    assert look is None  # so verify looks for itself


def test_nobody_looks_where_nobody_shall() -> None:
    one, sink, watcher = sample(), Memory(), Watcher([[ELSEWHERE]])
    output, look = release(
        one, codec.decode(one.data), Faces((FOUND,)), cover(watcher, looks=0), sink
    )
    assert (output.faces, look, watcher.seen) == ((FOUND,), None, [])


@dataclass
class Nearby(Watcher):
    """One that can search a part of an image, and notes which."""

    regions: list[list[Box]] = field(default_factory=list)

    def detect_near(self, image: Pixels, regions: Sequence[Box]) -> list[Face]:
        self.regions.append(list(regions))
        return self.detect([image])[0]


def test_a_look_is_at_every_place_that_was_edited() -> None:
    """Also at what was covered as a ghost: its cover may be seen again."""
    one, watcher = sample(), Nearby([[ON_THE_COVER], [ELSEWHERE]])
    release(one, codec.decode(one.data), Faces((FOUND,)), cover(watcher), Memory())
    expected = [[FOUND.box], [FOUND.box, ON_THE_COVER.box]]
    expected.append([FOUND.box, ELSEWHERE.box, ON_THE_COVER.box])
    assert watcher.regions == [Gaussian().reaches(boxes) for boxes in expected]


def test_what_is_measured_is_each_face_before_and_after() -> None:
    one, watcher = sample(), Watcher([[ELSEWHERE]])
    before = codec.decode(one.data)
    output, look = release(one, before, Faces((FOUND,)), cover(watcher), Memory())
    assert look is not None
    after = look.image.frames[0]
    assert look.left == tuple(leftover(before.frames[0], after, f.box) for f in output.faces)
    assert 0 < max(look.left) < LIMIT


def test_what_people_said_is_no_face_is_seen_and_left_uncovered() -> None:
    one, sink, watcher = sample(), Memory(), Watcher([[ELSEWHERE]] * 9)
    faces = Faces((FOUND,), (ELSEWHERE,))
    output, look = release(one, codec.decode(one.data), faces, cover(watcher), sink)
    assert (output.faces, output.ghosts, output.rejected) == ((FOUND,), (), (ELSEWHERE,))
    assert look is not None
    assert look.seen == (ELSEWHERE,)
    assert len(watcher.seen) == 1
    copied, _ = release(one, None, Faces((), (ELSEWHERE,)), cover(watcher), sink)
    assert copied.rejected == (ELSEWHERE,)


@pytest.mark.parametrize(
    ("box", "is_ghost"),
    [
        ((70.0, 44.0, 104.0, 80.0), False),  # it touches the box, grown by a quarter: IoU 0.09
        ((60.0, 36.0, 92.0, 72.0), True),  # IoU 0.24
        ((70.0, 40.0, 90.0, 70.0), True),  # just above a tenth
        ((58.0, 40.0, 84.0, 52.0), False),  # exactly a tenth
        ((0.0, 40.0, 20.0, 60.0), False),
    ],
)
def test_what_overlaps_a_cover_a_little_is_another_face(box: Box, is_ghost: bool) -> None:
    one, seen = sample(), Face(box, 0.4, "watcher-1")
    output, _ = release(
        one, codec.decode(one.data), Faces((FOUND,)), cover(Watcher([[seen]])), Memory()
    )
    assert (seen in output.ghosts, seen in output.faces) == (is_ghost, not is_ghost)


def test_a_face_in_the_cover_of_a_ghost_is_a_ghost_too() -> None:
    beside = Face((60.0, 36.0, 92.0, 72.0), 0.4, "watcher-1")
    third = Face((82.0, 50.0, 108.0, 80.0), 0.4, "watcher-1")
    one, watcher = sample(), Watcher([[beside], [third]])
    output, _ = release(one, codec.decode(one.data), Faces((FOUND,)), cover(watcher), Memory())
    assert output.ghosts == (beside, third)


def test_two_faces_that_are_seen_at_once_are_judged_one_after_the_other() -> None:
    twin = Face((98.0, 14.0, 118.0, 34.0), 0.3, "watcher-1")
    one, watcher = sample(), Watcher([[ELSEWHERE, twin]])
    output, _ = release(one, codec.decode(one.data), Faces((FOUND,)), cover(watcher), Memory())
    assert (output.faces, output.ghosts) == ((FOUND, ELSEWHERE), (twin,))


def test_a_image_is_edited_as_the_cover_says() -> None:
    """Its limit of pixels, its policy, and whether it may be encoded again."""
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x0110] = "Camera"
    image = Image.fromarray(scene(np.random.default_rng(3)))
    image.save(out, "JPEG", exif=exif, quality=95)
    jpeg = Sample("a.jpg", "", out.getvalue(), hashlib.sha256(out.getvalue()).hexdigest())
    sink, before = Memory(), codec.decode(jpeg.data)
    as_it_is = cover(Watcher([]))
    output, _ = release(jpeg, before, Faces((FOUND,)), as_it_is, sink)
    assert (output.key, output.digest) == (jpeg.key, jpeg.digest)
    assert output.written == hashlib.sha256(sink.data).hexdigest()
    assert (output.action, output.encoding, output.method) == ("obfuscated", "exact", "gaussian")
    assert b"Camera" not in sink.data
    release(jpeg, before, Faces((FOUND,)), changed(as_it_is, metadata="keep-safe"), sink)
    assert b"Camera" in sink.data
    small = changed(as_it_is, max_pixels=99, metadata="all")
    for faces, looks in ((Faces((FOUND,)), 0), (Faces((FOUND,)), 1), (Faces(()), 1)):
        with pytest.raises(SampleError, match="IMAGE_TOO_LARGE"):
            release(jpeg, before, faces, changed(small, looks=looks), sink)


def of_jpeg(data: bytes) -> Sample:
    return Sample("a.jpg", "", data, hashlib.sha256(data).hexdigest())


def test_a_jpeg_whose_blocks_cannot_be_edited_is_refused_or_encoded_again_as_was_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> bytes:
        raise SampleError(Code.IMAGE_UNSUPPORTED, "arithmetic coding")

    monkeypatch.setattr("sfumato.imaging.codec.writing.edit_blocks", refuse)
    one, sink = of_jpeg(saved(size=(120, 96))), Memory()
    before, refusing = codec.decode(one.data), cover(Watcher([]))
    with pytest.raises(SampleError, match="IMAGE_UNSUPPORTED"):
        release(one, before, Faces((FOUND,)), refusing, sink)
    assert sink.data == b""
    asked = changed(refusing, on_unsupported="reencode")
    output, _ = release(one, before, Faces((FOUND,)), asked, sink)
    assert output.encoding == "reencoded"


def test_a_image_with_a_second_one_in_its_file_leaves_with_one() -> None:
    one, sink = of_jpeg(mpo(saved(size=(120, 96)))), Memory()
    before = codec.decode(one.data)
    assert len(before.frames) == 1
    assert len(codec.embedded_images(one.data)) == 1
    output, _ = release(one, before, Faces((FOUND,)), cover(Watcher([])), sink)
    assert codec.inspect(sink.data).format == "JPEG"
    assert codec.embedded_images(sink.data) == ()
    assert (output.second_images, output.second_images_removed) == (1, 1)


def test_a_image_that_is_larger_than_usual_is_looked_at_as_it_is_edited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, limits, decode = sample(), list[int](), codec.decode
    before = decode(one.data)

    def noting(data: bytes, *, max_pixels: int = MAX_PIXELS) -> codec.DecodedImage:
        limits.append(max_pixels)
        return decode(data, max_pixels=max_pixels)

    monkeypatch.setattr(codec, "decode", noting)
    larger = changed(cover(Watcher([])), max_pixels=2 * MAX_PIXELS)
    release(one, before, Faces((FOUND,)), larger, Memory())
    assert limits == [2 * MAX_PIXELS]


def test_a_image_without_a_face_says_whether_its_bytes_are_the_same() -> None:
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x0110] = "Camera"
    Image.fromarray(scene(np.random.default_rng(3))).save(out, "PNG", exif=exif)
    one = Sample("a.png", "", out.getvalue(), hashlib.sha256(out.getvalue()).hexdigest())
    sink, plain = Memory(), cover(Watcher([]))
    output, look = release(one, None, Faces(()), plain, sink)
    assert look is None
    assert output == Output("a.png", one.digest, one.digest, "copied", "identical", "", ())
    output, _ = release(one, None, Faces(()), changed(plain, metadata="all"), sink)
    assert b"Camera" not in sink.data
    written = hashlib.sha256(sink.data).hexdigest()
    assert output == Output("a.png", one.digest, written, "copied", "exact", "", ())
    clean = sample()
    output, _ = release(clean, None, Faces(()), changed(plain, metadata="all"), sink)
    assert (output.encoding, sink.data) == ("identical", clean.data)


# --- what people rejected -----------------------------------------------------------------------


def detected(*boxes: Box, doubtful: tuple[Box, ...] = ()) -> Detection:
    sure = tuple(Face(box, 0.9, "watcher-1") for box in boxes)
    return Detection(
        "a", "0", 120, 96, sure, tuple(Face(box, 0.1, "watcher-1") for box in doubtful)
    )


def decided(*boxes: Box) -> Decision:
    return Decision("a", "0", tuple(Face(box, 1.0, "human:merged") for box in boxes), "merged")


def test_a_proposal_is_rejected_if_nothing_that_was_decided_is_in_it() -> None:
    far, doubtful = (0.0, 0.0, 20.0, 20.0), (60.0, 60.0, 80.0, 80.0)
    found = detected(BOX, far, doubtful=(doubtful,))
    assert [face.box for face in rejected(found, decided(BOX))] == [far, doubtful]
    assert [face.box for face in rejected(found, decided())] == [BOX, far, doubtful]
    assert rejected(found, decided(BOX, far, doubtful)) == ()


@pytest.mark.parametrize(
    ("proposed", "is_rejected"),
    [
        ((30.0, 24.0, 90.0, 84.0), False),  # all of a small face, in a box far larger
        ((40.0, 40.0, 50.0, 80.0), False),  # just its half
        ((40.0, 40.0, 49.9, 80.0), True),  # a bit less
        ((43.0, 30.0, 63.0, 53.0), False),  # mostly the same box
    ],
)
def test_a_box_that_holds_most_of_a_decided_face_is_not_rejected(
    proposed: Box, is_rejected: bool
) -> None:
    face = (40.0, 30.0, 60.0, 50.0) if proposed[3] != 80 else (40.0, 40.0, 60.0, 60.0)
    far = (100.0, 80.0, 110.0, 90.0)
    assert bool(rejected(detected(proposed), decided(face, far))) is is_rejected


def test_a_image_without_a_face_is_its_own_bytes_and_one_with_a_face_needs_pixels() -> None:
    one, sink, watcher = sample(), Memory(), Watcher([])
    output, _ = release(one, None, Faces(()), cover(watcher), sink)
    assert (output.action, sink.data) == ("copied", one.data)
    with pytest.raises(ValueError, match="must come decoded"):
        release(one, None, Faces((FOUND,)), cover(watcher), sink)


def test_an_edited_file_that_still_holds_a_further_image_never_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, sink, edit = sample(), Memory(), codec.edit
    behind = saved(size=(64, 48))

    def leaving(*given: Any, **options: Any) -> codec.Edited:
        done = edit(*given, **options)
        return replace(done, data=done.data + behind)

    monkeypatch.setattr(codec, "edit", leaving)
    with pytest.raises(SampleError, match="a further image would stay") as refusal:
        release(one, codec.decode(one.data), Faces((FOUND,)), cover(Watcher([]), looks=0), sink)
    assert refusal.value.code is Code.IMAGE_UNSUPPORTED
    assert sink.data == b""


# --- what a copied file holds besides -----------------------------------------------------------

PREVIEW = second_images.encoded(second_images.SHOWN.resize((32, 24)), "JPEG")


def copied(
    data: bytes, asked: Cover, before: codec.DecodedImage | None = None
) -> tuple[Output, bytes]:
    sink = Memory()
    output, look = release(of_jpeg(data), before, Faces((), (ELSEWHERE,)), asked, sink)
    assert look is None
    assert (output.action, output.faces, output.rejected) == ("copied", (), (ELSEWHERE,))
    assert output.written == hashlib.sha256(sink.data).hexdigest()
    return output, sink.data


def test_a_further_image_goes_if_it_shows_a_face_or_nobody_searches_it() -> None:
    whole, data = second_images.JPEG, second_images.JPEG + PREVIEW
    sees, blind = cover(Watcher([[FOUND]])), cover(Watcher([]))
    nobody = replace(blind, detectors=())
    for asked, stays in (
        (blind, True),
        (sees, False),
        (nobody, False),
        (replace(nobody, searchers=[Watcher([])]), True),
        (replace(blind, searchers=[Watcher([[FOUND]])]), False),
        (changed(blind, metadata="all"), False),
    ):
        output, written = copied(data, asked)
        assert written == (data if stays else whole)
        assert output.encoding == ("identical" if stays else "exact")
        assert (output.second_images, output.second_images_removed) == (1, 0 if stays else 1)


def test_of_two_further_images_only_that_with_a_face_goes() -> None:
    exif = b"Exif\0\0" + second_images.previewed(PREVIEW)
    data = second_images.segment(0xE1, exif) + second_images.INNER
    output, written = copied(data, cover(Watcher([[], [FOUND]])))
    assert written == data[: -len(second_images.INNER)]
    assert (output.second_images, output.second_images_removed) == (2, 1)


def test_more_images_than_may_be_searched_go_and_what_is_too_large_to_prove_is_refused() -> None:
    data = second_images.JPEG + PREVIEW
    little = changed(cover(Watcher([])), max_pixels=64 * 48)
    assert copied(data, little)[1] == data
    with pytest.raises(SampleError) as refused:
        copied(data, changed(little, max_pixels=32 * 24 - 1))
    assert refused.value.code is Code.IMAGE_UNSUPPORTED  # nobody can prove that the pixels stay
    with pytest.raises(SampleError) as refused:
        copied(data, changed(little, max_pixels=64 * 48 - 1, metadata="all"))
    assert refused.value.code is Code.IMAGE_TOO_LARGE


@pytest.mark.parametrize("metadata", ["faces", "all"])
def test_what_lies_outside_the_frame_goes_unless_it_was_searched(metadata: Policy) -> None:
    large = concealing.encoded(concealing.image(), "JPEG")
    data = concealing.resized_jpeg(large, concealing.WIDTH, concealing.SHOWN)
    assert codec.concealed(data)
    asked = changed(cover(Watcher([])), metadata=metadata)
    output, written = copied(data, asked)
    assert output.encoding == "exact"
    assert codec.concealed(written) == ()
    assert codec.difference(data, written) == 0


def test_a_further_image_behind_what_is_cut_is_searched_where_it_lies_then() -> None:
    large = concealing.encoded(concealing.image(), "JPEG")
    data = concealing.resized_jpeg(large, concealing.WIDTH, concealing.SHOWN)
    output, written = copied(data + PREVIEW, cover(Watcher([])))
    assert written == copied(data, cover(Watcher([])))[1] + PREVIEW
    assert (output.second_images, output.second_images_removed) == (1, 0)
    output, written = copied(data + PREVIEW, cover(Watcher([[FOUND]])))
    assert written == copied(data, cover(Watcher([])))[1]
    assert (output.second_images, output.second_images_removed) == (1, 1)


def test_a_further_image_is_searched_where_it_lies_once_something_before_it_is_cut() -> None:
    """Between the segments lie bytes of no kind; the image behind the end shows no face."""
    plain = concealing.encoded(concealing.image(), "JPEG")
    scan = plain.index(b"\xff\xda")
    data = plain[:scan] + concealing.secret() + plain[scan:] + PREVIEW
    assert "bytes between segments" in codec.concealed(data)
    output, written = copied(data, cover(Watcher([])))
    assert (output.encoding, written) == ("exact", plain + PREVIEW)
    output, written = copied(data, cover(Watcher([[FOUND]])))
    assert (output.encoding, written) == ("exact", plain)


def test_a_further_image_that_cannot_be_cut_goes_if_it_would_go_anyway() -> None:
    """Its coded data go on behind its last column, and no block tells where."""
    wide = concealing.encoded(concealing.image(), "JPEG", progressive=True)
    behind = concealing.resized_jpeg(wide, concealing.SHOWN, concealing.WHOLE)
    large = concealing.encoded(concealing.image(), "JPEG")
    cuttable = concealing.resized_jpeg(large, concealing.WIDTH, concealing.SHOWN)
    for whole, wanted in (
        (second_images.JPEG, second_images.JPEG),
        (cuttable, codec.trimmed(cuttable)),
    ):
        for asked in (cover(Watcher([[FOUND]])), replace(cover(Watcher([])), detectors=())):
            output, written = copied(whole + behind, asked)
            assert (output.encoding, written) == ("exact", wanted)
            assert output.second_images_removed == 1
        with pytest.raises(SampleError, match="that can't be cut away safely") as refused:
            copied(whole + behind, cover(Watcher([])))
        assert refused.value.code is Code.IMAGE_UNSUPPORTED


def test_only_coded_data_that_were_followed_to_their_end_are_believed() -> None:
    large = concealing.encoded(concealing.image(), "JPEG")
    data = concealing.resized_jpeg(large, concealing.WIDTH, concealing.SHOWN)
    before = codec.decode(data)
    output, written = copied(data, cover(Watcher([])), replace(before, whole=False))
    assert (output.encoding, codec.concealed(written)) == ("exact", ())
    output, written = copied(data, cover(Watcher([])), replace(before, whole=True))
    assert (output.encoding, written) == ("identical", data)
    little = changed(cover(Watcher([])), max_pixels=concealing.WIDTH * concealing.SHOWN - 1)
    with pytest.raises(SampleError) as refused:
        copied(data, little)
    assert refused.value.code is Code.IMAGE_UNSUPPORTED  # nobody can prove that the pixels stay


def test_a_heic_without_a_face_leaves_as_a_jpeg() -> None:
    pytest.importorskip("pi_heif")
    output, written = copied(heic_files.PLAIN, cover(Watcher([])))
    assert output.encoding == "reencoded"
    assert codec.sniff(written[: codec.HEAD]) == "JPEG"


def test_what_is_left_of_a_face_is_measured_where_most_of_it_shows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = codec.decode(sample().data)
    shown = image.frames[0]
    covered, bare = (shown, np.full_like(shown, 128)), (shown, shown)
    for pairs in ([covered, bare], [bare, covered]):
        monkeypatch.setattr(codec, "pairs", lambda *_, pairs=pairs: pairs)
        (left,) = left_of(image, image, [BOX])
        assert left > LIMIT
    monkeypatch.setattr(codec, "pairs", lambda *_: [covered])
    assert left_of(image, image, [BOX])[0] < LIMIT


@pytest.mark.parametrize("looks", [0, 3])
def test_what_a_check_saw_in_a_cover_is_covered_also_if_nobody_sees_it_now(looks: int) -> None:
    one, sink = sample(), Memory()
    faces = Faces((FOUND,), again=(ON_THE_COVER,))
    chosen = cover(Watcher([]), looks=looks)
    output, _ = release(one, codec.decode(one.data), faces, chosen, sink)
    assert (output.faces, output.ghosts) == ((FOUND,), (ON_THE_COVER,))
    both = Gaussian()(codec.decode(one.data).frames[0], [BOX, ON_THE_COVER.box])
    assert np.array_equal(codec.decode(sink.data).frames[0], both)


def test_what_a_check_saw_is_covered_by_itself_too_and_judged_one_after_the_other() -> None:
    one, chosen = sample(), cover(Watcher([]), looks=0)
    twin = Face((98.0, 14.0, 118.0, 34.0), 0.3, "watcher-1")
    beside = Face((60.0, 36.0, 92.0, 72.0), 0.4, "watcher-1")
    third = Face((82.0, 50.0, 108.0, 80.0), 0.4, "watcher-1")
    for final, again, faces, ghosts in (
        ((), (ELSEWHERE,), (ELSEWHERE,), ()),
        ((FOUND,), (ELSEWHERE,), (FOUND, ELSEWHERE), ()),
        ((FOUND,), (beside, third), (FOUND,), (beside, third)),
        ((), (ELSEWHERE, twin), (ELSEWHERE, twin), ()),
    ):
        wanted, sink = Faces(final, again=again), Memory()
        output, _ = release(one, codec.decode(one.data), wanted, chosen, sink)
        assert (output.faces, output.ghosts) == (faces, ghosts)
        assert (output.action, sink.data != one.data) == ("obfuscated", True)


@pytest.mark.parametrize("known", ["final", "again"])
def test_what_cannot_be_a_box_of_the_image_is_refused_before_anybody_looks(known: str) -> None:
    one, sink, watcher = sample(), Memory(), Watcher([])
    outside = Face((110.0, 10.0, 140.0, 30.0), 0.9, "file")
    many = tuple(Face((x / 1000, 1.0, 20.0, 20.0), 0.9, "file") for x in range(MOST_BOXES + 1))
    wrong = [(outside,), many] if known == "final" else [(outside,)]
    for boxes in wrong:
        faces = Faces(boxes) if known == "final" else Faces((), again=boxes)
        with pytest.raises(SampleError) as refused:
            release(one, codec.decode(one.data), faces, cover(watcher), sink)
        assert refused.value.code is Code.BOXES_MISSING
        assert (watcher.seen, sink.data) == ([], b"")


def test_a_file_that_covering_leaves_as_it_was_is_a_copy_only_where_nothing_was_to_be_covered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nothing(data: bytes, *_: object, **__: object) -> codec.Edited:
        return codec.Edited(data, "exact")

    monkeypatch.setattr(codec, "edit", nothing)
    faces, chosen, one = Faces((FOUND,), (ELSEWHERE,)), cover(Watcher([]), looks=0), sample()
    sink, out = Memory(), io.BytesIO()
    with pytest.raises(SampleError) as refused:
        release(one, codec.decode(one.data), faces, chosen, sink)
    assert (refused.value.code, sink.data) == (Code.IMAGE_ENCODE, b"")
    Image.new("RGB", (120, 96), (90, 120, 30)).save(out, "PNG")
    beside = Faces((replace(FOUND, box=(1.0, 1.0, 3.0, 3.0)), FOUND))  # the first is flat, in black
    pixels = scene(np.random.default_rng(3))
    pixels[:4, :4] = 0
    half = of_png(pixels)
    with pytest.raises(SampleError) as refused:
        release(half, codec.decode(half.data), beside, chosen, sink)
    assert (refused.value.code, sink.data) == (Code.IMAGE_ENCODE, b"")
    flat = Sample("a.png", "", out.getvalue(), hashlib.sha256(out.getvalue()).hexdigest())
    output, look = release(flat, codec.decode(flat.data), faces, chosen, sink)
    assert (output.action, output.faces, output.rejected) == ("copied", (FOUND,), (ELSEWHERE,))
    assert (look, sink.data) == (None, flat.data)
