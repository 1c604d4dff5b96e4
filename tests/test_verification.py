"""What `sfumato verify` must find: each kind of failure is planted and has to be named.

Every planted file is looked at twice: by the command line, as somebody's change of a finished
release (which the digest gives away as well), and by `verify` alone with a digest that fits, as
a fault of our own stages would look.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sfumato import obfuscation
from sfumato.assets import demo_images
from sfumato.detection.detectors import registry
from sfumato.errors import Code
from sfumato.imaging import codec
from sfumato.obfuscation import Gaussian
from sfumato.pipeline.driver import STAGES, Job, run
from sfumato.pipeline.settings import Settings
from sfumato.sources import open_sink, open_source
from sfumato.sources.private import private_folder
from sfumato.types import Box, Face, Finding, Output, Pixels, Sample
from sfumato.verification.checks import REENCODED_LIMIT, Checks, changed_outside, verify
from tests import dataset, textures
from tests.command import Done, Here, sfumato
from tests.dataset import BOX, Dataset
from tests.recipes import changed, recipe

MAX_PIXELS = 10**6
FACE = Face(BOX, 1.0, "file")


@dataclass(frozen=True)
class Release:
    """A copy of a finished release, to be spoiled, with its source."""

    data: Dataset
    out: Path

    @property
    def source(self) -> Path:
        return self.data.source

    def written(self, key: str) -> bytes:
        return (self.out / key).read_bytes()

    def verify(self, *words: str) -> Done:
        return sfumato("verify", self.source, self.out, *words)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    made = dataset.make(tmp_path_factory.mktemp("good"), count=3)
    assert run(made.job(), STAGES, Here()).verdict == "passed"
    return made


@pytest.fixture
def spoilt(good: Dataset, tmp_path: Path) -> Release:
    out = tmp_path / "out"
    shutil.copytree(good.out, out)
    shutil.copytree(private_folder(good.out), private_folder(out))
    return Release(good, out)


def with_face(data: Dataset, ending: str) -> str:
    return next(key for key in data.with_face if key.endswith(ending))


def without_face(data: Dataset, ending: str) -> str:
    return next(key for key in data.without if key.endswith(ending))


def failures(done: Done) -> set[tuple[str, str]]:
    """Return (code, key) of every failed check that a command names on standard error."""
    return set(re.findall(r"^(VERIFY_\w+) (.*): [\d.e+-]+, limit ", done.err, re.MULTILINE))


def findings_of(done: Done) -> dict[str, int]:
    """Return how often each check failed, from the JSON that a command prints."""
    findings = json.loads(done.out)["findings"]
    return {code: count["failed"] for code, count in findings.items() if count["failed"]}


# --- the release as a whole ---------------------------------------------------------------------


@pytest.mark.slow
def test_an_untouched_release_passes(spoilt: Release) -> None:
    done = spoilt.verify("--json")
    assert (done.code, failures(done), findings_of(done)) == (0, set(), {})
    findings = json.loads(done.out)["findings"]
    for code in ("VERIFY_BYTES_CHANGED", "VERIFY_FACE_FOUND"):
        assert findings[code]["passed"] == len(spoilt.data.keys)
    for code in ("VERIFY_METADATA", "VERIFY_PIXELS_CHANGED", "VERIFY_STRENGTH"):
        assert findings[code]["passed"] == len(spoilt.data.with_face)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["obfuscated", "copied"])
def test_a_file_that_was_removed_is_missed_by_name_and_in_its_class(
    spoilt: Release, kind: str
) -> None:
    keys = spoilt.data.with_face if kind == "obfuscated" else spoilt.data.without
    before = json.loads(spoilt.verify("--json").out)["findings"]["VERIFY_FACE_FOUND"]
    (spoilt.out / keys[0]).unlink()
    done = spoilt.verify("--json")
    label = keys[0].rpartition("/")[0]
    assert done.code == 1
    assert failures(done) == {("VERIFY_FILE_MISSING", keys[0]), ("VERIFY_COUNT", label)}
    assert findings_of(done) == {"VERIFY_FILE_MISSING": 1, "VERIFY_COUNT": 1}
    # Nothing is said to have passed in a file that isn't there.
    after = json.loads(done.out)["findings"]["VERIFY_FACE_FOUND"]
    assert after["passed"] == before["passed"] - 1


@pytest.mark.slow
def test_a_strangers_file_is_found_by_name_and_in_its_class(spoilt: Release) -> None:
    key = spoilt.data.without[0].replace("0 ä", "stranger")
    shutil.copy(spoilt.out / spoilt.data.without[0], spoilt.out / key)
    done = spoilt.verify("--json")
    assert done.code == 1
    label = key.rpartition("/")[0]
    assert failures(done) == {("VERIFY_FILE_UNEXPECTED", key), ("VERIFY_COUNT", label)}
    assert findings_of(done) == {"VERIFY_FILE_UNEXPECTED": 1, "VERIFY_COUNT": 1}
    assert (spoilt.out / key).exists()  # found, never removed


@pytest.mark.slow
def test_a_file_that_was_renamed_is_found_though_the_numbers_are_right(spoilt: Release) -> None:
    key = spoilt.data.with_face[0]
    other = key.replace("1 ä", "one")
    (spoilt.out / key).rename(spoilt.out / other)
    done = spoilt.verify()
    assert done.code == 1
    assert failures(done) == {("VERIFY_FILE_MISSING", key), ("VERIFY_FILE_UNEXPECTED", other)}


@pytest.mark.slow
def test_a_file_in_the_wrong_class_puts_both_counts_off(spoilt: Release) -> None:
    key = spoilt.data.without[0]
    moved = f"n03/{Path(key).name.replace('0 ä', 'moved')}"
    (spoilt.out / key).rename(spoilt.out / moved)
    done = spoilt.verify()
    label = key.rpartition("/")[0]
    assert done.code == 1
    assert {("VERIFY_COUNT", label), ("VERIFY_COUNT", "n03")} <= failures(done)


def test_two_files_that_were_exchanged_are_both_found(spoilt: Release) -> None:
    one, other = (without_face(spoilt.data, end) for end in ("0 ä.JPEG", "2 ä.webp"))
    first, second = spoilt.written(one), spoilt.written(other)
    (spoilt.out / one).write_bytes(second)
    (spoilt.out / other).write_bytes(first)
    done = spoilt.verify("--json")
    assert done.code == 1
    assert failures(done) == {("VERIFY_BYTES_CHANGED", one), ("VERIFY_BYTES_CHANGED", other)}
    assert findings_of(done) == {"VERIFY_BYTES_CHANGED": 2}


@pytest.mark.slow
def test_a_broken_link_in_the_place_of_a_image_is_found(spoilt: Release) -> None:
    key = with_face(spoilt.data, ".jpg")
    (spoilt.out / key).unlink()
    (spoilt.out / key).symlink_to("nowhere")
    done = spoilt.verify("--json")
    assert done.code == 1
    assert ("VERIFY_UNREADABLE", key) in failures(done)


@pytest.mark.slow
def test_a_link_to_a_strangers_folder_is_found(spoilt: Release) -> None:
    """Whoever packs the release may follow it, and publish the originals."""
    (spoilt.out / "n03" / "more").symlink_to(spoilt.source)
    done = spoilt.verify()
    assert done.code == 1
    assert failures(done) == {("VERIFY_FILE_UNEXPECTED", "n03/more"), ("VERIFY_COUNT", "n03")}


@pytest.mark.slow
def test_a_mended_release_passes_again(spoilt: Release) -> None:
    """What was found once must not be held against a file that is right now."""
    removed, cut, changed = (with_face(spoilt.data, end) for end in (".png", ".jpg", ".tif"))
    copied = spoilt.data.without[0]
    kept = {key: spoilt.written(key) for key in (removed, cut, changed, copied)}
    (spoilt.out / removed).unlink()
    (spoilt.out / cut).write_bytes(kept[cut][: len(kept[cut]) // 2])
    (spoilt.out / changed).write_bytes((spoilt.source / changed).read_bytes())
    (spoilt.out / copied).write_bytes(kept[copied][: len(kept[copied]) // 2])
    assert spoilt.verify().code == 1
    for key, data in kept.items():
        (spoilt.out / key).write_bytes(data)
    done = spoilt.verify("--json")
    assert (done.code, failures(done), findings_of(done)) == (0, set(), {})


@pytest.mark.slow
def test_what_cannot_be_read_any_more_has_passed_nothing(spoilt: Release) -> None:
    key = with_face(spoilt.data, ".jpg")
    (spoilt.out / key).write_bytes(b"This is not an image.")
    findings = json.loads(spoilt.verify("--json").out)["findings"]
    others = len(spoilt.data.with_face) - 1
    for code in ("VERIFY_METADATA", "VERIFY_PIXELS_CHANGED", "VERIFY_STRENGTH"):
        assert findings[code] == {"passed": others, "failed": 0}


@pytest.mark.slow
def test_a_face_that_was_taken_out_again_is_forgotten(tmp_path: Path) -> None:
    """Also where the same detectors have searched the source: they don't search a copy again."""
    data = dataset.make(tmp_path, count=1)
    chosen = Settings(detectors=("yunet@320:0.9",))
    ledger = private_folder(data.out) / "ledger.sqlite"
    source = open_source(data.source)
    sink = open_sink(data.out, like=source)
    run(Job(source, chosen.recipe(), ledger, sink), STAGES, Here())
    key = without_face(data, ".JPEG")
    person = (demo_images.root() / "people/grace_hopper.jpg").read_bytes()
    (data.out / key).write_bytes(person)
    done = sfumato("verify", data.source, data.out)
    assert ("VERIFY_FACE_FOUND", key) in failures(done)
    shutil.copy(data.source / key, data.out / key)
    done = sfumato("verify", data.source, data.out)
    assert (done.code, failures(done)) == (0, set())


@pytest.mark.slow
def test_a_source_with_another_image_by_the_same_name_is_noticed(tmp_path: Path) -> None:
    data = dataset.make(tmp_path, count=1)
    assert run(data.job(), STAGES, Here()).verdict == "passed"
    changed, broken = data.with_face[0], data.with_face[1]
    image = (data.source / data.without[0]).read_bytes()
    (data.source / changed).write_bytes(image)
    (data.source / broken).write_bytes(image[:100])
    done = sfumato("verify", data.source, data.out)
    assert done.code == 1
    assert {key for _, key in failures(done)} == {changed, broken}


@pytest.mark.slow
def test_a_source_that_got_or_lost_a_image_since_is_noticed(tmp_path: Path) -> None:
    data = dataset.make(tmp_path, count=1)
    assert run(data.job(copy_other=True), STAGES, Here()).verdict == "passed"
    new = data.source / "n04" / "new.bmp"
    new.parent.mkdir()
    shutil.copy(data.source / data.without[0], new)
    done = sfumato("verify", data.source, data.out, "--json")
    assert done.code == 1
    assert json.loads(done.out)["account"]["unfinished"] == 1
    new.unlink()
    assert sfumato("verify", data.source, data.out).code == 0
    gone = data.with_face[0]
    (data.source / gone).unlink()
    done = sfumato("verify", data.source, data.out)
    assert done.code == 1
    assert ("VERIFY_FILE_UNEXPECTED", gone) in failures(done)


# --- a single file ------------------------------------------------------------------------------

Plant = Callable[[bytes, bytes], bytes]  # (source, written) -> what is put in its place


def one_pixel(source: bytes, written: bytes) -> bytes:
    """Change one channel of one pixel in the corner by one grey level."""
    with Image.open(io.BytesIO(written)) as image:
        pixels = np.array(image)
        options = {"lossless": True} if image.format == "WEBP" else {}
        pixels[0, 0, 1] ^= 1
        return encoded(pixels, image.format or "", **options)


def patch(source: bytes, written: bytes) -> bytes:
    """Lighten or darken 10 by 10 pixels beside the soft edge; the same tables as before."""
    with Image.open(io.BytesIO(written)) as image:
        pixels, tables = np.array(image), image.quantization  # type: ignore[attr-defined]
    place = pixels[40:50, 107:117]
    place[:] = np.where(place > 127, place - 40, place + 40)
    return encoded(pixels, "JPEG", qtables=tables, subsampling="4:2:0")


def original(source: bytes, written: bytes) -> bytes:
    return source


def third_of_sigma(source: bytes, written: bytes) -> bytes:
    weak = Gaussian(strength=Gaussian().strength / 3)
    return codec.edit(source, [BOX], weak).data


def half_covered(source: bytes, written: bytes) -> bytes:
    x0, y0, x1, y1 = BOX
    exact = Gaussian(expand=0, feather=0)
    return codec.edit(source, [(x0, y0, (x0 + x1) / 2, y1)], exact).data


def smaller(source: bytes, written: bytes) -> bytes:
    with Image.open(io.BytesIO(written)) as image:
        return encoded(np.array(image)[:-1], image.format or "")


def cut_off(source: bytes, written: bytes) -> bytes:
    return written[: len(written) // 2]


def another_kind(source: bytes, written: bytes) -> bytes:
    return b"This is not an image."


def trailing(source: bytes, written: bytes) -> bytes:
    return written + source


def gps(source: bytes, written: bytes) -> bytes:
    exif = Image.Exif()
    exif.get_ifd(0x8825)[1] = "N"
    return with_exif(written, exif.tobytes())


def thumbnail(source: bytes, written: bytes) -> bytes:
    """Put a preview of the original into a second directory of the EXIF block."""
    with Image.open(io.BytesIO(source)) as image:
        small = encoded(np.asarray(image.resize((40, 32))), "JPEG")
    no_tags = struct.pack("<HI", 0, 14)
    tags = struct.pack("<HHIIHHIII", 0x0201, 4, 1, 44, 0x0202, 4, 1, len(small), 0)
    return with_exif(written, b"II*\0\x08\0\0\0" + no_tags + struct.pack("<H", 2) + tags + small)


def png_text(source: bytes, written: bytes) -> bytes:
    with Image.open(io.BytesIO(written)) as image:
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_text("Author", "somebody")
        return encoded(np.array(image), "PNG", pnginfo=info)


def with_exif(jpeg: bytes, tiff: bytes) -> bytes:
    payload = b"Exif\0\0" + tiff.removeprefix(b"Exif\0\0")
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + jpeg[2:]


def encoded(pixels: Pixels, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


PLANTS: list[tuple[str, Plant, Code]] = [
    (".png", one_pixel, Code.VERIFY_PIXELS_CHANGED),
    (".tif", one_pixel, Code.VERIFY_PIXELS_CHANGED),
    (".jpg", patch, Code.VERIFY_PIXELS_CHANGED),
    (".png", smaller, Code.VERIFY_PIXELS_CHANGED),
    (".png", original, Code.VERIFY_STRENGTH),
    (".jpg", original, Code.VERIFY_STRENGTH),
    (".tif", original, Code.VERIFY_STRENGTH),
    (".png", third_of_sigma, Code.VERIFY_STRENGTH),
    (".jpg", third_of_sigma, Code.VERIFY_STRENGTH),
    (".png", half_covered, Code.VERIFY_STRENGTH),
    (".jpg", half_covered, Code.VERIFY_STRENGTH),
    (".jpg", thumbnail, Code.VERIFY_METADATA),
    (".jpg", gps, Code.VERIFY_METADATA),
    (".jpg", trailing, Code.VERIFY_METADATA),
    (".png", trailing, Code.VERIFY_METADATA),
    (".png", png_text, Code.VERIFY_METADATA),
    (".png", cut_off, Code.VERIFY_UNREADABLE),
    (".jpg", cut_off, Code.VERIFY_UNREADABLE),
    (".tif", cut_off, Code.VERIFY_UNREADABLE),
    (".jpg", another_kind, Code.VERIFY_UNREADABLE),
]
SECOND_IMAGES = (thumbnail, trailing)
UNSEARCHABLE = (".png", ".tif")  # what is left of one that was cut off can't be searched to its end
KINDS = [plant for _, plant, _ in PLANTS]
NAMES = [f"{plant.__name__}{ending}" for ending, plant, _ in PLANTS]
# The command line takes longer: the first of each kind, the others as slow tests.
BY_COMMAND = [
    pytest.param(*row, id=name, marks=[pytest.mark.slow] * (row[1] in KINDS[:number]))
    for number, (row, name) in enumerate(zip(PLANTS, NAMES, strict=True))
]


@pytest.mark.slow
@pytest.mark.parametrize(("ending", "plant", "code"), BY_COMMAND)
def test_a_planted_file_is_found_in_a_finished_release(
    spoilt: Release, ending: str, plant: Plant, code: Code
) -> None:
    key = with_face(spoilt.data, ending)
    planted = plant((spoilt.source / key).read_bytes(), spoilt.written(key))
    (spoilt.out / key).write_bytes(planted)
    done = spoilt.verify("--json")
    assert done.code == 1
    # Where a second reader of JPEG files is installed, it may say the same once more.
    again = {("VERIFY_COEFFICIENTS", key)} if code is Code.VERIFY_PIXELS_CHANGED else set()
    if plant in SECOND_IMAGES or (plant is cut_off and ending in UNSEARCHABLE):  # or shows a face
        again = {("VERIFY_SECOND_IMAGE", key)}
    assert failures(done) - again == {(code, key), ("VERIFY_BYTES_CHANGED", key)}
    assert findings_of(done).items() >= {code: 1, "VERIFY_BYTES_CHANGED": 1}.items()
    assert json.loads((spoilt.out / "summary.json").read_text())["verdict"] == "failed"


@pytest.mark.slow
@pytest.mark.parametrize(("ending", "plant", "code"), PLANTS, ids=NAMES)
def test_a_planted_file_is_found_also_if_its_digest_is_the_written_one(
    good: Dataset, ending: str, plant: Plant, code: Code
) -> None:
    key = with_face(good, ending)
    source = (good.source / key).read_bytes()
    written = codec.edit(source, [BOX], Gaussian())
    assert written.data == (good.out / key).read_bytes()
    planted = replace(written, data=plant(source, written.data))
    assert failed(check(source, written, FACE)) == set()
    second = plant in SECOND_IMAGES or (plant is cut_off and ending in UNSEARCHABLE)
    inside = {Code.VERIFY_SECOND_IMAGE} if second else set()
    assert failed(check(source, planted, FACE)) == {code} | inside  # no detector could search it


def check(
    source: bytes, written: codec.Edited, *faces: Face, method: str = "gaussian"
) -> list[Finding]:
    """Verify a file as if the release had been made of it; no detector looks."""
    digest = sha256(source)
    output = Output(
        key="n01/a",
        digest=digest,
        written=sha256(written.data),
        action="obfuscated",
        encoding=written.encoding,
        method=method,
        faces=faces,
    )
    sample = Sample("n01/a", "n01", source, digest)
    return verified(sample, written.data, output, checks_with(method))


def checks_with(method: str = "gaussian", *specs: str) -> Checks:
    return Checks(recipe(method, searched=False), obfuscation.make(method), registry.made(specs))


def verified(sample: Sample, written: bytes, output: Output, checks: Checks) -> list[Finding]:
    """Verify a file of which nothing is known from before."""
    return verify(sample, codec.decode(sample.data), written, output, checks)


def failed(findings: Sequence[Finding]) -> set[Code]:
    return {finding.code for finding in findings if not finding.passed}


def value(findings: Sequence[Finding], code: Code) -> float:
    (found,) = (finding.value for finding in findings if finding.code is code)
    return found


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["0 ä.JPEG", "2 ä.webp", "4 ä.bmp"])
def test_one_byte_of_a_copied_file(spoilt: Release, ending: str) -> None:
    key = without_face(spoilt.data, ending)
    data = bytearray(spoilt.written(key))
    data[-3] ^= 1  # in the last pixels, or in front of the end marker
    (spoilt.out / key).write_bytes(data)
    done = spoilt.verify()
    assert done.code == 1
    assert ("VERIFY_BYTES_CHANGED", key) in failures(done)
    assert {name for _, name in failures(done)} == {key}


def test_a_copy_that_was_not_the_source_when_it_was_written(good: Dataset) -> None:
    """The ledger itself may be wrong: the digest of a copy must be that of the source."""
    one, other = ((good.source / key).read_bytes() for key in good.without[:2])
    sample = Sample("a", "", one, sha256(one))
    output = Output("a", sha256(one), sha256(other), "copied", "identical", "", ())
    checks = checks_with()
    assert failed(verified(sample, other, output, checks)) == {Code.VERIFY_BYTES_CHANGED}
    # That the detectors have searched the source proves nothing about other bytes.
    believing = changed(checks, searched=True)
    assert failed(verified(sample, other, output, believing)) == {Code.VERIFY_BYTES_CHANGED}
    right = replace(output, written=sha256(one))
    assert failed(verified(sample, one, right, checks)) == set()


def test_an_edited_file_is_never_passed_without_its_source(good: Dataset) -> None:
    key = with_face(good, ".png")
    source, written = (good.source / key).read_bytes(), (good.out / key).read_bytes()
    sample = Sample(key, "", source, sha256(source))
    output = Output(key, sample.digest, sha256(written), "obfuscated", "exact", "gaussian", (FACE,))
    with pytest.raises(ValueError, match="source"):
        verify(sample, None, written, output, checks_with())


def test_the_change_is_measured_in_grey_levels(good: Dataset) -> None:
    key = with_face(good, ".png")
    source, written = (good.source / key).read_bytes(), (good.out / key).read_bytes()
    with Image.open(io.BytesIO(written)) as image:
        pixels = np.array(image)
    pixels[95, 119] = 0 if pixels[95, 119].min() > 60 else 255
    wanted = np.abs(pixels[95, 119].astype(int) - codec.decode(source).frames[0][95, 119]).max()
    found = check(source, codec.Edited(encoded(pixels, "PNG"), "exact"), FACE)
    assert value(found, Code.VERIFY_PIXELS_CHANGED) == wanted > 60


# --- faces that are still there -----------------------------------------------------------------


@pytest.mark.slow
def test_a_real_face_where_none_should_be_visible_is_found(spoilt: Release) -> None:
    person = (demo_images.root() / "people/grace_hopper.jpg").read_bytes()
    copied, edited = without_face(spoilt.data, ".JPEG"), with_face(spoilt.data, ".jpg")
    default = ("--verify-detector", "yunet@640:0.5")
    assert spoilt.verify(*default).code == 0
    for key in (copied, edited):
        (spoilt.out / key).write_bytes(person)
    done = spoilt.verify(*default)
    assert done.code == 1
    found = failures(done)
    assert found >= {
        (code, key)
        for key in (copied, edited)
        for code in ("VERIFY_BYTES_CHANGED", "VERIFY_FACE_FOUND")
    }
    assert {key for _, key in found} == {copied, edited}
    # The findings of another detector are not those of the first one.
    for key in (copied, edited):
        shutil.copy(spoilt.data.out / key, spoilt.out / key)
    assert spoilt.verify(*default).code == spoilt.verify().code == 0


def test_a_face_that_was_never_covered_is_found_although_every_digest_is_right() -> None:
    person = (demo_images.root() / "people/grace_hopper.jpg").read_bytes()
    sample = Sample("a.jpg", "", person, sha256(person))
    output = Output("a.jpg", sample.digest, sample.digest, "copied", "identical", "", ())
    checks = checks_with("gaussian", "yunet@640:0.5")
    found = verified(sample, person, output, checks)
    assert failed(found) == {Code.VERIFY_FACE_FOUND}
    (face,) = (finding for finding in found if finding.code is Code.VERIFY_FACE_FOUND)
    assert face.value == 1
    assert "yunet" in face.detail
    seen = registry.made(("yunet@640:0.5",))[0].detect([codec.decode(person).frames[0]])[0]
    covered = codec.edit(person, [face.box for face in seen], Gaussian()).data
    output = replace(output, action="obfuscated", encoding="reencoded", method="gaussian")
    output = replace(output, written=sha256(covered), faces=tuple(seen))
    assert failed(verified(sample, covered, output, checks)) == set()


# --- what may not fail, and what must -----------------------------------------------------------

SMALL, LARGE = (
    Face((10.0, 290.0, 30.0, 310.0), 1.0, "file"),
    Face((240, 200, 440, 400), 1.0, "file"),
)


@pytest.fixture(scope="module")
def group() -> Pixels:
    """A face of 20 pixels beside one of 200."""
    image = np.tile(textures.face(200, seed=1), (1, 1, 1))
    image = np.concatenate([image[:, :40], image], axis=1)
    image[270:330, 0:40] = textures.face(20, seed=2)[:, 10:50]
    return image


@pytest.mark.parametrize("kind", [pytest.param("PNG", marks=pytest.mark.slow), "JPEG"])
@pytest.mark.parametrize("method", ["gaussian", "pixelate", "fill"])
def test_a_small_face_beside_a_large_one_is_covered(group: Pixels, kind: str, method: str) -> None:
    source = encoded(group, kind)
    faces = (SMALL, LARGE)
    written = codec.edit(source, [face.box for face in faces], obfuscation.make(method))
    assert failed(check(source, written, *faces, method=method)) == set()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.slow
def test_the_published_recipe_leaves_the_small_face_and_is_told_so(
    group: Pixels, kind: str
) -> None:
    source = encoded(group, kind)
    recipe = obfuscation.make("imagenet")
    both = codec.edit(source, [SMALL.box, LARGE.box], recipe)
    assert failed(check(source, both, SMALL, LARGE, method="imagenet")) == {Code.VERIFY_STRENGTH}
    alone = codec.edit(source, [LARGE.box], recipe)
    assert failed(check(source, alone, LARGE, method="imagenet")) == set()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["gaussian", "pixelate", "fill"])
def test_a_good_release_passes_with_every_method(tmp_path: Path, method: str) -> None:
    data = dataset.make(tmp_path, count=2)
    assert run(data.job(method=method), STAGES, Here()).verdict == "passed"
    done = sfumato("verify", data.source, data.out)
    assert (done.code, failures(done)) == (0, set())


@pytest.mark.parametrize("orientation", [3, 6, 7])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_turned_image_is_compared_upright(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    scene = dataset.scene(np.random.default_rng(3))
    source = encoded(scene, kind, exif=exif)
    face = Face((8.0, 20.0, 40.0, 50.0), 1.0, "file")
    right = codec.edit(source, [face.box], Gaussian())
    assert failed(check(source, right, face)) == set()
    elsewhere = codec.edit(source, [(50.0, 60.0, 82.0, 90.0)], Gaussian())
    wrong = failed(check(source, elsewhere, face))
    assert wrong == {Code.VERIFY_PIXELS_CHANGED, Code.VERIFY_STRENGTH}
    untouched = failed(check(source, replace(right, data=source), face))
    assert untouched >= {Code.VERIFY_STRENGTH}


# --- changed_outside ----------------------------------------------------------------------------

sides = st.integers(1, 40)
boxes = st.lists(
    st.tuples(*[st.floats(-20, 60, allow_nan=False)] * 4).map(
        lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
    ),
    max_size=3,
)


@st.composite
def images(draw: st.DrawFn) -> Pixels:
    return textures.noise(draw(sides), draw(sides), 3, seed=draw(st.integers(0, 99)))


def inside(reach: Box, x: int, y: int, margin: int = 0) -> bool:
    """Say whether a pixel lies in the whole pixels of a reach, widened by a margin."""
    x0, y0, x1, y1 = reach
    across = np.floor(x0) - margin <= x < np.ceil(x1) + margin
    return bool(across and np.floor(y0) - margin <= y < np.ceil(y1) + margin)


@pytest.mark.slow
@given(images(), boxes, st.sampled_from([(0, 1), (16, 8), (4, 5)]))
@settings(max_examples=60, deadline=None)
def test_nothing_has_changed_in_the_same_image(
    image: Pixels, reaches: list[Box], how: tuple[int, int]
) -> None:
    assert changed_outside(image, image.copy(), reaches, fringe=how[0], cell=how[1]) == 0


@pytest.mark.slow
@given(images(), boxes, st.data())
@settings(max_examples=150, deadline=None)
def test_one_pixel_is_measured_exactly_outside_and_not_at_all_inside(
    image: Pixels, reaches: list[Box], data: st.DataObject
) -> None:
    height, width = image.shape[:2]
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    channel, new = data.draw(st.integers(0, 2)), data.draw(st.integers(0, 255))
    after = image.copy()
    after[y, x, channel] = new
    change = abs(int(image[y, x, channel]) - new)
    within = any(inside(reach, x, y) for reach in reaches)
    found = changed_outside(image, after, reaches, fringe=0, cell=1)
    assert found == (0 if within else change)
    # In cells it is the luma's mean over the cell, and pixels near a reach don't count.
    near = any(inside(reach, x, y, margin=3) for reach in reaches)
    luma = change * (0.299, 0.587, 0.114)[channel] / 64
    cells = changed_outside(image, after, reaches, fringe=3, cell=8)
    assert cells == pytest.approx(0 if near else luma, abs=1e-3)


@pytest.mark.slow
@given(images(), boxes, st.integers(0, 8), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_nothing_inside_the_reaches_counts(
    image: Pixels, reaches: list[Box], fringe: int, cell: int
) -> None:
    height, width = image.shape[:2]
    after = image.copy()
    for y in range(height):
        for x in range(width):
            if any(inside(reach, x, y, margin=fringe) for reach in reaches):
                after[y, x] = 255 - after[y, x]
    assert changed_outside(image, after, reaches, fringe=fringe, cell=cell) == 0


@given(st.integers(0, 14), st.integers(0, 14), st.integers(11, 60))
@settings(max_examples=60, deadline=None)
def test_a_patch_is_above_the_limit_of_reencoding_wherever_it_lies(
    x: int, y: int, levels: int
) -> None:
    """10 by 10 pixels fill at least 5 by 5 of some cell of 8 by 8."""
    before = np.full((24, 24, 3), 100, np.uint8)
    after = before.copy()
    after[y : y + 10, x : x + 10] += np.uint8(levels)
    assert changed_outside(before, after, [], fringe=16, cell=8) > REENCODED_LIMIT
