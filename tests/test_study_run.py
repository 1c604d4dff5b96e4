"""A study that is run: the same bytes whatever the workers, nothing made twice, sentences."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sfumato.errors import MissingExtra, UsageError
from sfumato.study import consequences, group, networks, runs
from sfumato.study.configuration import Architecture, load
from sfumato.study.predictions import read_run, runs_of
from tests import study_images
from tests.command import sfumato

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STUDY = """
seeds = [0, 1]
workers = 1
[data]
images = "images"
boxes = "faces.csv"
folds = 2
[arms]
train = ["original", "fill"]
test = ["original", "reencoded", "fill", "random-fill"]
[[architectures]]
name = "small-cnn"
protocols = ["scratch"]
[training]
recipe = "small"
epochs = 2
batch = 6
size = 32
resize = 40
[consequences]
images = 9
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    faces = study_images.write(tmp_path / "study/images", count=4)
    study_images.write_faces(tmp_path / "study/faces.csv", faces)
    (tmp_path / "study/study.toml").write_text(STUDY, encoding="utf-8")
    return tmp_path / "study"


def weights(folder: Path) -> Path:
    """Write random weights of the small network with three classes, as a file that is brought."""
    torch = networks.need_torch()
    network = networks.load(networks.NetworkSource("small-cnn", "", 3, seed=5))
    torch.save(network.module.state_dict(), folder / "weights.pt")
    return folder / "weights.pt"


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.glob("runs/*/*"))
    }


def test_same_seed_same_bytes_whatever_the_number_of_workers(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    first = runs.run(folder, load(folder))
    assert (first.runs, first.made) == (16, 16)
    runs.run(other, replace(load(other), workers=3))
    assert files(folder) == files(other)
    assert len(files(folder)) == 32
    found = read_run(folder / "runs/small-cnn-scratch-fill-random-fill-seed1", logits=True)
    assert len(found.images) == 12
    assert found.logits is not None


def test_a_killed_study_goes_on_without_making_a_run_again(folder: Path, tmp_path: Path) -> None:
    runs.run(folder, load(folder))
    whole = files(folder)
    gone = [folder / "runs/small-cnn-scratch-fill-fill-seed0", folder / "cache", folder / "models"]
    for path in gone:
        shutil.rmtree(path)
    stamps = {path: path.stat().st_mtime_ns for path, _ in runs_of(folder)}
    again = runs.run(folder, load(folder))
    assert again.made == 1
    assert files(folder) == whole
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    assert runs.run(folder, load(folder)).made == 0
    # Another setting makes other runs of the same name.
    shorter = replace(load(folder), training=replace(load(folder).training, epochs=1))
    assert runs.run(folder, shorter).made == 16


def test_a_study_killed_outright_leaves_no_process_and_goes_on(
    folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    runs.run(other, load(other))
    script = folder / "run.py"
    script.write_text(
        "import sys\nfrom dataclasses import replace\nfrom pathlib import Path\n"
        "from sfumato.study import runs\nfrom sfumato.study.configuration import load\n"
        "if __name__ == '__main__':\n"
        "    home = Path(sys.argv[1])\n"
        "    runs.run(home, replace(load(home), workers=2))\n",
        encoding="utf-8",
    )
    marked = {**os.environ, "SFUMATO_TEST_MARK": str(folder)}
    process = subprocess.Popen([sys.executable, str(script), str(folder)], env=marked)
    deadline = time.monotonic() + 300
    while not list(folder.glob("models/*.pt")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.wait()
    while _marked(str(folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _marked(str(folder))
    assert not runs_are_there(folder)
    assert runs.run(folder, load(folder)).made == 16
    assert files(folder) == files(other)


def runs_are_there(folder: Path) -> bool:
    return any(folder.glob("runs/*/run.json"))


def _marked(mark: str) -> list[str]:
    """Return the processes that inherited a mark in their environment."""
    found: list[str] = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if f"SFUMATO_TEST_MARK={mark}".encode() in path.read_bytes():
                found.append(path.parent.name)
    return found


def test_a_training_that_was_killed_goes_on_after_its_last_epoch(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sfumato.study import training

    study = replace(load(folder), seeds=(0,))
    runs.run(folder, study)
    whole = {path.name: path.read_bytes() for path in folder.glob("models/*.pt")}
    shutil.rmtree(folder / "models")
    shutil.rmtree(folder / "runs")
    step, calls = training._Run._step, 0

    def dies(self: training._Run, *rest: object) -> float:
        nonlocal calls
        calls += 1
        if calls == 2:  # in the second epoch of the first model
            raise KeyboardInterrupt
        return step(self, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(training._Run, "_step", dies)
    with pytest.raises(KeyboardInterrupt):
        runs.run(folder, study)
    assert list(folder.glob("models/*.part"))
    monkeypatch.setattr(training._Run, "_step", step)
    runs.run(folder, study)
    again = {path.name: path.read_bytes() for path in folder.glob("models/*.pt")}
    assert again == whole


def test_probes_and_classifiers_as_they_are(folder: Path) -> None:
    path = weights(folder)
    (folder / "classes.txt").write_text("a striped\nb\nc\n", encoding="utf-8")
    study = replace(
        load(folder),
        architectures=(
            Architecture(name="small-cnn", weights=path.name, protocols=("probe", "as-is")),
        ),
        as_is=replace(load(folder).as_is, classes=folder / "classes.txt"),
    )
    outcome = runs.run(folder, study)
    assert outcome.runs == 16 + 4
    as_is = read_run(folder / "runs/small-cnn-as-is-original-original-seed0", logits=True)
    assert as_is.run.classes == ("a", "b", "c")
    # As the network itself says it, without this code's features, cache and processes.
    torch = networks.need_torch()
    network = networks.load(networks.NetworkSource("small-cnn", str(path)))
    from PIL import Image

    for key, found in zip(as_is.images[:3], as_is.logit_max[:3], strict=True):
        shown = np.asarray(Image.open(folder / "images" / key))
        given = torch.from_numpy(network.preparation.prepare(shown)[None])
        with torch.inference_mode():
            assert float(network.module(given).max()) == pytest.approx(float(found), abs=1e-4)
    kinds = {json.loads(p.read_text())["kind"] for p in consequences.look(outcome.plan)}
    assert kinds == {"shortcut", "gradcam"}


def test_fine_tuning_starts_from_the_given_weights(folder: Path) -> None:
    torch = networks.need_torch()
    path = weights(folder)
    given = torch.load(path, weights_only=True)["features.0.weight"]
    study = replace(
        load(folder),
        seeds=(0,),
        architectures=(
            Architecture(name="small-cnn", weights=path.name, protocols=("finetune", "scratch")),
        ),
    )
    assert runs.run(folder, study).made == 16

    def distance(protocol: str) -> float:
        (model,) = folder.glob(f"models/small-cnn-{protocol}-fill-seed0-part0-*.pt")
        found = torch.load(model, weights_only=True)["model"]["features.0.weight"]
        return float((found - given).norm() / given.norm())

    assert distance("finetune") < 0.2 < distance("scratch")


def test_a_device_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="There is no device 'nowhere' here: use cpu"):
        runs.run(folder, replace(load(folder), device="nowhere"))


def test_a_probe_with_a_folder_to_test_on_draws_its_training_images(folder: Path) -> None:
    faces = study_images.write(folder / "val", count=3, seed=9)
    study_images.write_faces(folder / "faces.csv", faces)
    weights(folder)
    study = load(folder)
    study = replace(
        study,
        data=replace(study.data, test=folder / "val"),
        architectures=(Architecture(name="small-cnn", weights="weights.pt", protocols=("probe",)),),
    )
    outcome = runs.run(folder, study)
    assert len(outcome.plan.test.keys) == 9
    splits = [outcome.plan.splits(seed)[0] for seed in (0, 1)]
    assert splits[0].train != splits[1].train
    assert splits[0].test == splits[1].test == tuple(outcome.plan.test.keys)


def test_transfer_has_a_baseline_of_random_weights(folder: Path) -> None:
    faces = study_images.write(folder / "other", count=8, seed=11)
    lines = [f"{key},{int(key[0] == 'a')},{int(box[0] > 14)}" for key, box in faces]
    (folder / "answers.csv").write_text("\n".join(["path,a,right", *lines]), encoding="utf-8")
    text = STUDY.replace("[consequences]", "[consequences]\nshortcut = false\ngradcam = false")
    text += '[[transfer]]\nname = "other"\nimages = "other"\n'
    text += '[[transfer]]\nname = "answers"\nimages = "other"\nlabels = "answers.csv"\n'
    (folder / "study.toml").write_text(text, encoding="utf-8")
    outcome = runs.run(folder, load(folder))
    (path,) = consequences.look(outcome.plan)
    rows = json.loads(path.read_text())["tables"][0]["rows"]
    assert {row[1] for row in rows} == {"original", "fill", "random weights"}
    assert {(row[0], row[3]) for row in rows} == {("other", "top-1"), ("answers", "mean AP")}
    assert all(row[5] <= row[4] <= row[6] for row in rows)


def test_of_several_processes_one_is_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert group.is_first()
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, first in (("0", True), ("1", False)):
        monkeypatch.setenv("RANK", rank)
        assert group.is_first() == first


def test_several_processes_train_together(folder: Path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    script = folder / "together.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom sfumato.study import runs\n"
        "from sfumato.study.configuration import load\n"
        "if __name__ == '__main__':\n"
        "    home = Path(sys.argv[1])\n"
        "    outcome = runs.run(home, load(home))\n"
        "    name = 'leads' if outcome.leads else 'follows'\n"
        "    (home / name).write_text(str(outcome.made))\n",  # their output may mix
        encoding="utf-8",
    )
    command = [*launcher, "--nproc-per-node", "2", str(script), str(folder)]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
        # Seen once: threads of torch's own that outlive the process abort it at its very end.
        if done.returncode == 0 or "terminate called without" not in done.stderr:
            break
        for name in ("runs", "models", "cache"):
            shutil.rmtree(folder / name, ignore_errors=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [(folder / name).read_text() for name in ("leads", "follows")] == ["16", "16"]
    assert len(runs_of(folder)) == 16
    assert len(list(folder.glob("models/*.pt"))) == 8  # 2 arms, 2 seeds, 2 parts


def test_a_rate_that_diverges_is_named(folder: Path) -> None:
    study = load(folder)
    study = replace(study, training=replace(study.training, rate=1e12, epochs=6))
    with pytest.raises(UsageError, match=r"training diverged\. Lower training.rate"):
        runs.run(folder, study)


def test_weights_that_do_not_fit_are_named(folder: Path) -> None:
    study = replace(
        load(folder),
        architectures=(Architecture(name="small-cnn", weights="w.pt", protocols=("probe",)),),
    )
    with pytest.raises(UsageError, match=r"There is no file .*w.pt"):
        runs.run(folder, study)
    networks.need_torch().save({"a": networks.need_torch().zeros(3, 3)}, folder / "w.pt")
    with pytest.raises(UsageError, match="aren't those of small-cnn"):
        runs.run(folder, study)
    (folder / "w.pt").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(UsageError, match=r"holds code, which is never run|can't be read"):
        runs.run(folder, study)


def test_mixed_precision_trains(folder: Path) -> None:
    study = load(folder)
    study = replace(study, seeds=(0,), training=replace(study.training, precision="bfloat16"))
    assert runs.run(folder, study).made == 8


def test_networks_of_torchvision_and_timm(torchvision: object, tmp_path: Path) -> None:
    torch = networks.need_torch()
    for name in ("torchvision/mobilenet_v2", "timm/resnet18", "squeezenet1_0"):
        network = networks.load(networks.NetworkSource(name, "", 7, seed=1))
        assert network.module(torch.zeros(1, 3, 64, 64)).shape == (1, 7)
        torch.save(network.module.state_dict(), tmp_path / "file.pt")
        again = networks.load(networks.NetworkSource(name, str(tmp_path / "file.pt")))
        given = torch.ones(1, 3, 64, 64)
        assert torch.equal(again.module(given), network.module(given))
        tuned = networks.with_classes(again, 3, seed=0)
        assert tuned.module(given).shape == (1, 3)
    with pytest.raises(UsageError, match="Neither torchvision nor timm"):
        networks.load(networks.NetworkSource("resnet19"))


def test_a_image_is_prepared_as_torchvision_does_it(torchvision: object) -> None:
    from PIL import Image
    from torchvision.transforms import v2

    from sfumato.study.preparation import IMAGENET_DEVIATION, IMAGENET_MEAN, Preparation

    torch = networks.need_torch()
    theirs = v2.Compose(
        [
            v2.Resize(256),
            v2.CenterCrop(224),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(IMAGENET_MEAN, IMAGENET_DEVIATION),
        ]
    )
    rng = np.random.default_rng(0)
    for width, height in ((500, 375), (333, 500), (227, 227), (301, 299)):
        shown = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        expected = theirs(Image.fromarray(shown)).numpy()
        assert np.allclose(Preparation().prepare(shown), expected, atol=1e-5)


def test_the_transform_works_among_those_of_torchvision(torchvision: object) -> None:
    from PIL import Image
    from torchvision.transforms import v2

    from sfumato.study.transforms import RandomFaceObfuscation

    torch = networks.need_torch()
    shown, box = study_images.image(np.random.default_rng(0), 0)
    train = v2.Compose([RandomFaceObfuscation(1.0, ("fill",)), v2.CenterCrop(32), v2.ToImage()])
    changed, target = train(Image.fromarray(shown), {"faces": [box], "label": 3})
    assert tuple(changed.shape) == (3, 32, 32)
    assert target["label"] == 3
    tensor = torch.from_numpy(np.ascontiguousarray(shown.transpose(2, 0, 1)))
    whole, _ = RandomFaceObfuscation(1.0, ("fill",))(tensor, {"faces": torch.tensor([box])})
    floats, _ = RandomFaceObfuscation(1.0, ("fill",))(tensor / 255, {"faces": [box]})
    assert whole.dtype == torch.uint8
    assert torch.allclose(floats * 255, whole.float(), atol=0.51)
    with pytest.raises(UsageError, match="before what makes batches"):
        RandomFaceObfuscation(1.0)(torch.zeros(2, 3, 8, 8))


def test_without_torchvision_its_networks_are_refused_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(MissingExtra, match="pip install 'sfumato"):
        networks.load(networks.NetworkSource("resnet18"))


def test_grad_cam_of_a_network_that_is_known_by_hand() -> None:
    from sfumato.study.gradcam import heatmap, inside
    from sfumato.study.preparation import Preparation

    torch = networks.need_torch()
    # Class 0 is the mean of red, class 1 its negative: the map is red itself, or nothing.
    layer = torch.nn.Conv2d(3, 1, 1, bias=False)
    head = torch.nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1))
        head.weight.copy_(torch.tensor([[1.0], [-1.0]]))
    mean = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    network = networks.Network(torch.nn.Sequential(layer, mean, head), head, Preparation(8, 8))
    image = np.zeros((3, 8, 8), dtype=np.float32)
    image[0, 2:4, 2:6] = 1.0
    found = heatmap(network, image, 0)
    assert np.allclose(found, image[0] / 8)
    assert not heatmap(network, image, 1).any()
    assert inside(found, [(2.0, 2.0, 4.0, 4.0)], 8) == pytest.approx((0.5, 4 / 64))
    assert inside(found, [(-9.0, 0.0, 90.0, 2.5)], 8) == pytest.approx((0.25, 20 / 64))


def test_a_probe_minimises_its_loss() -> None:
    from sfumato.study import probing

    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 90)
    features = (rng.normal(size=(90, 7)) + truth[:, None]).astype(np.float32)
    fitted = probing.fit(features, truth.astype(np.int64), 3, 0.01)
    scaled = (features - fitted.mean) / fitted.deviation
    scores = scaled @ fitted.weights.T + fitted.offsets
    shares = np.exp(scores - scores.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    shares[np.arange(90), truth] -= 1
    # The gradient of the documented loss is 0, so this is its minimum: it is convex.
    assert np.allclose(shares.T @ scaled / 90 + 0.01 * fitted.weights, 0, atol=1e-5)
    assert np.allclose(fitted.logits(features), scores)


def test_the_commands_init_and_run(folder: Path, tmp_path: Path) -> None:
    made = sfumato("study", "init", tmp_path / "new")
    assert made.code == 0, made.err
    assert (tmp_path / "new/study.toml").is_file()
    again = sfumato("study", "init", tmp_path / "new")
    assert again.code == 2
    assert "is there already" in again.err
    text = (folder / "study.toml").read_text().replace("seeds = [0, 1]", "seeds = [0]")
    (folder / "study.toml").write_text(text, encoding="utf-8")
    left = sfumato("study", "run", folder, "--dry-run", "--json")
    assert json.loads(left.out) == {"runs": 8, "left": 8}
    done = sfumato("study", "run", folder, "--json", "-q")
    assert done.code == 0, done.err
    assert json.loads(done.out) == {"runs": 8, "made": 8, "images": 12, "left_out": 0}
    wrong = sfumato("study", "run", folder, "--weights", "resnet18=w.pt")
    assert wrong.code == 2
    assert "say NAME=FILE with one of small-cnn" in wrong.err
