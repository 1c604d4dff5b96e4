"""Who is missed: groups from tables and images, rates, the chart, and the verb."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from sfumato.annotations import groups_csv
from sfumato.assets import demo_images
from sfumato.audit.groups import add_computed, add_measured, assign, boxes_of, cut
from sfumato.audit.rates import NOT_KNOWN, Group, compare
from sfumato.audit.table import chart
from sfumato.detection.detectors import registry
from sfumato.errors import UsageError
from sfumato.sources import open_source
from sfumato.stats import intervals
from sfumato.types import Box
from tests.command import sfumato

# The layout of amazon-science/widerface-demographics; names and numbers are made up.
WIDER = """,file,perceived_gender,perceived_age,perceived_skin,face,x_min,y_min,width,height,blur,\
illumination,occlusion,pose
1,images/0--Parade/a.png,Female,Young Adult,I,1,50,10,20,30,1,1,0,0
2,images/0--Parade/a.png,Male,Not Sure,V,0,10,10,20,30,2,0,0,0
7,images/1--Riot/b.png,Not Sure,Senior,VI,3,5,5,10,12,0,0,1,1
"""
KEYS = ["0--Parade/a.png", "1--Riot/b.png"]


def table(tmp_path: Path, text: str) -> groups_csv.GroupFile:
    file = tmp_path / "groups.csv"
    file.write_text(text)
    return groups_csv.read(file)


# --- the table ----------------------------------------------------------------------------------


def test_wider_faces_demographics_with_boxes_are_read_as_they_are(tmp_path: Path) -> None:
    groups = table(tmp_path, WIDER)
    asked = ("perceived_gender", "perceived_age", "perceived_skin")
    assert groups.columns == (*asked, "blur", "illumination", "occlusion", "pose")
    first = groups.rows[0]
    assert (first.name, first.index, first.box) == ("images/0--Parade/a.png", 1, (50, 10, 70, 40))
    assert first.values["perceived_skin"] == "I"
    faces = boxes_of(groups, KEYS)
    assert faces == {
        "0--Parade/a.png": ((50, 10, 70, 40), (10, 10, 30, 40)),
        "1--Riot/b.png": ((5, 5, 15, 17),),
    }
    values = assign(groups, faces).values
    assert [face["perceived_skin"] for face in values["0--Parade/a.png"]] == ["I", "V"]


def test_wider_faces_demographics_without_boxes_name_faces_by_number(tmp_path: Path) -> None:
    text = ",file,perceived_gender,perceived_age,perceived_skin,face\n"
    text += "0,images/0--Parade/a.png,M,A,II,1\n"
    groups = table(tmp_path, text)
    places: list[Box] = [(0, 0, 9, 9), (20, 20, 29, 29)]
    values = assign(groups, {"0--Parade/a.png": places}).values
    assert values["0--Parade/a.png"] == [
        {},
        {"perceived_gender": "M", "perceived_age": "A", "perceived_skin": "II"},
    ]
    with pytest.raises(UsageError, match="in no column where the faces are"):
        boxes_of(groups, KEYS)


def test_rows_with_boxes_mean_the_label_they_overlap_and_lose_none_silently(tmp_path: Path) -> None:
    groups = table(
        tmp_path,
        "path,x0,y0,x1,y1,skin\na.png,1,0,10,10,dark\na.png,50,50,60,60,light\na.png,9,9,1,1,dark\n",
    )
    assigned = assign(groups, {"a.png": [(30, 30, 40, 40), (0, 0, 10, 10)]})
    assert assigned.values["a.png"] == [{}, {"skin": "dark"}]
    assert assigned.unmatched == (3, 4)


def test_rows_without_a_face_speak_of_the_whole_image(tmp_path: Path) -> None:
    groups = table(tmp_path, "path,scene\nb.png,night\nc.png,day\n")
    faces: dict[str, Sequence[Box]] = {"b.png": [(0, 0, 9, 9), (20, 0, 29, 9)], "c.png": []}
    assigned = assign(groups, faces)
    assert assigned.values == {"b.png": [{"scene": "night"}, {"scene": "night"}], "c.png": []}
    assert assigned.unmatched == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("skin\nI\n", "a column path or file"),
        ("path,skin,skin\na.png,I,I\n", "one column skin, got 2"),
        ("path,skin\na.png\n", "row 2: expected 2 cells"),
        ("path,face,skin\na.png,first,I\n", "the number of a face, from 0, got 'first'"),
        (f"path,face,skin\na.png,{5000 * '9'},I\n", "the number of a face, from 0, got"),
        ("path,x0,y0,x1,y1,skin\na.png,1,2,3,?,I\n", "four numbers"),
        ("path,face,skin\na.png,7,I\n", "face 7 of 'a.png', which has 1 labelled faces"),
        ("path,face,skin\na.png,0,I\na.png,0,II\n", "skin is 'II', but another row says 'I'"),
        ("path,skin\nelsewhere/z.png,I\n", "names none of the labelled images"),
    ],
)
def test_a_table_that_cant_be_right_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words.replace("?", r"\?")):
        assign(table(tmp_path, text), {"a.png": [(0, 0, 9, 9)]})


def test_numbers_of_many_kinds_are_cut_into_thirds_and_words_are_not() -> None:
    cut_up = cut([str(n / 10) for n in range(300)] + [""])
    assert [cut_up.count(name) for name in dict.fromkeys(cut_up)] == [100, 100, 100, 1]
    assert cut_up[0] == "up to 9.97"
    assert cut_up[-1] == ""
    assert cut(["1", "2", "2"]) == ["1", "2", "2"]
    words = [f"word {n}" for n in range(40)]
    assert cut(words) == words


# --- what is computed ---------------------------------------------------------------------------


def test_size_class_brightness_and_blur_are_computed() -> None:
    rng = np.random.default_rng(0)
    pixels = np.full((100, 100, 3), 40, dtype=np.uint8)
    pixels[:, 50:] = rng.integers(180, 220, (100, 50, 3), dtype=np.uint8)
    faces = {"class/a.png": [(0.0, 0.0, 20.0, 20.0), (60.0, 0.0, 100.0, 40.0)]}
    values: dict[str, list[dict[str, str]]] = {"class/a.png": [{}, {}]}
    for column in ("size", "class"):
        add_computed(values, faces, column, open_source("nowhere"))
    for face, box in zip(values["class/a.png"], faces["class/a.png"], strict=True):
        add_measured(face, pixels, box, {"brightness", "blur"})
    dark, bright = values["class/a.png"]
    assert (dark["size"], bright["size"]) == ("16-32 px", "32-96 px")
    assert dark["class"] == "class"
    assert (float(dark["brightness"]), float(dark["blur"])) == (40.0, 0.0)
    assert float(bright["brightness"]) == pytest.approx(199.5, abs=3)
    assert float(bright["blur"]) > 100


def test_a_blurred_copy_of_a_face_is_said_to_be_blurred_at_any_size() -> None:
    image = Image.open(demo_images.root() / "people/astronaut.png").convert("RGB")
    head = image.crop((170, 50, 280, 190))
    found = []
    for scale in (1, 2):
        large = head.resize((110 * scale, 140 * scale))
        soft = head.resize((14, 18)).resize(large.size)
        for one in (large, soft):
            face: dict[str, str] = {}
            add_measured(face, np.asarray(one), (0, 0, *one.size), {"blur"})
            found.append(float(face["blur"]))
    sharp, soft_, sharp_large, soft_large = found
    assert soft_ < sharp / 5
    assert soft_large < sharp_large / 5
    assert sharp_large == pytest.approx(sharp, rel=0.5)


# --- rates --------------------------------------------------------------------------------------


def compared(
    columns: dict[str, list[str]], missed: list[bool], images: list[int], min_faces: int = 10
) -> dict[tuple[str, str], Group]:
    made = compare(
        columns,
        np.array(missed),
        np.array(images),
        seed=0,
        min_faces=min_faces,
    )
    return {(group.column, group.value): group for group in made}


@pytest.mark.slow
def test_faces_alone_in_their_images_have_wilsons_interval() -> None:
    groups = compared(
        {"skin": ["I"] * 40 + ["VI"] * 40 + [""] * 5},
        [True] * 4 + [False] * 36 + [True] * 20 + [False] * 25,
        list(range(85)),
    )
    one, six = groups["skin", "I"], groups["skin", "VI"]
    assert (one.faces, one.missed, one.interval) == (40, 4, "wilson")
    assert (one.low, one.high) == intervals.wilson(4, 40)
    assert six.difference == pytest.approx(0.4)
    assert six.difference_low is not None
    assert six.difference_high is not None
    assert 0.15 < six.difference_low < 0.4 < six.difference_high < 0.65
    # The two sides of one comparison are one test: nothing to correct.
    assert one.p == six.p == six.corrected
    assert six.p is not None
    assert six.p < 0.01
    assert six.differs
    unknown = groups["skin", NOT_KNOWN]
    assert (unknown.faces, unknown.p) == (5, None)


@pytest.mark.slow
def test_faces_that_share_images_have_a_bootstrap_and_no_sure_difference() -> None:
    """Twelve missed faces, all in one dark image: a person would call that one accident."""
    groups = compared(
        {"light": ["dark"] * 12 + ["bright"] * 40 + ["dark"] * 8},
        [True] * 12 + [False] * 48,
        [0] * 12 + list(range(1, 49)),
    )
    dark = groups["light", "dark"]
    assert (dark.missed, dark.faces, dark.interval) == (12, 20, "bootstrap")
    trials = 20**2 / (12**2 + 8)  # nine images, of which one has most of the faces
    assert (dark.low, dark.high) == pytest.approx(intervals.wilson(0.6 * trials, trials))
    # Shuffled, that one image lands in the same place once in 49 times.
    assert dark.corrected == pytest.approx(1 / 49, abs=0.005)
    assert not dark.differs


@pytest.mark.slow
def test_where_groups_are_many_the_small_ones_are_put_together() -> None:
    classes = ["large"] * 20 + ["other"] * 15 + [f"n{i:02}" for i in range(30)]
    groups = compared({"class": classes}, [True, False] * 32 + [True], list(range(65)))
    assert {value: group.faces for (_, value), group in groups.items()} == {
        "30 smaller groups": 30,
        "large": 20,
        "other": 15,
    }
    assert groups["class", "30 smaller groups"].p is None
    assert groups["class", "large"].p is not None


@pytest.mark.slow
def test_every_test_counts_and_small_groups_make_none() -> None:
    rng = np.random.default_rng(0)
    columns = {
        "age": rng.choice(["young", "old", "other"], 300).tolist(),
        "rare": ["rare"] * 4 + ["usual"] * 296,
    }
    missed = [value == "old" and rng.random() < 0.3 for value in columns["age"]]
    groups = compared(columns, missed, list(range(300)))
    assert groups["rare", "rare"].p is None
    assert groups["rare", "usual"].p is None
    old = groups["age", "old"]
    assert old.p is not None
    assert old.corrected == pytest.approx(3 * old.p)  # the smallest of three


# --- the chart ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_chart_is_sound_shows_every_group_and_marks_what_is_sure() -> None:
    groups = compared(
        {"a <&> b": ["x"] * 50 + ["y\"'" * 30] * 50},
        [True] * 25 + [False] * 75,
        list(range(100)),
    )
    svg = chart(list(groups.values()), 0.25)
    root = ET.fromstring(svg)
    texts = "".join(root.itertext())
    assert "25 of 50" in texts
    assert "0 of 50" in texts
    assert "a <&> b" in texts
    dots = list(root.iter("{http://www.w3.org/2000/svg}circle"))
    assert [dot.get("class") for dot in dots] == ["dot marked", "dot marked"]
    places = [float(dot.get("cx") or 0) for dot in dots]
    marks = [float(p.attrib["d"][1:].split()[0]) for p in root.iter() if p.get("class") == "zero"]
    # Half of one group is missed, nothing of the other, a quarter of all.
    assert marks == [pytest.approx(sum(places) / 2, abs=0.01)]
    assert places[0] > places[1]
    assert chart(list(groups.values()), 0.25) == svg


# --- sfumato audit detection --------------------------------------------------------------------

SMALL = ("--detector", "yunet@160:0.5", "-q")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images of a face, six of them far too dark to see; labels and groups for all."""
    root = tmp_path_factory.mktemp("sample")
    hopper = Image.open(demo_images.root() / "people/grace_hopper.jpg").convert("RGB")
    small = hopper.resize((160, 160))
    found = registry.parse("yunet@320:0.5").detect([np.asarray(small)])[0]
    x0, y0, x1, y1 = found[0].box
    labels = ["path,x0,y0,x1,y1"]
    groups = ["path,face,perceived_skin,photographer"]
    wider = [",file,perceived_skin,face,x_min,y_min,width,height"]
    for i in range(12):
        key = f"{'night' if i < 6 else 'day'}/{i:02}.png"
        (root / "src" / key).parent.mkdir(parents=True, exist_ok=True)
        (small.point(lambda v: v // 64) if i < 6 else small).save(root / "src" / key)
        labels.append(f"{key},{x0},{y0},{x1},{y1}")
        groups.append(f"{key},0,{'V' if i < 6 else 'II'},{'ab'[i % 2]}")
        wider.append(f"{i},images/{key},{'V' if i < 6 else 'II'},0,{x0},{y0},{x1 - x0},{y1 - y0}")
    (root / "labels.csv").write_text("\n".join(labels))
    (root / "groups.csv").write_text("\n".join(groups))
    (root / "wider.csv").write_text("\n".join(wider))
    return root


def audit(sample: Path, *words: str | Path) -> dict[str, object]:
    done = sfumato("audit", "detection", sample / "src", *words, "--json")
    assert done.code == 0, done.err
    plain: dict[str, object] = json.loads(done.out)
    return plain


def misses(plain: dict[str, object]) -> dict[str, tuple[int, int]]:
    groups = plain["groups"]
    assert isinstance(groups, list)
    return {f"{g['column']} {g['value']}": (g["missed"], g["faces"]) for g in groups}


@pytest.mark.slow
def test_the_dark_half_is_missed_and_said_to_be(sample: Path, tmp_path: Path) -> None:
    given = (
        "--boxes",
        sample / "labels.csv",
        "--groups",
        sample / "groups.csv",
        "--min-faces",
        "5",
    )
    plot = tmp_path / "plot.svg"
    plain = audit(sample, *given, *SMALL, "--plot", plot)
    assert misses(plain) == {
        "perceived_skin II": (0, 6),
        "perceived_skin V": (6, 6),
        "photographer a": (3, 6),
        "photographer b": (3, 6),
    }
    assert ET.fromstring(plot.read_text()).tag.endswith("svg")
    done = sfumato("audit", "detection", sample / "src", *given, *SMALL)
    assert "6 of 12 labelled faces in 12 images are missed, 50.0%" in done.out
    assert "'No difference found' is not 'no difference'" in done.out
    row = next(line for line in done.out.splitlines() if line.startswith("  V "))
    assert "+100.0" in row
    assert sfumato("audit", "detection", sample / "src", *given, *SMALL) == done


@pytest.mark.slow
def test_groups_with_boxes_need_no_other_labels(sample: Path) -> None:
    plain = audit(sample, "--groups", sample / "wider.csv", *SMALL)
    assert misses(plain) == {"perceived_skin II": (0, 6), "perceived_skin V": (6, 6)}


def test_computed_groups_need_no_table(sample: Path) -> None:
    by = ("--boxes", sample / "labels.csv", "--by", "class,size,brightness")
    found = misses(audit(sample, *by, *SMALL))
    assert found["class night"] == (6, 6)
    assert found["class day"] == (0, 6)
    assert sum(faces for name, (_, faces) in found.items() if name.startswith("size")) == 12
    assert sum(missed for name, (missed, _) in found.items() if "brightness" in name) == 6


@pytest.mark.slow
def test_what_a_release_has_covered_counts(sample: Path, tmp_path: Path) -> None:
    """The release was made with boxes for the first three images only."""
    with (sample / "labels.csv").open(newline="") as lines:
        rows = list(csv.reader(lines))
    some = tmp_path / "some.csv"
    some.write_text("\n".join(",".join(row) for row in rows[:4]))
    out = tmp_path / "out"
    watch = ("--verify-detector", "yunet@160:0.95")
    ran = sfumato("run", sample / "src", out, "--boxes", some, *watch, "--expand", "0.3", "-q")
    assert ran.code in {0, 1}, ran.err
    plain = audit(sample, out, "--boxes", sample / "labels.csv", "--by", "class", "-q")
    assert plain["expand"] == 0.3
    assert misses(plain) == {"class day": (6, 6), "class night": (3, 6)}


def test_labels_of_another_size_and_images_that_arent_there_are_left_out(
    sample: Path, tmp_path: Path
) -> None:
    names = [("day/06.png", 160), ("day/07.png", 320), ("day/99.png", 160)]
    box = {"category_id": 1, "bbox": [40, 40, 60, 60]}
    coco = {
        "images": [
            {"id": i, "file_name": name, "width": side, "height": side}
            for i, (name, side) in enumerate(names)
        ],
        "annotations": [{"id": i, "image_id": i, **box} for i in range(3)],
        "categories": [{"id": 1, "name": "face"}],
    }
    (tmp_path / "labels.json").write_text(json.dumps(coco))
    by = ("--boxes", tmp_path / "labels.json", "--by", "class")
    done = sfumato("audit", "detection", sample / "src", *by, *SMALL)
    assert done.code == 0, done.err
    assert "left out: day/07.png: labelled, but not searched, or of another size" in done.err
    assert "left out: day/99.png: labelled, but not in SRC" in done.err
    assert "1 labelled faces in 1 images" in done.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "Give the labelled faces with --boxes"),
        (("--boxes", "labels.csv"), "nothing to compare by"),
        (("--boxes", "labels.csv", "--by", "age"), "no column 'age'"),
        (("--groups", "groups.csv"), "in no column where the faces are"),
        (("--boxes", "none.csv", "--by", "size"), "can't be read"),
        (("out", "--boxes", "labels.csv", "--by", "size"), "no searched images"),
    ],
)
def test_what_cant_be_asked_is_refused(
    sample: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(sample)
    done = sfumato("audit", "detection", "src", *words, *SMALL)
    assert done.code == 2
    assert message in done.err
