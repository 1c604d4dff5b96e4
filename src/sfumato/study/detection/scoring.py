"""Do features learnt on each arm serve object detection? A detector trained on each network.

The measure is COCO's average precision (Lin et al. 2014), averaged over classes: at an IoU of 0.5,
as PASCAL VOC has it, and over 0.5, 0.55, … 0.95. It is no mean over images; jackknife
pseudo-values of 200 groups of images stand for one (`stats.precision.pseudo_values`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sfumato.stats.matching import Truth
from sfumato.stats.precision import pseudo_values, rank
from sfumato.study.configuration import DetectionSettings
from sfumato.study.detection.objects import Object, Scenes
from sfumato.study.detection.training import DetectorTraining, FoundObjects, file_name, fit, read
from sfumato.study.looking import ModelLook
from sfumato.study.networks import NetworkSource
from sfumato.study.processes import spread
from sfumato.study.transfer import Score, Tried, sources, tables, told
from sfumato.types import JSON, Box, Face

_GROUPS: Final = 200
_IOUS: Final = tuple((50 + 5 * i) / 100 for i in range(10))
MEASURES: Final = ("mean AP at 0.5", "mean AP at 0.5 to 0.95")


def detected(tried: Tried, into: ModelLook, protocol: str, _: Path) -> JSON:
    """Return how well a detector does that is trained on the network of each arm."""
    found: dict[tuple[str, str], list[list[Score]]] = {}
    said: list[str] = []
    for wanted, learnt, tested in tried.objects:
        lacking = len(learnt.left_out) + len(tested.left_out)
        said.append(f"{wanted.name} ({lacking} images left out)" if lacking else wanted.name)
        tasks = {
            name: _detectors(into, wanted, (learnt, tested), several)
            for name, several in sources(into, protocol, trained_again=True).items()
        }
        spread_over = into.plan.workers if into.plan.device == "cpu" else 1
        paths = spread(fit, [one for some in tasks.values() for one in some], spread_over)
        for name, several in tasks.items():
            found[wanted.name, name] = [scores(read(next(paths)), tested) for _ in several]
    return {
        "headline": f"Faster R-CNN on {into.architecture.name}, trained on "
        f"{', '.join(said)}. {told(found)}".rstrip(),
        "tables": tables(found),
        "images": [],
    }


def _detectors(
    into: ModelLook,
    wanted: DetectionSettings,
    sides: tuple[Scenes, Scenes],
    networks: Sequence[NetworkSource],
) -> list[DetectorTraining]:
    learnt, tested = sides
    folder = into.plan.cache / "detectors"
    return [
        DetectorTraining(
            source,
            wanted,
            len(learnt.classes),
            learnt.scenes,
            tested.scenes,
            seed,
            folder / file_name(source, wanted, (learnt.digest, tested.digest), seed),
            into.plan.device,
        )
        for source, seed in zip(networks, into.plan.study.seeds, strict=True)
    ]


def scores(found: FoundObjects, tested: Scenes) -> list[Score]:
    """Return both measures of what a detector found; classes without an object don't count."""
    group = groups([one.key for one in tested.scenes])
    at: list[NDArray[np.float64]] = []
    judged = [_of_class(found, tested, number) for number in range(len(tested.classes))]
    judged = [images for images in judged if any(truth.faces for truth, _ in images)]
    for iou in _IOUS:
        values = [pseudo_values(rank(images, iou=iou), group) for images in judged]
        at.append(np.mean(values, axis=0))
    n = len(tested.scenes)
    return [
        Score(measure, values, n)
        for measure, values in zip(MEASURES, (at[0], np.mean(at, axis=0)), strict=True)
    ]


def groups(keys: Sequence[str]) -> NDArray[np.intp]:
    """Return a group of each image, 200 at most, of equal sizes, that names have no part in."""
    order = sorted(range(len(keys)), key=lambda i: hashlib.sha256(keys[i].encode()).digest())
    group = np.empty(len(keys), dtype=np.intp)
    group[order] = np.arange(len(keys)) % _GROUPS
    return group


def _of_class(found: FoundObjects, tested: Scenes, number: int) -> list[tuple[Truth, list[Face]]]:
    """Return each image's objects of a class and the boxes that were found for it."""
    boxes: list[list[Face]] = [[] for _ in tested.scenes]
    for i in np.flatnonzero(found.classes == number):
        x0, y0, x1, y1 = map(float, found.boxes[i])
        if x1 > x0 and y1 > y0:  # thinner than single precision can tell: no box
            boxes[found.scene[i]].append(Face((x0, y0, x1, y1), float(found.scores[i]), "network"))
    return [
        (Truth(one.width, one.height, _only(one.objects, number), _only(one.crowds, number)), faces)
        for one, faces in zip(tested.scenes, boxes, strict=True)
    ]


def _only(objects: Sequence[Object], number: int) -> tuple[Box, ...]:
    return tuple(box for box, of in objects if of == number)
