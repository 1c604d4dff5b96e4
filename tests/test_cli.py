"""The command line as its users see it: what it prints, where, and the code it leaves with."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn
from unittest.mock import patch

import click
import pytest

from sfumato import __version__
from sfumato.annotations import box_files
from sfumato.assets import demo_images
from sfumato.assets.weights import WEIGHTS
from sfumato.cli import VERBS, cli
from sfumato.cli.outcome import clock
from sfumato.ledger.ledger import Ledger
from sfumato.ledger.records import recipe_from
from sfumato.pipeline.executors import Task
from sfumato.sources.doors import Shard
from sfumato.sources.private import private_folder
from sfumato.types import Detection, Face
from tests import dataset
from tests.command import Done, Here, sfumato
from tests.dataset import BOX, WATCHER, Dataset, files_of
from tests.unprivileged import bound_by_rights
from tests.variants import one_of_each

ROOT = Path(__file__).resolve().parents[1]
ACCOUNT = re.compile(
    r"^\d+ in, \d+ out: \d+ copied, \d+ obfuscated, \d+ refused, (\d\d:)?\d\d:\d\d$"
)
WATCH = ("--verify-detector", WATCHER[0])


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return dataset.make(tmp_path, count=1)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A data set with its release and the one of `detect` beside it; tests only look at it."""
    made = dataset.make(tmp_path_factory.mktemp("finished"), count=2)
    assert run(made).code == 0
    return made


def run(data: Dataset, *words: str | Path, out: Path | None = None) -> Done:
    boxes = ("--boxes", data.boxes, *WATCH)
    return sfumato("run", data.source, out or data.out, *boxes, *words)


def process(*words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the program as its users do, with its own workers."""
    return subprocess.run(
        [sys.executable, "-c", "from sfumato.cli import main; main()", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


# --- help ---------------------------------------------------------------------------------------

COMMANDS = [(verb,) for verb in VERBS] + [("faces", "export"), ("audit", "detection")]
ON_ALL_THAT_REPORT = {
    "run",
    "detect",
    "obfuscate",
    "verify",
    "report",
    "demo",
    "doctor",
    "calibrate",
}


@pytest.mark.parametrize("words", [(), *COMMANDS], ids=" ".join)
def test_every_verb_has_help(words: tuple[str, ...]) -> None:
    done = sfumato(*words, "--help")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"Usage: {' '.join(['sfumato', *words])}")
    assert sfumato(*words, "-h") == done


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_option_and_argument_is_explained(words: tuple[str, ...]) -> None:
    command = command_of(*words)
    text = command.help or ""
    assert text.count(".") >= 1
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
        else:
            assert str(parameter.name).upper() in text, parameter.name


@pytest.mark.parametrize("verb", sorted(ON_ALL_THAT_REPORT))
def test_every_verb_that_reports_can_do_so_in_json(verb: str) -> None:
    assert "--json" in {name for parameter in command_of(verb).params for name in parameter.opts}


def command_of(*words: str) -> click.Command:
    command: click.Command | None = cli
    for word in words:
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), word)
    assert command is not None
    return command


def test_the_overview_lists_every_verb_with_a_line() -> None:
    shown = " ".join(sfumato("--help").out.split())
    for verb, line in VERBS.items():
        assert f"{verb} {line}" in shown


def test_the_version_is_printed() -> None:
    done = sfumato("--version")
    assert (done.code, done.err) == (0, "")
    assert __version__ in done.out


def test_no_verb_and_wrong_verbs_are_wrong_use() -> None:
    for words in ((), ("cover",), ("run", "--no-such-option"), ("run", "only-one")):
        done = sfumato(*words)
        assert done.code == 2
        assert done.out == ""
        assert "Usage: sfumato" in done.err


# --- what is printed, and the exit code ---------------------------------------------------------


@pytest.mark.slow
def test_a_run_prints_its_account_and_nothing_else_on_standard_output(data: Dataset) -> None:
    done = run(data)
    assert done.code == 0
    (line,) = done.out.splitlines()
    assert ACCOUNT.match(line)
    assert line.startswith("6 in, 6 out: 3 copied, 3 obfuscated, 0 refused, 00:")
    for report in (data.out / "report.html", private_folder(data.out) / "report.html"):
        assert str(report) in done.err
        assert report.is_file()


@pytest.mark.slow
def test_json_is_one_object_and_the_published_summary(data: Dataset) -> None:
    done = run(data, "--json", "-q")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out) == json.loads((data.out / "summary.json").read_text())
    assert done.out.count("\n") == 1
    assert done.out.isascii()  # whatever the terminal's encoding is


@pytest.mark.slow
def test_quiet_is_silent_even_about_refusals(data: Dataset) -> None:
    (data.source / "n03" / "text.jpg").write_text("This is not an image.")
    done = run(data, "-q")
    assert (done.code, done.err) == (3, "")
    assert ACCOUNT.match(done.out.splitlines()[-1])


@pytest.mark.slow
def test_a_refused_image_is_named_with_its_code_and_gives_exit_code_3(data: Dataset) -> None:
    (data.source / "n03" / "text.jpg").write_text("This is not an image.")
    done = run(data)
    assert done.code == 3
    assert "refused, IMAGE_UNRECOGNISED n03/text.jpg: " in done.err
    assert ", 1 refused, " in done.out
    assert run(data).code == 3  # a second run that does nothing doesn't forget it


@pytest.mark.slow
def test_ten_refusals_are_named_and_all_of_them_on_request(data: Dataset) -> None:
    for number in range(12):
        (data.source / "n03" / f"text{number:02}.jpg").write_text("This is not an image.")
    done = run(data)
    assert done.err.count("refused, IMAGE_UNRECOGNISED") == 10
    assert "the reports have the rest" in done.err
    done = run(data, "-v")
    assert done.err.count("refused, IMAGE_UNRECOGNISED") == 12
    assert "the rest" not in done.err


@pytest.mark.slow
def test_a_name_cannot_steer_the_terminal(data: Dataset) -> None:
    (data.source / "n03" / "\x1b[2Jred\nnew line\u202egpj.jpg").write_text("no image")
    done = run(data)
    assert done.code == 3
    assert "\x1b" not in done.err
    assert "n03/\\u001b[2Jred\\u000anew line\\u202egpj.jpg: " in done.err


@pytest.mark.slow
def test_the_private_report_is_where_the_last_line_says(data: Dataset) -> None:
    records = data.root / "records"
    done = run(data, "--ledger", records / "my.sqlite")
    assert done.code == 0
    kept = re.search(r"^Report to keep, with originals: (.*)$", done.err, re.MULTILINE)
    assert kept is not None
    assert Path(kept[1]).is_file()
    assert Path(kept[1]).parent == records
    assert not private_folder(data.out).exists()


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.4, "00:00"), (61.9, "01:01"), (3599, "59:59"), (3600, "01:00:00"), (100_000, "27:46:40")],
)
def test_the_time_has_hours_where_it_needs_them(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


@pytest.mark.slow
def test_a_failed_check_goes_before_a_refusal(data: Dataset) -> None:
    (data.source / "n03" / "text.jpg").write_text("This is not an image.")
    run(data)
    (data.out / "n03" / "stranger.jpg").write_bytes(b"")
    done = sfumato("verify", data.source, data.out)
    assert done.code == 1
    assert "VERIFY_FILE_UNEXPECTED n03/stranger.jpg" in done.err
    assert ACCOUNT.match(done.out.splitlines()[-1])


@pytest.mark.slow
def test_an_interrupted_run_leaves_130_and_says_how_to_go_on(data: Dataset) -> None:
    class Interrupted(Here):
        def map(self, task: Task, shards: Iterable[Shard]) -> NoReturn:
            raise KeyboardInterrupt

    with patch("tests.command.Here", Interrupted):
        done = run(data)
    assert done.code == 130
    assert "the same command goes on" in done.err
    assert "Traceback" not in done.err
    assert run(data).code == 0


@pytest.mark.slow
def test_nothing_is_verified_after_obfuscate_alone(data: Dataset) -> None:
    """A release that nobody checked must not call itself passed."""
    assert sfumato("detect", data.source, "--boxes", data.boxes).code == 0
    done = sfumato("obfuscate", data.source, data.out, "--json")
    assert done.code == 0
    assert json.loads(done.out)["verdict"] == "unverified"
    done = sfumato("verify", data.source, data.out, "--json", *WATCH)
    assert json.loads(done.out)["verdict"] == "passed"


@pytest.mark.slow
def test_the_program_itself_with_its_workers(data: Dataset) -> None:
    words = ("run", data.source, data.out, "--boxes", data.boxes, *WATCH, "-j", "2")
    done = process(*words, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["account"]["out"] == len(data.keys)
    assert files_of(data.out).keys() >= set(data.keys)
    (data.out / data.with_face[0]).write_bytes((data.source / data.with_face[0]).read_bytes())
    again = process("verify", data.source, data.out, "-j", "1")
    assert again.returncode == 1
    assert f"VERIFY_STRENGTH {data.with_face[0]}: " in again.stderr


# --- settings from a file and from the environment ----------------------------------------------


@pytest.mark.slow
def test_flags_go_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    data = dataset.make(tmp_path, count=1)
    file = tmp_path / "settings.toml"
    file.write_text('method = "fill"\nexpand = 0.5\n')
    env = {"SFUMATO_RUN_METHOD": "pixelate"}

    def method_and_expand(*more: str | Path, env: dict[str, str] | None = None) -> list[object]:
        boxes = ("--boxes", data.boxes, *WATCH)
        words = (data.source, data.out, *boxes, "--json", "--overwrite", *more)
        done = sfumato("run", *words, env=env)
        assert done.code == 0, done.err
        step = json.loads(done.out)["recipe"]["obfuscate"]
        return [step["method"], step["expand"]]

    assert method_and_expand() == ["gaussian", 0.25]
    assert method_and_expand("--config", file) == ["fill", 0.5]
    assert method_and_expand("--config", file, env=env) == ["pixelate", 0.5]
    given = ("--method", "gaussian", "--expand", "0.1")
    assert method_and_expand(*given, "--config", file, env=env) == ["gaussian", 0.1]


@pytest.mark.slow
def test_keys_of_the_file_are_the_names_of_the_flags(tmp_path: Path) -> None:
    data = dataset.make(tmp_path, count=1)
    file = tmp_path / "settings.toml"
    file.write_text(
        f'boxes = "{data.boxes}"\nverify-detector = ["{WATCHER[0]}"]\nmax-pixels = 20000\n'
        'copy-other = true\njson = true\nquiet = true\ncolour = "#102030"\nmethod = "fill"\n'
    )
    done = sfumato("run", data.source, data.out, "--config", file)
    assert (done.code, done.err) == (0, "")
    recipe = json.loads(done.out)["recipe"]
    assert recipe["detect"]["max_pixels"] == 20000
    assert recipe["verify"]["detectors"] == list(WATCHER)
    assert recipe["obfuscate"]["colour"] == [16, 32, 48]
    assert (data.out / "labels.txt").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("thresold = 0.5", "thresold.*Known are.*copy-other.*detector.*threshold.*workers"),
        ("config = 'other.toml'", "config"),
        ("source = 'x'", "source"),
        ("method = 'blur'", "'blur' is not one of"),
        ("workers = 'many'", "'many' is not a valid integer"),
        ("detector = 'yunet'", "detector"),
        ("[run]\nmethod = 'fill'", "run.*Known are"),
        ("method = ", "settings.toml"),
        (None, "settings.toml.*No such file"),
    ],
)
def test_a_wrong_settings_file_is_wrong_use(data: Dataset, text: str | None, words: str) -> None:
    file = data.root / "settings.toml"
    if text is not None:
        file.write_text(text)
    done = run(data, "--config", file)
    assert_wrong_use(done, words)
    assert not data.out.exists()


def assert_wrong_use(done: Done, words: str) -> None:
    """Exit code 2, nothing on standard output, and a sentence on standard error."""
    assert done.code == 2
    assert done.out == ""
    assert "Traceback" not in done.err
    *usage, sentence = done.err.strip().splitlines()
    assert all(line.startswith(("Usage: ", "Try ")) or not line for line in usage), done.err
    assert sentence.startswith(("sfumato: ", "Error: "))
    assert re.search(words, sentence, re.IGNORECASE), sentence


# --- wrong use ----------------------------------------------------------------------------------

WRONG: list[tuple[tuple[str, ...], str]] = [
    (("run", "{root}/nothing", "{out}"), r"nothing is not a folder: give the folder"),
    (("run", "{boxes}", "{out}"), r"boxes.csv is not a folder: give the folder"),
    (("run", "{src}", "{src}/out"), r"must lie apart.*Choose a folder beside it"),
    (("run", "{src}", "{src}"), r"must lie apart"),
    (("run", "{src}/n03", "{src}"), r"must lie apart"),
    (("run", "{src}", "{boxes}"), r"boxes.csv is a file: choose a folder"),
    (("run", "{empty}", "{out}"), r"empty holds no images: give the folder"),
    (("run", "{src}", "{other}"), r"isn't empty and wasn't made by sfumato: choose another"),
    (("run", "{src}", "{out}", "--threshold", "2"), r"between 0 and 1, not 2"),
    (("run", "{src}", "{out}", "--threshold", "nan"), r"between 0 and 1, not nan"),
    (("run", "{src}", "{out}", "--detector", "retina"), r"no detector 'retina'.*and onnx:FILE"),
    (("run", "{src}", "{out}", "--detector", "yunet@x"), r"'yunet' takes a side in pixels"),
    (("run", "{src}", "{out}", "--detector", "finder@640"), r"'finder' takes a profile"),
    (("run", "{src}", "{out}", "--detector", "yunet@X"), r"'yunet@X' is not NAME"),
    (("run", "{src}", "{out}", "--verify-detector", "retina"), r"no detector 'retina'"),
    (("run", "{src}", "{out}", "--profile", "best"), r"'best' is not one of"),
    (("run", "{src}", "{out}", "--method", "blur"), r"'blur' is not one of"),
    (("run", "{src}", "{out}", "--expand", "-1"), r"expand must be .* at least 0, got -1"),
    (("run", "{src}", "{out}", "--expand", "nan"), r"expand must be"),
    (("run", "{src}", "{out}", "--colour", "#102030"), r"colour is only for the method fill"),
    (("run", "{src}", "{out}", "--method", "fill", "--colour", "red"), r"'red' is not a colour"),
    (("run", "{src}", "{out}", "--method", "fill", "--colour", "#1020"), r"is not a colour"),
    (("run", "{src}", "{out}", "--boxes", "{root}/none.csv"), r"none.csv can't be read: No such"),
    (("run", "{src}", "{out}", "--boxes", "{src}"), r"src.*(can't be read|expected a file)"),
    (("run", "{src}", "{out}", "--boxes", "{src}/labels.txt"), r"labels.txt"),
    (("run", "{src}", "{out}", "--max-pixels", "0"), r"max-pixels must lie between 1 and"),
    (("run", "{src}", "{out}", "--workers", "-1"), r"-1 is not in the range"),
    (("run", "{src}", "{out}", "--timeout", "0"), r"0.0 is not in the range"),
    (("run", "{src}", "{out}", "--ledger", "{src}/ledger.sqlite"), r"ledger.*must lie apart"),
    (("run", "{src}", "{out}", "--ledger", "{other}/mine.txt"), r"can't be used as a ledger"),
    (("detect", "{root}/nothing"), r"nothing is not a folder"),
    (("detect", "{empty}"), r"empty holds no images"),
    (("obfuscate", "{src}", "{out}"), r"No faces were searched.*run `sfumato detect .*` first"),
    (("verify", "{src}", "{out}"), r"knows of no release.*make one with `sfumato run"),
    (("report", "{out}"), r"There is no release in"),
    (("faces", "export", "{out}"), r"There is no ledger"),
    (("demo", "{boxes}"), r"boxes.csv"),
]


def is_private(name: str) -> bool:
    """Say whether a file is one that a ledger's folder holds beside it."""
    return ".sfumato/" in name or name.endswith("/lock")


@pytest.mark.parametrize(("words", "message"), WRONG, ids=[" ".join(words) for words, _ in WRONG])
def test_wrong_use_is_said_in_a_sentence_and_writes_nothing(
    data: Dataset, words: tuple[str, ...], message: str
) -> None:
    places = {"root": data.root, "src": data.source, "out": data.out, "boxes": data.boxes}
    for name in ("empty", "other"):
        places[name] = data.root / name
        places[name].mkdir()
    (places["other"] / "mine.txt").write_text("keep")
    before = files_of(data.root)
    done = sfumato(*(word.format(**places) for word in words))
    assert_wrong_use(done, message)
    found = files_of(data.root)
    assert {name: found[name] for name in found if not is_private(name)} == before
    assert not data.out.exists() or not any(data.out.iterdir())


@pytest.mark.slow
def test_a_release_of_another_recipe_needs_overwrite(data: Dataset) -> None:
    assert run(data).code == 0
    before = files_of(data.out)
    assert_wrong_use(
        run(data, "--method", "fill"),
        r"another recipe \(different: obfuscate\.method\).*--overwrite",
    )
    assert files_of(data.out) == before
    assert run(data, "--method", "fill", "--overwrite").code == 0
    assert files_of(data.out) != before


# --- a run that changes nothing, and links ------------------------------------------------------


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(data: Dataset) -> None:
    before = files_of(data.root)
    for verb in (("run", data.source, data.out), ("detect", data.source)):
        done = sfumato(*verb, "--boxes", data.boxes, "--dry-run")
        assert (done.code, done.err) == (0, "")
        assert done.out == "6 images, 0 done, 6 left, 0 refused, 1 other files\n"
    assert files_of(data.root) == before
    assert not data.out.exists()


@pytest.mark.slow
def test_a_dry_run_knows_what_is_done_already(data: Dataset) -> None:
    run(data)
    (data.source / "n04").mkdir()
    new = data.source / "n04" / "new.png"
    shutil.copy(data.source / data.with_face[0], new)
    new.with_name("loop.png").symlink_to("loop.png")
    before = files_of(data.root)
    done = run(data, "--dry-run", "--json")
    wanted = {"images": 7, "done": 0, "left": 7, "refused": 1, "other_files": 1}
    assert json.loads(done.out) == wanted  # a shard is done whole or not at all
    shutil.rmtree(new.parent)
    done = run(data, "--dry-run", "--json")
    wanted = {"images": 6, "done": 6, "left": 0, "refused": 0, "other_files": 1}
    assert json.loads(done.out) == wanted
    # SQLite leaves two files of its own beside a ledger that was only read.
    names = {name.removesuffix("-shm").removesuffix("-wal") for name in files_of(data.root)}
    assert names == before.keys() - {"src/n04/new.png"}
    dry = sfumato("obfuscate", data.source, data.out, "--dry-run")
    assert dry.code == 0, dry.err


@pytest.mark.slow
@pytest.mark.parametrize("link", ["hard", "copy", "auto"])
def test_a_hard_link_is_made_on_request_only(data: Dataset, link: str) -> None:
    assert run(data, "--link", link).code == 0
    for key in data.keys:
        here, there = data.source / key, data.out / key
        linked = here.stat().st_ino == there.stat().st_ino
        assert linked == (link == "hard" and key in data.without)
        if key in data.without:
            assert here.read_bytes() == there.read_bytes()


def test_the_ledger_may_not_lie_in_what_is_published(data: Dataset) -> None:
    for place in (data.out, data.out / "private"):
        assert_wrong_use(run(data, "--ledger", place / "my.sqlite"), r"must not lie in OUT")
        assert not data.out.exists()


@pytest.mark.slow
def test_the_ledger_may_lie_beside_the_source(data: Dataset) -> None:
    assert run(data, "--ledger", data.root / "my.sqlite").code == 0


@pytest.mark.slow
def test_other_files_are_copied_on_request_only(data: Dataset) -> None:
    assert run(data).code == 0
    assert not (data.out / "labels.txt").exists()
    assert run(data, "--copy-other").code == 0
    assert (data.out / "labels.txt").read_text() == "0 1 2"
    assert sfumato("verify", data.source, data.out).code == 0


# --- the verbs one after another ----------------------------------------------------------------


@pytest.mark.slow
def test_detect_obfuscate_verify_report_and_export(finished: Dataset, tmp_path: Path) -> None:
    step = tmp_path / "step"
    ledger = tmp_path / "faces.sqlite"
    found = sfumato("detect", finished.source, "--boxes", finished.boxes, "--ledger", ledger)
    assert found.code == 0
    assert found.out == "12 images: 6 faces in 6, 0 candidates, 0 refused\n"
    covered = sfumato("obfuscate", finished.source, step, "--detections", ledger)
    assert covered.code == 0
    assert ACCOUNT.match(covered.out.splitlines()[-1])
    assert sfumato("verify", finished.source, step, *WATCH).code == 0
    whole, made = files_of(finished.out), files_of(step)
    assert made.keys() == whole.keys()
    # `verify` may check more than `run` does, so only the reports may differ.
    assert {name for name in whole if made[name] != whole[name]} <= {"report.html", "summary.json"}
    assert sfumato("report", step).code == 0
    assert files_of(step) == made
    for name in ("manifest.parquet", "report.html", "summary.json", "faces.parquet"):
        (step / name).unlink()
    again = sfumato("report", step, "--json")
    assert files_of(step) == made
    assert json.loads(again.out) == json.loads((step / "summary.json").read_text())


@pytest.mark.slow
def test_detect_counts_in_json(finished: Dataset, tmp_path: Path) -> None:
    ledger = tmp_path / "faces.sqlite"
    words = ("detect", finished.source, "--boxes", finished.boxes, "--ledger", ledger, "--json")
    counted = {"images": 12, "faces": 6, "images_with_faces": 6, "candidates": 0}
    counted["refused"] = 0
    assert json.loads(sfumato(*words).out) == counted
    assert json.loads(sfumato(*words, "--no-resume").out) == counted


@pytest.mark.slow
@pytest.mark.parametrize("layout", one_of_each(box_files.LAYOUTS, lambda layout: "any"))
def test_exported_boxes_are_those_that_were_given(
    finished: Dataset, tmp_path: Path, layout: str
) -> None:
    file = tmp_path / ("boxes.csv" if layout == "csv" else "boxes.json")
    printed = sfumato("faces", "export", finished.out, "--format", layout)
    written = sfumato("faces", "export", finished.out, "--format", layout, "-o", file)
    assert (printed.code, written.code, written.out, printed.err) == (0, 0, "", "")
    assert file.read_bytes().decode() == printed.out
    boxes = box_files.load(file)
    given = {key: [face.box for face in faces] for key, faces in boxes.faces.items() if faces}
    assert given == {key: [BOX] for key in finished.with_face}
    # What was exported gives the same images again.
    other = tmp_path / "again"
    words = ("--boxes", file, "--unlisted", "faceless", *WATCH)
    assert sfumato("run", finished.source, other, *words).code == 0
    for key in finished.keys:
        assert (other / key).read_bytes() == (finished.out / key).read_bytes()


def test_the_columns_of_the_exported_csv(finished: Dataset) -> None:
    text = sfumato("faces", "export", finished.out, "--format", "csv").out
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["path", "x0", "y0", "x1", "y1", "score", "origin"]
    faces = [row for row in rows[1:] if row[1]]
    assert {row[0] for row in faces} == set(finished.with_face)
    assert {row[6] for row in faces} == {"file"}


def test_a_searched_source_can_be_exported_before_it_is_released(data: Dataset) -> None:
    assert sfumato("detect", data.source, "--boxes", data.boxes).code == 0
    text = sfumato("faces", "export", data.source).out
    assert len(json.loads(text)["annotations"]) == len(data.with_face)


@pytest.mark.slow
def test_candidates_are_counted_and_exported_until_a_final_box_covers_them(data: Dataset) -> None:
    assert sfumato("detect", data.source, "--boxes", data.boxes).code == 0
    key, other = data.with_face[0], data.without[0]
    doubtful = Face((1.0, 2.0, 30.0, 25.0), 0.04, "finder-1")
    same = Face(BOX, 0.06, "finder-1")
    with Ledger(private_folder(data.source) / "ledger.sqlite") as ledger:
        last = ledger.last_run()
        assert last is not None
        fingerprint = recipe_from(last[2]).fingerprint("detect")
        known = {record.key: record for record in ledger.latest(fingerprint, ["detection"])}
        for place in (key, other):
            found = known[place]
            assert isinstance(found, Detection)
            ledger.commit([(fingerprint, replace(found, candidates=(doubtful, same)))])
    counted = json.loads(sfumato("detect", data.source, "--boxes", data.boxes, "--json").out)
    assert counted["candidates"] == 4
    exported = json.loads(sfumato("faces", "export", data.source, "--candidates").out)
    assert [row["score"] for row in exported["annotations"]].count(0.04) == 2
    assert [row["score"] for row in exported["annotations"]].count(0.06) == 1  # of the faceless
    plain = sfumato("faces", "export", data.source).out
    assert "finder-1" not in plain


# --- doctor and demo ----------------------------------------------------------------------------


def test_the_doctor_names_versions_weights_and_what_extras_would_add() -> None:
    done = sfumato("doctor")
    assert (done.code, done.err) == (0, "")
    facts = json.loads(sfumato("doctor", "--json").out)
    for name, weight in WEIGHTS.items():
        assert weight.sha256 in facts["weights"][name]
        assert weight.sha256 in done.out
    assert len(WEIGHTS) == 4
    assert facts["problems"] == {}
    assert facts["versions"]["sfumato"] == __version__
    assert "CPUExecutionProvider" in facts["providers"]["onnxruntime"]
    assert {"cores", "memory", "disk"} <= facts["machine"].keys()
    assert facts["extras"]


def test_the_doctor_finds_weights_that_are_not_what_they_should_be(tmp_path: Path) -> None:
    with patch("sfumato.assets.weights.FOLDER", tmp_path):
        done = sfumato("doctor", "--json")
    assert done.code == 1
    assert json.loads(done.out)["problems"].keys() == WEIGHTS.keys()


@pytest.mark.slow
def test_the_demo_makes_a_release_in_the_folder_it_is_given(tmp_path: Path) -> None:
    demo_images.root()
    done = process("demo", "here", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert ACCOUNT.match(done.stdout.splitlines()[-1])
    release = tmp_path / "here" / "release"
    assert str(release / "report.html") in done.stderr
    kept = files_of(release)
    assert kept.keys() >= demo_images.IMAGES.keys()
    source = files_of(demo_images.root())
    for person in ("people/astronaut.png", "people/grace_hopper.jpg"):
        assert kept[person] != source[person]
    assert os.listdir(tmp_path) == ["here"]


# --- disks that are full or can't be written to -------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own, 64 KiB at first."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux can mount a small disk")
    if mount(folder, "-t", "tmpfs", "-o", "size=64k", "tmpfs") != 0:
        pytest.skip("mounting isn't permitted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def mount(folder: Path, *words: str) -> int:
    done = subprocess.run(["mount", *words, folder], check=False, capture_output=True)
    return done.returncode


def resize(disk: Path, kib: int) -> None:
    assert mount(disk, "-o", f"remount,rw,size={kib}k") == 0


@pytest.mark.parametrize(("step", "least"), [(160, 2), pytest.param(64, 5, marks=pytest.mark.slow)])
def test_a_full_disk_is_said_and_the_same_command_goes_on(
    finished: Dataset, disk: Path, step: int, least: int
) -> None:
    """The disk grows step by step, so that the run stops at many places of its way."""
    out, attempts = disk / "out", 0
    for kib in range(64, 2048, step):
        resize(disk, kib)
        done = run(finished, out=out)
        attempts += 1
        if done.code == 0:
            break
        assert_wrong_use(done, r"make room")
        assert not (out / "manifest.parquet").exists()  # no release yet, and it doesn't say so
    assert done.code == 0
    assert attempts >= least
    assert files_of(out) == files_of(finished.out)


@pytest.mark.slow
def test_a_disk_that_is_full_for_the_workers(finished: Dataset, disk: Path) -> None:
    out = disk / "out"
    resize(disk, 200)
    words = ("run", finished.source, out, "--boxes", finished.boxes, *WATCH, "-j", "2")
    done = process(*words)
    assert_wrong_use(Done(done.returncode, done.stdout, done.stderr), r"disk is full: make room")
    resize(disk, 4096)
    done = process(*words)
    assert done.returncode == 0, done.stderr
    assert files_of(out) == files_of(finished.out)


@pytest.mark.slow
def test_a_disk_that_turned_read_only_is_said_and_the_same_command_goes_on(
    finished: Dataset, disk: Path
) -> None:
    out = disk / "out"
    resize(disk, 200)
    assert run(finished, out=out).code == 2  # half a release
    left = files_of(disk)
    assert mount(disk, "-o", "remount,ro") == 0
    assert_wrong_use(run(finished, out=out), r"read-only.*(choose another|--ledger)")
    assert files_of(disk) == left
    resize(disk, 4096)
    assert run(finished, out=out).code == 0
    assert files_of(out) == files_of(finished.out)


def test_a_folder_that_may_not_be_written_to(finished: Dataset, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    with bound_by_rights():
        said = run(finished, out=closed / "out")
    assert_wrong_use(said, r"permission denied.*choose another")
    assert list(closed.iterdir()) == []
