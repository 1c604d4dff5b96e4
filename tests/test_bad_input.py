"""Files that break image pipelines, through the program itself: each is accounted for by name.

`tests/bad_input.py` writes them and says what may become of each.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from sfumato.assets import demo_images
from sfumato.errors import Code, SampleError
from sfumato.imaging import codec
from sfumato.sources.imagefolder import ImageFolder
from sfumato.sources.reading import read_steadily
from sfumato.types import Failure
from tests.bad_input import Outcomes, bomb_png, encoded, forged_jpeg, make_bad_inputs
from tests.command import sfumato

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 1.5e9  # bytes of memory, all processes together


@dataclass(frozen=True)
class Run:
    """What the program made of a folder of bad files."""

    cases: dict[str, Outcomes]
    source: Path
    out: Path
    code: int
    stdout: str
    stderr: str
    memory: int

    @property
    def rows(self) -> dict[str, dict[str, object]]:
        table = pq.read_table(self.out / "manifest.parquet").to_pylist()
        assert len({row["path"] for row in table}) == len(table)
        return {row["path"]: row for row in table}

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.out / "summary.json").read_text())
        return found


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.slow) for name in ("a face", "no face")],
)
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("bad")
    person = (demo_images.root() / "people/grace_hopper.jpg").read_bytes()
    cases = make_bad_inputs(root / "src", person if request.param == "a face" else None)
    words = ["run", str(root / "src"), str(root / "out"), "--profile", "fast", "-j", "2"]
    process = subprocess.Popen(
        [sys.executable, "-c", "from sfumato.cli import main; main()", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with memory_of(process.pid) as peak:
        stdout, stderr = process.communicate(timeout=100)
    return Run(
        cases, root / "src", root / "out", process.returncode, stdout, stderr, max(peak, default=0)
    )


@contextmanager
def memory_of(pid: int) -> Iterator[list[int]]:
    """Sample the memory of a process and all below it, every 10 ms: bytes resident, in sum."""
    samples: list[int] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.01):
            samples.append(sum(map(resident, tree(pid))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield samples
    finally:
        stop.set()
        watcher.join()


def tree(pid: int) -> list[int]:
    try:
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(one for child in below for one in tree(int(child)))]


def resident(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


# --- the whole folder ---------------------------------------------------------------------------


def test_nothing_stops_the_run_and_the_exit_code_says_that_images_were_refused(done: Run) -> None:
    assert done.code == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert done.summary["verdict"] == "refused"


def test_each_case_has_an_outcome_that_is_allowed(done: Run) -> None:
    rows, ignored = done.rows, done.summary["ignored"]["first"]
    assert isinstance(ignored, list)
    wrong = {}
    for key, allowed in done.cases.items():
        if key in rows:
            became = str(rows[key]["code"] or rows[key]["action"])
        else:
            became = "ignored" if key in ignored else "lost"
        if became not in allowed:
            wrong[key] = became
    assert wrong == {}
    assert rows.keys() <= done.cases.keys()  # nobody invents an image


def test_the_account_holds_every_case(done: Run) -> None:
    rows, summary = done.rows, done.summary
    actions = [row["action"] for row in rows.values()]
    account = {name: actions.count(name) for name in ("copied", "obfuscated", "refused")}
    released = account["copied"] + account["obfuscated"]
    assert summary["account"] == {"in": len(rows), "out": released, "unfinished": 0, **account}
    assert summary["ignored"]["count"] == len(done.cases) - len(rows)
    codes = [str(row["code"]) for row in rows.values() if row["action"] == "refused"]
    assert summary["refusals"] == {code: codes.count(code) for code in set(codes)}
    assert Code.INTERNAL_ERROR not in codes
    assert Code.WORKER_DIED not in codes
    line = done.stdout.splitlines()[-1]
    assert line.startswith(f"{len(rows)} in, {released} out: {account['copied']} copied, ")


# Further images that showed a face, and text that is too much to be searched, are taken out.
HOLDS_MORE = frozenset({"second.mpo", "second.jpg", "text_bomb.png"})


def test_the_release_holds_what_the_manifest_says_and_nothing_else(done: Run) -> None:
    rows = done.rows
    released = {key for key, row in rows.items() if row["action"] != "refused"}
    there = {
        path.relative_to(done.out).as_posix()
        for path in done.out.rglob("*")
        if not path.is_dir() and path.parent != done.out
    }
    top = {path.name for path in done.out.iterdir() if not path.is_dir()}
    reports = {"manifest.parquet", "faces.parquet", "summary.json", "report.html"}
    assert there | (top - reports) == released
    for key in released:
        written = (done.out / key).read_bytes()
        assert rows[key]["sha256_out"] == hashlib.sha256(written).hexdigest()
        if rows[key]["action"] == "copied":
            same = written == (done.source / key).read_bytes()
            assert same or (key in HOLDS_MORE and rows[key]["encoding"] == "exact")
        assert not (done.out / key).is_symlink()


def test_memory_stays_below_the_limit(done: Run) -> None:
    if not Path("/proc/self/statm").exists():
        pytest.skip("the memory of processes can't be read here")
    assert 50e6 < done.memory < LIMIT  # the lower bound: something was measured


@pytest.mark.slow
def test_a_second_run_changes_nothing(done: Run) -> None:
    before = (done.out / "manifest.parquet").read_bytes()
    again = sfumato("run", done.source, done.out, "--profile", "fast")
    assert again.code == 3
    assert again.out.splitlines()[-1].rpartition(",")[0] == done.stdout.strip().rpartition(",")[0]
    assert (done.out / "manifest.parquet").read_bytes() == before


# --- forged sizes -------------------------------------------------------------------------------


def gradient() -> Image.Image:
    return Image.linear_gradient("L").convert("RGB")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(lambda: forged_jpeg(encoded(gradient(), "JPEG"), 65_000, 65_000), id="jpeg"),
        pytest.param(lambda: bomb_png(30_000, 30_000), id="png"),
    ],
)
@pytest.mark.parametrize("read", [codec.inspect, codec.decode])
def test_a_huge_image_is_refused_by_its_header(
    read: Callable[[bytes], object], data: Callable[[], bytes]
) -> None:
    made = data()
    tracemalloc.start()
    try:
        with pytest.raises(SampleError) as refused:
            read(made)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refused.value.code is Code.IMAGE_TOO_LARGE
    assert peak < 2e6


@pytest.mark.slow
def test_a_limit_of_ones_own_refuses_what_is_larger_by_one_pixel(tmp_path: Path) -> None:
    gradient().save(tmp_path / "image.png")  # 256 by 256
    words = ("run", tmp_path, tmp_path.with_name("out"), "--profile", "fast", "--json")
    done = sfumato(*words, "--max-pixels", "65535")
    assert done.code == 3
    assert json.loads(done.out)["refusals"] == {"IMAGE_TOO_LARGE": 1}
    done = sfumato(*words, "--max-pixels", "65536", "--overwrite")
    assert done.code == 0, done.err


# --- files that change while they are read ------------------------------------------------------

OLD, NEW = b"old " * 5000, b"new " * 5000


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def replace_by_another(path: Path) -> None:
    other = path.with_suffix(".other")
    other.write_bytes(NEW)
    other.replace(path)


def outcome(path: Path) -> bytes | Code:
    """Return what was read, or the code of the refusal."""
    try:
        return read_steadily(path)
    except SampleError as error:
        return error.code


CHANGES: dict[str, Callable[[Path], object]] = {
    "rewritten": lambda path: path.write_bytes(NEW),
    "grown": grow,
    "cut": lambda path: os.truncate(path, 100),
    "replaced": replace_by_another,
    "removed": lambda path: path.unlink(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("moment", [1, 2])
def test_a_file_that_changes_between_two_looks_is_refused_or_read_as_it_was(
    tmp_path: Path, change: Callable[[Path], object], moment: int
) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(OLD)
    time.sleep(0.06)  # file systems keep times in ticks; what was just written is read twice
    looks, look = 0, os.fstat

    def disturbed(handle: int) -> os.stat_result:
        nonlocal looks
        looks += 1
        found = look(handle)
        if looks == moment:  # 1: after the first look, 2: after the last one
            change(path)
        return found

    with patch("sfumato.sources.reading.os.fstat", disturbed):
        found = outcome(path)
    assert found in ((Code.FILE_CHANGED, OLD) if moment == 1 else (OLD,))


@pytest.mark.slow
def test_a_file_that_is_rewritten_all_the_time_is_never_read_as_a_mixture(tmp_path: Path) -> None:
    size = 24 << 20
    versions = [bytes([value]) * size for value in (1, 2)]
    path = tmp_path / "image.bmp"
    path.write_bytes(versions[0])
    outcomes: list[str] = []
    with rewritten(path, versions):
        for _ in range(8):
            folder = ImageFolder(tmp_path)
            item = next(folder.read(folder.shards(folder.scan().images)[0]))
            if isinstance(item, Failure):
                outcomes.append(item.code)
            else:
                assert item.data in versions
                outcomes.append("whole")
    assert Code.FILE_CHANGED in outcomes


@pytest.mark.parametrize("link", ["auto", pytest.param("copy", marks=pytest.mark.slow)])
def test_a_image_that_is_rewritten_during_the_run(tmp_path: Path, link: str) -> None:
    random = np.random.default_rng(5)
    versions = []
    for _ in range(2):
        pixels = random.integers(0, 256, (1500, 2000, 3), dtype=np.uint8)
        versions.append(encoded(Image.fromarray(pixels), "BMP"))
    assert len(versions[0]) == len(versions[1])
    path = tmp_path / "src" / "image.bmp"
    path.parent.mkdir()
    path.write_bytes(versions[0])
    out = tmp_path / "out"
    words = ("--detector", "yunet@160:0.95", "--link", link)
    with rewritten(path, versions):
        done = sfumato("run", tmp_path / "src", out, *words)
    (row,) = pq.read_table(out / "manifest.parquet").to_pylist()
    if row["action"] == "refused":
        assert (done.code, row["code"]) == (3, Code.FILE_CHANGED)
        assert not (out / "image.bmp").exists()
    else:
        assert (out / "image.bmp").read_bytes() in versions
        assert row["sha256_in"] in {hashlib.sha256(data).hexdigest() for data in versions}
    # What the last run found is not held against the file when it is at rest.
    path.write_bytes(versions[1])
    assert sfumato("run", tmp_path / "src", out, *words).code == 0
    assert (out / "image.bmp").read_bytes() == versions[1]


@contextmanager
def rewritten(path: Path, versions: list[bytes]) -> Iterator[None]:
    """Write one version after the other over a file, piece by piece, without a pause."""
    stop, begun = threading.Event(), threading.Event()
    piece = 1 << 18

    def write() -> None:
        with path.open("r+b", buffering=0) as file:
            while not stop.is_set():
                for version in reversed(versions):
                    for start in range(0, len(version), piece):
                        os.pwrite(file.fileno(), version[start : start + piece], start)
                        if stop.is_set():
                            return
                    begun.set()

    writer = threading.Thread(target=write)
    writer.start()
    begun.wait()
    try:
        yield
    finally:
        stop.set()
        writer.join()


def test_a_folder_that_took_the_place_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SampleError) as refused:
        read_steadily(tmp_path)
    assert refused.value.code is Code.FILE_NOT_REGULAR
