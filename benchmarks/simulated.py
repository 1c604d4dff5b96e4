"""A simulated crowd: people of known quality, a detector with planted errors, and their answers.

Faces differ in how easily they are seen, the same for everybody: what one careful person misses,
others likely miss too. So answers are not independent given the truth, which Dawid and Skene
assume; a simulation that kept to their model would flatter it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from labels import RULES, images_of, read
from PIL import Image

from sfumato import boxes
from sfumato.review.quality import gold_share, passes
from sfumato.review.vocabulary import Answer, Given, Mark
from sfumato.types import Box

TOUCHES = 0.1  # IoU from which on a person takes a box to be meant for a face
ORIENTATION = 0x0112  # the EXIF tag
FITS = 0.6  # IoU from which on nobody moves it
_ATTEMPTS = 20  # at boxes that are wrong and look like a detector's
_INEXACT = 0.03  # of a side: how far a right box may lie from the true one
_SMALLEST = 4.0  # pixels a side of a box made up


@dataclass(frozen=True, slots=True)
class Scene:
    """An image with its faces. `ease` are log odds added to the chance of seeing each face."""

    key: str
    width: int
    height: int
    faces: tuple[Box, ...]
    ease: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Habit:
    """What somebody does: chances in [0, 1] for a face or a box of ordinary difficulty.

    `keeps` right boxes, `drops` false ones, `mends` badly placed ones, `finds` faces without a box.
    Boxes drawn lie around the face with a standard deviation of `jitter` of its size; `redraws`
    even the good ones. `adds` is the mean number of invented boxes an image.
    """

    name: str
    keeps: float = 1.0
    drops: float = 0.0
    mends: float = 0.0
    finds: float = 0.0
    jitter: float = 0.0
    redraws: bool = False
    adds: float = 0.0
    unsure: float = 0.0


CAREFUL = Habit("careful", 0.99, 0.95, 0.95, 0.92, 0.04, adds=0.01, unsure=0.005)
SLOPPY = Habit("sloppy", 0.95, 0.6, 0.4, 0.6, 0.1, adds=0.08)
JITTERING = Habit("jittering", 0.98, 0.9, 0.9, 0.85, 0.2, redraws=True, adds=0.02)
ACCEPTS = Habit("accepts all")
REJECTS = Habit("rejects all", keeps=0.0, drops=1.0)
CROWD: Mapping[Habit, int] = {CAREFUL: 10, SLOPPY: 5, JITTERING: 3, ACCEPTS: 1, REJECTS: 1}
SPAMMERS = frozenset({ACCEPTS.name, REJECTS.name})


def scenes(data: Path, sets: Sequence[str]) -> list[Scene]:
    """Return the labelled images of these sets, or 800 made-up ones where there is no data."""
    if not all((data / RULES[name].folder).is_dir() for name in sets):
        return made_up(800)
    found = []
    for name in sets:
        for labelled in read(name, data):
            with Image.open(labelled.path) as image:
                width, height = boxes.upright_size(*image.size, image.getexif().get(ORIENTATION, 1))
            key = f"{name}/{labelled.path.relative_to(images_of(name, data)).as_posix()}"
            inside = [boxes.clip(face, width, height) for face in labelled.faces]
            faces = tuple(face for face in inside if face)
            found.append(Scene(key, width, height, faces, ()))
    return found


def made_up(count: int, seed: int = 0) -> list[Scene]:
    """Return images of 640 by 480 with 0 to some 12 faces of 8 to 120 pixels, apart."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        faces: list[Box] = []
        for _ in range(int(rng.geometric(0.35)) - 1):
            side = float(np.exp(rng.uniform(np.log(8), np.log(120))))
            x, y = float(rng.uniform(0, 640 - side)), float(rng.uniform(0, 480 - 1.2 * side))
            box = (x, y, x + side, y + 1.2 * side)
            if not faces or boxes.iou(boxes.as_boxes([box]), boxes.as_boxes(faces)).max() == 0:
                faces.append(box)
        made.append(Scene(f"made/{number:04}", 640, 480, tuple(faces), ()))
    return made


def with_ease(scene: Scene, rng: np.random.Generator) -> Scene:
    """Return the scene with an ease of each face: small ones are harder, and all differ."""
    sides = (math.sqrt((x1 - x0) * (y1 - y0)) for x0, y0, x1, y1 in scene.faces)
    return replace(
        scene,
        ease=tuple(
            float(rng.normal(0.3, 0.7)) - (2.0 if side < 16 else 1.0 if side < 32 else 0.0)
            for side in sides
        ),
    )


# --- what they do -------------------------------------------------------------------------------


def detect(scene: Scene, rng: np.random.Generator) -> tuple[Mark, ...]:
    """Return a detector's boxes with planted errors.

    15 % of ordinary faces are missed, 10 % of the rest are badly placed (moved by 0.3 to 0.6 of the
    size), the others lie within 4 %; 0.4 boxes an image show nothing.
    """
    found: list[Box] = []
    for face, ease in zip(scene.faces, scene.ease, strict=True):
        if rng.random() > _chance(0.85, ease):
            continue
        angle, by = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.6) * (rng.random() < 0.1)
        w, h = face[2] - face[0], face[3] - face[1]
        dx, dy = float(by * w * np.cos(angle)), float(by * h * np.sin(angle))
        moved = (face[0] + dx, face[1] + dy, face[2] + dx, face[3] + dy)
        found += _inside([_shaken(moved, 0.04, rng)], scene)
    found += [_invented(scene, rng) for _ in range(int(rng.poisson(0.4)))]
    order = rng.permutation(len(found)).tolist()
    return tuple(Mark(found[i], "face", f"p{n}", 0.7) for n, i in enumerate(order))


def look(
    scene: Scene,
    habit: Habit,
    shown: Sequence[Mark],
    ease: Sequence[float],
    rng: np.random.Generator,
) -> Answer:
    """Return what a person of this habit says of an image shown with these boxes.

    `ease` follows the boxes: log odds by which a false one is easier to tell.
    """
    seconds = float(rng.lognormal(2.0, 0.5))
    if rng.random() < habit.unsure:
        return Answer("unsure", tuple(shown), seconds)
    meant = _meant(scene, shown)
    marks = []
    for mark, face, easy in zip(shown, meant, ease, strict=True):
        marks += _handled(scene, habit, mark, (face, easy), rng)
    for face in sorted(set(range(len(scene.faces))) - set(meant)):
        if rng.random() < _chance(habit.finds, scene.ease[face]):
            drawn = _shaken(scene.faces[face], habit.jitter, rng)
            marks += [Mark(box) for box in _inside([drawn], scene)]
    marks += [Mark(_invented(scene, rng)) for _ in range(int(rng.poisson(habit.adds)))]
    return Answer("accept" if marks == list(shown) else "correct", tuple(marks), seconds)


def _meant(scene: Scene, shown: Sequence[Mark]) -> list[int]:
    """Return for each box the face it is meant for, best fits first; -1 for none."""
    fits = boxes.iou(boxes.as_boxes([m.box for m in shown]), boxes.as_boxes(scene.faces))
    face = [-1] * len(shown)
    for flat in np.argsort(-fits, axis=None, kind="stable").tolist():
        i, j = divmod(flat, len(scene.faces))
        if fits[i, j] >= TOUCHES and face[i] < 0 and j not in face:
            face[i] = j
    return face


def _handled(
    scene: Scene,
    habit: Habit,
    mark: Mark,
    about: tuple[int, float],
    rng: np.random.Generator,
) -> list[Mark]:
    """Return what becomes of a box that was shown."""
    face, ease = about
    if face < 0:
        return [] if rng.random() < _chance(habit.drops, ease) else [mark]
    if rng.random() > habit.keeps:
        return []
    right = boxes.iou(boxes.as_boxes([mark.box]), boxes.as_boxes([scene.faces[face]]))[0, 0] >= FITS
    if habit.redraws if right else rng.random() < habit.mends:
        moved = _inside([_shaken(scene.faces[face], habit.jitter, rng)], scene)
        return [replace(mark, box=box) for box in moved]
    return [mark]


def _chance(usual: float, ease: float) -> float:
    """Return a chance moved by log odds; 0 and 1 stay."""
    if usual in {0.0, 1.0}:
        return usual
    return 1 / (1 + math.exp(-(math.log(usual / (1 - usual)) + ease)))


def _shaken(box: Box, jitter: float, rng: np.random.Generator) -> Box:
    w, h = box[2] - box[0], box[3] - box[1]
    by = np.clip(rng.normal(0, jitter, 4), -0.45, 0.45) * (w, h, w, h)
    x0, y0, x1, y1 = (np.array(box) + by).tolist()
    return (x0, y0, x1, y1)


def _inside(places: Sequence[Box], scene: Scene) -> list[Box]:
    cut = (boxes.clip(box, scene.width, scene.height) for box in places)
    return [box for box in cut if box]


def _invented(scene: Scene, rng: np.random.Generator) -> Box:
    """Return a box anywhere, of the size of a face of the image or of 5 to 25 % of its side."""
    if scene.faces:
        x0, y0, x1, y1 = scene.faces[int(rng.integers(len(scene.faces)))]
        w, h = x1 - x0, y1 - y0
    else:
        w = h = float(rng.uniform(0.05, 0.25)) * min(scene.width, scene.height)
    x, y = float(rng.uniform(0, scene.width - w)), float(rng.uniform(0, scene.height - h))
    return (x, y, x + w, y + h)


# --- a campaign ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Campaign:
    """Images to review and gold ones, what the detector proposed, and who reviews.

    `tell` follows the proposals of each image: how easily a false one is told, for everybody.
    """

    open_: tuple[Scene, ...]
    gold: tuple[Scene, ...]
    proposals: Mapping[str, tuple[Mark, ...]]
    tell: Mapping[str, tuple[float, ...]]
    people: Mapping[str, Habit]


def campaign(images: Sequence[Scene], gold: int, rng: np.random.Generator) -> Campaign:
    """Return a campaign over these images, of which so many, drawn by chance, are gold."""
    drawn = [with_ease(images[i], rng) for i in rng.permutation(len(images)).tolist()]
    proposals = {scene.key: detect(scene, rng) for scene in drawn}
    tell = {key: tuple(rng.normal(0.3, 0.7, len(p)).tolist()) for key, p in proposals.items()}
    habits = [habit for habit, count in CROWD.items() for _ in range(count)]
    people = {f"person-{n:02}": _own(habit, rng) for n, habit in enumerate(habits)}
    return Campaign(tuple(drawn[gold:]), tuple(drawn[:gold]), proposals, tell, people)


def _own(habit: Habit, rng: np.random.Generator) -> Habit:
    """Return a person's own version of a habit: chances moved by some log odds."""
    keeps, drops, mends, finds = (
        _chance(usual, float(rng.normal(0, 0.3)))
        for usual in (habit.keeps, habit.drops, habit.mends, habit.finds)
    )
    return replace(habit, keeps=keeps, drops=drops, mends=mends, finds=finds)


def reviewed(campaign_: Campaign, replicas: int, rng: np.random.Generator) -> list[Given]:
    """Return the answers: each image by so many people, gold in between as `gold_share` says."""
    given = []
    people = list(campaign_.people)
    answered = dict.fromkeys(people, 0)
    left = {person: rng.permutation(len(campaign_.gold)).tolist() for person in people}
    for scene in campaign_.open_:
        for i in rng.permutation(len(people))[:replicas].tolist():
            person = people[i]
            while left[person] and rng.random() < gold_share(answered[person]):
                gold = campaign_.gold[left[person].pop()]
                given.append(_checked(gold, person, campaign_.people[person], rng))
                answered[person] += 1
            shown, tell = campaign_.proposals[scene.key], campaign_.tell[scene.key]
            answer = look(scene, campaign_.people[person], shown, tell, rng)
            given.append(Given(scene.key, "0" * 64, person, answer, shown))
            answered[person] += 1
    return given


def _checked(scene: Scene, person: str, habit: Habit, rng: np.random.Generator) -> Given:
    truth = tuple(Mark(face) for face in scene.faces)
    shown = _spoilt(truth, scene.width, scene.height, int(rng.integers(2**62)))
    tell = rng.normal(0.3, 0.7, len(shown)).tolist()
    answer = look(scene, habit, shown, tell, rng)
    return Given(scene.key, "0" * 64, person, answer, shown, truth)


def _spoilt(
    truth: Sequence[Mark],
    width: int,
    height: int,
    seed: int,
) -> tuple[Mark, ...]:
    """Return wrong boxes for a gold image of this size, which never pass the check themselves.

    Faces are left out, moved or cut short, and boxes are added where nothing is. They have ids
    ("p0", …) and scores as proposals have. The same arguments give the same boxes.
    """
    rng = np.random.default_rng(seed)
    places = [mark.box for mark in truth]
    for _ in range(_ATTEMPTS):
        wrong = [bad for mark in truth for bad in _worse(mark, width, height, rng)]
        added = int(rng.integers(0, 2)) if truth else int(rng.integers(1, 3))
        wrong += [_made_up(places, width, height, rng) for _ in range(added)]
        shuffled = [wrong[i] for i in rng.permutation(len(wrong)).tolist()]
        if not passes(shuffled, truth):
            return _as_proposals(shuffled, rng)
    return ()  # of faces that fill the image, boxes that are moved still pass; no box doesn't


def _worse(mark: Mark, width: int, height: int, rng: np.random.Generator) -> list[Mark]:
    """Return a face's box about as it was, moved, cut short, or not at all.

    Not quite as it was, because a detector's right boxes aren't exact either.
    """
    what = rng.choice(["kept", "moved", "cut", "left out"], p=[0.2, 0.35, 0.15, 0.3])
    if what == "left out":
        return []
    by = rng.uniform(-_INEXACT, _INEXACT, 4)  # of each side, in parts of the size
    if what == "moved":
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.6)
        by += distance * np.tile([np.cos(angle), np.sin(angle)], 2)
    elif what == "cut":
        left, top = rng.uniform(0, 0.4, 2)
        by += (left, top, left - 0.4, top - 0.4)
    x0, y0, x1, y1 = mark.box
    dx0, dy0, dx1, dy1 = (by * np.tile([x1 - x0, y1 - y0], 2)).tolist()
    inside = boxes.clip((x0 + dx0, y0 + dy0, x1 + dx1, y1 + dy1), width, height)
    return [Mark(inside, mark.kind, score=mark.score)] if inside else []


def _made_up(faces: Sequence[Box], width: int, height: int, rng: np.random.Generator) -> Mark:
    """Return a box that hides as little of the faces as one of eight tries does; face-sized."""
    tries = [_anywhere(faces, width, height, rng) for _ in range(8)]
    hidden = [boxes.covered(box, faces) if faces else 0.0 for box in tries]
    return Mark(tries[hidden.index(min(hidden))])


def _anywhere(faces: Sequence[Box], width: int, height: int, rng: np.random.Generator) -> Box:
    """Return a box inside the image, about as large as one of the faces."""
    if faces:
        x0, y0, x1, y1 = faces[int(rng.integers(len(faces)))]
        w, h = x1 - x0, y1 - y0
    else:
        w = h = float(rng.uniform(0.06, 0.25)) * min(width, height)
    w = min(max(w * float(rng.uniform(0.8, 1.25)), _SMALLEST), float(width))
    h = min(max(h * float(rng.uniform(0.8, 1.25)), _SMALLEST), float(height))
    x, y = float(rng.uniform(0, width - w)), float(rng.uniform(0, height - h))
    return (x, y, x + w, y + h)


def _as_proposals(marks: Sequence[Mark], rng: np.random.Generator) -> tuple[Mark, ...]:
    """Number the boxes as proposals are, and give a score to those without one."""
    scores = rng.uniform(0.35, 0.99, len(marks)).round(3).tolist()
    return tuple(
        Mark(mark.box, mark.kind, f"p{i}", made if mark.score is None else mark.score)
        for i, (mark, made) in enumerate(zip(marks, scores, strict=True))
    )
