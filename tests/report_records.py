"""Records of images that never were, for the tests of the report."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Final

from sfumato.errors import Code
from sfumato.release.report.data import About
from sfumato.release.report.tally import Tally
from sfumato.types import Detection, Face, Failure, Finding, Output, Record

ABOUT: Final = About(
    recipe={
        "detect": {"detectors": ["centerface@640:0.3", "yunet@960:0.6"], "boxes": ""},
        "obfuscate": {"method": "gaussian", "expand": 0.25, "colour": None},
        "verify": {"detectors": ["centerface@640:0.5"]},
    },
    fingerprint="0123456789abcdef" * 4,
    source="the-secret-source",
    version="1.2.3",
)
DIGEST: Final = "0" * 64

Listed = tuple[str, str, Sequence[Record]]  # key, label, records


def face(size: float = 40.0, *, x: float = 10.0, origin: str = "centerface") -> Face:
    return Face((x, 20.0, x + 0.8 * size, 20.0 + size), 0.75, origin)


def output(key: str, faces: Sequence[Face] = ()) -> Output:
    if not faces:
        return Output(key, DIGEST, DIGEST, "copied", "identical", "", ())
    return Output(key, DIGEST, DIGEST, "obfuscated", "reencoded", "gaussian", tuple(faces))


def detection(key: str, faces: Sequence[Face] = (), *, side: int = 500) -> Detection:
    return Detection(key, DIGEST, side, side, tuple(faces))


def finding(
    key: str, code: Code, *, passed: bool = True, value: float = 0.0, limit: float = 0.0
) -> Finding:
    return Finding(key, code, passed, value, limit, "" if passed else f"words about {key}")


def strength(key: str, value: float, limit: float = 0.2) -> Finding:
    return finding(key, Code.VERIFY_STRENGTH, passed=value <= limit, value=value, limit=limit)


def random_image(rng: random.Random, number: int) -> Listed:
    """Make an image of one of seven classes: refused, unfinished, copied or obfuscated."""
    label = f"class {rng.randrange(7)}"
    key = f"{label}/{number:04d}.jpg"
    fate = rng.random()
    if fate < 0.08:
        code = rng.choice([Code.IMAGE_DECODE, Code.IMAGE_EMPTY, Code.IMAGE_TOO_LARGE])
        return key, label, [Failure(key, "detect", code, f"private reason {number}")]
    if fate < 0.1:
        return key, label, []
    count = rng.choice([0, 0, 0, 1, 1, 2, 3, 12])
    faces = [
        face(rng.uniform(5, 400), x=rng.uniform(-5, 300), origin=rng.choice(["a-1", "b-2"]))
        for _ in range(count)
    ]
    found = rng.random() < 0.05
    checks = [finding(key, Code.VERIFY_FACE_FOUND, passed=not found, value=float(found))]
    if faces:
        checks.append(strength(key, rng.uniform(0, 0.22)))
    return key, label, [detection(key, faces), *checks, output(key, faces)]


def random_images(seed: int, count: int) -> list[Listed]:
    rng = random.Random(seed)
    return [random_image(rng, number) for number in range(count)]


def tallied(images: Sequence[Listed]) -> Tally:
    tally = Tally(ABOUT)
    for key, label, records in images:
        tally.add(key, label, records)
    return tally


# What a review came to, as its assessment holds it.
FIGURES: dict[str, Any] = {
    "layout": 2,
    "answers": 12,
    "reviewers": 3,
    "decided": 7,
    "disputed": 1,
    "agreement": {"value": 0.9, "low": 0.8, "high": 0.96, "n": 40},
    "gold": {"value": None, "low": None, "high": None, "n": 0},
    "seconds_per_image": 4.5,
    "estimate": {"sentence": "Between 2 and 9 faces are left <b>.", "short": "2 to 9"},
}
