"""TOML and JSON that people bring: read within limits, or a `ValueError` with words.

Both formats nest, and Python's readers follow them by calling themselves: twenty thousand brackets
end in a `RecursionError`. Its reader of TOML also takes a time that grows with the square of the
number of parts of a dotted key.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any, Final

TOML_BYTES: Final = 1 << 18  # settings are written by hand; the longest of ours have 4 KB
_DOTS: Final = 200  # in a line that is no comment
_long_line = re.compile(r"^[^\n]{200,}$", re.MULTILINE)


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a TOML file says.

    Raises:
        OSError: it can't be read.
        ValueError: it isn't UTF-8 or TOML, is larger than 256 KiB, nests too deeply, or has a line
            of more than 200 dots.
    """
    with path.open("rb") as stream:
        data = stream.read(TOML_BYTES + 1)
    if len(data) > TOML_BYTES:
        raise ValueError(f"more than {TOML_BYTES // 1024} KiB are no settings")
    text = data.decode("utf-8")
    for line in _long_line.finditer(text):
        if line.group().count(".") > _DOTS and not line.group().lstrip().startswith("#"):
            number = text.count("\n", 0, line.start()) + 1
            raise ValueError(f"line {number} has more than {_DOTS} dots")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("its brackets nest too deeply") from None


def parse_json(text: str) -> Any:
    """Return what a JSON text says.

    Raises:
        ValueError: it is no JSON, nests too deeply, or has a number of thousands of digits.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("its brackets nest too deeply") from None
