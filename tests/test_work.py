"""What a worker makes of an image: whose boxes it believes, and when it refuses.

The rule behind all of it: an image whose faces are not known for exactly these bytes is not in
the release.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from sfumato.detection.detectors import registry
from sfumato.detection.in_hand import InHand
from sfumato.detection.step import Detect
from sfumato.errors import Code
from sfumato.ledger.ledger import Ledger
from sfumato.obfuscation.step import _cover, _works_here
from sfumato.pipeline.driver import STAGES, Job, run, search
from sfumato.pipeline.executors import Result, Task
from sfumato.pipeline.settings import Settings
from sfumato.pipeline.work import Work
from sfumato.release.report.data import Report
from sfumato.sources.disk import PART_SUFFIX
from sfumato.sources.doors import Known, Shard
from sfumato.sources.folder_sink import FolderSink
from sfumato.sources.private import private_folder
from sfumato.types import Detection, Failure, Sample
from tests import dataset
from tests.command import Here
from tests.dataset import BOX, SIDE, WATCHER, Dataset, files_of


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return dataset.make(tmp_path, count=1)


def refused(report: Report) -> dict[str, Code]:
    return {failure.key: failure.code for failure in report.refused}


def no_traces(data: Dataset) -> bool:
    return not any(name.endswith(PART_SUFFIX) for name in files_of(data.root))


# --- between detection and obfuscation ----------------------------------------------------------


@pytest.mark.slow
def test_a_image_that_changed_since_it_was_searched_is_refused(data: Dataset) -> None:
    search(replace(data.job(), out=None), Here())
    changed, exchanged = data.with_face[0], data.without[0]
    with (data.source / changed).open("ab") as file:
        file.write(b"one more byte")
    (data.source / exchanged).write_bytes((data.source / data.with_face[1]).read_bytes())
    report = run(data.job(), ("obfuscate",), Here())
    assert refused(report) == {changed: Code.FILE_CHANGED, exchanged: Code.FILE_CHANGED}
    assert not (data.out / changed).exists()
    assert not (data.out / exchanged).exists()
    search(replace(data.job(), out=None), Here())  # searched again, all is well
    assert refused(run(data.job(), ("obfuscate",), Here())) == {}


@pytest.mark.slow
def test_a_image_that_was_never_searched_is_refused(data: Dataset) -> None:
    search(replace(data.job(), out=None), Here())
    (data.source / "n03" / "new.png").write_bytes((data.source / data.without[0]).read_bytes())
    report = run(data.job(), ("obfuscate",), Here())
    assert refused(report) == {"n03/new.png": Code.BOXES_MISSING}


@pytest.mark.slow
def test_a_image_that_could_not_be_searched_keeps_its_reason(data: Dataset) -> None:
    (data.source / "n03" / "text.jpg").write_text("This is not an image.")
    search(replace(data.job(), out=None), Here())
    report = run(data.job(), ("obfuscate",), Here())
    assert refused(report) == {"n03/text.jpg": Code.IMAGE_UNRECOGNISED}


@pytest.mark.slow
def test_what_was_searched_with_other_settings_does_not_count(data: Dataset) -> None:
    search(replace(data.job(), out=None), Here())
    other = Settings(boxes=data.boxes, verify_detectors=WATCHER, max_pixels=10**7)
    report = run(replace(data.job(), recipe=other.recipe()), ("obfuscate",), Here())
    assert set(refused(report).values()) == {Code.BOXES_MISSING}
    assert report.account.images_out == 0


@pytest.mark.slow
def test_a_copy_under_another_name_has_its_own_boxes(data: Dataset) -> None:
    """Digests say that bytes are the same; the boxes of a name are still those of its name."""
    twin = "n03/twin.png"
    (data.source / twin).write_bytes((data.source / data.with_face[2]).read_bytes())
    report = run(data.job(), STAGES, Here())
    assert refused(report) == {}
    assert (data.out / twin).read_bytes() == (data.source / twin).read_bytes()


def test_a_known_detection_is_of_the_class_that_the_source_says_now() -> None:
    recipe = Settings().recipe()
    found = Detection("a.png", "0", 9, 9, (), label="before")
    sample = Sample("a.png", "now", b"", "0", state="s")
    (again,) = Detect(recipe)(InHand(sample, Known(found)))
    assert again == found
    assert (again.label, again.state) == ("now", "s")


def test_a_detector_of_an_earlier_check_is_looked_for_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def uploading(specs: list[str]) -> list[str]:
        asked.extend(specs)
        return []

    monkeypatch.setattr(registry, "uploading", uploading)
    recipe = Settings().recipe()
    _works_here.cache_clear()
    for _ in range(3):
        assert len(_cover(recipe, ["yunet@320:0.31"]).detectors) == 2
    assert asked == ["yunet@320:0.31"]
    _works_here.cache_clear()


# --- boxes from a file --------------------------------------------------------------------------


def coco(data: Dataset, size: tuple[int, int] = SIDE, keys: tuple[str, ...] | None = None) -> Path:
    """Write the boxes as COCO, which also tells the size of each image."""
    x0, y0, x1, y1 = BOX
    names = data.keys if keys is None else keys
    images = [
        {"id": number, "file_name": key, "width": size[0], "height": size[1]}
        for number, key in enumerate(names)
    ]
    faces = [
        {
            "id": image["id"],
            "image_id": image["id"],
            "category_id": 1,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
        }
        for image in images
        if image["file_name"] in data.with_face
    ]
    path = data.root / "boxes.json"
    kinds = [{"id": 1, "name": "face"}]
    path.write_text(json.dumps({"images": images, "annotations": faces, "categories": kinds}))
    return path


def job(data: Dataset, settings: Settings) -> Job:
    return replace(data.job(), recipe=settings.recipe(), boxes=settings.boxes)


@pytest.mark.slow
def test_boxes_with_sizes_give_what_boxes_without_give(data: Dataset) -> None:
    settings = Settings(boxes=coco(data), verify_detectors=WATCHER)
    assert refused(run(job(data, settings), STAGES, Here())) == {}
    for key in data.with_face:
        assert (data.out / key).read_bytes() != (data.source / key).read_bytes()
    for key in data.without:
        assert (data.out / key).read_bytes() == (data.source / key).read_bytes()


def test_boxes_for_a_image_of_another_size_refuse_it(data: Dataset) -> None:
    settings = Settings(boxes=coco(data, (SIDE[1], SIDE[0])), verify_detectors=WATCHER)
    report = run(job(data, settings), STAGES, Here())
    assert refused(report) == dict.fromkeys(data.keys, Code.BOXES_MISSING)
    assert "96×120, but it has 120×96 pixels upright" in report.refused[0].reason


@pytest.mark.slow
def test_a_turned_image_has_the_size_that_it_shows(data: Dataset) -> None:
    for key in data.with_face:
        exif = Image.Exif()
        exif[0x0112] = 6
        with Image.open(data.source / key) as image:
            image.load()
        image.rotate(90, expand=True).save(data.source / key, exif=exif)
    settings = Settings(boxes=coco(data), verify_detectors=WATCHER)
    assert run(job(data, settings), STAGES, Here()).verdict == "passed"


@pytest.mark.slow
@pytest.mark.parametrize("unlisted", ["refuse", "faceless"])
def test_a_image_that_the_file_does_not_name(data: Dataset, unlisted: str) -> None:
    boxes = coco(data, keys=data.with_face)
    chosen = Settings(boxes=boxes, verify_detectors=WATCHER)
    if unlisted == "faceless":
        chosen = replace(chosen, unlisted="faceless")
    report = run(job(data, chosen), STAGES, Here())
    missing = data.without if unlisted == "refuse" else ()
    assert refused(report) == dict.fromkeys(missing, Code.BOXES_MISSING)


# --- obfuscation and verification in one pass ---------------------------------------------------


@pytest.mark.slow
def test_what_cannot_be_edited_is_refused_and_leaves_no_trace(data: Dataset) -> None:
    key = data.with_face[0]
    with Image.open(data.source / key) as image:
        stream = io.BytesIO()
        image.save(stream, "PNG", save_all=True, append_images=[image.rotate(180)])
    (data.source / key).write_bytes(stream.getvalue())
    report = run(data.job(), STAGES, Here())
    assert refused(report) == {key: Code.IMAGE_UNSUPPORTED}
    assert not (data.out / key).exists()
    assert no_traces(data)


@pytest.mark.slow
def test_the_ledger_holds_the_boxes_of_a_image_that_was_refused_later(data: Dataset) -> None:
    """People see what was found in it, and it isn't searched again."""
    key = data.with_face[0]
    with Image.open(data.source / key) as image:
        image.save(data.source / key, save_all=True, append_images=[image.rotate(180)])
    run(data.job(), STAGES, Here())
    recipe = data.job().recipe
    with Ledger(data.job().ledger, read_only=True) as ledger:
        found = ledger.latest_of(recipe.fingerprint("detect"), ("detection",), key)
        fate = ledger.latest_of(recipe.fingerprint("obfuscate"), ("output", "failure"), key)
    assert isinstance(found, Detection)
    assert [face.box for face in found.faces] == [BOX]
    assert isinstance(fate, Failure)
    assert fate.stage == "obfuscate"


@pytest.mark.slow
def test_a_staged_file_that_was_spoilt_on_the_disk_is_found_before_it_is_published(
    data: Dataset,
) -> None:
    """Verification reads what lies on the disk, not what was in memory."""
    report = run(data.job(), STAGES, _Spoiler(data))
    found = {(finding.key, finding.code) for finding in report.failed}
    assert (data.without[0], Code.VERIFY_BYTES_CHANGED) in found
    assert {key for key, _ in found} == {data.without[0]}
    assert report.verdict == "failed"


class _Spoiler(Here):
    """Spoils the staged file of an image between its writing and its verification."""

    def __init__(self, data: Dataset) -> None:
        self.key = data.without[0]

    def map(self, task: Task, shards: Iterable[Shard]) -> Iterator[Result]:
        assert isinstance(task, Work)
        assert isinstance(task.sink, FolderSink)
        sink = _SpoilingSink(
            task.sink.root, token=task.sink.token, like=task.sink.like, link="copy"
        )
        sink.spoils = self.key
        yield from super().map(replace(task, sink=sink), shards)


class _SpoilingSink(FolderSink):
    spoils = ""

    def stage(self, sample: Sample, data: bytes) -> str:
        written = super().stage(sample, data)
        if sample.key == self.spoils:
            path = self.staged(self.spoils)
            path.write_bytes(path.read_bytes()[:-1] + b"x")
        return written


def test_each_key_gets_its_records_in_order(data: Dataset) -> None:
    """The contract with executors: one tuple for each key, whatever is the matter with it."""
    search(replace(data.job(), out=None), Here())
    work = Work(data.job().recipe, data.job().source, ("detect",))
    keys = (data.keys[2], "no/such.png", data.keys[0])
    records = list(work(Shard("s", "", keys)))
    assert [{record.key for record in found} for found in records] == [{key} for key in keys]
    assert isinstance(records[1][0], Failure)
    assert private_folder(data.out).is_dir()
