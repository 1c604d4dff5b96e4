"""What a study is made of: one TOML file, read into frozen dataclasses; unknown keys are refused.

Paths in the file are relative to its folder. `Study.settings` gives the parts that predictions
depend on, as plain JSON, for the fingerprints of runs; workers and devices are none of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from sfumato.annotations.documents import read_toml
from sfumato.annotations.toml_tables import build
from sfumato.errors import UsageError
from sfumato.ledger.database import is_url
from sfumato.obfuscation import METHODS
from sfumato.study.recipes import RECIPES, Recipe
from sfumato.types import JSON

FILE: Final = "study.toml"
Protocol: TypeAlias = Literal["probe", "finetune", "scratch", "as-is"]
Precision: TypeAlias = Literal["float32", "bfloat16", "float16"]
# Where the weights come from when they aren't a file.
NO_WEIGHTS, PACKAGE, DOWNLOAD = "", "package", "download"
_RANDOM, _REMEDY = "random-", "remedy-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Labelled images in class folders, and where their faces are.

    Without `test`, every image is tested by a model that hasn't seen it: one of `folds` parts is
    left out at a time. `groups` is a CSV file with the columns `folder,class` that gives folders
    other classes. Faces come from one of `boxes` (a file), `ledger` (of `sfumato detect`) and
    `detector` (a profile of the package, slow). `objects` are the boxes of the labelled objects.
    """

    images: Path
    test: Path | None = None
    name: str = ""
    boxes: Path | None = None
    ledger: Path | None = None
    detector: str = ""
    objects: Path | None = None
    groups: Path | None = None
    folds: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Arms:
    """The arms that models are trained and tested on.

    `quality` is that of the arm `reencoded` (JPEG 4:2:0; 75 is what Pillow does when it isn't
    told). `expand` grows the boxes. `seed` draws the places of `random-…` and what `remedy-…`
    changes. `releases` are folders to be read instead of made: an arm's name to a path.
    """

    train: tuple[str, ...] = ("original", "gaussian")
    test: tuple[str, ...] = ("original", "reencoded", "gaussian", "random-gaussian")
    quality: int = 75
    expand: float = 0.25
    seed: int = 0
    releases: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A network, where its weights come from, and what is done with it."""

    name: str
    weights: str = NO_WEIGHTS
    protocols: tuple[Protocol, ...] = ("scratch",)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSettings:
    """A linear probe: `l2` is the weight of the squared coefficients against the mean loss."""

    l2: float = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class AsIs:
    """A pretrained classifier's own classes, one a line, in the order of its outputs."""

    classes: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """A recipe by name; what is given besides replaces its values (`sfumato.study.recipes`)."""

    recipe: str = "yang2022"
    epochs: int | None = None
    batch: int | None = None
    rate: float | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    step: int | None = None
    size: int | None = None
    resize: int | None = None
    smallest_crop: float | None = None
    flip: bool | None = None
    precision: Precision = "float32"

    def resolved(self, *, finetune: bool = False, architecture: str = "") -> Recipe:
        """Return the recipe with these values in it, for this architecture."""
        given = {
            one.name: getattr(self, one.name)
            for one in fields(self)
            if one.name not in ("recipe", "precision") and getattr(self, one.name) is not None
        }
        recipe = RECIPES[self.recipe].of(architecture, finetune=finetune)
        return replace(recipe, **given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """What the arms `remedy-<method>` do to training images (`sfumato.study.transforms`)."""

    p: float = 1.0
    elsewhere: float = 0.5
    methods: tuple[str, ...] = ("gaussian", "pixelate", "fill")


@dataclass(frozen=True, slots=True, kw_only=True)
class Consequences:
    """Which unintended consequences are looked for, and on how many images at most."""

    shortcut: bool = True
    gradcam: bool = True
    images: int = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Another labelled folder: one class a folder, or `labels`, a CSV of `path,label,…` columns.

    In `labels` every column but the first is a yes-or-no question (1 or 0): multi-label.
    """

    name: str
    images: Path
    labels: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionSettings:
    """Other images with boxes of objects: a detector is trained on some and tested on others.

    `boxes` and `test_boxes` are COCO JSON or lists of PASCAL VOC (`ImageSets/Main/test.txt`);
    `test` are the tested images, below `images` where it isn't given. The detector is
    torchvision's Faster R-CNN with a feature pyramid, on each network of the study. Stochastic
    gradient descent with momentum 0.9 and weight decay 1e-4; the rate by ten after two thirds and
    eight ninths of the epochs, and linear in the first 100 steps, as usual for PASCAL VOC. The
    shorter side of an image becomes `size`, the longer one at most 5/3 of it.
    """

    name: str
    images: Path
    boxes: Path
    test_boxes: Path
    test: Path | None = None
    epochs: int = 18
    batch: int = 16
    rate: float = 0.02
    size: int = 480

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch) < 1 or not self.rate > 0 or self.size < 32:
            raise UsageError(
                f"detection {self.name!r}: epochs and batch must be at least 1, rate above 0 and "
                "size at least 32."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A whole study; `workers` 0 is one for each core, and changes no result."""

    data: Data
    arms: Arms = Arms()
    architectures: tuple[Architecture, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)
    probe: ProbeSettings = ProbeSettings()
    as_is: AsIs = AsIs()
    training: TrainingSettings = TrainingSettings()
    remedy: Remedy = Remedy()
    consequences: Consequences = Consequences()
    transfer: tuple[Transfer, ...] = ()
    detection: tuple[DetectionSettings, ...] = ()
    workers: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        _check(self)

    def settings(self, *parts: str) -> JSON:
        """Return these parts as plain JSON, without paths: what they hold is counted elsewhere."""
        values = {part: getattr(self, part) for part in parts}
        plain: JSON = json.loads(json.dumps(values, default=_plain, sort_keys=True))
        return plain


def load(folder: Path) -> Study:
    """Read `study.toml` of a study's folder.

    Raises:
        UsageError: the file is missing or isn't TOML, has an unknown key, or holds a wrong value.
    """
    path = folder / FILE
    try:
        values = read_toml(path)
    except FileNotFoundError as error:
        raise UsageError(
            f"There is no {path}: `sfumato study init {folder}` writes one."
        ) from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} can't be read: {error}.") from error
    data = values.get("data")
    ledger = data.get("ledger") if isinstance(data, dict) else None
    if isinstance(ledger, str) and is_url(ledger):  # not quoted: it may hold a password
        raise UsageError(f"{path}: data.ledger must be a file: a study reads no server.")
    study = build(Study, values, "", path)
    if not isinstance(study, Study):
        raise TypeError(f"read a {type(study).__name__}")
    return study


def method_of(arm: str) -> str:
    """Return the method of an arm, "" for `original` and `reencoded`.

    Raises:
        UsageError: there is no such arm.
    """
    if arm in ("original", "reencoded"):
        return ""
    method = arm.removeprefix(_RANDOM).removeprefix(_REMEDY)
    if method not in METHODS or arm not in (method, _RANDOM + method, _REMEDY + method):
        raise UsageError(
            f"{arm!r} is not an arm: choose original, reencoded, {', '.join(METHODS)}, or random- "
            "or remedy- before a method."
        )
    return method


def is_random(arm: str) -> bool:
    """Tell whether an arm covers random places instead of faces."""
    return arm.startswith(_RANDOM)


def is_remedy(arm: str) -> bool:
    """Tell whether an arm changes training images to close the gap."""
    return arm.startswith(_REMEDY)


def _check(study: Study) -> None:
    for arm in (*study.arms.train, *study.arms.test, *study.arms.releases):
        method_of(arm)
    if remedies := [arm for arm in study.arms.test if is_remedy(arm)]:
        raise UsageError(f"{remedies[0]} is for training alone: take it out of arms.test.")
    if not (study.arms.train and study.arms.test and study.seeds and study.architectures):
        raise UsageError("A study needs arms.train, arms.test, seeds and [[architectures]].")
    for name, values in (
        ("seeds", study.seeds),
        ("arms.train", study.arms.train),
        ("transfer", [one.name for one in study.transfer]),
        ("detection", [one.name for one in study.detection]),
    ):
        if len(set(values)) != len(values):
            raise UsageError(f"{name} lists a value twice.")
    if study.data.test is None and study.data.folds < 2:
        raise UsageError(f"data.folds must be at least 2, not {study.data.folds}.")
    if sum(bool(x) for x in (study.data.boxes, study.data.ledger, study.data.detector)) > 1:
        raise UsageError("Faces come from one of data.boxes, data.ledger and data.detector.")
    if study.training.recipe not in RECIPES:
        raise UsageError(f"training.recipe must be one of {', '.join(RECIPES)}.")
    _check_ranges(study)


def _check_ranges(study: Study) -> None:
    if not 1 <= study.arms.quality <= 100:
        raise UsageError(f"arms.quality must lie in 1 to 100, not {study.arms.quality}.")
    if study.probe.l2 <= 0:
        raise UsageError("probe.l2 must be above 0, or the probe has no single solution.")
    if not (0 <= study.remedy.p <= 1 and 0 <= study.remedy.elsewhere <= 1):
        raise UsageError("remedy.p and remedy.elsewhere are probabilities: 0 to 1.")
    if wrong := [method for method in study.remedy.methods if method not in METHODS]:
        raise UsageError(f"remedy.methods: {wrong[0]!r} is not one of {', '.join(METHODS)}.")
    if study.workers < 0:
        raise UsageError("workers must be at least 0.")
    for architecture in study.architectures:
        needs = [p for p in architecture.protocols if p in ("probe", "as-is")]
        if needs and architecture.weights == NO_WEIGHTS:
            raise UsageError(
                f"{architecture.name}: {needs[0]} needs weights: a file, {PACKAGE!r} or "
                f"{DOWNLOAD!r}."
            )
        if "as-is" in architecture.protocols and study.as_is.classes is None:
            raise UsageError("The protocol as-is needs as_is.classes, a file of class names.")


def _plain(value: Any) -> Any:
    return "" if isinstance(value, Path) else asdict(value)
