r"""Names in the cells of CSV, so that neither a spreadsheet nor a terminal obeys them.

A spreadsheet takes a cell that begins with ``= + - @`` for a formula: an apostrophe goes before it,
as OWASP advises. One that holds control characters, or characters that turn the direction of the
text, is written as an apostrophe and a string of JSON. `name_from` undoes both, exactly: a name
that looks like one of these is written as one.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Final

# The wide ones are taken for formulas in East Asian settings.
_FORMULA: Final = re.compile("'*[=+\\-@＝＋－＠]")
_JSON: Final = "'\""


def cell(name: str) -> str:
    """Return the cell that stands for a name."""
    if name.startswith(_JSON) or any(_steers(char) for char in name):
        return "'" + json.dumps(name)
    return f"'{name}" if _FORMULA.match(name) else name


def name_from(text: str) -> str:
    """Return the name that a cell stands for; a cell of others stays as it is."""
    if text.startswith(_JSON):
        try:
            name = json.loads(text[1:])
        except (ValueError, RecursionError):
            return text
        return name if isinstance(name, str) else text
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def _steers(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp")
