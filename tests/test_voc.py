"""PASCAL VOC's annotations: what a file says, and what is refused with its place."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from sfumato.annotations import voc
from sfumato.annotations.entries import Drawn
from sfumato.errors import UsageError
from sfumato.study.configuration import DetectionSettings
from sfumato.study.detection import objects
from tests import study_objects

# As in VOC2007's 000001.xml, by hand, with a part and a difficult object.
ANNOTATION = """<annotation>
\t<folder>VOC2007</folder>
\t<filename>000001.jpg</filename>
\t<size><width>353</width><height>500</height><depth>3</depth></size>
\t<object>
\t\t<name>dog</name><pose>Left</pose><truncated>1</truncated><difficult>0</difficult>
\t\t<bndbox><xmin>48</xmin><ymin>240</ymin><xmax>195</xmax><ymax>371</ymax></bndbox>
\t\t<part><name>head</name>
\t\t\t<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></part>
\t</object>
\t<object>
\t\t<bndbox><xmax>352</xmax><xmin>8.5</xmin><ymin>12</ymin><ymax>498</ymax></bndbox>
\t\t<name>person</name><difficult>1</difficult>
\t</object>
</annotation>
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "000001.xml"
    path.write_text(text, encoding="utf-8")
    return path


def test_pixels_are_counted_from_one_and_the_last_one_is_inside(tmp_path: Path) -> None:
    sheet = voc.read(written(tmp_path, ANNOTATION))
    assert (sheet.name, sheet.size) == ("000001.jpg", (353, 500))
    assert sheet.drawn == (
        Drawn((47.0, 239.0, 195.0, 371.0), "dog"),
        Drawn((7.5, 11.0, 352.0, 498.0), "person", crowd=True),
    )


def test_a_size_of_nothing_is_unknown(tmp_path: Path) -> None:
    text = ANNOTATION.replace("353", "0")
    assert voc.read(written(tmp_path, text)).size is None


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("<xmin>48</xmin>", "", r"line 10: expected a number as bndbox/xmin, got ''"),
        ("48", "nan", "expected a number as bndbox/xmin, got 'nan'"),
        ("<name>dog</name>", "", "expected an object with a name"),
        ("000001.jpg", "", "filename: expected the name of an image"),
        ("</annotation>", "", "line 16: expected XML"),
        ("annotation>", "dataset>", "expected <annotation>, got <'dataset'>"),
        ("<annotation>", "<!DOCTYPE a><annotation>", "expected no document type"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, before: str, after: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        voc.read(written(tmp_path, ANNOTATION.replace(before, after)))


def test_what_cannot_be_there_is_named(tmp_path: Path) -> None:
    lists = tmp_path / "VOC2007/ImageSets/Main"
    lists.mkdir(parents=True)
    (lists / "test.txt").write_text("000001  1\n\n000002 -1\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"no folder .*VOC2007.Annotations"):
        list(voc.sheets(lists / "test.txt"))
    (tmp_path / "VOC2007/Annotations").mkdir()
    written(tmp_path / "VOC2007/Annotations", ANNOTATION)
    with pytest.raises(UsageError, match=r"000002\.xml: the file can't be read"):
        list(voc.sheets(lists / "test.txt"))


@pytest.mark.slow
def test_any_damage_is_a_sentence(tmp_path: Path) -> None:
    rng = random.Random(1)
    path = tmp_path / "a.xml"
    for _ in range(1500):
        data = bytearray(ANNOTATION.encode())
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(data))
            data[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
        path.write_bytes(data)
        try:
            voc.read(path)
        except UsageError as error:
            assert str(error).startswith(str(path))  # noqa: PT017 (not all of them are refused)


def test_a_set_in_this_layout_is_the_one_in_coco(tmp_path: Path) -> None:
    images = tmp_path / "VOC/JPEGImages"
    lists = tmp_path / "VOC/ImageSets/Main"
    for part in (lists, tmp_path / "VOC/Annotations"):
        part.mkdir(parents=True)
    wanted: dict[str, Path] = {}
    for name, seed in (("trainval", 1), ("test", 2)):
        wanted[name] = tmp_path / f"{name}.json"
        document = study_objects.write(images, wanted[name], count=3, seed=seed)
        names = {one["id"]: Path(one["file_name"]).stem for one in document["images"]}
        (lists / f"{name}.txt").write_text("\n".join(names.values()), encoding="utf-8")
        for number, stem in names.items():
            found = [one for one in document["annotations"] if one["image_id"] == number]
            text = "".join(_object(one["bbox"], one["category_id"]) for one in found)
            (tmp_path / f"VOC/Annotations/{stem}.xml").write_text(
                f"<annotation><filename>{stem}.png</filename>{text}</annotation>", encoding="utf-8"
            )
    ours = DetectionSettings(
        name="voc", images=images, boxes=lists / "trainval.txt", test_boxes=lists / "test.txt"
    )
    theirs = DetectionSettings(
        name="coco", images=images, boxes=wanted["trainval"], test_boxes=wanted["test"]
    )
    assert objects.read(ours) == objects.read(theirs)
    # A name that is listed twice is one image; two annotations of one image are a mistake.
    listed = (lists / "test.txt").read_text(encoding="utf-8")
    (lists / "test.txt").write_text(f"{listed}\n{listed}", encoding="utf-8")
    assert objects.read(ours) == objects.read(theirs)
    second = tmp_path / "VOC/Annotations/2-001.xml"
    text = second.read_text(encoding="utf-8").replace("2-001.png", "2-000.png")
    second.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"two annotations say that their image is 2-000\.png"):
        objects.read(ours)


def _object(box: list[int], category: int) -> str:
    x, y, width, height = box
    return (
        f"<object><name>{study_objects.NAMES[category - 7]}</name><bndbox><xmin>{x + 1}</xmin>"
        f"<ymin>{y + 1}</ymin><xmax>{x + width}</xmax><ymax>{y + height}</ymax></bndbox></object>"
    )
