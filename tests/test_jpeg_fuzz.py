"""The long jobs: ten minutes of coverage-guided fuzzing, and the corpus under AddressSanitizer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sfumato.jpeg

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.fuzz


def test_ten_minutes_of_atheris(tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    seconds = os.environ.get("SFUMATO_FUZZ_SECONDS", "600")
    script = ROOT / "tests" / "fuzz" / "fuzz_jpeg.py"
    command = [sys.executable, str(script), f"-max_total_time={seconds}", "-rss_limit_mb=1500"]
    environment = {**os.environ, "PYTHONPATH": str(Path(sfumato.jpeg.__file__).parents[2])}
    run = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-4000:]


def test_corpus_under_address_sanitizer(tmp_path: Path) -> None:
    """Build the extensions with AddressSanitizer beside a copy of the package; run the tests."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc is not installed")
    package = Path(sfumato.jpeg.__file__).parents[1]
    copy = tmp_path / "src" / "sfumato"
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("*.so", "*.c"))
    build = (
        "from Cython.Build import cythonize; from setuptools import Extension, setup;"
        "names = ('_decode', '_encode', '_dct');"
        "setup(name='a', package_dir={'': 'src'}, ext_modules=cythonize([Extension("
        "f'sfumato.jpeg.{n}', [f'src/sfumato/jpeg/{n}.pyx']) for n in names]))"
    )
    flags = "-fsanitize=address -fno-omit-frame-pointer -O1 -g"
    environment = {**os.environ, "CFLAGS": flags, "LDFLAGS": "-fsanitize=address"}
    command = [sys.executable, "-c", build, "build_ext", "--inplace"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    library = subprocess.run(
        [compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    environment |= {
        "LD_PRELOAD": library,
        "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONPATH": f"{tmp_path / 'src'}:{ROOT}",
    }
    names = ("edit", "markers", "robust")
    tests = [str(ROOT / "tests" / f"test_jpeg_{name}.py") for name in names]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    run = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-4000:]
