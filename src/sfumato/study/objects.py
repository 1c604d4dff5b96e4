"""Pictures with boxes of objects, for transfer to detection."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from sfumato import codec
from sfumato.boxes import clip
from sfumato.errors import SampleError, UsageError
from sfumato.formats import coco, voc
from sfumato.formats.entries import Sheet
from sfumato.formats.imagefolder import ImageFolder
from sfumato.formats.name_match import pair
from sfumato.study.arms import Stored
from sfumato.study.configuration import Detection
from sfumato.types import Box

Object: TypeAlias = tuple[Box, int]  # a box and the index of its class


@dataclass(frozen=True, slots=True)
class Scene:
    """An upright picture of width by height pixels, and its objects, cut to the picture.

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
    """Pictures with objects of these classes; `left_out` says why others aren't among them."""

    classes: tuple[str, ...]
    scenes: tuple[Scene, ...]
    left_out: Mapping[str, str]
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        rows = [(one.key, one.stored.id, one.objects, one.crowds) for one in self.scenes]
        both = json.dumps([self.classes, rows]).encode()
        object.__setattr__(self, "digest", hashlib.sha256(both).hexdigest())


def read(wanted: Detection) -> tuple[Scenes, Scenes]:
    """Return the pictures to train on and those to test on, with the same classes.

    Raises:
        UsageError: pictures or boxes are missing, a picture is in both, or the classes differ.
    """
    learnt = _read(wanted.pictures, wanted.boxes)
    tested = _read(wanted.test or wanted.pictures, wanted.test_boxes)
    if strange := sorted(set(tested.classes) - set(learnt.classes)):
        raise UsageError(
            f"{wanted.test_boxes} has objects of {', '.join(strange[:5])} ({len(strange)} "
            f"classes), which {wanted.boxes} lacks: a detector can't learn them."
        )
    if both := {one.stored.id for one in learnt.scenes} & {one.stored.id for one in tested.scenes}:
        same = next(one.key for one in tested.scenes if one.stored.id in both)
        raise UsageError(
            f"{len(both)} pictures are to be trained and tested on, the first {same}: take them "
            f"out of {wanted.boxes} or {wanted.test_boxes}."
        )
    place = [learnt.classes.index(name) for name in tested.classes]
    scenes = tuple(
        Scene(
            one.key,
            one.stored,
            one.width,
            one.height,
            tuple((box, place[number]) for box, number in one.objects),
            tuple((box, place[number]) for box, number in one.crowds),
        )
        for one in tested.scenes
    )
    return learnt, Scenes(learnt.classes, scenes, tested.left_out)


def _read(root: Path, boxes: Path) -> Scenes:
    """Return the labelled pictures below a folder, with the classes of which there is an object."""
    source = ImageFolder(root)
    layout = voc if boxes.suffix == ".txt" else coco
    sheets = {sheet.name: sheet for sheet in layout.sheets(boxes)}
    keys = list(source.scan().pictures)
    pairing = pair(sheets, keys)
    if not pairing.names:
        raise UsageError(f"{boxes} names none of the {len(keys)} pictures below {root}.")
    found = {one.label for sheet in sheets.values() for one in sheet.drawn if not one.crowd}
    classes = tuple(sorted(found))
    if not classes:
        raise UsageError(f"{boxes} holds no object.")
    there = set(pairing.names.values())
    left_out = {name: f"isn't below {root}" for name in sheets if name not in there}
    left_out |= dict.fromkeys(pairing.ambiguous, f"several pictures of {boxes} may be this one")
    scenes: list[Scene] = []
    for key, name in pairing.names.items():
        try:
            scenes.append(_scene(source, key, sheets[name], classes))
        except (SampleError, ValueError) as error:
            left_out[key] = str(error)
    if not scenes:
        reason = next(iter(left_out.values()))
        raise UsageError(f"None of the pictures of {boxes} can be used: {reason}.")
    return Scenes(classes, tuple(scenes), left_out)


def _scene(source: ImageFolder, key: str, sheet: Sheet, classes: Sequence[str]) -> Scene:
    sample = source.sample(key)
    width, height = codec.inspect(sample.data).upright_size
    if sheet.size not in (None, (width, height)):
        raise ValueError(f"its boxes are for another size than its {width}x{height} pixels")
    objects: list[Object] = []
    crowds: list[Object] = []
    for one in sheet.drawn:
        box = clip(one.box, width, height)
        if box is not None and one.label in classes:
            (crowds if one.crowd else objects).append((box, classes.index(one.label)))
    stored = Stored(source.root / key, sample.digest)
    return Scene(key, stored, width, height, tuple(objects), tuple(crowds))
