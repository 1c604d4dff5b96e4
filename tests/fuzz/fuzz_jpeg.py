"""Coverage-guided fuzzing of `sfumato.imaging.jpeg` with atheris.

    python tests/fuzz/fuzz_jpeg.py -max_total_time=600 -timeout=1 CORPUS_FOLDER

Only `SampleError` may come out of `inspect`, `strip` and `edit`, and nothing may take long
(libFuzzer's -timeout) or much memory (-rss_limit_mb). Without a folder it begins with small
files of all kinds. The Python modules are always guided by coverage, the compiled ones where
they were built for it (tests/fuzz/instrumented.py, -fsanitize=fuzzer-no-link).
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

# Extensions built for coverage report to libFuzzer, which atheris carries: its symbols have to be
# visible to them before they are loaded.
_CORE = importlib.util.find_spec("atheris.core_with_libfuzzer")
assert _CORE is not None
assert _CORE.origin is not None
ctypes.CDLL(_CORE.origin, mode=os.RTLD_NOW | os.RTLD_GLOBAL)

with atheris.instrument_imports(include=["sfumato.imaging.jpeg"]):
    from sfumato.imaging import jpeg

from sfumato.errors import SampleError  # noqa: E402
from sfumato.obfuscation import Fill, Gaussian  # noqa: E402
from tests.jpeg_images import KINDS, saved  # noqa: E402

MAX_PIXELS = 1 << 20
BOX = (4.0, 4.0, 22.0, 26.0)
WORDS = [*range(0xC0, 0xD0), *range(0xD0, 0xDF), *range(0xE0, 0xF0), 0xFE]


def run_once(data: bytes) -> None:
    with suppress(SampleError):
        jpeg.inspect(data, max_pixels=MAX_PIXELS)
    with suppress(SampleError):
        jpeg.strip(data, "keep-safe")
    with suppress(SampleError):
        jpeg.edit(data, [BOX], Fill() if len(data) % 2 else Gaussian(), max_pixels=MAX_PIXELS)


def write_seeds(folder: Path) -> None:
    size = (33, 30)
    seeds = (
        saved(size=size, quality=40),
        saved(size=size, quality=90, subsampling=0, optimize=True),
        saved(size=size, quality=60, progressive=True),
        saved(size=size, quality=60, restart_marker_blocks=2),
        saved(size=size, quality=60, progressive=True, restart_marker_blocks=2),
        saved(size=size, quality=30, exif=b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0"),
        saved("L", size=(8, 8), quality=30),
        saved("CMYK", size=size, quality=20),
        saved("L", size=size, quality=30, progressive=True),
        *(make() for kind, make in KINDS.items() if kind in ("4:1:1", "several scans", "MPO")),
    )
    for number, seed in enumerate(seeds):
        (folder / f"{number}.jpg").write_bytes(seed)


def main() -> None:
    arguments = list(sys.argv)
    made = Path(tempfile.mkdtemp(prefix="fuzz-jpeg-"))
    if not any(Path(argument).is_dir() for argument in arguments[1:]):
        folder = made / "corpus"
        folder.mkdir()
        write_seeds(folder)
        arguments.append(str(folder))
    if not any(argument.startswith("-dict") for argument in arguments):
        (made / "markers").write_text("".join(f'"\\xff\\x{word:02x}"\n' for word in WORDS))
        arguments.append(f"-dict={made / 'markers'}")
    atheris.Setup(arguments, run_once, internal_libfuzzer=True)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
