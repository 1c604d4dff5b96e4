"""The documents say what the code does: the check passes here, and finds what is planted."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scripts import check_docs
from scripts.check_docs import Page
from sfumato import api
from sfumato.assets import demo_images
from sfumato.types import Face
from tests.command import Here, sfumato

ROOT = check_docs.ROOT
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLE = re.search(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.slow
def test_the_documents_of_this_checkout_are_in_order() -> None:
    assert list(check_docs.problems(ROOT)) == []


def test_the_reference_is_what_a_terminal_of_100_columns_shows() -> None:
    shown = sfumato("faces", "export", "--help", env={"COLUMNS": "100"})
    assert f"```text\n{shown.out.strip()}\n```" in check_docs.reference()


def test_every_verb_is_in_the_reference() -> None:
    headings = re.findall(r"^## (.*)$", check_docs.reference(), re.MULTILINE)
    assert {"sfumato", "sfumato run", "sfumato faces", "sfumato faces export"} <= set(headings)
    assert len(headings) == len(set(headings))


# --- the example of the README


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the example names: group.jpg, and photos with and without a face."""
    people = demo_images.root() / "people" / "grace_hopper.jpg"
    shutil.copy(people, tmp_path / "group.jpg")
    (tmp_path / "photos" / "people").mkdir(parents=True)
    shutil.copy(people, tmp_path / "photos" / "people" / "one.jpg")
    Image.new("RGB", (64, 48), "white").save(tmp_path / "photos" / "empty.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(api, "Local", lambda workers: Here())
    return tmp_path


def test_what_examples_in_python_import_is_there() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    lines = re.findall(r"^from sfumato[\w.]* import [\w, ]+$", text, re.MULTILINE)
    assert len(lines) > 5
    for line in lines:
        exec(line)


@pytest.mark.slow
def test_the_example_of_the_readme_does_what_it_says(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert EXAMPLE is not None
    names: dict[str, Any] = {}
    exec(EXAMPLE[1], names)
    faces, covered, report = names["faces"], names["covered"], names["report"]
    assert len(faces) == 1
    assert isinstance(faces[0], Face)
    before = np.asarray(Image.open(folder / "group.jpg").convert("RGB"))
    x0, y0, x1, y1 = (int(side) for side in faces[0].box)
    change = np.abs(covered.astype(int) - before)
    assert change[y0:y1, x0:x1].mean() > 20
    assert change[-40:].max() == 0
    assert (report.account.copied, report.account.obfuscated) == (1, 1)
    assert report.verdict == "passed"
    assert "passed" in capsys.readouterr().out
    for name in ("people/one.jpg", "empty.png", "manifest.parquet", "report.html"):
        assert (folder / "photos-released" / name).is_file()
    assert (folder / "photos-released.sfumato" / "report.html").is_file()


def test_what_the_readme_says_of_the_manifest_is_in_it() -> None:
    from sfumato.release.manifest import FACES, MANIFEST

    section = README.partition("## What you get")[2].partition("\n## ")[0]
    for table, schema in (("manifest.parquet", MANIFEST), ("faces.parquet", FACES)):
        words = section.partition(f"`{table}`")[2].partition("\n- ")[0]
        assert set(schema.names) <= set(re.findall(r"`(\w+)`", words))


def test_modules_whose_mutants_can_be_tried_are_there_with_their_tests() -> None:
    from scripts.mutation import SUITES

    for module, tests in SUITES.items():
        path = ROOT / "src" / "sfumato" / module.replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").is_file(), module
        for name in tests:
            assert (ROOT / "tests" / f"test_{name}.py").is_file(), name


# --- the check itself


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documents, and what they name, as a tree of its own; who spoils a file mends it."""
    tmp_path = tmp_path_factory.mktemp("documents")
    for name in ("docs", "benchmarks", "scripts", "tests", "licenses"):
        unwanted = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=unwanted)
    for file in (*ROOT.glob("*.md"), ROOT / "LICENSE", ROOT / "NOTICE"):
        shutil.copy(file, tmp_path)
    for file in (ROOT / "src" / "sfumato").rglob("*.py"):
        target = tmp_path / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    return tmp_path


@pytest.fixture(scope="module")
def pages_read_once() -> Iterator[None]:
    """What these find depends on the page alone: a planted fault changes one of two dozen."""

    def once(check: Callable[[Page], Iterator[str]]) -> Callable[[Page], tuple[str, ...]]:
        return cache(lambda page: tuple(check(page)))

    with pytest.MonkeyPatch.context() as patch:
        for name in ("claims", "wrong_commands", "unsourced_figures"):
            patch.setattr(check_docs, name, once(getattr(check_docs, name)))
        yield


@pytest.fixture(scope="module")
def before(copy: Path, pages_read_once: None) -> set[str]:
    return problems_anywhere(copy)


PLANTED = [
    ("docs/cli.md", "--workers", "--labourers", "check_docs.py --write"),
    ("README.md", "sfumato run photos photos-released", "sfumato rub a b", "no verb 'rub'"),
    ("README.md", "--method pixelate", "--methods pixelate", "no option --methods"),
    ("README.md", "--method pixelate", "--method smear", "'smear' is not one of"),
    ("README.md", "sfumato run photos pixelated", "sfumato run photos", "Missing argument 'OUT'"),
    ("docs/formats.md", "`sfumato faces export", "`sfumato faces expert", "no verb 'expert'"),
    ("README.md", "(docs/images/astronaut.jpg)", "(docs/images/cat.jpg)", "cat.jpg doesn't exist"),
    ("README.md", "(NOTICE)", "(NOTICES)", "NOTICES doesn't exist"),
    ("README.md", "(docs/cli.md)", "(docs/cli.md#sfumato-rum)", "no such heading"),
    ("README.md", "benchmarks/recall.py", "benchmarks/recoil.py", "recoil.py doesn't exist"),
    ("README.md", "## Limits", "## Limits\n\nThe faces are anonymous.", "write obfuscated"),
    ("README.md", "## Limits", "TBD:speed\n\n## Limits", "still to be filled in"),
    ("README.md", "## Limits", "\n" * 100 + "## Limits", "at most 149"),
    ("README.md", "<!-- figures:", "<!-- the figures:", "figures without their source"),
    ("README.md", "; python benchmarks/recall.py -->", " -->", "figures without their source"),
    ("CHANGELOG.md", "## [0.1.0]", "## [0.0.9]", "begins with 0.0.9"),
    ("ARCHITECTURE.md", "`boxes.py`", "the measure", "says nothing of `boxes.py`"),
    ("ARCHITECTURE.md", "`boxes.py`", "`boxes.py` `toil.py`", "there is no toil.py"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("path", "old", "new", "words"), PLANTED, ids=[p[3] for p in PLANTED])
def test_a_planted_fault_is_found(
    copy: Path, before: set[str], path: str, old: str, new: str, words: str
) -> None:
    text = (copy / path).read_text(encoding="utf-8")
    assert old in text
    (copy / path).write_text(text.replace(old, new), encoding="utf-8")
    try:
        found = problems_anywhere(copy) - before
    finally:
        (copy / path).write_text(text, encoding="utf-8")
    assert found
    assert all(words in problem and path in problem for problem in found)


def problems_anywhere(root: Path) -> set[str]:
    """What is wrong, without the numbers of the lines."""
    return {re.sub(r":\d+:", ":", problem) for problem in check_docs.problems(root)}


@pytest.mark.parametrize(
    "text",
    [
        "```sh\nsfumato run a b --boxes f.csv && sfumato verify a b | tee log\n```\n",
        "```sh\n$ .venv/bin/sfumato run a b \\\n    --config missing.toml -j4  # a comment\n```\n",
        "```sh\nSFUMATO_RUN_METHOD=fill sfumato run a b --no-resume\n```\n",
        "Say `sfumato run`, or `sfumato faces export\nOUT --format coco|csv`, `sfumato --help`.\n",
        "    sfumato report out --json\n",
        "```python\nsfumato rub\n```\n",
        "| a | b |\n|---|---|\n| `0` | words |\n",
        'We say obfuscated, never\n"anonymous".\n',
    ],
)
def test_what_is_right_is_let_through(text: str) -> None:
    page = Page("docs/page.md", text)
    checks = (check_docs.wrong_commands, check_docs.unsourced_figures, check_docs.claims)
    assert [problem for check in checks for problem in check(page)] == []


@pytest.mark.parametrize(
    "command", ["run a b c", "run a", "run a b --workers many", "run a b --colour mauve", "verify"]
)
def test_a_whole_command_must_parse(command: str) -> None:
    assert check_docs.refusal(command.split(), whole=True)
    assert not check_docs.refusal(command.split(), whole=False)
