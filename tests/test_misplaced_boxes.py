"""No box is believed blindly: what lies outside its image, or covers nothing, is refused."""

from __future__ import annotations

import hashlib
import io
import json
import logging
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sfumato as library
from sfumato.annotations import box_files
from sfumato.annotations.annotations import Annotated, load
from sfumato.annotations.box_files import LAYOUTS, Layout
from sfumato.annotations.box_scale import scale_note
from sfumato.boxes import inside_share, misplaced
from sfumato.errors import Code, SampleError, UsageError
from sfumato.imaging import codec
from sfumato.ledger.ledger import Ledger
from sfumato.obfuscation import Gaussian, make, strength
from sfumato.obfuscation.step import Cover, Faces, release
from sfumato.pipeline.driver import STAGES, Job, run, search
from sfumato.pipeline.settings import Settings
from sfumato.pipeline.survey import read_labels
from sfumato.release.report.data import Report
from sfumato.review import exchange
from sfumato.sources import open_source
from sfumato.types import Box, Decision, Detection, Face, Finding, Output, Pixels, Sample
from sfumato.verification.checks import Checks, verify
from sfumato.web import bodies
from sfumato.web.refusals import Refusal
from tests import dataset
from tests.command import Here
from tests.command import sfumato as command
from tests.dataset import BOX, SIDE, WATCHER, Dataset, scene
from tests.recipes import recipe
from tests.test_release import Memory, Watcher, cover
from tests.variants import one_of_each

OUTSIDE: Box = (900.0, 900.0, 940.0, 940.0)
MOSTLY: Box = (100.0, 40.0, 180.0, 60.0)  # 20 of 80 columns lie inside
HALF: Box = (100.0, 40.0, 140.0, 60.0)


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return dataset.make(tmp_path, count=1)


def refused(report: Report) -> dict[str, tuple[Code, str]]:
    return {failure.key: (failure.code, failure.reason) for failure in report.refused}


def settings(data: Dataset, boxes: Path, **more: Any) -> Job:
    chosen = Settings(boxes=boxes, verify_detectors=WATCHER, unlisted="faceless", **more)
    return replace(data.job(), recipe=chosen.recipe(), boxes=boxes)


def file_of(data: Dataset, layout: Layout, boxes: dict[str, list[Box]]) -> Path:
    path = data.root / f"boxes.{layout}"
    found = [
        Detection(key, "", *SIDE, tuple(Face(box, 1.0, "file") for box in group))
        for key, group in boxes.items()
    ]
    box_files.save(path, found, layout=layout)
    return path


# --- geometry -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("box", "share"),
    [
        ((0.0, 0.0, 10.0, 10.0), 1.0),
        ((-10.0, 0.0, 10.0, 10.0), 0.5),
        ((-10.0, -10.0, 10.0, 10.0), 0.25),
        ((100.0, 0.0, 110.0, 10.0), 0.0),
        ((110.0, 0.0, 120.0, 10.0), 0.0),
        ((-1e300, -1e300, 1e300, 1e300), 0.0),
        ((99.999999, 10.0, 100.0, 10.0000001), 1.0),
    ],
)
def test_the_share_of_a_box_inside(box: Box, share: float) -> None:
    assert inside_share(box, 100, 50) == pytest.approx(share)
    assert bool(misplaced(box, 100, 50)) == (share < 0.5)


# --- ways in ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "box"),
    one_of_each(product(LAYOUTS, (OUTSIDE, MOSTLY)), lambda one: one[0]),
)
def test_a_file_with_a_box_elsewhere_refuses_its_image_by_name(
    data: Dataset, layout: Layout, box: Box
) -> None:
    key, *others = data.with_face
    given = {key: [BOX, box], **{one: [BOX] for one in others}}
    report = run(settings(data, file_of(data, layout, given)), STAGES, Here())
    ((name, (code, reason)),) = refused(report).items()
    assert (name, code) == (key, Code.BOXES_MISSING)
    assert "120×96" in reason
    assert ", ".join(f"{side:g}" for side in box) in reason
    assert not (data.out / key).exists()
    assert report.account.obfuscated == len(others)


def test_detection_alone_refuses_it_too(data: Dataset) -> None:
    job = settings(data, file_of(data, "csv", {data.with_face[0]: [OUTSIDE]}))
    search(replace(job, out=None), Here())
    with Ledger(job.ledger, read_only=True) as ledger:
        kinds = ("detection", "failure")
        last = ledger.latest_of(job.recipe.fingerprint("detect"), kinds, data.with_face[0])
    assert getattr(last, "code", None) == Code.BOXES_MISSING


@pytest.mark.slow
def test_a_box_that_lies_half_inside_is_covered_as_far_as_it_does(data: Dataset) -> None:
    key = next(key for key in data.with_face if key.endswith(".png"))
    report = run(settings(data, file_of(data, "csv", {key: [HALF]})), STAGES, Here())
    assert (report.verdict, report.account.obfuscated) == ("passed", 1)


@pytest.mark.slow
@pytest.mark.parametrize("adopted", ["decision", "detection"])
def test_what_another_ledger_says_is_not_believed_either(data: Dataset, adopted: str) -> None:
    key = data.with_face[0]
    job, digest = data.job(), hashlib.sha256((data.source / data.with_face[0]).read_bytes())
    other = data.root / "ledger.sqlite"
    faces = (Face(OUTSIDE, 1.0, "human:a"),)
    record = (
        Decision(key, digest.hexdigest(), faces, "merged")
        if adopted == "decision"
        else Detection(key, digest.hexdigest(), *SIDE, faces)
    )
    with Ledger(other) as ledger:
        ledger.commit([(job.recipe.fingerprint("detect"), record)])
    report = run(replace(job, detections=(other,)), STAGES, Here())
    assert refused(report)[key][0] == Code.BOXES_MISSING
    assert not (data.out / key).exists()


@pytest.mark.parametrize("box", [OUTSIDE, MOSTLY])
@pytest.mark.parametrize("as_face", [True, False])
def test_the_library_names_the_box(box: Box, as_face: bool) -> None:
    image = scene(np.random.default_rng(1))
    faces: list[Face | Box] = [Face(box, 1.0, "x") if as_face else box]
    with pytest.raises(UsageError, match=r"The box \(.*120×96 pixels: is it one of another"):
        library.obfuscate(image, faces)
    assert library.obfuscate(image, [HALF]).shape == image.shape


@pytest.mark.parametrize(("box", "fine"), [([-1, 10, 0.5, 20], False), ([-1, 10, 1.5, 20], True)])
def test_an_answer_of_the_page_lies_at_least_half_inside(box: list[float], fine: bool) -> None:
    sent = [{"id": "n0", "box": box}]
    frame = bodies.Frame(*SIDE, {})
    if fine:
        assert bodies.marks(sent, frame)[0].box == (0, 10, 1.5, 20)
        return
    with pytest.raises(Refusal, match="lies outside"):
        bodies.marks(sent, frame)


@pytest.mark.parametrize("box", [OUTSIDE, MOSTLY])
def test_what_another_tool_gives_back_is_named(box: Box) -> None:
    sheet = Annotated("a", "", (Face(BOX, 1.0, "file"), Face(box, 1.0, "file")), SIDE)
    assert "the image of 120×96 pixels" in exchange._fault(sheet, SIDE)
    assert exchange._fault(replace(sheet, faces=sheet.faces[:1]), SIDE) == ""


@pytest.mark.slow
def test_the_run_says_that_all_boxes_look_scaled(
    data: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    scaled = {key: [(180.0, 90.0, 360.0, 240.0)] for key in data.with_face}
    with caplog.at_level(logging.WARNING):
        report = run(settings(data, file_of(data, "csv", scaled)), STAGES, Here())
    assert set(refused(report)) == set(data.with_face)
    assert "boxes reach 3.0 × the images' width and 2.5 × their height" in caplog.text


@pytest.mark.slow
def test_the_scale_is_told_on_few_images_and_never_wrongly(tmp_path: Path) -> None:
    source = open_source(tmp_path)
    for number in range(100):
        Image.new("RGB", (300, 200)).save(tmp_path / f"{number}.png")
    right = {f"{n}.png": [Face((10, 20, 250, 180), 1.0, "file")] for n in range(100)}
    assert scale_note(source, right, 10**6) == ""
    assert scale_note(source, {}, 10**6) == ""
    assert scale_note(source, {"gone.png": right["1.png"]}, 10**6) == ""
    one = {**right, "7.png": [Face(OUTSIDE, 1.0, "file")]}
    assert scale_note(source, one, 10**6) == ""
    percent = {key: [Face((10, 20, 60, 99.5), 1.0, "file")] for key in right}
    assert "percent" in scale_note(source, percent, 10**6)


# --- a cover that changes nothing ---------------------------------------------------------------


def wall(kind: str = "PNG", *, noise: int = 0) -> tuple[Sample, Pixels]:
    pixels = np.full((96, 120, 3), (200, 190, 150), np.uint8)
    pixels[:, :20] = np.random.default_rng(0).integers(0, 255, (96, 20, 3))
    pixels[50, 60] += np.uint8(noise)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return Sample("a", "", out.getvalue(), hashlib.sha256(out.getvalue()).hexdigest()), pixels


def still(one: Sample, face: Face, method: Cover | None = None) -> tuple[Output, bytes]:
    sink = Memory()
    image = codec.decode(one.data)
    output, _ = release(one, image, Faces((face,)), method or cover(Watcher([])), sink)
    return output, sink.data


def checked(one: Sample, after: bytes, output: Output) -> dict[Code, bool]:
    checks = Checks(recipe(max_pixels=10**6), Gaussian(), [])
    found: list[Finding] = verify(one, codec.decode(one.data), after, output, checks)
    return {finding.code: finding.passed for finding in found}


BLANK = Face((50.0, 40.0, 70.0, 60.0), 1.0, "file")


def test_a_box_on_a_blank_wall_leaves_a_copy_and_never_an_obfuscated_one() -> None:
    one, _ = wall()
    output, written = still(one, BLANK)
    assert (output.action, output.encoding, output.faces) == ("copied", "identical", (BLANK,))
    assert written == one.data
    assert checked(one, written, output) == {
        Code.VERIFY_BYTES_CHANGED: True,
        Code.VERIFY_STRENGTH: True,
    }


def test_a_copy_is_only_believed_to_be_blank_if_it_is() -> None:
    one, _ = wall(noise=9)
    false = Output("a", one.digest, one.digest, "copied", "identical", "", (BLANK,))
    assert checked(one, one.data, false)[Code.VERIFY_STRENGTH] is False


class Idle:
    """A cover that covers nothing."""

    def __call__(self, image: Pixels, boxes: object) -> Pixels:
        return image.copy()

    def reaches(self, boxes: Any) -> list[Box]:
        return list(boxes)


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
@pytest.mark.parametrize("box", [BOX, (60.0, 50.0, 62.0, 52.0)])
def test_a_face_of_any_size_that_stays_as_it_was_is_refused(kind: str, box: Box) -> None:
    one, _ = wall(kind, noise=50)
    idle = replace(cover(Watcher([])), obfuscator=Idle())
    again = codec.edit(one.data, [box], Idle()).data  # as we write it, whatever Pillow wrote
    ours = Sample("a", "", again, hashlib.sha256(again).hexdigest())
    with pytest.raises(SampleError, match="covering its faces changed nothing") as caught:
        still(ours, Face(box, 1.0, "file"), idle)
    assert caught.value.code == Code.IMAGE_ENCODE


@pytest.mark.parametrize(
    "face", [Face(OUTSIDE, 1.0, "file"), Face(MOSTLY, 1.0, "file"), Face(BOX, 1.0, "file"), BLANK]
)
def test_verify_fails_what_was_called_obfuscated_and_is_the_source(face: Face) -> None:
    one, _ = wall()
    old = Output("a", one.digest, one.digest, "obfuscated", "exact", "gaussian", (face,))
    assert checked(one, one.data, old)[Code.VERIFY_STRENGTH] is False


@pytest.mark.parametrize("box", [OUTSIDE, MOSTLY, (60.0, 50.0, 62.0, 52.0)])
def test_verify_fails_a_face_of_several_that_is_outside_or_untouched(box: Box) -> None:
    one, _ = wall(noise=50)
    far = Face((5.0, 5.0, 15.0, 15.0), 1.0, "file")
    edited = codec.edit(one.data, [far.box], Gaussian())
    digest = hashlib.sha256(edited.data).hexdigest()
    faces = (far, Face(box, 1.0, "file"))
    old = Output("a", one.digest, digest, "obfuscated", "exact", "gaussian", faces)
    assert checked(one, edited.data, old)[Code.VERIFY_STRENGTH] is False
    sound = replace(old, faces=(far,))
    assert checked(one, edited.data, sound)[Code.VERIFY_STRENGTH] is True


@pytest.mark.parametrize("method", ["gaussian", "pixelate", "fill", "imagenet"])
def test_a_blank_place_counts_as_covered_and_a_touched_face_too(method: str) -> None:
    _, pixels = wall(noise=50)
    assert strength.still_shown(pixels, pixels, (70.0, 60.0, 90.0, 80.0)) < 1e-9
    assert strength.still_shown(pixels, pixels, (59.0, 49.0, 62.0, 52.0)) == 1
    after = make(method)(pixels, [(58.0, 48.0, 63.0, 53.0)])
    assert strength.still_shown(pixels, after, (59.0, 49.0, 62.0, 52.0)) < 1


@pytest.mark.slow
def test_the_manifest_of_a_blank_box_says_copied(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "wall.png").write_bytes(wall()[0].data)
    data = Dataset(tmp_path, ("wall.png",), ())
    report = run(settings(data, file_of(data, "csv", {"wall.png": [BLANK.box]})), STAGES, Here())
    assert (report.verdict, report.account.copied) == ("passed", 1)
    assert (data.out / "wall.png").read_bytes() == (data.source / "wall.png").read_bytes()


# --- COCO and its dialects ----------------------------------------------------------------------


def coco(folder: Path, annotations: list[dict[str, Any]], **parts: Any) -> Path:
    images = parts.pop("images", [{"id": 1, "file_name": "a.jpg", "width": 320, "height": 240}])
    notes = [{"id": n, "image_id": 1, "category_id": 1, **one} for n, one in enumerate(annotations)]
    kinds = [{"id": 1, "name": "face"}]
    path = folder / "boxes.json"
    path.write_text(json.dumps({"images": images, "annotations": notes, "categories": kinds}))
    return path


@pytest.mark.parametrize(
    ("turn", "box"),
    [
        (90.0, (85, 45, 115, 165)),
        ("90.0", (85, 45, 115, 165)),
        (-270, (85, 45, 115, 165)),
        (180, (40, 90, 160, 120)),
        (0, (40, 90, 160, 120)),
        (45, (100 - 53.033, 105 - 53.033, 100 + 53.033, 105 + 53.033)),
        (None, (40, 90, 160, 120)),
    ],
)
def test_a_turned_box_of_cvats_coco_is_held(turn: object, box: Box, tmp_path: Path) -> None:
    note = {"bbox": [40, 90, 120, 30], "attributes": {"rotation": turn, "occluded": False}}
    (face,) = box_files.load(coco(tmp_path, [note])).faces["a.jpg"]
    assert face.box == pytest.approx(box, abs=0.01)
    (sheet,) = load(coco(tmp_path, [note]), "coco")
    assert sheet.faces[0].box == face.box


@pytest.mark.parametrize("turn", ["NaN", "1e999", '"inf"'])
def test_a_box_turned_by_no_number_takes_its_image_out(turn: str, tmp_path: Path) -> None:
    note = {"bbox": [40, 90, 120, 30], "attributes": {"rotation": "TURN"}}
    path = coco(tmp_path, [note])
    path.write_text(path.read_text().replace('"TURN"', turn))
    assert "isn't finite" in box_files.load(path).problems["a.jpg"]


def test_a_rotation_in_words_is_refused_with_its_place(tmp_path: Path) -> None:
    path = coco(tmp_path, [{"bbox": [1, 2, 3, 4], "attributes": {"rotation": "left"}}])
    with pytest.raises(UsageError, match="annotation 1, rotation: expected degrees, got 'left'"):
        box_files.load(path)


@pytest.mark.parametrize(("image", "note"), [("1", 1), (1, "1"), (1.0, 1), ("1", 1.0), ("1.0", 1)])
def test_ids_join_whatever_they_are_written_as(image: object, note: object, tmp_path: Path) -> None:
    images = [{"id": image, "file_name": "a.jpg"}]
    path = coco(tmp_path, [{"bbox": [40, 90, 120, 30], "image_id": note}], images=images)
    assert len(box_files.load(path).faces["a.jpg"]) == 1


@pytest.mark.parametrize("image", [1.5, 1e300, True, None, [1], float("nan"), float("inf")])
def test_an_id_that_joins_nothing_is_refused(image: object, tmp_path: Path) -> None:
    path = coco(tmp_path, [], images=[{"id": image, "file_name": "a.jpg"}])
    with pytest.raises(UsageError, match="image 1, id: expected a number or a string"):
        box_files.load(path)


def test_ids_that_are_names_stay_names(tmp_path: Path) -> None:
    images = [{"id": one, "file_name": f"{one}.jpg"} for one in ("7", "007", "x")]
    path = coco(tmp_path, [{"bbox": [4, 9, 2, 3], "image_id": "007"}], images=images)
    assert [len(group) for group in box_files.load(path).faces.values()] == [0, 1, 0]


@pytest.mark.parametrize("images", [["1", 1], [1, 1.0], ["2", "2.0"]])
def test_two_images_of_one_id_are_refused(images: list[object], tmp_path: Path) -> None:
    listed = [{"id": one, "file_name": f"{n}.jpg"} for n, one in enumerate(images)]
    with pytest.raises(UsageError, match="image 2: expected an id of its own"):
        box_files.load(coco(tmp_path, [], images=listed))


@pytest.mark.parametrize(("width", "size"), [("320", (320, 240)), (320.0, (320, 240)), (0, None)])
def test_a_size_in_any_spelling_is_taken(
    width: object, size: tuple[int, int] | None, tmp_path: Path
) -> None:
    path = coco(tmp_path, [], images=[{"id": 1, "file_name": "a", "width": width, "height": 240}])
    assert box_files.load(path).sizes.get("a") == size


@pytest.mark.parametrize("width", [-5, 320.5, "wide", True, float("nan"), float("inf"), [320]])
def test_a_size_that_cant_be_right_is_never_passed_over(width: object, tmp_path: Path) -> None:
    path = coco(tmp_path, [], images=[{"id": 1, "file_name": "a", "width": width, "height": 240}])
    with pytest.raises(UsageError, match="image 1, width: expected whole pixels"):
        box_files.load(path)


def test_what_a_file_has_twice_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    images = [{"id": one, "file_name": "a.jpg"} for one in (1, 2)]
    notes = [{"id": 5, "bbox": [4, 9, 2, 3]}, {"id": 5, "bbox": [4, 9, 2, 3], "image_id": 2}]
    with caplog.at_level(logging.WARNING):
        assert len(box_files.load(coco(tmp_path, notes, images=images)).faces["a.jpg"]) == 2
    assert "1 images have a file_name that another has, such as 'a.jpg'" in caplog.text
    assert "1 annotations have an id that another has, such as 5" in caplog.text


def test_two_images_of_one_name_and_two_sizes_are_no_answer(tmp_path: Path) -> None:
    images = [{"id": n, "file_name": "a.jpg", "width": 300 + n, "height": 200} for n in (1, 2)]
    (sheet,) = load(coco(tmp_path, [{"bbox": [4, 9, 2, 3]}], images=images), "coco")
    assert "different sizes" in sheet.problem


def test_an_annotation_of_an_image_that_isnt_listed_is_refused(tmp_path: Path) -> None:
    path = coco(tmp_path, [{"bbox": [4, 9, 2, 3], "image_id": 99}])
    with pytest.raises(UsageError, match="an image_id of the file, got 99"):
        box_files.load(path)


@pytest.mark.slow
def test_an_image_that_isnt_there_is_said(data: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    path = file_of(data, "coco", {**{key: [] for key in data.keys}, "n03/gone.png": [BOX]})
    chosen = Settings(boxes=path, verify_detectors=WATCHER)
    job = replace(data.job(), recipe=chosen.recipe(), boxes=path)
    with caplog.at_level(logging.WARNING):
        run(job, STAGES, Here())
    assert "names 1 images that aren't in the source, such as 'n03/gone.png'" in caplog.text


def test_a_box_in_fractions_among_pixels_takes_its_image_out(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text("path,x0,y0,x1,y1\na,10,20,30,40\nb,0.1,0.2,0.4,1.0\nb,30,30,60,60\n")
    loaded = box_files.load(path)
    assert list(loaded.faces) == ["a"]
    assert "fractions" in loaded.problems["b"]


# --- what is no face to be missed ---------------------------------------------------------------


def labelled(folder: Path, suffix: str) -> Path:
    """Write a face, and a region that is none, in CSV or in COCO."""
    Image.new("RGB", (320, 240)).save(folder / "a.jpg")
    if suffix == "coco":
        crowd = {"bbox": [0, 0, 320, 40], "iscrowd": 1}
        return coco(folder, [{"bbox": [40, 50, 60, 80], "iscrowd": 0}, crowd])
    path = folder / "faces.csv"
    rows = f"path,x0,y0,x1,y1,kind\na.jpg,40,50,100,130,face\na.jpg,0,0,320,40,{suffix}\n"
    path.write_text(rows)
    return path


@pytest.mark.parametrize("suffix", ["coco", "art", "unclear", "crowd", "Art "])
def test_a_crowd_art_and_what_is_unclear_is_no_missed_face(suffix: str, tmp_path: Path) -> None:
    path = labelled(tmp_path, suffix)
    labels = read_labels(tmp_path, path)
    assert labels.faces == {"a.jpg": ((40.0, 50.0, 100.0, 130.0),)}
    assert labels.ignored == {"a.jpg": ((0.0, 0.0, 320.0, 40.0),)}
    assert len(box_files.load(path).faces["a.jpg"]) == 2  # a run covers it


def test_what_a_second_file_ignores_comes_on_top(tmp_path: Path) -> None:
    more = tmp_path / "more.csv"
    more.write_text("path,x0,y0,x1,y1\na.jpg,200,200,220,220\n")
    labels = read_labels(tmp_path, labelled(tmp_path, "art"), ignore=more)
    assert labels.ignored["a.jpg"] == ((0.0, 0.0, 320.0, 40.0), (200.0, 200.0, 220.0, 220.0))


@pytest.mark.parametrize(("flag", "crowd"), [(0, 0), ("0", 0), (False, 0), (1, 1), ("1", 1)])
def test_iscrowd_is_read_in_any_spelling(flag: object, crowd: int, tmp_path: Path) -> None:
    path = coco(tmp_path, [{"bbox": [40, 50, 60, 80], "iscrowd": flag}])
    assert len(box_files.load(path).uncounted.get("a.jpg", ())) == crowd


def test_an_iscrowd_that_says_neither_is_refused(tmp_path: Path) -> None:
    path = coco(tmp_path, [{"bbox": [40, 50, 60, 80], "iscrowd": "maybe"}])
    with pytest.raises(UsageError, match="annotation 1, iscrowd: expected 0 or 1"):
        box_files.load(path)


def test_audit_counts_no_crowd_and_leaves_out_labels_of_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    path = labelled(tmp_path / "src", "coco")
    path = path.rename(tmp_path / "boxes.json")
    Image.new("RGB", (100, 100)).save(tmp_path / "src" / "b.jpg")
    document = json.loads(path.read_text())
    document["images"].append({"id": 2, "file_name": "b.jpg"})
    document["annotations"].append(
        {"id": 9, "image_id": 2, "category_id": 1, "bbox": [300, 300, 40, 40]}
    )
    path.write_text(json.dumps(document))
    words = ("--boxes", path, "--by", "size", "--detector", "yunet@160:0.9", "--json", "-q")
    done = command("audit", "detection", tmp_path / "src", *words)
    assert done.code == 0, done.err
    assert json.loads(done.out)["faces"] == 1
    assert "b.jpg: labelled, but not searched, or of another size, or with a box" in done.err


# --- CVAT and Label Studio ----------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["mask", "points", "polyline", "cuboid", "skeleton"])
def test_an_image_that_holds_only_another_shape_is_named(shape: str, tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text(
        f'<annotations><image id="0" name="a" width="9" height="9"><{shape} label="face" '
        'points="1,2" rle="3" left="1" top="1" width="3" height="3"/></image></annotations>'
    )
    (only,) = load(path, "cvat")
    assert (only.name, only.faces) == ("a", ())
    assert shape in only.problem


@pytest.mark.parametrize("turn", ["nan", "inf", "1e999"])
def test_a_shape_turned_by_no_number_is_a_problem(turn: str, tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text(
        '<annotations><image id="0" name="a" width="9" height="9"><box label="face" xtl="1" '
        f'ytl="1" xbr="5" ybr="5" rotation="{turn}"/></image></annotations>'
    )
    (only,) = load(path, "cvat")
    assert "isn't finite" in only.problem
    value = {"x": 1, "y": 1, "width": 9, "height": 9, "rotation": float(turn)}
    result = {
        "type": "rectanglelabels",
        "original_width": 90,
        "original_height": 90,
        "value": value | {"rectanglelabels": ["face"]},
    }
    task = [{"data": {"image": "a"}, "annotations": [{"result": [result]}]}]
    path.write_text(json.dumps(task))
    (only,) = load(path, "label-studio")
    assert "isn't finite" in only.problem
