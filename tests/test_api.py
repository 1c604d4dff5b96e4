"""The library as a notebook uses it: `sfumato.detect`, `sfumato.obfuscate`, `sfumato.run`."""

from __future__ import annotations

import doctest
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sfumato
from sfumato import Face, api
from sfumato.assets import demo_images
from sfumato.boxes import covered, grow
from sfumato.errors import Code, SampleError, SfumatoError, UsageError
from sfumato.imaging import codec
from sfumato.pipeline.settings import Settings
from sfumato.release.report.data import Report
from sfumato.types import Pixels
from tests import dataset
from tests.command import Here
from tests.dataset import BOX, WATCHER, files_of

ROOT = Path(__file__).resolve().parents[1]
FACE = Face(BOX, 1.0, "file")


@pytest.fixture(scope="module")
def person() -> Path:
    return demo_images.root() / "people/grace_hopper.jpg"


@pytest.fixture
def scene() -> Pixels:
    return dataset.scene(np.random.default_rng(1))


# --- detect -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_face_is_found_in_a_path_in_bytes_in_an_array_and_in_a_image(person: Path) -> None:
    found = sfumato.detect(person, profile="fast")
    assert len(found) == 1
    x0, y0, x1, y1 = found[0].box
    assert 100 < x0 < x1 < 400  # the photograph has 512 by 600 pixels
    assert 50 < y0 < y1 < 400
    assert found[0].score > 0.5
    with Image.open(person) as image:
        image.load()
        pixels = np.asarray(image)
        for same in (str(person), person.read_bytes(), pixels, image):
            assert sfumato.detect(same, profile="fast") == found


@pytest.mark.slow
def test_a_face_is_found_in_grey(person: Path) -> None:
    (found,) = sfumato.detect(person, profile="fast")
    with Image.open(person) as given:
        grey = given.convert("L")
    for opened in (grey, np.asarray(grey)):
        (again,) = sfumato.detect(opened, profile="fast")
        assert covered(found.box, [grow(again.box, 0.25)]) > 0.9


def test_a_turned_photograph_is_searched_upright(person: Path) -> None:
    (found,) = sfumato.detect(person, profile="fast")
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    with Image.open(person) as image:
        image.rotate(90, expand=True).save(stream, "JPEG", exif=exif, quality=95)
    (again,) = sfumato.detect(stream.getvalue(), profile="fast")
    assert covered(found.box, [grow(again.box, 0.25)]) > 0.9


def test_detectors_and_the_threshold_replace_those_of_the_profile(person: Path) -> None:
    detectors = ["yunet@320:0.5"]
    (found,) = sfumato.detect(person, detectors=detectors)
    assert found.origin.startswith("yunet")
    assert sfumato.detect(person, detectors=detectors, threshold=0.9999) == []


@pytest.mark.slow
def test_the_default_profile_finds_the_face_once(person: Path) -> None:
    assert len(sfumato.detect(person)) == 1


def test_no_face_is_found_in_noise(scene: Pixels) -> None:
    assert sfumato.detect(scene, detectors=WATCHER) == []


# --- obfuscate ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["gaussian", "pixelate", "fill", "imagenet"])
def test_only_the_faces_change_and_not_in_the_array_that_was_given(
    scene: Pixels, method: str
) -> None:
    given = scene.copy()
    covered_scene = sfumato.obfuscate(given, [FACE], method=method)
    assert np.array_equal(given, scene)
    assert not np.shares_memory(given, covered_scene)
    assert covered_scene.flags.writeable
    assert covered_scene.dtype == np.uint8
    assert covered_scene.shape == scene.shape
    change = np.abs(covered_scene.astype(int) - scene).max(axis=2)
    x0, y0, x1, y1 = map(int, BOX)
    assert change[y0:y1, x0:x1].mean() > 20
    assert change[:10].max() == change[:, :20].max() == 0


def test_boxes_and_faces_from_any_iterable_do_the_same(scene: Pixels) -> None:
    wanted = sfumato.obfuscate(scene, [FACE])
    kinds: list[Any] = [[BOX], (BOX,), iter([FACE]), [np.array(BOX)], np.array([BOX], np.float32)]
    for faces in kinds:
        assert np.array_equal(sfumato.obfuscate(scene, faces), wanted)


def test_without_faces_the_image_comes_back_as_a_copy(scene: Pixels) -> None:
    same = sfumato.obfuscate(scene, [])
    assert np.array_equal(same, scene)
    assert not np.shares_memory(same, scene)


def test_a_read_only_array_is_enough(scene: Pixels) -> None:
    scene.flags.writeable = False
    sfumato.obfuscate(scene, [FACE])[0, 0] = 0


def test_arrays_may_be_slices_and_turned(scene: Pixels) -> None:
    for view in (scene[:, ::-1], scene.swapaxes(0, 1), scene[::2, ::2], scene[..., ::-1]):
        wanted = sfumato.obfuscate(np.ascontiguousarray(view), [(5, 5, 25, 30)])
        assert np.array_equal(sfumato.obfuscate(view, [(5, 5, 25, 30)]), wanted)


def test_grey_becomes_rgb_of_three_equal_channels(scene: Pixels) -> None:
    grey = scene[:, :, 0]
    covered_grey = sfumato.obfuscate(grey, [FACE])
    assert covered_grey.shape == scene.shape
    assert np.ptp(covered_grey, axis=2).max() == 0
    assert np.array_equal(covered_grey[:10, :, 0], grey[:10])


def test_paths_bytes_and_images_give_what_their_pixels_give(scene: Pixels, tmp_path: Path) -> None:
    path = tmp_path / "scene.png"
    Image.fromarray(scene).save(path)
    wanted = sfumato.obfuscate(scene, [FACE], method="fill", colour=(1, 2, 3))
    assert wanted[50, 50].tolist() == [1, 2, 3]
    for same in (path, str(path), path.read_bytes(), Image.fromarray(scene)):
        found = sfumato.obfuscate(same, [FACE], method="fill", colour=(1, 2, 3))
        assert np.array_equal(found, wanted)
    assert np.array_equal(codec.decode(path.read_bytes()).frames[0], scene)


def test_images_of_pillow_with_other_channels_are_taken(scene: Pixels) -> None:
    """Alpha, palettes and CMYK become what `sfumato run` sees in such a file."""
    for mode in ("RGBA", "P", "1", "LA", "CMYK"):
        image = Image.fromarray(scene).convert(mode)
        wanted = sfumato.obfuscate(np.asarray(image.convert("RGB")), [FACE])
        assert np.array_equal(sfumato.obfuscate(image, [FACE]), wanted), mode
    for mode in ("I;16", "F", "I"):
        with pytest.raises(UsageError, match="8 bits"):
            sfumato.obfuscate(Image.fromarray(scene).convert("L").convert(mode), [FACE])


def test_a_image_that_pillow_has_opened_is_taken_upright(scene: Pixels, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(scene).save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as image:
        assert np.array_equal(
            sfumato.obfuscate(image, [FACE]), sfumato.obfuscate(tmp_path / "turned.png", [FACE])
        )


# --- wrong use ----------------------------------------------------------------------------------

WRONG: list[object] = [
    np.zeros((4, 4, 4), np.uint8),
    np.zeros((4, 4, 1), np.uint8),
    np.zeros((4, 4, 2), np.uint8),
    np.zeros((2, 4, 4, 3), np.uint8),
    np.zeros(12, np.uint8),
    np.zeros((4, 4, 3), np.float32),
    np.zeros((4, 4, 3), np.int64),
    np.zeros((4, 4), bool),
    np.zeros((0, 4, 3), np.uint8),
    np.zeros((4, 0), np.uint8),
    [[1, 2], [3]],
    None,
    7,
    {"image": 1},
]


@pytest.mark.parametrize("image", WRONG, ids=[repr(image)[:40] for image in WRONG])
def test_what_is_no_image_is_wrong_use(image: object) -> None:
    words = r"An image must be|image"
    with pytest.raises(UsageError, match=words):
        sfumato.detect(image, profile="fast")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=words):
        sfumato.obfuscate(image, [])  # type: ignore[arg-type]


def test_wrong_names_and_values_are_wrong_use(scene: Pixels, person: Path) -> None:
    covering: list[dict[str, Any]] = [{"method": "blur"}, {"expand": -1.0}, {"colour": (1, 2, 3)}]
    for words in covering:
        with pytest.raises(UsageError):
            sfumato.obfuscate(scene, [FACE], **words)
    searching: list[dict[str, Any]] = [
        {"profile": "best"},
        {"detectors": ["retina"]},
        {"threshold": 2.0},
    ]
    for words in searching:
        with pytest.raises(UsageError):
            sfumato.detect(person, **words)


@pytest.mark.parametrize(
    "box",
    [(1.0, 2.0, 3.0), (10, 10, 5, 20), (0, 0, float("nan"), 9), (0, 0, float("inf"), 9), "box", 3],
    ids=str,
)
def test_a_box_that_cannot_be_right_never_leaves_a_face_uncovered(
    scene: Pixels, box: object
) -> None:
    with pytest.raises(UsageError, match="A box must be"):
        sfumato.obfuscate(scene, [box])  # type: ignore[list-item]


def test_files_that_cannot_be_read_have_a_code(tmp_path: Path) -> None:
    text = tmp_path / "text.jpg"
    text.write_text("This is not an image.")
    for image, code in (
        (text, Code.IMAGE_UNRECOGNISED),
        (b"", Code.IMAGE_EMPTY),
        (tmp_path / "nothing.jpg", Code.LINK_BROKEN),
    ):
        with pytest.raises(SampleError) as refused:
            sfumato.detect(image)
        assert refused.value.code == code
        assert isinstance(refused.value, SfumatoError)


# --- run ----------------------------------------------------------------------------------------


def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let runs work in this process: the start of a worker takes longer than such a run."""
    monkeypatch.setattr(api, "Local", lambda workers: Here())


def test_a_folder_becomes_a_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = dataset.make(tmp_path, count=1)
    steps: list[tuple[int, int]] = []
    report = sfumato.run(
        data.source,
        str(data.out),
        settings=data.settings(),
        workers=1,
        progress=lambda done, of: steps.append((done, of)),
    )
    assert report.verdict == "passed"
    assert (report.account.copied, report.account.obfuscated) == (3, 3)
    assert report.summary()["account"]["in"] == 6
    assert steps[0] == (0, 6)
    assert steps[-1] == (6, 6)
    assert files_of(data.out).keys() > set(data.keys)
    here(monkeypatch)
    with pytest.raises(UsageError, match="another recipe"):
        sfumato.run(data.source, data.out, settings=data.settings("fill"))
    again = sfumato.run(data.source, data.out, settings=data.settings("fill"), overwrite=True)
    assert again.summary()["recipe"]["obfuscate"]["method"] == "fill"


def test_wrong_settings_are_wrong_use(tmp_path: Path) -> None:
    data = dataset.make(tmp_path, count=1)
    with pytest.raises(UsageError):
        sfumato.run(data.source, data.out, settings=Settings(method="blur"))
    with pytest.raises(UsageError):
        sfumato.run(data.source, data.source / "out")
    assert not data.out.exists()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["script", "-c", pytest.param("stdin", marks=pytest.mark.slow)])
def test_run_needs_no_guard_around_the_main_module(tmp_path: Path, how: str) -> None:
    """Workers must not run the caller's script again, as Python's own spawned processes do."""
    data = dataset.make(tmp_path, count=1)
    program = (
        "import sfumato\n"
        "from pathlib import Path\n"
        "from sfumato.pipeline.settings import Settings\n"
        "print('once')\n"
        f"settings = Settings(boxes=Path({str(data.boxes)!r}), verify_detectors={WATCHER!r})\n"
        f"report = sfumato.run({str(data.source)!r}, {str(data.out)!r}, settings=settings,"
        " workers=2)\n"
        "print(report.verdict, report.account.images_out)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(program)
    words = {"script": [str(script)], "-c": ["-c", program], "stdin": ["-"]}[how]
    done = subprocess.run(
        [sys.executable, *words],
        input=program if how == "stdin" else None,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "once\npassed 6\n", done.stderr
    assert done.returncode == 0


# --- what the documentation says ----------------------------------------------------------------


def test_the_examples_of_the_library_hold() -> None:
    found = doctest.testmod(api)
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.slow
def test_the_lines_of_the_packages_docstring_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, person: Path
) -> None:
    lines = re.findall(r"^    (\S.*)$", sfumato.__doc__ or "", re.MULTILINE)
    assert len(lines) == 4
    photos = tmp_path / "photos"
    photos.mkdir()
    for path in (tmp_path / "group.jpg", photos / "one.jpg"):
        path.write_bytes(person.read_bytes())
    monkeypatch.chdir(tmp_path)
    here(monkeypatch)
    names: dict[str, object] = {}
    exec("\n".join(lines), names)
    report = names["report"]
    assert isinstance(names["faces"], list)
    assert len(names["faces"]) == 1
    assert isinstance(report, Report)
    assert report.verdict == "passed"
    assert (tmp_path / "photos-released" / "one.jpg").read_bytes() != person.read_bytes()
