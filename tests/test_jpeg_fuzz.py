"""Coverage-guided fuzzing, and the corpus under the sanitizers of addresses and behaviour."""

from __future__ import annotations

import base64
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import instrumented

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def covered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of a copy of the package whose extensions report their coverage."""
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is not installed: it has wheels for Linux on x86-64 alone")
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("no clang here: install the Debian package clang")
    # Stack depth is a thread-local variable of libFuzzer that can't be reached from elsewhere.
    flags = ("-fsanitize=fuzzer-no-link", "-fno-sanitize-coverage=stack-depth")
    return instrumented.build(tmp_path_factory.mktemp("covered"), clang, flags)


def fuzz(package: Path, folder: Path, seconds: int) -> None:
    """Run the fuzzer; what it finds (a crash, over 1 s, over 2 GB) is shown in base 64."""
    script = ROOT / "tests" / "fuzz" / "fuzz_jpeg.py"
    limits = ("-timeout=1", "-rss_limit_mb=2000", "-max_len=8192")
    command = [sys.executable, str(script), f"-max_total_time={seconds}", *limits]
    environment = {**os.environ, "PYTHONPATH": str(package)}
    run = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    found = {
        path.name: base64.b64encode(path.read_bytes()).decode()
        for path in folder.iterdir()
        if path.name.startswith(("crash-", "timeout-", "oom-", "leak-", "slow-unit-"))
    }
    assert run.returncode == 0, f"{found}\n{run.stdout[-2000:]}\n{run.stderr[-4000:]}"
    done = re.search(r"DONE +cov: (\d+).*exec/s: (\d+)", run.stderr)
    assert done is not None, run.stderr[-4000:]
    print(done.group())  # noqa: T201
    # With the extensions in it, coverage is above 2,000 edges; the Python modules have fewer.
    assert int(done.group(1)) > 1000, done.group()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_half_a_minute_of_atheris(covered: Path, tmp_path: Path) -> None:
    fuzz(covered, tmp_path, 30)


@pytest.mark.fuzz
@pytest.mark.timeout(1000)
def test_ten_minutes_of_atheris(covered: Path, tmp_path: Path) -> None:
    fuzz(covered, tmp_path, int(os.environ.get("SFUMATO_FUZZ_SECONDS", "600")))


@pytest.mark.fuzz
@pytest.mark.timeout(3000)
def test_corpus_under_the_sanitizers(tmp_path: Path) -> None:
    """AddressSanitizer and UndefinedBehaviorSanitizer over the tests of all kinds and mutations."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc is not installed")
    flags = (
        "-fsanitize=address,undefined",
        # Cython itself: comparison functions of its tables are called through other types.
        "-fno-sanitize-recover=undefined",
        "-fno-omit-frame-pointer",
    )
    package = instrumented.build(tmp_path, compiler, flags, link=flags[:1])
    libraries = [
        subprocess.run(
            [compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    environment = {
        **os.environ,
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONPATH": f"{package}{os.pathsep}{ROOT}",
    }
    where = "import sfumato.imaging.jpeg._decode as module; print(module.__file__)"
    used = subprocess.run(
        [sys.executable, "-c", where], env=environment, capture_output=True, text=True, check=False
    )
    assert used.stdout.startswith(str(package)), used.stdout + used.stderr
    names = ("edit", "markers", "robust", "mutation")
    tests = [str(ROOT / "tests" / f"test_jpeg_{name}.py") for name in names]
    # Times and memory are other ones there.
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    command += ["-m", "not slow", "-k", "not forged"]
    run = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-4000:]
