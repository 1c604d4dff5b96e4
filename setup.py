"""The parts of the build that aren't data; everything else is in pyproject.toml."""

from __future__ import annotations

import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

# A build front end does not put the folder of the project on the path.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from build_assets import Build, BuildAssets

# -ffp-contract=off: rounding must not depend on whether the processor fuses operations.
FLAGS = ["-O3", "-ffp-contract=off"]
SOURCES = sorted(Path("src/sfumato").rglob("*.pyx"))
# C is made beside the other build products, never in src/.
modules = cythonize(
    [
        Extension(
            ".".join(source.relative_to("src").with_suffix("").parts),
            [str(source)],
            extra_compile_args=FLAGS,
        )
        for source in SOURCES
    ],
    build_dir="build/cython",
)

setup(cmdclass={"build": Build, "build_assets": BuildAssets}, ext_modules=modules)
