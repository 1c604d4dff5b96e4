"""Nobody can tell a gold question from another image by what leaves the server.

1,000 images are lent over HTTP to reviewers who write down everything that they are sent; half of
them are gold. A classifier is taught which were which, by cross-validation, and must do no better
than a coin: within three standard errors of the binomial distribution, 0.5 + 3 √(0.25 / n).
"""

from __future__ import annotations

import json
import re
import struct
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sfumato.boxes import misplaced
from sfumato.ledger.database import SQLite
from sfumato.review import likeness, people, quality
from sfumato.review.queue import Queue, Rules
from sfumato.review.vocabulary import Item, Mark
from sfumato.web.images import ServedImages, Wanted
from sfumato.web.limits import Limits
from tests.web_service import Browser, Service, served

LENT = 1000
SHUFFLES, DEVIATIONS = 40, 5
Table = NDArray[np.float64]
Digits = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def single(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values.astype(np.float32).astype(np.float64)


# How detectors write coordinates and scores: the finder's, a single network's, those of a file.
DETECTORS: dict[str, tuple[Digits, Digits]] = {
    "finder": (single, lambda scores: scores),
    "network": (single, single),
    "file": (lambda sides: sides.round(2), lambda scores: scores.round(3)),
    "whole pixels": (np.rint, lambda scores: scores.round(1)),
}


@dataclass
class Scene:
    """An image of a made-up set: what is in it, and what a detector says of it."""

    item: Item
    truth: tuple[Mark, ...]
    doubt: float


def scene(number: int, rng: np.random.Generator, detector: str) -> Scene:
    """Return an image with faces large and small, of which the small ones are doubtful."""
    sides_of, scores_of = DETECTORS[detector]
    width, height = [(500, 375), (375, 500), (640, 480), (500, 333), (1024, 768)][rng.integers(5)]
    truth, found = [], []
    for _ in range(min(int(rng.geometric(0.45)) - 1, 9)):
        tall = float(min(height * 0.8, 12 + rng.lognormal(3.6, 0.7)))
        wide = tall * float(rng.uniform(0.65, 0.85))
        x = float(rng.uniform(-0.1 * wide, width - 0.9 * wide))
        y = float(rng.beta(2, 3) * (height - 0.9 * tall))
        box = np.clip([x, y, x + wide, y + tall], 0, [width, height, width, height])
        truth.append(Mark(tuple(map(float, box))))  # type: ignore[arg-type]
        if rng.random() < 0.85:
            strong = 1 / (1 + np.exp(-rng.normal(np.log(tall / 20) * 2 + 1, 1)))
            found.append((box + rng.normal(0, 0.02, 4) * [wide, tall, wide, tall], strong))
    for _ in range(rng.poisson(0.4)):
        tall = float(rng.uniform(10, 60))
        x, y = rng.uniform(0, [width - tall, height - tall])
        found.append((np.array([x, y, x + tall, y + tall]), rng.beta(1, 6)))
    found.sort(key=lambda one: -one[1])
    marks = []
    for place, (box, score) in enumerate(found):
        exact = np.clip(sides_of(box), 0, [width, height, width, height])
        if exact[2] - exact[0] >= 1 and exact[3] - exact[1] >= 1:
            certain = float(np.clip(scores_of(np.array([score]))[0], 0, 1))
            sides = tuple(map(float, exact))
            marks.append(Mark(sides, "face", f"p{place}", certain, "f"))  # type: ignore[arg-type]
    doubt = sum(1 - (mark.score or 0) for mark in marks)
    key = f"{number:05d}.png"
    made = Item(key, f"{number:064x}", width, height, "", tuple(marks), 0, "risk", 1)
    return Scene(made, tuple(truth), doubt)


@contextmanager
def campaign(folder: Path, detector: str, count: int, golden: int) -> Iterator[Service]:
    """Open a queue of made-up images, doubtful ones first; some, drawn at random, are gold."""
    rng = np.random.default_rng(5)
    scenes = [scene(number, rng, detector) for number in range(count)]
    scenes.sort(key=lambda one: -one.doubt)
    with served(folder, 0) as service:
        queue = service.queue
        queue.fill(Item(**{**fields(one.item), "rank": rank}) for rank, one in enumerate(scenes))
        chosen = rng.choice(count, golden, replace=False).tolist()
        queue.add_gold({scenes[i].item.key: scenes[i].truth for i in chosen})
        yield service.again(limits=Limits(person=(10**9, 10**9), address=(10**9, 10**9)))


def fields(item: Item) -> dict[str, Any]:
    return {name: getattr(item, name) for name in Item.__dataclass_fields__}


def seen_by(browser: Browser, count: int) -> Iterator[tuple[dict[str, Any], list[tuple[str, str]]]]:
    """Have a reviewer accept so many images after the tutorial; yield all that was sent."""
    for number in range(count + 3):
        response = browser.send("POST", "/api/next", {"count": 1, "gallery": False})
        told = response.json()
        (lease,) = told["leases"]
        marks = [{key: mark[key] for key in ("id", "box", "proposal")} for mark in lease["marks"]]
        answer = {"verdict": "accept", "marks": marks, "seconds": 1.0, "scope": "whole"}
        given = browser.send("POST", f"/api/lease/{lease['token']}/answer", answer)
        assert given.status_code == 200, given.text
        headers = [*response.headers.items(), *given.headers.items()]
        if number >= 3:
            yield {**told, **lease, "receipt": given.text}, headers


class Notebook:
    """What a reviewer can write down of an image, as numbers."""

    def __init__(self) -> None:
        self.scores: Counter[float] = Counter()
        self.boxes: Counter[float] = Counter()

    def features(self, told: dict[str, Any], headers: list[tuple[str, str]]) -> list[float]:
        marks = told["marks"]
        scores = np.array([mark["score"] for mark in marks] or [0.0])
        boxes = np.array([mark["box"] for mark in marks] or [[0.0, 0.0, 1.0, 1.0]])
        sides = boxes[:, 2:] - boxes[:, :2]
        frame = np.array([told["width"], told["height"], told["width"], told["height"]])
        lengths = [len(repr(value)) for value in boxes.ravel().tolist()]
        again = [sum(self.scores[s] for s in scores.tolist()), self._known(sides)]
        self.scores.update(scores.tolist())
        found = [
            *again,
            len(json.dumps(told["marks"])),
            len(marks),
            len(set(scores.tolist())),
            *(scores.mean(), scores.min(), scores.max(), scores[0], scores[-1]),
            float((np.diff(scores) <= 0).all()),
            float((scores < 0.95).all()),
            float(np.mean([exact(score) for score in scores])),
            float(np.mean([len(repr(score)) for score in scores.tolist()])),
            float(np.mean([exact(value) for value in boxes.ravel()])),
            *(float(np.mean(lengths)), max(lengths), min(lengths)),
            *np.log(sides).mean(axis=0),
            *(np.log(sides).min(), np.log(sides).max()),
            float(np.log(sides[:, 1] / sides[:, 0]).mean()),
            float((sides.prod(axis=1) / frame[:2].prod()).sum()),
            *((boxes[:, :2] + boxes[:, 2:]) / 2 / frame[:2]).mean(axis=0),
            *(boxes / frame).min(axis=0),
            *(boxes / frame).max(axis=0),
            float(((boxes <= 0) | (boxes >= frame)).sum()),
            overlap(boxes),
            float(scores @ np.log(sides.prod(axis=1))),
            *(told["width"], told["height"], told["version"], float(told["whole"])),
            *(float(told["adjudication"]), told["expires"], told["left"]),
            *(len(told["token"]), len(told["image"]), len(told["receipt"]), len(told)),
            *(len(headers), sum(len(k) + len(v) for k, v in headers if k != "content-length")),
            *(len({mark["kind"] for mark in marks}), len({mark["id"][0] for mark in marks})),
        ]
        return [float(value) for value in found]

    def _known(self, sides: NDArray[np.float64]) -> int:
        names = [side for side in sides.round(3).ravel().tolist() if side % 1]
        known = sum(self.boxes[name] for name in names)
        self.boxes.update(names)
        return known


def exact(value: float) -> bool:
    return bool(struct.unpack("f", struct.pack("f", value))[0] == value)


def overlap(boxes: NDArray[np.float64]) -> float:
    """Return the largest IoU of two of the boxes."""
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    meet = np.clip(high - low, 0, None).prod(axis=2)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    ious = meet / (areas[:, None] + areas[None, :] - meet)
    np.fill_diagonal(ious, 0)
    return float(ious.max())


# --- a small classifier -------------------------------------------------------------------------


def logistic(x: Table, y: Table, test: Table) -> NDArray[np.bool_]:
    """Fit a ridge logistic regression by Newton's method; return what it says of other rows."""
    weights = np.zeros(x.shape[1])
    ridge = np.eye(x.shape[1]) * 3.0
    for _ in range(12):
        chances = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        gradient = x.T @ (y - chances) - ridge @ weights
        curve = (x * (chances * (1 - chances))[:, None]).T @ x + ridge
        weights += np.linalg.solve(curve, gradient)
    return np.asarray(test @ weights > 0)


def stump(x: Table, y: Table, test: Table) -> NDArray[np.bool_]:
    """Find the one number and the one limit that tell most; return what they say of other rows."""
    best, says = 0.0, (0, 0.0, True)
    for column in range(x.shape[1]):
        for limit in np.unique(np.quantile(x[:, column], np.linspace(0.02, 0.98, 25))):
            share = float(((x[:, column] > limit) == (y > 0)).mean())
            if max(share, 1 - share) > best:
                best, says = max(share, 1 - share), (column, float(limit), share >= 0.5)
    column, limit, above = says
    return np.asarray((test[:, column] > limit) == above)


def accuracy(x: Table, y: Table, fit: Callable[[Table, Table, Table], NDArray[np.bool_]]) -> float:
    """Return the share told rightly in five parts, each by what was learnt from the other four."""
    parts = np.random.default_rng(0).permutation(len(y)) % 5
    right = 0
    for part in range(5):
        train, held = parts != part, parts == part
        mean, spread = x[train].mean(axis=0), x[train].std(axis=0)
        scaled = (x - mean) / np.where(spread > 0, spread, 1)
        scaled = np.clip(np.column_stack([scaled, scaled**2, np.ones(len(x))]), -6, 6)
        right += int((fit(scaled[train], y[train], scaled[held]) == (y[held] > 0)).sum())
    return right / len(y)


def told(folder: Path, detector: str, monkeypatch: pytest.MonkeyPatch, lent: int) -> float:
    """Return by how much a classifier beats what it could reach by chance, below 0 if none does.

    Chance is what the same classifier reaches on the same rows with their labels shuffled: parts
    share what they were learnt from, so that it scatters more than a coin does.
    """
    monkeypatch.setattr(quality, "gold_share", lambda answered: 0.5)
    rows, golden = [], []
    folder.mkdir()
    with campaign(folder, detector, lent * 2, lent) as service:
        for _ in range(4):
            browser = service.browser()
            notebook = Notebook()
            for all_sent, headers in seen_by(browser, lent // 4):
                rows.append(notebook.features(all_sent, headers))
                golden.append(_is_gold(service, all_sent["token"]))
    x, y = np.array(rows), np.array(golden, dtype=np.float64)
    assert 0.3 < y.mean() < 0.7
    few = int(min(y.sum(), (1 - y).sum()))  # as many of each: a coin is right half the time
    rng = np.random.default_rng(1)
    chosen = np.concatenate([rng.permutation(np.flatnonzero(y == side))[:few] for side in (0, 1)])
    x, y = x[chosen], y[chosen]
    excess = []
    for fit in (logistic, stump):
        chance = [accuracy(x, rng.permutation(y), fit) for _ in range(SHUFFLES)]
        bound = np.mean(chance) + DEVIATIONS * np.std(chance)
        excess.append(accuracy(x, y, fit) - bound)
    return float(max(excess))


def beats_chance(folder: Path, detector: str, monkeypatch: pytest.MonkeyPatch, lent: int) -> float:
    """Return `told`; of what is told once, the less of it and of another campaign's.

    A leak shows in every campaign. What one campaign of few people shows by chance doesn't.
    """
    first = told(folder / "first", detector, monkeypatch, lent)
    return first if first <= 0 else min(first, told(folder / "second", detector, monkeypatch, lent))


def _is_gold(service: Service, token: str) -> bool:
    sql = "SELECT gold FROM review_assignments WHERE token = ?"
    return bool(service.database.rows(sql, (token,))[0][0])


@pytest.mark.slow
def test_a_classifier_tells_gold_no_better_than_a_coin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few, soon: what was sent before, told apart without an error, fails here."""
    assert beats_chance(tmp_path, "finder", monkeypatch, 200) <= 0


@pytest.mark.slow
@pytest.mark.parametrize("detector", DETECTORS)
def test_nor_from_a_thousand_images_of_any_detector(
    detector: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert beats_chance(tmp_path, detector, monkeypatch, LENT) <= 0


@pytest.mark.slow
def test_the_server_does_the_same_work_for_gold_and_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clocks tell work done: the same questions to the database, the same boxes made."""
    monkeypatch.setattr(quality, "gold_share", lambda answered: 0.5)
    work: dict[bool, Counter[tuple[str, ...]]] = {False: Counter(), True: Counter()}
    with campaign(tmp_path, "finder", 120, 60) as service:
        database = service.database
        assert isinstance(database, SQLite)
        done: list[str] = []
        database._writer.set_trace_callback(lambda text: done.append(shape(text)))
        monkeypatch.setattr("sfumato.review.gold.wrong", counted(likeness.wrong, done))
        monkeypatch.setattr(quality, "union_iou", counted(quality.union_iou, done))
        browser = service.browser()
        for number, (sent, _) in enumerate(seen_by(browser, 40)):
            if number:  # what the tutorial has cost is in the first
                work[_is_gold(service, sent["token"])][tuple(done)] += 1
            done.clear()
    assert min(sum(counts.values()) for counts in work.values()) > 8
    (first, _), (second, _) = (counts.most_common(1)[0] for counts in work.values())
    assert first == second


def shape(statement: str) -> str:
    """Return a statement without its values."""
    return re.sub(r"'(?:[^']|'')*'|\b[0-9.e+-]+\b", "?", statement).replace("NULL", "?")


def counted(function: Callable[..., Any], done: list[str]) -> Callable[..., Any]:
    def call(*values: Any, **named: Any) -> Any:
        if function.__name__ != "union_iou" or sys._getframe(1).f_code.co_name == "store":
            done.append(function.__name__)
        return function(*values, **named)

    return call


def test_a_image_that_others_have_seen_comes_no_sooner(tmp_path: Path) -> None:
    """Everybody sees gold questions: what lies ready from others would tell them."""
    made: list[str] = []
    with served(tmp_path, 4) as service:
        decode = ServedImages._decode

        def noted(self: ServedImages, wanted: Wanted) -> Any:
            made.append(wanted.key)
            return decode(self, wanted)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ServedImages, "_decode", noted)
            for _ in range(2):
                browser = service.browser()
                (lease,) = browser.next(1)
                for _ in range(2):  # the same person's second look costs nothing
                    assert browser.get(lease["image"]).status_code == 200
    assert len(made) == 2
    assert len(set(made)) == 1


@pytest.mark.parametrize("others", [0, 1])
def test_what_was_not_answered_comes_back_as_others_would(tmp_path: Path, others: int) -> None:
    """Once others were lent images, what lapsed before is theirs; gold always came back."""
    with served(tmp_path, 0) as service:
        rng = np.random.default_rng(2)
        scenes = [scene(number, rng, "finder") for number in range(40)]
        service.queue.fill(Item(**{**fields(s.item), "rank": r}) for r, s in enumerate(scenes))
        service.queue.add_gold({one.item.key: one.truth for one in scenes[20:]})
        queue = Queue(service.database, settings=Rules(tutorial=3), clock=service.time)
        ann, ben = (
            people.recognise(service.database, people.invite(service.database, name, "reviewer"))
            for name in ("ann", "ben")
        )
        assert ann is not None
        assert ben is not None
        lent = {lease.key for _ in range(8) for lease in queue.lease(ann)}
        golden = lent & {one.item.key for one in scenes[20:]}
        service.time.now += 10_000
        for _ in range(others * 8):
            queue.lease(ben)
        again = {lease.key for lease in queue.lease(ann, count=8)}
        assert again & golden == (set() if others else golden)


def test_where_no_image_lends_boxes_those_shown_are_wrong_all_the_same() -> None:
    alone = likeness.Pool([likeness.Donor(90, 60, ())])
    face = (Mark((10.0, 10.0, 30.0, 30.0)),)
    for pool in (alone, likeness.Pool([])):
        assert likeness.wrong(face, (90, 60), pool, 0.5, b"seed") == ()
        (made,) = likeness.wrong((), (90, 60), pool, 0.5, b"seed")
        assert not misplaced(made.box, 90, 60)
        assert made.proposal == "p0"
        assert likeness.wrong((), (90, 60), pool, 0.5, b"seed") == (made,)


def test_boxes_that_others_lend_never_pass_and_lie_in_the_image() -> None:
    rng = np.random.default_rng(4)

    def drawn(count: int, width: int, height: int) -> tuple[Mark, ...]:
        found = []
        for number in range(count):
            x0, y0 = rng.uniform(0, 0.7, 2) * (width, height)
            x1, y1 = (x0, y0) + rng.uniform(0.05, 0.3, 2) * (width, height)
            box = (float(x0), float(y0), float(x1), float(y1))
            found.append(Mark(box, "face", f"p{number}", float(rng.uniform(0.35, 0.99))))
        return tuple(found)

    sizes = [(90, 60), (200, 300), (640, 480)]
    lent = 0
    for turn in range(60):
        pool = likeness.Pool(likeness.Donor(*size, drawn(turn % 3 + 1, *size)) for size in sizes)
        truth = drawn(turn % 4, 90, 60)
        found = likeness.wrong(truth, (90, 60), pool, 0.5, b"%d" % turn)
        assert not quality.passes(found, truth)
        assert [mark.proposal for mark in found] == [f"p{n}" for n in range(len(found))]
        for x0, y0, x1, y1 in (mark.box for mark in found):
            assert 0 <= x0 < x1 <= 90
            assert 0 <= y0 < y1 <= 60
        assert likeness.wrong(truth, (90, 60), pool, 0.5, b"%d" % turn) == found
        lent += bool(found)
    assert lent > 50
