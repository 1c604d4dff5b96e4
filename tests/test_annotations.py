"""Boxes to annotation tools and back: nothing is lost, and nothing wrong comes in."""

from __future__ import annotations

import io
import json
import math
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from sfumato.annotations import box_files, boxes_csv
from sfumato.annotations.annotations import TOOLS, Annotated, Tool, export, load
from sfumato.errors import UsageError
from sfumato.types import Detection, Face, Kind

NAMES = ["a/1.jpg", "ä b/ü &<>\"'.jpg", "日本/𝄞.png", "plain.webp"]


@st.composite
def faces(draw: st.DrawFn) -> Face:
    x0, y0 = draw(st.floats(0, 3000, width=32)), draw(st.floats(0, 2000, width=32))
    width, height = draw(st.floats(1, 900)), draw(st.floats(1, 900))
    kind: Kind = draw(st.sampled_from(["face", "private"]))
    return Face((x0, y0, x0 + width, y0 + height), draw(st.floats(0, 1)), "finder-1", kind)


@st.composite
def images(draw: st.DrawFn) -> list[Detection]:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    size = st.integers(1, 9000)
    boxes = st.lists(faces(), max_size=5)
    return [Detection(n, "0", draw(size), draw(size), tuple(draw(boxes))) for n in sorted(names)]


def worked_on(path: Path, tool: Tool) -> None:
    """Do what an annotator does in Label Studio who submits the predictions as they are."""
    if tool == "label-studio":
        tasks = json.loads(path.read_text(encoding="utf-8"))
        for task in tasks:
            task["annotations"] = [
                {"completed_by": 7, "lead_time": 3.5, "result": task["predictions"][0]["result"]}
            ]
        path.write_text(json.dumps(tasks))


def far(one: Face, other: Face) -> float:
    return max(abs(a - b) for a, b in zip(one.box, other.box, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("tool", TOOLS)
@settings(max_examples=12, deadline=None)
@given(there=images())
def test_a_round_trip_loses_no_box_and_moves_none(
    tool: Tool, there: list[Detection], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("round") / "file"
    export(path, there, tool)
    worked_on(path, tool)
    back = list(load(path, tool, empty="faceless"))
    assert [one.name for one in back] == [one.key for one in there]
    for one, before in zip(back, there, strict=True):
        assert one.problem == ""
        assert one.size in (None, (before.width, before.height))
        assert [f.kind for f in one.faces] == [f.kind for f in before.faces]
        assert all(far(a, b) <= 0.01 for a, b in zip(one.faces, before.faces, strict=True))
    assert {one.annotator for one in back} == ({"7"} if tool == "label-studio" else {""})


def test_a_prefix_goes_before_the_names(tmp_path: Path) -> None:
    there = [Detection("a b/1.jpg", "0", 10, 10, ())]
    export(tmp_path / "ls", there, "label-studio", prefix="/data/local-files/?d=")
    (task,) = json.loads((tmp_path / "ls").read_text())
    assert task["data"] == {"image": "/data/local-files/?d=a%20b/1.jpg", "name": "a b/1.jpg"}
    export(tmp_path / "cvat", there, "cvat", prefix="set/")
    root = ET.fromstring((tmp_path / "cvat").read_text())
    assert [image.get("name") for image in root.iter("image")] == ["set/a b/1.jpg"]


def one_task(*annotations: object) -> str:
    return json.dumps([{"data": {"image": "/x/1.jpg"}, "annotations": list(annotations)}])


def rectangle(**value: object) -> dict[str, object]:
    return {
        "type": "rectanglelabels",
        "original_width": 200,
        "original_height": 100,
        "value": {"x": 10, "y": 10, "width": 20, "height": 40, "rectanglelabels": ["face"]} | value,
    }


def read(tmp_path: Path, text: str, tool: Tool, **more: object) -> list[Annotated]:
    path = tmp_path / "file"
    path.write_text(text, encoding="utf-8")
    return list(load(path, tool, **more))  # type: ignore[arg-type]


def test_label_studio_tells_who_looked_and_who_did_not(tmp_path: Path) -> None:
    text = one_task(
        {"completed_by": {"id": 3}, "result": [], "lead_time": 2.5},
        {"completed_by": 4, "result": [rectangle()], "was_cancelled": True},
        {"completed_by": 5, "result": [rectangle()]},
    )
    none, some = read(tmp_path, text, "label-studio")
    assert none == Annotated("/x/1.jpg", "3", (), None, 2.5)
    assert (some.annotator, some.size) == ("5", (200, 100))
    assert some.faces[0].box == (20.0, 10.0, 60.0, 50.0)
    assert read(tmp_path, one_task(), "label-studio") == []


def test_a_turned_rectangle_of_label_studio_is_held_by_its_box(tmp_path: Path) -> None:
    text = one_task({"result": [rectangle(rotation=90)]})
    (only,) = read(tmp_path, text, "label-studio")
    # 40 wide, 40 high, turned a quarter clockwise about (20, 10): it lies to the left.
    assert only.faces[0].box == pytest.approx((-20.0, 10.0, 20.0, 50.0))


def test_a_turned_box_of_cvat_holds_every_pixel_of_it(tmp_path: Path) -> None:
    text = (
        '<annotations><image id="0" name="a" width="200" height="200"><box label="face" '
        'xtl="50" ytl="80" xbr="150" ybr="120" rotation="30"/></image></annotations>'
    )
    (only,) = read(tmp_path, text, "cvat")
    canvas = Image.new("L", (200, 200))
    ImageDraw.Draw(canvas).rectangle((50, 80, 149, 119), fill=255)
    around = canvas.rotate(-30, resample=Image.Resampling.NEAREST, center=(100, 100)).getbbox()
    assert around is not None
    assert max(abs(a - b) for a, b in zip(only.faces[0].box, around, strict=True)) <= 1.5


def test_polygons_and_ellipses_of_cvat_become_boxes_and_points_a_problem(tmp_path: Path) -> None:
    text = (
        '<annotations><meta/><image id="0" name="a" width="200" height="200">'
        '<polygon label="Face" points="1,2;30,4;5,60.5"/>'
        '<ellipse label="face" cx="100" cy="50" rx="20" ry="10"/></image>'
        '<image id="1" name="b" width="9" height="9"><points label="face" points="1,2"/></image>'
        '<image id="2" name="c" width="9" height="9"></image></annotations>'
    )
    a, b = read(tmp_path, text, "cvat")[:1], read(tmp_path, text, "cvat", empty="faceless")[1:]
    assert [face.box for face in a[0].faces] == [(1, 2, 30, 60.5), (80, 40, 120, 60)]
    assert [one.problem for one in b] == ["a shape that is no box (points)", ""]
    # Nobody knows of c; somebody drew something in b.
    assert [one.name for one in read(tmp_path, text, "cvat")] == ["a", "b"]


def test_only_a_named_label_is_left_to_say_what_it_is(tmp_path: Path) -> None:
    text = one_task({"result": [rectangle(rectanglelabels=["plate"])]})
    with pytest.raises(UsageError, match="'plate' is neither a face nor private"):
        read(tmp_path, text, "label-studio")
    (only,) = read(tmp_path, text, "label-studio", labels={"plate": "private"})
    assert only.faces[0].kind == "private"


@pytest.mark.parametrize(
    ("tool", "text", "words"),
    [
        ("label-studio", "{}", "a list of Label Studio's tasks"),
        ("label-studio", "[1]", "a task with annotations"),
        ("label-studio", "[" * 100_000, "JSON"),
        ("label-studio", one_task({"result": [rectangle(x="1")]}), "expected a number"),
        ("label-studio", one_task({"result": [rectangle(rectanglelabels=[])]}), "one label"),
        ("cvat", "<annotations><image", "XML"),
        ("cvat", "<other/>", "<annotations>"),
        ("cvat", "", "XML"),
        ("cvat", '<!DOCTYPE a [<!ENTITY b "c">]><annotations/>', "no document type"),
        ("cvat", '<annotations><image name="" width="1" height="1"/></annotations>', "name of"),
        ("cvat", '<annotations><image name="a" width="-1" height="1"/></annotations>', "width"),
        ("cvat", "<annotations><track/></annotations>", "not for video"),
        ("coco", "[]", "JSON object"),
    ],
)
def test_another_layout_is_refused_with_a_sentence(
    tmp_path: Path, tool: Tool, text: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        read(tmp_path, text, tool)


@pytest.mark.parametrize("bad", [-5.0, 0.0, math.inf])
def test_a_box_that_cant_be_right_makes_its_image_a_problem(tmp_path: Path, bad: float) -> None:
    text = one_task({"result": [rectangle(width=bad)]})
    (only,) = read(tmp_path, text, "label-studio")
    assert only.problem.startswith("a box that can't be right")


def test_a_failed_export_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="isn't UTF-8"):
        export(tmp_path / "file", [Detection("\udcff.jpg", "0", 9, 9, ())], "cvat")
    assert list(tmp_path.iterdir()) == []


def test_kinds_survive_coco_and_csv(tmp_path: Path) -> None:
    private = Face((1.0, 2.0, 3.5, 4.0), 1.0, "human:x", "private")
    there = [Detection("a.jpg", "0", 9, 9, (private, Face((1.0, 2.0, 3.0, 4.0), 0.5, "y-1")))]
    layouts: tuple[box_files.Layout, ...] = ("coco", "csv")
    for layout in layouts:
        box_files.save(tmp_path / layout, there, layout=layout)
        back = box_files.load(tmp_path / layout).faces["a.jpg"]
        assert [face.kind for face in back] == ["private", "face"]
    plain = io.StringIO()
    boxes_csv.write(plain, [Detection("a.jpg", "0", 9, 9, ())])
    assert plain.getvalue() == "path,x0,y0,x1,y1,score,origin\na.jpg,,,,,,\n"


def test_boxes_of_another_category_of_coco_are_never_left_out(tmp_path: Path) -> None:
    path = tmp_path / "coco.json"
    named = [{"id": 1, "name": "face"}, {"id": 2, "name": "plate"}]
    boxes = [{"image_id": 1, "category_id": i, "bbox": [10 * i, 5, 8, 8]} for i in (1, 2)]
    image = {"id": 1, "file_name": "a.jpg", "width": 99, "height": 99}
    document = {"images": [image], "annotations": boxes, "categories": named}
    path.write_text(json.dumps(document))
    with pytest.raises(UsageError, match="'plate' is neither"):
        list(load(path, "coco"))
    (sheet,) = load(path, "coco", labels={"plate": "private"})
    assert [face.kind for face in sheet.faces] == ["face", "private"]
    for categories, means in ([{"id": 1, "name": "person"}], "'person' is neither"), ([], ""):
        path.write_text(
            json.dumps({**document, "annotations": boxes[:1], "categories": categories})
        )
        if means:
            with pytest.raises(UsageError, match=means):
                list(load(path, "coco"))
        else:
            assert len(next(load(path, "coco")).faces) == 1


@pytest.mark.parametrize("kind", ["rectangle", "ellipse", "polygon", "labels"])
def test_a_shape_of_label_studio_without_a_label_is_no_empty_image(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "tasks.json"
    place = {"points": [[1, 2], [3, 4], [5, 1]]} if kind == "polygon" else {"x": 10, "y": 10}
    result = {"type": kind, "original_width": 99, "original_height": 99, "value": place}
    said = {"type": "choices", "value": {"choices": ["sharp"]}}
    task = {"data": {"name": "a.jpg"}, "annotations": [{"result": [said, result]}]}
    path.write_text(json.dumps([task]))
    (sheet,) = load(path, "label-studio")
    assert "no labelled rectangle" in sheet.problem
