from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from sfumato.errors import UsageError
from sfumato.study.analysis.answers import analyse
from sfumato.study.analysis.estimates import Estimate
from sfumato.study.analysis.matrix import matrix_of
from sfumato.study.analysis.results import Analysis, AnalysisChoice
from sfumato.study.report import record
from sfumato.study.report.page import render
from sfumato.study.report.probes import KINDS, image, read_probes
from sfumato.study.report.words import headlines, p_words, verdict
from tests.command import sfumato
from tests.study_predictions import FULL, outcomes, regions, write_study

HOSTILE = '<script>alert("1")</script>\u202e'


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    made = outcomes(FULL[:5])
    return analyse([matrix_of(made, regions())], AnalysisChoice(rounds=20))


@pytest.fixture
def probed(tmp_path: Path) -> Path:
    folder = tmp_path / "probes"
    folder.mkdir()
    Image.new("RGB", (8, 8), (200, 10, 10)).save(folder / "a.png")
    (folder / "shortcut-net-scratch.json").write_text(
        json.dumps(
            {
                "kind": "shortcut",
                "architecture": "net",
                "protocol": "scratch",
                "headline": f"net has learnt a shortcut {HOSTILE}",
                "alarms": [{"class": "mask"}],
                "tables": [{"title": "Seen", "columns": ["arm", "AUC"], "rows": [["fill", 0.75]]}],
                "images": [{"file": "a.png", "caption": HOSTILE}],
            }
        )
    )
    return tmp_path


class Tags(HTMLParser):
    """Collects what a page loads and whether its elements are closed in order."""

    EMPTY = frozenset({"meta", "link", "img", "path", "circle", "rect"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.ids: list[str] = []
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        values = dict(attrs)
        if values.get("id"):
            self.ids.append(str(values["id"]))
        self.targets += [str(values[name]) for name in ("src", "href") if values.get(name)]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.EMPTY:
            assert self.open.pop() == tag, (tag, self.getpos())


def parsed(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    assert not tags.open
    return tags


@pytest.mark.slow
def test_the_page_is_whole_and_loads_nothing(analysis: Analysis) -> None:
    page = render(analysis, [], "a made-up set")
    tags = parsed(page)
    assert "script" not in tags.seen
    assert len(set(tags.ids)) == len(tags.ids)
    inside = [target[1:] for target in tags.targets if target.startswith("#")]
    assert set(inside) <= set(tags.ids)
    assert all(target.startswith(("#", "data:")) for target in tags.targets)
    assert "http" not in re.sub(r"http-equiv", "", page)
    assert page == render(analysis, [], "a made-up set")
    assert page.count("Not measured.") == len(KINDS)


@pytest.mark.slow
def test_the_page_has_the_answers_and_the_published_ones(analysis: Analysis) -> None:
    page = render(analysis, [])
    for line in headlines(analysis.parts[0]):
        assert line.question in page
    assert "resnet152" in page
    assert "70.02" in page
    assert "69.37" in page


def test_probes_are_shown_and_names_cannot_act(analysis: Analysis, probed: Path) -> None:
    probes = read_probes(probed)
    page = render(analysis, probes)
    assert "<script>" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;" in page
    assert "0.75" in page
    assert "data:image/png" not in page
    private = render(analysis, probes, images=True)
    assert "Private copy" in private
    assert private.count("data:image/png;base64,") == 1
    parsed(private)
    assert record(analysis, probes)["probes"]["shortcut"][0]["alarms"] == 1
    assert record(analysis, probes)["probes"]["transfer"] == "not measured"


def test_damaged_probes_are_named(probed: Path) -> None:
    path = probed / "probes" / "shortcut-net-scratch.json"
    good = json.loads(path.read_text())
    for change, words in (
        ({"kind": "other"}, "its kind must be shortcut"),
        ({"tables": [{"title": "x", "columns": ["a"], "rows": [[1, 2]]}]}, "doesn't fit"),
        ({"images": [{"file": "../a.png", "caption": ""}]}, "an image in another folder"),
        ({"headline": None, "tables": None}, "missing or wrong"),
    ):
        path.write_text(json.dumps({**good, **change}))
        with pytest.raises(UsageError, match=words):
            read_probes(probed)
    path.write_text("{")
    with pytest.raises(UsageError, match="can't be read"):
        read_probes(probed)
    path.write_text("no image")
    with pytest.raises(UsageError, match="not a PNG or JPEG"):
        image(path)


def test_json_is_valid_and_says_what_is_unknown(analysis: Analysis) -> None:
    made = record(analysis, [])
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    one = made["parts"][0]["answers"][0]
    assert one["kind"] == "cost"
    assert one["change"]["n"] == 160
    assert one["change"]["interval"] == "95%"
    assert len(one["bootstrap"]) == 2
    alone = analyse([matrix_of(outcomes(FULL[:1], seeds=1))], AnalysisChoice(rounds=20))
    assert json.dumps(record(alone, []), allow_nan=False)
    assert "runs are of one arm" in render(alone, [])


def estimate(value: float, low: float, high: float, why: str = "") -> Estimate:
    se = (high - low) / 3.92
    p = 0.001 if low > 0 or high < 0 else 0.5
    return Estimate(value, se, 1e6, 1e6, low, high, p, p, 500, 6, why)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("found", "words"),
    [
        (estimate(-0.0065, -0.0085, -0.0045), "equivalent within 1 point .*though not nothing"),
        (estimate(0.0, -0.005, 0.005), r"equivalent within 1 point \(TOST"),
        (estimate(-0.03, -0.04, -0.02), "a loss of more than 1 point"),
        (estimate(-0.01, -0.015, -0.005), "isn't ruled out"),
        (estimate(-0.001, -0.03, 0.03), "undecided"),
        (estimate(0.02, 0.01, 0.03), "no loss of 1 point or more"),
        (estimate(-0.01, 0, 0, why="one seed only"), "no test is possible: one seed only"),
    ],
)
def test_a_verdict_says_what_the_interval_does(
    analysis: Analysis, found: Estimate, words: str
) -> None:
    from dataclasses import replace

    from sfumato.study.analysis.estimates import equivalence

    one = replace(analysis.parts[0].answers[0], change=found, equivalence=equivalence(found, 0.01))
    assert re.search(words, verdict(one)[0]), verdict(one)[0]


def test_a_p_value_is_never_nothing() -> None:
    assert p_words(1e-9) == "< 0.0001"
    assert p_words(float("nan")) == "not estimable"
    assert p_words(0.0412) == "= 0.041"


@pytest.mark.slow
def test_the_command_line_writes_both_files(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", cells=FULL[:3:2], models=["net"])
    done = sfumato("study", "report", folder, "--margin", "2")
    assert done.code == 0, done.err
    assert "Does recognition survive?" in done.out
    assert "within 2 points" in done.out or "2 points" in done.out
    assert (folder / "study.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert json.loads((folder / "study.json").read_text())["margin"] == 2
    done = sfumato("study", "analyse", folder, "--json", "-q")
    assert json.loads(done.out)["margin"] == 1


def test_the_command_line_takes_predictions_of_others(tmp_path: Path) -> None:
    texts = []
    for arm, right in (("original", 55), ("gaussian", 45)):
        for seed in range(2):
            path = tmp_path / f"{arm}{seed}.csv"
            rows = [f"{i},{'ab'[i % 2]},{'ab'[(i + (i >= right + seed)) % 2]}" for i in range(60)]
            path.write_text("\n".join(["image,label,prediction", *rows]))
            texts += ["--predictions", f"{arm}/{arm}/{seed}={path}"]
    done = sfumato("study", "analyse", tmp_path / "out", *texts)
    assert done.code == 0, done.err
    assert "top-1 changes by −16.67 points" in done.out
    assert "average_precision" in (tmp_path / "out" / "study.json").read_text()


def test_wrong_use_is_a_sentence(tmp_path: Path) -> None:
    done = sfumato("study", "analyse", tmp_path)
    assert done.code == 2
    assert "holds no finished run" in done.err
    done = sfumato("study", "analyse", tmp_path, "--margin", "0")
    assert done.code == 2


@pytest.mark.slow
def test_no_verb_that_reads_predictions_imports_torch(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", cells=FULL[:3:2], models=["net"])
    asked = [["--help"], ["study", "--help"], ["study", "analyse", "-q", str(folder)]]
    code = (
        "import json, sys\nfrom sfumato.cli import main\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    sys.argv[1:] = words\n"
        "    try:\n        main()\n    except SystemExit as left:\n"
        "        found = {'torch', 'torchvision', 'timm'} & set(sys.modules)\n"
        "        print(json.dumps([words, left.code, sorted(found)]))"
    )
    command = [sys.executable, "-c", code, json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[[")]
    assert told == [[words, 0, []] for words in asked]
