"""`sfumato doctor`."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import click

from sfumato.assets import weights
from sfumato.cli import options
from sfumato.cli.extras import EXTRAS
from sfumato.detection.detectors import registry
from sfumato.errors import SfumatoError
from sfumato.pipeline.executors.local import available_cores
from sfumato.pipeline.settings import software


@click.command()
@options.as_json
@click.option(
    "--detector",
    "detectors",
    multiple=True,
    metavar="NAME[@SIDE][:THRESHOLD]",
    help="Also look at this detector, such as onnx:FILE: hash and licence; may be repeated.",
)
def doctor(as_json: bool, detectors: tuple[str, ...]) -> int:
    """Show versions, providers, weights and their hashes, disk and cores.

    Leaves with exit code 1 if something that sfumato needs is missing or not what it should be.
    """
    facts = examine(detectors)
    if as_json:
        print(json.dumps(facts, indent=2))
    else:
        for name, value in facts.items():
            print(f"{name}:")
            rows = value.items() if isinstance(value, dict) else [("", value)]
            for key, text in rows:
                print(f"  {key + ': ' if key else ''}{text}")
    return 1 if facts["problems"] else 0


def examine(detectors: Sequence[str] = ()) -> dict[str, Any]:
    """Look at the installation and the machine, and at some detectors."""
    problems: dict[str, str] = {}
    found: dict[str, str] = {}
    for name, weight in weights.WEIGHTS.items():
        try:
            weights.verified(name)
            found[name] = (
                f"SHA-256 {weight.sha256}, {weight.licence}, trained on {weight.trained_on}"
            )
        except SfumatoError as error:
            problems[name] = str(error)
    disk = shutil.disk_usage(os.getcwd())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "versions": {**software(), "system": f"{platform.system()} {platform.machine()}"},
        "providers": {"onnxruntime": ", ".join(_providers(problems))},
        "weights": found,
        **({"detectors": _detectors(detectors, problems)} if detectors else {}),
        "machine": {
            "cores": f"{available_cores()} for this process",
            "memory": f"{memory / 2**30:.1f} GiB",
            "disk": f"{disk.free / 2**30:.1f} GiB free where you are",
        },
        "extras": {name: _extra(name) for name in EXTRAS},
        "problems": problems,
    }


def _detectors(specs: Sequence[str], problems: dict[str, str]) -> dict[str, str]:
    """Make each detector; say its name, its hash and what it says of its licence."""
    made: dict[str, str] = {}
    for spec in specs:
        try:
            one = registry.parse(spec)
        except SfumatoError as error:
            problems[spec] = str(error)
            continue
        licence = getattr(one, "licence", "licence as above, or as its package says")
        made[one.spec] = f"{one.name}, SHA-256 {one.weights_sha256}, {licence}"
    return made


def _providers(problems: dict[str, str]) -> list[str]:
    try:
        import onnxruntime

        return list(onnxruntime.get_available_providers())
    except ImportError as error:
        problems["onnxruntime"] = f"can't be imported: {error}"
        return []


def _extra(name: str) -> str:
    packages, adds = EXTRAS[name]
    if find_spec(packages[0]):
        return f"installed ({adds})"
    return f"not installed; `pip install 'sfumato[{name}]'` adds {adds}"
