"""`sfumato study run DIR`."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from sfumato.cli import options
from sfumato.cli.outcome import clock
from sfumato.cli.run import absolute
from sfumato.errors import UsageError
from sfumato.study.arms import silent
from sfumato.study.configuration import Study, load

_EVERY_S = 30.0


@click.command()
@options.path("folder", metavar="DIR")
@click.option(
    "--weights",
    multiple=True,
    metavar="[NAME=]FILE",
    help="Weights of an architecture, instead of those in study.toml; may be repeated.",
)
@click.option(
    "-j", "--workers", type=int, metavar="N", help="Processes; changes no result.  [default: 0]"
)
@click.option("--device", metavar="cpu|cuda", help="Where networks run.")
@click.option("--dry-run", is_flag=True, help="Make the arms, say which runs are left, no more.")
@options.as_json
@click.option("-q", "--quiet", is_flag=True, help="Say nothing until the end.")
def run(folder: Path, **values: Any) -> int:
    """Make the runs that DIR/study.toml asks for and that aren't there yet.

    Each run is a folder below DIR/runs with its predictions. Killed or interrupted, the same
    command goes on. On several GPUs: torchrun --no-python --nproc-per-node N sfumato study run DIR.
    """
    from sfumato.study import consequences, group, plan, runs, transfer

    began = time.monotonic()
    home = absolute(folder)
    study = _with(load(home), values["weights"], values["workers"], values["device"])
    # What one refuses ends all.
    tried = transfer.check(study) if group.is_first() else None
    told, as_json = silent if values["quiet"] else _Lines(), values["as_json"]
    if values["dry_run"]:
        planned = plan.make_plan(home, study, told)
        wanted = plan.cells(planned)
        left = sum(not planned.is_done(cell) for cell in wanted)
        _conclude({"runs": len(wanted), "left": left}, began, as_json=as_json)
        return 0
    outcome = runs.run(home, study, told)
    if outcome.leads:
        consequences.look(outcome.plan, tried)
        numbers = {"runs": outcome.runs, "made": outcome.made}
        numbers["images"] = len(outcome.plan.test.keys)
        numbers["left_out"] = len(outcome.plan.test.collection.left_out)
        _conclude(numbers, began, as_json=as_json)
    return 0


def _with(study: Study, weights: tuple[str, ...], workers: int | None, device: str | None) -> Study:
    """Return the study with what the command line says instead."""
    architectures = list(study.architectures)
    for given in weights:
        name, _, file = given.rpartition("=")
        fits = [i for i, one in enumerate(architectures) if name in ("", one.name)]
        if len(fits) != 1:
            raise UsageError(
                f"--weights {given}: say NAME=FILE with one of "
                f"{', '.join(one.name for one in architectures)}."
            )
        path = str(absolute(Path(file)))
        architectures[fits[0]] = replace(architectures[fits[0]], weights=path)
    return replace(
        study,
        architectures=tuple(architectures),
        workers=study.workers if workers is None else workers,
        device=device or study.device,
    )


def _conclude(numbers: dict[str, int], began: float, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(numbers))
        return
    told = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in numbers.items())
    print(f"{told}, {clock(time.monotonic() - began)}")


class _Lines:
    """Prints what is being done: each new thing, then a line every 30 seconds."""

    def __init__(self) -> None:
        self._what = ""
        self._last = 0.0

    def __call__(self, what: str, done: int, of: int) -> None:
        now = time.monotonic()
        if what != self._what or now - self._last >= _EVERY_S or done >= of:
            print(f"{what}: {done} of {of}", file=sys.stderr, flush=True)
            self._what, self._last = what, now
