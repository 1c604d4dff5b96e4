"""Images with boxes of objects, for transfer to detection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeAlias

from sfumato.annotations import coco, voc
from sfumato.annotations.entries import Sheet
from sfumato.annotations.name_match import pair
from sfumato.boxes import clip
from sfumato.errors import SampleError, UsageError
from sfumato.imaging import codec
from sfumato.sources import open_source
from sfumato.study.arms import Stored
from sfumato.study.configuration import DetectionSettings
from sfumato.study.files import digest
from sfumato.types import Box, Sample

Object: TypeAlias = tuple[Box, int]  # a box and the index of its class
THINNEST: Final = 1.0  # pixel: nothing is to be learnt of a box that is thinner


@dataclass(frozen=True, slots=True)
class Scene:
    """An upright image of width by height pixels, and its objects, cut to the image.

    In `crowds` a box of the class is neither right nor wrong.
    """

    key: str
    stored: Stored
    width: int
    height: int
    objects: tuple[Object, ...]
    crowds: tuple[Object, ...] = ()


@dataclass(frozen=True, slots=True)
class Scenes:
    """Images with objects of these classes; `left_out` says why others aren't among them."""

    classes: tuple[str, ...]
    scenes: tuple[Scene, ...]
    left_out: Mapping[str, str]
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        rows = [(one.key, one.stored.id, one.objects, one.crowds) for one in self.scenes]
        object.__setattr__(self, "digest", digest([self.classes, rows]))


def read(wanted: DetectionSettings) -> tuple[Scenes, Scenes]:
    """Return the images to train on and those to test on, with the same classes.

    Raises:
        UsageError: images or boxes are missing, an image is in both, or the classes differ.
    """
    learnt = _read(wanted.images, wanted.boxes, THINNEST)
    tested = _read(wanted.test or wanted.images, wanted.test_boxes, 0.0)
    if strange := sorted(set(tested.classes) - set(learnt.classes)):
        raise UsageError(
            f"{wanted.test_boxes} has objects of {', '.join(strange[:5])} ({len(strange)} "
            f"classes), which {wanted.boxes} lacks in images that can be used, or has no thicker "
            "than a pixel: a detector can't learn them."
        )
    if both := {one.stored.id for one in learnt.scenes} & {one.stored.id for one in tested.scenes}:
        same = next(one.key for one in tested.scenes if one.stored.id in both)
        raise UsageError(
            f"{len(both)} images are to be trained and tested on, the first {same}: take them "
            f"out of {wanted.boxes} or {wanted.test_boxes}."
        )
    return learnt, _renumbered(tested, learnt.classes)


def thickness(box: Box) -> float:
    """Return the shorter side in pixels."""
    return min(box[2] - box[0], box[3] - box[1])


def _read(root: Path, boxes: Path, thinnest: float) -> Scenes:
    """Return the labelled images below a folder.

    Their classes are those of which an image that can be used has an object as thick as that.
    """
    source = open_source(root)
    sheets = _sheets(boxes)
    keys = list(source.scan().images)
    pairing = pair(sheets, keys)
    if not pairing.names:
        raise UsageError(f"{boxes} names none of the {len(keys)} images below {root}.")
    names = tuple(sorted({one.label for sheet in sheets.values() for one in sheet.drawn}))
    place = {name: i for i, name in enumerate(names)}
    there = set(pairing.names.values())
    left_out = {name: f"isn't below {root}" for name in sheets if name not in there}
    left_out |= dict.fromkeys(pairing.ambiguous, f"several images of {boxes} may be this one")
    scenes: list[Scene] = []
    for key, name in pairing.names.items():
        try:
            scenes.append(_scene(root, source.sample(key), sheets[name], place))
        except (SampleError, ValueError) as error:
            left_out[key] = str(error)
    if not scenes:
        reason = next(iter(left_out.values()))
        raise UsageError(f"None of the images of {boxes} can be used: {reason}.")
    used = {i for one in scenes for box, i in one.objects if thickness(box) >= thinnest}
    if not used:
        raise UsageError(
            f"{boxes} holds no object within the images below {root}"
            f"{f', none {thinnest:g} pixel thick' if thinnest else ''}."
        )
    return _renumbered(Scenes(names, tuple(scenes), left_out), [names[i] for i in sorted(used)])


def _sheets(boxes: Path) -> dict[str, Sheet]:
    layout = voc if boxes.suffix == ".txt" else coco
    sheets: dict[str, Sheet] = {}
    for sheet in layout.sheets(boxes):
        if sheet.name in sheets:
            raise UsageError(
                f"{boxes}: two annotations say that their image is {sheet.name}: correct the "
                "filename in one."
            )
        sheets[sheet.name] = sheet
    return sheets


def _renumbered(given: Scenes, classes: Sequence[str]) -> Scenes:
    """Return the same with these classes; what is of no class among them goes."""
    place = {name: i for i, name in enumerate(classes)}
    new = [place.get(name, -1) for name in given.classes]

    def kept(objects: Sequence[Object]) -> tuple[Object, ...]:
        return tuple((box, new[number]) for box, number in objects if new[number] >= 0)

    scenes = (
        replace(one, objects=kept(one.objects), crowds=kept(one.crowds)) for one in given.scenes
    )
    return Scenes(tuple(classes), tuple(scenes), given.left_out)


def _scene(root: Path, sample: Sample, sheet: Sheet, place: Mapping[str, int]) -> Scene:
    # Not the header alone: what breaks off later would end a training that took hours.
    height, width = codec.decode(sample.data).frames[0].shape[:2]
    if sheet.size not in (None, (width, height)):
        raise ValueError(f"its boxes are for another size than its {width}x{height} pixels")
    objects: list[Object] = []
    crowds: list[Object] = []
    for one in sheet.drawn:
        box = clip(one.box, width, height)
        if box is not None:
            (crowds if one.crowd else objects).append((box, place[one.label]))
    stored = Stored(root / sample.key, sample.digest)
    return Scene(sample.key, stored, width, height, tuple(objects), tuple(crowds))
