"""`sfumato study analyse DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sfumato.cli.study.asking import analysed, asking, tell


@click.command()
@asking
def analyse(folder: Path, **values: Any) -> int:
    """Answer, from the predictions in DIR alone, what obfuscation does; write DIR/study.json.

    Accuracy, average precision and calibration of each arm; differences with 95 % intervals over
    trainings and images; equivalence within the margin; classes and confusable pairs with Holm's
    correction; the gap between obfuscated and clear images. Needs no torch.
    """
    home, found = analysed(folder, values)
    from sfumato.study.report import JSON_FILE, write_json

    made = write_json(home, found)
    tell(made, [home / JSON_FILE], values)
    return 0
