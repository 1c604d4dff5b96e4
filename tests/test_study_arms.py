"""The arms of a study: what each changes, where random patches lie, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfumato import obfuscation
from sfumato.errors import UsageError
from sfumato.imaging import codec
from sfumato.obfuscation import Gaussian
from sfumato.study import arms, configuration, images
from sfumato.study.arms import Making
from sfumato.study.configuration import Arms, Data, Remedy, Study
from sfumato.study.patches import Patch, Remedied
from sfumato.study.placement import draws, elsewhere
from sfumato.study.preparation import Preparation
from sfumato.study.recipes import RECIPES
from sfumato.study.transforms import RandomFaceObfuscation
from sfumato.types import Pixels
from tests import study_images
from tests.command import sfumato


@pytest.fixture
def data(tmp_path: Path) -> Data:
    faces = study_images.write(tmp_path / "images", count=2)
    study_images.write_faces(tmp_path / "faces.csv", faces[1:])  # the first has none
    return Data(images=tmp_path / "images", boxes=tmp_path / "faces.csv")


def made(data: Data, names: list[str], tmp_path: Path, **values: object) -> dict[str, arms.Arm]:
    making = Making(Arms(**values), Remedy(), tmp_path / "cache")  # type: ignore[arg-type]
    found, left_out = arms.make(images.collect(data.images, data), names, making)
    assert not left_out
    return found


def pixels(stored: arms.Stored) -> Pixels:
    shown = codec.decode(stored.path.read_bytes()).frames[0]
    return shown if stored.change is None else stored.change(shown)


def test_an_obfuscated_arm_differs_from_the_original_under_the_faces_alone(
    data: Data, tmp_path: Path
) -> None:
    found = made(data, ["original", "gaussian", "random-gaussian", "reencoded"], tmp_path)
    collection = images.collect(data.images, data)
    for one in collection.images:
        before, after = (pixels(found[name].files[one.key]) for name in ("original", "gaussian"))
        expected = obfuscation.make("gaussian")(before, one.faces)
        assert np.array_equal(after, expected)
        assert np.array_equal(before, after) == (not one.faces)
    untouched = collection.images[0]
    assert not untouched.faces
    for name in ("gaussian", "random-gaussian"):  # the very file, so it is seen only once
        assert found[name].files[untouched.key] == found["original"].files[untouched.key]
    reencoded = found["reencoded"].files[untouched.key].path.read_bytes()
    assert codec.inspect(reencoded).format == "JPEG"


def test_random_places_leave_faces_as_they_are_and_change_as_much_elsewhere(
    data: Data, tmp_path: Path
) -> None:
    found = made(data, ["original", "random-fill"], tmp_path)
    changed = 0
    for one in images.collect(data.images, data).images:
        before, after = (pixels(found[name].files[one.key]) for name in ("original", "random-fill"))
        for x0, y0, x1, y1 in one.faces:
            rows, columns = slice(int(y0), int(y1)), slice(int(x0), int(x1))
            assert np.array_equal(before[rows, columns], after[rows, columns])
            changed += not np.array_equal(before, after)
    assert changed >= 3


@given(
    width=st.integers(40, 900),
    height=st.integers(40, 900),
    shapes=st.lists(st.tuples(st.integers(1, 120), st.integers(1, 120)), min_size=1, max_size=4),
    seed=st.integers(0, 5),
)
@settings(max_examples=12, deadline=None)
def test_patches_lie_inside_the_image_and_their_covers_touch_no_face_and_no_other(
    width: int, height: int, shapes: list[tuple[int, int]], seed: int
) -> None:
    face = (0.0, 0.0, width / 4, height / 3)
    boxes = [(0.0, 0.0, float(w), float(h)) for w, h in shapes]
    placed = elsewhere(boxes, [face], (width, height), draws(seed, "x"))
    assert placed == elsewhere(boxes, [face], (width, height), draws(seed, "x"))
    covers = Gaussian().reaches(placed)
    for box, cover in zip(placed, covers, strict=True):
        assert min(box[:2]) >= 0
        assert (box[2] <= width, box[3] <= height) == (True, True)
        for other in [face, *(one for one in covers if one is not cover)]:
            apart = (
                cover[2] <= other[0]
                or other[2] <= cover[0]
                or cover[3] <= other[1]
                or other[3] <= cover[1]
            )
            assert apart


def test_a_patch_that_fits_nowhere_is_left_out() -> None:
    assert elsewhere([(0, 0, 50, 50)], [(0, 0, 60, 60)], (64, 64), draws(0)) == []


def test_a_release_is_read_and_what_it_lacks_is_in_no_arm(data: Data, tmp_path: Path) -> None:
    study_images.write(tmp_path / "release", count=2, covered=lambda name, number: True)
    (tmp_path / "release/b/001.png").unlink()
    collection = images.collect(data.images, data)
    making = Making(Arms(releases={"fill": tmp_path / "release"}), Remedy(), tmp_path / "cache")
    found, left_out = arms.make(collection, ["original", "fill"], making)
    assert list(left_out) == ["b/001.png"]
    assert found["original"].files.keys() == found["fill"].files.keys()
    labelling = images.label(collection, None)
    arms.check_complete(found, labelling, collection)
    (tmp_path / "release/b/000.png").unlink()
    found, _ = arms.make(collection, ["original", "fill"], making)
    with pytest.raises(UsageError, match=r"1 classes have no image in all arms, such as 'b'"):
        arms.check_complete(found, labelling, collection)


def test_without_any_face_an_obfuscated_arm_is_refused(data: Data, tmp_path: Path) -> None:
    collection = images.collect(data.images, replace(data, boxes=None))
    with pytest.raises(UsageError, match="would be the original"):
        arms.faces_are_there(collection, ["original", "gaussian"], Arms())


def test_shares_under_faces_count_overlaps_once(data: Data) -> None:
    collection = images.collect(data.images, data)
    found = images.regions([collection], 0.0)
    assert found.face_area_share[0] == 0
    face = (study_images.FACE / study_images.SIDE) ** 2
    assert found.face_area_share[1:] == pytest.approx(face, abs=1e-6)
    assert np.isnan(found.overlap).all()


def test_the_transform_covers_faces_with_probability_p_and_keeps_types() -> None:
    rng = np.random.default_rng(0)
    shown, box = study_images.image(rng, 0)
    always = RandomFaceObfuscation(1.0, ("fill",), rng=np.random.default_rng(1))
    changed, target = always(shown, {"faces": [box], "label": 3})
    assert target == {"faces": [box], "label": 3}
    assert np.array_equal(changed, obfuscation.make("fill")(shown, [box]))
    never = RandomFaceObfuscation(0.0, rng=np.random.default_rng(1))
    assert np.array_equal(never((shown, {"faces": [box]}))[0], shown)
    half = RandomFaceObfuscation(0.5, ("fill",), rng=np.random.default_rng(1))
    share = np.mean(
        [not np.array_equal(half(shown, {"faces": [box]})[0], shown) for _ in range(400)]
    )
    assert share == pytest.approx(0.5, abs=0.1)


def test_elsewhere_covers_what_is_no_face() -> None:
    shown, (x0, y0, x1, y1) = study_images.image(np.random.default_rng(0), 0)
    change = RandomFaceObfuscation(0.0, ("fill",), elsewhere=1.0, rng=np.random.default_rng(1))
    changed, _ = change(shown, {"faces": np.array([[x0, y0, x1, y1]])})
    rows, columns = slice(int(y0), int(y1)), slice(int(x0), int(x1))
    assert np.array_equal(changed[rows, columns], shown[rows, columns])
    assert not np.array_equal(changed, shown)
    assert not np.array_equal(change(shown), shown)  # an image alone, without faces


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sedes = [1]", r"aren't known: sedes"),
        ("[data]\nimages = 'x'\nfold = 3", r"aren't known in data: fold"),
        ("seeds = ['one']", r"seeds can't be 'one': it must be a whole number"),
        ("seeds = [1]", r"lacks data"),
        ("[arms]\ntrain = ['blur']\n[data]\nimages='x'", r"'blur' is not an arm"),
        ("[arms]\ntest = ['remedy-fill']\n[data]\nimages='x'", r"is for training alone"),
        ("[data]\nimages='x'\nboxes='b'\ndetector='fast'", r"come from one of"),
        ("[data]\nimages='x'\n[training]\nrecipe='yang'", r"recipe must be one of"),
    ],
)
def test_a_wrong_configuration_is_refused_with_a_sentence(
    text: str, said: str, tmp_path: Path
) -> None:
    network = "\n[[architectures]]\nname = 'small-cnn'\n"
    (tmp_path / "study.toml").write_text(text + network, encoding="utf-8")
    with pytest.raises(UsageError, match=said):
        configuration.load(tmp_path)


def test_a_probe_without_weights_is_refused(tmp_path: Path) -> None:
    text = "[data]\nimages='x'\n[[architectures]]\nname='resnet18'\nprotocols=['probe']"
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="resnet18: probe needs weights"):
        configuration.load(tmp_path)


def test_what_init_writes_can_be_read_and_the_published_recipe_is_there(tmp_path: Path) -> None:
    assert sfumato("study", "init", tmp_path).code == 0
    study = configuration.load(tmp_path)
    assert isinstance(study, Study)
    assert study.data.images == tmp_path / "images"
    paper = replace(study.training, recipe="yang2022")
    recipe = paper.resolved(architecture="resnet50")
    assert (recipe.rate, recipe.momentum, recipe.weight_decay) == (0.1, 0.9, 1e-4)
    assert (recipe.epochs, recipe.batch, recipe.step) == (90, 256, 30)
    assert (recipe.size, recipe.resize) == (224, 256)
    assert paper.resolved(architecture="torchvision/alexnet").rate == 0.01


def test_labels_that_do_not_match_are_refused(data: Data, tmp_path: Path) -> None:
    collection = images.collect(data.images, data)
    groups = tmp_path / "groups.csv"
    groups.write_text("folder,class\na,x\nb,y\n", encoding="utf-8")
    with pytest.raises(UsageError, match="no class for 1 of 3 folders: c"):
        images.label(collection, groups)
    groups.write_text("folder,class\na,x\nb,y\nc,\n", encoding="utf-8")
    labelling = images.label(collection, groups)
    assert labelling.classes == ("x", "y")
    assert not any(key.startswith("c/") for key in labelling.labels)
    with pytest.raises(UsageError, match="2 classes have fewer than 5 images, such as x"):
        images.check_classes(collection, labelling, 5)
    groups.write_text("n01 tench\nn02 goldfish\n", encoding="utf-8")
    with pytest.raises(UsageError, match="labels don't match"):
        images.label_as_is(collection, groups)


def test_what_fingerprints_are_made_of_keeps_its_name() -> None:
    # Runs made by an older version would be made again.
    assert repr(RECIPES["small"]) == (
        "Recipe(epochs=30, batch=64, rate=0.05, momentum=0.9, weight_decay=0.0005, step=0, "
        "size=64, resize=64, smallest_crop=0.5, flip=True, low_rate=None, finetune_rate=0.01)"
    )
    assert repr(Preparation()) == (
        "Preparation(size=224, resize=256, mean=(0.485, 0.456, 0.406), "
        "deviation=(0.229, 0.224, 0.225), filter='bilinear')"
    )
    assert repr(Patch("fill", (0, 1, 2, 3), (0.5, 0.25))) == (
        "Patch(method='fill', box=(0, 1, 2, 3), taken=(0.5, 0.25))"
    )
    assert repr(Remedied(1.0, 0.5, ("fill",), (), 0, "a")) == (
        "Remedied(p=1.0, elsewhere=0.5, methods=('fill',), faces=(), seed=0, key='a')"
    )
