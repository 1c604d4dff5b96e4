"""The page of the report: true to its numbers, safe with hostile names, private where need be."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from sfumato.errors import Code
from sfumato.release.report.data import Report
from sfumato.release.report.page import number, percent, render
from sfumato.release.report.pairs import Pair
from sfumato.release.report.tally import Tally
from sfumato.sources.names import shown
from sfumato.types import Decision, Detection, Failure
from tests.report_records import (
    ABOUT,
    DIGEST,
    Listed,
    face,
    finding,
    output,
    random_images,
    strength,
    tallied,
)

HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "{{ 7 * 7 }}{% raw %}",
    "</title></style><iframe src=//evil.example>",
    "&lt;b&gt;",
)
REASON = "the-private-reason </td><script>"
VOID = {"meta", "link", "img", "br", "hr"}


class Parsed(HTMLParser):
    """Collects elements, visible text and the cells of tables by section; checks the nesting."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.rows: dict[str, list[list[str]]] = {}
        self._open: list[str] = []
        self._section = ""
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "section":
            self._section = dict(attrs)["id"] or ""
        if tag == "tr":
            self.rows.setdefault(self._section, []).append([])
        if tag in ("td", "th"):
            self.rows[self._section][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        self.text += data
        if "td" in self._open or "th" in self._open:
            self.rows[self._section][-1][-1] += data


def png(colour: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (4, 3), colour).save(out, "PNG")
    return out.getvalue()


def hostile_report() -> Report:
    tally = tallied(random_images(7, 120))
    for n, name in enumerate(HOSTILE):
        key = f"{name}/{n}.jpg"
        bad = finding(key, Code.VERIFY_FACE_FOUND, passed=False, value=1)
        found = output(key, [face(60, origin=name), face(90, origin="human:Jane Roe")])
        tally.add(key, name, [bad, strength(key, 0.19), found])
        tally.add(f"r{key}", name, [Failure(f"r{key}", "detect", Code.IMAGE_DECODE, REASON)])
    for name in ("secret-notes.txt", HOSTILE[0]):
        tally.passed_over(name, "ignored")
    return tally.report()


def both_pages() -> tuple[str, str]:
    report = hostile_report()
    pairs = [Pair(HOSTILE[1], png("red"), png("blue"), HOSTILE[0])]
    return render(report, private=True, pairs=pairs), render(report, private=False)


@pytest.mark.slow
def test_hostile_names_stay_text() -> None:
    for page in both_pages():
        parsed = Parsed(page)
        assert {"script", "iframe", "object", "form"}.isdisjoint(tag for tag, _ in parsed.tags)
        assert not [name for _, attrs in parsed.tags for name in attrs if name.startswith("on")]
        for name in HOSTILE:
            assert name in parsed.text


def test_names_that_would_fool_the_eye_are_spelled_out() -> None:
    assert shown("invoice\u202egpj.exe") == "invoice\\u202egpj.exe"
    assert shown("a\nb\x00\u200b") == "a\\u000ab\\u0000\\u200b"
    assert shown("not-utf8-\udcff") == "not-utf8-\\udcff"
    for harmless in ("Ångström 写真 صورة תמונה.jpg", "می\u200cخواهم", "a b'\"&<"):
        assert shown(harmless) == harmless
    key = "\u202e/\udcff.jpg"
    page = render(
        tallied([(key, "\u202e", [Failure(key, "detect", Code.NAME_NOT_UTF8, "")])]).report(),
        private=False,
    )
    assert "\u202e" not in page.encode("utf-8").decode()


def test_the_public_page_holds_nothing_private() -> None:
    private, public = both_pages()
    for secret in (
        "data:image",
        "the-private-reason",
        "private reason",
        ABOUT.source,
        "secret-notes",
    ):
        assert secret in private
        assert secret not in public
    assert "Jane" not in private + public
    with pytest.raises(ValueError, match="public"):
        render(hostile_report(), private=False, pairs=[Pair("a", png("red"), png("red"), "")])


def test_only_the_private_page_tells_how_many_candidates_wait() -> None:
    found = Detection("a", DIGEST, 500, 500, (), (face(9.0), face(11.0), face(30.0)))
    settled = replace(found, key="b")
    tally = tallied(
        [
            ("a", "", [found, output("a")]),
            ("b", "", [settled, Decision("b", DIGEST, (), "merged", ("anna",)), output("b")]),
        ]
    )
    words = "3 regions may show a face"
    assert words in Parsed(render(tally.report(), private=True)).text
    assert words not in Parsed(render(tally.report(), private=False)).text
    assert "candidates" not in json.dumps(tally.report().summary())


def test_the_finder_is_named_in_words() -> None:
    recipe = {**ABOUT.recipe, "detect": {"detectors": ["finder@high:0.025"], "boxes": ""}}
    page = render(Tally(replace(ABOUT, recipe=recipe)).report(), private=False)
    assert "finder, profile high, probabilities from 0.025" in Parsed(page).text
    assert "WIDER FACE" in Parsed(page).text


def test_a_pair_is_shown_with_both_images_and_words() -> None:
    private, _ = both_pages()
    shots = [attrs for tag, attrs in Parsed(private).tags if tag == "img"]
    assert [shot["src"][:22] for shot in shots] == ["data:image/png;base64,"] * 2
    assert shots[0]["src"] != shots[1]["src"]
    assert [shot["alt"].split(":")[0] for shot in shots] == ["Before", "After"]
    with pytest.raises(ValueError, match="JPEG"):
        render(hostile_report(), private=True, pairs=[Pair("a", b"<svg/>", png("red"), "")])


@pytest.mark.slow
def test_the_page_loads_nothing() -> None:
    for page in both_pages():
        parsed = Parsed(page)
        for tag, attrs in parsed.tags:
            for name in ("src", "href", "action", "srcset", "poster", "data", "background"):
                assert attrs.get(name, "#").startswith(("#", "data:")), (tag, attrs)
        assert "url(" not in page
        assert "@import" not in page
        (policy,) = [a["content"] for _, a in parsed.tags if "http-equiv" in a]
        assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")


def test_links_lead_somewhere_and_ids_are_single() -> None:
    for page in both_pages():
        parsed = Parsed(page)
        ids = [attrs["id"] for _, attrs in parsed.tags if "id" in attrs]
        assert len(ids) == len(set(ids))
        wanted = {a["href"][1:] for tag, a in parsed.tags if tag == "a"}
        spoken = {i for _, a in parsed.tags for i in a.get("aria-labelledby", "").split()}
        assert wanted | spoken <= set(ids)
        headings = [tag for tag, _ in parsed.tags if re.fullmatch("h[1-6]", tag)]
        assert headings.count("h1") == 1
        assert all(int(b[1]) <= int(a[1]) + 1 for a, b in pairwise(headings))
        assert all("scope" in attrs for tag, attrs in parsed.tags if tag == "th")


@pytest.mark.slow
def test_the_numbers_on_the_page_are_those_of_the_summary() -> None:
    report = tallied(random_images(5, 900)).report()
    summary = report.summary()
    parsed = Parsed(render(report, private=False))
    account = summary["account"]
    assert f"{account['in']} in, {account['out']} out: {account['copied']} copied" in parsed.text
    checks = {row[0].split("\n")[0]: row[1:] for row in parsed.rows["checks"]}
    for code, both in summary["findings"].items():
        (cells,) = [cells for name, cells in checks.items() if name.startswith(code)]
        assert cells == [str(both["passed"]), str(both["failed"])]
    failed = sum(both["failed"] for both in summary["findings"].values())
    assert sum(len(row) == 4 and row[0] != "Image" for row in parsed.rows["findings"]) == failed
    refused = [row for row in parsed.rows["refused"] if row[0].endswith(".jpg")]
    assert len(refused) == account["refused"]
    classes = {row[0]: row for row in parsed.rows["classes"] if len(row) == 7}
    for label, row in summary["classes"].items():
        share = percent(row["with_faces"], row["searched"])
        numbers = (row["faces"], row["copied"], row["obfuscated"], row["refused"])
        assert classes[label] == [label, str(row["in"]), share, *(str(n) for n in numbers)]
    per_image = {row[0]: row[1] for row in parsed.rows["faces"] if len(row) == 2}
    assert per_image["1"] == str(summary["faces"]["per_image"]["1"])
    assert per_image["10 to 19"] == str(summary["faces"]["per_image"]["12"])


def test_long_lists_end_with_how_many_more() -> None:
    images: list[Listed] = []
    for n in range(1200):
        key = f"{n:04d}"
        bad = finding(key, Code.VERIFY_METADATA, passed=False, value=1)
        images.append((key, "", [bad, output(key, [face()])]))
    page = render(tallied(images).report(), private=True)
    assert len(re.findall(r'<code class="bad">VERIFY_METADATA', page)) == 1000
    assert "and 200 more, in the ledger." in page
    assert "0999" in page
    assert "1000</bdi>" not in page


@pytest.mark.parametrize("private", [True, False])
def test_the_page_is_honest_and_sober(private: bool) -> None:
    text = Parsed(render(hostile_report(), private=private)).text
    assert "nonym" not in text
    assert "obfuscated" in text
    for said in ("What was not measured", "no sample was checked by people", "WIDER FACE"):
        assert said in text
    assert "pixels changed slightly outside the faces" in text
    assert "centerface at 640 px, scores from 0.3" in text
    assert "by 25 % of its width and height" in text
    assert ABOUT.fingerprint in text


def test_the_note_on_weights_is_for_their_detectors_only() -> None:
    about = replace(ABOUT, recipe={"detect": {"detectors": ["other@640:0.3"]}})
    assert "WIDER" not in render(replace(hostile_report(), about=about), private=False)


@pytest.mark.parametrize(
    "report",
    [
        tallied([]).report(),
        tallied([("a", "", [output("a")])]).report(),
        tallied([("a", "", [])]).report(),
        tallied([("a", "x", [Failure("a", "detect", Code.IMAGE_EMPTY, "")])]).report(),
        tallied([("a", "x", [output("a", [face()] * 3)])]).report(),
        tallied([("a", "x", [strength("a", float("nan")), output("a", [face()])])]).report(),
    ],
    ids=["nothing", "copied", "unfinished", "refused", "unverified", "no number"],
)
def test_small_reports_render(report: Report) -> None:
    for private in (True, False):
        parsed = Parsed(render(report, private=private))
        assert "nan" not in re.findall(r"\bnan\b", parsed.text)
        assert {"Passed", "Not finished", "Not verified", "A check failed", "Finished"} & set(
            re.findall("Passed|Not finished|Not verified|A check failed|Finished", parsed.text)
        )


@pytest.mark.slow
def test_the_same_records_give_the_same_bytes() -> None:
    program = (
        "from tests.test_report_html import *; import hashlib;"
        "print(hashlib.sha256(''.join(both_pages()).encode()).hexdigest())"
    )
    sums = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=Path(__file__).parents[1],
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "LANG": "C"},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo"))
    }
    assert len(sums) == 1
    for page in both_pages():
        assert str(Path.cwd()) not in page
        assert os.uname().nodename not in page
        assert not re.search(r"\b20\d\d-\d\d", page)


def test_reading_numbers_does_not_need_jinja() -> None:
    program = "import sys, sfumato.release.report; sys.exit('jinja2' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_numbers_are_written_so_that_nothing_is_hidden() -> None:
    assert [percent(n, 100_000) for n in (0, 1, 17_000, 99_999, 100_000)] == [
        "0 %",
        "< 0.1 %",
        "17.0 %",
        "> 99.9 %",
        "100 %",
    ]
    assert percent(0, 0) == "none"
    assert [number(x) for x in (0, 0.123456, float("nan"), float("inf"))] == [
        "0",
        "0.1235",
        "–",
        "–",
    ]


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(a: str, b: str) -> float:
    low, high = sorted((_luminance(a), _luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_colours_have_contrast_in_light_and_dark() -> None:
    css = files("sfumato").joinpath("assets/templates/report.css").read_text("utf-8")
    schemes = [
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", block))
        for block in re.findall(r":root \{[^}]*--paper[^}]*\}", css)
    ]
    assert len(schemes) == 2
    for colours in schemes:
        for ground in (colours["paper"], colours["card"]):
            for ink in ("ink", "soft", "pass", "warn", "fail"):
                assert _contrast(colours[ink], ground) >= 4.5, (ink, ground)
            assert _contrast(colours["bar"], ground) >= 3
