"""A copy of the package whose extensions are compiled with a sanitizer or with coverage."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import sfumato

_SETUP = """
from Cython.Build import cythonize
from setuptools import Extension, setup

sources = {sources!r}
modules = [Extension(name, [source]) for name, source in sources.items()]
setup(name="copy", package_dir={{"": "src"}}, ext_modules=cythonize(modules, build_dir="c"))
"""


def build(folder: Path, compiler: str, flags: Sequence[str], *, link: Sequence[str] = ()) -> Path:
    """Copy the package to `folder`/src, compile it with these flags, and return that path."""
    source = Path(sfumato.__file__).parent
    ignored = shutil.ignore_patterns("*.so", "*.c", "__pycache__")
    shutil.copytree(source, folder / "src" / "sfumato", ignore=ignored)
    found = sorted((folder / "src").rglob("*.pyx"))
    sources = {
        ".".join(path.relative_to(folder / "src").with_suffix("").parts): str(
            path.relative_to(folder)
        )
        for path in found
    }
    (folder / "setup.py").write_text(_SETUP.format(sources=sources), encoding="utf-8")
    environment = {
        **os.environ,
        "CC": compiler,
        "LDSHARED": " ".join((compiler, "-shared", *link)),
        "CFLAGS": " ".join((*flags, "-O1", "-g", "-ffp-contract=off")),
    }
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    run = subprocess.run(
        command, cwd=folder, env=environment, check=False, capture_output=True, text=True
    )
    if run.returncode:
        raise RuntimeError(f"{compiler} didn't build the extensions:\n{run.stderr[-4000:]}")
    return folder / "src"
