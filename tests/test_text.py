"""Harmless text: labels, lists and licences pass; an image that is written as text doesn't."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from sfumato.sources import numbers
from sfumato.sources.text import OVERLAP, PART, TextScan, objection
from tests import text_images

ROOT = Path(__file__).resolve().parents[1]

FILES: dict[str, Callable[[], bytes]] = {
    "a JPEG": text_images.jpeg,
    "a small JPEG": lambda: text_images.jpeg(32, 40),
    "raw grey": lambda: text_images.grey().tobytes(),
    "raw colours": lambda: text_images.colours().tobytes(),
}


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_no_way_to_write_a_file_as_text_passes(file: str) -> None:
    passed = [way for way, data in text_images.encodings(FILES[file]()) if not objection(data)]
    assert passed == []


@pytest.mark.slow
def test_no_way_to_write_pixels_as_text_passes() -> None:
    ways = dict(text_images.pixels())
    assert len(ways) > 40
    assert [way for way, data in ways.items() if not objection(data, "x.txt")] == []


def test_kinds_that_hold_images_or_private_things_are_named() -> None:
    kinds = list(text_images.kinds())
    assert len(kinds) > 35
    assert [name for name, data in kinds if not objection(data, f"folder/{name}")] == []


@pytest.mark.slow
@pytest.mark.parametrize("group", text_images.LABELS)
def test_labels_pass(group: str) -> None:
    files = dict(text_images.LABELS[group]())
    found = {what: objection(text.encode(), "labels/x.txt") for what, text in files.items()}
    assert found == dict.fromkeys(files)


@pytest.mark.slow
def test_real_documents_pass() -> None:
    documents = [
        *(ROOT / name for name in ("README.md", "LICENSE", "NOTICE", "pyproject.toml")),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "licenses").iterdir(),
        *(ROOT / "src/sfumato/annotations").glob("*.py"),
    ]
    assert len(documents) > 30
    objected = {path.name: objection(path.read_bytes(), path.name) for path in documents}
    # Its own words are among the source of what looks for them.
    assert {name for name, why in objected.items() if why} <= {"text_kinds.py"}


@pytest.mark.parametrize("place", [0, PART - 700, PART, PART + OVERLAP - 5, 2 * PART + 100])
@pytest.mark.parametrize("part", [PART, pytest.param(100_001, marks=pytest.mark.slow)])
def test_a_image_is_found_wherever_it_lies_in_a_large_file(place: int, part: int) -> None:
    text = large_text()
    image = next(iter(text_images.encodings(text_images.jpeg(48))))[1]
    data = text[:place] + b"\n" + image + b"\n" + text[place:]
    assert fed(data, part) == objection(image)
    assert objection_to_large_text(part) is None


def large_text() -> bytes:
    words = b"a line of words, as in any caption; " * 3
    return (words + b"\n") * (3 * PART // len(words))


@cache
def objection_to_large_text(part: int) -> str | None:
    return fed(large_text(), part)


def fed(data: bytes, part: int) -> str | None:
    scan = TextScan()
    for at in range(0, len(data), part):
        scan.feed(data[at : at + part])
    return scan.finish()


def test_a_character_across_the_border_of_two_parts_is_no_objection() -> None:
    data = "ä".encode() * 5 + b" x\n"
    assert fed(data, 1) is None
    assert fed(data[:-4], 1) is not None  # but one that is cut off is


@pytest.mark.slow
def test_a_large_file_needs_little_memory() -> None:
    scan = TextScan()
    for _ in range(20):
        scan.feed(b"0 0.512345 0.612345\n" * 10_000)
        assert len(scan._window) <= PART + 3 * OVERLAP
    assert scan.finish() is None


def test_what_is_no_mask_isnt_passed_over_as_one() -> None:
    """The run lengths of COCO use 64 characters: not any text of these is taken for a mask."""
    text = json.dumps({"counts": "".join(chr(48 + byte % 64) for byte in text_images.jpeg())})
    assert objection(text.encode())


@pytest.mark.slow
def test_a_person_reads_no_content_in_the_reason() -> None:
    secret = b"Ada Lovelace " * 20
    for _, data in chain(text_images.kinds(), text_images.pixels()):
        assert "Ada" not in (objection(secret + data, "x") or "")


@pytest.mark.parametrize(
    ("values", "objected"),
    [
        (np.arange(300), False),
        (np.tile([0, 1], 200), False),
        (np.zeros(500), False),
        (np.repeat([5, 9, 5, 7], 100), False),
        (text_images.grey(20).ravel(), True),
        (text_images.grey(20).ravel()[::-1], True),
    ],
)
def test_numbers_are_told_by_how_they_follow_each_other(values: np.ndarray, objected: bool) -> None:
    assert bool(numbers.objection(json.dumps(values.astype(int).tolist()).encode())) is objected
