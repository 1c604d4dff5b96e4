"""A name never steers a terminal, a log or a spreadsheet, and comes back from CSV as it was."""

from __future__ import annotations

import csv
import io
import logging
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tqdm import tqdm

from sfumato.annotations import box_files, cells, groups_csv
from sfumato.sources.names import lines, on_terminal, shown
from sfumato.types import Detection, Face
from tests.command import sfumato

EVIL = "a\x1b[2J\x9b31m\u202egpj\u2066\x07\r\x08\x7f"
STEER = set("\x1b\x9b\u202e\u2066\x07\r\x08\x7f\u200f\u061c\u2028")
names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30)
start = st.sampled_from(["", "=", "+", "-", "@", "\t", "\r", "'", "''=", "'\"", "＝", "\x1b", '"'])


@pytest.mark.slow
@given(names)
@example(EVIL)
def test_what_is_shown_is_plain_and_letters_stay(name: str) -> None:
    for text in (shown(name), lines(name)):
        assert not STEER & set(text)
    assert "\n" not in shown(name)
    assert shown("Grüße/日本/نام‌ها 👩‍👧.jpg") == "Grüße/日本/نام‌ها 👩‍👧.jpg"
    assert lines("a\n\tb") == "a\n\tb"


@pytest.mark.parametrize(
    "words",
    [
        ("run", EVIL, "out"),
        ("verify", "src", EVIL),
        ("report", EVIL),
        ("faces", "export", EVIL),
        ("run", "src", "out", "--boxes", EVIL),
        ("run", "src", "out", "--config", EVIL),
        ("run", "src", "out", "--ledger", f"{EVIL}://x"),
        ("run", "src", "out", "--detector", EVIL),
        ("run", "src", "out", f"--{EVIL}"),
        ("run", "src", "out", "--workers", EVIL),
        (EVIL,),
        ("detect", EVIL),
        ("review", "status", EVIL),
        ("study", "run", EVIL),
        ("study", "init", f"/proc/{EVIL}"),
        ("audit", "groups", EVIL, "--boxes", EVIL, "--groups", EVIL),
        ("calibrate", EVIL, "--boxes", EVIL),
    ],
)
def test_a_usage_error_shows_a_path_and_does_not_obey_it(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.jpg").write_bytes(b"no image")
    done = sfumato(*words)
    assert done.code == 2, done.err
    assert done.err
    assert not STEER & set(done.err + done.out)


def test_nothing_that_is_printed_or_logged_gets_through(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(sys, "stdout", stream)
    with on_terminal():
        sys.stdout.write(EVIL)
        handler = logging.StreamHandler()
        log = logging.getLogger("tests.names")
        log.addHandler(handler)
        log.warning("%s", EVIL)
        log.removeHandler(handler)
        sys.stdout.write("\udcff half of a character")
        sys.stdout.writelines([EVIL])
        with tqdm(total=2, desc=EVIL, file=sys.stderr) as bar:
            bar.update()
    assert sys.stderr is stream
    text = stream.getvalue()
    assert not (STEER - {"\r"}) & set(text)
    assert "\r\x1b" not in text
    assert "\\u001b[2J\\u009b31m\\u202egpj" in text


@pytest.mark.slow
@given(start, names)
@example("", "'=x")
@example("", "''=x")
@example("", '\'"x"')
@example("'\"", "[[[[")
def test_a_name_comes_back_from_its_cell(start: str, name: str) -> None:
    cell = cells.cell(start + name)
    assert cells.name_from(cell) == start + name
    assert cell[0] not in "=+-@\t\r\n＝＋－＠"
    assert not STEER & set(cell)
    assert cells.cell("plain/ä 1-2.jpg") == "plain/ä 1-2.jpg"


def test_exports_are_harmless_and_read_back(tmp_path: Path) -> None:
    keys = ["=cmd|'/C calc'!A0.jpg", "+1.jpg", "-1.jpg", "@x.jpg", "\t=x.jpg", "'=x.jpg", EVIL]
    keys += ["a,=b.jpg", "n\n=1.jpg", '\'"x".jpg', "plain.jpg"]
    found = [Detection(key, "0", 9, 9, (Face((1, 2, 3, 4), 0.5, "yunet"),)) for key in keys]
    path = tmp_path / "faces.csv"
    box_files.save(path, found, layout="csv")
    text = path.read_text(encoding="utf-8")
    assert not STEER & set(text)
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    assert all(cell[0] not in "=+-@\t\r" for row in rows for cell in row)
    back = box_files.load(path)
    assert set(back.faces) == set(keys)
    assert back.match(keys).missing == ()
    groups = groups_csv.read(path)
    assert {row.name for row in groups.rows} == set(keys)
