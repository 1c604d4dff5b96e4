"""Further images inside image files are found wherever they lie, searched, and taken out."""

from __future__ import annotations

import hashlib
import io
import json
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from sfumato.assets import demo_images
from sfumato.errors import Code, SampleError
from sfumato.imaging import codec
from sfumato.imaging.codec import embedded_images
from sfumato.ledger.ledger import decode, encode
from sfumato.obfuscation import Gaussian
from sfumato.obfuscation import second_images as second
from sfumato.obfuscation.step import Cover, Faces, release
from sfumato.sources.folder_sink import FolderSink
from sfumato.sources.imagefolder import ImageFolder
from sfumato.types import Face, Output, Pixels, Sample
from sfumato.verification import checks as verification
from sfumato.verification.checks import Checks
from tests import second_images as made
from tests.command import sfumato
from tests.recipes import changed, recipe
from tests.second_images import HIDING, INNER, INNER_PNG, JPEG, PLAIN, PNG, PROFILES
from tests.variants import slow_unless

MAX_PIXELS = 10**6
# Parts that decoding needs, with more in them than it needs.
OVERFULL = (
    "avif sequence",
    "dnl and more",
    "png hIST",
    "png time",
    "png small chunks",
    "png end",
    "gif loop and more",
    "gif control",
)
UNMOVABLE = ("png behind no end", "jpeg behind no end")  # among the coded pixels


@dataclass
class NoiseFinder:
    """A detector that takes noise for a face; the hidden image is full of it."""

    name: str = "noise-1"
    seen: list[tuple[int, ...]] = field(default_factory=list)

    def detect(self, images: Sequence[Pixels]) -> list[list[Face]]:
        self.seen += [image.shape for image in images]
        return [[self._face(image)] if self._noisy(image) else [] for image in images]

    @staticmethod
    def _noisy(image: Pixels) -> bool:
        return bool(np.abs(np.diff(image.astype(int), axis=1)).mean() > 20)

    def _face(self, image: Pixels) -> Face:
        return Face((1.0, 1.0, 20.0, 20.0), 0.9, self.name)


def hidden(name: str) -> bytes:
    data = HIDING[name]
    assert isinstance(data, bytes)
    return data


def released(
    data: bytes, folder: Path, *, detectors: Sequence[NoiseFinder] = (), **options: object
) -> tuple[Output, bytes]:
    """Release a file in which no face was found; return the record and what was written."""
    sample = Sample("n01/a.img", "n01", data, hashlib.sha256(data).hexdigest())
    (folder / "source").mkdir(exist_ok=True)
    sink = FolderSink(folder / "out", token="test", like=ImageFolder(folder / "source"))
    cover = Cover(recipe(), Gaussian(), detectors)
    output, _ = release(sample, None, Faces(()), changed(cover, **options), sink)
    return output, sink.staged(sample.key).read_bytes()


# A sixth of the ways quickly, the others as slow tests: all go through `embedded_images` below.
SOME = slow_unless(
    [name for name in HIDING if name not in UNMOVABLE], frozenset(list(HIDING)[::6]).__contains__
)


# What is found


@pytest.mark.parametrize("name", PLAIN)
def test_a_file_without_a_further_image_has_none(name: str) -> None:
    assert embedded_images(PLAIN[name]) == ()


@pytest.mark.parametrize("name", HIDING)
def test_an_image_is_found_wherever_it_lies_and_shows_what_was_hidden(name: str) -> None:
    wanted = ("JPEG ", "PNG ", "GIF ", "WEBP ", "BMP ", "AVIF ", "page ", "uncoded ")
    everything = embedded_images(hidden(name))
    assert everything
    found = [one for one in everything if one.kind.startswith(wanted)]
    readable = [one.data for one in found if one.data is not None and "cut" not in name]
    if "tables" in name or not readable:
        assert any(one.data is None for one in everything) or "cut" in name
        return
    pixels = [codec.decode(data).frames[0].shape[:2] for data in readable]
    assert (40, 40) in pixels


def test_images_inside_images_are_all_found() -> None:
    deep = INNER
    for _ in range(3):
        deep = made.segment(0xE1, b"Exif\0\0" + made.previewed(deep), INNER)
    found = embedded_images(JPEG + deep)
    assert len(found) == 4
    assert found[-1].data == INNER
    assert found[-1].kind.startswith("JPEG in Exif")


@pytest.mark.slow
def test_the_words_tell_where_but_nothing_of_the_content() -> None:
    kinds = {one.kind for name in HIDING for one in embedded_images(hidden(name))}
    assert {"JPEG behind the end", "film behind the end", "JPEG in Exif"} <= kinds
    assert not any("Maker" in kind or "image:" in kind for kind in kinds)


# Limits


def many_images() -> bytes:
    return JPEG + INNER * 100


def deep_streams() -> bytes:
    packed = INNER
    for _ in range(12):
        packed = zlib.compress(packed)
    return made.segment(0xFE, packed)


def bomb() -> bytes:
    return made.chunk(b"prVt", zlib.compress(bytes(100 << 20), 9))


def many_starts() -> bytes:
    return JPEG + b"\xff\xd8\xff\xe0\x00" * 500_000


def many_streams() -> bytes:
    return JPEG + b"\x78\x9c" * 500_000


def many_segments() -> bytes:
    return JPEG[:2] + b"\xff\xfe\x00\x02" * 1_000_000 + JPEG[2:]


def many_segments_behind() -> bytes:
    return JPEG + many_segments()


def one_word() -> bytes:
    return made.chunk(b"tEXt", b"a\0" + b"QUJDREVGR0hJ" * 30_000)


@pytest.mark.parametrize(
    "make",
    [
        many_images,
        deep_streams,
        bomb,
        many_starts,
        many_streams,
        pytest.param(many_segments, marks=pytest.mark.slow),
        pytest.param(many_segments_behind, marks=pytest.mark.slow),
        pytest.param(one_word, marks=pytest.mark.slow),
    ],
)
def test_more_than_is_looked_at_counts_as_one_that_cannot_be_searched(
    make: Callable[[], bytes],
) -> None:
    data = make()
    began = time.process_time()
    found = embedded_images(data)
    assert time.process_time() - began < 5
    assert any(one.data is None for one in found)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SOME, *UNMOVABLE])
def test_whatever_is_broken_nothing_is_raised(name: str) -> None:
    data = hidden(name)
    generator = np.random.default_rng(len(data))
    for _ in range(2):
        spoilt = bytearray(data)
        for at in generator.integers(0, len(data), 8):
            spoilt[at] = int(generator.integers(0, 256))
        embedded_images(bytes(spoilt))
        embedded_images(data[: int(generator.integers(0, len(data)))])


def test_bytes_that_are_no_image_have_no_parts() -> None:
    assert embedded_images(b"") == embedded_images(b"text" * 400 + INNER) == ()


# Removal


@pytest.mark.parametrize("name", SOME)
def test_it_is_taken_out_and_the_pixels_stay(name: str) -> None:
    data = hidden(name)
    clean = codec.take_out(data, embedded_images(data))
    assert embedded_images(clean) == ()
    assert codec.difference(data, clean) == 0
    assert INNER[-200:] not in clean


@pytest.mark.parametrize("name", UNMOVABLE)
def test_what_cannot_be_taken_out_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(SampleError) as caught:
        released(hidden(name), tmp_path, detectors=[NoiseFinder()])
    assert caught.value.code is Code.IMAGE_UNSUPPORTED
    assert not list((tmp_path / "out").rglob("*.img"))


@pytest.mark.parametrize("name", PROFILES)
def test_an_image_in_a_profile_never_leaves(name: str) -> None:
    data = PROFILES[name]
    assert embedded_images(data)
    clean = cleaned(lambda: codec.take_out(data, embedded_images(data)))
    assert clean is None or embedded_images(clean) == ()


def test_only_what_holds_it_goes() -> None:
    note = b"Exif\0\0" + made.exif({271: b"Maker\0", 37500: b"N" * 300, 50000: INNER})
    title = made.xmp(b"<dc:title>A lake</dc:title>")
    data = made.segments(0xE1, note, title) + INNER
    clean = codec.take_out(data, embedded_images(data))
    assert clean.count(b"N" * 300) == clean.count(b"A lake") == 1
    assert Image.open(io.BytesIO(clean)).getexif()[271]
    assert len(clean) == len(data) - len(INNER)  # wiped in place: notes point into the block


def test_photoshops_resources_stay_without_the_thumbnail() -> None:
    data = made.segment(
        0xED, made.thumbnail(1036, INNER) + made.resource(1028, b"\x1c\x02\x78\0\x01A")
    )
    clean = codec.take_out(data, embedded_images(data))
    assert b"\x1c\x02\x78\0\x01A" in clean
    assert b"\x04\x0c" not in clean[20:200]


def test_the_index_of_an_mpo_goes_with_its_images() -> None:
    data = made.mpo(made.SHOWN, made.HIDDEN)
    clean = codec.take_out(data, embedded_images(data))
    assert codec.inspect(data).format == "MPO"
    assert codec.inspect(clean).format == "JPEG"
    assert b"MPF\0" not in clean


@pytest.mark.parametrize("name", SOME)
def test_under_all_nothing_is_left_or_the_file_is_refused(name: str) -> None:
    clean = cleaned(lambda: codec.strip(hidden(name)))
    if clean is None:
        assert name in OVERFULL
    else:
        assert embedded_images(clean) == ()


def cleaned(clean: Callable[[], bytes]) -> bytes | None:
    """Return what a cleaning gives, None if it refuses by name."""
    try:
        return clean()
    except SampleError as refusal:
        if refusal.code is not Code.IMAGE_UNSUPPORTED:
            raise
        return None


# The release


def test_a_preview_without_a_face_stays_and_the_file_is_identical(tmp_path: Path) -> None:
    small = made.encoded(made.SHOWN.resize((32, 24)), "JPEG")
    data = made.segment(0xE1, b"Exif\0\0" + made.previewed(small))
    finder = NoiseFinder()
    output, written = released(data, tmp_path, detectors=[finder])
    assert written == data
    assert (output.action, output.encoding) == ("copied", "identical")
    assert (output.second_images, output.second_images_removed) == (1, 0)
    assert finder.seen == [(24, 32, 3)]


@pytest.mark.parametrize("name", SOME)
def test_what_shows_a_face_or_cannot_be_searched_goes(name: str, tmp_path: Path) -> None:
    output, written = released(hidden(name), tmp_path, detectors=[NoiseFinder()])
    assert all(
        not NoiseFinder().detect(list(codec.decode(one.data or b"").frames))[0]
        for one in embedded_images(written)
    )
    assert output.encoding == "exact"
    assert output.second_images_removed > 0
    assert codec.concealed(written) == ()
    assert codec.difference(hidden(name), written) == 0


def test_the_same_preview_twice_is_searched_once(tmp_path: Path) -> None:
    small = made.encoded(made.SHOWN.resize((32, 24)), "JPEG")
    data = made.segment(0xE1, b"Exif\0\0" + made.previewed(small))
    data = made.segment(0xED, made.thumbnail(1036, small), data)
    finder = NoiseFinder()
    output, _ = released(data, tmp_path, detectors=[finder])
    assert output.second_images == 2
    assert len(finder.seen) == 1


def test_boxes_from_a_file_say_nothing_of_second_images(tmp_path: Path) -> None:
    data = JPEG + INNER
    output, written = released(data, tmp_path, searchers=[NoiseFinder()])
    assert written == JPEG
    calm = JPEG + made.encoded(made.SHOWN.resize((32, 24)), "JPEG")
    assert released(calm, tmp_path, searchers=[NoiseFinder()])[1] == calm
    assert released(calm, tmp_path)[1] == JPEG  # nobody could search it
    assert output.second_images_removed == 1


def test_images_that_are_too_large_together_are_not_searched() -> None:
    large = made.encoded(Image.new("RGB", (800, 800)), "PNG")
    inside = embedded_images(PNG + large) + embedded_images(PNG + INNER_PNG)
    assert second.unwanted(inside, [NoiseFinder()], max_pixels=1000) == inside
    fits = second.unwanted(inside, [NoiseFinder()], max_pixels=800 * 800 + 1600)
    assert fits == inside[1:]
    assert second.unwanted(inside, [NoiseFinder()], max_pixels=800 * 800 + 1599) == inside[1:]


def test_all_frames_of_all_images_count_but_the_same_image_only_once() -> None:
    def calm(width: int, height: int, **options: object) -> codec.Embedded:
        small = made.SHOWN.resize((width, height))
        kind = "GIF" if options else "PNG"
        return codec.Embedded("", made.encoded(small, kind, **options))

    first, second_one, small = calm(30, 20), calm(20, 30), calm(16, 4)
    broken, film = codec.Embedded("", b"no image"), codec.Embedded("film", None)
    flips = (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM)
    frames = [made.SHOWN.resize((20, 10)).transpose(flip) for flip in flips]
    moving = calm(20, 10, save_all=True, append_images=frames)
    assert codec.inspect(moving.data or b"").frames == 3
    cases: list[tuple[list[codec.Embedded], int, list[codec.Embedded]]] = [
        ([first, second_one], 1200, []),
        ([first, second_one], 1199, [second_one]),
        ([first, small], 663, [small]),  # though it would fit on its own
        ([first, first, small, first], 664, []),
        ([moving, small], 664, []),
        ([moving, small], 663, [small]),
        ([moving], 599, [moving]),
        ([broken, first], 600, [broken]),
        ([broken, first], 599, [broken, first]),
        ([film, first, film], 600, [film, film]),
    ]
    for images, most, gone in cases:
        assert second.unwanted(images, [NoiseFinder()], max_pixels=most) == tuple(gone)
    assert second.unwanted([first, small], [], max_pixels=664) == (first, small)


def test_what_says_its_size_and_cannot_be_decoded_goes() -> None:
    cut = codec.Embedded("", JPEG[:-60])
    assert codec.inspect(cut.data or b"").width == 64
    noisy = codec.Embedded("", INNER)
    whole = codec.Embedded("", JPEG)
    found = second.unwanted([cut, noisy, whole], [NoiseFinder()], max_pixels=MAX_PIXELS)
    assert found == (cut, noisy)


def test_under_all_second_images_are_counted(tmp_path: Path) -> None:
    output, written = released(JPEG + INNER, tmp_path, detectors=[NoiseFinder()], metadata="all")
    assert (output.second_images, output.second_images_removed) == (1, 1)
    assert embedded_images(written) == ()


def test_an_old_record_of_an_output_can_be_read() -> None:
    kind, body = encode(Output("a", "1", "1", "copied", "identical", "", ()))
    old = body.replace(',"second_images":0,"second_images_removed":0', "")
    assert old != body
    assert decode(kind, old) == Output("a", "1", "1", "copied", "identical", "", ())


# Verification


def checked(
    data: bytes, after: bytes, *, searched: bool = True, **fields: object
) -> dict[Code, bool]:
    digest, written = (hashlib.sha256(part).hexdigest() for part in (data, after))
    output = Output("n01/a", digest, written, "copied", "identical", "", ())
    sample = Sample("n01/a", "n01", data, digest)
    checks = Checks(recipe(searched=searched), Gaussian(), [NoiseFinder()])
    found = verification.verify(sample, None, after, replace(output, **fields), checks)  # type: ignore[arg-type]
    return {finding.code: finding.passed for finding in found}


@pytest.mark.parametrize("name", SOME)
def test_verify_finds_what_an_older_version_copied(name: str) -> None:
    assert checked(hidden(name), hidden(name))[Code.VERIFY_SECOND_IMAGE] is False


def test_verify_believes_a_search_of_the_same_bytes_by_the_same_detectors() -> None:
    data = JPEG + INNER
    assert checked(data, data, second_images=1)[Code.VERIFY_SECOND_IMAGE]
    assert not checked(data, data, second_images=1, searched=False)[Code.VERIFY_SECOND_IMAGE]
    assert not checked(data + INNER_PNG, data + INNER_PNG, second_images=1)[
        Code.VERIFY_SECOND_IMAGE
    ]
    # What nobody can search is never in order.
    film = JPEG + made.FILM
    assert not checked(film, film, second_images=1)[Code.VERIFY_SECOND_IMAGE]


def test_verify_passes_what_was_taken_out_and_compares_the_pixels() -> None:
    data = JPEG + INNER
    gone: dict[str, Any] = {
        "encoding": "exact", "second_images": 1, "second_images_removed": 1
    }  # fmt: skip
    found = checked(data, JPEG, **gone)
    assert found == {
        Code.VERIFY_BYTES_CHANGED: True,
        Code.VERIFY_METADATA: True,
        Code.VERIFY_PIXELS_CHANGED: True,
    }
    other = made.encoded(made.SHOWN.transpose(Image.Transpose.ROTATE_180), "JPEG")
    assert not checked(data, other, **gone)[Code.VERIFY_PIXELS_CHANGED]
    assert not checked(data, JPEG, encoding="exact")[Code.VERIFY_BYTES_CHANGED]


def test_a_file_without_a_further_image_gets_no_finding() -> None:
    assert checked(JPEG, JPEG) == {Code.VERIFY_BYTES_CHANGED: True}


# The first of an MPO


def test_the_first_image_of_an_mpo_is_searched_by_itself() -> None:
    from sfumato.detection.detect import detect

    data = made.mpo(made.SHOWN, made.HIDDEN)
    sample = Sample("a", "", data, "")
    image = codec.decode(data)
    assert detect(sample, image, [NoiseFinder()]).faces == ()
    found = detect(sample, codec.decode(made.mpo(made.HIDDEN, made.SHOWN)), [NoiseFinder()])
    assert [face.box for face in found.faces] == [(1.0, 1.0, 20.0, 20.0)]


# Whole runs, with real detectors


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a face behind its end, one with a calm preview, one with a face of its own."""
    folder = tmp_path_factory.mktemp("run") / "src"
    folder.mkdir()
    person = Image.open(demo_images.root() / "people" / "astronaut.png").convert("RGB")
    face = made.encoded(person.crop((150, 0, 360, 260)), "JPEG", quality=90)
    calm = made.segment(0xE1, b"Exif\0\0" + made.previewed(JPEG))
    files = {"behind.jpg": JPEG + face, "calm.jpg": calm, "both.jpg": face + face}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def rows(out: Path) -> dict[str, tuple[object, ...]]:
    table = pq.read_table(out / "manifest.parquet").to_pylist()
    names = ("action", "encoding", "second_images", "second_images_removed")
    return {row["path"]: tuple(row[name] for name in names) for row in table}


@pytest.mark.slow
def test_a_run_takes_out_faces_counts_them_and_passes(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = sfumato("run", source, out, "--profile", "fast", "-q")
    assert done.code == 0, done.err
    assert rows(out) == {
        "behind.jpg": ("copied", "exact", 1, 1),
        "both.jpg": ("obfuscated", "exact", 1, 1),
        "calm.jpg": ("copied", "identical", 1, 0),
    }
    summary = json.loads((out / "summary.json").read_text())
    assert summary["second_images"] == {"files": 3, "images": 3, "searched": 1, "removed": 2}
    assert summary["findings"]["VERIFY_SECOND_IMAGE"] == {"passed": 1, "failed": 0}
    for page in (out / "report.html", tmp_path / "out.sfumato" / "report.html"):
        text = page.read_text(encoding="utf-8")
        assert "3 files carried a second image" in text
        assert "searched 1, taken out 2" in text
    assert sfumato("verify", source, out, "-q").code == 0


@pytest.mark.slow
def test_with_boxes_from_a_file_the_verifying_detectors_search(
    source: Path, tmp_path: Path
) -> None:
    boxes, out = tmp_path / "none.csv", tmp_path / "out"
    boxes.write_text("path,x0,y0,x1,y1\nboth.jpg,40,20,150,170\n")
    words = ("--boxes", boxes, "--unlisted", "faceless", "--verify-detector", "yunet@320:0.6")
    sfumato("run", source, out, *words, "-q")
    found = rows(out)
    assert found["behind.jpg"] == ("copied", "exact", 1, 1)
    assert found["calm.jpg"] == ("copied", "identical", 1, 0)


@pytest.mark.slow
def test_verify_finds_second_images_in_a_release_that_copied_them(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as older:
        older.setattr(codec, "embedded_images", lambda data: ())
        assert sfumato("run", source, out, "--profile", "fast", "-q").code == 0
    assert rows(out)["behind.jpg"] == ("copied", "identical", 0, 0)
    done = sfumato("verify", source, out)
    assert done.code == 1
    assert "VERIFY_SECOND_IMAGE behind.jpg" in done.err
    assert "VERIFY_SECOND_IMAGE calm.jpg" not in done.err
