"""Which files are part of the set: patterns, what they mean, and that a run remembers them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from sfumato.errors import Code, UsageError
from sfumato.pipeline.settings import Settings
from sfumato.sources import Listing
from sfumato.sources.imagefolder import ImageFolder
from sfumato.sources.selection import Globs, Selection
from sfumato.types import Failure
from tests import dataset
from tests.command import Done, sfumato
from tests.dataset import WATCHER, Dataset


@pytest.mark.parametrize(
    ("pattern", "fits", "fits_not"),
    [
        ("*.jpg", ["a.jpg", "x/y/a.jpg", ".jpg"], ["a.jpeg", "a.jpg.txt", "a.JPG"]),
        ("raw", ["raw", "raw/a.jpg", "x/raw/y/a.jpg"], ["raws/a.jpg", "x/draw", "a.raw"]),
        ("raw/", ["raw/a.jpg", "x/raw/a.jpg"], ["raws/a.jpg"]),
        ("/raw/*", ["raw/a.jpg", "raw/x/a.jpg"], ["x/raw/a.jpg"]),
        ("a/b", ["a/b", "a/b/c.jpg"], ["x/a/b", "a/bc"]),
        ("a/*.jpg", ["a/1.jpg"], ["a/b/1.jpg", "1.jpg", "x/a/1.jpg"]),
        ("a/**", ["a/1.jpg", "a/b/1.jpg"], ["a", "b/a/1.jpg"]),
        ("a/**/*.jpg", ["a/1.jpg", "a/b/c/1.jpg"], ["1.jpg", "b/1.jpg"]),
        ("**/thumbs/*.jpg", ["thumbs/1.jpg", "a/b/thumbs/1.jpg"], ["thumbs/a/1.jpg"]),
        ("?.png", ["1.png", "a/ü.png"], ["10.png", "/.png"]),
        ("[ab]*", ["a1", "x/b"], ["c", "x/ca"]),
        ("[!ab]*", ["c"], ["a1", "b"]),
        ("[a-c].x", ["b.x"], ["d.x"]),
        ("[]].x", ["].x"], ["a.x"]),
        ("a[.jpg", ["a[.jpg"], ["a.jpg"]),
        ("a+(1).jpg", ["a+(1).jpg"], ["aa1.jpg"]),
        ("new\nline", ["new\nline"], ["new"]),
        ("*", ["a", "a/b"], []),
    ],
)
def test_what_a_pattern_fits(pattern: str, fits: list[str], fits_not: list[str]) -> None:
    globs = Globs((pattern,))
    assert [key for key in fits if not globs.match(key)] == []
    assert [key for key in fits_not if globs.match(key)] == []


@pytest.mark.parametrize("pattern", ["", "/", "//"])
def test_an_empty_pattern_is_wrong_use(pattern: str) -> None:
    with pytest.raises(UsageError, match="no pattern"):
        Selection(exclude=(pattern,))


def test_what_is_excluded_goes_before_what_is_included() -> None:
    chosen = Selection(("train/**", "*.png"), ("raw", "*.txt"))
    listing = Listing(
        ("a.png", "raw/b.png", "train/1.jpg", "val/1.jpg"),
        ("train/x.json", "train/x.txt"),
        (
            Failure("raw/gone.jpg", "read", Code.LINK_BROKEN, ""),
            Failure("train/gone.jpg", "read", Code.LINK_BROKEN, ""),
            Failure("val/gone.jpg", "read", Code.LINK_BROKEN, ""),
            Failure("shut", "read", Code.FILE_UNREADABLE, "the folder can't be listed"),
        ),
    )
    left = chosen.applied(listing)
    assert left.images == ("a.png", "train/1.jpg")
    assert left.others == ("train/x.json",)
    # Nobody knows what a folder holds that can't be listed: only a name excludes it.
    assert [failure.key for failure in left.failures] == ["train/gone.jpg", "shut"]
    assert len(left.excluded) == 5
    assert Selection(exclude=("shut",)).applied(listing).failures[-1].key != "shut"
    assert Selection().applied(listing) is listing
    assert Selection(("nope", "train"), ("gone*", "no*")).unused(listing) == ("nope", "no*")


def test_a_selection_outlives_json() -> None:
    for chosen in (Selection(), Selection(("a", "b/**"), ("c",))):
        assert Selection.from_json(json.loads(json.dumps(chosen.as_json()))) == chosen


# --- a run --------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return dataset.make(tmp_path, count=1)


def run(data: Dataset, *more: str | Path, verb: str = "run") -> Done:
    words: list[str | Path] = [data.source, data.out, "--boxes", data.boxes]
    words += ["--verify-detector", WATCHER[0]]
    return sfumato(verb, *words, "-q", *more)


def keys_of(data: Dataset) -> set[str]:
    return set(ImageFolder(data.out).scan().images)


@pytest.mark.slow
def test_what_is_excluded_is_not_in_the_release_and_is_counted(data: Dataset) -> None:
    done = run(data, "--exclude", "n03", "--json")
    assert done.code == 0
    summary = json.loads(done.out)
    assert (summary["account"]["in"], summary["excluded"]) == (4, 2)
    assert keys_of(data) == {key for key in data.keys if not key.startswith("n03/")}
    verified = sfumato("verify", data.source, data.out, "-q", "--json")
    assert (verified.code, json.loads(verified.out)["excluded"]) == (0, 2)
    assert sfumato("report", data.out, "-q").code == 0


@pytest.mark.slow
def test_only_what_is_included_is_taken(data: Dataset) -> None:
    assert run(data, "--include", "n03/**", "--include", "*.txt", "--copy-other").code == 0
    assert keys_of(data) == {key for key in data.keys if key.startswith("n03/")}
    assert (data.out / "labels.txt").exists()


@pytest.mark.slow
def test_a_forgotten_exclude_publishes_nothing(data: Dataset) -> None:
    assert run(data, "--exclude", "n03").code == 0
    done = run(data)
    assert done.code == 2
    assert "include, exclude" in done.err
    assert "--overwrite" in done.err
    assert len(keys_of(data)) == 4
    assert run(data, "--exclude", "n03").code == 0
    assert run(data, "--overwrite").code == 0
    assert keys_of(data) == set(data.keys)
    assert run(data, "--exclude", "n01 cats", "--overwrite").code == 0
    assert len(keys_of(data)) == 4
    assert sfumato("verify", data.source, data.out, "-q").code == 0


@pytest.mark.slow
def test_obfuscate_takes_the_files_that_were_searched(data: Dataset) -> None:
    ledger = data.root / "faces.sqlite"
    more = ("--exclude", "n03", "--ledger", ledger, "-q")
    found = sfumato("detect", data.source, "--boxes", data.boxes, *more)
    assert (found.code, found.out.split()[0]) == (0, "4")
    assert sfumato("obfuscate", data.source, data.out, "--detections", ledger, "-q").code == 0
    assert len(keys_of(data)) == 4


@pytest.mark.slow
def test_patterns_stand_in_a_settings_file(data: Dataset) -> None:
    file = data.root / "settings.toml"
    file.write_text('exclude = ["n03", "*.txt"]\ncopy-other = ["*.json"]\n')
    (data.source / "a.json").write_text("{}")
    assert run(data, "--config", file).code == 0
    assert len(keys_of(data)) == 4
    assert (data.out / "a.json").exists()
    assert not (data.out / "labels.txt").exists()


def test_a_pattern_that_fits_nothing_is_said(
    data: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    assert run(data, "--exclude", "no3", "--dry-run").code == 0
    assert "No file of" in caplog.text
    assert "'no3'" in caplog.text


def test_excluding_all_is_wrong_use(data: Dataset) -> None:
    done = run(data, "--exclude", "*")
    assert done.code == 2
    assert "but for 7 that are excluded" in done.err
    assert not data.out.exists()


def test_settings_of_the_library_have_them(data: Dataset) -> None:
    settings = Settings(include=("a",), exclude=("b",))
    assert settings.selection() == Selection(("a",), ("b",))
    assert settings.recipe() == dataclasses.replace(settings, include=(), exclude=()).recipe()
