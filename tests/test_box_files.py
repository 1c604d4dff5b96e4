"""Reading and writing boxes: conventions, round trips, refusals, and pairing with images."""

from __future__ import annotations

import csv
import json
import os
import unicodedata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfumato.annotations import box_files
from sfumato.annotations.box_files import LAYOUTS, BoxFile, Layout
from sfumato.errors import OutputError, UsageError
from sfumato.types import Detection, Face

DIGEST = "0" * 64
PAINFUL = [
    "plain.jpg",
    "n01440764/a b.JPEG",
    'say "cheese", please.jpg',
    "two\nlines.png",
    "carriage\rreturn.png",
    "both\r\n.png",
    "tab\t.png",
    " leading and trailing ",
    "-dash.jpg",
    "=formula().jpg",
    "Żółć/笑顔 😀.webp",
    "\u202egpj.exe.jpg",
    "back\\slash.jpg",
    "\ufeffmark.jpg",
    "nul\x01line\u2028separator.jpg",
    "null",
    "#comment",
]

names = st.one_of(
    st.sampled_from(PAINFUL),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
)


@st.composite
def faces(draw: st.DrawFn) -> Face:
    x0, y0 = (draw(st.floats(3, 20_000)) for _ in range(2))
    width, height = (draw(st.floats(0.001, 5_000)) for _ in range(2))
    score = draw(st.floats(0, 1))
    origin = draw(st.sampled_from(["yunet-2023mar", "centerface_1.0", "file", "human"]))
    return Face((x0, y0, x0 + width, y0 + height), score, origin)


@st.composite
def detections(draw: st.DrawFn) -> list[Detection]:
    keys = draw(st.lists(names, unique=True, max_size=6))
    return [
        Detection(key, DIGEST, 30_000, 30_000, tuple(draw(st.lists(faces(), max_size=3))))
        for key in keys
    ]


def found(key: str, *boxes: tuple[float, float, float, float], origin: str = "file") -> Detection:
    return Detection(key, DIGEST, 640, 480, tuple(Face(box, 0.5, origin) for box in boxes))


def written(folder: Path, text: str, name: str = "boxes") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def coco(**parts: Any) -> str:
    document = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 640, "height": 480}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 20, 30, 40]}],
        "categories": [{"id": 3, "name": "face"}],
    }
    return json.dumps(document | parts)


# --- round trips ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
@given(data=detections())
@settings(max_examples=25, deadline=None)
def test_what_is_written_is_read_again(layout: Layout, data: list[Detection]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "boxes"
        box_files.save(path, data, layout=layout)
        back = box_files.load(path)

        assert box_files.layout_of(path) == layout
        assert back.problems == {}
        assert list(back.faces) == sorted(item.key for item in data)
        for item in data:
            assert len(back.faces[item.key]) == len(item.faces)
            for face, other in zip(item.faces, back.faces[item.key], strict=True):
                assert other.box == pytest.approx(face.box, abs=0.0101, rel=0)
                if layout != "princeton":
                    assert other.score == pytest.approx(face.score, abs=1e-6)
                    assert other.origin == face.origin

        again = Path(folder) / "again"
        box_files.save(
            again,
            [Detection(i.key, DIGEST, i.width, i.height, back.faces[i.key]) for i in data[::-1]],
            layout=layout,
        )
        if layout != "princeton":  # there the score, and nothing else, is lost
            assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_painful_names_survive_with_and_without_faces(layout: Layout, tmp_path: Path) -> None:
    boxes = ((5.0, 6.0, 7.0, 8.0),)
    data = [found(name, *(boxes if i % 2 else ())) for i, name in enumerate(PAINFUL)]
    box_files.save(tmp_path / "boxes", data, layout=layout)
    back = box_files.load(tmp_path / "boxes").match(PAINFUL)
    assert (back.missing, back.unused, back.problems) == ((), (), {})
    assert {key for key, group in back.faces.items() if group} == set(PAINFUL[1::2])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_order_and_number_type_do_not_matter(layout: Layout, tmp_path: Path) -> None:
    data = [found("b", (5, 6, 7, 8)), found("a"), found("é", (1.005, 2.675, 9.125, 10.0))]
    box_files.save(tmp_path / "one", data, layout=layout)
    box_files.save(tmp_path / "two", iter(data[::-1]), layout=layout)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_box_thinner_than_the_rounding_stays_a_box(layout: Layout, tmp_path: Path) -> None:
    box = (100.001, 50.0, 100.0011, 60.0)
    box_files.save(tmp_path / "boxes", [found("a", box)], layout=layout)
    back = box_files.load(tmp_path / "boxes")
    assert back.problems == {}
    assert back.faces["a"][0].box == pytest.approx(box, abs=0.0101, rel=0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_reviewers_are_not_named(layout: Layout, tmp_path: Path) -> None:
    data = [found("a", (5, 6, 7, 8), origin="human:Ada Lovelace"), found("b", origin="human:eve")]
    box_files.save(tmp_path / "boxes", data, layout=layout)
    text = (tmp_path / "boxes").read_text()
    assert "Lovelace" not in text
    assert "eve" not in text
    assert box_files.load(tmp_path / "boxes").faces["a"][0].origin in ("human", "file")


# --- what other programs read -----------------------------------------------------------------


def test_exported_csv_is_plain_csv(tmp_path: Path) -> None:
    path = tmp_path / "boxes"
    box_files.save(path, [found("b"), found("a, b", (1.5, -0.001, 30, 40.126))], layout="csv")
    assert path.read_bytes() == (
        b'path,x0,y0,x1,y1,score,origin\n"a, b",1.5,0.0,30.0,40.13,0.5,file\nb,,,,,,\n'
    )
    with path.open(newline="") as stream:
        assert [row["path"] for row in csv.DictReader(stream)] == ["a, b", "b"]


def test_exported_coco_has_corner_and_size_and_ids_by_order(tmp_path: Path) -> None:
    data = [found("b", (10, 20, 40, 60), (1, 2, 3, 4.5)), found("a"), found("c", (5, 5, 6, 6))]
    box_files.save(tmp_path / "boxes", data, layout="coco")
    document = json.loads((tmp_path / "boxes").read_text())
    assert document["images"] == [
        {"id": n, "file_name": key, "width": 640, "height": 480}
        for n, key in enumerate("abc", start=1)
    ]
    assert [a["bbox"] for a in document["annotations"]] == [
        [10, 20, 30, 40],
        [1, 2, 2, 2.5],
        [5, 5, 1, 1],
    ]
    assert [(a["id"], a["image_id"]) for a in document["annotations"]] == [(1, 2), (2, 2), (3, 3)]
    assert {a["category_id"] for a in document["annotations"]} == {1}
    assert document["categories"] == [{"id": 1, "name": "face"}]
    assert document["annotations"][0]["area"] == 1200


def test_exported_princeton_has_an_object_for_each_image(tmp_path: Path) -> None:
    box_files.save(tmp_path / "boxes", [found("b", (1, 2, 3, 4)), found("a")], layout="princeton")
    assert json.loads((tmp_path / "boxes").read_text()) == [
        {"url": "a", "bboxes": []},
        {"url": "b", "bboxes": [{"x0": 1, "y0": 2, "x1": 3, "y1": 4}]},
    ]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_images_at_all(layout: Layout, tmp_path: Path) -> None:
    box_files.save(tmp_path / "boxes", [], layout=layout)
    back = box_files.load(tmp_path / "boxes")
    assert (back.faces, back.problems) == ({}, {})


# --- what other programs write ----------------------------------------------------------------


def test_princeton_as_published(tmp_path: Path) -> None:
    text = """[{"url": "train/n02066245/n02066245_1.JPEG", "bboxes": []},
      {"url": "val/ILSVRC2012_val_00000001.JPEG",
       "bboxes": [{"x0": 1, "y0": 2.5, "x1": 30, "y1": 40}, {"y1": 9, "x1": 8, "y0": 6, "x0": 5}]}
    ]"""
    back = box_files.load(written(tmp_path, text))
    assert back.faces == {
        "train/n02066245/n02066245_1.JPEG": (),
        "val/ILSVRC2012_val_00000001.JPEG": (
            Face((1, 2.5, 30, 40), 1.0, "file"),
            Face((5, 6, 8, 9), 1.0, "file"),
        ),
    }


def test_coco_with_other_categories(tmp_path: Path) -> None:
    kinds = ["person", "Human face", "clock", "face_with_mask", "HumanFaces", "surface", "facet"]
    text = coco(
        categories=[{"id": i, "name": name} for i, name in enumerate(kinds)],
        images=[{"id": "x", "file_name": "a.jpg"}, {"id": "y", "file_name": "b.jpg"}],
        annotations=[
            {"image_id": "x", "category_id": i, "bbox": [10 * i, 0, 5, 5], "iscrowd": i % 2}
            for i in range(len(kinds))
        ],
    )
    back = box_files.load(written(tmp_path, text))
    assert [face.box[0] for face in back.faces["a.jpg"]] == [10, 30, 40]
    assert back.faces["b.jpg"] == ()


@pytest.mark.parametrize("categories", [[{"id": 3, "name": "Gesicht"}], []])
def test_coco_with_one_kind_of_box_is_taken(categories: list[Any], tmp_path: Path) -> None:
    back = box_files.load(written(tmp_path, coco(categories=categories)))
    assert back.faces["a.jpg"] == (Face((10, 20, 40, 60), 1.0, "file"),)
    assert back.sizes == {"a.jpg": (640, 480)}


def test_coco_without_a_face_category_lists_what_there_is(tmp_path: Path) -> None:
    text = coco(categories=[{"id": 3, "name": "dog"}, {"id": 4, "name": "Gesicht"}])
    with pytest.raises(UsageError, match=r"Gesicht, dog.*rename"):
        box_files.load(written(tmp_path, text))


def test_csv_as_spreadsheets_write_it(tmp_path: Path) -> None:
    text = "\ufeffkind,x0,y0,x1,y1,path,score\r\nface,1,2,3,4,a.jpg,\r\n\r\n,,,,,b.jpg,\r\n"
    back = box_files.load(written(tmp_path, text, "boxes.txt"))
    assert back.faces == {"a.jpg": (Face((1, 2, 3, 4), 1.0, "file"),), "b.jpg": ()}


def test_rows_of_one_image_need_not_be_together(tmp_path: Path) -> None:
    text = "path,x0,y0,x1,y1,origin\na,1,2,3,4,human:Ada\nb,,,,,\na,,,,,\na,5,6,7,8,not a word\n"
    back = box_files.load(written(tmp_path, text))
    assert [(f.box[0], f.origin) for f in back.faces["a"]] == [(1, "human"), (5, "file")]


# --- refusals ---------------------------------------------------------------------------------

HEADER = "path,x0,y0,x1,y1\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("empty.csv", "", "line 1: expected a header with path,x0,y0,x1,y1"),
        ("empty.json", "", "JSON that starts with"),
        ("words.json", "hello", "JSON that starts with"),
        ("binary", "\x00\x01", "no column path, x0, y0, x1, y1"),
        ("german.csv", "path;x0;y0;x1;y1\n", "no column path"),
        ("missing.csv", "path,x0,y0,x1\n", "no column y1"),
        ("twice.csv", "path,x0,y0,x1,y1,x0\n", "line 1: expected one column x0, got 2"),
        ("word.csv", HEADER + "a,1,2,3,4\na,1,2,3,big\n", "line 3: .*four numbers.*'big'"),
        ("partly.csv", HEADER + "a,1,,3,4\n", "line 2: .*four numbers"),
        ("short.csv", HEADER + "a,1,2,3\n", "line 2: expected 5 cells as in the header, got 4"),
        ("long.csv", HEADER + "a,b,1,2,3,4\n", "line 2: expected 5 cells as in the header, got 6"),
        ("nameless.csv", HEADER + ",1,2,3,4\n", "line 2, path: expected the name of an image"),
        ("quote.csv", HEADER + '"a,1,2,3,4\nb,1,2,3,4\n', "expected a row of CSV"),
        ("stray.csv", HEADER + '"a"b,1,2,3,4\n', "line 2: expected a row of CSV"),
        ("cut.json", '[{"url": "a", "bboxes": [', "expected JSON"),
        ("comma.json", '[{"url": "a", "bboxes": []} {}]', "line 1, .*a comma or the end"),
        ("tail.json", '[{"url": "a", "bboxes": []}] more', "a comma or the end"),
        ("trailing.json", '[{"url": "a", "bboxes": []},]', "expected JSON"),
        ("list.json", "[1]", "entry 1: expected .*bboxes.*got 1"),
        ("nourl.json", '[{"bboxes": []}]', "entry 1, url: expected the name of an image"),
        ("null.json", '[{"url": "a", "bboxes": null}]', "entry 1: expected"),
        ("corner.json", '[{"url": "a", "bboxes": [{"x0": 1}]}]', "entry 1, box 1: .*x0, y0, x1"),
        ("xywh.json", '[{"url": "a", "bboxes": [[1, 2, 3, 4]]}]', "entry 1, box 1: expected"),
        (
            "text.json",
            '[{"url": "a", "bboxes": [{"x0": "1", "y0": 0, "x1": 2, "y1": 2}]}]',
            "entry 1, box 1, x0: expected a number, got '1'",
        ),
        ("results.json", '[{"image_id": 1, "bbox": [1, 2, 3, 4]}]', "list of COCO results"),
        ("object.json", '{"a.jpg": []}', "images is no list"),
        ("deep.json", "[" * 100_000, "expected JSON"),
        ("coco.json", "{", "expected JSON"),
        ("image.json", coco(images=[{"file_name": "a"}]), "image 1, id: expected a number"),
        ("file.json", coco(images=[{"id": 1}]), "image 1, file_name: expected the name"),
        ("ids.json", coco(images=[{"id": 1, "file_name": c} for c in "ab"]), "image 2: .*1 again"),
        ("orphan.json", coco(images=[]), "annotation 1: expected an image_id of the file, got 7"),
        (
            "kind.json",
            coco(categories=[{"id": 1, "name": "face"}, {"id": 2, "name": "dog"}]),
            "annotation 1: expected a category_id of the file, got 3",
        ),
        (
            "box.json",
            coco(annotations=[{"image_id": 7, "category_id": 3}]),
            "annotation 1, bbox: expected .x, y, width, height., got None",
        ),
        (
            "bool.json",
            coco(annotations=[{"image_id": 7, "category_id": 3, "bbox": [True, 1, 2, 3]}]),
            "annotation 1, bbox: expected a number, got True",
        ),
    ],
)
def test_what_is_no_box_file_is_refused(name: str, text: str, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, text, name)
    with pytest.raises(UsageError, match=message) as caught:
        box_files.load(path)
    assert str(path) in str(caught.value)


def test_files_that_can_not_be_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "latin.csv").write_bytes(HEADER.encode() + b"caf\xe9.jpg,1,2,3,4\n")
    (tmp_path / "latin.json").write_bytes(b'[{"url": "caf\xe9", "bboxes": []}]')
    for name in ("absent.csv", "", "pipe.csv", "latin.csv", "latin.json"):
        with pytest.raises(UsageError, match=r"expected|can't be read"):
            box_files.load(tmp_path / name)


BAD = {
    "nan": ("nan", "1", "2", "3"),
    "infinite": ("0", "1", "inf", "3"),
    "huge": ("0", "1", "1" + "0" * 400, "3"),
    "inverted": ("30", "1", "20", "3"),
    "empty": ("5", "7", "9", "7"),
}


@pytest.mark.parametrize("corners", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_box_that_can_not_be_right_takes_its_image_out(
    layout: Layout, corners: tuple[str, ...], tmp_path: Path
) -> None:
    """The published code skips such boxes, and with them perhaps a face."""
    x0, y0, x1, y1 = (c.replace("nan", "NaN").replace("inf", "Infinity") for c in corners)
    if layout == "csv":
        text = HEADER + f"good,5,6,7,8\nbad,5,6,7,8\nbad,{','.join(corners)}\nbad,5,6,7,8\n"
    elif layout == "princeton":
        fine = '{"x0": 5, "y0": 6, "x1": 7, "y1": 8}'
        worse = f'{{"x0": {x0}, "y0": {y0}, "x1": {x1}, "y1": {y1}}}'
        text = f'[{{"url": "good", "bboxes": [{fine}]}}, {{"url": "bad", "bboxes": [{worse}]}}]'
    else:
        width = {"30": "-10", "5": "4"}.get(x0, x1)
        height = "0" if y1 == y0 else "2"
        text = f"""{{"images": [{{"id": 1, "file_name": "good"}}, {{"id": 2, "file_name": "bad"}}],
          "annotations": [{{"image_id": 1, "category_id": 1, "bbox": [5, 6, 2, 2]}},
            {{"image_id": 2, "category_id": 1, "bbox": [{x0}, {y0}, {width}, {height}]}}],
          "categories": [{{"id": 1, "name": "face"}}]}}"""
    back = box_files.load(written(tmp_path, text))
    assert list(back.faces) == ["good"]
    assert list(back.problems) == ["bad"]

    matched = back.match(["bad", "good"])
    assert list(matched.faces) == ["good"]
    assert "can't be right" in matched.problems["bad"]


@pytest.mark.parametrize("score", ["99.3", "-0.1", "nan"])
def test_a_score_outside_the_range_takes_its_image_out(score: str, tmp_path: Path) -> None:
    back = box_files.load(written(tmp_path, f"path,x0,y0,x1,y1,score\na,5,6,7,8,{score}\n"))
    assert back.faces == {}
    assert "score must lie in [0, 1]" in back.problems["a"]


def test_two_sizes_for_one_name_take_it_out(tmp_path: Path) -> None:
    image = {"file_name": "a.jpg", "width": 640, "height": 480}
    images = [image | {"id": 7}, image | {"id": 8, "width": 320}]
    back = box_files.load(written(tmp_path, coco(images=images)))
    assert "two sizes" in back.problems["a.jpg"]


def test_fractions_of_the_image_are_not_taken_for_pixels(tmp_path: Path) -> None:
    """As pixels they would cover nothing, and every face would be released."""
    with pytest.raises(UsageError, match="fractions"):
        box_files.load(written(tmp_path, HEADER + "a,0.1,0.2,0.4,0.5\nb,-0.1,0.5,1.2,0.9\n"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_failed_export_leaves_the_old_file(layout: Layout, tmp_path: Path) -> None:
    path = written(tmp_path, "old")
    with pytest.raises(UsageError, match="UTF-8"):
        box_files.save(path, [found("good"), found("bad\udcff")], layout=layout)
    with pytest.raises(UsageError, match="two sets of boxes"):
        box_files.save(path, [found("a"), found("a", (1, 2, 3, 4))], layout=layout)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["boxes"]


def test_an_export_is_a_new_file_and_never_half_of_one(tmp_path: Path) -> None:
    """Written in place, the bytes behind the other name would change, in the middle too."""
    path = written(tmp_path, "old")
    os.link(path, tmp_path / "other name")
    box_files.save(path, [found("a")], layout="csv")
    assert (tmp_path / "other name").read_text() == "old"
    assert list(box_files.load(path).faces) == ["a"]


def test_an_export_that_can_not_be_written_says_so(tmp_path: Path) -> None:
    for path in (tmp_path / "absent" / "boxes", written(tmp_path, "file") / "boxes", tmp_path):
        with pytest.raises(OutputError, match="can't be written"):
            box_files.save(path, [], layout="csv")
    assert [entry.name for entry in tmp_path.iterdir()] == ["boxes"]


# --- pairing names with images --------------------------------------------------------------


def box_file(*listed: str) -> BoxFile:
    face = {name: (Face((n, 0, n + 1, 5), 1.0, "file"),) for n, name in enumerate(listed, start=1)}
    return BoxFile(face, {}, {})


@pytest.mark.parametrize(
    ("listed", "keys", "pairs"),
    [
        pytest.param("a/1.jpg b/1.jpg", "b/1.jpg a/1.jpg", {1: 0, 0: 1}, id="the same"),
        pytest.param("a/1.JPEG a/2.Png", "a/1.jpg a/2.png", {0: 0, 1: 1}, id="extension"),
        pytest.param("./a/1.jpg /b/1.jpg", "a/1.jpg b/1.jpg", {0: 0, 1: 1}, id="leading"),
        pytest.param("a\\1.jpg", "a/1.jpg", {0: 0}, id="backslash"),
        pytest.param(
            "train/n1/1.JPEG train/n2/1.JPEG val/9.JPEG",
            "n1/1.jpg n2/1.jpg n2/3.jpg",
            {0: 0, 1: 1},
            id="root in the file",
        ),
        pytest.param(
            "https://host/set/n1/1.JPEG https://host/set/n2/1.JPEG",
            "n1/1.jpg n2/1.jpg",
            {0: 0, 1: 1},
            id="address",
        ),
        pytest.param(
            "n1/1.jpg n2/1.jpg", "images/n1/1.jpg images/n2/1.jpg", {0: 0, 1: 1}, id="root in SRC"
        ),
        pytest.param("train/1.jpg train/2.jpg", "2.jpg 1.jpg", {1: 0, 0: 1}, id="flat source"),
        pytest.param("1.jpg 2.jpg", "n1/1.jpg n2/2.jpg", {0: 0, 1: 1}, id="flat file"),
        pytest.param(
            "val/V1.JPEG val/V2.JPEG train/n1/T1.JPEG",
            "n7/V1.JPEG n8/V2.jpg",
            {0: 0, 1: 1},
            id="flat file in a folder",
        ),
        pytest.param("x/1.jpg", "x/1.png", {}, id="another format"),
        pytest.param("x/1.jpg", "x/1.JPG x/1.jpeg", {}, id="two images for one entry"),
        pytest.param("x/1.JPG x/1.jpeg", "x/1.jpg", {}, id="two entries for one image"),
        pytest.param("x/1.JPG x/1.jpeg", "x/1.jpeg", {0: 1}, id="exact goes first"),
        pytest.param("train/a/1.jpg val/a/1.jpg", "a/1.jpg", {}, id="two roots for one image"),
        pytest.param(
            "cat/1.jpg cat/2.jpg dog/3.jpg", "1.jpg 2.jpg 3.jpg", {}, id="roots that are classes"
        ),
        pytest.param("1.jpg 2.jpg", "n1/1.jpg n2/1.jpg n2/2.jpg", {}, id="file names that repeat"),
        pytest.param("cat/1.jpg", "cat/2.jpg dog/1.jpg", {}, id="another class"),
        pytest.param("val/1.jpg", "train/a/1.jpg", {}, id="another split"),
        pytest.param("train/a/1.jpg", "val/a/1.jpg", {}, id="another split, same class"),
        pytest.param("x/a/1.jpg", "a/1.jpg a/1.JPEG", {}, id="a twin makes the root uncertain"),
        pytest.param(
            "a/1.jpg x/a/1.jpg", "a/1.jpg a/1.JPEG", {0: 0}, id="a taken name is no candidate"
        ),
    ],
)
def test_pairing(listed: str, keys: str, pairs: dict[int, int], tmp_path: Path) -> None:
    """`pairs`: which key (by number) gets which entry; all other keys get none."""
    boxes, wanted = box_file(*listed.split()), keys.split()
    matched = boxes.match(wanted)
    given = {wanted.index(key): int(group[0].box[0]) - 1 for key, group in matched.faces.items()}
    assert given == pairs
    assert set(matched.unused) == {
        name for n, name in enumerate(listed.split()) if n not in pairs.values()
    }


def test_composed_and_decomposed_names_are_the_same() -> None:
    composed = unicodedata.normalize("NFC", "Ångström/é.jpg")
    decomposed = unicodedata.normalize("NFD", composed)
    assert composed != decomposed
    assert list(box_file(decomposed).match([composed]).faces) == [composed]


def test_what_is_ambiguous_and_what_is_missing_is_told_apart() -> None:
    matched = box_file("x/1.JPG", "x/1.jpeg").match(["x/1.jpg", "x/2.jpg"])
    assert matched.faces == {}
    assert list(matched.problems) == ["x/1.jpg"]
    assert matched.missing == ("x/2.jpg",)
    assert matched.unused == ("x/1.JPG", "x/1.jpeg")


def test_a_problem_and_a_size_follow_the_pairing() -> None:
    boxes = BoxFile({"s/a.jpg": ()}, {"s/b.jpg": "why"}, {"s/a.jpg": (8, 9)})
    matched = boxes.match(["a.jpg", "b.jpg"])
    assert matched.faces == {"a.jpg": ()}
    assert matched.problems == {"b.jpg": "why"}
    assert matched.sizes == {"a.jpg": (8, 9)}


parts = st.sampled_from(["a", "b", "train", "val", "x.jpg", "x.JPEG", "y.jpg", "y.png"])
paths = st.lists(st.lists(parts, min_size=1, max_size=3).map("/".join), unique=True, max_size=8)


@pytest.mark.slow
@given(listed=paths, keys=paths)
@settings(max_examples=120, deadline=None)
def test_every_key_has_one_fate_and_every_name_one_use(listed: list[str], keys: list[str]) -> None:
    boxes = box_file(*listed)
    matched = boxes.match(keys)
    fates = [*matched.faces, *matched.problems, *matched.missing]
    assert sorted(fates) == sorted(keys)
    used = [next(n for n in listed if boxes.faces[n] is group) for group in matched.faces.values()]
    assert sorted([*used, *matched.unused]) == sorted(listed)
    for key in set(keys) & set(listed):
        assert matched.faces[key] is boxes.faces[key]
    # The order of neither side decides.
    mirrored = box_file(*listed[::-1]).match(keys[::-1])
    assert mirrored.faces.keys() == matched.faces.keys()


@pytest.mark.slow
def test_pairing_grows_with_the_number_of_images_only() -> None:
    """Quadratic search would need minutes here; the time limit of the tests would tell."""
    count = 40_000
    keys = [f"n{i % 1000:04}/{i}.jpg" for i in range(count)]
    boxes = BoxFile({f"train/{k[:-3]}JPEG": () for k in keys}, {}, {})
    assert len(boxes.match(keys).faces) == count


@pytest.mark.slow
def test_many_boxes_in_one_image_are_no_trap(tmp_path: Path) -> None:
    rows = "".join(f"a,{i},0,{i + 5},5\n" for i in range(20_000))
    back = box_files.load(written(tmp_path, HEADER + rows))
    assert len(back.faces["a"]) == 20_000


@pytest.mark.slow
@pytest.mark.parametrize("name", ["crowds", "grey", "groups", "imagenet", "portraits"])
def test_real_labels_meet_their_images(name: str, shared_data: Path) -> None:
    boxes = box_files.load(shared_data / name / "faces.csv")
    images = shared_data / name / "images"
    keys = [str(p.relative_to(images)) for p in images.rglob("*") if p.is_file()]
    matched = boxes.match(keys)
    assert matched.unused == ()
    assert boxes.problems == {}
    assert matched.faces.keys() == boxes.faces.keys()
