"""Coverage-guided fuzzing of `sfumato.jpeg` with atheris.

    python tests/fuzz/fuzz_jpeg.py -max_total_time=600 CORPUS_FOLDER

Only `SampleError` may come out of `inspect`, `strip` and `edit`, and nothing may take long
(libFuzzer's -timeout=1) or much memory (-rss_limit_mb). Without a folder it begins with small
files of all kinds.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

with atheris.instrument_imports(include=["sfumato.jpeg"]):
    from sfumato import jpeg

from sfumato.errors import SampleError
from sfumato.obfuscation import Fill
from tests.jpeg_pictures import KINDS, saved

MAX_PIXELS = 1 << 20
BOX = (4.0, 4.0, 22.0, 26.0)


def run_once(data: bytes) -> None:
    with suppress(SampleError):
        jpeg.inspect(data, max_pixels=MAX_PIXELS)
    with suppress(SampleError):
        jpeg.strip(data, "keep-safe")
    with suppress(SampleError):
        jpeg.edit(data, [BOX], Fill(), max_pixels=MAX_PIXELS)


def write_seeds(folder: Path) -> None:
    size = (33, 30)
    seeds = (
        saved(size=size, quality=40),
        saved(size=size, quality=90, subsampling=0, optimize=True),
        saved(size=size, quality=60, progressive=True),
        saved(size=size, quality=60, restart_marker_blocks=2),
        saved(size=size, quality=60, progressive=True, restart_marker_blocks=2),
        *(KINDS[kind]() for kind in ("grey", "CMYK", "4:1:1")),
    )
    for number, seed in enumerate(seeds):
        (folder / f"{number}.jpg").write_bytes(seed)


def main() -> None:
    arguments = list(sys.argv)
    if not any(Path(argument).is_dir() for argument in arguments[1:]):
        folder = Path(tempfile.mkdtemp(prefix="fuzz-jpeg-"))
        write_seeds(folder)
        arguments.append(str(folder))
    if not any(argument.startswith("-timeout") for argument in arguments):
        arguments.append("-timeout=5")
    atheris.Setup(arguments, run_once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
