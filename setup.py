"""The parts of the build that aren't data; everything else is in pyproject.toml."""

from __future__ import annotations

import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

# A build front end does not put the folder of the project on the path.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from build_assets import Build, BuildAssets

# C is made beside the other build products, never in src/.
modules = cythonize(
    [
        Extension(
            "sfumato.detectors._enlarge",
            ["src/sfumato/detectors/_enlarge.pyx"],
            extra_compile_args=["-O3"],
        )
    ],
    build_dir="build/cython",
)

setup(cmdclass={"build": Build, "build_assets": BuildAssets}, ext_modules=modules)
