"""Transfer to object detection: objects read, maps found, detectors trained, scores as COCO's."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sfumato.errors import MissingExtra, UsageError
from sfumato.stats import matching, precision
from sfumato.stats.matching import Truth
from sfumato.stats.precision import pseudo_values, rank
from sfumato.study import consequences, networks, runs, transfer
from sfumato.study.configuration import Architecture, DetectionSettings, load
from sfumato.study.detection import objects, scoring, training
from sfumato.study.report.probes import read_probes
from sfumato.study.transfer import Score, tables, told
from sfumato.types import Face
from tests import study_images, study_objects

Images = Sequence[tuple[Truth, Sequence[Face]]]


@pytest.fixture
def wanted(tmp_path: Path) -> DetectionSettings:
    study_objects.write(tmp_path / "a", tmp_path / "a.json", count=6, seed=1)
    study_objects.write(tmp_path / "b", tmp_path / "b.json", count=4, seed=2)
    return DetectionSettings(
        name="shapes",
        images=tmp_path / "a",
        boxes=tmp_path / "a.json",
        test=tmp_path / "b",
        test_boxes=tmp_path / "b.json",
        epochs=2,
        batch=2,
        rate=0.01,
        size=64,
    )


def changed(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


# --- objects ------------------------------------------------------------------------------------


def test_objects_are_read_with_their_classes_and_crowds(wanted: DetectionSettings) -> None:
    def make(document: dict[str, Any]) -> None:
        first = document["annotations"][0]
        first |= {"category_id": 8, "bbox": [-5, 10, 25, 20]}
        document["annotations"].append({**first, "bbox": [0, 0, 30, 30], "iscrowd": 1})
        document["annotations"].append({**first, "bbox": [200, 0, 30, 30]})

    changed(wanted.test_boxes, make)
    learnt, tested = objects.read(wanted)
    assert learnt.classes == tested.classes == ("disc", "square")
    assert [one.key for one in learnt.scenes] == [f"1-{i:03}.png" for i in range(6)]
    scene = tested.scenes[0]
    assert (scene.width, scene.height) == (96, 96)
    assert scene.objects[0] == ((0.0, 10.0, 20.0, 30.0), 1)  # cut to the image
    assert scene.crowds == (((0.0, 0.0, 30.0, 30.0), 1),)
    document = json.loads(wanted.boxes.read_text())
    theirs = [
        (one["category_id"] - 7, one["bbox"])
        for one in document["annotations"]
        if one["image_id"] == 3
    ]
    ours = [(i, [x0, y0, x1 - x0, y1 - y0]) for (x0, y0, x1, y1), i in learnt.scenes[3].objects]
    assert ours == theirs


def test_images_without_their_boxes_are_left_out_by_name(wanted: DetectionSettings) -> None:
    def make(document: dict[str, Any]) -> None:
        document["images"][0]["width"] = 97
        document["images"].append({"id": 99, "file_name": "gone.png"})

    changed(wanted.boxes, make)
    (wanted.images / "1-002.png").write_bytes(b"no image")
    learnt, _ = objects.read(wanted)
    assert learnt.left_out["1-000.png"] == "its boxes are for another size than its 96x96 pixels"
    assert "isn't below" in learnt.left_out["gone.png"]
    assert set(learnt.left_out) == {"1-000.png", "gone.png", "1-002.png"}
    assert len(learnt.scenes) == 4


def test_what_changes_the_boxes_changes_the_digest(wanted: DetectionSettings) -> None:
    first, _ = objects.read(wanted)
    assert objects.read(wanted)[0].digest == first.digest
    changed(wanted.boxes, lambda document: document["annotations"][0].update(category_id=7))
    changed(wanted.boxes, lambda document: document["annotations"][1].update(category_id=8))
    assert objects.read(wanted)[0].digest != first.digest


def test_objects_that_do_not_fit_are_refused_by_sentences(wanted: DetectionSettings) -> None:
    with pytest.raises(UsageError, match="6 images are to be trained and tested on"):
        objects.read(replace(wanted, test=wanted.images, test_boxes=wanted.boxes))
    with pytest.raises(UsageError, match=r"a\.json names none of the 4 images below"):
        objects.read(replace(wanted, images=wanted.test or wanted.images))
    changed(wanted.test_boxes, lambda document: document["categories"][0].update(name="ball"))
    with pytest.raises(UsageError, match=r"objects of ball \(1 classes\), which .*a\.json lacks"):
        objects.read(wanted)
    changed(wanted.boxes, lambda document: document["annotations"].clear())
    with pytest.raises(UsageError, match="holds no object"):
        objects.read(wanted)
    with pytest.raises(UsageError, match=r"detection 'x'.*batch must be at least 1"):
        replace(wanted, name="x", batch=0)


def every(**values: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        for one in document["annotations"]:
            one.update(values)

    return change


def test_a_class_that_no_image_shows_is_refused(wanted: DetectionSettings) -> None:
    """Its objects lie in an image that isn't there: a detector would never find one."""

    def make(document: dict[str, Any]) -> None:
        every(category_id=7)(document)
        document["images"].append({"id": 99, "file_name": "gone.png"})
        square = {"id": 999, "image_id": 99, "category_id": 8, "bbox": [1, 1, 20, 20]}
        document["annotations"].append(square)

    changed(wanted.boxes, make)
    with pytest.raises(UsageError, match=r"objects of square .*lacks in images that can be used"):
        objects.read(wanted)
    changed(wanted.test_boxes, every(category_id=7))
    learnt, tested = objects.read(wanted)
    assert learnt.classes == tested.classes == ("disc",)


def test_objects_outside_images_and_too_thin_ones_to_learn_are_refused(
    wanted: DetectionSettings,
) -> None:
    for boxes in (wanted.test_boxes, wanted.boxes):
        whole = boxes.read_text()
        changed(boxes, every(bbox=[500, 500, 20, 20]))
        with pytest.raises(UsageError, match=f"{boxes.name} holds no object within the images"):
            objects.read(wanted)
        boxes.write_text(whole)
    changed(wanted.boxes, every(bbox=[5, 5, 0.9, 20]))
    with pytest.raises(UsageError, match=r"a\.json holds no object .*, none 1 pixel thick"):
        objects.read(wanted)
    changed(wanted.boxes, lambda document: document["annotations"][0].update(bbox=[5, 5, 20, 20]))
    with pytest.raises(UsageError, match=r"objects of \w+ \(1 classes\).*no thicker than a pixel"):
        objects.read(wanted)


def test_a_image_that_breaks_off_is_left_out(wanted: DetectionSettings) -> None:
    """Its header alone is whole: found only when it is decoded, after hours of training."""
    path = wanted.images / "1-001.png"
    path.write_bytes(path.read_bytes()[:4000])
    learnt, _ = objects.read(wanted)
    assert set(learnt.left_out) == {"1-001.png"}
    assert "1-001.png" not in [one.key for one in learnt.scenes]


# --- scores -------------------------------------------------------------------------------------


def made_up(rng: np.random.Generator, number: int, *, miss: float = 0.3) -> Images:
    """Images with a few objects, some found at a shifted place, some boxes at random."""
    images: list[tuple[Truth, list[Face]]] = []
    for _ in range(number):
        corners = rng.uniform(0, 80, (int(rng.integers(0, 5)), 2))
        sides = rng.uniform(8, 20, corners.shape)
        truth = [tuple(map(float, (*a, *(a + b)))) for a, b in zip(corners, sides, strict=True)]
        found = [
            Face(
                tuple(np.asarray(box) + rng.normal(0, 2, 4) * 0.6 + np.array([0, 0, 1, 1])),
                float(rng.beta(4, 2)),
                "test",
            )
            for box in truth
            if rng.random() > miss
        ]
        for x, y in rng.uniform(0, 80, (int(rng.poisson(0.8)), 2)):
            box = (float(x), float(y), float(x) + 12, float(y) + 12)
            found.append(Face(box, float(rng.beta(2, 3)), "test"))
        images.append((Truth(100, 100, tuple(truth)), found))  # type: ignore[arg-type]
    return images


def test_pseudo_values_are_what_leaving_a_group_out_changes() -> None:
    images = made_up(np.random.default_rng(1), 23)
    group = np.arange(23) % 5
    values = pseudo_values(rank(images, iou=0.5), group)
    whole = rank(images, iou=0.5).precision()
    left = np.array(
        [
            rank(some, iou=0.5).precision()
            for number in range(5)
            if (some := [one for one, g in zip(images, group, strict=True) if g != number])
        ]
    )
    assert values.mean() == pytest.approx(whole, abs=1e-12)
    assert values - values.mean() == pytest.approx(4 * (left.mean() - left), abs=1e-12)


def test_a_group_that_holds_every_object_changes_nothing() -> None:
    images = [*made_up(np.random.default_rng(2), 1, miss=0.0), (Truth(100, 100, ()), [])]
    images[0] = (Truth(100, 100, ((0.0, 0.0, 9.0, 9.0),)), [Face((0, 0, 9, 9), 0.9, "test")])
    assert pseudo_values(rank(images, iou=0.5), np.array([0, 1])).tolist() == [1.0, 1.0]


@pytest.mark.slow
def test_the_spread_of_pseudo_values_is_that_of_new_images() -> None:
    """How far apart 300 sets of new images are, against what each says of itself."""
    rng = np.random.default_rng(3)
    group = np.arange(120) % 40
    values = [pseudo_values(rank(made_up(rng, 120), iou=0.5), group) for _ in range(300)]
    truth = float(np.mean([one.mean() for one in values]))
    between = float(np.std([one.mean() for one in values], ddof=1))
    within = float(np.mean([one.var(ddof=1) / 40 for one in values]) ** 0.5)
    assert within == pytest.approx(between, rel=0.15)
    inside = 0
    for one in values:
        _, low, high = Score("mean AP", one, 120).interval()
        inside += low <= truth <= high
    assert 0.92 <= inside / 300 <= 0.98


@pytest.mark.slow
def test_scores_are_those_of_pycocotools(wanted: DetectionSettings) -> None:
    _, tested = objects.read(wanted)
    scene = tested.scenes[0]
    crowd = ((10.0, 10.0, 80.0, 80.0), 0)
    tested = objects.Scenes(
        tested.classes, (replace(scene, crowds=(crowd,)), *tested.scenes[1:]), {}
    )
    rng = np.random.default_rng(4)
    rows: list[tuple[int, tuple[float, ...], int, float]] = []
    for i, one in enumerate(tested.scenes):
        for box, number in one.objects:
            if rng.random() < 0.8:
                jitter = np.asarray(box) + rng.normal(0, 3, 4)
                rows.append((i, tuple(jitter), number, float(rng.random())))
        for _ in range(3):
            x, y = rng.uniform(0, 60, 2)
            box = (x, y, x + 20, y + 25)
            rows.append((i, box, int(rng.integers(2)), float(rng.random())))
    scene_of, boxes, classes, scores = zip(*rows, strict=True)
    found = training.FoundObjects(
        np.asarray(scene_of), np.asarray(boxes, np.float32), np.asarray(classes), np.asarray(scores)
    )
    ours = [one.interval()[0] for one in scoring.scores(found, tested)]
    theirs = by_pycocotools(found, tested)
    assert ours == pytest.approx([theirs[1], theirs[0]], abs=1e-9)


def by_pycocotools(found: training.FoundObjects, tested: objects.Scenes) -> list[float]:
    annotations = [
        {
            "id": 0,
            "image_id": i,
            "category_id": number,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": (x1 - x0) * (y1 - y0),
            "iscrowd": crowd,
        }
        for i, one in enumerate(tested.scenes)
        for crowd, some in enumerate((one.objects, one.crowds))
        for (x0, y0, x1, y1), number in some
    ]
    for number, one in enumerate(annotations, start=1):
        one["id"] = number
    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": i, "width": 96, "height": 96} for i in range(len(tested.scenes))],
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in enumerate(tested.classes)],
    }
    results = [
        {
            "image_id": int(i),
            "category_id": int(number),
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "score": float(score),
        }
        for i, (x0, y0, x1, y1), number, score in zip(
            found.scene,
            found.boxes.astype(float).tolist(),
            found.classes,
            found.scores,
            strict=True,
        )
    ]
    with redirect_stdout(StringIO()):
        truth.createIndex()
        judged = COCOeval(truth, truth.loadRes(results), "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return [float(judged.stats[0]), float(judged.stats[1])]


def test_images_without_a_box_of_a_class_are_not_matched(
    wanted: DetectionSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 80 classes most images show a few: matching all took minutes for each detector."""
    _, tested = objects.read(wanted)
    box = np.asarray([[1, 1, 20, 20]], dtype=np.float32)
    found = training.FoundObjects(
        np.array([2]), box, np.array([0]), np.array([0.5], dtype=np.float32)
    )
    calls: list[int] = []
    match = matching.match

    def counted(truth: Truth, faces: Sequence[Face], iou: float) -> Any:
        calls.append(len(faces))
        return match(truth, faces, iou)

    monkeypatch.setattr(precision, "match", counted)
    scoring.scores(found, tested)
    assert calls == [1] * 10


def test_groups_are_even_and_names_have_no_part() -> None:
    keys = [f"{i:05}" for i in range(450)]
    group = scoring.groups(keys)
    assert set(np.bincount(group)) == {2, 3}
    assert len(set(group)) == 200
    backwards = scoring.groups(keys[::-1])
    assert backwards[::-1].tolist() == group.tolist()


def test_changes_are_over_trainings_and_images() -> None:
    rng = np.random.default_rng(5)

    def models(mean: float, number: int = 3) -> list[list[Score]]:
        return [[Score("top-1", rng.normal(mean, 0.1, 400), 400)] for _ in range(number)]

    found = {("s", "original"): models(0.6), ("s", "fill"): models(0.5)}
    each, change = tables(found)
    assert [row[:4] for row in each["rows"]][3] == ["s", "fill", 0, "top-1"]
    ((task, features, measure, value, low, high, p, n, trainings, why),) = change["rows"]
    assert (task, features, measure, n, trainings, why) == ("s", "fill", "top-1", 400, 6, "")
    assert low < -0.1 < high
    assert low < value < high < 0
    assert p < 0.01
    assert "fill −10." in told(found)
    once = {("s", "original"): models(0.6, 1), ("s", "fill"): models(0.5, 1)}
    assert "not estimable: one seed only" in told(once)
    assert told({("s", "random weights"): models(0.5)}) == ""


# --- networks -----------------------------------------------------------------------------------

LAST_MAPS = {
    "small-cnn": {4: 128, 8: 128, 16: 128},
    "resnet18": {4: 64, 8: 128, 16: 256, 32: 512},
    "mobilenet_v2": {4: 24, 8: 32, 16: 96, 32: 1280},
    "vgg11": {4: 256, 8: 512, 16: 512, 32: 512},
    "densenet121": {4: 256, 8: 512, 16: 1024, 32: 1024},
    "squeezenet1_0": {4: 256, 8: 512, 16: 512},
    "timm/efficientnet_b0": {4: 24, 8: 40, 16: 112, 32: 1280},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LAST_MAPS)
def test_the_last_maps_of_each_stride(torchvision_operators: ModuleType, name: str) -> None:
    """ResNet's are the ends of its four stages, MobileNetV2's those of its blocks, and so on."""
    from sfumato.study.detection.network import Backbone

    torch = networks.need_torch()
    backbone = Backbone(networks.load(networks.NetworkSource(name, "", 10)), name, frozen=True)
    channels = [block[0].in_channels for block in backbone.pyramid.inner_blocks]
    assert dict(zip(backbone.strides, channels, strict=True)) == LAST_MAPS[name]
    maps = backbone(torch.zeros(2, 3, 128, 192))
    # The coarsest is subsampled once more. Squeezenet's edges are cut off.
    strides = [*LAST_MAPS[name], 2 * max(LAST_MAPS[name])]
    for one, stride in zip(maps.values(), strides, strict=True):
        assert one.shape[:2] == (2, 256)
        assert 128 / stride - 2 <= one.shape[2] <= 128 / stride
        assert 192 / stride - 2 <= one.shape[3] <= 192 / stride


@pytest.mark.slow
def test_normalisation_is_frozen_where_there_are_weights(torchvision_operators: ModuleType) -> None:
    from sfumato.study.detection.network import Backbone

    torch = networks.need_torch()
    for frozen in (True, False):
        backbone = Backbone(
            networks.load(networks.NetworkSource("small-cnn", "", 3)), "small-cnn", frozen=frozen
        ).train()
        before = {k: v.clone() for k, v in backbone.body.named_buffers()}
        backbone(torch.rand(2, 3, 64, 64))
        alike = all(torch.equal(v, before[k]) for k, v in backbone.body.named_buffers())
        assert alike == frozen


@pytest.mark.slow
def test_a_network_without_such_maps_is_refused(torchvision_operators: ModuleType) -> None:
    from sfumato.study.detection.network import Backbone

    for name in (
        "timm/vit_tiny_patch16_224",
        "swin_t",
        # They look at images of 256 pixels, but only what feeds their tokens is a map.
        "timm/vit_pwee_patch16_reg1_gap_256",
        "timm/swinv2_tiny_window8_256",
        "timm/xcit_nano_12_p16_224",
    ):
        network = networks.load(networks.NetworkSource(name, "", 5))
        with pytest.raises(UsageError, match=f"{name} doesn't halve its maps"):
            Backbone(network, name, frozen=True)


@pytest.mark.slow
def test_missing_operators_are_named(
    torchvision: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision import extension

    monkeypatch.setattr(extension, "_has_ops", lambda: False)
    with pytest.raises(MissingExtra, match=r"compiled operators.*take \[\[detection\]\] out"):
        training.need_operators()


@pytest.mark.slow
def test_operators_are_tried_where_networks_run(
    torchvision_operators: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torchvision's build for processors has none for graphics cards."""
    import torchvision

    training.need_operators()

    def nms(boxes: Any, *_: Any) -> None:
        if boxes.device.type != "cpu":
            raise NotImplementedError("Could not run 'torchvision::nms'. More")

    monkeypatch.setattr(torchvision.ops, "nms", nms)
    with pytest.raises(MissingExtra, match=r"don't work here on meta \(Could not run"):
        training.need_operators("meta")
    with pytest.raises(UsageError, match="no device 'nowhere'"):
        training.need_operators("nowhere")


# --- training -----------------------------------------------------------------------------------


def task_of(wanted: DetectionSettings, path: Path, **changes: Any) -> training.DetectorTraining:
    learnt, tested = objects.read(wanted)
    source = networks.NetworkSource("small-cnn", "", 3, seed=1)
    return replace(
        training.DetectorTraining(source, wanted, 2, learnt.scenes, tested.scenes, 0, path),
        **changes,
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_same_seed_same_boxes_also_after_a_kill(
    torchvision_operators: ModuleType,
    wanted: DetectionSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch = networks.need_torch()
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    first = training.fit(task_of(wanted, tmp_path / "first.npz")).read_bytes()
    assert torch.equal(torch.random.get_rng_state(), state)  # others draw as before
    learn = training._Run._step

    def killed(run: Any, epoch: int, *rest: Any) -> None:
        if epoch == 1:
            raise KeyboardInterrupt
        learn(run, epoch, *rest)

    second = task_of(wanted, tmp_path / "second.npz")
    monkeypatch.setattr(training._Run, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        training.fit(second)
    torch.manual_seed(99)
    steps: list[int] = []

    def counted(run: Any, epoch: int, *rest: Any) -> None:
        steps.append(epoch)
        learn(run, epoch, *rest)

    monkeypatch.setattr(training._Run, "_step", counted)
    assert training.fit(second).read_bytes() == first
    assert set(steps) == {1}
    assert sorted(one.name for one in tmp_path.glob("*.*")) == [
        "a.json", "b.json", "first.npz", "second.npz",
    ]  # fmt: skip
    other = training.fit(task_of(wanted, tmp_path / "other.npz", seed=1))
    assert other.read_bytes() != first


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_detector_learns_what_is_there_to_see(
    torchvision_operators: ModuleType, wanted: DetectionSettings, tmp_path: Path
) -> None:
    study_objects.write(tmp_path / "c", tmp_path / "c.json", count=24, seed=7)
    longer = replace(wanted, images=tmp_path / "c", boxes=tmp_path / "c.json", epochs=3)
    _, tested = objects.read(wanted)
    path = training.fit(task_of(longer, tmp_path / "learnt.npz"))
    found = training.read(path)
    assert found.boxes.min() >= 0
    assert found.boxes.max() <= study_objects.SIDE
    half, _ = scoring.scores(found, tested)
    untrained = replace(longer, rate=1e-9, epochs=1)
    path = training.fit(task_of(untrained, tmp_path / "untrained.npz"))
    nothing, _ = scoring.scores(training.read(path), tested)
    assert half.values.mean() > 0.5
    assert nothing.values.mean() < 0.2


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_rate_that_diverges_is_named(
    torchvision_operators: ModuleType, wanted: DetectionSettings, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"detector's loss became no number.*'shapes'"):
        training.fit(task_of(replace(wanted, rate=1e9), tmp_path / "never.npz"))
    assert not (tmp_path / "never.npz").exists()


STUDY = """
seeds = [0, 1]
workers = 1
[data]
images = "images"
boxes = "faces.csv"
folds = 2
[arms]
train = ["original", "fill"]
test = ["original"]
[[architectures]]
name = "small-cnn"
protocols = ["scratch"]
[training]
recipe = "small"
epochs = 1
batch = 6
size = 32
resize = 40
[consequences]
shortcut = false
gradcam = false
[[detection]]
name = "shapes"
images = "../a"
boxes = "../a.json"
test = "../b"
test-boxes = "../b.json"
epochs = 1
batch = 3
rate = 0.01
size = 32
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_study_transfers_to_detection(
    torchvision_operators: ModuleType, wanted: DetectionSettings, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    study_images.write_faces(tmp_path / "faces.csv", study_images.write(folder / "images", count=4))
    (tmp_path / "faces.csv").rename(folder / "faces.csv")
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")
    study = load(folder)
    transfer.check(study)
    outcome = runs.run(folder, study)
    (path,) = consequences.look(outcome.plan)
    (probe,) = read_probes(folder)
    assert probe.kind == "detection"
    each, change = probe.tables
    assert {row[1] for row in each["rows"]} == {"original", "fill", "random weights"}
    assert len(each["rows"]) == 3 * 2 * 2  # two seeds, two measures
    assert {row[1] for row in change["rows"]} == {"fill", "random weights"}
    assert "Faster R-CNN on small-cnn, trained on shapes. Changed by fill" in probe.headline
    written = path.stat().st_mtime_ns
    consequences.look(outcome.plan)
    assert path.stat().st_mtime_ns == written
    changed(wanted.test_boxes, lambda document: document["annotations"].pop())
    consequences.look(outcome.plan)
    assert path.stat().st_mtime_ns != written
    boxes = list((outcome.plan.cache / "detectors").iterdir())
    lacking = {"id": 99, "file_name": "gone.png"}
    changed(wanted.boxes, lambda document: document["images"].append(lacking))
    consequences.look(outcome.plan)
    assert "shapes (1 images left out)" in json.loads(path.read_text())["headline"]
    assert list((outcome.plan.cache / "detectors").iterdir()) == boxes  # nothing is learnt anew


def test_what_is_missing_is_said_before_anything_is_trained(wanted: DetectionSettings) -> None:
    study = load_with(wanted.images.parent, 'test-boxes = "nothing.json"')
    with pytest.raises(UsageError, match=r"detection 'shapes': .*nothing\.json doesn't exist"):
        transfer.check(study)


@pytest.mark.slow
def test_what_could_only_fail_after_training_is_said_before(
    torchvision_operators: ModuleType, wanted: DetectionSettings
) -> None:
    study = load_with(wanted.images.parent, 'test-boxes = "b.json"')
    assert transfer.check(study).objects[0][0].name == "shapes"
    no_maps = replace(study, architectures=(Architecture(name="swin_t"),))
    with pytest.raises(UsageError, match="swin_t doesn't halve its maps"):
        transfer.check(no_maps)
    wanted.test_boxes.write_text("no JSON")
    with pytest.raises(UsageError, match=r"b\.json: start: expected JSON"):
        transfer.check(study)


def test_tasks_of_one_name_are_refused(wanted: DetectionSettings) -> None:
    """The numbers of one would stand for both."""
    folder = wanted.images.parent
    load_with(folder, 'test-boxes = "b.json"')
    path = folder / "study.toml"
    path.write_text(path.read_text() + STUDY[STUDY.index("[[detection]]") :])
    with pytest.raises(UsageError, match="detection lists a value twice"):
        load(folder)


def load_with(folder: Path, line: str) -> Any:
    text = STUDY.replace('test-boxes = "../b.json"', line).replace("../", "")
    (folder / "study.toml").write_text(text, encoding="utf-8")
    return load(folder)
