"""Where each check of one image begins to fail, to the pixel and the grey level."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sfumato.boxes import grow
from sfumato.detection.in_hand import Look
from sfumato.errors import Code, SampleError
from sfumato.imaging import codec
from sfumato.obfuscation import METHODS, Gaussian, strength
from sfumato.types import Box, Encoding, Face, Finding, Output, Pixels, Sample
from sfumato.verification.checks import Checks, changed_outside, verify
from tests.concealing import resized_jpeg
from tests.dataset import BOX, scene
from tests.jpeg_images import saved
from tests.recipes import changed, recipe
from tests.second_images import FILM

FACE = Face(BOX, 1.0, "file")
REACH = Gaussian().reaches([BOX])[0]
LEFT, TOP, RIGHT, BOTTOM = (*np.floor(REACH[:2]).astype(int), *np.ceil(REACH[2:]).astype(int))


@dataclass
class Seeing:
    """A detector that sees the same faces in each image, and counts how often it looked."""

    faces: list[Face] = field(default_factory=list)
    looks: int = 0
    name: str = "seeing-1"

    def detect(self, images: Sequence[Pixels]) -> list[list[Face]]:
        self.looks += len(images)
        return [self.faces for _ in images]


def png(pixels: Pixels, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", **options)
    return out.getvalue()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def checks(*faces: Face, **settings: object) -> Checks:
    made = Checks(recipe(searched=False, max_pixels=10**6), Gaussian(), [Seeing(list(faces))])
    return changed(made, **settings)


def sample_of(data: bytes) -> Sample:
    return Sample("a", "", data, sha256(data))


def edited(source: bytes, written: bytes, encoding: Encoding = "exact") -> Output:
    digests = (sha256(source), sha256(written))
    return Output("a", *digests, "obfuscated", encoding, "gaussian", (FACE,))


def failed(found: Sequence[Finding]) -> set[Code]:
    assert all(one.passed == (one.value <= one.limit) for one in found)
    assert all(one.key == "a" for one in found)
    return {one.code for one in found if not one.passed}


def the(found: Sequence[Finding], code: Code) -> Finding:
    (one,) = (one for one in found if one.code is code)
    return one


SOURCE = png(scene(np.random.default_rng(3)))
BEFORE = codec.decode(SOURCE)
RIGHT_ONE = codec.edit(SOURCE, [BOX], Gaussian()).data


def after_changes(changes: Sequence[tuple[slice, slice, int]], encoding: Encoding) -> list[Finding]:
    """Verify a right image of which some places differ by so many grey levels."""
    pixels = codec.decode(RIGHT_ONE).frames[0].astype(int)
    for rows, columns, levels in changes:
        part = BEFORE.frames[0][rows, columns].astype(int)
        dark = part.max(axis=2, keepdims=True) <= 255 - levels
        pixels[rows, columns] = np.where(dark, part + levels, part - levels)
    written = png(np.clip(pixels, 0, 255).astype(np.uint8))
    return verify(sample_of(SOURCE), BEFORE, written, edited(SOURCE, written, encoding), checks())


# --- away from faces ----------------------------------------------------------------------------


def test_in_a_image_that_was_encoded_again_a_cell_may_move_by_four_levels() -> None:
    cell = (slice(0, 8), slice(112, 120))
    assert failed(after_changes([(*cell, 3)], "reencoded")) == set()
    less = [(*cell, 4), (slice(0, 1), slice(112, 113), 3)]  # 3.98
    assert failed(after_changes(less, "reencoded")) == set()
    more = [(*cell, 4), (slice(0, 1), slice(112, 113), 5)]  # 4.02
    found = after_changes(more, "reencoded")
    assert failed(found) == {Code.VERIFY_PIXELS_CHANGED}
    moved = the(found, Code.VERIFY_PIXELS_CHANGED)
    assert moved.value == pytest.approx(4 + 1 / 64, abs=1e-3)
    assert moved.limit == 4
    # Elsewhere in the image, whatever the other cells do.
    assert failed(after_changes([(slice(88, 96), slice(0, 8), 5)], "reencoded")) != set()
    assert failed(after_changes([(*cell, 1)], "exact")) == {Code.VERIFY_PIXELS_CHANGED}


def test_beside_a_face_a_image_that_was_encoded_again_may_change_for_16_pixels() -> None:
    rows = slice(TOP, BOTTOM)
    for near, far in ((RIGHT + 15, RIGHT + 16), (LEFT - 16, LEFT - 17)):
        assert failed(after_changes([(rows, slice(near, near + 1), 90)], "reencoded")) == set()
        found = after_changes([(rows, slice(far, far + 1), 90)], "reencoded")
        assert failed(found) == {Code.VERIFY_PIXELS_CHANGED}


@pytest.mark.parametrize("cell", [1, 8])
@pytest.mark.parametrize(
    ("reach", "rows", "columns"),
    [
        ((8.2, 16.2, 12.8, 20.8), (16, 21), (8, 13)),  # whole pixels, outwards
        ((-30.0, -30.0, 10.0, 10.0), (0, 10), (0, 10)),
        ((-30.0, 5.0, -20.0, 30.0), (0, 0), (0, 0)),  # nothing of it lies inside
        ((5.0, -30.0, 30.0, -20.0), (0, 0), (0, 0)),
        ((-30.0, 5.0, 0.0, 30.0), (0, 0), (0, 0)),
        ((70.0, 5.0, 90.0, 30.0), (0, 0), (0, 0)),
    ],
)
def test_what_changes_inside_a_reach_is_passed_over_and_what_changes_beside_it_is_not(
    cell: int, reach: Box, rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    before = np.full((40, 48, 3), 90, dtype=np.uint8)
    inside = np.zeros((40, 48), dtype=bool)
    inside[slice(*rows), slice(*columns)] = True
    after = np.where(inside[..., None], np.uint8(200), before)
    assert changed_outside(before, after, [reach], fringe=0, cell=cell) == 0
    for row, column in ((0, 0), (0, 47), (39, 0), (39, 47), (16, 13), (21, 8), (0, 10), (10, 0)):
        if not inside[row, column]:
            other = after.copy()
            other[row, column] += 64
            found = changed_outside(before, other, [reach], fringe=0, cell=cell)
            assert found == pytest.approx(64 / cell**2, abs=1e-4)


def test_an_exact_edit_changes_nothing_beyond_its_reach() -> None:
    rows = slice(TOP, BOTTOM)
    for at in (LEFT - 1, RIGHT):
        found = after_changes([(rows, slice(at, at + 1), 1)], "exact")
        assert failed(found) == {Code.VERIFY_PIXELS_CHANGED}
        changed = the(found, Code.VERIFY_PIXELS_CHANGED)
        assert (changed.value, changed.limit) == (1, 0)
    # Under a ghost it may.
    ghost = Face((2.0, 2.0, 12.0, 12.0), 1.0, "file")
    written = codec.edit(SOURCE, [BOX, ghost.box], Gaussian()).data
    output = edited(SOURCE, written)
    assert failed(verify(sample_of(SOURCE), BEFORE, written, output, checks())) != set()
    output = replace(output, ghosts=(ghost,))
    assert failed(verify(sample_of(SOURCE), BEFORE, written, output, checks())) == set()


@pytest.mark.parametrize(
    ("sampling", "fringe"), [(0, 9), (1, 17), (2, 17)], ids=["4:4:4", "4:2:2", "4:2:0"]
)
def test_an_exact_jpeg_changes_by_whole_blocks_and_a_pixel_more(sampling: int, fringe: int) -> None:
    source = saved(size=(160, 96), quality=90, subsampling=sampling)
    before, written = codec.decode(source), codec.edit(source, [BOX], Gaussian())
    for at, expected in (
        (RIGHT + fringe - 1, set()),
        (RIGHT + fringe, {Code.VERIFY_PIXELS_CHANGED}),
        (LEFT - fringe, set()),
        (LEFT - fringe - 1, {Code.VERIFY_PIXELS_CHANGED}),
    ):
        pixels = before.frames[0].copy()
        pixels[50, at, 1] ^= 1
        look = Look(replace(before, frames=(pixels,)), (), (0.0,))
        output = edited(source, written.data)
        found = verify(sample_of(source), before, written.data, output, checks(), look=look)
        assert failed(found) == expected


def test_another_size_is_another_image() -> None:
    pixels = codec.decode(RIGHT_ONE).frames[0]
    for other in (pixels[:-1], pixels[:, :-1]):
        written = png(other)
        found = verify(sample_of(SOURCE), BEFORE, written, edited(SOURCE, written), checks())
        assert failed(found) == {Code.VERIFY_PIXELS_CHANGED}
        changed = the(found, Code.VERIFY_PIXELS_CHANGED)
        assert (changed.value, changed.limit) == (255, 0)
        assert changed.detail == f"{other.shape[1]}×{other.shape[0]} instead of 120×96"
        assert Code.VERIFY_STRENGTH not in {one.code for one in found}


# --- what was seen before -----------------------------------------------------------------------


def test_the_same_bytes_are_not_looked_at_twice_and_others_are() -> None:
    look = Look(codec.decode(RIGHT_ONE), (), (0.1,))
    output, asked = edited(SOURCE, RIGHT_ONE), checks(FACE)
    (detector,) = asked.detectors
    assert isinstance(detector, Seeing)
    found = verify(sample_of(SOURCE), BEFORE, RIGHT_ONE, output, asked, look=look)
    assert failed(found) == set()
    assert detector.looks == 0
    assert the(found, Code.VERIFY_STRENGTH).value == 0.1
    # Not searched: the detectors do it now.
    unsearched = replace(look, seen=None)
    found = verify(sample_of(SOURCE), BEFORE, RIGHT_ONE, output, asked, look=unsearched)
    assert failed(found) == {Code.VERIFY_FACE_FOUND}
    assert detector.looks == 1
    # Other bytes: nothing that was seen before counts.
    found = verify(sample_of(SOURCE), BEFORE, SOURCE, output, asked, look=look)
    assert failed(found) == {
        Code.VERIFY_BYTES_CHANGED,
        Code.VERIFY_STRENGTH,
        Code.VERIFY_FACE_FOUND,
    }
    assert detector.looks == 2


def test_of_several_faces_the_worst_counts_and_its_limit_is_the_methods() -> None:
    two = (FACE, Face((90.0, 10.0, 110.0, 30.0), 1.0, "file"))
    output = replace(edited(SOURCE, RIGHT_ONE), faces=two)
    found = verify(sample_of(SOURCE), BEFORE, RIGHT_ONE, output, checks())
    assert failed(found) == {Code.VERIFY_STRENGTH}
    measured = the(found, Code.VERIFY_STRENGTH)
    assert measured.value == pytest.approx(1, abs=0.05)
    assert measured.limit == 0.2
    for left, limit, method in ((0.2, 0.2, "gaussian"), (0.8, 0.8, "imagenet")):
        look = Look(codec.decode(RIGHT_ONE), (), (0.0, left))
        output = replace(output, method=method)
        found = verify(sample_of(SOURCE), BEFORE, RIGHT_ONE, output, checks(), look=look)
        assert failed(found) <= {Code.VERIFY_PIXELS_CHANGED}
        assert the(found, Code.VERIFY_STRENGTH).limit == limit == METHODS[method].limit


def test_a_box_that_lies_mostly_outside_is_named() -> None:
    """The image is 120 pixels wide and 96 high."""
    for box, outside in (
        ((95.0, 40.0, 119.0, 60.0), False),
        ((40.0, 90.0, 60.0, 110.0), True),
        ((110.0, 40.0, 140.0, 60.0), True),
    ):
        output = replace(edited(SOURCE, RIGHT_ONE), faces=(Face(box, 1.0, "file"),))
        found = verify(sample_of(SOURCE), BEFORE, RIGHT_ONE, output, checks())
        assert bool(the(found, Code.VERIFY_STRENGTH).detail) is outside


def test_what_is_called_obfuscated_is_not_the_source_even_where_there_is_nothing_to_see() -> None:
    flat = png(np.full((96, 120, 3), 90, dtype=np.uint8))
    found = verify(sample_of(flat), codec.decode(flat), flat, edited(flat, flat), checks())
    assert failed(found) == {Code.VERIFY_STRENGTH}
    measured = the(found, Code.VERIFY_STRENGTH)
    assert (measured.value, measured.limit) == (1.0, strength.LIMIT)
    assert measured.detail == "obfuscated, with the bytes of the source"


# --- faces that are still seen ------------------------------------------------------------------


def test_what_is_seen_is_counted_at_faces_and_elsewhere() -> None:
    x0, y0, x1, y1 = grow(BOX, 0.25)
    near = Face((x0, y0, x1, y1), 0.4, "seeing-1")
    far = Face((90.0, 2.0, 110.0, 18.0), 0.875, "seeing-1")
    output = edited(SOURCE, RIGHT_ONE)
    asked = checks(near, far)
    found = verify(sample_of(SOURCE), BEFORE, RIGHT_ONE, output, asked)
    seen = the(found, Code.VERIFY_FACE_FOUND)
    assert (seen.passed, seen.value, seen.limit) == (False, 2, 0)
    assert seen.detail == (
        "1 at an obfuscated face, 1 elsewhere; the best has score 0.88 by seeing-1 "
        "at 90, 2, 110, 18"
    )
    # What people said is no face is none, in its place.
    output = replace(output, rejected=(far,))
    found = verify(sample_of(SOURCE), BEFORE, RIGHT_ONE, output, asked)
    assert the(found, Code.VERIFY_FACE_FOUND).value == 1
    output = replace(output, rejected=(far, near))
    assert failed(verify(sample_of(SOURCE), BEFORE, RIGHT_ONE, output, asked)) == set()


def test_a_face_is_at_an_obfuscated_one_if_they_share_more_than_a_tenth() -> None:
    """Of both together, the obfuscated one grown by a quarter to each side."""
    above, exactly, below = (
        (70.0, 40.0, 90.0, 70.0),
        (58.0, 40.0, 84.0, 52.0),
        (70.0, 44.0, 104.0, 80.0),
    )
    whole, far = grow(BOX, 0.25), (100.0, 2.0, 118.0, 18.0)
    cases: list[tuple[list[Box], str]] = [
        ([above], "1 at an obfuscated face, 0 elsewhere;"),
        ([exactly], "0 at an obfuscated face, 1 elsewhere;"),
        ([below], "0 at an obfuscated face, 1 elsewhere;"),
        ([whole, above, far], "2 at an obfuscated face, 1 elsewhere;"),
    ]
    for places, words in cases:
        asked = checks(*(Face(place, 0.5, "seeing-1") for place in places))
        found = verify(sample_of(SOURCE), BEFORE, RIGHT_ONE, edited(SOURCE, RIGHT_ONE), asked)
        assert the(found, Code.VERIFY_FACE_FOUND).detail.startswith(words)
    none = verify(sample_of(SOURCE), BEFORE, RIGHT_ONE, edited(SOURCE, RIGHT_ONE), checks())
    assert {one.detail for one in none} == {""}


def test_a_face_at_a_ghost_is_at_an_obfuscated_one() -> None:
    ghost = Face((90.0, 10.0, 110.0, 30.0), 0.5, "seeing-1")
    written = codec.edit(SOURCE, [BOX, ghost.box], Gaussian()).data
    output = replace(edited(SOURCE, written), ghosts=(ghost,))
    found = verify(sample_of(SOURCE), BEFORE, written, output, checks(ghost))
    assert the(found, Code.VERIFY_FACE_FOUND).detail.startswith("1 at an obfuscated face, 0 else")


# --- copies -------------------------------------------------------------------------------------


def copied(source: bytes, written: bytes, encoding: Encoding = "identical") -> Output:
    return Output("a", sha256(source), sha256(written), "copied", encoding, "", ())


def test_a_copy_is_searched_unless_its_source_was() -> None:
    output = copied(SOURCE, SOURCE)
    found = verify(sample_of(SOURCE), None, SOURCE, output, checks(FACE))
    assert failed(found) == {Code.VERIFY_FACE_FOUND}
    assert the(found, Code.VERIFY_FACE_FOUND).faces == (FACE,)  # to be covered on request
    found = verify(sample_of(SOURCE), None, SOURCE, output, checks(FACE, searched=True))
    assert [(one.code, one.passed) for one in found] == [(Code.VERIFY_BYTES_CHANGED, True)]
    assert found[0].digest == sha256(SOURCE)
    # A file that isn't the copy is searched all the same.
    found = verify(sample_of(SOURCE), None, RIGHT_ONE, output, checks(FACE, searched=True))
    assert failed(found) == {Code.VERIFY_BYTES_CHANGED, Code.VERIFY_FACE_FOUND}


def test_a_copy_with_boxes_is_one_only_where_they_hold_nothing() -> None:
    flat, half = BEFORE.frames[0].copy(), BEFORE.frames[0].copy()
    flat[:] = (90, 120, 30)
    half[:4, :4] = 0
    corner = Face((0.0, 0.0, 4.0, 4.0), 1.0, "file")
    for pixels, faces, shown in (
        (flat, (FACE,), False),
        (flat, (FACE, corner), False),
        (half, (corner,), False),
        (half, (FACE,), True),
        (half, (corner, FACE), True),
        (half, (FACE, corner), True),
        (BEFORE.frames[0], (FACE, corner), True),
    ):
        source = png(pixels)
        output = replace(copied(source, source), faces=faces)
        for before in (None, codec.decode(source)):
            found = verify(sample_of(source), before, source, output, checks(searched=True))
            assert failed(found) == ({Code.VERIFY_STRENGTH} if shown else set())
            one = the(found, Code.VERIFY_STRENGTH)
            assert (one.value, one.limit) == (float(shown), strength.LIMIT)
            assert one.detail == ("copied although its boxes hold something" if shown else "")


def test_a_copy_with_boxes_whose_source_cannot_be_read_has_passed_nothing() -> None:
    for source, settings in ((b"gone", {}), (SOURCE, {"max_pixels": 100})):
        output = replace(copied(source, source), faces=(FACE,))
        found = verify(sample_of(source), None, source, output, checks(**settings))
        unread = [one for one in found if one.code is Code.VERIFY_UNREADABLE]
        assert unread
        assert all((one.value, one.limit, bool(one.detail)) == (1, 0, True) for one in unread)
        assert Code.VERIFY_STRENGTH not in {one.code for one in found}


def test_that_the_source_was_searched_proves_nothing_of_an_edited_file() -> None:
    found = verify(
        sample_of(SOURCE), BEFORE, SOURCE, edited(SOURCE, SOURCE), checks(FACE, searched=True)
    )
    assert failed(found) == {Code.VERIFY_STRENGTH, Code.VERIFY_FACE_FOUND}


def test_a_copy_in_which_something_failed_is_searched_all_the_same() -> None:
    source = png(BEFORE.frames[0], exif=TAGGED)
    asked = checks(FACE, searched=True, metadata="all")
    found = verify(sample_of(source), None, source, copied(source, source), asked)
    assert failed(found) == {Code.VERIFY_METADATA, Code.VERIFY_FACE_FOUND}


def test_what_cannot_be_read_is_said_beside_what_was_found_before() -> None:
    found = verify(sample_of(SOURCE), BEFORE, b"gone", edited(SOURCE, RIGHT_ONE), checks())
    assert [(one.code, one.value, one.limit) for one in found] == [
        (Code.VERIFY_BYTES_CHANGED, 1, 0),
        (Code.VERIFY_UNREADABLE, 1, 0),
    ]
    with pytest.raises(ValueError, match="source"):
        verify(sample_of(SOURCE), None, RIGHT_ONE, edited(SOURCE, RIGHT_ONE), checks())


TAGGED = Image.Exif()
TAGGED[0x0110] = "Camera"


def test_a_copy_may_be_another_file_only_where_all_metadata_go() -> None:
    source = png(BEFORE.frames[0], exif=TAGGED)
    clean = codec.strip(source, max_pixels=10**6)
    output = copied(source, clean, "exact")
    all_goes = checks(searched=True, metadata="all")
    assert failed(verify(sample_of(source), None, clean, output, all_goes)) == set()
    for policy in ("faces", "keep-safe"):
        found = verify(sample_of(source), None, clean, output, checks(metadata=policy))
        assert failed(found) == {Code.VERIFY_BYTES_CHANGED}
    said_to_be_the_same = replace(output, encoding="identical")
    found = verify(sample_of(source), None, clean, said_to_be_the_same, all_goes)
    assert failed(found) == {Code.VERIFY_BYTES_CHANGED}


def test_a_copy_of_which_all_metadata_should_be_gone_is_clean_and_has_its_pixels() -> None:
    source = png(BEFORE.frames[0], exif=TAGGED)
    all_goes = checks(searched=True, metadata="all")

    def found_in(written: bytes) -> list[Finding]:
        output = copied(source, written, "exact")
        return verify(sample_of(source), None, written, output, all_goes)

    assert failed(found_in(source)) == {Code.VERIFY_METADATA}
    pixels = BEFORE.frames[0].copy()
    pixels[5, 5, 0] ^= 1
    moved = found_in(png(pixels))
    assert failed(moved) == {Code.VERIFY_PIXELS_CHANGED}
    change = the(moved, Code.VERIFY_PIXELS_CHANGED)
    assert (change.value, change.limit, change.detail) == (1, 0, "")
    smaller = the(found_in(png(pixels[:-1])), Code.VERIFY_PIXELS_CHANGED)
    assert (smaller.passed, smaller.value) == (False, 255)
    assert "size" in smaller.detail
    assert (smaller.limit, smaller.passed) == (0, False)
    unread = the(found_in(source[:-20]), Code.VERIFY_UNREADABLE)
    assert (unread.value, unread.limit, unread.passed) == (1, 0, False)
    clean, small = png(BEFORE.frames[0]), changed(all_goes, max_pixels=99)
    output = copied(source, clean, "exact")
    found = verify(sample_of(source), None, clean, output, small)
    assert failed(found) == {Code.VERIFY_UNREADABLE}
    moving = several("PNG", BEFORE.frames[0], pixels)
    output = copied(moving, moving)
    assert failed(verify(sample_of(moving), None, moving, output, all_goes)) == set()


def several(kind: str, first: Pixels, second: Pixels) -> bytes:
    out = io.BytesIO()
    others = [Image.fromarray(second)]
    Image.fromarray(first).save(out, kind, save_all=True, append_images=others)
    return out.getvalue()


def deep_png(pixels: Pixels) -> bytes:
    """A grey PNG of 16 bits a channel."""
    out = io.BytesIO()
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(out, "PNG")
    return out.getvalue()


def test_a_copy_of_16_bits_was_searched_only_if_it_was_decoded() -> None:
    """Detection once looked at the high bytes alone; a copy that lies there may be from then."""
    asked = checks(FACE, searched=True)
    deep = deep_png(BEFORE.frames[0])
    tiff = io.BytesIO()
    Image.open(io.BytesIO(deep)).save(tiff, "TIFF")
    for source, expected in (
        (deep, {Code.VERIFY_FACE_FOUND}),
        (tiff.getvalue(), {Code.VERIFY_FACE_FOUND}),
        (SOURCE, set()),
    ):
        output = copied(source, source)
        assert failed(verify(sample_of(source), None, source, output, asked)) == expected
    # What can't be told counts as one of them.
    small = changed(asked, max_pixels=99)
    found = verify(sample_of(SOURCE), None, SOURCE, copied(SOURCE, SOURCE), small)
    assert failed(found) == {Code.VERIFY_UNREADABLE}
    # In other formats no more bits than 8 are read, and nothing is asked again.
    other = saved(size=(96, 64), quality=90)
    output = copied(other, other)
    assert failed(verify(sample_of(other), None, other, output, asked)) == set()
    assert failed(verify(sample_of(other), None, other, output, small)) == set()
    decoded = codec.decode(deep)
    assert failed(verify(sample_of(deep), decoded, deep, copied(deep, deep), asked)) == set()


def test_a_file_is_looked_through_for_further_images_unless_that_was_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[bytes] = []

    def none_in(data: bytes) -> tuple[codec.Embedded, ...]:
        asked.append(data)
        return ()

    monkeypatch.setattr(codec, "embedded_images", none_in)
    look, edit = Look(codec.decode(RIGHT_ONE), (), (0.1,)), edited(SOURCE, RIGHT_ONE)
    copy = copied(SOURCE, SOURCE)
    searched = checks(searched=True)

    def looked(output: Output, written: bytes, *, seen: bool, decoded: bool = True) -> int:
        asked.clear()
        before = BEFORE if decoded else None
        told = look if seen else None
        verify(sample_of(SOURCE), before, written, output, searched, look=told)
        assert set(asked) <= {written}
        return len(asked)

    # What was released a moment ago, and a copy that was decoded just now.
    assert looked(edit, RIGHT_ONE, seen=True) == 0
    assert looked(copy, SOURCE, seen=False) == 0
    # Unless some of them are still there, or these are other bytes.
    for removed, times in ((0, 1), (1, 1), (2, 0)):
        held = replace(edit, second_images=2, second_images_removed=removed)
        assert looked(held, RIGHT_ONE, seen=True) == times
        held = replace(copy, second_images=2, second_images_removed=removed)
        assert looked(held, SOURCE, seen=False) == times
    assert looked(edit, RIGHT_ONE, seen=False) == 1
    assert looked(copy, SOURCE, seen=False, decoded=False) == 1
    assert looked(edit, SOURCE, seen=True) == 1
    assert looked(copy, RIGHT_ONE, seen=False) == 1


def test_a_further_image_in_a_file_is_searched_unless_it_was() -> None:
    first, second = (saved(size=(40, side), quality=90) for side in (40, 48))
    source = SOURCE + first
    assert len(codec.embedded_images(source)) == 1
    output = replace(copied(source, source), second_images=1)

    def found_in(written: bytes, said: Output, *faces: Face, searched: bool) -> Finding:
        asked = checks(*faces, searched=searched)
        return the(verify(sample_of(written), None, written, said, asked), Code.VERIFY_SECOND_IMAGE)

    seen = found_in(source, output, FACE, searched=False)
    assert (seen.passed, seen.value, seen.limit) == (False, 1, 0)
    assert seen.detail == "JPEG behind the end"
    assert found_in(source, output, searched=False).passed
    assert found_in(source, output, FACE, searched=True).passed  # by these detectors, and stayed
    for told in (
        replace(output, second_images=0),
        replace(output, second_images_removed=1),
        replace(output, written="f" * 64),
    ):
        assert not found_in(source, told, FACE, searched=True).passed
    # Twice the same kind is named once; more than were searched are searched.
    twice = SOURCE + first + second
    named = replace(copied(twice, twice), second_images=1)
    seen = found_in(twice, named, FACE, searched=True)
    assert (seen.value, seen.detail) == (2, "JPEG behind the end")
    assert found_in(twice, replace(named, second_images=2), FACE, searched=True).passed
    assert found_in(twice, replace(named, second_images=3), FACE, searched=True).passed
    # What nobody can search never passes, whoever says so.
    film = SOURCE + FILM
    seen = found_in(film, replace(copied(film, film), second_images=1), searched=True)
    assert (seen.passed, seen.value) == (False, 1)
    both = SOURCE + FILM + first
    said = replace(copied(both, both), second_images=2)
    kinds = found_in(both, said, FACE, searched=False).detail
    assert kinds == ", ".join(one.kind for one in codec.embedded_images(both))


def test_what_lies_outside_the_frame_of_a_copy_is_named_unless_decoding_took_it_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clean = saved(size=(96, 64), quality=90)
    hiding = resized_jpeg(saved(size=(96, 160), quality=90), 96, 64)
    whole, other = codec.decode(clean), codec.decode(hiding)
    assert whole.whole
    assert not other.whole
    searched = checks(searched=True)

    def found_in(source: bytes, written: bytes, before: Any, output: Output) -> set[Code]:
        return failed(verify(sample_of(source), before, written, output, searched))

    for before in (None, other):
        found = found_in(hiding, hiding, before, copied(hiding, hiding))
        assert found == {Code.VERIFY_METADATA}
    # Of other bytes than those that were decoded nothing is known.
    replaced = {Code.VERIFY_METADATA, Code.VERIFY_BYTES_CHANGED}
    assert found_in(clean, hiding, whole, copied(clean, clean)) == replaced
    assert found_in(clean, hiding, whole, copied(clean, hiding)) == replaced
    looked: list[bytes] = []

    def nothing_in(data: bytes) -> tuple[str, ...]:
        looked.append(data)
        return ()

    for module in (codec, codec.metadata):
        monkeypatch.setattr(module, "concealed", nothing_in)
    assert found_in(clean, clean, whole, copied(clean, clean)) == set()
    assert looked == []  # decoding it has told
    written = codec.edit(clean, [BOX], Gaussian()).data
    looked.clear()
    verify(sample_of(clean), whole, written, edited(clean, written), checks())
    assert looked == []
    assert found_in(clean, clean, None, copied(clean, clean)) == set()
    assert looked == [clean]


def test_a_copy_may_be_cut_where_its_source_hides_something(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clean = saved(size=(96, 64), quality=90)
    hiding = clean[:-2] + bytes(range(256)) + clean[-2:]
    assert codec.concealed(hiding)
    output = copied(hiding, clean, "exact")
    assert failed(verify(sample_of(hiding), None, clean, output, checks())) == set()

    def unreadable(_: bytes) -> tuple[str, ...]:
        raise SampleError(Code.IMAGE_DECODE, "broken")

    # What can't be read hides nothing that anybody could have cut.
    monkeypatch.setattr(codec, "concealed", unreadable)
    found = verify(sample_of(hiding), None, clean, output, checks())
    assert failed(found) == {Code.VERIFY_BYTES_CHANGED, Code.VERIFY_UNREADABLE}
    cut = the(found, Code.VERIFY_UNREADABLE)
    assert (cut.value, cut.limit, cut.detail) == (1, 0, "broken")


def test_a_copy_of_which_a_further_image_went_is_compared_with_its_source() -> None:
    source = SOURCE + saved(size=(40, 40), quality=90)
    output = replace(copied(source, SOURCE, "exact"), second_images=1, second_images_removed=1)
    found = verify(sample_of(source), None, SOURCE, output, checks(searched=True))
    assert failed(found) == set()
    assert the(found, Code.VERIFY_PIXELS_CHANGED).value == 0
    stayed = replace(output, second_images=0, second_images_removed=0)
    found = verify(sample_of(source), None, SOURCE, stayed, checks(searched=True))
    assert failed(found) == {Code.VERIFY_BYTES_CHANGED}


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0heicmif1"


def jpeg(pixels: Pixels, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=95, subsampling=0, **options)
    return out.getvalue()


def test_a_heic_without_a_face_becomes_a_jpeg_that_shows_the_same() -> None:
    assert codec.is_heic(HEIC)
    shown = BEFORE.frames[0]
    right = jpeg(shown)

    def found_in(
        written: bytes, encoding: Encoding = "reencoded", source: bytes = HEIC, **settings: object
    ) -> list[Finding]:
        output = copied(source, written, encoding)
        return verify(sample_of(source), BEFORE, written, output, checks(**settings))

    found = found_in(right)
    assert failed(found) == set()
    moved = the(found, Code.VERIFY_PIXELS_CHANGED)
    assert 0 < moved.value < 2
    assert (moved.limit, moved.detail) == (4, "")
    assert the(found, Code.VERIFY_METADATA).limit == 0
    for other in (
        jpeg(shown[::-1].copy()),
        jpeg(np.clip(shown.astype(int) + 6, 0, 255).astype(np.uint8)),
    ):
        moved = the(found_in(other), Code.VERIFY_PIXELS_CHANGED)
        assert (moved.passed, moved.limit, moved.detail) == (False, 4, "")
    smaller = the(found_in(jpeg(shown[:-1].copy())), Code.VERIFY_PIXELS_CHANGED)
    assert (smaller.passed, smaller.value, smaller.detail) == (False, 255, "its size changed")
    assert failed(found_in(jpeg(shown, exif=TAGGED))) == {Code.VERIFY_METADATA}
    cut = [one for one in found_in(right[:60]) if one.code is Code.VERIFY_UNREADABLE]
    assert {(one.value, one.limit, one.detail != "") for one in cut} == {(1, 0, True)}
    large = found_in(right, max_pixels=99)
    assert Code.VERIFY_UNREADABLE in failed(large)
    assert Code.VERIFY_PIXELS_CHANGED not in {one.code for one in large}
    # Only a HEIC may, and it says so.
    assert failed(found_in(right, source=SOURCE)) == {Code.VERIFY_BYTES_CHANGED}
    assert failed(found_in(right, "exact")) == {Code.VERIFY_BYTES_CHANGED}
    with pytest.raises(ValueError, match="rewritten"):
        verify(sample_of(HEIC), None, right, copied(HEIC, right, "reencoded"), checks())
    # One in which a face was covered is compared as any edited file.
    covered = jpeg(Gaussian()(shown, [BOX]))
    found = verify(sample_of(HEIC), BEFORE, covered, edited(HEIC, covered, "reencoded"), checks())
    assert failed(found) == set()
    assert the(found, Code.VERIFY_PIXELS_CHANGED).limit == 4


# --- edited files -------------------------------------------------------------------------------


def test_what_may_be_said_beside_the_pixels_follows_the_policy() -> None:
    out = io.BytesIO()
    Image.fromarray(BEFORE.frames[0]).save(out, "JPEG", quality=95, exif=TAGGED)
    source = out.getvalue()
    before = codec.decode(source)
    kept = codec.edit(source, [BOX], Gaussian(), policy="keep-safe").data
    output = edited(source, kept)
    for policy, expected in (
        ("keep-safe", set()),
        ("faces", {Code.VERIFY_METADATA}),
        ("all", {Code.VERIFY_METADATA}),
    ):
        found = verify(sample_of(source), before, kept, output, checks(metadata=policy))
        assert failed(found) == expected
    named = the(found, Code.VERIFY_METADATA)
    assert (named.value, named.detail) == (1, "exif:tags")


def test_an_edited_file_holds_one_image() -> None:
    right = codec.decode(RIGHT_ONE).frames[0]
    for kind in ("PNG", "TIFF"):
        written = several(kind, right, BEFORE.frames[0])
        found = verify(sample_of(SOURCE), BEFORE, written, edited(SOURCE, written), checks())
        assert Code.VERIFY_METADATA in failed(found)


def test_of_a_source_with_several_images_the_first_is_compared() -> None:
    source = several("MPO", BEFORE.frames[0], BEFORE.frames[0][::-1])
    before = codec.decode(source)
    assert len(before.frames) == 1
    assert len(codec.embedded_images(source)) == 1
    written = codec.edit(source, [BOX], Gaussian()).data
    assert (
        failed(verify(sample_of(source), before, written, edited(source, written), checks()))
        == set()
    )


def test_a_second_reader_is_asked_about_exact_jpeg_files_and_tells_what_changed() -> None:
    pytest.importorskip("jpeglib")
    source = saved(size=(160, 96), quality=90)
    before = codec.decode(source)
    right = codec.edit(source, [BOX], Gaussian()).data
    ghost = Face((120.0, 60.0, 140.0, 80.0), 1.0, "file")
    more = codec.edit(source, [BOX, ghost.box], Gaussian()).data
    asked = checks(second_reader=True)

    def found_in(written: bytes, **said: object) -> list[Finding]:
        output = replace(edited(source, written), **said)  # type: ignore[arg-type]
        return verify(sample_of(source), before, written, output, asked)

    assert failed(found_in(right)) == set()
    told = the(found_in(right), Code.VERIFY_COEFFICIENTS)
    assert (told.value, told.limit) == (0, 0)
    # Other tables for the same coefficients, another sampling for the same image.
    last = right.index(b"\xff\xdb") + 5 + 63
    coarser = right[:last] + bytes((right[last] + 1,)) + right[last + 1 :]
    sampled = saved(size=(160, 96), quality=90, subsampling=0)
    for wrong in (coarser, sampled):
        told = the(found_in(wrong), Code.VERIFY_COEFFICIENTS)
        assert (told.value, told.passed) == (1, False)
    changed = found_in(more)
    assert Code.VERIFY_COEFFICIENTS in failed(changed)
    assert the(changed, Code.VERIFY_COEFFICIENTS).value > 4
    assert failed(found_in(more, ghosts=(ghost,))) == set()
    again = {one.code for one in found_in(right, encoding="reencoded")}
    assert Code.VERIFY_COEFFICIENTS not in again
    unasked = verify(sample_of(source), before, right, edited(source, right), checks())
    assert Code.VERIFY_COEFFICIENTS not in {one.code for one in unasked}


def test_a_second_reader_reads_the_first_image_of_an_mpo_and_no_png() -> None:
    pytest.importorskip("jpeglib")
    asked, before = checks(second_reader=True), codec.decode(saved(size=(160, 96), quality=90))
    stereo = several("MPO", before.frames[0], before.frames[0][::-1])
    written = codec.edit(stereo, [BOX], Gaussian()).data
    output = edited(stereo, written)
    found = verify(sample_of(stereo), codec.decode(stereo), written, output, asked)
    assert the(found, Code.VERIFY_COEFFICIENTS).passed
    found = verify(sample_of(SOURCE), BEFORE, RIGHT_ONE, edited(SOURCE, RIGHT_ONE), asked)
    assert Code.VERIFY_COEFFICIENTS not in {one.code for one in found}


def test_what_is_larger_than_usual_is_checked_where_that_was_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits: list[int] = []
    for name in ("decode", "inspect", "difference"):
        real = getattr(codec, name)

        def noting(*data: bytes, real: Any = real, max_pixels: int = 0) -> object:
            limits.append(max_pixels)
            return real(*data, max_pixels=max_pixels or 10**6)

        monkeypatch.setattr(codec, name, noting)
    source = saved(size=(160, 96), quality=90)
    written = codec.edit(source, [BOX], Gaussian()).data
    large = checks(max_pixels=10**9, second_reader=True)
    limits.clear()
    verify(sample_of(source), BEFORE, written, edited(source, written), large)
    tagged = png(BEFORE.frames[0], exif=TAGGED)
    output = copied(tagged, SOURCE, "exact")
    verify(sample_of(tagged), None, SOURCE, output, changed(large, metadata="all"))
    assert set(limits) == {10**9}


def test_what_is_larger_than_was_allowed_is_not_decoded() -> None:
    small = checks(max_pixels=99)
    output = edited(SOURCE, RIGHT_ONE)
    found = verify(sample_of(SOURCE), BEFORE, RIGHT_ONE, output, small)
    assert failed(found) == {Code.VERIFY_UNREADABLE}
    assert "99 pixels" in the(found, Code.VERIFY_UNREADABLE).detail
    source = saved(size=(160, 96), quality=90)
    before = codec.decode(source)
    written = codec.edit(source, [BOX], Gaussian()).data
    look = Look(codec.decode(written), (), (0.0,))
    with pytest.raises(SampleError, match="99"):
        verify(sample_of(source), before, written, edited(source, written), small, look=look)
