"""A cover, a format of images, one of boxes and a chart are added as CONTRIBUTING.md says.

Nothing here is part of sfumato: what is added lives in this file alone and is entered in the
tables that the recipes name.
"""

from __future__ import annotations

import io
import struct
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, TextIO

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from sfumato.annotations import box_files
from sfumato.annotations.box_files import LAYOUTS, Syntax
from sfumato.annotations.entries import Entry, number, read_text
from sfumato.imaging import codec
from sfumato.imaging.codec import encoding, metadata, signatures, stripping
from sfumato.imaging.codec.concealed import FORMS
from sfumato.imaging.codec.encoding import Edited
from sfumato.imaging.codec.inside import magics, parts, search
from sfumato.imaging.codec.inside.found import Part
from sfumato.imaging.codec.reading import Opened
from sfumato.obfuscation import METHODS, Gaussian, make
from sfumato.obfuscation.covering import Face, cover, face_of, faces_of
from sfumato.obfuscation.strength import LIMIT
from sfumato.pipeline.driver import STAGES, run
from sfumato.release.report import page
from sfumato.release.report.charts.svg import Scale, Svg, dot, frame, grid, text
from sfumato.types import Box, Detection, Obfuscator, Pixels
from tests import dataset
from tests.command import Here
from tests.contract.obfuscator import ObfuscatorContract
from tests.dataset import BOX, Dataset

# --- a cover ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Median:
    """Paint each face in the median of what lies around it."""

    name: ClassVar[str] = "median"
    limit: ClassVar[float] = LIMIT
    expand: float = 0.25
    feather: float = 0.2

    def __call__(self, image: Pixels, boxes: Sequence[Box]) -> Pixels:
        def paint(crop: Pixels, _: Face) -> Pixels:
            around = np.concatenate([crop[0], crop[-1], crop[:, 0], crop[:, -1]])
            return np.broadcast_to(np.median(around, axis=0).astype(np.uint8), crop.shape)

        return cover(image, faces_of(boxes, self.expand, self.feather), paint)

    def reaches(self, boxes: Sequence[Box]) -> list[Box]:
        return [face_of(box, self.expand, self.feather).reach for box in boxes]


class TestMedian(ObfuscatorContract):
    def made(self) -> Obfuscator:
        return Median()


def test_a_cover_is_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "median", Median)
    assert make("median", expand=0.5) == Median(expand=0.5)
    data = dataset.make(tmp_path, count=1)
    report = run(data.job(method="median"), STAGES, Here())
    assert report.verdict == "passed"
    assert report.account.obfuscated == len(data.with_face)
    rows = pq.read_table(data.out / "manifest.parquet").to_pylist()
    told = {row["path"]: row["method"] for row in rows}
    assert {key for key, method in told.items() if method == "median"} == set(data.with_face)
    assert "median" in (data.out / "report.html").read_text()


# --- a format of images -------------------------------------------------------------------------


def _end(data: bytes) -> int:
    """Return where a QOI ends (qoiformat.org): behind its last pixel and a mark of 8 bytes."""
    width, height = struct.unpack_from(">II", data, 4)
    at, left = 14, width * height
    while left > 0:
        op = data[at]
        left -= (op & 63) + 1 if 0xC0 <= op < 0xFE else 1
        at += {0xFE: 4, 0xFF: 5}.get(op, 2 if op >> 6 == 2 else 1)
    if left or data[at : at + 8] != b"\x00" * 7 + b"\x01":
        raise ValueError("no mark behind the last pixel")
    return at + 8


def _write(_: Opened, edited: Image.Image, policy: object) -> Edited:
    out = io.BytesIO()
    edited.save(out, "QOI")
    return Edited(out.getvalue(), "exact")


def _private(data: bytes, _: object) -> Iterator[str]:
    yield from ["trailing data"] if _end(data) < len(data) else []


def _nothing(_: bytes) -> Iterator[str]:
    yield from ()  # it has nothing but pixels, in one piece


def _stripped(data: bytes) -> bytes:
    return data[: _end(data)]


def _parts(data: bytes, _: list[int]) -> Iterator[Part]:
    if (end := _end(data)) < len(data):
        yield Part("behind the end", "data", data[end:], ((end, len(data)),))


@pytest.fixture
def qoi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(signatures.MAGICS, b"qoif", "QOI")
    monkeypatch.setitem(signatures.ENDINGS, "qoi", "QOI")
    monkeypatch.setitem(encoding.WRITERS, "QOI", _write)
    monkeypatch.setitem(metadata.WALKS, "QOI", _private)
    monkeypatch.setitem(FORMS, "QOI", (_nothing, _stripped))
    monkeypatch.setitem(stripping.STRIPPERS, "QOI", _stripped)
    monkeypatch.setitem(parts.CUTTERS, "QOI", _parts)
    monkeypatch.setattr(magics, "READ", (*magics.READ, (b"qoif", _end, "QOI")))
    monkeypatch.setattr(search, "FORMATS", signatures.FORMATS | {"QOI"})


def coded(pixels: Pixels, kind: str = "QOI") -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


def shown(data: bytes) -> Pixels:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


@pytest.fixture(scope="module")
def scenes() -> list[Pixels]:
    rng = np.random.default_rng(5)
    return [dataset.scene(rng) for _ in range(3)]


@pytest.mark.slow
@pytest.mark.usefixtures("qoi")
def test_a_format_of_images_is_added(tmp_path: Path, scenes: list[Pixels]) -> None:
    files = {"bare.qoi": coded(scenes[0]), "face.qoi": coded(scenes[1])}
    files["more.qoi"] = files["bare.qoi"] + coded(scenes[2], "JPEG")
    data = Dataset(tmp_path, ("face.qoi",), ("bare.qoi", "more.qoi"))
    data.source.mkdir()
    for key, held in files.items():
        (data.source / key).write_bytes(held)
    data.boxes.write_text("path,x0,y0,x1,y1\nface.qoi," + ",".join(map(str, BOX)))
    report = run(data.job(), STAGES, Here())
    assert report.verdict == "passed"
    rows = pq.read_table(data.out / "manifest.parquet").to_pylist()
    assert {row["path"]: (row["encoding"], row["second_images"]) for row in rows} == {
        "bare.qoi": ("identical", 0),
        "face.qoi": ("exact", 0),
        "more.qoi": ("identical", 1),  # the JPEG was searched and shows no face
    }
    assert (data.out / "bare.qoi").read_bytes() == files["bare.qoi"]
    written = (data.out / "face.qoi").read_bytes()
    assert written.startswith(b"qoif")
    assert np.array_equal(shown(written), Gaussian()(scenes[1], [BOX]))


@pytest.mark.slow
@pytest.mark.usefixtures("qoi")
def test_what_lies_behind_the_end_of_the_new_format_is_found_and_goes(
    scenes: list[Pixels],
) -> None:
    bare, behind = coded(scenes[0]), coded(scenes[2], "JPEG")
    assert not codec.private_metadata(bare)
    assert not codec.concealed(bare)
    assert not codec.embedded_images(bare)
    assert codec.private_metadata(bare + behind) == ("trailing data",)
    (found,) = codec.embedded_images(bare + behind)
    assert (found.kind, found.data) == ("JPEG behind the end", behind)
    assert codec.take_out(bare + behind, [found]) == bare
    assert codec.strip(bare + behind) == bare
    assert codec.strip(bare) is bare
    # And where it lies behind another.
    (found,) = codec.embedded_images(behind + bare)
    assert (found.kind, found.data) == ("QOI behind the end", bare)


def test_every_table_of_the_codec_has_every_format() -> None:
    formats = signatures.FORMATS
    assert set(signatures.ENDINGS.values()) == formats
    assert set(metadata.WALKS) == set(FORMS) == formats
    assert set(stripping.STRIPPERS) == set(parts.CUTTERS) == formats
    assert set(encoding.WRITERS) == formats | {"MPO", "HEIC"}
    # Those that a magic at the start doesn't tell.
    assert set(signatures.MAGICS.values()) == formats - {"WEBP", "AVIF", "BMP"}


# --- a format of boxes --------------------------------------------------------------------------


def _read_tabs(path: Path) -> Iterator[Entry]:
    for row, line in enumerate(read_text(path).splitlines()[1:], start=2):
        name, *sides = line.split("\t")
        yield Entry(name, None)
        if sides:
            x0, y0, x1, y1 = (number(float(side), path, f"line {row}") for side in sides)
            yield Entry(name, (x0, y0, x1, y1))


def _write_tabs(stream: TextIO, detections: Iterable[Detection]) -> None:
    stream.write("#tabs\n")
    for one in detections:
        boxes: list[Sequence[float]] = [face.box for face in one.faces]
        for box in boxes or [()]:
            stream.write("\t".join([one.key, *map(str, box)]) + "\n")


@pytest.mark.slow
def test_a_format_of_boxes_is_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LAYOUTS, "tabs", Syntax(b"#tabs", _read_tabs, _write_tabs))
    data = dataset.make(tmp_path, count=1)
    given = box_files.load(data.boxes)
    found = [Detection(key, "", 120, 96, given.faces.get(key, ())) for key in data.keys]
    file = tmp_path / "boxes.txt"
    box_files.save(file, found, layout="tabs")
    assert box_files.layout_of(file) == "tabs"
    assert box_files.layout_of(data.boxes) == "csv"
    again = box_files.load(file)
    assert {key: faces for key, faces in again.faces.items() if faces} == given.faces
    assert not again.match(data.keys).missing
    assert box_files.names_faceless(file)
    settings = replace(data.settings(), boxes=file)
    job = replace(data.job(), recipe=settings.recipe(), boxes=file)
    report = run(job, ("detect", "obfuscate"), Here())
    assert report.account.obfuscated == len(data.with_face)


# --- a chart ------------------------------------------------------------------------------------


def medians(values: dict[str, float]) -> Svg:
    """Draw one dot for each name, as high as its value."""
    scale = Scale.of(list(values.values()), 100, 10)
    places = {name: 60 + 40 * at for at, name in enumerate(values)}
    drawn = [*grid(scale, 40, 60 + 40 * len(values))]
    for name, value in values.items():
        drawn.append(dot("dot", places[name], scale(value), 4, f"{name}: {value:g}"))
        drawn.append(text(places[name], 118, name, "tick mid"))
    said = "; ".join(f"{name}: {value:g}" for name, value in values.items())
    return frame("medians", "Medians", said, (80 + 40 * len(values), 124), drawn)


def test_a_chart_is_added_and_a_page_shows_it() -> None:
    values = {"<b>": 2.0, "cats": 8.0, "dogs": 5.0}
    chart = ET.fromstring(medians(values))
    heights = [float(one.attrib["cy"]) for one in chart.findall("circle")]
    assert heights[1] < heights[2] < heights[0]
    assert heights[0] - heights[1] == pytest.approx(2 * (heights[0] - heights[2]))
    assert chart.findtext("desc") == "<b>: 2; cats: 8; dogs: 5"
    whole = (
        page.template("page.html.j2")
        .environment.from_string(
            '{% extends "page.html.j2" %}{% set skip_to, version = "chart", "1" %}'
            "{% block main %}<figure>{{ chart }}</figure>{% endblock %}"
        )
        .render(chart=medians(values))
    )
    assert f"<figure>{medians(values)}</figure>" in whole
    assert "<b>" not in whole
